//! The directory of one connection: its control socket, the configuration that ssh reads, and the script that copies for types.
//!
//! It is not the run's own directory: scripts split `$__remote_exec` at blanks, ssh expands `%` and `$` in the path of the
//! socket, and the kernel allows 108 bytes for it, of which ssh needs 17 while it makes the socket.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Mutex,
};

use nix::{
    fcntl::Flock,
    unistd::{User, geteuid},
};
use tempfile::TempDir;

use crate::host::claim::{Claim, claim, claim_left_behind};

/// Longest path of a directory in which a socket still has a name that fits.
const LENGTH_MAX: usize = 60;
/// Followed by the process that made it, so that a later one can tell that it is not in use any more.
const PREFIX: &str = "cdist-ssh-";

const COPY: &str = include_str!("copy.sh");
const COPY_NAME: &str = "copy";

/// What ssh does if the user's configuration does not say otherwise: it comes last, and ssh takes the first value.
const DEFAULTS: &str = "\
Host *
    StrictHostKeyChecking yes
    ConnectTimeout 10
    ServerAliveInterval 15
    ServerAliveCountMax 3
";

/// The directory; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct ControlDir {
    dir: Mutex<Option<TempDir>>,
    path: PathBuf,
    socket: PathBuf,
    config: PathBuf,
    /// What the configuration says besides what is right for one host only.
    text: String,
    /// The sign that it is in use.
    _lock: Flock<File>,
}

impl ControlDir {
    /// Makes the directory. `user_config` stands for the user's and the system's configuration.
    pub(super) fn make(user_config: Option<&Path>) -> io::Result<Self> {
        let base = [std::env::temp_dir(), "/tmp".into(), "/run".into()]
            .into_iter()
            .find(|dir| is_suitable(dir))
            .ok_or_else(|| io::Error::other("no temporary directory; make /tmp"))?;
        remove_leftovers(&base);
        let make = || -> io::Result<(TempDir, Flock<File>)> {
            loop {
                let dir = tempfile::Builder::new()
                    .prefix(&format!("{PREFIX}{}-", std::process::id()))
                    .permissions(fs::Permissions::from_mode(0o700))
                    .tempdir_in(&base)?;
                // A process of another PID namespace may take it for a left-behind until it is locked.
                if let Claim::Held(lock) = claim(dir.path())? {
                    return Ok((dir, lock));
                }
            }
        };
        let (dir, lock) = make().map_err(|e| {
            io::Error::new(e.kind(), format!("making a directory in {}: {e}", base.display()))
        })?;
        let text = configuration(user_config, dir.path())?;
        let path = dir.path().to_owned();
        let (socket, config) = (path.join("s"), path.join("config"));
        fs::write(&config, &text)?;
        fs::write(path.join(COPY_NAME), COPY)?;
        Ok(Self { dir: Mutex::new(Some(dir)), path, socket, config, text, _lock: lock })
    }

    /// Puts `block`, which is about one host, before everything else in the configuration: ssh takes the first value.
    pub(super) fn begin_with(&self, block: &str) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        // Lines outside of blocks, as files of users have them, would become a part of this one.
        let text = format!("{block}Host *\n{}", self.text);
        // When the connection is made again, scripts may be reading it.
        if fs::read_to_string(&self.config)? == text { Ok(()) } else { fs::write(&self.config, text) }
    }

    /// The directory itself.
    pub(super) fn dir(&self) -> &Path {
        &self.path
    }

    /// The control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A script that copies, for `/bin/sh`: the directory may lie where nothing can be executed.
    pub(super) fn copy(&self) -> PathBuf {
        self.path.join(COPY_NAME)
    }

    /// The configuration file.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Removes the directory now.
    pub(super) fn remove(&self) {
        if let Ok(mut dir) = self.dir.lock()
            && let Some(dir) = dir.take()
            && let Err(error) = dir.close()
        {
            tracing::debug!("removing the directory of a control socket: {error}");
        }
    }
}

fn is_suitable(dir: &Path) -> bool {
    dir.is_absolute() && dir.is_dir() && is_plain(dir) && dir.as_os_str().len() <= LENGTH_MAX
}

