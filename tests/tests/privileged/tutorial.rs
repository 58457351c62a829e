//! `docs/tutorial.md`, as its reader does it: on a fresh Debian with what the page installs and the staged cdist, as an
//! ordinary user. Each command of a `console` block runs, and has to print what the page says.
//!
//! A line `...` of the page stands for any lines, `...` in a line for anything. A command may fail only where the page shows
//! its error.

use std::{
    fs,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Command, Stdio},
};

use cdist_tests::{
    lab::{
        mirror,
        process::{run, tool},
    },
    mini::add_kernel,
    mounted::{Mounted, leave_namespace},
    outcome::tell,
    plugins::{cargo, lock, staged, workspace},
    preos::{SUITE, scratch},
};
use tempfile::TempDir;

/// The first command of the page, before the packages.
const INSTALL: &str = "sudo apt-get install -y ";
/// What a Debian has before its administrator installs anything: sudo, and a user.
const BASE: &str = "sudo";
const USER: &str = "author";
const HOME: &str = "/home/author";

/// A command and what it prints.
struct Step {
    command: String,
    output: Vec<String>,
}

/// The commands of all `console` blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), output: Vec::new() }),
                None => steps.last_mut().expect("a block begins with `$ `").output.push(line.to_owned()),
            },
        }
    }
    steps
}

fn matches(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others)),
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let Some((start, mut expected)) = expected.split_once("...") else {
        return expected == printed.trim_end();
    };
    let Some(mut printed) = printed.trim_end().strip_prefix(start) else { return false };
    while let Some((part, rest)) = expected.split_once("...") {
        let Some((_, after)) = printed.split_once(part) else { return false };
        (expected, printed) = (rest, after);
    }
    printed.ends_with(expected)
}

/// A fresh Debian with a user and these packages; below `target`, as making it takes a minute.
fn debian(packages: &str) -> PathBuf {
    let base = workspace().join("target/test-preos/tutorial");
    let _lock = lock(&base.with_extension("lock"));
    let (root, stamp) = (base.join("root"), base.join("stamp"));
    let include = format!("{BASE} {packages}");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == include) {
        return root;
    }
    run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&base));
    fs::create_dir_all(&base).unwrap();
    let mut bootstrap = Command::new(tool("mmdebstrap", "mmdebstrap"));
    bootstrap.args(["--quiet", "--variant=apt", "--include", &include]);
    bootstrap.arg(format!("--customize-hook=chroot \"$1\" useradd --create-home --shell /bin/sh {USER}"));
    run(bootstrap.arg(SUITE).arg(&root).arg(mirror::debian(SUITE)));
    // Last: what is not stamped is not whole.
    fs::write(stamp, include).unwrap();
    root
}

/// The machine of an author; what is done there is gone with it.
struct Machine {
    // Dropped before the directory, which is removed with all that is in it.
    _mounts: Vec<Mounted>,
    dir: TempDir,
    cwd: String,
}

impl Machine {
    fn new(packages: &str) -> Self {
        leave_namespace();
        let debian = debian(packages);
        let dir = scratch();
        let [root, upper, work, vendor] =
            ["root", "upper", "work", "vendor"].map(|name| dir.path().join(name));
        for dir in [&root, &upper, &work] {
            fs::create_dir(dir).unwrap();
        }
        let mut mounts = vec![Mounted::overlay(&debian, &upper, &work, &root)];
        mounts.push(Mounted::proc(&root.join("proc")));
        run(Command::new("cp").arg("-R").arg(staged().join(".")).arg(root.join("usr/local")));
        let hostname = nix::unistd::gethostname().unwrap();
        let hosts = format!("127.0.0.1 localhost {}\n", hostname.to_string_lossy());
        fs::write(root.join("etc/hosts"), hosts).unwrap();
        fs::write(root.join("etc/sudoers.d/author"), format!("{USER} ALL=(ALL) NOPASSWD: ALL\n")).unwrap();
        // The crates, without a network.
        let manifest = workspace().join("examples/dummies/Cargo.toml");
        run(cargo().args(["vendor", "--quiet", "--locked", "--manifest-path"]).arg(manifest).arg(&vendor));
        fs::create_dir(root.join("usr/local/crates")).unwrap();
        mounts.push(Mounted::bind(&vendor, &root.join("usr/local/crates")));
        let cargo_home = root.join(HOME.trim_start_matches('/')).join(".cargo");
        fs::create_dir(&cargo_home).unwrap();
        let text =
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\ndirectory = \"/usr/local/crates\"\n";
        fs::write(cargo_home.join("config.toml"), text).unwrap();
        chown(cargo_home, Some(1000), Some(1000)).unwrap();
        Self { _mounts: mounts, dir, cwd: HOME.to_owned() }
    }

