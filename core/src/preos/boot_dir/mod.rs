//! The directory a machine boots from over the network.
//!
//! ```text
//! pxelinux.0            the boot loader (BIOS), from the root's package pxelinux
//! ldlinux.c32           its second part, from syslinux-common
//! pxelinux.cfg/default  what to boot
//! kernel  initramfs     the PreOS
//! ```
//!
//! All is written beside the final place and moved there when it is complete. TFTP servers run without privilege, so everything
//! is readable by all; but not an initramfs with secrets, which the group of the TFTP server can read (`secrets`).

mod publish;
mod secrets;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    sys::stat::{SFlag, fstat},
};

use super::{
    initramfs::{InitramfsError, InitramfsOptions, Packed, write_initramfs},
    kernel::{Kernel, KernelError},
};
use crate::{
    host::{Cancel, beneath},
    progress::Progress,
};

/// Boot loader files: name in the directory, path in the root, package.
const LOADER: [(&str, &str, &str); 2] = [
    ("pxelinux.0", "usr/lib/PXELINUX/pxelinux.0", "pxelinux"),
    ("ldlinux.c32", "usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"),
];
const KERNEL: &str = "kernel";
const INITRAMFS: &str = "initramfs";
const CONFIG_DIR: &str = "pxelinux.cfg";
const CONFIG: &str = "pxelinux.cfg/default";

/// `COMMAND_LINE_SIZE` of the kernel on x86, less what PXELINUX adds (`BOOT_IMAGE=`, `initrd=`,
/// `BOOTIF=`).
const PARAMS_MAX: usize = 2048 - 64;

/// What the kernel starts in an initramfs unless `rdinit=` says otherwise.
const INIT: &str = "/init";

/// What goes into a PXE directory.
#[derive(Clone, Debug)]
pub struct BootDirOptions {
    /// How to pack the root.
    pub initramfs: InitramfsOptions,
    /// Kernel parameters, one or more words each.
    pub kernel_params: Vec<String>,
    /// The group whose members, and root, are the only ones that can read the initramfs.
    pub group: Option<String>,
}

impl Default for BootDirOptions {
    /// Messages on screen and first serial line, interfaces named `eth0` and so on. There is no `root=`: the
    /// initramfs is the root and stays it.
    fn default() -> Self {
        let kernel_params = ["console=tty0", "console=ttyS0,115200", "net.ifnames=0"];
        Self {
            initramfs: InitramfsOptions::default(),
            kernel_params: kernel_params.map(str::to_owned).to_vec(),
            group: None,
        }
    }
}

/// What has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootDirSummary {
    /// Version of the kernel.
    pub kernel: String,
    /// Bytes of the kernel.
    pub kernel_size: u64,
    /// Bytes of the compressed initramfs.
    pub initramfs_size: u64,
    /// What the initramfs holds.
    pub packed: Packed,
}

