//! What can be read from a file that may be a plugin, whether it would be loaded or not. Runs none of its code.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use nix::fcntl::OFlag;
use object::{
    Endianness, ReadCache, ReadRef, elf as format,
    read::elf::{Dyn, FileHeader, SectionHeader, SectionTable, Sym},
};

use super::{
    elf, search, sums,
    text::{self, PluginText},
};

/// More than this of one kind is not looked at: damaged tables can seem endless.
const ENTRIES_MAX: usize = 1024;
/// What a library with an `abi_stable` module exports.
const ROOT_MODULE: &[u8] = b"_1as_0lib_1header_0root_bmodule_bloader";
/// What a library in C exports; see `cdist_preos.h`. The loader takes it where a library has both.
const TABLE: &[u8] = b"_cdist_preos_c1";

/// Facts about a file.
#[derive(Debug)]
pub struct PluginFacts {
    /// Bytes.
    pub size: u64,
    /// Name of the owner.
    pub owner: String,
    /// Permission bits.
    pub mode: u32,
    /// In hexadecimal digits.
    pub sha256: String,
    /// What its text says, unchecked; `None` if it is a Python file, or without a readable text.
    pub text: Option<PluginText>,
    /// `None` if it is a Python file, or no ELF file with readable headers.
    pub elf: Option<ElfFacts>,
}

/// What a library is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryKind {
    /// It has the C face of the plugin API, whatever language it is written in.
    C,
    /// The Rust compiler made it.
    Rust,
    /// Anything else.
    Other,
}

/// What happens at a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panic {
    /// The stack is unwound: cdist reports the panic as an error of the plugin.
    Unwind,
    /// The process is aborted.
    Abort,
    /// Nothing says it.
    Unknown,
}

/// Facts from the headers and tables of an ELF file. What is damaged is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfFacts {
    /// 32 or 64.
    pub class: u8,
    /// Byte order.
    pub little_endian: bool,
    /// For which processor.
    pub machine: String,
    /// What it is.
    pub kind: LibraryKind,
    /// The libraries it needs, DT_NEEDED.
    pub needed: Vec<String>,
    /// The highest version of glibc that it needs, as in `2.34`.
    pub glibc: Option<String>,
    /// The panic strategy.
    pub panic: Panic,
    /// Whether the table of local symbols is gone.
    pub stripped: bool,
}

impl PluginFacts {
    /// Reads a file. Links are followed: what they lead to is what would be loaded.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read. A FIFO or device is [`io::ErrorKind::InvalidInput`], and not waited for.
    pub fn read(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Self::of(&file, &metadata, search::is_python(path))
    }

    fn of(file: &File, metadata: &Metadata, python: bool) -> io::Result<Self> {
        let sha256 = sums::of_file(file)?;
        // A Python file is none of the others, whatever is in it.
        let cache = (!python).then(|| ReadCache::new(file));
        let cache = cache.as_ref();
        Ok(Self {
            size: metadata.len(),
            owner: crate::trust::name_of(metadata.uid()),
            mode: metadata.mode() & 0o7777,
            sha256,
            text: cache
                .and_then(|cache| elf::text_of_any(cache).ok())
                .and_then(|bytes| text::read(&bytes).ok()),
            elf: cache.and_then(ElfFacts::of),
        })
    }
}

impl ElfFacts {
    /// Reads the facts from any bytes; never panics, whatever they are.
    pub fn of<'data, R: ReadRef<'data>>(data: R) -> Option<Self> {
        let class = data.read_bytes_at(4, 1).ok()?.first().copied()?;
        match class {
            1 => Self::of_class::<format::FileHeader32<Endianness>, R>(data, 32),
            2 => Self::of_class::<format::FileHeader64<Endianness>, R>(data, 64),
            _ => None,
        }
    }

    fn of_class<'data, Elf, R>(data: R, class: u8) -> Option<Self>
    where
        Elf: FileHeader<Endian = Endianness>,
        R: ReadRef<'data>,
    {
        let header = Elf::parse(data).ok()?;
        let endian = header.endian().ok()?;
        // A copy without section headers is still worth its machine.
        let sections = header.sections(endian, data).unwrap_or_default();
        let of_type = |kind| sections.iter().any(|section| section.sh_type(endian) == kind);
        let symbols = Symbols::of(&sections, endian, data);
        let comment = sections
            .section_by_name(endian, b".comment")
            .and_then(|(_, section)| section.data(endian, data).ok())
            .unwrap_or_default();
        let rust = symbols.exports_module || memchr::memmem::find(comment, b"rustc version").is_some();
        let kind = match (symbols.exports_table, rust) {
            (true, _) => LibraryKind::C,
            (false, true) => LibraryKind::Rust,
            (false, false) => LibraryKind::Other,
        };
        Some(Self {
            class,
            little_endian: endian == Endianness::Little,
            machine: machine_name(header.e_machine(endian)),
            kind,
            needed: needed(&sections, endian, data),
            glibc: highest_glibc(&sections, endian, data),
            panic: symbols.panic_strategy(kind),
            stripped: !of_type(format::SHT_SYMTAB),
        })
    }
}

/// What the dynamic symbols tell.
#[derive(Debug, Default)]
struct Symbols {
    exports_module: bool,
    exports_table: bool,
    imports_raise: bool,
    imports_resume: bool,
}

