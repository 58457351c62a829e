//! Why a program or script cannot be started. The kernel says "No such file or directory" of a script that is there when the
//! interpreter in its first line is not, and nothing about which file it means.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use nix::sys::statvfs::{FsFlags, statvfs};

/// As much of a file as the kernel looks at.
const START_MAX: u64 = 256;
/// Interpreters of what any POSIX shell can run.
const SHELLS: [&str; 7] = ["sh", "ash", "bash", "busybox", "dash", "ksh", "zsh"];
/// Numbers of machines in ELF files, elf(5), with the names of [`std::env::consts::ARCH`].
const MACHINES: [(u16, &str); 9] = [
    (3, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];
const CARRIAGE_RETURN: &str =
    "its first line ends with a carriage return, as lines of Windows do; take it away with sed 's/\\r$//'";

/// The `error` of starting `program`, which is looked for in `path` if it has no slash, with what the file tells about it.
pub fn explained(program: &OsStr, path: Option<&OsStr>, error: io::Error) -> io::Error {
    let Some(file) = find(program, path) else { return error };
    match reason(&start_of(&file), error.kind(), is_noexec(&file)) {
        Some(reason) => io::Error::new(error.kind(), format!("{error}: {reason}")),
        None => error,
    }
}

/// Why an executable file must not be left to a shell instead: it is no script of one, but the file system that it is on
/// lets nothing be executed.
pub fn barred(file: &Path) -> Option<String> {
    let is_meant = fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    (is_meant && is_noexec(file) && unfit_for_shell(&start_of(file)).is_some()).then(noexec)
}

/// What is wrong with the beginning of a script that a shell has run without success.
pub fn run_by_shell(file: &Path) -> Option<String> {
    unfit_for_shell(&start_of(file))
}

/// What is wrong with the beginning of a script that was executed and has failed.
pub fn executed(file: &Path) -> Option<String> {
    let start = start_of(file);
    ends_with_carriage_return(&start).then(|| CARRIAGE_RETURN.to_owned())
}

fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    std::env::split_paths(path?).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The first bytes, or nothing if it cannot be read.
fn start_of(file: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    // Reading a pipe would wait.
    if file.is_file()
        && let Ok(file) = File::open(file)
    {
        let _ = file.take(START_MAX).read_to_end(&mut start);
    }
    start
}

fn is_noexec(file: &Path) -> bool {
    statvfs(file).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC))
}

fn noexec() -> String {
    "it is on a file system that is mounted with noexec".to_owned()
}

/// What the file that begins with `start` has to do with an error of execve(2).
fn reason(start: &[u8], kind: io::ErrorKind, is_noexec: bool) -> Option<String> {
    let interpreter = || interpreter(start).map(|name| String::from_utf8_lossy(name).into_owned());
    match kind {
        io::ErrorKind::NotFound if ends_with_carriage_return(start) => Some(CARRIAGE_RETURN.to_owned()),
        io::ErrorKind::NotFound if machine(start).is_some() => {
            Some("the loader that it needs is missing, for it was built for another system".to_owned())
        }
        io::ErrorKind::NotFound => {
            interpreter().map(|name| format!("the interpreter {name} that its first line names is missing"))
        }
        io::ErrorKind::PermissionDenied if is_noexec => Some(noexec()),
        io::ErrorKind::PermissionDenied => interpreter().map(|name| {
            format!("it, or the interpreter {name} that its first line names, is not executable")
        }),
        // ENOEXEC has no name of its own.
        _ if start.is_empty() => None,
        _ => match machine(start) {
            Some(machine) if machine != std::env::consts::ARCH => {
                Some(format!("it is a program for {machine}, and this machine is {}", std::env::consts::ARCH))
            }
            Some(_) => None,
            None if start.starts_with(b"\xef\xbb\xbf#!") => {
                Some("it begins with a byte order mark, so that its first line does not count".to_owned())
            }
            None if start.starts_with(b"#!") => None,
            None => {
                Some("it is executable, but no program, and its first line does not begin with #!".to_owned())
            }
        },
    }
}

