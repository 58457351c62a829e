//! The child processes that run a plugin, so that nothing a plugin does can outlive or end cdist.
//!
//! ```text
//! cdist (parent) ── init: PID 1 of a new PID namespace, new mount namespace ── worker: loads and runs the plugin
//! ```
//!
//! When init ends, for whatever reason, the kernel kills every process of its namespace, and with the last of them
//! the mounts vanish. Init ends when the worker does, and when the *lifeline*, a pipe that only the parent holds
//! open for writing, is closed: so also after `kill -9` of the parent. A second pipe brings reports back.
//!
//! Without root there are no namespaces; then init adopts what the plugin leaves behind (it is a child subreaper,
//! prctl(2)) and kills it. The parent does so if init is killed.
//!
//! Both are forks, not new programs: starting the program twice more would cost more than all else that a call needs.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        stat::Mode,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, ForkResult, Pid, Uid},
};

/// How long a plugin may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(20);
/// A second signal this long after the first one means "now".
const IMPATIENT: Duration = Duration::from_millis(500);
/// The signals that ask the work to stop.
const STOP_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How a plugin's process ended, when not by returning.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// A step of starting or watching the processes failed.
    #[error("{doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Killed by a signal, its own or another's.
    #[error("it died: {0}")]
    Killed(String),
    /// It called `exit` instead of returning.
    #[error("it ended the process with exit status {0} before its work was done")]
    Exited(i32),
    /// The processes could not be set up; the text is the whole reason.
    #[error("{0}")]
    Init(String),
    /// The user asked to stop; the number is the signal's.
    #[error("cancelled by {0}")]
    Cancelled(Signal),
}

fn system(doing: &'static str) -> impl Fn(Errno) -> SuperviseError {
    move |errno| SuperviseError::System { doing, source: errno.into() }
}

fn system_io(doing: &'static str) -> impl Fn(io::Error) -> SuperviseError {
    move |source| SuperviseError::System { doing, source }
}

/// Runs `worker` in a process of its own, below an init, to its end, and returns the status that it reports with
/// [`Reporter::returned`]. Its value is the exit status of its process.
///
/// The calling process must have no other thread, and start none afterwards: the kernel allows none once new children get
/// another PID namespace.
///
/// # Errors
///
/// The worker died, ended early or was cancelled, or the processes could not be started.
pub fn run(worker: impl FnOnce(Reporter) -> i32) -> Result<i32, SuperviseError> {
    let signals = block(&STOP_SIGNALS)?;
    let pipe = || unistd::pipe2(OFlag::O_CLOEXEC).map_err(system("making a pipe"));
    let ((lifeline_end, lifeline), (reports, report_end)) = (pipe()?, pipe()?);
    let namespaces = Uid::effective().is_root();
    if namespaces {
        // The child becomes PID 1 of the new namespace; this process stays where it is.
        unshare(CloneFlags::CLONE_NEWPID).map_err(system("making a PID namespace for the plugin"))?;
    } else {
        // If init is killed, what it watched over becomes ours.
        prctl::set_child_subreaper(true).map_err(system("becoming a subreaper"))?;
    }
    let Some(child) = fork()? else {
        drop((signals, lifeline, reports));
        leave(|| {
            let mut report = File::from(report_end);
            init(&File::from(lifeline_end), &mut report, worker).unwrap_or_else(|error| {
                Reporter(report).failed(&error);
                1
            })
        })
    };
    drop((lifeline_end, report_end));
    let result = watch(child, &signals, reports);
    if !namespaces {
        kill_descendants();
    }
    drop(lifeline);
    result
}

