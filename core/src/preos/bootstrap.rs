//! Filling a root directory with a Debian-like bootstrap program, or with a command of the plugin's own.
//!
//! The tree grows in a [`staging`](super::staging) directory and is moved to the target when it is whole.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    Environment,
    archive::{self, Probe},
    chroot::{self, ChrootError, PreparedRoot},
    recipe::Bootstrap,
    staging::{Staging, StagingError},
};
use crate::{
    host::{Command, CommandError, Stream, atomic::TemporaryDir},
    progress::{Step, Unit},
};

/// Hooks of mmdebstrap that merge `/usr` where a suite does not do it by itself; without them bookworm pulls in perl.
const MERGED_USR: &str = "/usr/share/mmdebstrap/hooks/maybe-merged-usr";
/// Makes `update-initramfs` do nothing, known to dpkg and before the package with it is unpacked: a PreOS has no
/// initrd, and each kernel or storage package would make one.
const NO_INITRD: [&str; 2] = [
    "dpkg-divert --quiet --local --rename --add /usr/sbin/update-initramfs",
    "ln -sf /bin/true /usr/sbin/update-initramfs",
];

/// Why a root directory was not filled.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A file or directory beside the target.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The directory in which the tree grows.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// Neither program is there.
    #[error(
        "neither mmdebstrap nor debootstrap is installed; install one, as with `apt-get install mmdebstrap`"
    )]
    NoProgram,
    /// debootstrap is asked for and not there.
    #[error(
        "a script (-S) needs debootstrap, which is not installed; install it, as with `apt-get install debootstrap`"
    )]
    NoDebootstrap,
    /// The archive does not answer.
    #[error(
        "the mirror {0} cannot be reached; check its address and the network, or name another one with -m"
    )]
    Unreachable(String),
    /// The archive has no such suite.
    #[error(
        "the mirror {mirror} has no suite {suite}; check the spelling of -s, or name another mirror with -m"
    )]
    NoSuite {
        /// The mirror.
        mirror: String,
        /// The suite.
        suite: String,
    },
    /// The signature of the archive cannot be verified.
    #[error("the signature of the archive cannot be verified; name the archive's keyring with --keyring")]
    Signature,
    /// A package is not in the archive.
    #[error("the archive does not have all packages of this PreOS")]
    Package,
    /// The disk is full.
    #[error("the disk that holds the target is full; a PreOS needs about 1 GB there")]
    DiskFull,
    /// The program failed in another way, or was cancelled.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Preparing the root for commands failed.
    #[error(transparent)]
    Chroot(#[from] ChrootError),
}

fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> BootstrapError {
    move |source| BootstrapError::File { doing, path: path.to_owned(), source }
}

/// Fills `target`.
///
/// # Errors
///
/// The bootstrap failed; the target is as it was before.
pub fn run(target: &Path, bootstrap: &Bootstrap, environment: &Environment) -> Result<(), BootstrapError> {
    let step = environment.progress.step("bootstrap");
    let staging = Staging::create(target, &environment.cancel)?;
    let result = fill(staging.path(), bootstrap, environment, &step);
    if let Err(error) = result {
        chroot::detach_mounts_below(staging.path());
        staging.discard();
        return Err(error);
    }
    chroot::detach_mounts_below(staging.path());
    let packages = installed_packages(staging.path());
    staging.publish()?;
    step.finish(if packages > 0 { format!("{packages} packages") } else { String::new() });
    Ok(())
}

