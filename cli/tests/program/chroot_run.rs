//! The engine on a directory that it enters with chroot, as a PreOS build does.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use cdist_core::{
    config::{self, Manifest, Run},
    connector::Chroot,
};

/// A root directory with nothing but busybox, and a symbolic link that would lead out of it.
fn make_root(root: &Path) {
    for dir in ["bin", "etc", "data/lib"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "rm", "mkdir", "chmod", "cat", "cp", "tar"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    symlink("/data", root.join("var")).unwrap();
}

#[test]
fn privileged_types_work_inside_the_root_and_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root it's");
    make_root(&root);
    let write = |name: &str, text: &str| {
        let path = dir.path().join("conf").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("explorer/inside", "[ -e /bin/busybox ] && [ ! -e /proc/self ] && echo yes");
    write("type/__copy/parameter/required", "text\n");
    write("type/__copy/explorer/seen", "cat \"$__object/parameter/text\"");
    write(
        "type/__copy/gencode-remote",
        "[ \"$(cat \"$__global/explorer/inside\")\" = yes ] || exit 1\n\
         echo \"cat \\\"\\$__object/parameter/text\\\" > '/etc/$__object_id'; umask >> /etc/umask; echo \\$GREETING >> /etc/greeting\"\n",
    );
    write(
        "type/__copy/gencode-local",
        "echo \"echo sent > '$__object/sent'; \\$__remote_copy '$__object/sent' \\$__target_host:/var/sent\"",
    );
    let program = env!("CARGO_BIN_EXE_cdist");
    let connector = Arc::new(Chroot::new(&root).env("GREETING", "hello"));
    let manifest = Manifest::Bytes(b"__copy 'a b' --text 'x y'\n".to_vec());
    let mut run = Run::new("preos", vec![dir.path().join("conf")], manifest, connector, program);
    run.temporary = dir.path().join("tmp");
    fs::create_dir(&run.temporary).unwrap();
    let temporary = run.temporary.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(config::configure(run)).unwrap_or_else(|e| panic!("{}", e.report()));

    assert_eq!(report.changed.len(), 1);
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("etc/a b"), "x y\n");
    assert_eq!(read("etc/umask"), "0022\n");
    assert_eq!(read("etc/greeting"), "hello\n");
    assert_eq!(read("data/sent"), "sent\n");
    assert_eq!(fs::metadata(root.join("etc/a b")).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(!root.join("data/lib/cdist").exists());
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}
