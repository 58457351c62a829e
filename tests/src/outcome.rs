//! How a run of the program ended, and what it left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::lab::process::wait_until;

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs `command` to its end.
///
/// # Panics
///
/// If it cannot be started.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("starting the program");
    Outcome { status: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

impl Outcome {
    /// It did its work.
    ///
    /// # Panics
    ///
    /// With its messages, if not.
    #[track_caller]
    pub fn assert_ok(&self) {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
    }

    /// It ended with `status` and said one error, in which each of `words` stands.
    ///
    /// # Panics
    ///
    /// With its messages, if not.
    #[track_caller]
    pub fn assert_failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "not one error:\n{}", self.stderr);
        let (_, error) = self.stderr.split_once("error: ").unwrap_or_default();
        for word in words {
            assert!(error.contains(word), "{word:?} is not said:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// Says a measured figure; the runner shows it with `--success-output immediate`.
#[allow(clippy::print_stdout, reason = "the runner captures it")]
pub fn tell(figure: &str) {
    println!("{figure}");
}

/// Nothing is mounted below `dir`, no process works there, and no half-made tree lies in it.
///
/// # Panics
///
/// With the first that is found.
#[track_caller]
pub fn assert_no_trace(dir: &Path) {
    assert_no_mount_or_process(dir);
    for entry in fs::read_dir(dir).expect("reading the directory of the test").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with('.'), "{name} is left in {}", dir.display());
    }
}

/// Nothing is mounted below `dir` and no process works there, after some seconds at most: the kernel takes a namespace apart
/// in the background.
///
/// # Panics
///
/// With the first that is found.
#[track_caller]
pub fn assert_no_mount_or_process(dir: &Path) {
    let dir = dir.canonicalize().expect("finding the directory of the test");
    let clean = wait_until(Duration::from_secs(10), || {
        (mounts_below(&dir).is_empty() && processes_below(&dir).is_empty()).then_some(())
    });
    assert!(clean.is_some(), "left behind: {:?} {:?}", mounts_below(&dir), processes_below(&dir));
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("reading the mount table");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| Path::new(point).starts_with(dir) && Path::new(point) != dir)
        .map(str::to_owned)
        .collect()
}

/// Processes whose command line names `dir`, or which stand in it.
fn processes_below(dir: &Path) -> Vec<String> {
    let shown = dir.to_string_lossy().into_owned();
    let numbers = fs::read_dir("/proc").expect("reading /proc").flatten().map(|entry| entry.path());
    let found = numbers.filter(|path| {
        let within = |link: &str| fs::read_link(path.join(link)).is_ok_and(|to: PathBuf| to.starts_with(dir));
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&shown) || within("root") || within("cwd")
    });
    found
        .map(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            format!("{}: {}", path.display(), String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}
