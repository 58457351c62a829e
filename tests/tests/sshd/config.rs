//! Hosts configured by ssh: the ways to them, and what scripts find there.

use std::{fs, net::Ipv6Addr, process::Command};

use cdist_tests::{
    lab::{
        admin::{Admin, TYPES},
        sshd::{Like, Sshd},
    },
    outcome::outcome,
};

/// An administrator who knows one server as `web1`.
fn one(like: &Like) -> (Admin, Sshd) {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start_like(admin.key(), like);
    admin.knows(&[("web1", &sshd)], "");
    (admin, sshd)
}

fn notes(sshd: &Sshd) -> String {
    fs::read_to_string(sshd.path("/var/lib/notes")).unwrap_or_default()
}

#[test]
fn the_distributions_types_reach_a_host() {
    let admin = Admin::with_distribution(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    let manifest = "__directory /var/lib/made\n\
        require=__directory/var/lib/made __file /var/lib/made/motd --mode 0640 --source - <<'EOF'\nhello\nEOF\n";
    admin.configure(manifest, "web1").assert_ok();
    assert_eq!(fs::read_to_string(sshd.path("/var/lib/made/motd")).unwrap(), "hello\n");
    // Again: nothing to do, and the lock of the first run is gone.
    let again = outcome(admin.config(manifest).args(["-v", "web1"]));
    again.assert_ok();
    assert!(!again.stderr.contains("Processing __file"), "{}", again.stderr);
    let left: Vec<_> =
        fs::read_dir(sshd.path("/var/lib")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("lock")), "{left:?}");
    // One login for each run.
    assert_eq!(sshd.log().matches("Accepted publickey for root").count(), 2, "{}", sshd.log());
}

#[test]
fn an_address_of_ipv6_needs_no_name() {
    let admin = Admin::new(TYPES);
    let sshd =
        Sshd::start_like(admin.key(), &Like { address: Ipv6Addr::LOCALHOST.into(), ..Like::default() });
    admin.knows(&[("::1", &sshd)], "");
    admin.configure("__note six\n", "::1").assert_ok();
    outcome(admin.config("__note forced\n").args(["-6", "::1"])).assert_ok();
    assert_eq!(notes(&sshd), "six\nforced\n");
    let refused = outcome(admin.config("__note never\n").args(["-4", "::1"]));
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot reach ::1"), "{}", refused.stderr);
}

#[test]
fn a_jump_host_of_the_ssh_configuration_is_used() {
    let admin = Admin::new(TYPES);
    let target = Sshd::start(admin.key());
    // Only the jump host knows the name.
    let prepare = "echo 127.0.0.1 web1.inside > /mnt/hosts; mount --bind /mnt/hosts /etc/hosts".into();
    let jump = Sshd::start_like(admin.key(), &Like { prepare, ..Like::default() });
    admin.knows(&[("jump", &jump)], "  User root");
    let before = fs::read_to_string(admin.path("ssh_config")).unwrap();
    let host = format!("Host web1\n  HostName web1.inside\n  Port {}\n  ProxyJump jump\n", target.port());
    admin.file("ssh_config", &(host + &before));
    let key = target.known_hosts_line();
    admin.append("known_hosts", &key.replace("127.0.0.1", "web1.inside"));

    admin.configure("__note through\n", "web1").assert_ok();
    assert_eq!(notes(&target), "through\n");
    assert!(jump.log().contains("Accepted publickey"), "{}", jump.log());

    drop(target);
    let failed = admin.configure("__note never\n", "web1");
    assert_eq!(failed.status, Some(1));
    assert!(failed.stderr.contains("cannot reach web1 through its jump host: "), "{}", failed.stderr);
    drop(jump);
    let failed = admin.configure("__note never\n", "web1");
    assert!(
        failed.stderr.contains("cannot reach web1 through its jump host: nothing listens"),
        "{}",
        failed.stderr
    );
}

#[test]
fn local_scripts_use_the_shared_connection_both_ways() {
    let (admin, sshd) = one(&Like::default());
    admin.file("to send", "sent\n");
    let manifest = format!(
        "__run_here x <<'EOF'\n\
         cp '{}' \"$__object/file\"\n\
         $__remote_copy \"$__object/file\" $__target_host:/var/lib/sent\n\
         echo read by the target | $__remote_exec $__target_host 'cat > /var/lib/piped'\n\
         $__remote_exec $__target_host \"echo 'two  blanks' >> /var/lib/piped; exit 7\" || echo $? >> \"$__object/file\"\n\
         $__remote_copy $__target_host:/var/lib/piped \"$__object/back\"\n\
         $__remote_copy \"$__object/back\" \"$__object/file\" $__target_host:/mnt\n\
         EOF\n",
        admin.path("to send").display()
    );
    admin.configure(&manifest, "web1").assert_ok();
    let read = |path: &str| fs::read_to_string(sshd.path(path)).unwrap();
    assert_eq!(read("/var/lib/sent"), "sent\n");
    assert_eq!(read("/mnt/back"), "read by the target\ntwo  blanks\n");
    assert_eq!(read("/mnt/file"), "sent\n7\n");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "{}", sshd.log());
}

