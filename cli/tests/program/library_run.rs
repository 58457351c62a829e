//! The engine as a PreOS build uses it: one host, nothing left behind. The program is there for the type calls.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cdist_core::{
    config::{self, ConfigError, Manifest, Run, RunReport},
    connector::Local,
    host::quote,
};

/// A configuration directory, a place for temporary files, and a work directory on the "target".
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(lab.path("tmp")).unwrap();
        lab.write("type/__step/parameter/optional", "text\n");
        lab.write("type/__step/explorer/look", "cat \"$__object/parameter/text\" 2>/dev/null || :");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("conf").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn run(&self, manifest: impl Into<Vec<u8>>) -> Run {
        let program = Path::new(env!("CARGO_BIN_EXE_cdist"));
        let manifest = Manifest::Bytes(manifest.into());
        let mut run = Run::new("preos", vec![self.path("conf")], manifest, Arc::new(Local::new()), program);
        run.remote_dir = self.path("remote");
        run.temporary = self.path("tmp");
        run
    }

    fn configure(&self, run: Run) -> Result<RunReport, ConfigError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let result = runtime.block_on(config::configure(run));
        assert!(!self.path("remote").exists(), "work directory on the target");
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "temporary files");
        result
    }
}

#[test]
fn a_value_with_any_bytes_reaches_the_target() {
    let lab = Lab::new();
    let target = lab.path("it's the target");
    // Code runs on the target, where it finds the object's parameters.
    let code = format!("echo 'cp \"$__object/parameter/text\" {}'", quote_in_single(&target));
    lab.write("type/__step/gencode-remote", &code);
    let value: Vec<u8> = (1..=255).filter(|b| *b != b'\n').collect();
    let mut line = b"__step 'a b' --text ".to_vec();
    line.extend_from_slice(quote::posix(std::ffi::OsStr::from_bytes(&value)).as_bytes());
    for jobs in [None, std::num::NonZeroUsize::new(3)] {
        let mut run = lab.run(line.clone());
        run.jobs = jobs;
        let report = lab.configure(run).unwrap();
        assert_eq!((report.objects, report.changed.len()), (1, 1));
        assert!(report.remote_calls > 0);
        assert_eq!(fs::read(&target).unwrap(), [value.as_slice(), b"\n"].concat());
        fs::remove_file(&target).unwrap();
    }
}

/// A path as a shell word inside a word in single quotes.
fn quote_in_single(path: &Path) -> String {
    quote::posix(path).to_string_lossy().replace('\'', r"'\''")
}

#[test]
fn a_failure_names_the_object_and_its_last_words() {
    let lab = Lab::new();
    lab.write("type/__step/gencode-remote", "echo 'echo last words >&2; exit 3'");
    let error = lab.configure(lab.run("__step x\n__step y\n")).unwrap_err();
    let report = error.report();
    assert!(report.contains("exit status 3\n\nError processing object '__step/x'\n"), "{report}");
    assert!(report.contains("code-remote:stderr\n------------------\nlast words\n"), "{report}");
    assert!(!error.is_cancelled());
}

#[test]
fn cancelling_ends_a_script_and_cleans_up() {
    let lab = Lab::new();
    let begun = lab.path("begun");
    lab.write("type/__step/gencode-remote", &format!("echo ': >{}; sleep 60 & wait'", begun.display()));
    let run = lab.run("__step x\n");
    let cancel = run.cancel.clone();
    let canceller = std::thread::spawn(move || {
        let limit = Instant::now() + Duration::from_secs(30);
        while !begun.exists() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        Instant::now()
    });
    let error = lab.configure(run).unwrap_err();
    let took = canceller.join().unwrap().elapsed();
    assert!(error.is_cancelled(), "{}", error.report());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_cycle_is_found_before_anything_runs() {
    let lab = Lab::new();
    let error = lab.configure(lab.run("require=__step/b __step a\nrequire=__step/a __step b\n")).unwrap_err();
    assert!(matches!(&error, ConfigError::Cycle(cycle) if cycle.len() == 3), "{}", error.report());
}
