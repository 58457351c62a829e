use std::{
    os::unix::fs::{PermissionsExt, chown, symlink},
    process::Command,
};

use tempfile::TempDir;

use super::*;
use crate::trust::{GUARD, guard_line};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory that only its owner can write, with a file `f` in `d`.
fn site() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "x").unwrap();
    for (path, bits) in [("d", 0o755), ("d/f", 0o644)] {
        mode(&root.join(path), bits);
    }
    (dir, root)
}

fn refused(path: &Path) -> String {
    Trust::default().open(path).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn refuses_what_others_can_change() {
    let (_dir, root) = site();
    let path = root.join("d/f");
    assert!(Trust::default().open(&path).is_ok());
    for bits in [0o664, 0o646] {
        mode(&path, bits);
        assert_eq!(
            refused(&path),
            format!("{0} is writable by group or others; if you trust it: chmod go-w {0}", path.display())
        );
    }
    mode(&path, 0o644);
    mode(&root.join("d"), 0o777);
    assert!(refused(&path).ends_with(&format!("chmod go-w {}", root.join("d").display())));
    mode(&root.join("d"), 0o1777);
    assert!(Trust::default().open(&path).is_ok());
    assert!(Trust::default().directory(&root.join("d"), Use::Passed).is_ok());
    let filled = Trust::default().directory(&root.join("d"), Use::Filled);
    assert!(matches!(filled, Err(TrustError::Writable { .. })));
}

#[test]
fn a_directory_above_counts_for_every_file() {
    let (_dir, root) = site();
    mode(&root, 0o777);
    let mut trust = Trust::default();
    for _ in 0..2 {
        assert!(trust.open(&root.join("d/f")).is_err());
        assert!(trust.directory(&root.join("d"), Use::Passed).is_err());
    }
}

#[test]
fn refuses_links_and_special_files_without_waiting() {
    let (_dir, root) = site();
    let link = root.join("link");
    symlink("/bin/sh", &link).unwrap();
    assert!(refused(&link).contains("symbolic link"));
    let fifo = root.join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(refused(&fifo), "it is no regular file");
    assert!(refused(&root.join("none")).contains("No such file"));
    assert_eq!(refused(&root), "it is no regular file");
    assert_eq!(refused(Path::new("/")), "it is no regular file");
    assert!(refused(&root.join("d/f/g")).contains("Not a directory"));
}

#[test]
fn links_are_walked_as_the_kernel_does() {
    let (_dir, root) = site();
    let text = |path: &str| {
        let (mut file, _) = Trust::default().file(&root.join(path)).map_err(|error| error.to_string())?;
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        Ok::<_, String>(text)
    };
    fs::create_dir(root.join("e")).unwrap();
    symlink("../d", root.join("e/up")).unwrap();
    symlink(root.join("e/up"), root.join("absolute")).unwrap();
    symlink("absolute/f", root.join("last")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for path in [
        "d/f",
        "e/up/f",
        "absolute/f",
        "last",
        "e/up/../d/./f",
        "absolute/../../../../../../..//proc/self/root",
    ] {
        if path.ends_with("root") {
            assert_eq!(text(path).unwrap_err(), "it is no regular file");
        } else {
            assert_eq!(text(path).unwrap(), "x", "{path}");
        }
    }
    assert!(text("loop").unwrap_err().contains("symbolic links"));
    // What a link passes counts as well.
    mode(&root.join("e"), 0o777);
    assert!(text("absolute/f").unwrap_err().contains("/e is writable"));
    assert!(text("d/f").is_ok());
}

#[test]
fn what_is_missing_where_others_can_make_it_is_refused() {
    let (_dir, root) = site();
    let directory = |path: &str| Trust::default().directory(&root.join(path), Use::Filled).unwrap_err();
    assert!(directory("d/none").is_missing());
    assert!(directory("none/none").is_missing());
    mode(&root.join("d"), 0o1777);
    assert!(matches!(directory("d/none"), TrustError::Missing { .. }));
    assert!(matches!(directory("d/none/more"), TrustError::Missing { .. }));
}

#[test]
fn a_tree_counts_as_a_whole() {
    let (_dir, root) = site();
    let tree = || Trust::default().tree(&root.join("d")).map_err(|error| error.to_string());
    assert_eq!(tree(), Ok(true));
    fs::create_dir_all(root.join("d/a/b")).unwrap();
    symlink("../../..", root.join("d/a/b/loop")).unwrap();
    symlink("nowhere", root.join("d/a/dangling")).unwrap();
    assert_eq!(tree(), Ok(true));
    fs::write(root.join("d/a/b/script"), "").unwrap();
    mode(&root.join("d/a/b/script"), 0o666);
    assert!(tree().unwrap_err().contains("/d/a/b/script is writable"));
    fs::remove_file(root.join("d/a/b/script")).unwrap();
    // Where a link leads counts, too.
    fs::create_dir(root.join("e")).unwrap();
    fs::write(root.join("e/g"), "").unwrap();
    mode(&root.join("e/g"), 0o602);
    symlink(root.join("e"), root.join("d/a/out")).unwrap();
    assert!(tree().unwrap_err().contains("/g is writable"));
    assert_eq!(Trust::default().tree(&root.join("none")).map_err(|error| error.to_string()), Ok(false));
    assert!(Trust::default().tree(&root.join("e/g")).unwrap_err().to_string().contains("/e/g is writable"));
}

#[test]
fn a_pipe_that_was_handed_over_is_read_and_devices_do_no_harm() {
    let (reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
    io::Write::write_all(&mut &writer, b"x").unwrap();
    drop(writer);
    let (file, _) = Trust::default().file(&path).unwrap();
    assert_eq!(io::read_to_string(file).unwrap(), "x");
    Trust::default().way(Path::new("/dev/null")).unwrap();
}

/// Needs root.
#[test]
fn privileged_what_another_user_owns_is_refused() {
    let (_dir, root) = site();
    let other = |path: &str| nix::unistd::chown(&root.join(path), Some(Uid::from_raw(1234)), None).unwrap();
    let file = || Trust::default().file(&root.join("d/f")).map(drop).map_err(|error| error.to_string());
    other("d/f");
    assert_eq!(
        file().unwrap_err(),
        format!(
            "{0} belongs to 1234, but cdist runs as root; if you trust it: chown root {0}",
            root.join("d/f").display()
        )
    );
    assert!(Trust::default().tree(&root.join("d")).unwrap_err().to_string().contains("chown -hR root"));
    chown(root.join("d/f"), Some(0), None).unwrap();
    other("d");
    assert!(
        file().unwrap_err().ends_with("copy what you trust to a directory of root's, or run cdist as 1234")
    );
    mode(&root.join("d"), 0o1777);
    assert!(file().unwrap_err().contains("belongs to 1234"));
    chown(root.join("d"), Some(0), None).unwrap();
    assert_eq!(file(), Ok(()));
    // A link that another user has put into a sticky directory.
    symlink("f", root.join("d/link")).unwrap();
    std::os::unix::fs::lchown(root.join("d/link"), Some(1234), None).unwrap();
    let error = Trust::default().file(&root.join("d/link")).map(drop).unwrap_err().to_string();
    assert!(error.contains("d/link belongs to 1234"), "{error}");
}

/// What `guard` says of a directory, in each form and by each shell.
fn guarded(path: &Path) -> Result<(), String> {
    let forms = [format!("{GUARD}\nguard \"$1\""), format!("{}guard \"$1\"", guard_line())];
    let mut answers = Vec::new();
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        for form in &forms {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", form, "sh"]).arg(path);
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap().trim().to_owned();
            answers.push(if output.status.success() { Ok(()) } else { Err(said) });
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

/// Needs root: for other users it has nothing to say.
#[test]
fn privileged_the_guard_on_the_target_has_the_same_rules() {
    let (_dir, root) = site();
    let work = root.join("d/work");
    assert_eq!(guarded(&work), Ok(()));
    assert_eq!(guarded(&root.join("none/none/work")), Ok(()));
    assert_eq!(guarded(Path::new("/work")), Ok(()));
    mode(&root.join("d"), 0o777);
    assert_eq!(guarded(&work), Err(format!("{} is writable by group or others", root.join("d").display())));
    mode(&root.join("d"), 0o1777);
    assert_eq!(guarded(&work), Ok(()));
    symlink("d", root.join("link")).unwrap();
    assert_eq!(guarded(&root.join("link/work")), Ok(()));
    mode(&root.join("d"), 0o770);
    assert!(guarded(&root.join("link/work")).unwrap_err().contains("/d is writable"));
    mode(&root.join("d"), 0o755);
    chown(root.join("d"), Some(1234), None).unwrap();
    for path in ["d/work", "link/work", "d/a/b/work"] {
        let said = guarded(&root.join(path)).unwrap_err();
        assert!(said.contains("/d belongs to user 1234"), "{said}");
    }
    std::os::unix::fs::lchown(root.join("link"), Some(1234), None).unwrap();
    assert!(guarded(&root.join("link/work")).unwrap_err().contains("/link belongs to user 1234"));
}
