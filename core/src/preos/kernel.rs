//! The kernel of a root: which one to boot, and what it can unpack.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    fcntl::OFlag,
    sys::stat::{SFlag, fstat},
};

use super::compress::Compression;
use crate::{host::beneath, progress::Progress};

/// Debian's name for a kernel is this and its version.
const PREFIX: &str = "boot/vmlinuz-";

/// A kernel's build options have some 300 KB.
const CONFIG_MAX: u64 = 8 << 20;

/// The kernel cannot start from any initramfs without it.
const INITRD_OPTION: &str = "CONFIG_BLK_DEV_INITRD";

/// A kernel found in a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Such as `6.1.0-50-amd64`.
    pub version: String,
}

/// Why no kernel can be booted.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No file `vmlinuz-VERSION` is in `/boot`.
    #[error("no kernel in {}: there is no file vmlinuz-VERSION; install a kernel package", .0.display())]
    None(PathBuf),
    /// The kernel does without an initramfs.
    #[error(
        "kernel {0} is built without {INITRD_OPTION} and cannot start from an initramfs; install another kernel"
    )]
    NoInitrd(String),
    /// The kernel has no decompressor for it.
    #[error(
        "kernel {version} is built without {option} and cannot unpack {method}; compressions that work: {working}"
    )]
    Compression {
        /// The kernel.
        version: String,
        /// The option that is not set.
        option: &'static str,
        /// The compression asked for.
        method: &'static str,
        /// The compressions that the kernel can unpack.
        working: String,
    },
    /// `/boot` or a file in it cannot be read.
    #[error("reading {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Kernel {
    /// The newest kernel in `root`; a note tells which, if there are several.
    ///
    /// # Errors
    ///
    /// No kernel is installed, or `/boot` cannot be read.
    pub fn find(root: &Path, progress: &Progress) -> Result<Self, KernelError> {
        let mut versions = versions(root)?;
        // A release candidate comes before the release.
        let key = |version: &str| version.replace("-rc", "~rc").into_bytes();
        versions.sort_by(|a, b| compare_versions(&key(a), &key(b)));
        let version = versions.pop().ok_or_else(|| KernelError::None(root.join("boot")))?;
        if !versions.is_empty() {
            progress
                .note(format!("kernel {version} is taken, the newest; also there: {}", versions.join(", ")));
        }
        Ok(Self { version })
    }

    /// Opens the kernel in `root`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn open(&self, root: &Path) -> Result<File, KernelError> {
        open(root, &format!("{PREFIX}{}", self.version))
    }

    /// Checks by `/boot/config-VERSION` that the kernel can start from an initramfs with this compression.
    /// A note tells if that file is missing and nothing can be checked.
    ///
    /// # Errors
    ///
    /// The kernel lacks initramfs support or this compression, or the file cannot be read.
    pub fn check(
        &self,
        root: &Path,
        compression: Compression,
        progress: &Progress,
    ) -> Result<(), KernelError> {
        let name = format!("boot/config-{}", self.version);
        let read = |source| KernelError::Read { path: root.join(&name), source };
        let file = match open(root, &name) {
            Ok(file) => file,
            Err(KernelError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                progress.note(format!(
                    "there is no {}: whether the kernel can unpack {} was not checked",
                    root.join(&name).display(),
                    compression.method()
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut config = Vec::new();
        file.take(CONFIG_MAX).read_to_end(&mut config).map_err(read)?;
        self.check_config(&config, compression)
    }

    fn check_config(&self, config: &[u8], compression: Compression) -> Result<(), KernelError> {
        if !is_set(config, INITRD_OPTION) {
            return Err(KernelError::NoInitrd(self.version.clone()));
        }
        let works = |c: Compression| c.kernel_option().is_none_or(|option| is_set(config, option));
        match compression.kernel_option() {
            Some(option) if !works(compression) => Err(KernelError::Compression {
                version: self.version.clone(),
                option,
                method: compression.method(),
                working: Compression::all()
                    .into_iter()
                    .filter(|&c| works(c))
                    .map(Compression::method)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
            _ => Ok(()),
        }
    }
}

/// An option of these is built in or absent; a module could not be loaded yet.
fn is_set(config: &[u8], option: &str) -> bool {
    config
        .split(|&b| b == b'\n')
        .filter_map(|line| line.trim_ascii_end().strip_suffix(b"=y"))
        .any(|name| name == option.as_bytes())
}

fn open(root: &Path, name: &str) -> Result<File, KernelError> {
    let read = |source| KernelError::Read { path: root.join(name), source };
    let top = beneath::open_top(root).map_err(read)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = beneath::open_in_root(&top, name, flags).map_err(|e| read(e.into()))?;
    Ok(File::from(file))
}

fn versions(root: &Path) -> Result<Vec<String>, KernelError> {
    let boot = root.join("boot");
    let read = |source| KernelError::Read { path: boot.clone(), source };
    let top = beneath::open_top(root).map_err(read)?;
    let mut dir = match beneath::open_in_root(&top, "boot", OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Ok(fd) => Dir::from_fd(fd).map_err(|e| read(e.into()))?,
        Err(nix::errno::Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(read(errno.into())),
    };
    let mut versions = Vec::new();
    for entry in dir.iter() {
        let entry = entry.map_err(|e| read(e.into()))?;
        let version = entry.file_name().to_str().ok().and_then(|name| name.strip_prefix("vmlinuz-"));
        if let Some(version) = version
            && is_version(version)
            && is_file(&top, version)
        {
            versions.push(version.to_owned());
        }
    }
    Ok(versions)
}

/// dpkg and administrators leave copies with such endings.
fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && !text.contains(".dpkg-")
        && ![".old", ".bak", ".orig", "~"].iter().any(|ending| text.ends_with(ending))
}

fn is_file(top: impl AsFd, version: &str) -> bool {
    beneath::open_in_root(top, format!("{PREFIX}{version}").as_str(), OFlag::O_PATH)
        .and_then(fstat)
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Compares as dpkg does (deb-version(7)): digits as numbers, letters before other characters, `~` before
/// everything, even the end.
pub fn compare_versions(a: &[u8], b: &[u8]) -> Ordering {
    fn weight(c: Option<&u8>) -> i16 {
        match c {
            Some(b'~') => -1,
            None | Some(b'0'..=b'9') => 0,
            Some(&c) if c.is_ascii_alphabetic() => i16::from(c),
            Some(&c) => i16::from(c) + 256,
        }
    }
    fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
        let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        *text = rest;
        let zeroes = digits.iter().take_while(|&&c| c == b'0').count();
        &digits[zeroes..]
    }
    let (mut a, mut b) = (a, b);
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit())
        {
            match weight(a.first()).cmp(&weight(b.first())) {
                // Equal and not both at a number: the same character.
                Ordering::Equal => (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default()),
                unequal => return unequal,
            }
        }
        let (x, y) = (number(&mut a), number(&mut b));
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn root_with(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("boot")).unwrap();
        for file in files {
            fs::write(root.path().join("boot").join(file), "").unwrap();
        }
        root
    }

    #[test]
    fn takes_the_newest_kernel() {
        let root = root_with(&[
            "vmlinuz-6.1.0-9-amd64",
            "vmlinuz-6.1.0-50-amd64",
            "vmlinuz-6.1.0-50-rc3",
            "vmlinuz-6.1.0-51-amd64.dpkg-new",
            "vmlinuz-6.1.0-52-amd64.old",
            "vmlinuz-old",
            "initrd.img-7.0.0",
        ]);
        fs::create_dir(root.path().join("boot/vmlinuz-9.9")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("boot/vmlinuz-9.8")).unwrap();
        assert_eq!(Kernel::find(root.path(), &Progress::silent()).unwrap().version, "6.1.0-50-amd64");
    }

    #[test]
    fn says_that_there_is_no_kernel() {
        let root = root_with(&["config-6.1"]);
        let error = Kernel::find(root.path(), &Progress::silent()).unwrap_err();
        assert!(error.to_string().contains("/boot: there is no file vmlinuz-VERSION"), "{error}");
        fs::remove_dir_all(root.path().join("boot")).unwrap();
        assert!(matches!(Kernel::find(root.path(), &Progress::silent()), Err(KernelError::None(_))));
    }

    #[test]
    fn checks_the_options_of_the_kernel() {
        let kernel = Kernel { version: "6.1".to_owned() };
        let check = |config: &str, compression: &str| {
            let compression = compression.parse().unwrap();
            kernel.check_config(config.as_bytes(), compression).map_err(|e| e.to_string())
        };
        let config =
            "CONFIG_BLK_DEV_INITRD=y\n# CONFIG_RD_ZSTD is not set\nCONFIG_RD_GZIP=y\nCONFIG_RD_XZ=m\n";
        assert_eq!(check(config, "gzip"), Ok(()));
        assert_eq!(check(config, "none"), Ok(()));
        assert_eq!(
            check(config, "zstd:9").unwrap_err(),
            "kernel 6.1 is built without CONFIG_RD_ZSTD and cannot unpack zstd; compressions that work: gzip, none"
        );
        assert!(check(config, "xz").is_err());
        assert!(check("CONFIG_RD_GZIP=y", "gzip").unwrap_err().contains("CONFIG_BLK_DEV_INITRD"));
    }

    #[test]
    fn a_kernel_without_config_is_taken() {
        let root = root_with(&["vmlinuz-6.1"]);
        let kernel = Kernel::find(root.path(), &Progress::silent()).unwrap();
        kernel.check(root.path(), Compression::default(), &Progress::silent()).unwrap();
        fs::write(root.path().join("boot/config-6.1"), "").unwrap();
        kernel.check(root.path(), Compression::default(), &Progress::silent()).unwrap_err();
    }

    #[test]
    fn compares_like_dpkg() {
        // dpkg itself is the judge. It cuts a version at its last hyphen, so there are none here.
        let versions = [
            "5.10.0+9",
            "5.10.0+30",
            "6.1~rc2",
            "6.1",
            "6.1.0+9+amd64",
            "6.1.0+09+arm64",
            "6.1.0+10",
            "6.1a",
            "6.1+b",
            "6.1~",
            "6.01",
            "6.1.",
            "18446744073709551617.1",
            "18446744073709551616.2",
        ];
        for a in versions {
            for b in versions {
                let relation = match compare_versions(a.as_bytes(), b.as_bytes()) {
                    Ordering::Less => "lt",
                    Ordering::Equal => "eq",
                    Ordering::Greater => "gt",
                };
                let status = std::process::Command::new("dpkg")
                    .args(["--compare-versions", a, relation, b])
                    .status()
                    .unwrap();
                assert!(status.success(), "{a} {relation} {b}");
            }
        }
        let newest = |a: &str, b: &str| compare_versions(a.as_bytes(), b.as_bytes());
        assert_eq!(newest("6.1.0-9-amd64", "6.1.0-10-amd64"), Ordering::Less);
        assert_eq!(newest("6.1.0-10-amd64", "6.1.0-10-cloud-amd64"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn any_config_is_read(config: Vec<u8>) {
            let kernel = Kernel { version: String::new() };
            for compression in Compression::all() {
                let _ = kernel.check_config(&config, compression);
            }
        }

        #[test]
        fn versions_are_ordered(a in "[0-9a-c~+.-]{0,8}", b in "[0-9a-c~+.-]{0,8}", c in "[0-9a-c~+.-]{0,8}") {
            let le = |x: &str, y: &str| compare_versions(x.as_bytes(), y.as_bytes()).is_le();
            prop_assert_eq!(
                compare_versions(a.as_bytes(), b.as_bytes()),
                compare_versions(b.as_bytes(), a.as_bytes()).reverse()
            );
            prop_assert!(!(le(&a, &b) && le(&b, &c)) || le(&a, &c));
        }
    }
}
