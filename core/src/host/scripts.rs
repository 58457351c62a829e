//! Which scripts of this process are running on this machine, written down so that a later process can end them if this
//! one is killed.
//!
//! Each script has a word in its environment that no other has, [`VARIABLE`]. The file holds a word for all scripts of the
//! process, and the numbers of those that are running, in records of one length: a number that is over is overwritten. It
//! is written before a script is started, so that there is none that it does not know.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The variable by which a script and what it has started are known.
pub const VARIABLE: &str = "CDIST_SCRIPT";
/// Length of a record, with the end of its line.
const RECORD: usize = 21;
/// How long processes may take to be gone after they were killed.
const KILLED: Duration = Duration::from_secs(5);
/// How often it is looked at whether they are.
const POLL: Duration = Duration::from_millis(50);

static REGISTER: OnceLock<Register> = OnceLock::new();

/// The file of this process.
#[derive(Debug)]
struct Register {
    file: File,
    word: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// What is in each record after the first one.
    records: Vec<Option<u64>>,
}

/// A script that is running, until this is dropped.
#[derive(Debug)]
pub struct Running {
    register: &'static Register,
    number: u64,
    record: usize,
}

/// From now on this process writes down in `file` which scripts it has running. Only the first call counts.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_down(file: File) -> io::Result<()> {
    let register = Register::new(file)?;
    // A second one would be told of no script.
    let _ = REGISTER.set(register);
    Ok(())
}

/// A script is about to be started. `None` where scripts are not written down.
pub fn begin() -> Option<Running> {
    REGISTER.get().map(Register::begin)
}

impl Register {
    fn new(file: File) -> io::Result<Self> {
        let word = format!("{:016x}", getrandom::u64()?);
        file.set_len(0)?;
        file.write_all_at(record(&word).as_bytes(), 0)?;
        Ok(Self { file, word, state: Mutex::default() })
    }

    fn begin(&'static self) -> Running {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let number = state.last;
        let free = state.records.iter().position(Option::is_none);
        let record = free.unwrap_or_else(|| {
            state.records.push(None);
            state.records.len() - 1
        });
        if let Some(place) = state.records.get_mut(record) {
            *place = Some(number);
        }
        self.write(record, &number.to_string());
        Running { register: self, number, record }
    }

    fn write(&self, at: usize, text: &str) {
        // On a full disk scripts run all the same; none of them is worse off than without this file.
        if let Err(error) = self.file.write_all_at(record(text).as_bytes(), ((at + 1) * RECORD) as u64) {
            tracing::debug!("writing down which scripts run: {error}");
        }
    }
}

impl Running {
    /// What [`VARIABLE`] is for the script.
    pub fn mark(&self) -> OsString {
        format!("{}-{}", self.register.word, self.number).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.register.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = state.records.get_mut(self.record) {
            *place = None;
        }
        self.register.write(self.record, "");
    }
}

fn record(text: &str) -> String {
    format!("{text:>0$}\n", RECORD - 1)
}

/// True if a script that a killed process had running, or anything that it has started, still goes on. `file` is that of
/// the process.
pub fn are_left(file: &mut File) -> bool {
    !left(file).is_empty()
}

/// Waits until the scripts that a killed process had running have ended, and everything that they have started. A script
/// that is cut off may leave worse things than one that is waited for; but after `patience` they are killed. `tell` hears
/// once which processes are waited for.
pub fn end_left(file: &mut File, patience: Duration, tell: impl FnOnce(&[i32])) {
    let mut tell = Some(tell);
    let begin = Instant::now();
    loop {
        let left = left(file);
        if left.is_empty() {
            return;
        }
        if let Some(tell) = tell.take() {
            tell(&left);
        }
        if begin.elapsed() > patience.saturating_add(KILLED) {
            tracing::warn!("scripts that a killed process left do not end: processes {left:?}");
            return;
        }
        if begin.elapsed() >= patience {
            for pid in left {
                // ESRCH: it has just ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        thread::sleep(POLL);
    }
}

fn left(file: &mut File) -> Vec<i32> {
    let mut text = String::new();
    if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() {
        return Vec::new();
    }
    let marks = marks(&text);
    if marks.is_empty() { Vec::new() } else { processes_of(&marks) }
}

/// The marks of the scripts that a file says are running, as they stand in their environments.
fn marks(text: &str) -> HashSet<Vec<u8>> {
    let mut lines = text.lines().map(str::trim);
    let word = lines.next().unwrap_or_default();
    let numbers = lines.filter_map(|line| line.parse::<u64>().ok());
    numbers.map(|number| format!("{VARIABLE}={word}-{number}").into_bytes()).collect()
}

/// A process as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: i32,
    group: i32,
}

/// The processes with one of the marks, those in the groups that such a process leads, and all that they have started.
fn processes_of(marks: &HashSet<Vec<u8>>) -> Vec<i32> {
    let mut all = HashMap::new();
    let mut marked = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some(process) = parse_stat(&stat) else { continue };
        all.insert(pid, process);
        // The environment of processes of other users cannot be read.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| marks.contains(variable)) {
            marked.push(pid);
        }
    }
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    with_all_that_they_started(&marked, &all).into_iter().filter(|pid| *pid != own).collect()
}

