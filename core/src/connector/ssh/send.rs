//! Files for a target, all of a batch in one command: as a tar stream, or as a shell script where there is no tar.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufWriter, PipeWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::Ssh;
use crate::{
    connector::{Connector, ConnectorError, Copy, CopyTo, Exec, Input, RunContext},
    host::quote::{posix, posix_always},
};

/// How much of a file one printf writes. Its text is up to four times as long.
const CHUNK: usize = 8 * 1024;

/// Copies to the target. Names, contents and modes travel; the files belong to the user of the login.
pub(super) async fn send(
    ssh: &Ssh,
    context: &RunContext,
    copy: Copy,
    has_tar: bool,
) -> Result<(), ConnectorError> {
    let (CopyTo::Dir(to) | CopyTo::File(to)) = copy.to.clone();
    let (dir, renamed) = match &copy.to {
        CopyTo::Dir(dir) => (dir.as_path(), None),
        CopyTo::File(file) => {
            (file.parent().unwrap_or(Path::new("/")), file.file_name().map(OsStr::to_owned))
        }
    };
    let mut line = OsString::from("cd ");
    line.push(posix(dir));
    line.push(if has_tar { " && exec tar -xmf -" } else { " && exec /bin/sh -e" });
    let mut word = OsString::from("/bin/sh -c ");
    word.push(posix_always(&line));

    let pipe = io::pipe().map_err(|source| copy_error(Path::new("/"), &to, source))?;
    let (reader, writer) = pipe;
    let destination = to.clone();
    let sources = copy.sources;
    let pack = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(writer, has_tar);
        for source in &sources {
            let name = renamed.as_deref().or(source.file_name());
            let Some(name) = name else { continue };
            writer
                .add(source, Path::new(name))
                // A command that ends early has its own reason, which its status tells.
                .or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
                .map_err(|e| copy_error(source, &destination, e))?;
        }
        // A broken pipe: the exit status explains it.
        let _ = writer.finish();
        Ok(())
    });
    let words = [word];
    let command = ssh.shown(context, &words);
    let exec =
        Exec { words: words.to_vec(), stdin: Input::Pipe(reader), stdout: copy.stdout, stderr: copy.stderr };
    let done = ssh.exec(context, exec).await;
    // If the command was not even started, the pipe has no reader any more, and the packing ends with it.
    let packed: Result<(), ConnectorError> =
        pack.await.unwrap_or_else(|e| Err(copy_error(Path::new("/"), &to, io::Error::other(e))));
    let done = done?;
    packed?;
    if done.status.success() {
        Ok(())
    } else {
        Err(ConnectorError::CopyFailed { command, status: done.status })
    }
}

fn copy_error(from: &Path, to: &Path, source: io::Error) -> ConnectorError {
    ConnectorError::Copy { from: from.to_owned(), to: to.to_owned(), source }
}

/// Writes files to where a command on the target reads them.
enum Writer {
    Tar(Box<tar::Builder<BufWriter<PipeWriter>>>),
    Script(BufWriter<PipeWriter>),
}

impl Writer {
    fn new(pipe: PipeWriter, has_tar: bool) -> Self {
        let pipe = BufWriter::with_capacity(64 * 1024, pipe);
        if has_tar { Self::Tar(Box::new(tar::Builder::new(pipe))) } else { Self::Script(pipe) }
    }

    /// Adds a file, or a directory with what is in it. Symbolic links are followed.
    fn add(&mut self, source: &Path, name: &Path) -> io::Result<()> {
        let meta = fs::metadata(source)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            self.add_dir(name, mode)?;
            let mut entries: Vec<PathBuf> =
                fs::read_dir(source)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
            entries.sort();
            for entry in entries {
                let Some(own) = entry.file_name() else { continue };
                self.add(&entry, &name.join(own))?;
            }
            return Ok(());
        }
        self.add_file(File::open(source)?, meta.len(), name, mode)
    }

    fn add_dir(&mut self, name: &Path, mode: u32) -> io::Result<()> {
        match self {
            Self::Tar(tar) => {
                let mut header = header(mode, 0);
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, name, io::empty())
            }
            Self::Script(script) => {
                let name = quoted(name);
                writeln!(script, "mkdir -p {name}\nchmod {mode:o} {name}")
            }
        }
    }

    fn add_file(&mut self, file: File, length: u64, name: &Path, mode: u32) -> io::Result<()> {
        // A file that grows meanwhile must not spoil what follows it.
        let mut file = file.take(length);
        match self {
            Self::Tar(tar) => tar.append_data(&mut header(mode, length), name, &mut file),
            Self::Script(script) => {
                let name = quoted(name);
                writeln!(script, ": > {name}\nchmod {mode:o} {name}")?;
                let mut buffer = vec![0; CHUNK];
                loop {
                    let n = file.read(&mut buffer)?;
                    let Some(part @ [_, ..]) = buffer.get(..n) else { return Ok(()) };
                    writeln!(script, "printf '{}' >> {name}", printf_format(part))?;
                }
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Tar(tar) => tar.into_inner()?.flush(),
            Self::Script(mut script) => script.flush(),
        }
    }
}

fn header(mode: u32, length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(length);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// A name that no command takes for an option. Bytes that are not UTF-8 are lost only where there is no tar.
fn quoted(name: &Path) -> String {
    posix(Path::new("./").join(name)).to_string_lossy().into_owned()
}

/// The bytes as a format of printf(1), which has no arguments. Octal is the one escape that all shells know; a dash at the
/// beginning would be an option.
fn printf_format(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b" /.,:;_=#$(){}[]\"<>|&*+\n".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn packed(has_tar: bool, from: &Path, to: &Path) {
        let (reader, writer) = io::pipe().unwrap();
        let command = if has_tar { "exec tar -xmf -" } else { "exec /bin/sh -e" };
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", command])
            .current_dir(to)
            .stdin(reader)
            .spawn()
            .unwrap();
        let mut writer = Writer::new(writer, has_tar);
        writer.add(from, Path::new("copy")).unwrap();
        writer.finish().unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn trees_arrive_with_modes_and_without_links() {
        for has_tar in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            fs::create_dir_all(from.join("it's a -dir")).unwrap();
            fs::create_dir(&to).unwrap();
            fs::write(from.join("script"), "#!/bin/sh\nexit 3\n").unwrap();
            fs::set_permissions(from.join("script"), fs::Permissions::from_mode(0o750)).unwrap();
            symlink("../script", from.join("it's a -dir/link")).unwrap();
            fs::write(from.join("big"), vec![b'%'; 3 * CHUNK + 1]).unwrap();
            packed(has_tar, &from, &to);
            let script = to.join("copy/script");
            assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o7777, 0o750, "{has_tar}");
            let link = to.join("copy/it's a -dir/link");
            assert!(fs::symlink_metadata(&link).unwrap().is_file());
            assert_eq!(fs::read(link).unwrap(), fs::read(script).unwrap());
            assert_eq!(fs::metadata(to.join("copy/big")).unwrap().len(), 3 * CHUNK as u64 + 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn printf_writes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for shell in ["dash", "bash"] {
                let script = format!("printf '{}'", printf_format(&bytes));
                let output = std::process::Command::new(shell).env("LC_ALL", "C").arg("-c").arg(script).output().unwrap();
                prop_assert_eq!(&output.stdout, &bytes);
            }
        }
    }
}