/// Forks this process; the child gets nothing.
#[allow(unsafe_code)]
fn fork() -> Result<Option<Pid>, SuperviseError> {
    let doing = "starting a process for the plugin";
    // What is not written yet would be written twice.
    io::stdout().flush().map_err(system_io(doing))?;
    let threads = fs::read_dir("/proc/self/task").map_err(system_io("looking for threads in /proc"))?.count();
    if threads != 1 {
        return Err(SuperviseError::System {
            doing,
            source: io::Error::other("this one has several threads"),
        });
    }
    // SAFETY: no other thread could hold a lock that the child then waits for.
    match unsafe { unistd::fork() }.map_err(system(doing))? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// The rest of the life of a forked process. It must never go on with what the other one does.
fn leave(work: impl FnOnce() -> i32) -> ! {
    // The hook has told of a panic.
    std::process::exit(catch_unwind(AssertUnwindSafe(work)).unwrap_or(101))
}

fn block(signals: &[Signal]) -> Result<SignalFd, SuperviseError> {
    let mut set = SigSet::empty();
    for &signal in signals {
        set.add(signal);
    }
    set.thread_block().map_err(system("blocking signals"))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(system("listening for signals"))
}

/// The parent's loop: hands signals on and collects reports until init has ended.
///
/// The end of the reports does not tell that: what the plugin has started may hold the pipe, and without a namespace it can
/// outlive an init that was killed.
fn watch(init: Pid, signals: &SignalFd, reports: OwnedFd) -> Result<i32, SuperviseError> {
    fcntl(&reports, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(system("preparing a pipe"))?;
    let mut reports = File::from(reports);
    // Readable when init has ended. A kernel before 5.3 has none; then init is looked at now and then.
    let end = rustix::process::Pid::from_raw(init.as_raw())
        .and_then(|init| rustix::process::pidfd_open(init, rustix::process::PidfdFlags::empty()).ok());
    let mut text = Vec::new();
    let mut asked: Option<(Instant, Signal)> = None;
    let mut is_open = true;
    let status = loop {
        let ended = match waitpid(init, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
            ended => Some(ended.map_err(system("waiting for the plugin"))?),
        };
        is_open = is_open && take_reports(&mut reports, &mut text)?;
        if let Some(status) = ended {
            break status;
        }
        let timeout = match (asked, &end) {
            (None, Some(_)) => PollTimeout::NONE,
            _ => PollTimeout::from(500u16),
        };
        let watched =
            [Some(signals.as_fd()), is_open.then_some(reports.as_fd()), end.as_ref().map(AsFd::as_fd)];
        let mut fds: Vec<_> =
            watched.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("waiting for the plugin")(errno)),
        }
        while let Ok(Some(info)) = signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
            let Some(signal) = signal else { continue };
            let hard = asked.is_some_and(|(when, _)| when.elapsed() > IMPATIENT);
            // ESRCH: it has just ended by itself.
            let _ = kill(init, if hard { Signal::SIGKILL } else { signal });
            asked.get_or_insert((Instant::now(), signal));
        }
        if asked.is_some_and(|(when, _)| when.elapsed() > GRACE) {
            let _ = kill(init, Signal::SIGKILL);
        }
    };
    let outcome = judge(&String::from_utf8_lossy(&text), status);
    match (outcome, asked) {
        // Whatever way it ended after the user asked it to: that is why. The worker has said so if it could.
        (Ok(status), Some((_, signal))) if status != 0 => Ok(128 + signal as i32),
        (Err(_), Some((_, signal))) => Err(SuperviseError::Cancelled(signal)),
        (outcome, _) => outcome,
    }
}

/// Takes what the pipe holds. False if nothing can come any more.
fn take_reports(reports: &mut File, text: &mut Vec<u8>) -> Result<bool, SuperviseError> {
    let mut buffer = [0; 256];
    loop {
        match reports.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(system_io("reading the plugin's report")(error)),
        }
    }
}

/// What the reports of worker (`returned N`, `replaced`) and init (`exit N`, `signal N`, `failed TEXT`) mean together.
fn judge(reports: &str, init: WaitStatus) -> Result<i32, SuperviseError> {
    let line = |key: &str| reports.lines().find_map(|line| line.strip_prefix(key));
    let value = |key: &str| line(key).and_then(|number| number.parse::<i32>().ok());
    if let Some(text) = line("failed ") {
        return Err(SuperviseError::Init(text.to_owned()));
    }
    let init_signal = if let WaitStatus::Signaled(_, signal, _) = init { Some(signal as i32) } else { None };
    match (value("returned "), value("signal "), value("exit "), init_signal) {
        (_, Some(signal), _, _) | (_, None, None, Some(signal)) => Err(SuperviseError::Killed(
            Signal::try_from(signal)
                .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned()),
        )),
        (Some(status), None, _, _) => Ok(status),
        (None, None, Some(status), _) if reports.lines().any(|line| line == "replaced") => Ok(status),
        (None, None, Some(status), _) => Err(SuperviseError::Exited(status)),
        (None, None, None, None) => Err(SuperviseError::Exited(1)),
    }
}