/// Nothing in it means anything to a shell, to ssh or to glob(3).
pub(super) fn is_plain(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"/._-+=,@".contains(b))
}

fn configuration(user_config: Option<&Path>, dir: &Path) -> io::Result<String> {
    let Some(file) = user_config else {
        // With -F ssh reads nothing by itself, so both of its own files are named. Missing ones are no error. `~` would be
        // $HOME here, but for ssh the user's configuration is in the home directory that the user database names.
        let home = User::from_uid(geteuid()).ok().flatten().map(|user| user.dir.join(".ssh/config"));
        let own = home.filter(|file| file.is_file()).map(|file| include(&file, dir)).transpose()?;
        return Ok(format!("{}Include /etc/ssh/ssh_config\n{DEFAULTS}", own.unwrap_or_default()));
    };
    // Include does not complain about a file that it cannot read.
    let file = File::open(file).and_then(|_| fs::canonicalize(file)).map_err(|e| {
        io::Error::new(e.kind(), format!("reading ssh configuration {}: {e}", file.display()))
    })?;
    Ok(format!("{}{DEFAULTS}", include(&file, dir)?))
}

/// A line that includes `file`, by way of a link in `dir` if its name means something to ssh or glob(3).
fn include(file: &Path, dir: &Path) -> io::Result<String> {
    if is_plain(file) {
        return Ok(format!("Include {}\n", file.display()));
    }
    let link = dir.join("user_config");
    symlink(file, &link)?;
    Ok(format!("Include {}\n", link.display()))
}

/// Removes what processes that were killed have left.
fn remove_leftovers(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
        let Some(process) = process.and_then(|n| n.parse::<u32>().ok()) else { continue };
        let ours = entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == geteuid().as_raw());
        let is_gone = Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists();
        // A process of another PID namespace seems to be gone too, but its master answers.
        if !ours || !is_gone || UnixStream::connect(entry.path().join("s")).is_ok() {
            continue;
        }
        if let Some(_lock) = claim_left_behind(&entry.path()) {
            // What is in the way is no reason to fail.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_has_a_name_that_fits_and_needs_no_quotes() {
        let control_dir = ControlDir::make(None).unwrap();
        assert!(control_dir.socket().as_os_str().len() + 17 < 108);
        assert!(is_plain(control_dir.socket()) && is_plain(control_dir.config()));
        assert!(fs::read_to_string(control_dir.config()).unwrap().contains("StrictHostKeyChecking yes"));
        let dir = control_dir.socket().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        control_dir.remove();
        assert!(!dir.exists());
    }

    #[test]
    fn a_configuration_with_any_name_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's [my] config");
        fs::write(&file, "Host x\n").unwrap();
        let control_dir = ControlDir::make(Some(&file)).unwrap();
        let text = fs::read_to_string(control_dir.config()).unwrap();
        let named = text.lines().next().unwrap().strip_prefix("Include ").unwrap();
        assert!(is_plain(Path::new(named)));
        assert_eq!(fs::read_to_string(named).unwrap(), "Host x\n");
        assert!(!text.contains(".ssh/config"));
    }

    #[test]
    fn what_is_right_for_one_host_comes_first() {
        let control_dir = ControlDir::make(None).unwrap();
        let before = fs::read_to_string(control_dir.config()).unwrap();
        for _ in 0..2 {
            control_dir.begin_with("Host web1\n    Port 1\n").unwrap();
            let text = fs::read_to_string(control_dir.config()).unwrap();
            assert_eq!(text, format!("Host web1\n    Port 1\nHost *\n{before}"));
        }
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let error = ControlDir::make(Some(Path::new("/no/such/file"))).unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    }

    #[test]
    fn leftovers_of_dead_processes_go() {
        let base = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = base.path().join(format!("{PREFIX}{}-x", child.id()));
        let alive = base.path().join(format!("{PREFIX}{}-x", std::process::id()));
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&alive).unwrap();
        remove_leftovers(base.path());
        assert!(!dead.exists() && alive.exists());
    }
}