#[test]
fn output_of_any_size_arrives_whole() {
    let (admin, _sshd) = one(&Like::default());
    admin.file("dist/share/cdist/conf/explorer/big", "head -c 5000001 /dev/zero | tr '\\0' x\n");
    admin.file("dist/share/cdist/conf/explorer/small", "echo last line; echo 'not here' >&2\n");
    let manifest = "wc -c < \"$__global/explorer/big\"\ncat \"$__global/explorer/small\"\n__note x\n";
    for _ in 0..5 {
        admin
            .configure(&format!("exec >> '{}'\n{manifest}", admin.path("seen").display()), "web1")
            .assert_ok();
    }
    assert_eq!(fs::read_to_string(admin.path("seen")).unwrap(), "5000001\nlast line\n".repeat(5));
}

#[test]
fn few_sessions_are_enough_for_many_jobs() {
    let (admin, sshd) = one(&Like { config: "MaxSessions 4".into(), ..Like::default() });
    let manifest: String = (0..24).map(|i| format!("__note n{i}\n")).collect();
    outcome(admin.config(&manifest).args(["-j", "12", "web1"])).assert_ok();
    assert_eq!(notes(&sshd).lines().count(), 24);
    admin.assert_no_connection();
}

#[test]
fn a_host_without_sessions_is_told_what_it_needs() {
    let (admin, _sshd) = one(&Like { config: "MaxSessions 1".into(), ..Like::default() });
    let failed = admin.configure("__note x\n", "web1");
    assert_eq!(failed.status, Some(1));
    assert!(failed.stderr.contains("web1") && failed.stderr.contains("MaxSessions"), "{}", failed.stderr);
}

#[test]
fn a_dry_run_leaves_the_target_as_it_was() {
    let (admin, sshd) = one(&Like::default());
    outcome(admin.config("__note dry\n").args(["-n", "-r", "/var/lib/one/two", "web1"])).assert_ok();
    assert_eq!(fs::read_dir(sshd.path("/var/lib")).unwrap().count(), 0);
    admin.assert_no_connection();
}