fn fill(
    root: &Path,
    bootstrap: &Bootstrap,
    environment: &Environment,
    step: &Step,
) -> Result<(), BootstrapError> {
    if !bootstrap.command.is_empty() {
        // Whole words only: text that a plugin passes on must not change.
        let root = root.to_string_lossy();
        let mut words = bootstrap.command.iter().map(|word| if word == "@ROOT@" { &*root } else { word });
        let command = Command::new(words.next().unwrap_or_default()).args(words);
        return logged(command, environment, step).run().map(drop).map_err(BootstrapError::from);
    }
    let probe = archive::probe(bootstrap.mirror.as_deref(), &bootstrap.suite, &environment.cancel);
    let mirror = bootstrap.mirror.clone().unwrap_or_default();
    let mut bootstrap = bootstrap.clone();
    match &probe {
        Probe::Unreachable => return Err(BootstrapError::Unreachable(mirror)),
        Probe::NoSuite => return Err(BootstrapError::NoSuite { mirror, suite: bootstrap.suite }),
        // A distribution's usual components need not be those of every mirror; apt takes a missing one for an error.
        Probe::Suite { components, .. } if !components.is_empty() => {
            bootstrap.components.retain(|component| components.contains(component));
        }
        Probe::Suite { .. } | Probe::Unknown => {}
    }
    let bootstrap = &bootstrap;
    let date = archive::source_date(&probe).to_string();
    let tool = choose_tool(bootstrap)?;
    step.doing(format!("{} {}", tool.program(), bootstrap.suite));
    let explain = |error| explain(error, environment);
    match tool {
        Tool::Mmdebstrap => {
            let no_keys = std::env::temp_dir().join("cdist-no-keys");
            let no_keys =
                TemporaryDir::beside(&no_keys).map_err(file("making a directory beside", &no_keys))?;
            // apt looks into it as a user without rights.
            fs::set_permissions(no_keys.path(), fs::Permissions::from_mode(0o755))
                .map_err(file("opening up", no_keys.path()))?;
            let words = mmdebstrap_arguments(bootstrap, root, no_keys.path());
            let command = Command::new("mmdebstrap").args(words);
            logged(command.env("SOURCE_DATE_EPOCH", &date), environment, step).run().map_err(explain)?;
            trust_keyring(root, bootstrap)?;
        }
        Tool::Debootstrap => {
            let command = Command::new("debootstrap").args(debootstrap_arguments(bootstrap, root));
            logged(command.env("SOURCE_DATE_EPOCH", &date), environment, step).run().map_err(explain)?;
            install_packages(root, bootstrap, &date, environment, step)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Mmdebstrap,
    Debootstrap,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Mmdebstrap => "mmdebstrap",
            Self::Debootstrap => "debootstrap",
        }
    }
}

fn choose_tool(bootstrap: &Bootstrap) -> Result<Tool, BootstrapError> {
    let installed = |tool: Tool| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| {
            fs::metadata(dir.join(tool.program())).is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
        })
    };
    match (bootstrap.script.is_some(), installed(Tool::Mmdebstrap), installed(Tool::Debootstrap)) {
        (false, true, _) => Ok(Tool::Mmdebstrap),
        (_, _, true) => Ok(Tool::Debootstrap),
        (true, _, false) => Err(BootstrapError::NoDebootstrap),
        (false, false, false) => Err(BootstrapError::NoProgram),
    }
}

/// The arguments of mmdebstrap(1): one transaction for all packages. `no_keys` is an empty directory.
fn mmdebstrap_arguments(bootstrap: &Bootstrap, root: &Path, no_keys: &Path) -> Vec<String> {
    let mut words: Vec<String> =
        ["--mode=root", "--variant=minbase", "--format=directory", "--verbose"].map(str::to_owned).into();
    words.push(format!("--include={}", bootstrap.packages.join(",")));
    words.extend(bootstrap.arch.iter().map(|arch| format!("--architectures={arch}")));
    if !bootstrap.components.is_empty() {
        words.push(format!("--components={}", bootstrap.components.join(",")));
    }
    if let Some(keyring) = &bootstrap.keyring {
        words.push(format!("--keyring={keyring}"));
        // A file takes the place of trusted.gpg only. Who names a keyring does not mean the keys that this machine
        // trusts as well, nor the one that mmdebstrap would find for the suite's name.
        words.push(format!("--keyring={}", no_keys.display()));
        words.push("--skip=check/signed-by".to_owned());
    }
    words.push("--dpkgopt=force-unsafe-io".to_owned());
    words.push("--aptopt=Acquire::Languages \"none\"".to_owned());
    words.extend(dpkg_path_options(bootstrap).map(|option| format!("--dpkgopt={option}")));
    if Path::new(MERGED_USR).is_dir() {
        words.push(format!("--hook-dir={MERGED_USR}"));
    }
    words.extend(NO_INITRD.map(|command| format!("--essential-hook=chroot \"$1\" {command}")));
    words.push(bootstrap.suite.clone());
    words.push(root.to_string_lossy().into_owned());
    words.extend(bootstrap.mirror.clone());
    words
}

