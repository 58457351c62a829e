//! Hosts that cannot be reached: one sentence with the host, the reason and the remedy, and nothing stays.

use std::{
    fs, io,
    net::{Shutdown, TcpListener, TcpStream},
};

use cdist_tests::{
    lab::{
        admin::{Admin, TYPES},
        ssh::Key,
        sshd::{Like, Sshd},
    },
    outcome::outcome,
};

#[track_caller]
fn refused(admin: &Admin, host: &str, words: &[&str]) {
    let failed = admin.configure("__note never\n", host);
    assert_eq!(failed.status, Some(1), "{}", failed.stderr);
    // The sentence and its hint.
    let said = |prefix: &str| failed.stderr.lines().find(|line| line.starts_with(prefix)).unwrap_or_default();
    let text = format!("{}\n{}", said("ERROR: "), said("hint: "));
    for word in [host].iter().chain(words) {
        assert!(text.contains(word), "{word:?} is not said:\n{}", failed.stderr);
    }
    let errors = failed.stderr.lines().filter(|line| line.starts_with("ERROR: ")).count();
    assert_eq!(errors, 2, "one sentence, and the list of hosts:\n{}", failed.stderr);
}

#[test]
fn an_unknown_host_key_is_never_accepted() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    admin.file("known_hosts", "");
    refused(&admin, "web1", &["host key is not known", "`ssh -o User=root web1`", "fingerprint"]);
    assert_eq!(fs::read_to_string(admin.path("known_hosts")).unwrap(), "", "it was not added");
    assert!(!sshd.path("/var/lib/cdist").exists());
    // Who says so in the ssh configuration gets it.
    let before = fs::read_to_string(admin.path("ssh_config")).unwrap();
    admin.file("ssh_config", &format!("StrictHostKeyChecking accept-new\n{before}"));
    admin.configure("__note x\n", "web1").assert_ok();
}

#[test]
fn a_changed_host_key_is_refused() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    let other = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    let (_, other_key) =
        other.known_hosts_line().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    admin.file("known_hosts", &format!("[127.0.0.1]:{} {other_key}", sshd.port()));
    refused(&admin, "web1", &["not the known one", "ssh-keygen -R", "fingerprint"]);
    assert!(!sshd.path("/var/lib/cdist").exists());
}

#[test]
fn a_wrong_key_is_an_authentication_failure() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(&Key::generate());
    admin.knows(&[("web1", &sshd)], "");
    refused(&admin, "web1", &["no key was accepted", "authorized_keys", "Permission denied"]);
}

#[test]
fn addresses_that_lead_nowhere() {
    let admin = Admin::new(TYPES);
    refused(&admin, "no-such-host.invalid", &["its name has no address", "no-such-host.invalid"]);

    // A port that was just given back has no listener.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(admin.path("ssh_config")).unwrap();
    let hosts = format!(
        "Host closed\n  HostName 127.0.0.1\n  Port {port}\nHost silent\n  HostName 127.0.0.1\n  Port {}\n  ConnectTimeout 1\nHost *\n",
        silent.local_addr().unwrap().port()
    );
    admin.file("ssh_config", &(hosts + &config));
    refused(&admin, "closed", &["nothing listens there", "Connection refused"]);
    refused(&admin, "silent", &["no answer in time", "ConnectTimeout"]);
}

#[test]
fn a_configuration_that_ssh_does_not_understand() {
    let admin = Admin::new(TYPES);
    admin.append("ssh_config", "Hots web1\n");
    refused(&admin, "web1", &["ssh does not understand its configuration", "hots"]);
    fs::remove_file(admin.path("ssh_config")).unwrap();
    refused(
        &admin,
        "web1",
        &["preparing the way to the target: reading ssh configuration", "ssh_config", "No such file"],
    );
}

#[test]
fn names_that_ssh_would_take_for_options() {
    let admin = Admin::new(TYPES);
    let mark = admin.path("mark");
    let host = format!("-oProxyCommand=touch${{IFS}}{}", mark.display());
    let failed = outcome(admin.config("__note never\n").args(["--", &host]));
    assert_eq!(failed.status, Some(1));
    assert!(failed.stderr.contains("does not begin with a dash"), "{}", failed.stderr);
    assert!(!mark.exists());
    admin.assert_no_connection();
}

#[test]
fn a_login_without_a_shell() {
    let admin = Admin::new(TYPES);
    let prepare = "sed 's,^\\(root:.*\\):[^:]*$,\\1:/usr/sbin/nologin,' /etc/passwd > /mnt/passwd; mount --bind /mnt/passwd /etc/passwd";
    let sshd = Sshd::start_like(admin.key(), &Like { prepare: prepare.into(), ..Like::default() });
    admin.knows(&[("web1", &sshd)], "");
    refused(&admin, "web1", &["not available", "`ssh -o User=root web1`"]);

    // Its login shell works, but not the one that scripts are for.
    let prepare = "cp /bin/busybox /mnt/busybox; ln -s busybox /mnt/ash; echo /mnt/ash >> /etc/shells 2>/dev/null || :\n\
        sed 's,^\\(root:.*\\):[^:]*$,\\1:/mnt/ash,' /etc/passwd > /mnt/passwd; mount --bind /mnt/passwd /etc/passwd\n\
        : > /mnt/none; exec 3</bin/sh; mount --bind /mnt/none \"$(readlink -f /bin/sh)\"";
    let sshd = Sshd::start_like(
        admin.key(),
        &Like {
            prepare: prepare.replace(" echo /mnt/ash >> /etc/shells 2>/dev/null || :\n", "\n"),
            ..Like::default()
        },
    );
    admin.knows(&[("web2", &sshd)], "");
    refused(&admin, "web2", &["no usable /bin/sh", "install a POSIX shell"]);
}

#[test]
fn a_machine_without_ssh() {
    let admin = Admin::new(TYPES);
    let failed = outcome(admin.config("__note never\n").env("PATH", admin.path("home")).arg("web1"));
    assert_eq!(failed.status, Some(1));
    assert!(
        failed.stderr.contains("web1") && failed.stderr.contains("install the OpenSSH client"),
        "{}",
        failed.stderr
    );
    admin.assert_no_connection();
}

/// As with MaxStartups, or a machine that boots: the connection ends before there is a login.
#[test]
fn a_dropped_connection_is_tried_again() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, behind) = (way.local_addr().unwrap().port(), sshd.port());
    admin.knows(&[("web1", &sshd)], "");
    for file in ["ssh_config", "known_hosts"] {
        let text = fs::read_to_string(admin.path(file)).unwrap();
        admin.file(file, &text.replace(&behind.to_string(), &port.to_string()));
    }
    std::thread::spawn(move || {
        for (number, near) in way.incoming().flatten().enumerate() {
            // Closed in silence, and with a reset since what was sent is not read.
            if number < 2 {
                if number == 1 {
                    let _ = near.peek(&mut [0]);
                }
                continue;
            }
            let far = TcpStream::connect(("127.0.0.1", behind)).unwrap();
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    admin.configure("__note x\n", "web1").assert_ok();
    assert_eq!(fs::read_to_string(sshd.path("/var/lib/notes")).unwrap(), "x\n");
}
