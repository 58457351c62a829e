//! Whatever way a plugin's run ends, no process and no mount of it is left.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use cdist_tests::{
    lab::process::require_root,
    plugins::{Site, finish, hostile, install, status_number, wait, workspace},
};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// Long enough for a busy machine, shorter than the grace that a plugin gets after a signal.
const SOON: Duration = Duration::from_secs(10);
/// The grace of cdist, see `core/src/plugin/supervise.rs`.
const GRACE: Duration = Duration::from_secs(20);

/// `cdist preos` with a plugin that has started a process in a session of its own and waits.
struct Run {
    site: Site,
    parent: Child,
    /// An argument that the processes of this run have and no other process.
    marker: String,
    mountpoint: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.parent.kill();
        let _ = self.parent.wait();
        // Only after a failed test is there anything left.
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Run {
    /// Starts `lingers` as root, with a mount, and waits until it is there.
    fn start() -> Self {
        require_root("a plugin in its own namespaces");
        Self::start_with("hostile.so", &hostile())
    }

    /// As [`start`](Self::start), with the PreOS of this name that is written in Python.
    fn start_python() -> Self {
        require_root("a plugin in its own namespaces");
        Self::start_with("lingers.py", &workspace().join("tests/fixtures/python/lingers.py"))
    }

    fn start_with(name: &str, plugin: &Path) -> Self {
        let run = Self::spawn(Site::command, name, plugin, &["mount"]);
        assert!(mounted(run.worker(), &run.mountpoint), "the plugin has mounted");
        assert!(!mounted(Pid::this(), &run.mountpoint), "nobody else sees that mount");
        run
    }

    /// Starts `lingers` as an ordinary user, who has no namespaces.
    fn start_as_nobody() -> Self {
        require_root("a plugin of another user");
        Self::spawn(Site::command_without_root, "hostile.so", &hostile(), &[])
    }

    fn spawn(command: impl Fn(&Site) -> Command, name: &str, plugin: &Path, more: &[&str]) -> Self {
        let site = Site::new();
        install(plugin, &site.home_plugins().join(name));
        let mut command = command(&site);
        let mountpoint = site.dir("work").join("mnt");
        fs::create_dir(&mountpoint).expect("making the mount point");
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let marker = format!("98765.{}{:03}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        command.arg("lingers").arg(&mountpoint).arg(&marker).args(more).process_group(0);
        let log = fs::File::create(site.root().join("log")).expect("creating the log");
        command.stdout(Stdio::null()).stderr(log);
        let parent = command.spawn().expect("starting cdist");
        let mut run = Self { site, parent, marker, mountpoint };
        let ready = run.mountpoint.with_extension("ready");
        wait("the plugin is ready", SOON, || {
            let ended = run.parent.try_wait().expect("looking at cdist");
            assert!(ended.is_none(), "{ended:?}: {}", run.log());
            ready.exists()
        });
        // Parent, init, worker, and what the worker has started.
        wait("all processes are there", SOON, || run.processes().len() == 4);
        run
    }

    fn log(&self) -> String {
        fs::read_to_string(self.site.root().join("log")).unwrap_or_default()
    }

    fn parent(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.parent.id()).expect("a process id is an i32"))
    }

    fn init(&self) -> Pid {
        child_of(self.parent())
    }

    fn worker(&self) -> Pid {
        child_of(self.init())
    }

    /// All processes of this run, zombies aside.
    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").expect("reading /proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).any(|word| word == self.marker.as_bytes())
        })
        .map(Pid::from_raw)
        .collect()
    }

    /// Waits for the end; the exit status and how long it took.
    fn ended(&mut self, limit: Duration) -> (i32, Duration) {
        let start = Instant::now();
        let mut status = None;
        wait("cdist ends", limit, || {
            status = self.parent.try_wait().expect("looking at cdist");
            status.is_some()
        });
        (status.map_or(-1, status_number), start.elapsed())
    }

    fn assert_nothing_left(&self) {
        wait("every process has ended", SOON, || self.processes().is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reading the mounts");
        let site = self.site.root().to_string_lossy();
        assert!(!mounts.contains(&*site), "{mounts}");
        // Deleting the mount point fails while it is mounted anywhere.
        fs::remove_dir(&self.mountpoint).expect("removing the mount point");
    }
}

fn child_of(pid: Pid) -> Pid {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("reading the children");
    let mut children = children.split_whitespace().map(|child| child.parse().expect("a process id"));
    let first = children.next().unwrap_or_else(|| panic!("{pid} has no child"));
    assert_eq!(children.next(), None, "{pid} has one child");
    Pid::from_raw(first)
}

