//! What an administrator asks of a running trigger server: the commands of `cdist trigger`, on pipes and on terminals.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cdist_tests::lab::{
    process::{tool, wait_until},
    trigger::{Trigger, TriggerLab},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Waits in its run until the file is gone that the test has made.
const HOLD: &str = "echo holding >&2; while [ -e 'HOLD' ]; do sleep 0.05; done\n";

fn machine(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 1, 0, last).into()
}

/// A server whose configurations wait until they may go on.
fn held() -> TriggerLab {
    let lab = TriggerLab::counting();
    lab.file("hold", "");
    let hold = lab.path("hold").display().to_string();
    lab.file("dist/share/cdist/conf/type/__hold/singleton", "");
    lab.file("dist/share/cdist/conf/type/__hold/gencode-local", &HOLD.replace("HOLD", &hold));
    lab.file("dist/share/cdist/conf/manifest/init", "__installed\n__hold\nrequire=__hold __configured\n");
    lab
}

fn release(lab: &TriggerLab) {
    fs::remove_file(lab.path("hold")).unwrap();
}

/// A command that has ended.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn ask(lab: &TriggerLab, words: &[&str]) -> Said {
    said(&mut lab.cdist(words))
}

impl Said {
    #[track_caller]
    fn ok(&self) -> &str {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        &self.stdout
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap()
    }

