//! Packing a root file system as an initramfs.
//!
//! The archive is written while the tree is read, and compressed by other threads meanwhile. The same tree
//! gives the same bytes, in whatever order and on whatever device it was made: names are sorted, inodes are
//! numbered anew, times are not later than the date of the source.
//!
//! What an initramfs cannot hold is told: sockets and extended attributes are left out, and a directory on which
//! something is mounted is packed empty.

mod exclude;
mod newc;
mod pack;
mod scan;
mod source_date;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

pub use exclude::Exclude;
pub use source_date::source_date;

use super::compress::{Compression, Encoder};
use crate::{host::Cancel, progress::Progress};
use pack::Packer;
use scan::Tree;

/// How to pack.
#[derive(Clone, Debug, Default)]
pub struct InitramfsOptions {
    /// How to compress the archive.
    pub compression: Compression,
    /// No file is newer than this in the archive, in seconds since 1970: `SOURCE_DATE_EPOCH`.
    /// Without it the date comes from the tree, see [`source_date`].
    pub source_date: Option<u64>,
    /// What to leave out.
    pub exclude: Exclude,
}

/// What has been packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Entries of the archive.
    pub entries: u64,
    /// Size of the archive before compression, in bytes.
    pub archive_size: u64,
    /// Files and directories whose extended attributes were left out.
    pub without_xattrs: u64,
    /// Sockets left out.
    pub sockets: u64,
    /// Directories packed empty because something is mounted on them.
    pub mounts: u64,
}

/// Why a root could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file or directory of the root cannot be read.
    #[error("reading {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written: no space, or the compressor failed.
    #[error("writing the initramfs")]
    Write(#[source] io::Error),
    /// The format has 32 bits for the size.
    #[error("{} has {size} bytes, but a file in an initramfs has at most {}; remove it or leave it out", .path.display(), u32::MAX)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The kernel skips such entries.
    #[error("the path {} is too long: within the root the kernel takes {} bytes", .0.display(), newc::NAME_MAX)]
    NameTooLong(PathBuf),
    /// The name that ends an archive.
    #[error("{} has the name that ends an archive; rename or remove it", .0.display())]
    Trailer(PathBuf),
    /// Something writes to the root.
    #[error("{} changed while it was being packed; stop what writes to it and pack again", .0.display())]
    Changed(PathBuf),
    /// A file on which another is mounted cannot be seen.
    #[error("{} is a mount point; unmount it and pack again", .0.display())]
    FileIsMountPoint(PathBuf),
    /// The user asked to stop.
    #[error("cancelled while packing the initramfs")]
    Cancelled,
}

/// Packs `root` to `out`, which is neither flushed nor synced.
///
/// # Errors
///
/// See [`InitramfsError`]; what was written until then is of no use.
pub fn write_initramfs(
    root: &Path,
    out: impl Write,
    options: &InitramfsOptions,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Packed, InitramfsError> {
    let step = progress.step("pack the initramfs");
    let tree = Tree::scan(root, &options.exclude, cancel)?;
    let newest = options.source_date.unwrap_or_else(|| source_date(root));
    let encoder = Encoder::new(out, options.compression).map_err(InitramfsError::Write)?;
    let mut packer = Packer::new(root, &tree, newest, encoder, &step, cancel);
    for entry in &tree.entries {
        match packer.add(entry) {
            Ok(()) => {}
            Err(InitramfsError::Cancelled) => {
                packer.abandon();
                return Err(InitramfsError::Cancelled);
            }
            Err(error) => return Err(error),
        }
    }
    let packed = packer.finish()?;
    tell_left_out(&tree, &packed, progress);
    step.finish(format!("{} files, {} MiB before compression", packed.entries, packed.archive_size >> 20));
    Ok(packed)
}

fn tell_left_out(tree: &Tree, packed: &Packed, progress: &Progress) {
    for mount in &tree.mounts {
        progress.warning(format!(
            "{} is a mount point: the initramfs has an empty directory there",
            mount.display()
        ));
    }
    if let Some(first) = tree.sockets.first() {
        progress.note(format!(
            "left out {} sockets, which an initramfs cannot hold; the first is {}",
            tree.sockets.len(),
            first.display()
        ));
    }
    if packed.without_xattrs > 0 {
        progress.note(format!(
            "left out the extended attributes of {} files, such as capabilities and ACLs, which an initramfs cannot hold",
            packed.without_xattrs
        ));
    }
}
