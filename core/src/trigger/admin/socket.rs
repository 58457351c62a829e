//! The Unix socket in the state directory, by which the command line talks to the server.
//!
//! A user who may enter the directory may do everything: it is open to its owner only, and so is the socket.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

/// Its name.
pub const NAME: &str = crate::trigger::state_dir::SOCKET;
/// Longest path of a socket; `sun_path` of unix(7) has a zero byte more.
const PATH_MAX: usize = 107;

/// A path that the kernel takes for a socket. A long one leads through an open directory, which must stay open.
struct SocketPath {
    path: PathBuf,
    _dir: Option<File>,
}

impl SocketPath {
    fn of(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(NAME);
        if path.as_os_str().as_bytes().len() <= PATH_MAX {
            return Ok(Self { path, _dir: None });
        }
        let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(state_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()));
        Ok(Self { path, _dir: Some(dir) })
    }
}

/// Listens in a state directory, which no other server uses: a socket that is there is one that a crash has left.
///
/// # Errors
///
/// The socket cannot be made, or something else has its name.
pub fn listen(state_dir: &Path) -> io::Result<UnixListener> {
    let socket = SocketPath::of(state_dir)?;
    match fs::symlink_metadata(&socket.path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&socket.path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(&socket.path)?;
    // No other user gets into the directory meanwhile.
    fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the server that uses a state directory.
///
/// # Errors
///
/// No server listens there, or this user may not talk to it.
pub fn connect(state_dir: &Path) -> io::Result<UnixStream> {
    let socket = SocketPath::of(state_dir)?;
    UnixStream::connect(&socket.path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_left_socket_is_replaced_and_a_long_path_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a".to_owned(), "b".repeat(200)] {
            let dir = dir.path().join(name);
            fs::create_dir(&dir).unwrap();
            assert_eq!(connect(&dir).unwrap_err().kind(), io::ErrorKind::NotFound);
            drop(listen(&dir).unwrap());
            assert_eq!(connect(&dir).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let listener = listen(&dir).unwrap();
            assert_eq!(fs::metadata(dir.join(NAME)).unwrap().mode() & 0o777, 0o600);
            connect(&dir).unwrap();
            listener.accept().unwrap();
        }
    }

    #[test]
    fn a_file_with_its_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "mine").unwrap();
        assert_eq!(listen(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(dir.path().join(NAME)).unwrap(), b"mine");
    }
}
