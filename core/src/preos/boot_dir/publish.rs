//! Putting a finished PXE directory in its place.
//!
//! There are two cases. The place is free: one rename. There is a directory already: our files are replaced one by
//! one, the configuration last. The directory itself stays, because a TFTP server may have entered it, as with
//! chroot, and would serve a removed one for ever.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{BootDirError, CONFIG, CONFIG_DIR, INITRAMFS, KERNEL, LOADER, make_dir, write_error};
use crate::{
    host::atomic::{TemporaryDir, sync_parent},
    progress::Progress,
    trust,
};

/// In the order in which single files are replaced, the configuration last: a machine that boots meanwhile reads the old
/// configuration, which fits the new files as well.
const FILES: [&str; 5] = [LOADER[0].0, LOADER[1].0, KERNEL, INITRAMFS, CONFIG];

/// The real path of a directory that may not exist yet: symbolic links are followed, so that a rename replaces
/// what they lead to.
pub(super) fn resolve(dir: &Path) -> Result<PathBuf, BootDirError> {
    let read = |source| BootDirError::Read { path: dir.to_owned(), source };
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
pub(super) fn check_apart(root: &Path, dir: &Path) -> Result<(), BootDirError> {
    let read = |source| BootDirError::Read { path: root.to_owned(), source };
    let root = fs::canonicalize(root).map_err(read)?;
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let within = |inner: &Path, outer: &Path| {
        inner.starts_with(outer)
            || inode(outer).is_some_and(|outer| inner.ancestors().any(|path| inode(path) == Some(outer)))
    };
    if within(dir, &root) || within(&root, dir) {
        return Err(BootDirError::Nested { dir: dir.to_owned(), root });
    }
    Ok(())
}

/// Refuses, before anything is written, what the files could not replace.
pub(super) fn check_in_the_way(dir: &Path) -> Result<(), BootDirError> {
    let in_the_way = |path: PathBuf, expected| Err(BootDirError::InTheWay { path, expected });
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

/// Refuses, as root, a directory that others can change: they could make a link of a name that is written to. A sticky one
/// will do, because its files are replaced by a rename.
pub(super) fn trust_dir(dir: &Path) -> Result<(), BootDirError> {
    trust::way_for_root("the PXE directory", dir)?;
    Ok(trust::place_for_root("the directory", &dir.join(CONFIG_DIR))?)
}

/// Makes the directory to fill: on the file system of `dir`, beside it if there is none yet, else in it.
pub(super) fn stage(dir: &Path) -> Result<TemporaryDir, BootDirError> {
    make_parents(dir)?;
    let beside = if dir.exists() { dir.join("pxe") } else { dir.to_owned() };
    let stage = TemporaryDir::beside(&beside).map_err(write_error(&beside))?;
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755))
        .map_err(write_error(stage.path()))?;
    Ok(stage)
}

/// Puts the filled directory in place.
pub(super) fn publish(stage: TemporaryDir, dir: &Path) -> Result<(), BootDirError> {
    let fail = write_error(dir);
    sync_dir(&stage.path().join(CONFIG_DIR)).and_then(|()| sync_dir(stage.path())).map_err(&fail)?;
    // It may have come into being while the root was being packed.
    trust_dir(dir)?;
    if dir.exists() {
        merge(stage.path(), dir)?;
        stage.remove().map_err(&fail)?;
    } else {
        fs::rename(stage.path(), dir).map_err(&fail)?;
        stage.keep();
    }
    sync_parent(dir).map_err(&fail)
}

fn merge(stage: &Path, dir: &Path) -> Result<(), BootDirError> {
    let config_dir = dir.join(CONFIG_DIR);
    if config_dir.is_dir() {
        // Some tools leave it without the right to enter.
        fs::set_permissions(&config_dir, fs::Permissions::from_mode(0o755))
            .map_err(write_error(&config_dir))?;
    } else {
        fs::create_dir_all(dir).map_err(write_error(dir))?;
        make_dir(&config_dir)?;
        trust_dir(dir)?;
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
fn make_parents(dir: &Path) -> Result<(), BootDirError> {
    let missing: Vec<&Path> = dir.ancestors().skip(1).take_while(|path| !path.exists()).collect();
    missing.into_iter().rev().try_for_each(make_dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
