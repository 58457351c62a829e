//! The staged program, and one real PreOS that all tests look at.
//!
//! A bootstrap takes a minute or more, and each test runs in a process of its own. So the PreOS lies below `target`,
//! and is made anew only when the staged files are others than those it was made with.

use std::{
    fmt::Write,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

pub use crate::plugins::workspace;
use crate::{
    lab::{
        mirror,
        process::{require_root, run, tool},
    },
    plugins::{build, install, staged},
};

/// The release that is bootstrapped.
pub const SUITE: &str = "bookworm";
/// The port of [`TRIGGER`].
pub const TRIGGER_PORT: u16 = 3000;
/// The trigger of the shared PreOS. The address is that of the host in QEMU's user network, and of the bridge in the lab's
/// own network; the server always is in a namespace, where the port is free.
pub const TRIGGER: &str = "/usr/bin/curl --fail --silent --show-error http://10.0.2.2:3000/install/";

/// The staged program.
///
/// # Panics
///
/// If nothing is staged.
#[must_use]
pub fn program() -> PathBuf {
    staged().join("bin/cdist")
}

/// The directory for what tests share.
fn cache() -> PathBuf {
    let dir = workspace().join("target/test-preos");
    fs::create_dir_all(&dir).expect("making the directory that tests share");
    dir.canonicalize().expect("finding the directory that tests share")
}

/// The program, without anything of the caller's that would change what it does.
#[must_use]
pub fn cdist() -> Command {
    let mut command = Command::new(program());
    command.env("HOME", workspace().join("target/test-preos/home"));
    for name in ["SOURCE_DATE_EPOCH", "CDIST_PATH", "CDIST_PREOS_PATH", "CDIST_BETA", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// `cdist preos debian TARGET`.
#[must_use]
pub fn debian(target: &Path) -> Command {
    let mut command = cdist();
    command.args(["preos", "debian"]).arg(target);
    command
}

/// `cdist preos debian TARGET -b` from this machine's mirror.
#[must_use]
pub fn bootstrap(target: &Path) -> Command {
    let mut command = debian(target);
    command.args(["-b", "-s", SUITE, "-m", &mirror::debian(SUITE)]);
    command
}

/// `cdist preos NAME TARGET` with the plugin that is built of `examples/NAME`, as an outsider would, and put into `dir`.
///
/// # Panics
///
/// If it does not build.
#[must_use]
pub fn example(name: &str, dir: &Path, target: &Path) -> Command {
    let library = build(&format!("examples/{name}"));
    install(&library, &dir.join(format!("{name}.so")));
    let mut command = cdist();
    command.args(["preos", "--plugin-dir"]).arg(dir).arg(name).arg(target);
    command
}

/// The shared PreOS. Its files belong to all tests: look at them, but change only a [`copy`](Self::copy_root).
#[derive(Debug)]
pub struct Build {
    dir: PathBuf,
}

impl Build {
    /// The root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The netboot directory.
    #[must_use]
    pub fn pxe(&self) -> PathBuf {
        self.dir.join("pxe")
    }

    /// The private ssh key that may log in; the public one lies beside it.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// What the build said on standard error.
    ///
    /// # Panics
    ///
    /// If the log of the build is gone.
    #[must_use]
    pub fn messages(&self) -> String {
        fs::read_to_string(self.dir.join("messages")).expect("reading what the build said")
    }

    /// A copy of the root that may be changed: `root` in a directory of its own, on the same file system.
    ///
    /// # Panics
    ///
    /// If it cannot be copied.
    #[must_use]
    pub fn copy_root(&self) -> TempDir {
        let copy = scratch();
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(self.root()).arg(copy.path()));
        copy
    }
}

/// A directory for big things, gone on drop.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("scratch").tempdir_in(cache()).expect("making a directory for a root")
}

/// The shared PreOS, made now if there is none of these staged files: the seed's walk.
///
/// # Panics
///
/// Without root or a mirror, or if the build fails.
#[must_use]
pub fn shared_build() -> Build {
    require_root("building a PreOS");
    let cache = cache();
    let lock = File::create(cache.join("lock")).expect("opening the lock of the shared PreOS");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("waiting for another test's build");
    let build = Build { dir: cache.join("shared") };
    let stamp = staged_files();
    if fs::read_to_string(build.dir.join("stamp")).is_ok_and(|found| found == stamp) {
        return build;
    }
    run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&build.dir));
    fs::create_dir_all(&build.dir).expect("making a directory for the shared PreOS");
    make_key(&build.key());
    let mut command = bootstrap(&build.root());
    command.arg("-C").arg("-k").arg(build.key().with_extension("pub")).arg("-p").arg(build.pxe());
    command.args(["-t", TRIGGER]);
    // None of these must have any effect; the last three would break a build.
    for (name, value) in [
        ("suite", "x"),
        ("arch", "y"),
        ("mirror", "z"),
        ("target_dir", "/proc/none"),
        ("APT_CONFIG", "/proc/none"),
        ("TAR_OPTIONS", "--nonsense"),
        ("DPKG_ROOT", "/proc/none"),
    ] {
        command.env(name, value);
    }
    let output = command.output().expect("starting cdist");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {command:?}\n{messages}", output.status);
    fs::write(build.dir.join("messages"), messages.as_bytes()).expect("keeping what the build said");
    // Last: what is not stamped is not whole.
    fs::write(build.dir.join("stamp"), stamp).expect("stamping the shared PreOS");
    build
}

/// An ed25519 key pair at `file`, with a comment that holds what quoting gets wrong.
///
/// # Panics
///
/// If `ssh-keygen` is missing or fails.
pub fn make_key(file: &Path) {
    let comment = r#"lab's 100%s %d "key" $HOME `id` \n back\slash"#;
    let mut keygen = Command::new(tool("ssh-keygen", "openssh-client"));
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(file));
}

/// Path, size and time of each staged file.
fn staged_files() -> String {
    let _ = program();
    let mut lines = Vec::new();
    let mut waiting = vec![staged()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).expect("reading the staged files").flatten() {
            let path = entry.path();
            let metadata = fs::metadata(&path).expect("looking at a staged file");
            if metadata.is_dir() {
                waiting.push(path);
            } else {
                let (size, seconds, rest) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
                lines.push(format!("{} {size} {seconds}.{rest:09}", path.display()));
            }
        }
    }
    lines.sort();
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}
