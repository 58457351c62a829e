//! Writing the entries of a listed root, in order.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, readlinkat},
    sys::stat::{SFlag, fstat},
};

use super::{
    InitramfsError, Packed,
    newc::{Header, NewcWriter},
    scan::{self, Entry, Tree},
};
use crate::{
    host::{Cancel, beneath},
    preos::compress::Encoder,
    progress::{Step, Unit},
};

/// Files are read in pieces of this size; smaller files are collected until there is as much.
const CHUNK: usize = 256 * 1024;

/// How often the progress is told, in bytes.
const TELL_EVERY: u64 = 4 << 20;

/// Packs a [`Tree`], entry by entry.
pub(super) struct Packer<'a, W: Write> {
    root: &'a Path,
    tree: &'a Tree,
    newest: i64,
    archive: NewcWriter<BufWriter<Encoder<W>>>,
    /// Of linked files: the inode number in the archive and how many names are still to come.
    numbers: HashMap<(u64, u64), (u32, u32)>,
    next_number: u32,
    buffer: Vec<u8>,
    without_xattrs: u64,
    done: u64,
    told: u64,
    step: &'a Step,
    cancel: &'a Cancel,
}

impl<'a, W: Write> Packer<'a, W> {
    /// Packs `tree`, listed from `root`, to `encoder`; no time will be later than `newest`.
    pub(super) fn new(
        root: &'a Path,
        tree: &'a Tree,
        newest: u64,
        encoder: Encoder<W>,
        step: &'a Step,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            root,
            tree,
            newest: i64::from(u32::try_from(newest).unwrap_or(u32::MAX)),
            archive: NewcWriter::new(BufWriter::with_capacity(CHUNK, encoder)),
            numbers: HashMap::new(),
            next_number: 1,
            buffer: vec![0; CHUNK],
            without_xattrs: tree.with_xattrs,
            done: 0,
            told: 0,
            step,
            cancel,
        }
    }

    /// Adds the next entry of the tree.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), InitramfsError> {
        self.check_cancel()?;
        let links = if entry.linked { self.tree.links.get(&entry.file).copied().unwrap_or(1) } else { 1 };
        let (ino, last) = self.number(entry, links);
        let mut header = Header {
            ino,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            // A directory's count differs between file systems, and nothing reads it.
            nlink: if entry.kind() == SFlag::S_IFDIR { 2 } else { links },
            mtime: u32::try_from(entry.mtime.clamp(0, self.newest)).unwrap_or(0),
            size: 0,
            rdev: entry.rdev,
        };
        match entry.kind() {
            SFlag::S_IFLNK => {
                let target = self.link_target(entry)?;
                header.size = u32::try_from(target.len()).unwrap_or(u32::MAX);
                self.begin(entry, &header)?;
                self.content(&target)?;
            }
            // All names but the last are empty: cpio(1) expects the content there, and the kernel
            // fills the file it has made for the first name.
            SFlag::S_IFREG if last => self.add_file(entry, header)?,
            _ => self.begin(entry, &header)?,
        }
        self.archive.end().map_err(InitramfsError::Write)
    }

    /// The entry's inode number in the archive, and whether it is the last name of its file.
    fn number(&mut self, entry: &Entry, links: u32) -> (u32, bool) {
        if links > 1
            && let Some((ino, left)) = self.numbers.get_mut(&entry.file)
        {
            *left -= 1;
            return (*ino, *left == 0);
        }
        let ino = self.next_number;
        self.next_number += 1;
        if links > 1 {
            self.numbers.insert(entry.file, (ino, links - 1));
        }
        (ino, links == 1)
    }

    fn link_target(&self, entry: &Entry) -> Result<Vec<u8>, InitramfsError> {
        beneath::open_beneath(&self.tree.top, OsStr::from_bytes(&entry.path), OFlag::O_PATH)
            .and_then(|link| readlinkat(link, ""))
            .map(|target| target.as_bytes().to_vec())
            .map_err(|errno| self.read_error(entry, errno))
    }

    fn add_file(&mut self, entry: &Entry, mut header: Header) -> Result<(), InitramfsError> {
        // Without O_NONBLOCK a fifo put in the file's place would stop us for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let path = OsStr::from_bytes(&entry.path);
        let mut file = beneath::open_beneath(&self.tree.top, path, flags)
            .map(File::from)
            .map_err(|errno| self.read_error(entry, errno))?;
        self.check_unchanged(entry, &file)?;
        self.without_xattrs += u64::from(scan::has_xattrs(&file));
        header.size = u32::try_from(entry.size).unwrap_or(u32::MAX);
        self.begin(entry, &header)?;

        let mut left = entry.size;
        let mut buffer = std::mem::take(&mut self.buffer);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let got = match file.read(&mut buffer[..want]) {
                Ok(0) => return Err(InitramfsError::Changed(self.shown(entry))),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(InitramfsError::Read { path: self.shown(entry), source }),
            };
            self.content(&buffer[..got])?;
            left -= got as u64;
            self.tell(got as u64);
            self.check_cancel()?;
        }
        self.buffer = buffer;
        self.check_unchanged(entry, &file)
    }

    fn check_unchanged(&self, entry: &Entry, file: &File) -> Result<(), InitramfsError> {
        match fstat(file) {
            Ok(stat) if entry.is_still(&stat) => Ok(()),
            Ok(_) => Err(InitramfsError::Changed(self.shown(entry))),
            Err(errno) => Err(self.read_error(entry, errno)),
        }
    }

    fn begin(&mut self, entry: &Entry, header: &Header) -> Result<(), InitramfsError> {
        self.archive.begin(&entry.path, header).map_err(InitramfsError::Write)
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), InitramfsError> {
        self.archive.content(bytes).map_err(InitramfsError::Write)
    }

    fn tell(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done - self.told >= TELL_EVERY {
            self.told = self.done;
            self.step.advance(self.done, Some(self.tree.bytes), Unit::Bytes);
        }
    }

    /// Gives up without waiting for what is being compressed: the process is about to end, and at high levels the
    /// workers of zstd need many seconds for their jobs, which freeing their memory would wait for.
    pub(super) fn abandon(self) {
        std::mem::forget(self.archive);
    }

    fn check_cancel(&self) -> Result<(), InitramfsError> {
        if self.cancel.is_cancelled() { Err(InitramfsError::Cancelled) } else { Ok(()) }
    }

    fn shown(&self, entry: &Entry) -> PathBuf {
        scan::shown(self.root, &entry.path)
    }

    fn read_error(&self, entry: &Entry, errno: Errno) -> InitramfsError {
        match errno {
            Errno::EXDEV => InitramfsError::FileIsMountPoint(self.shown(entry)),
            // It was there a moment ago and no link.
            Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR => InitramfsError::Changed(self.shown(entry)),
            _ => InitramfsError::Read { path: self.shown(entry), source: errno.into() },
        }
    }

    /// Ends the archive and the compression.
    pub(super) fn finish(self) -> Result<Packed, InitramfsError> {
        let (buffered, archive_size) = self.archive.finish().map_err(InitramfsError::Write)?;
        let encoder = buffered.into_inner().map_err(|e| InitramfsError::Write(e.into_error()))?;
        encoder.finish().map_err(InitramfsError::Write)?;
        self.step.advance(self.done, Some(self.tree.bytes), Unit::Bytes);
        Ok(Packed {
            entries: self.tree.entries.len() as u64,
            archive_size,
            without_xattrs: self.without_xattrs,
            sockets: self.tree.sockets.len() as u64,
            mounts: self.tree.mounts.len() as u64,
        })
    }
}