fn blocked_signals(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("reading the status of a process");
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .expect("the kernel tells blocked signals");
    u64::from_str_radix(mask.trim(), 16).expect("a mask is a number")
}

fn mounted(by: Pid, path: &Path) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{by}/mountinfo")).expect("reading the mounts");
    mounts.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

#[test]
fn a_signal_is_passed_on_and_nothing_is_left() {
    for (signal, expected) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut run = Run::start();
        for pid in [run.worker(), child_of(run.worker())] {
            assert_eq!(blocked_signals(pid), 0, "a plugin and its children get their signals");
        }
        kill(run.parent(), signal).unwrap();
        let (status, _) = run.ended(SOON);
        assert_eq!(status, expected, "{}", run.log());
        // The plugin itself noticed it, and came to its own end.
        assert!(run.log().contains("lingers: was cancelled"), "{}", run.log());
        // What it said is enough: a second line would say the same.
        assert_eq!(run.log().matches("cancelled").count(), 1, "{}", run.log());
        run.assert_nothing_left();
    }
}

#[test]
fn an_interrupt_from_the_terminal_reaches_everybody_at_once() {
    let mut run = Run::start();
    killpg(run.parent(), Signal::SIGINT).unwrap();
    let (status, _) = run.ended(SOON);
    assert_eq!(status, 130, "{}", run.log());
    assert!(run.log().contains("lingers: was cancelled"), "{}", run.log());
    run.assert_nothing_left();
}

#[test]
fn a_killed_parent_leaves_nothing() {
    let mut run = Run::start();
    kill(run.parent(), Signal::SIGKILL).unwrap();
    assert_eq!(run.ended(SOON).0, 128 + 9);
    run.assert_nothing_left();
}

#[test]
fn a_killed_init_leaves_nothing() {
    let mut run = Run::start();
    kill(run.init(), Signal::SIGKILL).unwrap();
    assert_eq!(run.ended(SOON).0, 1);
    assert!(run.log().contains("error: the plugin lingers died: SIGKILL ("), "{}", run.log());
    run.assert_nothing_left();
}

#[test]
fn a_killed_worker_leaves_nothing() {
    let mut run = Run::start();
    kill(run.worker(), Signal::SIGKILL).unwrap();
    assert_eq!(run.ended(SOON).0, 1);
    assert!(run.log().contains("error: the plugin lingers died: SIGKILL ("), "{}", run.log());
    run.assert_nothing_left();
}

#[test]
fn without_root_nothing_is_left_either() {
    type Victim = fn(&Run) -> Pid;
    let victims: [(Signal, Victim, i32); 4] = [
        (Signal::SIGTERM, Run::parent, 143),
        (Signal::SIGKILL, Run::parent, 137),
        (Signal::SIGKILL, Run::init, 1),
        (Signal::SIGKILL, Run::worker, 1),
    ];
    for (signal, victim, expected) in victims {
        let mut run = Run::start_as_nobody();
        kill(victim(&run), signal).unwrap();
        assert_eq!(run.ended(SOON).0, expected, "{}", run.log());
        run.assert_nothing_left();
    }
}

/// Starts `ignores`, which does not look at cancellation.
fn start_ignoring() -> (Site, Child, Pid) {
    require_root("a plugin in its own namespaces");
    let site = Site::new();
    install(&hostile(), &site.home_plugins().join("hostile.so"));
    let ready = site.root().join("ready");
    let child =
        site.command().arg("ignores").arg(&ready).stderr(Stdio::null()).spawn().expect("starting cdist");
    wait("the plugin is ready", SOON, || ready.exists());
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id is an i32"));
    (site, child, pid)
}

/// How long the process takes to end, and its exit status.
fn time_to_end(mut child: Child, limit: Duration) -> (i32, Duration) {
    let start = Instant::now();
    let mut status = None;
    wait("cdist ends", limit, || {
        status = child.try_wait().expect("looking at cdist");
        status.is_some()
    });
    (status.map_or(-1, status_number), start.elapsed())
}

#[test]
fn a_second_signal_ends_a_deaf_plugin_at_once() {
    let (_site, child, pid) = start_ignoring();
    let worker = child_of(child_of(pid));
    kill(pid, Signal::SIGINT).unwrap();
    // That nothing happens can only be seen by waiting; longer than an end by one signal takes.
    std::thread::sleep(Duration::from_millis(700));
    assert!(Path::new(&format!("/proc/{worker}")).exists(), "one signal is a request");
    kill(pid, Signal::SIGINT).unwrap();
    let (status, took) = time_to_end(child, SOON);
    assert_eq!(status, 130);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}

