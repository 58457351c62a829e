//! Installing and removing plugins.
//!
//! A library is never written in place: a process that has it loaded would run the new bytes at the old addresses. The copy is
//! renamed over the old file, and a process that has that one open keeps it.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg, OFlag};

use super::{
    check::{Checker, Content, FileCheckError},
    elf,
    python::Listing,
    registry::{Registry, Skipped},
    search::{self, SearchPath},
    sums::{self, SumError, Sums},
    text,
};
use crate::{
    host::atomic::{AtomicFile, sync_parent},
    trust::{Trust, TrustError, Use},
};

/// The biggest plugin that is installed: it is held in memory, so that what was checked is what is written.
const SIZE_MAX: u64 = 512 * 1024 * 1024;

/// Why nothing was installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It would not be used.
    #[error("{} is not installed: {reason}", .file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: FileCheckError,
    },
    /// It would not be looked for, or could not be named.
    #[error(
        "{} is not installed: the name of a plugin's file ends in .so or .py, begins with no dot, and is UTF-8 without control characters",
        .file.display()
    )]
    FileName {
        /// The file.
        file: PathBuf,
    },
    /// Others can write the directory, so nothing in it would be used.
    #[error("nothing is changed in {}: {reason}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        reason: TrustError,
    },
    /// The record is there and cannot be used.
    #[error("nothing is changed in {}: {reason}", .directory.display())]
    Record {
        /// The directory.
        directory: PathBuf,
        /// Why.
        reason: SumError,
    },
    /// No plugin in the directory brings the PreOS.
    #[error("no plugin in {} brings a PreOS {name:?}", .directory.display())]
    Unknown {
        /// The name.
        name: String,
        /// The directory.
        directory: PathBuf,
        /// What was passed over in it: one of them may be the one.
        skipped: Vec<Skipped>,
    },
    /// A step failed.
    #[error("{doing} {}", .file.display())]
    System {
        /// What was done.
        doing: &'static str,
        /// With which file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

fn system(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let file = file.to_owned();
    move |source| InstallError::System { doing, file, source }
}

/// What was installed.
#[derive(Debug)]
pub struct Installed {
    /// Where.
    pub file: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// What it is.
    pub content: Content,
    /// Whether there was a file of this name.
    pub replaced: bool,
    /// PreOSes that the file of this name brought before, and no longer.
    pub gone: Vec<String>,
    /// Whether its sum is recorded.
    pub recorded: bool,
    /// Other plugins whose sums were recorded, as the record is new.
    pub also_recorded: Vec<PathBuf>,
}

/// What was removed.
#[derive(Debug)]
pub struct Removed {
    /// The file.
    pub file: PathBuf,
    /// All PreOSes it brought, with the one that was named.
    pub names: Vec<String>,
}

/// Copies the plugin `source` into `directory`. `record` begins a record of sums if there is none.
///
/// # Errors
///
/// cdist would not load the plugin from there, or the copy cannot be written.
pub fn install(source: &Path, directory: &Path, record: bool) -> Result<Installed, InstallError> {
    let bytes = read(source)?;
    let refused = |reason| InstallError::Refused { file: source.to_owned(), reason };
    let content = if search::is_python(source) {
        Content::Python
    } else {
        let text = elf::text_of(&bytes[..]).map_err(|error| refused(error.into()))?;
        Content::Library(text::parse(&text).map_err(|error| refused(error.into()))?)
    };
    let Some(name) = source.file_name().filter(|name| is_file_name(name)) else {
        return Err(InstallError::FileName { file: source.to_owned() });
    };
    let mut held = Held::new(directory)?;
    let file = directory.join(name);
    let before = Checker::default().check(&file).map(|before| before.names()).unwrap_or_default();
    let replaced = file.symlink_metadata().is_ok();

    let mut also_recorded = Vec::new();
    if record && held.sums.is_none() {
        let (sums, files) = sums_of_usable(directory, &file)?;
        (held.sums, also_recorded) = (Some(sums), files);
    }
    let written = AtomicFile::create(&file, 0o644).and_then(|mut copy| {
        copy.write_all(&bytes)?;
        copy.commit()
    });
    written.map_err(system("writing", &file))?;
    let sha256 = sums::of_bytes(&bytes);
    let recorded = held.sums.is_some();
    held.change_record(|sums| sums.set(name, sha256.clone()))?;

    let now = content.names();
    let gone = before.into_iter().filter(|name| !now.contains(name)).collect();
    Ok(Installed { file, sha256, content, replaced, gone, recorded, also_recorded })
}

/// Removes the plugin in `directory` that brings the PreOS `name`. `list_python` is as in [`Registry::scan`].
///
/// # Errors
///
/// No plugin there brings `name`, or its file cannot be removed.
pub fn remove(
    name: &str,
    directory: &Path,
    list_python: impl FnOnce(&[PathBuf]) -> Result<Listing, String>,
) -> Result<Removed, InstallError> {
    let mut held = Held::new(directory)?;
    let path = SearchPath { plugin_dirs: vec![directory.to_owned()], ..SearchPath::default() };
    let registry = Registry::scan(&path, None, list_python);
    let Some(preos) = registry.get(name) else {
        let (name, directory) = (name.to_owned(), directory.to_owned());
        return Err(InstallError::Unknown { name, directory, skipped: registry.skipped });
    };
    let file = preos.file.clone();
    fs::remove_file(&file).and_then(|()| sync_parent(&file)).map_err(system("removing", &file))?;
    held.change_record(|sums| sums.remove(file.file_name().unwrap_or_default()))?;
    Ok(Removed { names: registry.names_of(&file), file })
}

/// The whole file, read once. Links are followed: a build tool may have made one, and only the copy has to be safe.
fn read(source: &Path) -> Result<Vec<u8>, InstallError> {
    let refused =
        |reason: TrustError| InstallError::Refused { file: source.to_owned(), reason: reason.into() };
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(source);
    let file = opened.map_err(|error| refused(TrustError::Open(error)))?;
    let metadata = file.metadata().map_err(system("reading", source))?;
    if !metadata.is_file() {
        return Err(refused(TrustError::NotRegular));
    }
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(system("reading", source))?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(system("reading", source)(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

fn is_file_name(name: &OsStr) -> bool {
    search::is_plugin(Path::new(name))
        && name.to_str().is_some_and(|name| !name.starts_with('.') && !name.contains(char::is_control))
}

/// The sums of all plugins in a directory that are used now, but for `except`: a record of one plugin alone would end
/// the others.
fn sums_of_usable(directory: &Path, except: &Path) -> Result<(Sums, Vec<PathBuf>), InstallError> {
    let (mut sums, mut files) = (Sums::default(), Vec::new());
    let mut checker = Checker::default();
    for path in search::plugins(directory).map_err(system("reading", directory))? {
        let Ok((file, _)) = checker.open(&path) else { continue };
        if path == except || checker.content(&path, &file).is_err() {
            continue;
        }
        let sum = sums::of_file(&file).map_err(system("reading", &path))?;
        sums.set(path.file_name().unwrap_or_default(), sum);
        files.push(path);
    }
    Ok((sums, files))
}

/// A directory whose libraries and record are locked against other installs.
struct Held<'a> {
    directory: &'a Path,
    sums: Option<Sums>,
    _lock: Flock<File>,
}

impl<'a> Held<'a> {
    fn new(directory: &'a Path) -> Result<Self, InstallError> {
        let refused = |reason| InstallError::Directory { directory: directory.to_owned(), reason };
        let mut trust = Trust::default();
        trust.directory(directory, Use::Passed).map_err(refused)?;
        let opened = File::open(directory).map_err(system("opening", directory))?;
        let metadata = opened.metadata().map_err(system("opening", directory))?;
        // The sticky bit makes others' additions harmless above, but not where the libraries and their record lie.
        if metadata.mode() & 0o022 != 0 {
            return Err(refused(TrustError::Writable { path: directory.display().to_string() }));
        }
        let lock = Flock::lock(opened, FlockArg::LockExclusive)
            .map_err(|(_, errno)| system("locking", directory)(errno.into()))?;
        let sums = Sums::of_directory(directory, &mut trust)
            .map_err(|reason| InstallError::Record { directory: directory.to_owned(), reason })?;
        Ok(Self { directory, sums, _lock: lock })
    }

    /// Changes and writes the record, if there is one.
    fn change_record(&mut self, change: impl FnOnce(&mut Sums)) -> Result<(), InstallError> {
        let Some(sums) = &mut self.sums else { return Ok(()) };
        change(sums);
        let path = self.directory.join(sums::FILE_NAME);
        sums.write(self.directory).map_err(system("writing", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn no_python(_: &[PathBuf]) -> Result<Listing, String> {
        Err("not asked for".to_owned())
    }

    #[test]
    fn names_of_files() {
        assert!(["a.so", "lib x.so", "é.so"].iter().all(|name| is_file_name(OsStr::new(name))));
        assert!(
            ["a", ".a.so", "a\n.so", "\x1b[2J.so", ".so"].iter().all(|name| !is_file_name(OsStr::new(name)))
        );
    }

    #[test]
    fn what_is_no_plugin_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let error = install(Path::new("/bin/true"), dir.path(), true).unwrap_err().to_string();
        assert!(error.starts_with("/bin/true is not installed: "), "{error}");
        let error = install(Path::new("/dev/null"), dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_even_if_sticky() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o1777, 0o775] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = remove("x", dir.path(), no_python).unwrap_err();
            assert!(matches!(error, InstallError::Directory { reason: TrustError::Writable { .. }, .. }));
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(remove("x", dir.path(), no_python), Err(InstallError::Unknown { .. })));
        fs::write(dir.path().join(sums::FILE_NAME), "x").unwrap();
        assert!(matches!(remove("x", dir.path(), no_python), Err(InstallError::Record { .. })));
    }
}