    /// Gives it what `-p` needs: stand-ins for the kernel that runs here and for the boot loader.
    fn add_boot_files(&self) {
        let root = self.dir.path().join("root");
        add_kernel(&root, &nix::sys::utsname::uname().unwrap().release().to_string_lossy());
        for file in ["usr/lib/PXELINUX/pxelinux.0", "usr/lib/syslinux/modules/bios/ldlinux.c32"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "loader").unwrap();
        }
    }

    /// Runs a line of a shell, as the user and where the line before has gone: whether it succeeds, and both its streams.
    fn run(&mut self, line: &str) -> (bool, String) {
        let script = "exec 2>&1; cd \"$1\"; eval \"$2\"; status=$?; pwd >/tmp/cwd; exit $status";
        let root = self.dir.path().join("root");
        let mut command = Command::new(tool("chroot", "coreutils"));
        command.arg(format!("--userspec={USER}:{USER}")).arg(&root).args(["/usr/bin/env", "-i"]);
        command.arg(format!("HOME={HOME}"));
        command.args(["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "/bin/sh", "-c", script, "sh"]);
        let output = command.args([&self.cwd, line]).stdin(Stdio::null()).output().unwrap();
        self.cwd = fs::read_to_string(root.join("tmp/cwd")).unwrap().trim_end().to_owned();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    let page = fs::read_to_string(workspace().join("docs/tutorial.md")).unwrap();
    let steps = steps(&page);
    let packages = steps[0].command.strip_prefix(INSTALL).expect("the page begins with packages");
    let mut machine = Machine::new(packages);
    for Step { command, output } in &steps {
        let start = std::time::Instant::now();
        let (success, printed) = machine.run(command);
        tell(&format!("{:6.1} s  {command}", start.elapsed().as_secs_f64()));
        let lines: Vec<&str> = printed.lines().collect();
        assert!(
            matches(output, &lines),
            "$ {command}\n{printed}is not what docs/tutorial.md says:\n{}",
            output.join("\n")
        );
        let shows_error = output.iter().any(|line| line.starts_with("error: "));
        assert_eq!(success, !shows_error, "$ {command}\n{printed}");
    }
    machine.add_boot_files();
    for (name, install) in [
        ("hello", "hello/target/release/libpreos_hello.so"),
        ("hello-c", "hello-c/hello-c.so"),
        ("hello-python", "hello-python/preos/hello-python.py"),
    ] {
        let line = format!(
            "sudo cdist plugin install {install} && sudo cdist preos {name} -p /srv/pxe-{name} /srv/root-{name} && ls /srv/pxe-{name}"
        );
        let (success, printed) = machine.run(&line);
        assert!(
            success && printed.ends_with("initramfs\nkernel\nldlinux.c32\npxelinux.0\npxelinux.cfg\n"),
            "{printed}"
        );
    }
}

#[test]
fn lines_that_are_left_out() {
    let expected = ["a", "...", "b ... c...", "..."].map(str::to_owned);
    assert!(matches(&expected, &["a", "b 1 c 2"]));
    assert!(matches(&expected, &["a", "x", "y", "b 1 2 c", "z"]));
    assert!(!matches(&expected, &["a", "x"]));
    assert!(!matches(&expected, &["x", "b 1 c"]));
}