/// Why a shell makes nothing of a file that begins like this.
fn unfit_for_shell(start: &[u8]) -> Option<String> {
    if ends_with_carriage_return(start) {
        return Some(CARRIAGE_RETURN.to_owned());
    }
    if machine(start).is_some() {
        return Some("it is a program, and a shell has run it".to_owned());
    }
    let line = first_line(start).strip_prefix(b"#!")?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name_of = |word: &[u8]| {
        let name = word.rsplit(|b| *b == b'/').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    let mut name = name_of(words.next()?);
    if name == "env" {
        name = name_of(words.find(|word| !word.starts_with(b"-"))?);
    }
    (!SHELLS.contains(&name.as_str()))
        .then(|| format!("its first line names {name}, but it was run by a shell"))
}

fn first_line(start: &[u8]) -> &[u8] {
    start.split(|b| *b == b'\n').next().unwrap_or_default()
}

fn ends_with_carriage_return(start: &[u8]) -> bool {
    machine(start).is_none() && start.contains(&b'\n') && first_line(start).ends_with(b"\r")
}

fn interpreter(start: &[u8]) -> Option<&[u8]> {
    let line = first_line(start).strip_prefix(b"#!")?;
    line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())
}

/// The machine that an ELF file is for.
fn machine(start: &[u8]) -> Option<&'static str> {
    if !start.starts_with(b"\x7fELF") {
        return None;
    }
    let bytes: [u8; 2] = start.get(18..20).and_then(|bytes| bytes.try_into().ok())?;
    let number = if start.get(5) == Some(&2) { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    Some(MACHINES.iter().find(|(machine, _)| *machine == number).map_or("another machine", |(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind::{NotFound, Other, PermissionDenied};

    fn elf(machine: u16) -> Vec<u8> {
        let mut start = b"\x7fELF\x02\x01\x01".to_vec();
        start.resize(18, 0);
        start.extend_from_slice(&machine.to_le_bytes());
        start
    }

    #[test]
    fn the_file_tells_what_the_kernel_means() {
        let foreign = if cfg!(target_arch = "s390x") { 62 } else { 22 };
        let cases: [(&[u8], io::ErrorKind, bool, Option<&str>); 12] = [
            (b"#!/bin/sh\r\necho\r\n", NotFound, false, Some("carriage return")),
            (
                b"#!/no/such -x\necho\n",
                NotFound,
                false,
                Some("the interpreter /no/such that its first line names is missing"),
            ),
            (b"#! /etc/passwd\n", PermissionDenied, false, Some("the interpreter /etc/passwd")),
            (b"#!/bin/sh\n", PermissionDenied, true, Some("noexec")),
            (&elf(foreign), Other, false, Some("a program for ")),
            (&elf(foreign), NotFound, false, Some("the loader that it needs is missing")),
            (b"echo\n", Other, false, Some("does not begin with #!")),
            (b"\xef\xbb\xbf#!/bin/sh\n", Other, false, Some("byte order mark")),
            (b"", Other, false, None),
            (b"echo\n", NotFound, false, None),
            (b"", NotFound, false, None),
            (b"\x7fELF", Other, false, Some("does not begin with #!")),
        ];
        for (start, kind, is_noexec, expected) in cases {
            let found = reason(start, kind, is_noexec);
            let text = found.clone().unwrap_or_default();
            assert!(
                found.is_some() == expected.is_some() && text.contains(expected.unwrap_or("")),
                "{start:?}: {text}"
            );
        }
    }

    #[test]
    fn what_a_shell_cannot_run_is_told() {
        for fit in
            [&b"#!/bin/sh -e\n"[..], b"echo\n", b"", b"#!/usr/bin/env -S bash -e\n", b"#!", b"\xff\0\n"]
        {
            assert_eq!(unfit_for_shell(fit), None, "{fit:?}");
        }
        for (start, expected) in [
            (&b"#!/usr/bin/env python3\nimport os\n"[..], "names python3"),
            (b"#! /usr/bin/perl -w\n", "names perl"),
            (b"echo\r\n", "carriage return"),
            (&elf(62), "it is a program"),
        ] {
            assert!(unfit_for_shell(start).unwrap().contains(expected), "{start:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_panic_on_any_file(start in proptest::collection::vec(proptest::num::u8::ANY, 0..40), kind in 0usize..3) {
            for head in [&b""[..], b"#!", b"\x7fELF"] {
                let whole = [head, &start].concat();
                let _ = (reason(&whole, [NotFound, PermissionDenied, Other][kind], false), unfit_for_shell(&whole));
            }
        }
    }

    #[test]
    fn programs_are_found_as_the_kernel_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tool"), "#!/no/such\n").unwrap();
        let error = || io::Error::from(NotFound);
        let text =
            |program: &str, path: Option<&OsStr>| explained(program.as_ref(), path, error()).to_string();
        assert!(text("tool", Some(dir.path().as_os_str())).contains("/no/such"));
        assert!(!text("tool", None).contains("/no/such"));
        assert!(!text("other", Some(dir.path().as_os_str())).contains("interpreter"));
    }
}
