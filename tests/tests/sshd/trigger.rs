//! The trigger server and real ssh servers: machines call, and are configured by ssh.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use cdist_tests::{
    lab::{
        admin::TYPES,
        process::{run, wait_until},
        ssh::Key,
        sshd::{Like, Sshd},
        trigger::{Trigger, TriggerLab},
    },
    outcome::{Outcome, outcome},
};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

/// Where machines call from, and what they are called in the ssh configuration.
const MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));
const NOTES: &str = "/var/lib/notes";
/// Ends when the file is gone, and not by SIGTERM.
const SLOW: &str = "__run slow <<'EOF'\ntrap '' TERM\n: > /var/lib/hold\necho x >> /var/lib/runs\n\
                    while [ -e /var/lib/hold ]; do sleep 0.1; done\nEOF\nrequire=__run/slow __note done\n";

/// A server that knows its machines by an ssh configuration, and the machine.
struct Site {
    lab: TriggerLab,
    key: Key,
    sshd: Sshd,
}

impl Site {
    fn new(manifest: &str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), MACHINE, manifest)
    }

    /// With an ssh server at `address`, which is the one of `machine`.
    fn at(address: IpAddr, machine: IpAddr, manifest: &str) -> Self {
        let types: Vec<(&str, &str)> =
            TYPES.iter().map(|(file, text)| (file.strip_prefix("type/").unwrap(), *text)).collect();
        let lab = TriggerLab::new(&types, manifest);
        let key = Key::generate();
        let sshd = Sshd::start_like(&key, &Like { address, ..Like::default() });
        let site = Self { lab, key, sshd };
        site.lab.file("known_hosts", "");
        site.leads_to(machine);
        site
    }

    /// The ssh configuration: `machine` is the ssh server.
    fn leads_to(&self, machine: IpAddr) {
        let text = format!(
            "Host {machine}\n  HostName {}\n  Port {}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile \
             {}\n  GlobalKnownHostsFile /dev/null\n",
            self.sshd.address(),
            self.sshd.port(),
            self.key.private_file().display(),
            self.lab.path("known_hosts").display()
        );
        self.lab.file("ssh_config", &text);
    }

    /// Another ssh server in its place, with another key.
    fn replace(&mut self) {
        self.sshd = Sshd::start(&self.key);
        self.leads_to(MACHINE);
    }

    fn start(&self, more: &[&str]) -> Trigger {
        let config = self.lab.path("ssh_config").display().to_string();
        self.lab.start(&[&["--ssh-config", config.as_str(), "--retries", "0"], more].concat())
    }

    /// What the machine tells of itself.
    fn facts(&self) -> String {
        facts(&self.sshd)
    }

    fn show(&self, id: u8) -> Value {
        let output = self.lab.cdist(&["show", "--json", &id.to_string()]).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// What `cdist trigger show` says, without line ends.
    fn shown(&self, id: u8) -> String {
        run(&mut self.lab.cdist(&["show", &id.to_string()])).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn job_log(&self, id: u8, attempt: u8) -> String {
        fs::read_to_string(self.lab.state_dir().join(format!("jobs/{id}/{attempt}.log"))).unwrap()
    }

    /// `cdist config -v` for the machine, with the same types, manifest and way.
    fn by_hand(&self) -> Outcome {
        let mut command = Command::new(self.lab.path("dist/bin/cdist"));
        command
            .args(["config", "-v", "--ssh-config"])
            .arg(self.lab.path("ssh_config"))
            .arg(MACHINE.to_string());
        for name in ["CDIST_PATH", "CDIST_BETA", "CDIST_REMOTE_EXEC", "CDIST_REMOTE_COPY", "SSH_AUTH_SOCK"] {
            command.env_remove(name);
        }
        outcome(command.env("HOME", self.lab.path("home")))
    }

    fn notes(&self) -> String {
        fs::read_to_string(self.sshd.path(NOTES)).unwrap_or_default()
    }

    /// Waits until slow code runs there for the time with this number.
    #[track_caller]
    fn wait_for_run(&self, number: usize, server: &Trigger) {
        let runs = || fs::read_to_string(self.sshd.path("/var/lib/runs")).unwrap_or_default().lines().count();
        let there = wait_until(Duration::from_secs(30), || (runs() == number).then_some(()));
        assert!(there.is_some(), "{} runs:\n{}", runs(), server.log());
    }

    #[track_caller]
    fn wait_for_state(&self, id: u8, state: &str) {
        let there = || (self.show(id)["state"] == state).then_some(());
        assert!(wait_until(Duration::from_secs(30), there).is_some(), "not {state}: {}", self.show(id));
    }

    /// Nothing of a run is on the target.
    #[track_caller]
    fn assert_idle(&self) {
        let idle = wait_until(Duration::from_secs(15), || self.sshd.processes().is_empty().then_some(()));
        assert!(idle.is_some(), "still on the target: {:?}", self.sshd.processes());
        assert!(!self.sshd.path("/var/lib/cdist.lock").exists());
    }

    fn release(&self) {
        fs::remove_file(self.sshd.path("/var/lib/hold")).unwrap();
    }
}

fn facts(sshd: &Sshd) -> String {
    let line = sshd.known_hosts_line();
    let key: Vec<&str> = line.split(' ').skip(1).take(2).map(str::trim).collect();
    json!({ "mac": "52:54:00:00:00:01", "ssh_host_keys": [key.join(" ")] }).to_string()
}

/// Without what differs from run to run: where the files of the run are, and numbers.
fn normal(log: &str) -> String {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_path = |word: &str| word.matches('/').count() > 3;
    let mut shown = String::new();
    for line in log.lines() {
        for word in line.split(' ') {
            match word.find('/').filter(|_| is_path(word)) {
                Some(at) => {
                    shown.push_str(&word[..at]);
                    shown.push_str("PATH");
                    shown.push_str(word[at..].trim_start_matches(is_of_path));
                }
                None => shown.push_str(word),
            }
            shown.push(' ');
        }
        shown.push('\n');
    }
    let mut text = String::new();
    for c in shown.chars() {
        match c.is_ascii_digit() {
            true if text.ends_with('0') => {}
            true => text.push('0'),
            false => text.push(c),
        }
    }
    text
}

#[test]
fn a_machine_that_tells_its_host_keys_is_configured() {
    let site = Site::new("__note first\nrequire=__note/first __note second\n");
    let server = site.start(&[]);
    let answer = server.machine(MACHINE).post("/config/?wait=60", site.facts());
    assert_eq!((answer.status, answer.text().trim_end()), (200, "config succeeded: job 1 for 127.1.0.1"));
    assert_eq!(site.notes(), "first\nsecond\n");
    let jobs: Value = serde_json::from_str(&run(&mut site.lab.cdist(&["jobs", "--json"]))).unwrap();
    let job = &jobs["jobs"][0];
    assert_eq!(
        (&job["state"], &job["address"], &job["mac"]),
        (&json!("succeeded"), &json!("127.1.0.1"), &json!("52:54:00:00:00:01"))
    );
    assert_eq!(site.show(1)["report"]["changed"], 2);
    assert_eq!(fs::read_to_string(site.lab.path("known_hosts")).unwrap(), "", "kept for this job only");
    site.assert_idle();

    // The same by hand says the same.
    site.lab.file("known_hosts", &site.sshd.known_hosts_line());
    let printed = site.by_hand();
    assert_eq!(printed.status, Some(0), "{}", printed.stderr);
    assert_eq!(normal(&site.job_log(1, 1)), normal(&printed.stderr));
    let printed = printed.stderr;
    assert!(printed.contains("127.1.0.1: 2 objects, 2 changed"), "{printed}");
    assert_eq!(site.notes(), "first\nsecond\n".repeat(2));
}

#[test]
fn a_failed_job_says_what_the_program_says() {
    let site = Site::new("__run bad <<'EOF'\necho on the target >&2\nexit 7\nEOF\n");
    let server = site.start(&[]);
    assert_eq!(server.machine(MACHINE).post("/config/?wait=60", site.facts()).status, 599);
    let report = &site.show(1)["report"];
    assert_eq!(
        (&report["exit_status"], &report["what"]),
        (&json!(7), &json!("object '__run/bad'")),
        "{report}"
    );
    assert!(site.shown(1).contains("on the target"), "{}", site.shown(1));
    site.lab.file("known_hosts", &site.sshd.known_hosts_line());
    let printed = site.by_hand();
    assert_eq!(printed.status, Some(1), "{}", printed.stderr);
    assert_eq!(normal(&site.job_log(1, 1)), normal(&printed.stderr));
    site.assert_idle();
}

#[test]
fn a_machine_with_another_key_than_it_has_told_is_not_configured() {
    let site = Site::new("__note never\n");
    // What the administrator has accepted some day does not count, either.
    site.lab.file("known_hosts", &site.sshd.known_hosts_line());
    let other = Sshd::start(&site.key);
    let server = site.start(&[]);
    assert_eq!(server.machine(MACHINE).post("/config/?wait=60", facts(&other)).status, 599);
    let shown = site.shown(1);
    for words in ["FAILED", "its host key is none of those", "key SHA256:", "let it call again"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(site.job_log(1, 1).contains("its host key is none of those"), "{}", site.job_log(1, 1));
    assert_eq!((site.notes().as_str(), site.sshd.log().contains("Accepted publickey")), ("", false));
    // It does, and says them.
    assert_eq!(server.machine(MACHINE).post("/config/?wait=60", site.facts()).status, 200);
    assert_eq!(site.notes(), "never\n");
}

#[test]
fn without_told_keys_the_ssh_configuration_decides() {
    let site = Site::new("__note one\n");
    let server = site.start(&[]);
    assert_eq!(server.machine(MACHINE).get("/config/?wait=60").status, 599);
    let (shown, log) = (site.shown(1), site.job_log(1, 1));
    for words in ["host key", "let the machine tell its host keys", "--trigger-url", "--host-key accept-new"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(site.notes(), "");
    site.lab.file("known_hosts", &site.sshd.known_hosts_line());
    assert_eq!(server.machine(MACHINE).get("/config/?wait=60").status, 200);
    assert_eq!(site.notes(), "one\n");
}

#[test]
fn the_first_key_is_accepted_until_the_machine_is_forgotten_or_installed() {
    let mut site = Site::new("__note one\n");
    let server = site.start(&["--host-key", "accept-new"]);
    let machine = server.machine(MACHINE);
    for _ in 0..2 {
        assert_eq!(machine.get("/config/?wait=60").status, 200, "{}", server.log());
    }
    let kept = site.lab.state_dir().join("known_hosts/1");
    assert_eq!(fs::read_to_string(&kept).unwrap().lines().count(), 1);
    site.replace();
    assert_eq!(machine.get("/config/?wait=60").status, 599);
    let shown = site.shown(3);
    for words in ["its host key is not the one", "known_hosts/1", "remove the file"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(site.notes(), "");
    // What it tells counts more.
    assert_eq!(machine.post("/config/?wait=60", site.facts()).status, 200);
    assert_eq!(machine.get("/config/?wait=60").status, 599);
    // A forgotten machine is a new one when it calls again.
    run(&mut site.lab.cdist(&["forget", "127.1.0.1"]));
    assert_eq!(machine.get("/config/?wait=60").status, 200, "{}", server.log());
    // A machine that is installed has another key during that, and another one after that.
    site.replace();
    assert_eq!(machine.get("/install/?wait=60").status, 200, "{}", server.log());
    site.replace();
    assert_eq!(machine.get("/config/?wait=60").status, 200, "{}", server.log());
    assert_eq!(site.notes(), "one\n");
}

#[test]
fn a_job_that_is_stopped_leaves_nothing_on_the_target() {
    let site = Site::new(SLOW);
    let server = site.start(&[]);
    assert_eq!(server.machine(MACHINE).post("/config/", site.facts()).status, 202);
    site.wait_for_run(1, &server);
    assert!(!site.sshd.processes().is_empty());
    assert_eq!(run(&mut site.lab.cdist(&["cancel", "1"])), "job 1 is told to stop\n");
    site.wait_for_state(1, "cancelled");
    site.assert_idle();
    assert_eq!((site.notes().as_str(), &site.show(1)["note"]), ("", &json!("stopped while it ran")));
    // And the next one works.
    assert_eq!(server.machine(MACHINE).post("/config/", site.facts()).status, 202);
    site.lab.file("dist/share/cdist/conf/manifest/init", "__note next\n");
    site.release();
    site.wait_for_state(2, "succeeded");
}

#[test]
fn a_server_that_ends_lets_a_running_job_end() {
    let site = Site::new(SLOW);
    let mut server = site.start(&["--grace", "600s"]);
    assert_eq!(server.machine(MACHINE).post("/config/", site.facts()).status, 202);
    site.wait_for_run(1, &server);
    kill(server.pid(), Signal::SIGTERM).unwrap();
    let said = || server.log().contains("waiting for 1 running job(s)").then_some(());
    assert!(wait_until(Duration::from_secs(10), said).is_some(), "{}", server.log());
    // New calls are refused; the administrator is still answered.
    let closed = || server.machine(MACHINE).ask("GET", "/healthz", &[], b"").is_err().then_some(());
    assert!(wait_until(Duration::from_secs(10), closed).is_some(), "machines are still served");
    assert_eq!(site.show(1)["state"], "running");
    site.release();
    assert_eq!(server.wait_for_end(), Some(0), "{}", server.log());
    site.assert_idle();

    let _server = site.start(&[]);
    assert_eq!((&site.show(1)["state"], &site.show(1)["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(site.notes(), "done\n");
}

#[test]
fn a_second_signal_stops_running_jobs() {
    let site = Site::new(SLOW);
    let mut server = site.start(&["--grace", "600s"]);
    assert_eq!(server.machine(MACHINE).post("/config/", site.facts()).status, 202);
    site.wait_for_run(1, &server);
    kill(server.pid(), Signal::SIGTERM).unwrap();
    let said = || server.log().contains("once more stops them").then_some(());
    assert!(wait_until(Duration::from_secs(10), said).is_some(), "{}", server.log());
    assert_eq!(server.end(Signal::SIGTERM), Some(0), "{}", server.log());
    site.assert_idle();
    assert_eq!(site.notes(), "");
    // It was a configuration, so it is done by the next server.
    let server = site.start(&[]);
    site.wait_for_run(2, &server);
    assert_eq!((&site.show(1)["state"], &site.show(1)["attempts"]), (&json!("running"), &json!(2)));
    site.release();
    site.wait_for_state(1, "succeeded");
    assert_eq!(site.notes(), "done\n");
}

#[test]
fn a_configuration_is_done_again_by_the_server_after_a_killed_one() {
    let site = Site::new(SLOW);
    let mut server = site.start(&[]);
    assert_eq!(server.machine(MACHINE).post("/config/", site.facts()).status, 202);
    site.wait_for_run(1, &server);
    assert_eq!(server.end(Signal::SIGKILL), None);
    // At once: the second run waits until the target has cleaned up after the first.
    let server = site.start(&[]);
    site.wait_for_run(2, &server);
    let job = site.show(1);
    assert_eq!((&job["state"], &job["attempts"]), (&json!("running"), &json!(2)));
    assert!(job["note"].as_str().unwrap().contains("it is done again"), "{job}");
    assert_eq!(site.notes(), "");
    site.release();
    site.wait_for_state(1, "succeeded");
    // By the second one only.
    assert_eq!(site.notes(), "done\n");
    site.assert_idle();
}

#[test]
fn an_ipv6_machine_is_configured() {
    let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let site = Site::at(address, address, "__note six\n");
    let server = site.start(&["--listen", "::1"]);
    let answer = server.machine(address).post("/config/?wait=60", site.facts());
    assert_eq!((answer.status, answer.text().trim_end()), (200, "config succeeded: job 1 for ::1"));
    assert_eq!(site.notes(), "six\n");
    assert!(site.job_log(1, 1).contains("::1: 1 object, 1 changed"), "{}", site.job_log(1, 1));
    drop(server);
    // And with an accepted key.
    let server = site.start(&["--listen", "::1", "--host-key", "accept-new"]);
    for _ in 0..2 {
        assert_eq!(server.machine(address).get("/config/?wait=60").status, 200, "{}", site.job_log(2, 1));
    }
    assert_eq!(site.notes(), "six\n".repeat(3));
}
