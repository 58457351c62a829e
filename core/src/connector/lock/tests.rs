//! The lock from both sides, with several shells on the target.

use super::*;
use crate::connector::Local;
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::Write,
    process::{Command, Stdio},
};

fn context() -> RunContext {
    RunContext { host: "web1".into(), env: vec![], cancel: Cancel::default() }
}

fn locked(dir: &Path, holder: &str) -> Locked {
    Locked::new(Arc::new(Local::new()), dir, Holder(holder.to_owned()))
}

fn sh(script: &str) -> Exec {
    Exec { words: vec![script.into()], stdin: Input::Null, stdout: Output::Capture, stderr: Output::Null }
}

/// How many processes have `mark` in their command line.
fn running(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

#[tokio::test]
async fn the_second_is_refused_with_the_name_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("it's the work dir/");
    let (one, two) = (locked(&work, "ann@m1, process 1, since then"), locked(&work, "bob@m2"));
    one.open(&context()).await.unwrap();
    let error = two.open(&context()).await.unwrap_err();
    assert!(error.to_string().ends_with("web1: ann@m1, process 1, since then"), "{error}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("-r DIR")));
    let done = one.exec(&context(), sh("echo works; exit 3")).await.unwrap();
    assert_eq!((done.stdout.as_slice(), done.status.code()), (&b"works\n"[..], Some(3)));
    one.close(&context()).await.unwrap();
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "the lock, and the directory that was tried out"
    );
    two.open(&context()).await.unwrap();
    two.close(&context()).await.unwrap();
}

/// A target whose login scripts print.
#[derive(Debug)]
struct Chatty(Local);

#[async_trait]
impl Connector for Chatty {
    async fn exec(&self, context: &RunContext, mut exec: Exec) -> Result<Done, ConnectorError> {
        exec.words.insert(0, "echo welcome; printf 'cdist-lockless without a line end';".into());
        self.0.exec(context, exec).await
    }

    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
        self.0.copy(context, copy).await
    }

    fn commands(&self, dir: &Path) -> io::Result<Commands> {
        self.0.commands(dir)
    }

    fn shown(&self, context: &RunContext, words: &[OsString]) -> String {
        self.0.shown(context, words)
    }
}

#[tokio::test]
async fn what_login_scripts_print_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let holder = |name: &str| Holder(name.to_owned());
    let one = Locked::new(Arc::new(Chatty(Local::new())), &dir.path().join("work"), holder("ann"));
    let two = Locked::new(Arc::new(Chatty(Local::new())), &dir.path().join("work"), holder("bob"));
    one.open(&context()).await.unwrap();
    let error = two.open(&context()).await.unwrap_err();
    assert!(error.to_string().ends_with("web1: ann"), "{error}");
    one.close(&context()).await.unwrap();
}

/// The holder of a run that has lost its connection may be there still, and what the run itself has started beside it
/// is wanted.
#[tokio::test]
async fn a_run_gets_its_own_lock_back() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let one = locked(&work, "ann");
    one.open(&context()).await.unwrap();
    let again = Locked { token: one.token.clone(), ..locked(&work, "ann") };
    again.open(&context()).await.unwrap();
    let here = context();
    let (beside, killer) = tokio::join!(again.exec(&here, sh("echo begun; sleep 2; echo ended")), async {
        let holder = dir.path().join("work.lock/holder");
        while fs::read_to_string(dir.path().join("work.lock/running")).unwrap_or_default().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let holder = fs::read_to_string(holder).unwrap();
        let pid: i32 = holder.split(' ').next().unwrap().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        while !again.hold.lock().await.as_ref().unwrap().task.is_finished() {
            sleep(Duration::from_millis(10)).await;
        }
        again.exec(&here, sh("echo next")).await
    });
    assert_eq!(killer.unwrap().stdout, b"next\n");
    assert_eq!(beside.unwrap().stdout, b"begun\nended\n");
    again.close(&context()).await.unwrap();
    assert!(!dir.path().join("work.lock").exists());
    one.close(&context()).await.unwrap();
}

/// Others wait for `break` for some seconds only; ending what is left may take longer.
#[test]
fn a_lock_is_held_while_what_its_dead_holder_has_left_is_ended() {
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let mut first = start(shell, &work, "");
        assert_eq!(answer(&mut first), "ok");
        let stubborn = "trap '' TERM; echo; while :; do sleep 0.2; done";
        let mut left =
            Command::new("setsid").args(["sh", "-c", stubborn]).stdout(Stdio::piped()).spawn().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(left.stdout.as_mut().unwrap()), &mut String::new())
            .unwrap();
        let began = start_of(&left.id().to_string()).unwrap();
        fs::write(dir.path().join("work.lock/running"), format!("{} {began}\n", left.id())).unwrap();
        first.kill().unwrap();
        first.wait().unwrap();
        let mut second = start_as(shell, &work, "second", "");
        let holder = dir.path().join("work.lock/holder");
        while !fs::read_to_string(&holder).unwrap().contains("second") {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(left.try_wait().unwrap().is_none(), "{shell:?}");
        let mut third = start_as(shell, &work, "third", "");
        assert_eq!(answer(&mut third), "held second ann", "{shell:?}");
        assert_eq!(answer(&mut second), "ok", "{shell:?}");
        assert!(!left.wait().unwrap().success());
        drop(second.stdin.take());
        second.wait().unwrap();
        third.wait().unwrap();
    }
}

