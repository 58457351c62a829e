//! A dry run and differences through a real ssh server.

use std::fs;

use cdist_tests::{
    lab::{admin::Admin, sshd::Sshd},
    tree::Tree,
};

#[test]
fn the_target_stays_as_it_was_and_says_what_would_change() {
    let admin = Admin::with_distribution(&[]);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    fs::write(sshd.path("/var/lib/lines"), "one\n").unwrap();
    let manifest = "echo new | __file /var/lib/new --source - --mode 0644\n\
        __line l --file /var/lib/lines --line two\n\
        echo xyzzy | __file /var/lib/secret --source - --mode 0600\n";
    let expected = [
        "# web1: __file/var/lib/new\n--- /dev/null\n+++ /var/lib/new\n@@ -0,0 +1 @@\n+new\n",
        "# web1: __line/l\n--- /var/lib/lines\n+++ /var/lib/lines\n@@ -1 +1,2 @@\n one\n+two\n",
        "# web1: __file/var/lib/secret\n# /var/lib/secret: not shown",
    ];
    // First on a target that no run has seen, then beside the work directory of a real run.
    for words in [&["-n", "--diff"][..], &["--diff"], &["-n", "--diff"]] {
        let before = Tree::read(&sshd.path("/var/lib"));
        let output = admin.config(manifest).args(words).arg("web1").output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{err}");
        assert!(!out.contains("xyzzy") && !err.contains("xyzzy"), "{out}{err}");
        for part in expected {
            assert!(out.contains(part), "{part} is missing in:\n{out}");
        }
        if words.contains(&"-n") {
            assert!(out.contains("# web1: __file/var/lib/new, on the target:\n"), "{out}");
            assert_eq!(before.differences(&Tree::read(&sshd.path("/var/lib"))), [""; 0]);
        } else {
            assert_eq!(fs::read_to_string(sshd.path("/var/lib/new")).unwrap(), "new\n");
            fs::remove_file(sshd.path("/var/lib/new")).unwrap();
            fs::remove_file(sshd.path("/var/lib/secret")).unwrap();
            fs::write(sshd.path("/var/lib/lines"), "one\n").unwrap();
        }
    }
    drop(sshd);
    admin.assert_no_connection();
}
