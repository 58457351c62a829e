//! An initramfs with secrets is not for every user of the machine that serves it.
//!
//! A client of the TFTP server gets it all the same: TFTP knows no users. But that may be another network than the one
//! that the users of this machine are in.

use std::{
    fs::{File, Permissions},
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, fchown},
    },
};

use nix::{
    fcntl::OFlag,
    unistd::{Gid, Group},
};

use super::BootDirError;
use crate::host::beneath;

/// Secrets that PreOS roots have: what it is, and where.
const SECRETS: [(&str, &str); 5] = [
    ("the token of the trigger", "usr/local/lib/cdist/preos-trigger-url.curl"),
    ("a private ssh host key", "etc/ssh/ssh_host_ed25519_key"),
    ("a private ssh host key", "etc/ssh/ssh_host_rsa_key"),
    ("a private ssh host key", "etc/ssh/ssh_host_ecdsa_key"),
    ("a private ssh key", "root/.ssh/id_ed25519"),
];
/// Longer files of passwords are not looked through to their end.
const SHADOW_MAX: u64 = 1024 * 1024;

/// The group of a name.
pub(super) fn group(name: &str) -> Result<Gid, BootDirError> {
    let found = Group::from_name(name).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| BootDirError::Group(name.to_owned()))
}

/// The first secret that the root `top` holds, in words. What cannot be read counts as one.
pub(super) fn find(top: impl AsFd) -> Option<&'static str> {
    let open = |path: &str| beneath::open_in_root(&top, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
    if let Ok(file) = open("etc/shadow") {
        let mut text = Vec::new();
        if File::from(file).take(SHADOW_MAX).read_to_end(&mut text).is_err() || has_password(&text) {
            return Some("a password hash");
        }
    }
    SECRETS.iter().find(|(_, path)| open(path).is_ok()).map(|(what, _)| *what)
}

/// True if a line of shadow(5) holds a hash. Those of crypt(5) have 13 characters at least; `*` and `!` lock an account, and
/// in front of a hash they leave it readable.
fn has_password(shadow: &[u8]) -> bool {
    let hash = |line: &[u8]| line.split(|byte| *byte == b':').nth(1).is_some_and(|field| field.len() >= 13);
    shadow.split(|byte| *byte == b'\n').any(hash)
}

/// From now on only root and `group` can read the file.
pub(super) fn close(file: &File, group: Option<Gid>) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    if let Some(group) = group {
        fchown(file, None, Some(group.as_raw()))?;
        file.set_permissions(Permissions::from_mode(0o640))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn secrets_are_found() {
        for (file, text, secret) in [
            ("etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:!:1::::::\nx:!*:\n\n", None),
            ("etc/shadow", "root:$y$j9T$abc$def:19000:0\n", Some("a password hash")),
            ("etc/shadow", "root:!$6$abc$defghijkl:19000:0\n", Some("a password hash")),
            ("etc/shadow", "root:abJnggxhB/yWI:19000:0\n", Some("a password hash")),
            ("usr/local/lib/cdist/preos-trigger-url.curl", "header", Some("the token of the trigger")),
            ("etc/ssh/ssh_host_rsa_key", "x", Some("a private ssh host key")),
            ("etc/ssh/ssh_host_rsa_key.pub", "x", None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            assert_eq!(find(beneath::open_top(root.path()).unwrap()), secret, "{file}: {text}");
        }
    }

    #[test]
    fn a_closed_file_is_for_its_group_only() {
        let file = tempfile::tempfile().unwrap();
        let mode = || file.metadata().unwrap().permissions().mode() & 0o777;
        file.set_permissions(Permissions::from_mode(0o644)).unwrap();
        close(&file, None).unwrap();
        assert_eq!(mode(), 0o600);
        close(&file, Some(nix::unistd::getegid())).unwrap();
        assert_eq!(mode(), 0o640);
        assert!(matches!(group("no such group"), Err(BootDirError::Group(_))));
        assert_eq!(group("root").unwrap(), Gid::from_raw(0));
    }
}
