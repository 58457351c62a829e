//! The newest time that may appear in an archive.

use std::{os::fd::AsFd, path::Path};

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag},
    sys::stat::{fstat, fstatat},
};

use crate::host::beneath;

/// Here dpkg keeps the control files of packages.
const PACKAGE_INFO: &str = "var/lib/dpkg/info";

/// The date of the newest package in `root`, in seconds since 1970: the default for the newest time in the
/// archive, so that two builds from the same packages are the same without `SOURCE_DATE_EPOCH` too.
///
/// dpkg keeps the times of the packages' control files, which are those of their source. Without dpkg it is the
/// time of `/etc/os-release`, without that 0.
pub fn source_date(root: &Path) -> u64 {
    let Ok(top) = beneath::open_top(root) else { return 0 };
    newest_package(&top)
        .or_else(|| {
            let file = beneath::open_in_root(&top, "etc/os-release", OFlag::O_PATH).ok()?;
            fstat(&file).ok().map(|stat| stat.st_mtime)
        })
        .map_or(0, |seconds| u64::try_from(seconds).unwrap_or(0))
}

fn newest_package(top: impl AsFd) -> Option<i64> {
    let fd = beneath::open_in_root(top, PACKAGE_INFO, OFlag::O_RDONLY | OFlag::O_DIRECTORY).ok()?;
    let mut dir = Dir::from_fd(fd).ok()?;
    let names: Vec<_> = dir.iter().filter_map(|e| Some(e.ok()?.file_name().to_owned())).collect();
    names
        .iter()
        // Maintainer scripts and lists are written at installation.
        .filter(|name| name.to_bytes().ends_with(b".md5sums"))
        .filter_map(|name| fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok())
        .map(|stat| stat.st_mtime)
        .max()
}
