//! Jobs against the program itself: a job's log holds what `cdist config -v` prints.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use cdist_core::{
    config::settings::Settings,
    host::Cancel,
    runs::{ProgramPaths, RunMaker, RunOptions},
    trigger::{
        attempt::{Attempt, Binding, End, Ended, JobWorker},
        job::JobKind,
        worker::{EngineWorker, HostKeyPolicy, JobRules, TargetName},
    },
};

use super::job_lines::JobLines;
use crate::config::run_args::RunArgs;

const HOST: &str = "127.0.0.1";

/// A configuration, a home, a place for jobs.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new(manifest: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for dir in ["tmp", "home", "work", "none/bin"] {
            fs::create_dir_all(lab.path(dir)).unwrap();
        }
        lab.write("conf/manifest/init", manifest);
        lab.write("conf/type/__x/gencode-remote", "cat \"$__object/stdin\"\n");
        lab.write("conf/type/__x/explorer/seen", "echo seen >&2; echo 1\n");
        lab.write("conf/type/__here/gencode-local", "cat \"$__object/stdin\"\n");
        lab.write("conf/type/__inst/gencode-remote", "echo :\n");
        lab.write("conf/type/__inst/install", "");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn words(&self, more: &str) -> Vec<String> {
        let (conf, remote) = (self.path("conf"), self.path("remote"));
        let mut words: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
        if !more.contains("--remote-exec") {
            words.push("--local".into());
        }
        words.extend(["-c".into(), conf.display().to_string(), "-r".into(), remote.display().to_string()]);
        words
    }

    /// What `cdist config -v` prints with these options.
    fn printed(&self, more: &str) -> String {
        let log = fs::File::create(self.path("printed")).unwrap();
        let mut command = Command::new(program());
        let verbose = if more.contains("-v") { "" } else { "-v" };
        command.arg("config").args(self.words(&format!("{more} {verbose}"))).arg(HOST);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        normal(&fs::read_to_string(self.path("printed")).unwrap(), &self.path("tmp"))
    }

    fn worker(&self, more: &str, host_keys: HostKeyPolicy) -> EngineWorker {
        let (conf, home) = (self.path("none"), Some(self.path("home")));
        let paths = ProgramPaths { program: program(), conf, home };
        let (_, begin) = tokio::sync::watch::channel(true);
        let state_dir = self.path("state");
        let rules = JobRules { host_keys, target_name: TargetName::Address, state_dir, begin };
        let (args, settings) = (RunArgs::of_words(self.words(more)), Settings::default());
        let options = RunOptions::from(&args);
        let manifest = options.manifest(&settings);
        let maker = RunMaker::new(options, settings.clone(), paths, manifest);
        EngineWorker::new(maker, rules, Box::new(JobLines::new(args, settings))).unwrap()
    }

    fn attempt(&self, kind: JobKind) -> Attempt {
        Attempt {
            job: 1,
            kind,
            address: HOST.parse().unwrap(),
            number: 1,
            ssh_host_keys: Vec::new(),
            machine: 7,
            log: self.path("1.log"),
            work_dir: self.path("work"),
            binding: Binding::default(),
            cancel: Cancel::default(),
        }
    }

    /// A job with these options: how it ended, and its log.
    async fn job(&self, more: &str) -> (Ended, String) {
        let _ = fs::remove_file(self.path("1.log"));
        let ended = self.worker(more, HostKeyPolicy::Strict).run(self.attempt(JobKind::Config)).await;
        (ended, normal(&self.log(), &self.path("work")))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("1.log")).unwrap()
    }

    fn is_work_dir_empty(&self) -> bool {
        fs::read_dir(self.path("work")).unwrap().next().is_none()
    }
}

/// The program of this build: types are links to it.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent).unwrap().join("cdist");
    assert!(program.exists(), "{} is not there; cargo build -p cdist makes it", program.display());
    program
}

/// Without what differs from run to run: the place of the run's files, random names, numbers.
fn normal(text: &str, base: &Path) -> String {
    let text = text.replace(&base.display().to_string(), "BASE");
    // The directory that a job has of its own.
    let text = without_names(&text, "BASE/cdist-").replace("BASE/cdist-/", "BASE/");
    let text = without_names(&without_names(&text, ".cdist-"), "cdist.");
    let mut shown = String::new();
    for c in text.chars() {
        if !c.is_ascii_digit() {
            shown.push(c);
        } else if !shown.ends_with('0') {
            shown.push('0');
        }
    }
    shown
}

/// Without the random ends of names that begin with `mark`.
fn without_names(text: &str, mark: &str) -> String {
    let is_random = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let parts: Vec<&str> = text.split(mark).collect();
    let kept = parts
        .iter()
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.trim_start_matches(is_random) });
    kept.collect::<Vec<_>>().join(mark)
}