/// The whole life of init. Never returns before the worker has ended; the value is the exit status for this process.
fn init(
    lifeline: &File,
    report: &mut File,
    worker: impl FnOnce(Reporter) -> i32,
) -> Result<i32, SuperviseError> {
    let namespaces = Uid::effective().is_root();
    if namespaces {
        // The parent may be gone in the next moment; the lifeline tells if it went before this.
        end_with_parent()?;
        enter_mount_namespace()?;
    } else {
        // Has to outlive a killed parent, because no namespace ends with it; the lifeline alone tells.
        prctl::set_child_subreaper(true).map_err(system("becoming a subreaper"))?;
    }

    let signals = block(&[&STOP_SIGNALS[..], &[Signal::SIGCHLD]].concat())?;
    let reporter = Reporter(report.try_clone().map_err(system_io("preparing a pipe"))?);
    let Some(child) = fork()? else {
        drop(signals);
        leave(|| {
            let ready = end_with_parent().and_then(|()| {
                // Parent and init block signals to read them as data, and a child inherits that; the plugin and what
                // it starts have to get them.
                SigSet::empty().thread_set_mask().map_err(system("unblocking signals"))
            });
            match ready {
                Ok(()) => worker(reporter),
                Err(error) => {
                    reporter.failed(&error);
                    1
                }
            }
        })
    };
    drop(reporter);

    let ended = reap_until(child, &signals, lifeline)?;
    if !namespaces {
        kill_descendants();
    }
    let (line, status) = match ended {
        Some(WaitStatus::Exited(_, status)) => (format!("exit {status}\n"), status),
        Some(WaitStatus::Signaled(_, signal, _)) => (format!("signal {}\n", signal as i32), 1),
        _ => (String::new(), 1),
    };
    // The parent may be gone, and needs no report then.
    let _ = report.write_all(line.as_bytes());
    Ok(status)
}

fn enter_mount_namespace() -> Result<(), SuperviseError> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).map_err(system("making a mount namespace for the plugin"))?;
    match mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE) {
        // In a chroot whose root is no mount point.
        Err(Errno::EINVAL) => make_root_a_mount(),
        result => result,
    }
    .map_err(system("making the mounts of the plugin private"))?;
    // Programs look themselves up in /proc; it has to show the new PID namespace.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, NONE).map_err(system("mounting /proc for the plugin"))
}

