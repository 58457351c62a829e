//! What a command inside a PreOS root needs: `/proc`, `/sys`, `/dev`, `/run`, name resolution, and services that
//! stay off.
//!
//! A bootstrap leaves these directories empty, and package scripts read them. The build runs in its own mount
//! namespace, so the host never sees the mounts and the kernel drops them even after SIGKILL. The host's devices
//! are not shown: scripts of mdadm and lvm2 would look for arrays on the machine that builds.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, SFlag, makedev, mknod},
};

use crate::host::{Command, mounts};

/// A mount or a file of the preparation failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", .path.display())]
pub struct ChrootError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

fn at(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> ChrootError {
    move |source| ChrootError { doing, path: path.to_owned(), source }
}

/// A program that says "do not start this service" (invoke-rc.d(8), policy-rc.d interface).
const POLICY: &str = "usr/sbin/policy-rc.d";
/// What that program says: no service may be started.
const POLICY_TEXT: &str = "#!/bin/sh\nexit 101\n";
/// Where systemd-resolved's link `/etc/resolv.conf` points to.
const STUB_RESOLV_CONF: &str = "run/systemd/resolve/stub-resolv.conf";
/// Where the system itself has its programs.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where programs stand that shall resolve names like this machine, in front of the system's.
const NAMES_DIR: &str = "run/cdist-names";
/// The script that stands there under the names of such programs.
///
/// A mount on `/etc/resolv.conf` for the whole chroot would hide the image's own file from programs that write it. So each
/// program gets a mount namespace, and what it installs is found by the next call.
const NAMES_SCRIPT: &str = include_str!("chroot_names.sh");
/// The programs that ask for names while an image is configured.
const ASK_FOR_NAMES: [&str; 13] = [
    "apk", "apt", "apt-get", "aptitude", "curl", "dnf", "git", "pacman", "pip", "pip3", "wget", "yum",
    "zypper",
];
/// Name, major, minor of the devices that scripts may use (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// A root that commands can be run in.
///
/// Finish with [`close`](Self::close): it reports a busy mount, and nothing may be packed over one. Dropping
/// unmounts too, for the early return by `?`, but can only log.
#[derive(Debug)]
#[must_use = "dropping this unmounts the file systems at once"]
pub struct PreparedRoot {
    root: PathBuf,
    /// In mount order.
    mounted: Vec<PathBuf>,
}

impl PreparedRoot {
    /// Prepares `root`, which a bootstrap has filled. Its links are not followed out of it.
    ///
    /// # Errors
    ///
    /// The first mount or file that fails; what was made before is taken back.
    pub fn open(root: &Path) -> Result<Self, ChrootError> {
        let root = root.canonicalize().map_err(at("finding", root))?;
        let mut chroot = Self { root, mounted: Vec::new() };
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        chroot.mount("proc", "proc", quiet, "")?;
        chroot.mount("sys", "sysfs", quiet | MsFlags::MS_RDONLY, "")?;
        chroot.mount("dev", "tmpfs", MsFlags::MS_NOSUID, "mode=755,size=1m")?;
        chroot.make_devices()?;
        // The work directory of the engine is there, and what it transfers is as large as it is.
        chroot.mount("run", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755")?;
        chroot.resolve_names()?;
        chroot.keep_services_off()?;
        Ok(chroot)
    }

    fn mount(&mut self, name: &str, kind: &str, flags: MsFlags, data: &str) -> Result<(), ChrootError> {
        let point = self.root.join(name);
        // A link here would lead the mount out of the root.
        match fs::symlink_metadata(&point) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(at("mounting on", &point)(io::Error::from(io::ErrorKind::NotADirectory))),
            Err(_) => fs::create_dir(&point).map_err(at("making the mount point", &point))?,
        }
        mount(Some(kind), &point, Some(kind), flags, (!data.is_empty()).then_some(data))
            .map_err(|errno| at("mounting on", &point)(errno.into()))?;
        self.mounted.push(point);
        Ok(())
    }

    fn make_devices(&mut self) -> Result<(), ChrootError> {
        let dev = self.root.join("dev");
        for (name, major, minor) in DEVICES {
            let path = dev.join(name);
            mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))
                .map_err(|errno| at("making the device", &path)(errno.into()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).map_err(at("opening up", &path))?;
        }
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
            ("ptmx", "pts/ptmx"),
        ];
        for (name, target) in links {
            symlink(target, dev.join(name)).map_err(at("making the link", &dev.join(name)))?;
        }
        for name in ["pts", "shm"] {
            fs::create_dir(dev.join(name)).map_err(at("making the directory", &dev.join(name)))?;
        }
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        self.mount("dev/pts", "devpts", quiet, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
        self.mount("dev/shm", "tmpfs", quiet | MsFlags::MS_NODEV, "mode=1777,size=16m")
    }

    /// Lets names be resolved as on this machine, while the image's own `/etc/resolv.conf` stays what it is.
    fn resolve_names(&self) -> Result<(), ChrootError> {
        let Ok(host) = fs::read("/etc/resolv.conf") else { return Ok(()) };
        let stub = self.root.join(STUB_RESOLV_CONF);
        let dir = self.root.join("run/systemd/resolve");
        fs::create_dir_all(&dir).map_err(at("making the directory", &dir))?;
        fs::write(&stub, host).map_err(at("writing", &stub))?;
        let dir = self.root.join(NAMES_DIR);
        fs::create_dir_all(&dir).map_err(at("making the directory", &dir))?;
        let script = dir.join(".run");
        fs::write(&script, NAMES_SCRIPT).map_err(at("writing", &script))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(at("writing", &script))?;
        for name in ASK_FOR_NAMES {
            // Not for what is not there: others ask whether it is.
            if SYSTEM_PATH.split(':').any(|path| {
                self.root.join(path.trim_start_matches('/')).join(name).symlink_metadata().is_ok()
            }) {
                symlink(".run", dir.join(name)).map_err(at("making the link", &dir.join(name)))?;
            }
        }
        Ok(())
    }

    /// `$PATH` for commands inside, with the programs that resolve names like this machine in front.
    pub fn path() -> String {
        format!("/{NAMES_DIR}:{SYSTEM_PATH}")
    }

    fn keep_services_off(&self) -> Result<(), ChrootError> {
        let policy = self.root.join(POLICY);
        // A policy that the image has comes from its administrator, and stays.
        if policy.symlink_metadata().is_ok() {
            return Ok(());
        }
        if let Some(dir) = policy.parent().filter(|dir| dir.is_dir()) {
            fs::write(&policy, POLICY_TEXT).map_err(at("writing", &policy))?;
            fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).map_err(at("writing", dir))?;
        }
        Ok(())
    }

    /// A command that runs `program` inside.
    pub fn command<'a>(&self, program: &str) -> Command<'a> {
        Command::new("chroot")
            .arg(&self.root)
            .arg(program)
            .env("PATH", SYSTEM_PATH)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("SYSTEMD_OFFLINE", "1")
    }

    /// Takes everything back.
    ///
    /// # Errors
    ///
    /// A file system that is still in use.
    pub fn close(mut self) -> Result<(), ChrootError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), ChrootError> {
        let policy = self.root.join(POLICY);
        // Also that of a build that was killed, which is the same.
        let ours = policy.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
            && fs::read(&policy).is_ok_and(|text| text == POLICY_TEXT.as_bytes());
        if ours {
            fs::remove_file(&policy).map_err(at("removing", &policy))?;
        }
        while let Some(point) = self.mounted.pop() {
            umount2(&point, MntFlags::UMOUNT_NOFOLLOW)
                .map_err(|errno| at("unmounting", &point)(errno.into()))?;
        }
        Ok(())
    }
}

impl Drop for PreparedRoot {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            tracing::warn!("{error}: {}; it vanishes when the build's process ends", error.source);
        }
    }
}

/// Unmounts whatever is mounted below `tree`, as a killed bootstrap program leaves it. Only for the build's own
/// mount namespace: detaching there is invisible to the host.
pub fn detach_mounts_below(tree: &Path) {
    for point in mounts::mounts_under(tree).unwrap_or_default() {
        if point != tree {
            // Removing the tree refuses a mount point, and says which.
            let _ = umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
    }
}
