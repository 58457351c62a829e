//! A small apt archive of our own, with a key of its own: a distribution that exists only during a test.
//!
//! Its packages come from the Debian mirror, so a plugin for a distribution that cannot be reached from here still
//! bootstraps something that boots.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    http::FileServer,
    process::{run, tool},
};

/// What is served.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The suite and codename, as in `debootstrap SUITE`.
    pub suite: &'a str,
    /// `Debian`, `Ubuntu`, ...
    pub origin: &'a str,
    /// The first holds all packages, the others are empty.
    pub components: &'a [&'a str],
    /// The Debian release that the packages come from.
    pub base: &'a str,
    /// Packages wanted besides the essential and required ones; what they depend on comes too.
    pub packages: &'a [&'a str],
    /// Empty packages: name, and what it depends on, as in a control file.
    pub metapackages: &'a [(&'a str, &'a str)],
}

/// A served archive; dropping it stops the server and removes everything.
#[derive(Debug)]
pub struct Archive {
    server: FileServer,
    gnupg: PathBuf,
    dir: TempDir,
}

impl Archive {
    /// Downloads the packages from `mirror`, indexes, signs and serves them.
    ///
    /// # Panics
    ///
    /// If a program is missing or a package is not to be had.
    #[must_use]
    pub fn build(release: Release<'_>, mirror: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix("archive").tempdir().expect("making a directory for the archive");
        let root = dir.path().join("root");
        let architecture =
            run(Command::new(tool("dpkg", "dpkg")).arg("--print-architecture")).trim().to_owned();

        let pool = root.join("pool");
        make_dir(&pool);
        download(release, mirror, &architecture, &dir.path().join("apt"), &pool);
        for (name, depends) in release.metapackages {
            build_metapackage(name, depends, &dir.path().join("meta"), &pool);
        }
        index(release, &architecture, &root);
        let gnupg = dir.path().join("gnupg");
        sign(&gnupg, &root.join("dists").join(release.suite), &dir.path().join("archive.gpg"));
        Self { server: FileServer::start(&root), gnupg, dir }
    }

    /// The mirror's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The keyring that verifies it, as `--keyring` takes it.
    #[must_use]
    pub fn keyring(&self) -> PathBuf {
        self.dir.path().join("archive.gpg")
    }

    /// The served directory; a test may damage it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        stop_agent(&self.gnupg);
    }
}

/// apt resolves and downloads against an empty package database of its own, so this host's packages do not matter.
fn download(release: Release<'_>, mirror: &str, architecture: &str, state: &Path, pool: &Path) {
    make_dir(&state.join("lists/partial"));
    make_dir(&state.join("cache/archives/partial"));
    write(&state.join("status"), "");
    write(&state.join("sources.list"), &format!("deb {mirror} {} main\n", release.base));
    let config = format!(
        "Dir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\nDir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}/cache\";\nDir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\nDir::Etc::preferences \"/dev/null\";\n\
         APT::Architecture \"{architecture}\";\nAPT::Architectures \"{architecture}\";\nAPT::Install-Recommends \"false\";\n\
         APT::Sandbox::User \"root\";\nDebug::NoLocking \"true\";\nDPkg::Pre-Install-Pkgs \"\";\nAcquire::Languages \"none\";\n",
        dir = state.display()
    );
    write(&state.join("apt.conf"), &config);
    let apt = || {
        let mut apt = Command::new(tool("apt-get", "apt"));
        apt.env("APT_CONFIG", state.join("apt.conf"));
        apt
    };
    run(apt().arg("update"));
    let mut install = apt();
    install
        .args(["install", "--yes", "--download-only", "?essential", "?priority(required)"])
        .args(release.packages);
    // What a metapackage depends on has to be in the archive too.
    for (_, depends) in release.metapackages {
        install.args(depends.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    run(&mut install);
    let archives = fs::read_dir(state.join("cache/archives")).expect("reading the downloaded packages");
    for entry in archives.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "deb")) {
        // apt writes an epoch as `1%3a`, which debootstrap would have to quote once more; archives leave epochs out.
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = match name.split_once("%3a") {
            Some((package_and_epoch, rest)) => {
                let package =
                    package_and_epoch.rsplit_once('_').map_or(package_and_epoch, |(package, _)| package);
                format!("{package}_{rest}")
            }
            None => name,
        };
        fs::rename(entry.path(), pool.join(name)).expect("moving a package");
    }
}

fn build_metapackage(name: &str, depends: &str, work: &Path, pool: &Path) {
    let tree = work.join(name);
    make_dir(&tree.join("DEBIAN"));
    let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
    let control = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: all\nSection: misc\nPriority: optional\n\
         Maintainer: Lab <lab@example.com>\n{depends}Description: empty package of the test lab\n"
    );
    write(&tree.join("DEBIAN/control"), &control);
    run(Command::new(tool("dpkg-deb", "dpkg")).args(["--root-owner-group", "--build"]).arg(&tree).arg(pool));
}

fn index(release: Release<'_>, architecture: &str, root: &Path) {
    let ftparchive = tool("apt-ftparchive", "apt-utils");
    for (number, component) in release.components.iter().enumerate() {
        let dir = root.join(format!("dists/{}/{component}/binary-{architecture}", release.suite));
        make_dir(&dir);
        let packages = if number == 0 {
            run(Command::new(&ftparchive).current_dir(root).args(["packages", "pool"]))
        } else {
            String::new()
        };
        write(&dir.join("Packages"), &packages);
        // debootstrap asks for a compressed index only.
        run(Command::new(tool("gzip", "gzip")).args(["-kn"]).arg(dir.join("Packages")));
    }
    let suite = root.join("dists").join(release.suite);
    let field = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
    let mut command = Command::new(&ftparchive);
    for option in [
        field("Origin", release.origin),
        field("Label", release.origin),
        field("Suite", release.suite),
        field("Codename", release.suite),
        field("Architectures", architecture),
        field("Components", &release.components.join(" ")),
    ] {
        command.args(["-o", &option]);
    }
    // Written after it is whole: Release must not list itself.
    let text = run(command.arg("release").arg(&suite));
    write(&suite.join("Release"), &text);
}

fn sign(gnupg: &Path, suite: &Path, keyring: &Path) {
    make_dir(gnupg);
    let gpg = || {
        let mut gpg = Command::new(tool("gpg", "gpg"));
        gpg.args([
            "--batch",
            "--yes",
            "--quiet",
            "--no-options",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--homedir",
        ]);
        gpg.arg(gnupg);
        gpg
    };
    // gpg refuses a home that others may read.
    run(Command::new("chmod").arg("0700").arg(gnupg));
    run(gpg().args(["--quick-generate-key", "Lab archive <lab@example.com>", "rsa2048", "sign", "never"]));
    run(gpg().arg("--output").arg(keyring).arg("--export"));
    run(gpg().arg("--output").arg(suite.join("InRelease")).arg("--clearsign").arg(suite.join("Release")));
    let mut detached = gpg();
    detached.args(["--armor", "--output"]).arg(suite.join("Release.gpg")).arg("--detach-sign");
    run(detached.arg(suite.join("Release")));
    stop_agent(gnupg);
}

/// gpg leaves an agent running.
fn stop_agent(gnupg: &Path) {
    let _ =
        Command::new(tool("gpgconf", "gpgconf")).arg("--homedir").arg(gnupg).args(["--kill", "all"]).output();
}

fn make_dir(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}