/// Why there is no new PXE directory. An older one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BootDirError {
    /// The directory would be packed into its own initramfs, or would hold the root.
    #[error("the PXE directory {} and the root {} lie one within the other; choose another directory", .dir.display(), .root.display())]
    Nested {
        /// The PXE directory.
        dir: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// A part of the boot loader is not in the root.
    #[error("{} is missing; install the package {package} in the root", .path.display())]
    NoLoader {
        /// Where it should be.
        path: PathBuf,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The kernel would find nothing to start.
    #[error("the root {} has no program {init}, which the kernel starts first; make it a link to /sbin/init", .root.display())]
    NoInit {
        /// The root.
        root: PathBuf,
        /// The program, as the kernel would call it.
        init: String,
    },
    /// It would end the line of the configuration.
    #[error("kernel parameter {0:?} has a control character; remove it")]
    Parameter(String),
    /// The kernel would cut them off.
    #[error("the kernel parameters have {0} bytes, at most {PARAMS_MAX} can be used")]
    ParametersTooLong(usize),
    /// The group that is to read the initramfs is not known on this machine.
    #[error("there is no group {0:?} on this machine; name that of the TFTP server")]
    Group(String),
    /// Something of another kind has the place of one of our files.
    #[error("{} is in the way: it is not a {expected}; move it away", .path.display())]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("reading {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Others could exchange what is written.
    #[error(transparent)]
    Untrusted(#[from] crate::trust::Untrusted),
    /// No kernel fits.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The root cannot be packed.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
}

/// Writes the netboot directory `dir` for the PreOS in `root`.
///
/// A directory that holds files of others too, as a TFTP root may, keeps them; ours are then replaced one by one,
/// the configuration last.
///
/// # Errors
///
/// See [`BootDirError`]. Everything that can be checked is checked before the root is packed.
pub fn write_boot_dir(
    root: &Path,
    dir: &Path,
    options: &BootDirOptions,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<BootDirSummary, BootDirError> {
    let step = progress.step("write the PXE directory");
    let progress = step.inner();
    let config = config(&options.kernel_params)?;
    let group = options.group.as_deref().map(secrets::group).transpose()?;
    let dir = publish::resolve(dir)?;
    publish::check_apart(root, &dir)?;
    publish::check_in_the_way(&dir)?;
    publish::trust_dir(&dir)?;
    let top =
        beneath::open_top(root).map_err(|source| BootDirError::Read { path: root.to_owned(), source })?;
    check_init(root, &top, &options.kernel_params)?;
    let loader: Vec<_> = LOADER
        .into_iter()
        .map(|(name, path, package)| Ok((name, open_loader(root, &top, path, package)?)))
        .collect::<Result<_, BootDirError>>()?;
    let kernel = Kernel::find(root, &progress)?;
    kernel.check(root, options.initramfs.compression, &progress)?;

    let stage = publish::stage(&dir)?;
    let at = |name: &str| stage.path().join(name);
    for (name, file) in loader {
        copy(file, &at(name))?;
    }
    let kernel_size = copy(kernel.open(root)?, &at(KERNEL))?;
    let initramfs = create(&at(INITRAMFS))?;
    let secret = secrets::find(&top);
    if secret.is_some() || group.is_some() {
        secrets::close(&initramfs, group).map_err(write_error(&at(INITRAMFS)))?;
    }
    let packed = write_initramfs(root, &initramfs, &options.initramfs, &progress, cancel)?;
    let initramfs_size = finish(&initramfs, &at(INITRAMFS))?;
    make_dir(&at(CONFIG_DIR))?;
    let mut file = create(&at(CONFIG))?;
    file.write_all(config.as_bytes()).map_err(write_error(&at(CONFIG)))?;
    finish(&file, &at(CONFIG))?;
    if cancel.is_cancelled() {
        return Err(InitramfsError::Cancelled.into());
    }
    publish::publish(stage, &dir)?;
    publish::warn_if_unreachable(&dir, &progress);
    if let (Some(secret), None) = (secret, group) {
        progress.warning(format!(
            "{} holds {secret}, so only root can read it; let the TFTP server read it with --pxe-group GROUP",
            dir.join(INITRAMFS).display()
        ));
    }
    let summary = BootDirSummary { kernel: kernel.version, kernel_size, initramfs_size, packed };
    step.finish(format!(
        "kernel {} and an initramfs of {} MiB in {}",
        summary.kernel,
        initramfs_size >> 20,
        dir.display()
    ));
    Ok(summary)
}

/// The text of `pxelinux.cfg/default`. `SYSAPPEND 2` tells the PreOS which card it came by: `BOOTIF=01-` and the MAC address
/// with hyphens (syslinux.cfg(5)).
fn config(params: &[String]) -> Result<String, BootDirError> {
    if let Some(bad) = params.iter().find(|p| p.contains(char::is_control)) {
        return Err(BootDirError::Parameter(bad.clone()));
    }
    let line = params.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ");
    if line.len() > PARAMS_MAX {
        return Err(BootDirError::ParametersTooLong(line.len()));
    }
    let append = if line.is_empty() { String::new() } else { format!("  APPEND {line}\n") };
    Ok(format!(
        "DEFAULT preos\nLABEL preos\n  KERNEL {KERNEL}\n  INITRD {INITRAMFS}\n{append}  SYSAPPEND 2\n"
    ))
}

fn check_init(root: &Path, top: impl AsFd, params: &[String]) -> Result<(), BootDirError> {
    let words = params.iter().flat_map(|p| p.split_whitespace());
    let init = words.filter_map(|word| word.strip_prefix("rdinit=")).next_back().unwrap_or(INIT);
    let executable = beneath::open_in_root(top, init, OFlag::O_PATH).and_then(fstat).is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG && stat.st_mode & 0o111 != 0
    });
    if executable {
        Ok(())
    } else {
        Err(BootDirError::NoInit { root: root.to_owned(), init: init.to_owned() })
    }
}

fn open_loader(root: &Path, top: impl AsFd, path: &str, package: &'static str) -> Result<File, BootDirError> {
    let shown = root.join(path);
    match beneath::open_in_root(top, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
        Ok(fd) => Ok(File::from(fd)),
        Err(nix::errno::Errno::ENOENT) => Err(BootDirError::NoLoader { path: shown, package }),
        Err(errno) => Err(BootDirError::Read { path: shown, source: errno.into() }),
    }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> BootDirError {
    move |source| BootDirError::Write { path: path.to_owned(), source }
}

/// A new file that all may read, whatever the umask is.
fn create(path: &Path) -> Result<File, BootDirError> {
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(write_error(path))?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(write_error(path))?;
    Ok(file)
}

/// A new directory that all may enter.
fn make_dir(path: &Path) -> Result<(), BootDirError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(write_error(path))
}

/// Brings the file to the disk and tells its size.
fn finish(file: &File, path: &Path) -> Result<u64, BootDirError> {
    file.sync_all().and_then(|()| file.metadata()).map(|meta| meta.len()).map_err(write_error(path))
}

fn copy(mut from: File, path: &Path) -> Result<u64, BootDirError> {
    let mut to = create(path)?;
    io::copy(&mut from, &mut to).map_err(write_error(path))?;
    finish(&to, path)
}
