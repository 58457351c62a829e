//! Plugins in tests: built outside of the workspace, as an author would, and put where the staged program finds them.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// How long one call of the program may take before a test gives up on it.
const LIMIT: Duration = Duration::from_secs(60);

/// The top directory of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the workspace").to_owned()
}

/// The staged layout that is tested: `CDIST_DIST`, else `target/dist`. Links are resolved, as the program does.
///
/// # Panics
///
/// If nothing is staged.
#[must_use]
pub fn staged() -> PathBuf {
    let dist = env::var_os("CDIST_DIST").map_or_else(|| workspace().join("target/dist"), PathBuf::from);
    dist.canonicalize()
        .ok()
        .filter(|dist| dist.join("bin/cdist").is_file())
        .unwrap_or_else(|| panic!("{} is not staged: run `make build` first", dist.display()))
}

/// Builds the plugin crate in the directory `source` of the workspace, and returns its library.
///
/// # Panics
///
/// If it does not build; the message has the compiler's words.
#[must_use]
pub fn build(source: &str) -> PathBuf {
    build_with(source, "target/examples", &[])
}

/// As [`build`], below a target directory of its own with more settings for cargo.
fn build_with(source: &str, target: &str, settings: &[(&str, &str)]) -> PathBuf {
    // With `cargo test` all tests share a process, with nextest each has one of its own and a lock has to be a file.
    static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = workspace().join(target);
    let name = Path::new(source).file_name().expect("a crate has a directory").to_string_lossy();
    let library = target.join(format!("debug/lib{name}.so"));
    let key = format!("{} {source}", target.display());
    if done.contains(&key) {
        return library;
    }
    let _lock = lock(&target.join("lock"));
    let stamp = target.join(format!("{name}.run"));
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_default();
    if run.is_empty() || fs::read_to_string(&stamp).unwrap_or_default() != run || !library.is_file() {
        crate::lab::process::run(plugin_cargo("build", source, &target).envs(settings.iter().copied()));
        fs::write(&stamp, run).expect("writing the stamp of a plugin build");
    }
    done.push(key);
    library
}

/// Flags for compilers of C and C++ that let nothing doubtful pass.
pub const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Builds the plugin in the one file `source`, C or C++, with the staged header. Only its owner can write the library.
///
/// # Panics
///
/// If it does not build; the message has the compiler's words.
pub fn compile(source: &Path, library: &Path, flags: &[&str]) {
    let cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let (compiler, package) = if cpp { ("c++", "g++") } else { ("cc", "gcc") };
    let mut command = Command::new(crate::lab::process::tool(compiler, package));
    command.args(STRICT).args(flags).args(["-shared", "-fPIC", "-I"]).arg(include_dir());
    crate::lab::process::run(command.arg("-o").arg(library).arg(source));
    fs::set_permissions(library, fs::Permissions::from_mode(0o644)).expect("setting the mode of a plugin");
}

/// `make`, with neither the flags nor the jobs of a make that runs these tests.
///
/// # Panics
///
/// If it is not installed.
#[must_use]
pub fn make() -> Command {
    let mut make = Command::new(crate::lab::process::tool("make", "make"));
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
    make
}

/// The directory with the staged header `cdist_preos.h`.
///
/// # Panics
///
/// If nothing is staged.
#[must_use]
pub fn include_dir() -> PathBuf {
    staged().join("share/cdist/include")
}

/// A command of cargo in a plugin crate.
fn plugin_cargo(command: &str, source: &str, target: &Path) -> Command {
    let mut cargo = cargo();
    cargo.args([command, "--locked", "--quiet", "--manifest-path"]);
    cargo.arg(workspace().join(source).join("Cargo.toml")).arg("--target-dir").arg(target);
    // Many damaged copies are made of a library.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols");
    cargo
}

/// Does what continuous integration of the plugin crate `source` would do: format, lints, its tests. Returns what the tests
/// said.
///
/// # Panics
///
/// If one of them fails.
#[must_use]
pub fn check_crate(source: &str) -> String {
    let target = workspace().join("target/examples");
    let _lock = lock(&target.join("lock"));
    let manifest = workspace().join(source).join("Cargo.toml");
    crate::lab::process::run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest));
    let mut clippy = plugin_cargo("clippy", source, &target);
    crate::lab::process::run(clippy.args(["--all-targets", "--", "-D", "warnings"]));
    crate::lab::process::run(&mut plugin_cargo("test", source, &target))
}

