//! Reading the text symbol `_cdist_preos` out of a shared library, without loading it.
//!
//! `dlopen` maps what the headers say: a truncated file ends the process with SIGBUS, and constructors run before
//! anything can be checked. So everything that listing needs is read as data (ELF: System V ABI, chapters 4 and 5).

use std::fs::File;

use object::{
    Endianness, ReadCache, ReadRef, elf,
    read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym},
};

/// The symbol with the readable text.
pub const TEXT_SYMBOL: &[u8] = b"_cdist_preos";
/// The longest text that is looked at.
const TEXT_MAX: u64 = 256 * 1024;

/// Why a file is no library with a PreOS. The messages complete the line "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// No ELF magic, or another class or byte order.
    #[error("it is no 64-bit little-endian ELF file")]
    NotElf,
    /// For another processor.
    #[error("it is built for another processor (ELF machine {0}), not for this one")]
    Machine(u16),
    /// An executable or object file.
    #[error("it is no shared library (ELF type {0})")]
    NotShared(u16),
    /// A header points outside of the file.
    #[error("it is truncated or damaged: {0}")]
    Damaged(String),
    /// The symbol is missing.
    #[error("it holds no PreOS: the symbol _cdist_preos is missing")]
    NoSymbol,
}

/// The ELF machine of the running program.
const MACHINE: elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "riscv64") {
    elf::EM_RISCV
} else if cfg!(target_arch = "powerpc64") {
    elf::EM_PPC64
} else {
    elf::EM_NONE
};

type Header = elf::FileHeader64<Endianness>;

fn damaged(error: object::Error) -> ElfError {
    ElfError::Damaged(error.to_string())
}

/// Reads the text of `_cdist_preos`.
///
/// # Errors
///
/// The file is not a whole shared library for this processor with that symbol.
pub fn read_text(file: &File) -> Result<Vec<u8>, ElfError> {
    let cache = ReadCache::new(file);
    text_of(&cache)
}

/// As [`read_text`], from any readable bytes; never panics, whatever they are.
///
/// # Errors
///
/// As [`read_text`].
pub fn text_of<'data, R: ReadRef<'data>>(data: R) -> Result<Vec<u8>, ElfError> {
    let header = Header::parse(data).map_err(|_| ElfError::NotElf)?;
    let endian = header.endian().map_err(|_| ElfError::NotElf)?;
    if endian != Endianness::Little {
        return Err(ElfError::NotElf);
    }
    let machine = header.e_machine(endian);
    if machine != MACHINE {
        return Err(ElfError::Machine(machine.0));
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(ElfError::NotShared(header.e_type(endian).0));
    }
    text_of_any(data)
}

/// As [`text_of`], also of a file for another processor or of another type: for showing, not for loading.
///
/// # Errors
///
/// The file is not a whole 64-bit ELF file with that symbol.
pub fn text_of_any<'data, R: ReadRef<'data>>(data: R) -> Result<Vec<u8>, ElfError> {
    let length = data.len().map_err(|()| ElfError::NotElf)?;
    let header = Header::parse(data).map_err(|_| ElfError::NotElf)?;
    let endian = header.endian().map_err(|_| ElfError::NotElf)?;
    let segments = header.program_headers(endian, data).map_err(damaged)?;
    for (number, segment) in segments.iter().enumerate() {
        let end = segment.p_offset(endian).checked_add(segment.p_filesz(endian));
        if segment.p_type(endian) != elf::PT_NULL && end.is_none_or(|end| end > length) {
            return Err(ElfError::Damaged(format!("segment {number} ends outside of the file")));
        }
    }
    if !segments.iter().any(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        return Err(ElfError::Damaged("it has no segment to load".to_owned()));
    }

    let sections = header.sections(endian, data).map_err(damaged)?;
    for section in sections.iter().filter(|section| section.sh_type(endian) != elf::SHT_NOBITS) {
        let end = section.sh_offset(endian).checked_add(section.sh_size(endian));
        if end.is_none_or(|end| end > length) {
            return Err(ElfError::Damaged("a section ends outside of the file".to_owned()));
        }
    }
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM).map_err(damaged)?;
    let strings = symbols.strings();
    let symbol = symbols
        .iter()
        .find(|symbol| {
            symbol.st_shndx(endian) != elf::SHN_UNDEF
                && symbol.name(endian, strings).is_ok_and(|name| name == TEXT_SYMBOL)
        })
        .ok_or(ElfError::NoSymbol)?;

    let (address, size) = (symbol.st_value(endian), symbol.st_size(endian));
    if size == 0 || size > TEXT_MAX {
        return Err(ElfError::Damaged(format!("_cdist_preos has the size {size}")));
    }
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        let start = segment.p_vaddr(endian);
        let inside = address
            .checked_sub(start)
            .filter(|offset| offset.checked_add(size).is_some_and(|end| end <= segment.p_filesz(endian)));
        if let Some(offset) = inside {
            // Cannot overflow: the segment's end was found inside the file above.
            let bytes = data
                .read_bytes_at(segment.p_offset(endian).wrapping_add(offset), size)
                .map_err(|()| ElfError::Damaged("_cdist_preos cannot be read".to_owned()))?;
            return Ok(bytes.to_vec());
        }
    }
    Err(ElfError::Damaged("_cdist_preos lies outside of the file".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_file_is_not() {
        assert!(matches!(text_of(&b"#!/bin/sh\n"[..]), Err(ElfError::NotElf)));
        assert!(matches!(text_of(&[][..]), Err(ElfError::NotElf)));
        let exe = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(text_of(&exe[..]), Err(ElfError::NoSymbol)));
        let mut other = exe.clone();
        other[18] = 0xb7 ^ u8::from(MACHINE == elf::EM_AARCH64);
        other[19] = 0;
        assert!(matches!(text_of(&other[..]), Err(ElfError::Machine(_))));
        assert!(matches!(text_of(&exe[..exe.len() / 2]), Err(ElfError::Damaged(_))));
    }

    proptest::proptest! {
        #[test]
        fn damaged_headers_never_panic(changes in proptest::collection::vec((0usize..4096, 0u8..=255), 1..20)) {
            let mut exe = std::fs::read("/bin/true").unwrap();
            for (at, byte) in changes {
                let at = at % exe.len();
                exe[at] = byte;
            }
            let _ = text_of(&exe[..]);
        }
    }
}
