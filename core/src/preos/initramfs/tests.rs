//! The archive as a reader sees it, with a reader of its own and with cpio(1).

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    process::{Command, Stdio},
};

use nix::{
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::host::beneath;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    name: Vec<u8>,
    ino: u32,
    mode: u32,
    nlink: u32,
    mtime: u32,
    rdev: (u32, u32),
    content: Vec<u8>,
}

/// Reads an archive as the kernel does, without its leniency.
fn read(archive: &[u8]) -> Vec<Read> {
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "at {at}");
        let field = |n: usize| {
            let text = &archive[at + 6 + 8 * n..at + 14 + 8 * n];
            u32::from_str_radix(std::str::from_utf8(text).unwrap(), 16).unwrap()
        };
        let name_end = at + 110 + field(11) as usize - 1;
        assert_eq!(archive[name_end], 0);
        let content_start = (name_end + 1).next_multiple_of(4);
        let content_end = content_start + field(6) as usize;
        let entry = Read {
            name: archive[at + 110..name_end].to_vec(),
            ino: field(0),
            mode: field(1),
            nlink: field(4),
            mtime: field(5),
            rdev: (field(9), field(10)),
            content: archive[content_start..content_end].to_vec(),
        };
        at = content_end.next_multiple_of(4);
        if entry.name == newc::TRAILER {
            assert!(archive[at..].iter().all(|&b| b == 0) && archive.len().is_multiple_of(512));
            return entries;
        }
        entries.push(entry);
    }
}

fn plain() -> InitramfsOptions {
    InitramfsOptions { compression: Compression::None, source_date: Some(1_000_000), ..Default::default() }
}

fn pack(root: &Path, options: &InitramfsOptions) -> Result<(Vec<u8>, Packed), InitramfsError> {
    let mut out = Vec::new();
    let packed = write_initramfs(root, &mut out, options, &Progress::silent(), &Cancel::default())?;
    assert!(options.compression != Compression::None || packed.archive_size == out.len() as u64);
    Ok((out, packed))
}

fn names(root: &Path, options: &InitramfsOptions) -> Vec<String> {
    let (archive, _) = pack(root, options).unwrap();
    read(&archive).into_iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect()
}

