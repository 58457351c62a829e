//! The archive format of an initramfs: cpio, "new ASCII" (newc).
//!
//! The format is in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst: a header of 110
//! characters in hexadecimal, the name with its NUL, the content; name and content are padded so that the next
//! part begins at a multiple of 4. All numbers have 32 bits.

use std::io::{self, Write};

/// The longest name, without its NUL; the kernel skips longer ones without a word.
pub(super) const NAME_MAX: usize = 4095;

/// Ends an archive. A file of this name would end it early.
pub(super) const TRAILER: &[u8] = b"TRAILER!!!";

/// Readers of tapes expect whole blocks; the kernel takes zeroes between and after archives.
const BLOCK: u64 = 512;

/// What a header says about an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// Number that entries of one hard-linked file share.
    pub(super) ino: u32,
    /// Type and permission bits, as in `st_mode`.
    pub(super) mode: u32,
    /// Owner.
    pub(super) uid: u32,
    /// Group.
    pub(super) gid: u32,
    /// How many names of the file are in the archive; the kernel looks for a link from 2 on.
    pub(super) nlink: u32,
    /// Seconds since 1970.
    pub(super) mtime: u32,
    /// Bytes of content that follow.
    pub(super) size: u32,
    /// Major and minor number of a device.
    pub(super) rdev: (u32, u32),
}

/// Writes an archive entry by entry.
#[derive(Debug)]
pub(super) struct NewcWriter<W> {
    out: W,
    written: u64,
    scratch: Vec<u8>,
}

impl<W: Write> NewcWriter<W> {
    /// An archive that goes to `out`.
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0, scratch: Vec::with_capacity(4608) }
    }

    /// Begins an entry. `header.size` bytes of [`content`](Self::content) must follow, then
    /// [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn begin(&mut self, name: &[u8], header: &Header) -> io::Result<()> {
        let mut head = std::mem::take(&mut self.scratch);
        head.clear();
        // Device numbers of the file itself are 0: all entries lie on one device, and the build
        // machine's number would make archives differ. The last field is for the crc format only.
        let name_size = u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fields = [
            header.ino,
            header.mode,
            header.uid,
            header.gid,
            header.nlink,
            header.mtime,
            header.size,
            0,
            0,
            header.rdev.0,
            header.rdev.1,
            name_size,
            0,
        ];
        head.extend_from_slice(b"070701");
        for field in fields {
            write!(head, "{field:08X}")?;
        }
        head.extend_from_slice(name);
        head.push(0);
        head.resize(head.len().next_multiple_of(4), 0);
        let result = self.put(&head);
        self.scratch = head;
        result
    }

    /// A part of the content of the entry just begun.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    /// Ends an entry.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.pad(4)
    }

    /// Ends the archive; hands back the writer, which is not flushed, and the size of the archive in bytes.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.begin(TRAILER, &Header { nlink: 1, ..Header::default() })?;
        self.pad(BLOCK)?;
        Ok((self.out, self.written))
    }

    fn pad(&mut self, multiple: u64) -> io::Result<()> {
        const ZEROES: [u8; BLOCK as usize] = [0; BLOCK as usize];
        let gap = self.written.next_multiple_of(multiple) - self.written;
        self.put(ZEROES.get(..usize::try_from(gap).unwrap_or(0)).unwrap_or_default())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_and_the_trailer() {
        let mut archive = NewcWriter::new(Vec::new());
        let header = Header { ino: 1, mode: 0o100_644, nlink: 1, mtime: 10, size: 3, ..Header::default() };
        archive.begin(b"ab", &header).unwrap();
        archive.content(b"xyz").unwrap();
        archive.end().unwrap();
        let (bytes, size) = archive.finish().unwrap();
        assert_eq!(size, 512);
        let fields = "00000001 000081A4 00000000 00000000 00000001 0000000A 00000003 00000000 00000000 00000000 \
                      00000000 00000003 00000000";
        assert_eq!(bytes[..6], *b"070701");
        assert_eq!(bytes[6..110], *fields.replace(' ', "").as_bytes());
        assert_eq!(bytes[110..120], *b"ab\0\0\0\0xyz\0");
        assert_eq!(bytes.len(), 512);
        assert!(bytes[120 + 110..].starts_with(b"TRAILER!!!\0"));
    }
}