#[test]
fn a_deaf_plugin_ends_after_the_grace() {
    let (_site, child, pid) = start_ignoring();
    let worker = child_of(child_of(pid));
    kill(pid, Signal::SIGTERM).unwrap();
    let (status, took) = time_to_end(child, GRACE + SOON);
    assert_eq!(status, 143);
    assert!(took > GRACE - Duration::from_secs(1), "{took:?}");
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}

#[test]
fn a_plugin_of_another_user_is_not_for_root() {
    require_root("a plugin of another user");
    let site = Site::new();
    let file = site.home_plugins().join("hostile.so");
    install(&hostile(), &file);
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let outcome = site.preos(["seven"]);
    assert_eq!(outcome.status, 1);
    let file = file.to_string_lossy();
    let reason =
        format!("{file} belongs to nobody, but cdist runs as root; if you trust it: chown root {file}");
    assert_eq!(outcome.skipped(), [(&*file, reason.as_str())]);
}

/// The program finds itself below a chroot too, as in a container: there `/proc/self/exe` of a process that was started
/// across mount namespaces leads nowhere, and a build would not find its own emulator.
#[test]
fn the_program_knows_where_it_is_below_a_chroot() {
    require_root("a chroot");
    let site = Site::new();
    let top = site.dir("top");
    let staged = cdist_tests::plugins::staged();
    let script = r#"
        mount --bind "$1" "$1"
        for dir in usr lib lib64 etc; do
            if [ -d "/$dir" ]; then mkdir -p "$1/$dir"; mount --rbind "/$dir" "$1/$dir"; fi
        done
        mkdir -p "$1/proc" "$1/opt/bin" "$1/plugins"
        mount -t proc proc "$1/proc"
        cp "$2/bin/cdist" "$1/opt/bin/cdist"
        install -m 0644 "$3" "$1/plugins/hostile.so"
        exec chroot "$1" /opt/bin/cdist preos --plugin-dir /plugins where
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-e", "-c", script, "sh"])
        .args([&top, &staged, &hostile()])
        .output()
        .unwrap();
    assert_eq!(
        (String::from_utf8_lossy(&output.stdout).trim(), output.status.code()),
        ("/opt/bin/cdist", Some(0)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_python_plugin_leaves_nothing() {
    for (signal, expected) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut run = Run::start_python();
        assert_eq!(blocked_signals(run.worker()), 0);
        kill(run.parent(), signal).unwrap();
        let (status, _) = run.ended(SOON);
        assert_eq!(status, expected, "{}", run.log());
        assert_eq!(run.log(), format!("error: cancelled by {signal}\n"));
        run.assert_nothing_left();
    }
    let mut run = Run::start_python();
    killpg(run.parent(), Signal::SIGINT).unwrap();
    assert_eq!(run.ended(SOON).0, 130, "{}", run.log());
    assert_eq!(run.log(), "error: cancelled by SIGINT\n");
    run.assert_nothing_left();
    let mut run = Run::start_python();
    kill(run.parent(), Signal::SIGKILL).unwrap();
    assert_eq!(run.ended(SOON).0, 128 + 9);
    run.assert_nothing_left();
}

#[test]
fn a_machine_without_python() {
    require_root("hiding the interpreter in a mount namespace");
    let site = Site::new();
    install(&workspace().join("tests/fixtures/python/netbsd.py"), &site.home_plugins().join("netbsd.py"));
    install(&hostile(), &site.home_plugins().join("hostile.so"));
    let run = |word: &str| {
        let own = site.command();
        let mut command = Command::new("/usr/bin/unshare");
        // What cannot be executed is no interpreter.
        let hide = "mount --bind /dev/null /usr/bin/python3 && PATH=/proc/none && exec \"$@\"";
        command.args(["-m", "/bin/sh", "-c", hide, "sh"]).arg(own.get_program()).args(["preos", word]);
        command.env("HOME", site.root().join("home")).env_remove("CDIST_PREOS_PATH");
        finish(&mut command)
    };
    let note = "note: plugins that are Python files are left out: there is no python3; install the package python3\n";
    let list = run("-L");
    assert_eq!((list.status, list.stderr.as_str()), (0, note));
    assert!(list.stdout.contains("- seven ") && !list.stdout.contains("netbsd"), "{list:#?}");
    // No Python file comes after the library.
    assert_eq!(run("seven").status, 7);
    let missing = run("netbsd");
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.starts_with(note) && missing.error().contains("there is no PreOS \"netbsd\""));
}