/// Makes all mounts of this namespace private from within a chroot, and the root of the chroot a mount point.
///
/// The mount that the chroot lies in has its root outside, where no path leads. But a process whose working directory is
/// not below its root can go up from there to the root of the namespace.
fn make_root_a_mount() -> Result<(), Errno> {
    const NONE: Option<&str> = None;
    // More directories than any path has.
    const DEPTH_MAX: usize = 4096;
    let here = unistd::getcwd()?;
    let own = open("/", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    unistd::chdir("/")?;
    unistd::chroot("proc")?;
    let privately = (0..DEPTH_MAX)
        .try_for_each(|_| unistd::chdir(".."))
        .and_then(|()| mount(NONE, ".", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE));
    // Back, whatever has become of it.
    unistd::fchdir(&own)?;
    unistd::chroot(".")?;
    privately?;
    mount(Some("/"), "/", NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    // What is mounted on the root is found by the way up, which ends there, and not by "/".
    unistd::chdir("/..")?;
    unistd::chroot(".")?;
    unistd::chdir(&here)
}

/// Reaps children and hands signals on until the worker ends (its status) or the parent does (`None`).
fn reap_until(
    worker: Pid,
    signals: &SignalFd,
    lifeline: &File,
) -> Result<Option<WaitStatus>, SuperviseError> {
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(lifeline.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("waiting for the plugin")(errno)),
        }
        if fds[1].any().unwrap_or(false) {
            let _ = kill(worker, Signal::SIGKILL);
            return Ok(None);
        }
        while let Ok(Some(info)) = signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
            if let Some(signal) = signal.filter(|&signal| signal != Signal::SIGCHLD) {
                let _ = kill(worker, signal);
            }
        }
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                    if pid == worker {
                        return Ok(Some(status));
                    }
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

/// Kills what the worker left behind. Killing a process makes its children ours, so this repeats.
fn kill_descendants() {
    for _ in 0..100 {
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        let pids: Vec<Pid> =
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect();
        if pids.is_empty() {
            return;
        }
        for &pid in &pids {
            let _ = kill(pid, Signal::SIGKILL);
        }
        for &pid in &pids {
            let _ = waitpid(pid, None);
        }
    }
}

/// Makes the kernel kill this process when the one that started it ends.
///
/// # Errors
///
/// prctl(2) fails.
pub fn end_with_parent() -> Result<(), SuperviseError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("tying the process to its parent"))
}

/// The worker's side: says that the plugin has returned.
#[derive(Debug)]
pub struct Reporter(File);

impl Reporter {
    /// Says that the plugin has returned `status`. To be called right before the process ends with that status.
    pub fn returned(mut self, status: i32) {
        // The parent may be gone, and needs no report then.
        let _ = self.0.write_all(format!("returned {status}\n").as_bytes());
    }

    fn failed(mut self, error: &SuperviseError) {
        let text = crate::chain(error).replace('\n', " ");
        let _ = self.0.write_all(format!("failed {text}\n").as_bytes());
    }

    /// Says that this process is about to become another program, whose exit status is then the plugin's.
    pub fn replaced(mut self) {
        let _ = self.0.write_all(b"replaced\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_judged_together() {
        let exited = |status| WaitStatus::Exited(Pid::this(), status);
        let killed = WaitStatus::Signaled(Pid::this(), Signal::SIGKILL, false);
        assert_eq!(judge("returned 7\nexit 7\n", exited(7)).unwrap(), 7);
        assert_eq!(judge("signal 11\n", exited(1)).unwrap_err().to_string(), "it died: SIGSEGV");
        assert_eq!(judge("returned 0\nsignal 6\n", exited(0)).unwrap_err().to_string(), "it died: SIGABRT");
        assert!(matches!(judge("exit 0\n", exited(0)), Err(SuperviseError::Exited(0))));
        assert_eq!(judge("replaced\nexit 3\n", exited(3)).unwrap(), 3);
        assert!(matches!(judge("replaced\nsignal 11\n", exited(1)), Err(SuperviseError::Killed(_))));
        assert_eq!(judge("", killed).unwrap_err().to_string(), "it died: SIGKILL");
        let failed = judge("failed no /proc\nexit 1\n", exited(1)).unwrap_err();
        assert_eq!(failed.to_string(), "no /proc");
    }

    /// As without root, where nothing ends a process of the plugin's when init is killed.
    #[test]
    fn the_end_is_seen_while_another_process_holds_the_pipe() {
        let (reports, held) = io::pipe().unwrap();
        let mut held_too = File::from(OwnedFd::from(held.try_clone().unwrap()));
        held_too.write_all(b"returned 0\nexit 0\n").unwrap();
        let mut child = std::process::Command::new("sleep").arg("0.1").spawn().unwrap();
        let init = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let signals = block(&[]).unwrap();
            tell.send(watch(init, &signals, reports.into()).unwrap())
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(0));
        drop(held);
        assert!(child.wait().is_err(), "it has been waited for");
    }

    #[test]
    fn no_fork_beside_other_threads() {
        // The test itself has a thread beside the main one.
        let error = fork().unwrap_err();
        assert!(crate::chain(&error).contains("several threads"), "{error}");
    }
}