/// What people have in their configuration for logins.
#[test]
fn settings_for_logins_do_no_harm() {
    let (admin, sshd) = one(&Like::default());
    let before = fs::read_to_string(admin.path("ssh_config")).unwrap();
    let settings = format!(
        "Host *\n  ControlMaster auto\n  ControlPath {0}/own-%C\n  ControlPersist 10m\n  RequestTTY force\n  \
         RemoteCommand tmux attach\n  LogLevel QUIET\n  User nobody\n  LocalForward {1} localhost:1\n  \
         ExitOnForwardFailure yes\n",
        admin.path("tmp").display(),
        sshd.port(),
    );
    admin.file("ssh_config", &(settings + &before));
    admin.configure("__note still\n", "web1").assert_ok();
    assert_eq!(notes(&sshd), "still\n");
    assert_eq!(fs::read_dir(admin.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_target_without_tar_gets_its_files() {
    let prepare = "mkdir /mnt/bin /mnt/real; mount --bind /usr/bin /mnt/real\n\
        ln -s /mnt/real/* /mnt/bin; rm /mnt/bin/tar; mount --bind /mnt/bin /usr/bin";
    let (admin, sshd) = one(&Like { prepare: prepare.into(), ..Like::default() });
    assert_eq!(admin.ssh("web1", "command -v tar || echo none"), "none\n");
    admin.file("dist/share/cdist/conf/explorer/one", "printf '%s\\n' \"it's 100%\"\n");
    admin.file("dist/share/cdist/conf/explorer/two", "echo 2\n");
    let manifest = "cat \"$__global/explorer/one\" \"$__global/explorer/two\" >&2\n__note \"$(cat \"$__global/explorer/two\")\"\n";
    admin.configure(manifest, "web1").assert_ok();
    assert_eq!(notes(&sshd), "2\n");
}

#[test]
fn the_work_directory_may_be_noexec_but_not_read_only_or_full() {
    let prepare = "mkdir /mnt/noexec /mnt/ro /mnt/full\nmount -t tmpfs -o noexec n /mnt/noexec\n\
        mount -t tmpfs -o ro r /mnt/ro\nmount -t tmpfs -o size=64k f /mnt/full\n\
        dd if=/dev/zero of=/mnt/full/x bs=1k 2>/dev/null || :";
    let (admin, sshd) = one(&Like { prepare: prepare.into(), ..Like::default() });
    outcome(admin.config("__note runs\n").args(["-r", "/mnt/noexec/cdist", "web1"])).assert_ok();
    assert_eq!(notes(&sshd), "runs\n");
    for (dir, words) in [("/mnt/ro/cdist", "cannot be used"), ("/mnt/full/cdist", "no room")] {
        let failed = outcome(admin.config("__note never\n").args(["-r", dir, "web1"]));
        assert_eq!(failed.status, Some(1));
        for word in [dir, "web1", words, "another", "-r DIR"] {
            assert!(failed.stderr.contains(word), "{word}: {}", failed.stderr);
        }
    }
    admin.assert_no_connection();
}

/// Without `--ssh-config`, ssh's own files count: those of the home directory that the user database names.
#[test]
fn the_users_own_ssh_configuration_is_read() {
    let (admin, sshd) = one(&Like::default());
    let mut command = admin.config("__note own\n");
    command.arg("web1");
    let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let at = words.iter().position(|word| word == "--ssh-config").unwrap();
    let words = [&words[..at], &words[at + 2..]].concat().join("' '");
    // Root's home, but only for this process.
    let script = format!(
        "home=$(getent passwd root | cut -d: -f6)\nmount -t tmpfs home \"$home\"\nmkdir -m 700 \"$home/.ssh\"\n\
         cp '{}' \"$home/.ssh/config\"\nexec '{}' '{words}'\n",
        admin.path("ssh_config").display(),
        command.get_program().display(),
    );
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "/bin/sh", "-ec", &script]);
    inside.env("HOME", admin.path("home")).env("TMPDIR", admin.path("tmp"));
    outcome(&mut inside).assert_ok();
    assert_eq!(notes(&sshd), "own\n");
}

#[test]
fn a_user_who_is_named_is_who_logs_in() {
    let (admin, sshd) = one(&Like::default());
    admin.configure("__note named\n", "root@web1").assert_ok();
    assert_eq!(notes(&sshd), "named\n");
    let failed = admin.configure("__note never\n", "nobody@web1");
    assert_eq!(failed.status, Some(1));
    assert!(failed.stderr.contains("`ssh nobody@web1`"), "{}", failed.stderr);
    assert!(sshd.log().contains("for nobody"), "{}", sshd.log());
}

#[test]
fn output_that_is_let_through_reaches_our_own() {
    let (admin, _sshd) = one(&Like::default());
    let manifest = "__run x <<'EOF'\necho to stdout\necho to stderr >&2\nEOF\n";
    let output = admin.config(manifest).args(["-S", "web1"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "to stdout\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("to stderr\n"));
    assert!(output.status.success());
}

/// A `.bashrc` that prints, as many administrators have it, and no server of files: big files and types' own copies.
#[test]
fn login_scripts_that_print_and_a_missing_sftp_server_harm_nothing() {
    let admin = Admin::with_distribution(TYPES);
    let prints = "echo 'echo welcome; printf \"no line end\"; echo on stderr >&2' > /root/.bashrc";
    let like = Like { prepare: prints.into(), has_sftp: false, ..Like::default() };
    let sshd = Sshd::start_like(admin.key(), &like);
    admin.knows(&[("web1", &sshd)], "");
    let big: Vec<u8> = (0..300_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    fs::write(admin.path("big"), &big).unwrap();
    admin.file("dir/from", "y\n");
    let (big_file, dir) = (admin.path("big"), admin.path("dir"));
    let (big_file, dir) = (big_file.display(), dir.display());
    let manifest = format!(
        "__note x\n__file /var/lib/big --mode 0640 --source '{big_file}'\n__run_here x <<'EOF'\n\
         $__remote_copy -r '{dir}' \"$__target_host:/var/lib/up\"\n\
         $__remote_copy '{dir}/from' \"$__target_host:/var/lib/a file\"\nEOF\n"
    );
    admin.configure(&manifest, "web1").assert_ok();
    assert_eq!(notes(&sshd), "x\n");
    assert!(fs::read(sshd.path("/var/lib/big")).unwrap() == big);
    for file in ["/var/lib/up/from", "/var/lib/a file"] {
        assert_eq!(fs::read_to_string(sshd.path(file)).unwrap(), "y\n", "{file}");
    }
    assert_eq!(sshd.log().matches("Accepted publickey for root").count(), 1, "{}", sshd.log());
    admin.assert_no_connection();
}
