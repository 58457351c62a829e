//! Putting a finished PXE directory in its place.
//!
//! There are three cases. The place is free: one rename. It holds a PXE directory and nothing else: the two
//! change places in one step, and the old one is removed. It holds other files too, or cannot be moved because
//! something is mounted on it or a TFTP server stands in it: our files are replaced one by one.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
};

use super::{CONFIG, CONFIG_DIR, INITRAMFS, KERNEL, LOADER, PxeError, make_dir, write_error};
use crate::{
    host::{
        atomic::{TemporaryDir, sync_parent},
        mounts,
    },
    progress::Progress,
};

/// In the order in which single files are replaced: who boots meanwhile reads the configuration first, and the
/// old one fits the new files as well.
const FILES: [&str; 5] = [LOADER[0].0, LOADER[1].0, KERNEL, INITRAMFS, CONFIG];

/// The real path of a directory that may not exist yet: symbolic links are followed, so that a rename replaces
/// what they lead to.
pub(super) fn resolve(dir: &Path) -> Result<PathBuf, PxeError> {
    let read = |source| PxeError::Read { path: dir.to_owned(), source };
    match fs::canonicalize(dir) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_symlink() => {
            let Some(name) = dir.file_name() else { return Err(read(error)) };
            let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(resolve(parent)?.join(name))
        }
        Err(error) => Err(read(error)),
    }
}

/// Refuses a directory within the root or around it; `dir` is resolved. By inode, so that bind mounts are seen.
pub(super) fn check_apart(root: &Path, dir: &Path) -> Result<(), PxeError> {
    let read = |source| PxeError::Read { path: root.to_owned(), source };
    let root = fs::canonicalize(root).map_err(read)?;
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let within = |inner: &Path, outer: &Path| {
        inner.starts_with(outer)
            || inode(outer).is_some_and(|outer| inner.ancestors().any(|path| inode(path) == Some(outer)))
    };
    if within(dir, &root) || within(&root, dir) {
        return Err(PxeError::Nested { dir: dir.to_owned(), root });
    }
    Ok(())
}

/// Refuses, before anything is written, what the files could not replace.
pub(super) fn check_in_the_way(dir: &Path) -> Result<(), PxeError> {
    let in_the_way = |path: PathBuf, expected| Err(PxeError::InTheWay { path, expected });
    for path in [dir.to_owned(), dir.join(CONFIG_DIR)] {
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
            return in_the_way(path, "directory");
        }
    }
    for path in FILES.map(|name| dir.join(name)) {
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            return in_the_way(path, "file");
        }
    }
    Ok(())
}

/// Makes the directory to fill: on the file system of `dir`, and outside it if that can be moved.
pub(super) fn stage(dir: &Path, progress: &Progress) -> Result<TemporaryDir, PxeError> {
    make_parents(dir)?;
    let inside = !matches!(place(dir, progress)?, Place::Free | Place::Ours);
    let beside = if inside { dir.join("pxe") } else { dir.to_owned() };
    let stage = TemporaryDir::beside(&beside).map_err(write_error(&beside))?;
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755))
        .map_err(write_error(stage.path()))?;
    Ok(stage)
}

/// Puts the filled directory in place.
pub(super) fn publish(stage: TemporaryDir, dir: &Path, progress: &Progress) -> Result<(), PxeError> {
    let fail = write_error(dir);
    sync_dir(&stage.path().join(CONFIG_DIR)).and_then(|()| sync_dir(stage.path())).map_err(&fail)?;
    // It may have changed while the root was being packed.
    let place = place(dir, progress)?;
    let inside = stage.path().starts_with(dir);
    match place {
        Place::Free if !inside => {
            fs::rename(stage.path(), dir).map_err(&fail)?;
            stage.keep();
        }
        Place::Ours if !inside => {
            exchange(stage.path(), dir).map_err(&fail)?;
            remove_old(stage, progress);
        }
        _ => {
            merge(stage.path(), dir)?;
            stage.remove().map_err(&fail)?;
        }
    }
    sync_parent(dir).map_err(&fail)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There is nothing.
    Free,
    /// A PXE directory with nothing else in it.
    Ours,
    /// A directory that must stay where it is.
    Shared,
}