fn with_all_that_they_started(marked: &[i32], all: &HashMap<i32, Process>) -> Vec<i32> {
    let leads = |pid: &&i32| all.get(pid).is_some_and(|process| process.group == **pid);
    let groups: HashSet<i32> = marked.iter().filter(leads).copied().collect();
    let mut found: Vec<i32> = marked.to_vec();
    found.extend(all.iter().filter(|(_, process)| groups.contains(&process.group)).map(|(pid, _)| *pid));
    let mut seen: HashSet<i32> = HashSet::new();
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        at += 1;
        if seen.insert(pid) {
            found.extend(all.iter().filter(|(_, process)| process.parent == pid).map(|(pid, _)| *pid));
        }
    }
    let mut found: Vec<i32> = seen.into_iter().collect();
    found.sort_unstable();
    found
}

/// Parent and process group of proc_pid_stat(5). The name in front of them may hold anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    // A zombie has ended.
    if words.next()? == "Z" {
        return None;
    }
    Some(Process { parent: words.next()?.parse().ok()?, group: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::*;

    fn register() -> (File, &'static Register) {
        let file = tempfile::tempfile().unwrap();
        let register = Register::new(file.try_clone().unwrap()).unwrap();
        (file, Box::leak(Box::new(register)))
    }

    fn text_of(file: &mut File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_runs_is_in_the_file_and_nothing_else() {
        let (mut file, register) = register();
        let [first, second, third] = [register.begin(), register.begin(), register.begin()];
        drop(second);
        let mark =
            |running: &Running| [VARIABLE.as_bytes(), b"=", running.mark().as_encoded_bytes()].concat();
        assert_eq!(marks(&text_of(&mut file)), HashSet::from([mark(&first), mark(&third)]));
        let fourth = register.begin();
        assert_eq!(marks(&text_of(&mut file)).len(), 3);
        // A place is used again.
        assert_eq!(text_of(&mut file).len(), 4 * RECORD);
        drop([first, third, fourth]);
        assert!(marks(&text_of(&mut file)).is_empty());
        assert!(marks("").is_empty() && marks("word\nx\n-1\n").is_empty());
    }

    #[test]
    fn a_script_goes_with_all_that_it_has_started_and_nothing_else_does() {
        let (mut file, register) = register();
        let sleeping = |mark: Option<OsString>, script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).process_group(0).stdout(Stdio::piped());
            if let Some(mark) = mark {
                command.env(VARIABLE, mark);
            }
            command.spawn().unwrap()
        };
        let (running, over) = (register.begin(), register.begin());
        // One in the background without the mark, one in a session of its own.
        let script = "env -i /bin/sleep 60 & setsid sleep 60 & sleep 60";
        let mut scripts = [
            sleeping(Some(running.mark()), script),
            sleeping(Some(over.mark()), "exec sleep 60"),
            sleeping(None, "exec sleep 60"),
        ];
        drop(over);
        assert!(are_left(&mut file));
        let mut told = 0;
        end_left(&mut file, Duration::ZERO, |left| told = left.len());
        assert!(told >= 4 && !are_left(&mut file), "{told}");
        // The end of its output is the end of all that have it open.
        let mut rest = Vec::new();
        scripts[0].stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        assert!(scripts[0].wait().unwrap().code().is_none());
        for script in &mut scripts[1..] {
            assert_eq!(script.try_wait().unwrap(), None);
            script.kill().unwrap();
            script.wait().unwrap();
        }
        drop(running);
    }

    #[test]
    fn a_script_that_ends_by_itself_is_waited_for() {
        let (mut file, register) = register();
        let running = register.begin();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 0.3; exit 7"]).env(VARIABLE, running.mark());
        let mut script = command.spawn().unwrap();
        let waiting = thread::spawn(move || end_left(&mut file, Duration::from_secs(60), |_| {}));
        assert_eq!(script.wait().unwrap().code(), Some(7));
        waiting.join().unwrap();
    }

    #[test]
    fn lines_of_proc_are_read() {
        let process = Some(Process { parent: 1, group: 7 });
        assert_eq!(parse_stat("7 (a) b) (x) S 1 7 7 0 -1"), process);
        for none in ["", "7 (a", "7 (a) Z 1 7 7", "7 (a) S x 7"] {
            assert_eq!(parse_stat(none), None, "{none}");
        }
    }
}