/// As for a user who has more pipes than the kernel gives whole buffers for.
#[tokio::test]
async fn a_script_goes_through_a_pipe_of_one_page() {
    let (stdin, pipe) = io::pipe().unwrap();
    let size = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    assert!(usize::try_from(size).unwrap() < HOLD.len(), "a page is larger here than the script");
    // What waits for the reader in this thread would wait before there is one.
    let send = async { drop(send_script(pipe).await.unwrap()) };
    let read = tokio::task::spawn_blocking(|| io::read_to_string(stdin).unwrap());
    let (read, ()) = tokio::join!(async { read.await.unwrap() }, send);
    assert_eq!(read, HOLD);
}

#[tokio::test]
async fn what_a_cancelled_command_leaves_is_ended_before_the_lock_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let one = locked(&work, "ann");
    let mut context = context();
    one.open(&context).await.unwrap();
    let cancel = context.cancel.clone();
    tokio::spawn(async move {
        while running("sleep\x0061.25") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        cancel.cancel();
    });
    // Ignores what Process sends first.
    let error = one.exec(&context, sh("trap '' TERM; sleep 61.25; sleep 61.25")).await.unwrap_err();
    assert!(error.is_cancelled());
    context.cancel = Cancel::default();
    one.close(&context).await.unwrap();
    assert_eq!(running("sleep\x0061.25"), 0);
    assert!(!dir.path().join("work.lock").exists());
}

/// The shell alone, as it is when this program has been killed: its input ends.
#[test]
fn the_end_of_input_ends_commands_and_lock_with_any_shell() {
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let mut hold = start(shell, &work, "");
        assert_eq!(answer(&mut hold), "ok", "{shell:?}");
        let note = locked(&work, "ann").note().into_string().unwrap();
        let mut command = Command::new("setsid")
            .args(["-w", "/bin/sh", "-c", &format!("{note} sleep 62 & sleep 62; :")])
            .spawn()
            .unwrap();
        let noted = dir.path().join("work.lock/running");
        while fs::read_to_string(&noted).unwrap_or_default().lines().next().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(command.try_wait().unwrap().is_none());
        drop(hold.stdin.take());
        assert!(hold.wait().unwrap().success(), "{shell:?}");
        assert!(!command.wait().unwrap().success());
        assert!(!dir.path().join("work.lock").exists(), "{shell:?}");
    }
}

#[test]
fn a_lock_whose_holder_is_gone_is_taken_over_by_one() {
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let mut first = start(shell, &work, "");
        assert_eq!(answer(&mut first), "ok");
        first.kill().unwrap();
        first.wait().unwrap();
        assert!(dir.path().join("work.lock/holder").exists());
        let mut others: Vec<_> = (0..8).map(|_| start(shell, &work, "")).collect();
        let answers: Vec<String> = others.iter_mut().map(answer).collect();
        let taken = answers.iter().filter(|answer| *answer == "ok").count();
        let held = answers.iter().filter(|answer| answer.starts_with("held token ann")).count();
        assert_eq!((taken, held), (1, 7), "{shell:?} {answers:?}");
        for other in &mut others {
            drop(other.stdin.take());
            other.wait().unwrap();
        }
        assert!(!dir.path().join("work.lock").exists());
    }
}

#[test]
fn a_holder_that_may_be_pushed_aside_is() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let mut first = start(&["dash"], &work, "");
    assert_eq!(answer(&mut first), "ok");
    let mut second = start(&["dash"], &work, "token");
    assert_eq!(answer(&mut second), "ok");
    assert!(!first.wait().unwrap().success());
    second.stdin.take().unwrap().write_all(b"done\n").unwrap();
    second.wait().unwrap();
    assert!(!dir.path().join("work.lock").exists());
}

#[test]
fn parents_that_were_made_go_unless_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("one/two/three/work");
    for used in [false, true] {
        let mut hold = start(&["dash"], &work, "");
        assert_eq!(answer(&mut hold), "ok");
        if used {
            fs::create_dir(&work).unwrap();
        }
        drop(hold.stdin.take());
        hold.wait().unwrap();
        assert_eq!(dir.path().join("one").exists(), used);
        assert_eq!(work.exists(), used);
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let mut hold = start(&["dash"], &dir.path().join("file/work"), "");
    let text = answer(&mut hold);
    assert!(text.starts_with("cannot mkdir: ") && text.contains("file"), "{text}");
    hold.wait().unwrap();
    let make = LockError::unusable("mkdir: x: No space left on device");
    assert!(matches!(make("web1".into(), "/x".into()), LockError::Full { .. }));
}

#[test]
fn only_processes_that_are_gone_are_dead() {
    let Token(own) = Token::new();
    assert!(!Token::is_of_dead_process(&own));
    let mut parts: Vec<&str> = own.rsplitn(4, ':').collect();
    parts[1] = "1";
    parts.reverse();
    assert!(Token::is_of_dead_process(&parts.join(":")));
    assert!(!Token::is_of_dead_process("another:boot:1:2:3"));
    assert!(!Token::is_of_dead_process("x"));
}

fn start(shell: &[&str], work: &Path, push: &str) -> std::process::Child {
    start_as(shell, work, "token", push)
}

fn start_as(shell: &[&str], work: &Path, token: &str, push: &str) -> std::process::Child {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-s", "--"])
        .args([work.as_os_str(), token.as_ref(), "ann".as_ref(), push.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(HOLD.as_bytes()).unwrap();
    child
}

fn answer(child: &mut std::process::Child) -> String {
    let stdout = io::BufReader::new(child.stdout.as_mut().unwrap());
    let mut lines = io::BufRead::lines(stdout).map(Result::unwrap);
    lines.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned)).unwrap_or_default()
}