/// The cargo that runs the tests, without what it set for them: a build script of a plugin must not see that.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_TARGET_DIR"
        {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Waits for and holds the lock file `path`.
///
/// # Panics
///
/// If the file cannot be made or locked.
#[must_use]
pub fn lock(path: &Path) -> Flock<File> {
    fs::create_dir_all(path.parent().expect("a lock file is in a directory")).expect("making a directory");
    let file = File::create(path).unwrap_or_else(|error| panic!("creating {}: {error}", path.display()));
    Flock::lock(file, FlockArg::LockExclusive)
        .unwrap_or_else(|(_, error)| panic!("locking {}: {error}", path.display()))
}

/// The library with the PreOSes `netbsd`, `freebsd` and `toolbox`.
#[must_use]
pub fn dummies() -> PathBuf {
    build("examples/dummies")
}

/// As [`dummies`], but a panic aborts.
#[must_use]
pub fn aborting_dummies() -> PathBuf {
    build_with("examples/dummies", "target/examples-abort", &[("CARGO_PROFILE_DEV_PANIC", "abort")])
}

/// The library with the PreOSes that misbehave.
#[must_use]
pub fn hostile() -> PathBuf {
    build("tests/fixtures/hostile")
}

/// As [`hostile`], but a panic aborts.
#[must_use]
pub fn aborting_hostile() -> PathBuf {
    build_with("tests/fixtures/hostile", "target/examples-abort", &[("CARGO_PROFILE_DEV_PANIC", "abort")])
}

/// The directory with the exhibits of a release of the plugin API, for this processor.
///
/// # Panics
///
/// If there are none.
#[must_use]
pub fn museum(release: &str) -> PathBuf {
    let dir = workspace().join("tests/museum").join(release).join(env::consts::ARCH);
    assert!(dir.is_dir(), "{} is not there: tests/museum/build makes it on such a machine", dir.display());
    dir
}

/// How a call of the program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status; 128 and the signal's number if a signal ended it.
    pub status: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    fn new(output: &Output) -> Self {
        Self {
            status: status_number(output.status),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The line of standard error that begins with `error: `.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    #[must_use]
    pub fn error(&self) -> &str {
        let mut lines = self.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
        let first = lines.next().unwrap_or_else(|| panic!("no error line: {self:#?}"));
        assert!(lines.next().is_none(), "more than one error line: {self:#?}");
        first
    }

    /// The files and reasons of all lines `skipped FILE: REASON`.
    #[must_use]
    pub fn skipped(&self) -> Vec<(&str, &str)> {
        let lines = self.stderr.lines().filter_map(|line| line.strip_prefix("skipped "));
        lines.filter_map(|line| line.split_once(": ")).collect()
    }
}

/// The exit status as a shell gives it.
#[must_use]
pub fn status_number(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// A home directory and plugin directories of a test's own, gone with it.
#[derive(Debug)]
pub struct Site {
    root: TempDir,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// Makes an empty home directory.
    ///
    /// # Panics
    ///
    /// If the directory for temporary files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let site = Self { root: tempfile::tempdir().expect("making a temporary directory") };
        let _ = site.dir("home");
        site
    }

    /// The directory that holds everything of this site.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Makes the directory `name` below the site, writable by its owner only whatever the umask is.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&path);
        made.unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
        path
    }

    /// `~/.cdist/preos`, made.
    #[must_use]
    pub fn home_plugins(&self) -> PathBuf {
        self.dir("home/.cdist/preos")
    }

    /// `cdist preos` with this home, without directories from the caller's environment.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command_of("preos")
    }

    /// As [`command`](Self::command), of another command of `cdist`.
    #[must_use]
    pub fn command_of(&self, name: &str) -> Command {
        let mut command = Command::new(staged().join("bin/cdist"));
        command.arg(name).stdin(Stdio::null()).current_dir(self.root());
        command.env("HOME", self.root().join("home")).env("COLUMNS", "120").env("NO_COLOR", "1");
        for name in ["CDIST_PREOS_PATH", "CDIST_PATH", "CDIST_BETA", "RUST_BACKTRACE", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// As [`command`](Self::command), but as an ordinary user if this is root. The directory `work` is everybody's.
    ///
    /// # Panics
    ///
    /// If the program cannot be copied to where that user can read it.
    #[must_use]
    pub fn command_without_root(&self) -> Command {
        self.command_without_root_of("preos")
    }

    /// As [`command_without_root`](Self::command_without_root), of another command of `cdist`.
    ///
    /// # Panics
    ///
    /// If the program cannot be copied to where that user can read it.
    #[must_use]
    pub fn command_without_root_of(&self, name: &str) -> Command {
        let own = self.command_of(name);
        if !nix::unistd::geteuid().is_root() {
            return own;
        }
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("opening a directory");
        };
        mode(self.root(), 0o755);
        mode(&self.dir("work"), 0o777);
        let program = self.dir("dist/bin").join("cdist");
        fs::copy(own.get_program(), &program).expect("copying the program");
        let mut command = Command::new(crate::lab::process::tool("setpriv", "util-linux"));
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(program)
            .args(own.get_args());
        for (name, value) in own.get_envs() {
            let _ = match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).current_dir(self.root());
        command
    }

    /// Runs `cdist preos` with the words.
    ///
    /// # Panics
    ///
    /// If it cannot be started or does not end within a minute.
    #[must_use]
    pub fn preos<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Outcome {
        finish(self.command().args(words))
    }

    /// Runs `cdist plugin` with the words.
    ///
    /// # Panics
    ///
    /// If it cannot be started or does not end within a minute.
    #[must_use]
    pub fn plugin<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Outcome {
        finish(self.command_of("plugin").args(words))
    }

    /// `text` without what differs from machine to machine: paths, the compiler.
    #[must_use]
    pub fn filtered(&self, text: &str) -> String {
        let compiler = compiler();
        let text = text.replace(&*staged().to_string_lossy(), "[DIST]");
        text.replace(&*self.root().to_string_lossy(), "[SITE]").replace(&compiler, "[RUSTC]")
    }
}

/// What `rustc --version` says here.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    crate::lab::process::run(Command::new(rustc).arg("--version")).trim().to_owned()
}