impl Symbols {
    fn of<'data, Elf, R>(sections: &SectionTable<'data, Elf, R>, endian: Endianness, data: R) -> Self
    where
        Elf: FileHeader<Endian = Endianness>,
        R: ReadRef<'data>,
    {
        let mut found = Self::default();
        let Ok(symbols) = sections.symbols(endian, data, format::SHT_DYNSYM) else { return found };
        for symbol in symbols.iter() {
            let imported = symbol.st_shndx(endian) == format::SHN_UNDEF;
            match symbol.name(endian, symbols.strings()) {
                Ok(ROOT_MODULE) if !imported => found.exports_module = true,
                Ok(TABLE) if !imported => found.exports_table = true,
                Ok(b"_Unwind_RaiseException") if imported => found.imports_raise = true,
                Ok(b"_Unwind_Resume" | b"_Unwind_Backtrace") if imported => found.imports_resume = true,
                _ => {}
            }
        }
        found
    }

    /// The panic runtime that is linked into a Rust library raises an exception, or aborts and never raises one. The rest
    /// of the standard library takes the other functions of the unwinder from libgcc either way. A library that takes none
    /// from there may have an unwinder of its own, and then nothing is known. No panic becomes an error of C.
    fn panic_strategy(&self, kind: LibraryKind) -> Panic {
        match (kind, self.imports_raise, self.imports_resume) {
            (LibraryKind::Rust, true, _) => Panic::Unwind,
            (LibraryKind::Rust, false, true) => Panic::Abort,
            _ => Panic::Unknown,
        }
    }
}

fn needed<'data, Elf, R>(sections: &SectionTable<'data, Elf, R>, endian: Endianness, data: R) -> Vec<String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let Ok(Some((entries, link))) = sections.dynamic(endian, data) else { return Vec::new() };
    let Ok(strings) = sections.strings(endian, data, link) else { return Vec::new() };
    entries
        .iter()
        .take_while(|entry| entry.tag(endian) != format::DT_NULL)
        .filter(|entry| entry.tag(endian) == format::DT_NEEDED)
        .filter_map(|entry| entry.string(endian, strings).ok())
        .take(ENTRIES_MAX)
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// The highest `GLIBC_…` in `.gnu.version_r`. `GLIBC_PRIVATE` and the like are no versions.
fn highest_glibc<'data, Elf, R>(
    sections: &SectionTable<'data, Elf, R>,
    endian: Endianness,
    data: R,
) -> Option<String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let (needs, link) = sections.gnu_verneed(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    let mut highest: Option<(Vec<u32>, String)> = None;
    for (_, versions) in needs.map_while(Result::ok).take(ENTRIES_MAX) {
        for version in versions.map_while(Result::ok).take(ENTRIES_MAX) {
            let Ok(name) = version.name(endian, strings) else { continue };
            let Some(text) = name.strip_prefix(b"GLIBC_").and_then(|v| std::str::from_utf8(v).ok()) else {
                continue;
            };
            let Ok(numbers) = text.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>() else {
                continue;
            };
            if highest.as_ref().is_none_or(|(before, _)| numbers > *before) {
                highest = Some((numbers, text.to_owned()));
            }
        }
    }
    highest.map(|(_, text)| text)
}

fn machine_name(machine: format::Machine) -> String {
    match machine {
        format::EM_X86_64 => "x86-64".to_owned(),
        format::EM_386 => "x86".to_owned(),
        format::EM_AARCH64 => "aarch64".to_owned(),
        format::EM_ARM => "arm".to_owned(),
        format::EM_RISCV => "riscv".to_owned(),
        format::EM_PPC64 => "ppc64".to_owned(),
        format::EM_S390 => "s390".to_owned(),
        other => format!("number {}", other.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_this_test() {
        let facts = PluginFacts::read(&std::env::current_exe().unwrap()).unwrap();
        let elf = facts.elf.unwrap();
        assert_eq!((elf.class, elf.kind, elf.panic), (64, LibraryKind::Rust, Panic::Unwind));
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.so")), "{elf:?}");
        assert!(elf.glibc.unwrap().starts_with("2."));
        assert!(!elf.stripped);
        assert_eq!((facts.sha256.len(), facts.text), (64, None));
    }

    #[test]
    fn a_program_in_another_language_has_no_panic_strategy() {
        let elf = PluginFacts::read(Path::new("/bin/true")).unwrap().elf.unwrap();
        assert_eq!((elf.kind, elf.panic, elf.stripped), (LibraryKind::Other, Panic::Unknown, true));
    }

    #[test]
    fn what_is_no_elf_file_has_no_elf_facts() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x01\x01"] {
            assert_eq!(ElfFacts::of(bytes), None);
        }
        assert_eq!(
            PluginFacts::read(Path::new("/dev/null")).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn panic_strategies() {
        let with =
            |imports_raise, imports_resume| Symbols { imports_raise, imports_resume, ..Symbols::default() };
        assert_eq!(with(true, true).panic_strategy(LibraryKind::Rust), Panic::Unwind);
        assert_eq!(with(false, true).panic_strategy(LibraryKind::Rust), Panic::Abort);
        assert_eq!(with(false, false).panic_strategy(LibraryKind::Rust), Panic::Unknown);
        assert_eq!(with(true, true).panic_strategy(LibraryKind::C), Panic::Unknown);
        assert_eq!(with(true, true).panic_strategy(LibraryKind::Other), Panic::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn damaged_files_never_panic(changes in proptest::collection::vec((0usize..1 << 20, 0u8..=255), 1..40)) {
            let mut bytes = std::fs::read("/bin/true").unwrap();
            let length = bytes.len();
            for (turn, (at, byte)) in changes.into_iter().enumerate() {
                // Every other one where the section headers are.
                let at = if turn % 2 == 0 { at % length } else { length - 1 - at % 2048 };
                bytes[at] = byte;
            }
            let _ = ElfFacts::of(&bytes[..]);
            let _ = elf::text_of_any(&bytes[..]);
        }
    }
}