const SUCCESS: &str = "__x a <<'EOF'\necho out; echo err >&2\nEOF\n__here b <<'EOF'\necho here\nEOF\n";
const FAILURE: &str = "__x a <<'EOF'\n:\nEOF\n__x b <<'EOF'\necho broken >&2; exit 3\nEOF\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_what_the_program_prints() {
    for manifest in [SUCCESS, FAILURE, "false\n", "__no_such_type\n"] {
        let lab = Lab::new(manifest);
        for more in ["", "-vvv", "-n", "--diff", "-S", "-S -vv", "-P --colors always"] {
            let printed = lab.printed(more);
            let (ended, log) = lab.job(more).await;
            assert_eq!(log, printed, "{more}");
            assert!(
                more != "-S" || manifest != SUCCESS || log.contains("seen\n") && log.contains("out\nerr\n"),
                "{log}"
            );
            assert_eq!(ended.end == End::Succeeded, !log.contains("Failed to configure"), "{log}");
            assert!(lab.is_work_dir_empty() == (ended.end == End::Succeeded));
            fs::remove_dir_all(lab.path("work")).unwrap();
            fs::create_dir(lab.path("work")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_the_user_are_ways_to_a_machine() {
    let lab = Lab::new(SUCCESS);
    lab.write("exec", "#!/bin/sh\nshift; exec /bin/sh -c \"$*\"\n");
    lab.write(
        "copy",
        "#!/bin/sh\nfor to; do :; done\nwhile [ $# -gt 1 ]; do cp -R \"$1\" \"${to#*:}\"; shift; done\n",
    );
    let more =
        format!("--remote-exec {} --remote-copy {}", lab.path("exec").display(), lab.path("copy").display());
    let printed = lab.printed(&more);
    let (ended, log) = lab.job(&more).await;
    assert_eq!(log, printed);
    assert_eq!((ended.end, ended.report.objects, ended.report.changed), (End::Succeeded, 2, 2), "{log}");
    assert!(ended.report.files.unwrap().contains("/home/.cdist/cache/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_reported_and_its_files_stay() {
    let lab = Lab::new(FAILURE);
    let (ended, _) = lab.job("").await;
    let report = ended.report;
    assert_eq!((ended.end, report.objects, report.done), (End::Failed, 2, 1));
    assert_eq!(report.script.as_deref(), Some("code-remote"));
    assert_eq!((report.exit_status, report.what.as_deref()), (Some(3), Some("object '__x/b'")));
    assert!(report.streams.iter().any(|s| s.name == "code-remote:stderr" && s.text == "broken\n"));
    assert!(report.files.unwrap().starts_with(&lab.path("work").display().to_string()));
    assert_eq!(fs::metadata(lab.path("1.log")).unwrap().permissions().mode() & 0o777, 0o600);
    // The next attempt adds to the log.
    let before = lab.log().len();
    lab.worker("", HostKeyPolicy::Strict).run(lab.attempt(JobKind::Config)).await;
    assert!(lab.log().len() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_stopped() {
    let lab = Lab::new("__x a <<'EOF'\ntouch \"$__object/../../../../begun\"; sleep 61.5\nEOF\n");
    let attempt = lab.attempt(JobKind::Config);
    let cancel = attempt.cancel.clone();
    let worker = lab.worker("", HostKeyPolicy::Strict);
    let job = tokio::spawn(async move { worker.run(attempt).await });
    while !lab.path("remote").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(30), job).await.unwrap().unwrap();
    assert_eq!(ended.end, End::Cancelled);
    assert!(lab.log().contains("127.0.0.1: stopped, "), "{}", lab.log());
    assert!(!lab.log().contains("Failed to configure"), "{}", lab.log());
    assert!(lab.is_work_dir_empty());
    // One that is stopped before it begins does nothing.
    let attempt = Attempt { cancel, ..lab.attempt(JobKind::Config) };
    assert_eq!(lab.worker("", HostKeyPolicy::Strict).run(attempt).await.end, End::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_forgets_the_accepted_host_key() {
    let lab = Lab::new("__inst\n__x never <<'EOF'\nexit 1\nEOF\n");
    lab.write("conf/type/__inst/singleton", "");
    lab.write("state/known_hosts/7", "cdist-target ssh-ed25519 AAAA\n");
    lab.write("state/known_hosts/8", "cdist-target ssh-ed25519 AAAA\n");
    let worker = lab.worker("", HostKeyPolicy::AcceptNew);
    let ended = worker.run(lab.attempt(JobKind::Install)).await;
    assert_eq!((ended.end, ended.report.objects), (End::Succeeded, 1), "{}", lab.log());
    assert!(!lab.path("state/known_hosts/7").exists() && lab.path("state/known_hosts/8").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_directory_of_the_user_stays() {
    let lab = Lab::new(SUCCESS);
    let out = lab.path("out");
    let (ended, _) = lab.job(&format!("-o {}", out.display())).await;
    assert_eq!(ended.end, End::Succeeded);
    assert!(fs::read_dir(out).unwrap().next().is_some() && lab.is_work_dir_empty());
}