/// Runs a command to its end.
///
/// # Panics
///
/// If it cannot be started or does not end within a minute.
#[must_use]
pub fn finish(command: &mut Command) -> Outcome {
    finish_within(command, LIMIT).unwrap_or_else(|| panic!("did not end within {LIMIT:?}: {command:?}"))
}

/// Runs a command; `None` if it had to be killed because it did not end within `limit`.
///
/// # Panics
///
/// If it cannot be started.
#[must_use]
pub fn finish_within(command: &mut Command, limit: Duration) -> Option<Outcome> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id is an i32"));
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    // Kills by process id, which stays the child's until it is waited for below.
    let killer = thread::spawn(move || {
        let late = ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        late
    });
    let mut streams = (child.stdout.take(), child.stderr.take());
    let errors = streams.1.take().map(|mut stream| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
            bytes
        })
    });
    let mut stdout = Vec::new();
    if let Some(stream) = &mut streams.0 {
        let _ = std::io::Read::read_to_end(stream, &mut stdout);
    }
    let stderr = errors.and_then(|reader| reader.join().ok()).unwrap_or_default();
    // The killer may have given up waiting.
    let _ = sender.send(());
    let late = killer.join().expect("the killer thread ends");
    let status = child.wait().expect("waiting for a child");
    (!late).then(|| Outcome::new(&Output { status, stdout, stderr }))
}

/// Copies a library to `to`, readable by all and writable by its owner only.
///
/// # Panics
///
/// If it cannot be copied.
pub fn install(library: &Path, to: &Path) {
    let bytes = fs::read(library).unwrap_or_else(|error| panic!("reading {}: {error}", library.display()));
    install_bytes(&bytes, to);
}

/// As [`install`], of bytes that the test has changed.
///
/// # Panics
///
/// If the file cannot be written.
pub fn install_bytes(bytes: &[u8], to: &Path) {
    fs::write(to, bytes).unwrap_or_else(|error| panic!("writing {}: {error}", to.display()));
    fs::set_permissions(to, fs::Permissions::from_mode(0o644)).expect("setting the mode of a plugin");
}

/// Replaces `from` by `to`, of the same length, in the `_cdist_preos` text only.
///
/// # Panics
///
/// If the text is not in `bytes`, or `from` is not in the text.
#[must_use]
pub fn patch_text(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "a patch must not move anything");
    let position =
        |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|window| window == needle);
    let start = position(bytes, b"cdist-preos 1.").expect("the text is in the library");
    let at =
        position(&bytes[start..], from.as_bytes()).unwrap_or_else(|| panic!("{from:?} is not in the text"));
    let mut patched = bytes.to_vec();
    patched[start + at..start + at + to.len()].copy_from_slice(to.as_bytes());
    patched
}

/// Waits until `done`, and fails with `what` after a time.
///
/// # Panics
///
/// If it is not done within `limit`.
pub fn wait(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