/// Options of dpkg(1) that keep paths out of the root; they stay in its configuration.
fn dpkg_path_options(bootstrap: &Bootstrap) -> impl Iterator<Item = String> + '_ {
    let out = bootstrap.path_exclude.iter().map(|path| format!("path-exclude={path}"));
    out.chain(bootstrap.path_include.iter().map(|path| format!("path-include={path}")))
}

/// The arguments of debootstrap(8), for a minimal system only; the packages come in one transaction of apt.
fn debootstrap_arguments(bootstrap: &Bootstrap, root: &Path) -> Vec<String> {
    let mut words = vec!["--variant=minbase".to_owned()];
    words.extend(bootstrap.arch.iter().map(|arch| format!("--arch={arch}")));
    if !bootstrap.components.is_empty() {
        words.push(format!("--components={}", bootstrap.components.join(",")));
    }
    match &bootstrap.keyring {
        Some(keyring) => {
            words.push(format!("--keyring={keyring}"));
            words.push("--force-check-gpg".to_owned());
        }
        // Without a keyring debootstrap would go on unverified where the distribution's own is not installed.
        None => words.push("--force-check-gpg".to_owned()),
    }
    words.push(bootstrap.suite.clone());
    words.push(root.to_string_lossy().into_owned());
    words.extend(bootstrap.mirror.clone());
    words.extend(bootstrap.script.clone());
    words
}

/// Lets apt in the root trust the archive that it was made from, if that needed a keyring of its own.
fn trust_keyring(root: &Path, bootstrap: &Bootstrap) -> Result<(), BootstrapError> {
    let Some(keyring) = &bootstrap.keyring else { return Ok(()) };
    let directory = root.join("etc/apt/trusted.gpg.d");
    if !root.join("etc/apt").is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&directory).map_err(file("making the directory", &directory))?;
    let trusted = directory.join(if keyring.ends_with(".asc") { "preos.asc" } else { "preos.gpg" });
    fs::copy(keyring, &trusted).map_err(file("writing", &trusted))?;
    fs::set_permissions(&trusted, fs::Permissions::from_mode(0o644)).map_err(file("writing", &trusted))
}

/// What mmdebstrap does by itself: dpkg's options first, then all packages at once, with services off.
fn install_packages(
    root: &Path,
    bootstrap: &Bootstrap,
    date: &str,
    environment: &Environment,
    step: &Step,
) -> Result<(), BootstrapError> {
    let options: String = dpkg_path_options(bootstrap).map(|option| option + "\n").collect();
    let config = root.join("etc/dpkg/dpkg.cfg.d/preos");
    fs::write(&config, format!("force-unsafe-io\n{options}")).map_err(file("writing", &config))?;
    trust_keyring(root, bootstrap)?;
    let chroot = PreparedRoot::open(root)?;
    let explain = |error| explain(error, environment);
    for command in NO_INITRD {
        let mut words = command.split(' ');
        let command = chroot.command(words.next().unwrap_or_default()).args(words);
        command.log(environment.log.file()).run()?;
    }
    let apt = |words: &[&str]| {
        let command = chroot.command("apt-get").args(words).env("SOURCE_DATE_EPOCH", date);
        logged(command, environment, step).run().map_err(explain)
    };
    apt(&["update", "-o", "Acquire::Languages=none"])?;
    let mut words =
        vec!["install", "--yes", "--no-install-recommends", "-o", "APT::Sandbox::User=root", "--"];
    words.extend(bootstrap.packages.iter().map(String::as_str));
    apt(&words)?;
    apt(&["clean"])?;
    chroot.close()?;
    Ok(())
}

