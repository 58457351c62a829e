//! The mount table of this process.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// See proc(5): the mounts that this process can see.
const TABLE: &str = "/proc/self/mountinfo";

/// All mount points, in the order they were mounted; one that is mounted over appears again.
///
/// # Errors
///
/// The table cannot be read, as without `/proc`.
pub fn mount_points() -> io::Result<Vec<PathBuf>> {
    Ok(mounts()?.into_iter().map(|(point, _)| point).collect())
}

/// As [`mount_points`], with the options that each mount has beside those of its file system: `rw,noexec,relatime`.
///
/// # Errors
///
/// The table cannot be read, as without `/proc`.
pub fn mounts() -> io::Result<Vec<(PathBuf, String)>> {
    Ok(parse(&fs::read(TABLE)?))
}

/// The mount points at `path` or beneath it, the deepest first, which is the order to unmount them in.
///
/// `path` must be absolute and without symbolic links.
///
/// # Errors
///
/// The table cannot be read.
pub fn mounts_under(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = mount_points()?.into_iter().filter(|m| m.starts_with(path)).collect();
    found.reverse();
    found.sort_by_key(|m| std::cmp::Reverse(m.components().count()));
    Ok(found)
}

/// The fifth field of each line is the mount point, with blanks and backslashes written as `\040`; the sixth its options.
fn parse(table: &[u8]) -> Vec<(PathBuf, String)> {
    table
        .split(|&b| b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|&b| b == b' ').skip(4);
            let point = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
            Some((point, String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned()))
        })
        .collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = rest {
            out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_mount_points_with_odd_names() {
        let table = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 22 0:5 / /dev\\040x/\\134y rw - devtmpfs udev rw\n";
        let options = |text: &str| text.to_owned();
        let expected = [("/".into(), options("rw,relatime")), ("/dev x/\\y".into(), options("rw"))];
        assert_eq!(parse(table), expected);
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(mount_points().unwrap().contains(&PathBuf::from("/")));
        assert_eq!(mounts_under(Path::new("/")).unwrap().last(), Some(&PathBuf::from("/")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(table: Vec<u8>) {
            parse(&table);
        }

        #[test]
        fn escaped_names_come_back(name: Vec<u8>) {
            let escaped: Vec<u8> = name.iter().flat_map(|b| format!("\\{b:03o}").into_bytes()).collect();
            prop_assert_eq!(unescape(&escaped), name);
        }
    }
}