fn place(dir: &Path, progress: &Progress) -> Result<Place, PxeError> {
    let read = |source| PxeError::Read { path: dir.to_owned(), source };
    let names = match names_in(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) => return Err(read(error)),
    };
    let ours = |name: &OsStr| name == CONFIG_DIR || FILES.iter().any(|file| name == *file);
    let configs = names_in(&dir.join(CONFIG_DIR)).unwrap_or_default();
    if names.iter().all(|name| ours(name))
        && configs.iter().all(|name| name == "default")
        && !mounts::mounts_under(dir).is_ok_and(|mounts| !mounts.is_empty())
    {
        let Some(process) = standing_in(dir) else { return Ok(Place::Ours) };
        progress
            .note(format!("process {process} works in {}: its files are replaced one by one", dir.display()));
    }
    Ok(Place::Shared)
}

/// A TFTP server may have entered the directory, as with chroot, and would serve the removed one for ever.
fn standing_in(dir: &Path) -> Option<String> {
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let ours = [inode(dir)?, inode(&dir.join(CONFIG_DIR)).unwrap_or_default()];
    names_in(Path::new("/proc")).ok()?.into_iter().filter_map(|name| name.into_string().ok()).find(|name| {
        name.bytes().all(|b| b.is_ascii_digit())
            && ["cwd", "root"].iter().any(|link| {
                inode(&Path::new("/proc").join(name).join(link)).is_some_and(|found| ours.contains(&found))
            })
    })
}

fn exchange(stage: &Path, dir: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, stage, AT_FDCWD, dir, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(()),
        // NFS and others do not know it.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            let aside = TemporaryDir::beside(dir)?;
            fs::rename(dir, aside.path())?;
            if let Err(error) = fs::rename(stage, dir) {
                fs::rename(aside.path(), dir)?;
                aside.keep();
                return Err(error);
            }
            // The old directory now has the name of the new one, as after an exchange.
            let moved = fs::rename(aside.path(), stage);
            aside.keep();
            moved
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Removes our files only: somebody may have put another in just now.
fn remove_old(stage: TemporaryDir, progress: &Progress) {
    let old = stage.path().to_owned();
    stage.keep();
    for name in FILES {
        // What cannot be removed shows below.
        let _ = fs::remove_file(old.join(name));
    }
    let _ = fs::remove_dir(old.join(CONFIG_DIR));
    if let Err(error) = fs::remove_dir(&old) {
        progress.warning(format!("the old PXE directory is still there as {}: {error}", old.display()));
    }
}

fn merge(stage: &Path, dir: &Path) -> Result<(), PxeError> {
    let config_dir = dir.join(CONFIG_DIR);
    if config_dir.is_dir() {
        // Some tools leave it without the right to enter.
        fs::set_permissions(&config_dir, fs::Permissions::from_mode(0o755))
            .map_err(write_error(&config_dir))?;
    } else {
        fs::create_dir_all(dir).map_err(write_error(dir))?;
        make_dir(&config_dir)?;
    }
    for name in FILES {
        fs::rename(stage.join(name), dir.join(name)).map_err(write_error(&dir.join(name)))?;
    }
    sync_dir(&config_dir).and_then(|()| sync_dir(dir)).map_err(write_error(dir))
}

/// Tells of directories above that a server without privilege cannot enter.
pub(super) fn warn_if_unreachable(dir: &Path, progress: &Progress) {
    for path in dir.ancestors() {
        if let Ok(meta) = fs::metadata(path)
            && meta.mode() & 0o001 == 0
        {
            progress.warning(format!(
                "a TFTP server without privilege cannot enter {} (mode {:04o}); allow it with: chmod o+x {0}",
                path.display(),
                meta.mode() & 0o7777
            ));
        }
    }
}

/// Missing directories above, which all may enter.
fn make_parents(dir: &Path) -> Result<(), PxeError> {
    let missing: Vec<&Path> = dir.ancestors().skip(1).take_while(|path| !path.exists()).collect();
    missing.into_iter().rev().try_for_each(make_dir)
}

fn names_in(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