/// Sends a command's output to the log, and counts packages for the progress.
fn logged<'a>(command: Command<'a>, environment: &Environment, step: &'a Step) -> Command<'a> {
    let (mut total, mut done) = (None, 0);
    command.cancel(&environment.cancel).log(environment.log.file()).on_line(move |_: Stream, line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        if let Some(count) =
            line.split(" newly installed").next().filter(|_| line.contains(" newly installed"))
        {
            let last = count.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
            total = last.map(|count| count + total.unwrap_or(0));
        } else if line.starts_with("Setting up ") || line.starts_with("I: Configuring ") {
            done += 1;
            step.advance(done, total.filter(|&total| total >= done), Unit::Packages);
        }
    })
}

/// The reasons that come up again and again get a sentence of their own.
fn explain(error: CommandError, environment: &Environment) -> BootstrapError {
    if !matches!(error, CommandError::Failed { .. }) {
        return error.into();
    }
    let text = environment.log.last_lines(60).join("\n");
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if has(&["No space left on device", "You don't have enough free space"]) {
        BootstrapError::DiskFull
    } else if has(&[
        "NO_PUBKEY",
        "is not signed",
        "BADSIG",
        "invalid signature",
        "EXPKEYSIG",
        "Invalid Release signature",
        "no keyring",
    ]) {
        BootstrapError::Signature
    } else if has(&["Unable to locate package", "has no installation candidate", "Couldn't find these debs"])
    {
        BootstrapError::Package
    } else {
        error.into()
    }
}

/// The number of packages that dpkg knows as installed.
fn installed_packages(root: &Path) -> usize {
    let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap_or_default();
    status.lines().filter(|line| *line == "Status: install ok installed").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Bootstrap {
        Bootstrap {
            suite: "bookworm".into(),
            mirror: Some("http://mirror.example/debian".into()),
            arch: Some("amd64".into()),
            keyring: Some("/k.gpg".into()),
            packages: vec!["curl".into(), "file".into()],
            path_exclude: vec!["/usr/share/man/*".into()],
            ..Bootstrap::default()
        }
    }

    #[test]
    fn mmdebstrap_gets_one_transaction() {
        let words = mmdebstrap_arguments(&debian(), Path::new("/root dir"), Path::new("/none"));
        assert!(words.contains(&"--include=curl,file".to_owned()));
        assert!(words.contains(&"--dpkgopt=path-exclude=/usr/share/man/*".to_owned()));
        assert_eq!(words[words.len() - 3..], ["bookworm", "/root dir", "http://mirror.example/debian"]);
    }

    #[test]
    fn mmdebstrap_trusts_a_named_keyring_alone() {
        let words = |keyring: Option<&str>| {
            let bootstrap = Bootstrap { keyring: keyring.map(str::to_owned), ..debian() };
            mmdebstrap_arguments(&bootstrap, Path::new("/r"), Path::new("/none"))
        };
        let named = words(Some("/k.gpg"));
        for word in ["--keyring=/k.gpg", "--keyring=/none", "--skip=check/signed-by"] {
            assert!(named.iter().any(|found| found == word), "{word}");
        }
        assert!(!words(None).iter().any(|word| word.contains("keyring") || word.contains("signed-by")));
    }

    #[test]
    fn debootstrap_always_verifies() {
        let words = debootstrap_arguments(&debian(), Path::new("/r"));
        assert!(
            words.contains(&"--force-check-gpg".to_owned()) && words.contains(&"--keyring=/k.gpg".to_owned())
        );
        let words = debootstrap_arguments(&Bootstrap { keyring: None, ..debian() }, Path::new("/r"));
        assert!(words.contains(&"--force-check-gpg".to_owned()));
    }
}