    /// Nothing but one sentence with these words, and a hint with those.
    #[track_caller]
    fn refused(&self, sentence: &str, hint: &str) {
        assert_eq!((self.status, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(sentence), "{self:?}");
        assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{self:?}");
    }
}

/// What a terminal of 80 columns and 24 lines gets, as it comes.
fn on_a_terminal(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy());
    let words: Vec<String> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    // Colours would be orders, too.
    let line = format!("stty cols 80 rows 24; NO_COLOR=1 {}", words.join(" "));
    let mut script = Command::new(tool("script", "bsdutils"));
    let output = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Nothing there gives orders to a terminal.
#[track_caller]
fn assert_plain(screen: &str) {
    let order = screen.chars().find(|c| c.is_control() && !"\r\n\t".contains(*c));
    assert_eq!(order, None, "{screen:?}");
}

/// All of it can be seen at once, with a line for the prompt.
#[track_caller]
fn assert_fits(screen: &str) {
    assert_plain(screen);
    let rows: usize = screen.lines().map(|line| line.trim_end().chars().count().div_ceil(80).max(1)).sum();
    assert!(rows < 24, "{rows} rows:\n{screen}");
}

#[track_caller]
fn wait(what: &str, mut there: impl FnMut() -> bool) {
    assert!(wait_until(Duration::from_secs(30), || there().then_some(())).is_some(), "{what} did not come");
}

fn state(lab: &TriggerLab, id: u8) -> String {
    let job = ask(lab, &["show", "--json", &id.to_string()]).json();
    job["state"].as_str().unwrap().to_owned()
}

#[track_caller]
fn wait_for_state(lab: &TriggerLab, id: u8, wanted: &str) {
    wait(wanted, || state(lab, id) == wanted);
}

/// How the server answers an install of this machine, at its end.
fn install(server: &Trigger, last: u8) -> u16 {
    server.machine(machine(last)).get("/install/?wait=60").status
}

#[test]
fn a_machine_is_armed_for_one_install() {
    let lab = TriggerLab::counting();
    let server = lab.start(&[]);
    ask(&lab, &["arm", "127.1.0.9"]).refused("no machine \"127.1.0.9\" is known", "cdist trigger hosts");
    assert_eq!([install(&server, 1), install(&server, 1)], [200, 409]);
    let armed = ask(&lab, &["arm", "127.1.0.1"]);
    assert!(armed.ok().starts_with("machine 1 may be installed once more, until 2"), "{armed:?}");
    assert_eq!(armed.stdout.lines().count(), 1);
    assert_eq!([install(&server, 1), install(&server, 1)], [200, 409]);
    ask(&lab, &["arm", "1", "--for", "90s"]).ok();
    assert_eq!(ask(&lab, &["hosts", "--json"]).json()["machines"][0]["armed"], true);
    assert_eq!(ask(&lab, &["arm", "1", "--off"]).ok(), "machine 1 is not armed\n");
    assert_eq!(ask(&lab, &["hosts", "--json"]).json()["machines"][0]["armed"], false);
    assert_eq!(install(&server, 1), 409);
    // By its hardware address, wherever it is.
    let facts = r#"{"mac":"52-54-00-AB-CD-01"}"#;
    assert_eq!(server.machine(machine(1)).post("/install/", facts).status, 409);
    ask(&lab, &["arm", "52:54:00:ab:cd:01"]).ok();
    assert_eq!(server.machine(machine(7)).post("/install/?wait=60", facts).status, 200);
    assert_eq!(lab.installed(), ["127.1.0.1", "127.1.0.1", "127.1.0.7"]);
    for words in [&["arm", "1", "--for", "0"][..], &["arm", "1", "--for", "9999999999"]] {
        let wrong = ask(&lab, words);
        assert!(wrong.status != Some(0) && wrong.stderr.starts_with("error: "), "{wrong:?}");
    }
    // Time is over for one that does not come.
    ask(&lab, &["arm", "1", "--for", "1s"]).ok();
    wait("the end of the time", || ask(&lab, &["hosts", "--json"]).json()["machines"][0]["armed"] == false);
    assert_eq!(install(&server, 7), 409);
}

#[test]
fn jobs_are_stopped_repeated_and_forgotten() {
    let lab = held();
    let server = lab.start(&["-j", "1"]);
    for last in [1, 2] {
        assert_eq!(server.machine(machine(last)).get("/config/").status, 202);
    }
    wait_for_state(&lab, 1, "running");
    let status = ask(&lab, &["status", "--json"]).json();
    assert_eq!([&status["running"], &status["waiting"], &status["jobs_at_once"]], [1, 1, 1]);
    assert_eq!((&status["healthy"], &status["machines"]), (&Value::Bool(true), &2.into()), "{status}");
    assert_eq!(status["state_dir"], lab.state_dir().display().to_string());
    let people = ask(&lab, &["status"]);
    assert!(people.ok().contains("1 running of 1 at a time, 1 waiting"), "{people:?}");

    ask(&lab, &["forget", "127.1.0.2"]).refused("job 2 of machine 2 is not at its end", "cancel 2");
    ask(&lab, &["retry", "2"]).refused("job 2 is queued", "cancel 2");
    assert_eq!(ask(&lab, &["cancel", "2"]).ok(), "job 2 is cancelled\n");
    ask(&lab, &["cancel", "2"]).refused("job 2 is at its end already: cancelled", "cdist trigger retry 2");
    ask(&lab, &["cancel", "77"]).refused("there is no job 77", "cdist trigger jobs");
    let retried = ask(&lab, &["retry", "2"]);
    assert!(
        retried.ok().starts_with("job 3 does job 2 again; `cdist trigger log -f 3 --state-dir "),
        "{retried:?}"
    );
    // Until it has run, that is the one.
    assert!(ask(&lab, &["retry", "2"]).ok().starts_with("job 3 "));
    let queued = ask(&lab, &["jobs", "--json", "--state", "queued"]).json();
    assert_eq!(
        (queued["jobs"].as_array().unwrap().len(), &queued["jobs"][0]["id"]),
        (1, &3.into()),
        "{queued}"
    );

    release(&lab);
    wait_for_state(&lab, 3, "succeeded");
    assert_eq!(lab.configured(), ["127.1.0.1", "127.1.0.2"]);
    let of_one = ask(&lab, &["jobs", "--json", "-H", "127.1.0.2"]).json();
    let states: Vec<_> = of_one["jobs"].as_array().unwrap().iter().map(|job| &job["state"]).collect();
    assert_eq!(states, ["succeeded", "cancelled"]);
    assert_eq!(ask(&lab, &["forget", "127.1.0.2"]).ok(), "machine 2 is forgotten\n");
    ask(&lab, &["forget", "127.1.0.2"]).refused("no machine \"127.1.0.2\" is known", "cdist trigger hosts");
    ask(&lab, &["retry", "3"]).refused("the machine of job 3 is not known any more", "boot the PreOS");
    let hosts = ask(&lab, &["hosts", "--json"]).json();
    assert_eq!((hosts["machines"].as_array().unwrap().len(), &hosts["machines"][0]["id"]), (1, &1.into()));
    assert!(ask(&lab, &["hosts"]).ok().contains("127.1.0.1"));
}

fn follow(lab: &TriggerLab, id: &str) -> Child {
    let (out, err) = (File::create(lab.path("out")).unwrap(), File::create(lab.path("err")).unwrap());
    lab.cdist(&["log", "-f", id]).stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_log_is_followed_to_the_end_of_the_job() {
    let lab = held();
    let server = lab.start(&["-j", "1", "--retries", "0"]);
    for last in [1, 2] {
        assert_eq!(server.machine(machine(last)).get("/config/").status, 202);
    }
    let mut child = follow(&lab, "1");
    wait("the log", || read(&lab.path("out")).contains("127.1.0.1: Starting configuration run"));
    wait_for_state(&lab, 1, "running");
    assert!(child.try_wait().unwrap().is_none(), "the job goes on");
    assert!(!read(&lab.path("out")).contains("1 object"), "{}", read(&lab.path("out")));
    release(&lab);
    assert!(child.wait().unwrap().success());
    let whole = read(&lab.path("out"));
    assert!(whole.contains("127.1.0.1: 2 objects") && read(&lab.path("err")).is_empty(), "{whole}");
    assert_eq!(whole, read(&lab.state_dir().join("jobs/1/1.log")));
    assert_eq!(ask(&lab, &["log", "1"]).ok(), whole);

    // One that fails, followed before it begins.
    lab.file("hold", "");
    assert_eq!(server.machine(machine(3)).get("/config/").status, 202);
    lab.file("dist/share/cdist/conf/type/__configured/gencode-local", "echo broken >&2; exit 3\n");
    assert_eq!(server.machine(machine(4)).get("/config/").status, 202);
    let mut child = follow(&lab, "4");
    assert!(child.try_wait().unwrap().is_none());
    release(&lab);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(read(&lab.path("out")).contains("broken"), "{}", read(&lab.path("out")));
    let said = read(&lab.path("err"));
    assert!(said.starts_with("error: job 4 has failed\nhint: `cdist trigger show 4 --state-dir "), "{said}");
    // What was there before ends at once.
    ask(&lab, &["log", "-f", "1"]).ok();
    ask(&lab, &["log", "1", "-a", "2"]).refused("job 1 has no attempt 2", "1 attempt");

    // One that is stopped meanwhile.
    lab.file("hold", "");
    assert_eq!(server.machine(machine(5)).get("/config/").status, 202);
    wait_for_state(&lab, 5, "running");
    let mut child = follow(&lab, "5");
    assert_eq!(ask(&lab, &["cancel", "5"]).ok(), "job 5 is told to stop\n");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(read(&lab.path("err")).starts_with("error: job 5 was cancelled\n"), "{}", read(&lab.path("err")));
    assert_eq!(state(&lab, 5), "cancelled");
}

#[test]
fn a_backup_of_a_running_server_is_a_server() {
    let lab = held();
    lab.file(
        "dist/share/cdist/conf/manifest/init",
        "__installed\n[ $__target_host = 127.1.0.1 ] || __hold\n__configured\n",
    );
    let mut server = lab.start(&[]);
    assert_eq!(install(&server, 1), 200);
    assert_eq!(server.machine(machine(2)).get("/config/").status, 202);
    wait_for_state(&lab, 2, "running");
    let copy = lab.path("copy.db");
    ask(&lab, &["backup", copy.to_str().unwrap()]).ok();
    // An older one is replaced, another file is not.
    ask(&lab, &["backup", copy.to_str().unwrap()]).ok();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let own = ask(&lab, &["backup", lab.path("exec").to_str().unwrap()]);
    assert!(own.status == Some(1) && own.stderr.contains("is no backup of a trigger"), "{own:?}");
    // This is not in it.
    assert_eq!(install(&server, 3), 200);
    assert_eq!(server.end(Signal::SIGKILL), None);

    let other = lab.path("other");
    fs::DirBuilder::new().mode(0o700).create(&other).unwrap();
    fs::rename(&copy, other.join("trigger.db")).unwrap();
    release(&lab);
    let other = other.to_str().unwrap();
    let server = lab.start(&["--state-dir", other]);
    let ask = |words: &[&str]| said(lab.cdist(words).args(["--state-dir", other]));
    wait("the job that was running", || ask(&["show", "2", "--json"]).json()["state"] == "succeeded");
    let jobs = ask(&["jobs", "--json"]).json();
    let ids: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(install(&server, 1), 409, "it is known to be installed");
    assert_eq!(lab.installed(), ["127.1.0.1", "127.1.0.3"]);
}

#[test]
fn without_a_server_there_is_one_sentence() {
    let lab = TriggerLab::counting();
    let file = lab.path("copy.db");
    let file = file.to_str().unwrap();
    for server_was_there in [false, true] {
        for words in [
            &["jobs"][..],
            &["show", "1"],
            &["log", "-f", "1"],
            &["cancel", "1"],
            &["retry", "1"],
            &["arm", "127.1.0.1"],
            &["arm", "--off", "127.1.0.1"],
            &["hosts"],
            &["forget", "1"],
            &["status", "--json"],
        ] {
            let sentence = format!(
                "no trigger server is running with the state directory {}",
                lab.state_dir().display()
            );
            ask(&lab, words).refused(&sentence, "start one with `cdist trigger`");
        }
        if !server_was_there {
            ask(&lab, &["backup", file]).refused("state/trigger.db: No such file", "has to be there already");
            let mut server = lab.start(&[]);
            assert_eq!(install(&server, 1), 200);
            // Not in peace: its socket stays.
            assert_eq!(server.end(Signal::SIGKILL), None);
            assert!(lab.state_dir().join("socket").exists());
        }
    }
    // The database is there all the same.
    ask(&lab, &["backup", file]).ok();
}

#[test]
fn what_failed_is_seen_on_one_screen() {
    let lab = held();
    release(&lab);
    // Nothing about it fits in a line.
    let state_dir = lab.path(&"directory".repeat(10)).display().to_string();
    let options = ["--retries", "0", "--state-dir", &state_dir];
    let of_it = |words: &[&str]| {
        let mut command = lab.cdist(words);
        command.args(["--state-dir", &state_dir]);
        command
    };
    let noise = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo \"line $i of a script that says a lot more than anybody \
                 wants to read on a screen, $(printf %0100d 0)\" >&2; done; exit 3\n";
    lab.file("dist/share/cdist/conf/type/__configured/gencode-local", noise);
    let mut server = lab.start(&options);
    assert_eq!(server.machine(machine(1)).get("/config/?wait=60").status, 599);
    let shown = on_a_terminal(&of_it(&["show", "1"]));
    assert_fits(&shown);
    for words in ["job 1: config FAILED", "object '__configured/'", "exit status 3", "line 300 of"] {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    // To be copied, so whole, wherever the terminal breaks it.
    let joined: String = shown.lines().map(|line| line.trim_end_matches('\r')).collect();
    for whole in
        [format!("{state_dir}/jobs/1/1.log"), format!("cdist trigger retry 1 --state-dir {state_dir}")]
    {
        assert!(joined.contains(&whole), "{whole}:\n{shown}");
    }
    assert!(said(&mut of_it(&["show", "1"])).ok().contains("line 300 of"), "and in a pipe");

    // Interrupted in the middle of an install.
    lab.file("hold", "");
    lab.file("dist/share/cdist/conf/type/__hold/install", "");
    assert_eq!(server.machine(machine(2)).get("/install/").status, 202);
    wait("the install", || said(&mut of_it(&["show", "--json", "2"])).json()["state"] == "running");
    assert_eq!(server.end(Signal::SIGKILL), None);
    release(&lab);
    let _server = lab.start(&options);
    let shown = on_a_terminal(&of_it(&["show", "2"]));
    assert_fits(&shown);
    for words in ["job 2: install interrupted", "nobody knows how far it came", "retry 2"] {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    let jobs = on_a_terminal(&of_it(&["jobs"]));
    assert_fits(&jobs);
    assert!(jobs.contains("interrupted") && jobs.contains("failed"), "{jobs}");
}

#[test]
fn a_hostile_script_gives_no_orders_to_the_terminal() {
    let lab = TriggerLab::counting();
    let orders = r"printf '\033[2J\033]0;owned\007\302\233evil\010\r\377end\n' >&2; exit 1";
    lab.file("dist/share/cdist/conf/type/__configured/gencode-local", &format!("{orders}\n"));
    let server = lab.start(&["--retries", "0"]);
    let path = "/config/%1b[2J?wait=60";
    assert_eq!(server.machine(machine(1)).get(path).status, 599);
    for words in [&["log", "1"][..], &["log", "-f", "1"], &["show", "1"], &["jobs"], &["hosts"], &["status"]]
    {
        let screen = on_a_terminal(&lab.cdist(words));
        assert_plain(&screen);
        assert!(!screen.trim().is_empty());
        if ["log", "show"].contains(&words[0]) {
            assert!(screen.contains("owned") && screen.contains("evil"), "{words:?}: {screen}");
        }
    }
    for words in [&["show", "1"][..], &["jobs"]] {
        assert_plain(ask(&lab, words).ok());
    }
    let word = ask(&lab, &["arm", "\u{1b}[2J"]);
    assert_plain(&word.stderr);
    // A pipe gets what is in the log.
    assert!(ask(&lab, &["log", "1"]).ok().contains('\u{1b}'));
    assert!(!server.log().contains('\u{1b}'), "{}", server.log());
}