/// A small root with one of each kind that needs no privilege.
fn sample() -> TempDir {
    let dir = tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir(root.join("usr-local")).unwrap();
    fs::write(root.join("usr/bin/sh"), "shell").unwrap();
    fs::set_permissions(root.join("usr/bin/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("usr/bin/sh"), root.join("usr/bin/dash")).unwrap();
    fs::hard_link(root.join("usr/bin/sh"), root.join("zsh")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("big"), vec![7; 700_001]).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink("/proc/none", root.join("dangling")).unwrap();
    mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd \xff\n name")), "odd").unwrap();
    dir
}

#[test]
fn holds_all_kinds_sorted() {
    let dir = sample();
    let (archive, packed) = pack(dir.path(), &plain()).unwrap();
    let entries = read(&archive);
    let listed: Vec<_> = entries.iter().map(|e| e.name.as_slice()).collect();
    let expected: [&[u8]; 14] = [
        b".",
        b"big",
        b"bin",
        b"dangling",
        b"empty",
        b"fifo",
        b"odd \xff\n name",
        b"usr",
        b"usr-local",
        b"usr/bin",
        b"usr/bin/dash",
        b"usr/bin/sh",
        b"zsh",
        b"",
    ];
    assert_eq!(listed, expected[..13]);
    assert_eq!(packed.entries, 13);
    let by_name: BTreeMap<_, _> = entries.iter().map(|e| (e.name.as_slice(), e)).collect();
    assert_eq!(by_name[b"big".as_slice()].content, vec![7; 700_001]);
    assert_eq!(by_name[b"bin".as_slice()].content, b"usr/bin");
    assert_eq!(by_name[b"fifo".as_slice()].mode, 0o010_600);
    assert!(entries.iter().all(|e| e.mtime == 1_000_000), "all files are newer than the source date");

    // One inode for the three names, the content with the last.
    let shells = [b"usr/bin/dash".as_slice(), b"usr/bin/sh", b"zsh"].map(|n| by_name[n]);
    assert!(shells.iter().all(|e| e.nlink == 3 && e.ino == shells[0].ino && e.mode == 0o104_755));
    assert_eq!(shells.map(|e| e.content.len()), [0, 0, 5]);
    let mut numbers: Vec<_> = entries.iter().map(|e| e.ino).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
}

#[test]
fn old_times_stay() {
    let dir = tempdir().unwrap();
    let file = File::create(dir.path().join("old")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(77)).unwrap();
    let (archive, _) = pack(dir.path(), &plain()).unwrap();
    assert_eq!(read(&archive)[1].mtime, 77);
}

#[test]
fn leaves_out_what_is_excluded_and_counts_links_without_it() {
    let dir = sample();
    let exclude = Exclude::new(["/usr/bin/*", "/usr-local", "/o*", "/big"]);
    let options = InitramfsOptions { exclude, ..plain() };
    assert_eq!(
        names(dir.path(), &options),
        [".", "bin", "dangling", "empty", "fifo", "usr", "usr/bin", "zsh"]
    );
    let (archive, _) = pack(dir.path(), &options).unwrap();
    let shell = read(&archive).pop().unwrap();
    assert_eq!((shell.nlink, shell.content.as_slice()), (1, b"shell".as_slice()));
}

#[test]
fn sockets_are_left_out_and_counted() {
    let dir = tempdir().unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let (archive, packed) = pack(dir.path(), &plain()).unwrap();
    assert_eq!((read(&archive).len(), packed.sockets), (1, 1));
}

#[test]
fn refuses_what_the_format_cannot_hold() {
    let dir = tempdir().unwrap();
    File::create(dir.path().join("huge")).unwrap().set_len(1 << 32).unwrap();
    let error = pack(dir.path(), &plain()).unwrap_err().to_string();
    assert!(error.contains("/huge has 4294967296 bytes"), "{error}");
    fs::rename(dir.path().join("huge"), dir.path().join("TRAILER!!!")).unwrap();
    assert!(matches!(pack(dir.path(), &plain()), Err(InitramfsError::Trailer(_))));
    let options = InitramfsOptions { exclude: Exclude::new(["TRAILER*"]), ..plain() };
    assert_eq!(names(dir.path(), &options), ["."]);
}

#[test]
fn long_paths() {
    let dir = tempdir().unwrap();
    let mut top = beneath::open_top(dir.path()).unwrap();
    // 15 x 256 + 255 = 4095, the longest that fits.
    for name in ["d".repeat(255)].iter().cycle().take(15) {
        nix::sys::stat::mkdirat(&top, name.as_str(), Mode::S_IRWXU).unwrap();
        top = beneath::open_beneath(&top, name.as_str(), nix::fcntl::OFlag::O_RDONLY).unwrap();
    }
    let create = |name: &str| {
        let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_WRONLY;
        File::from(nix::fcntl::openat(&top, name, flags, Mode::S_IRWXU).unwrap())
    };
    create(&"f".repeat(255)).write_all(b"deep").unwrap();
    let (archive, _) = pack(dir.path(), &plain()).unwrap();
    let last = read(&archive).pop().unwrap();
    assert_eq!((last.name.len(), last.content.as_slice()), (4095, b"deep".as_slice()));

    nix::sys::stat::mkdirat(&top, "e", Mode::S_IRWXU).unwrap();
    let e = beneath::open_beneath(&top, "e", nix::fcntl::OFlag::O_RDONLY).unwrap();
    nix::sys::stat::mkdirat(&e, "g".repeat(254).as_str(), Mode::S_IRWXU).unwrap();
    assert!(matches!(pack(dir.path(), &plain()), Err(InitramfsError::NameTooLong(_))));
}

/// Changes a file when the packer writes what comes before it.
struct Meddler<'a, F: FnMut()>(&'a mut F);

impl<F: FnMut()> Write for Meddler<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pack_while(root: &Path, mut meddle: impl FnMut()) -> InitramfsError {
    let out = Meddler(&mut meddle);
    write_initramfs(root, out, &plain(), &Progress::silent(), &Cancel::default()).unwrap_err()
}

#[test]
fn a_file_that_changes_is_named() {
    for size in [0, 100, 3 << 20] {
        let dir = sample();
        let zsh = dir.path().join("zsh");
        let error = pack_while(dir.path(), || File::create(&zsh).unwrap().set_len(size).unwrap());
        assert!(matches!(&error, InitramfsError::Changed(path) if *path == zsh), "{error}");
    }
    let dir = sample();
    let big = dir.path().join("big");
    let error = pack_while(dir.path(), || File::create(&big).unwrap().set_len(300_000).unwrap());
    assert!(matches!(&error, InitramfsError::Changed(path) if *path == big), "cut while read: {error}");
    let dir = sample();
    let zsh = dir.path().join("zsh");
    let error = pack_while(dir.path(), || {
        let _ = fs::remove_file(&zsh);
        let _ = symlink("/etc/shadow", &zsh);
    });
    assert!(matches!(&error, InitramfsError::Changed(path) if *path == zsh), "a link instead: {error}");
}

#[test]
fn a_full_disk_and_a_cancel_are_errors() {
    let dir = sample();
    let full = File::options().write(true).open("/dev/full").unwrap();
    for compression in Compression::all() {
        let options = InitramfsOptions { compression, ..plain() };
        let error = write_initramfs(dir.path(), &full, &options, &Progress::silent(), &Cancel::default())
            .unwrap_err();
        let InitramfsError::Write(source) = error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{compression}");
    }
    let cancel = Cancel::default();
    cancel.cancel();
    let error = write_initramfs(dir.path(), io::sink(), &plain(), &Progress::silent(), &cancel).unwrap_err();
    assert!(matches!(error, InitramfsError::Cancelled));
}

/// Unpacks with cpio(1) into a new directory.
fn unpack(archive: &[u8]) -> TempDir {
    let dir = tempdir().unwrap();
    let mut child = Command::new("cpio")
        .args(["-idmu", "--quiet", "--no-absolute-filenames"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .expect("cpio(1) is needed by this test");
    child.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(child.wait().unwrap().success());
    dir
}

#[test]
fn cpio_restores_the_same_tree() {
    let dir = sample();
    let (archive, _) = pack(dir.path(), &plain()).unwrap();
    let restored = unpack(&archive);
    let inode = |name: &str| fs::symlink_metadata(restored.path().join(name)).unwrap().ino();
    assert_eq!(inode("zsh"), inode("usr/bin/sh"));
    assert_eq!(inode("zsh"), inode("usr/bin/dash"));
    assert_eq!(fs::read(restored.path().join("usr/bin/dash")).unwrap(), b"shell");
    let (again, _) = pack(restored.path(), &plain()).unwrap();
    // cpio restores into a directory of mode 0700, the rest must be the same.
    assert_eq!(read(&again)[1..], read(&archive)[1..]);
}

#[test]
fn the_date_of_the_source() {
    let dir = tempdir().unwrap();
    assert_eq!(source_date(dir.path()), 0);
    let dated = |name: &str, seconds| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::create(path).unwrap().set_modified(time).unwrap();
    };
    dated("usr/lib/os-release", 5000);
    fs::create_dir(dir.path().join("etc")).unwrap();
    symlink("/usr/lib/os-release", dir.path().join("etc/os-release")).unwrap();
    assert_eq!(source_date(dir.path()), 5000);
    dated("var/lib/dpkg/info/a.md5sums", 6000);
    dated("var/lib/dpkg/info/b.md5sums", 7000);
    dated("var/lib/dpkg/info/b.list", 9000);
    assert_eq!(source_date(dir.path()), 7000);
}

/// Needs CAP_MKNOD.
#[test]
fn privileged_devices_and_owners_are_kept() {
    let dir = tempdir().unwrap();
    let null = dir.path().join("null");
    mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).expect("run as root");
    fs::hard_link(&null, dir.path().join("zero")).unwrap();
    mknod(&dir.path().join("sda"), SFlag::S_IFBLK, Mode::S_IRUSR, makedev(8, 300)).unwrap();
    std::os::unix::fs::chown(dir.path().join("sda"), Some(65_534), Some(70_000)).unwrap();
    let (archive, _) = pack(dir.path(), &plain()).unwrap();
    let devices: Vec<_> = read(&archive).into_iter().map(|e| (e.rdev, e.mode >> 12, e.nlink)).collect();
    assert_eq!(devices[1..], [((1, 3), 2, 2), ((8, 300), 6, 1), ((1, 3), 2, 2)]);
    let restored = unpack(&archive);
    let sda = fs::symlink_metadata(restored.path().join("sda")).unwrap();
    assert_eq!((sda.uid(), sda.gid(), sda.rdev()), (65_534, 70_000, makedev(8, 300)));
    let inode = |name: &str| fs::symlink_metadata(restored.path().join(name)).unwrap().ino();
    assert_eq!(inode("null"), inode("zero"));
}

/// One file of a random tree: path and content.
type Files = BTreeMap<Vec<Vec<u8>>, Vec<u8>>;

fn any_files() -> impl Strategy<Value = Files> {
    let byte = prop_oneof![1_u8..b'/', b'0'..=255];
    let name =
        prop::collection::vec(byte, 1..6).prop_filter("names of the system", |n| n != b"." && n != b"..");
    let path = prop::collection::vec(name, 1..4);
    prop::collection::btree_map(path, prop::collection::vec(any::<u8>(), 0..40), 0..12)
}

fn make<'a>(files: impl Iterator<Item = (&'a Vec<Vec<u8>>, &'a Vec<u8>)>) -> TempDir {
    let dir = tempdir().unwrap();
    for (path, content) in files {
        // A name may be both a file and a directory in what was drawn: each directory gets a suffix.
        let mut at = dir.path().to_owned();
        for name in &path[..path.len() - 1] {
            at.push(std::ffi::OsString::from_vec([name.as_slice(), b".d"].concat()));
        }
        fs::create_dir_all(&at).unwrap();
        let file = at.join(OsStr::from_bytes(&path[path.len() - 1]));
        if !file.is_dir() {
            fs::write(file, content).unwrap();
        }
    }
    dir
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_tree_gives_the_same_bytes(files in any_files().prop_filter("clash", |f| {
        f.keys().all(|p| !p[p.len() - 1].ends_with(b".d"))
    })) {
        let one = make(files.iter());
        let other = make(files.iter().rev());
        let (archive, _) = pack(one.path(), &plain()).unwrap();
        prop_assert!(archive == pack(other.path(), &plain()).unwrap().0);
        let found: BTreeMap<_, _> = read(&archive)
            .into_iter()
            .filter(|e| e.mode >> 12 == 8)
            .map(|e| (e.name, e.content))
            .collect();
        let expected: BTreeMap<_, _> = files
            .iter()
            .map(|(path, content)| (path.join(b".d/".as_slice()), content.clone()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
