//! `--diff` with the distribution's own types, and with types that get it wrong.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Output,
};

use crate::lab::Lab;

/// Types of the distribution, and a directory for the target's files.
fn new_lab() -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.path("t")).unwrap();
    // Not the whole configuration: its global explorers would run each time.
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/conf/type");
    for name in ["__file", "__line", "__block", "__key_value"] {
        symlink(types.join(name), lab.path("conf/type").join(name)).unwrap();
    }
    lab
}

/// Runs a manifest in which `@` stands for the directory of the target's files.
fn run(lab: &Lab, manifest: &str, words: &[&str]) -> Output {
    lab.write("conf/manifest/init", manifest.replace('@', &lab.path("t").display().to_string()));
    lab.config([words, &["host"]].concat()).output().unwrap()
}

/// Standard output of a run that succeeds, with `@` again.
fn diff(lab: &Lab, manifest: &str, words: &[&str]) -> String {
    let output = run(lab, manifest, &[&["--diff"], words].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).replace(&lab.path("t").display().to_string(), "@")
}

#[test]
fn a_file_that_changes_comes_and_goes() {
    let lab = new_lab();
    let present = "echo new | __file @/x --source - --mode 0644\n";
    assert_eq!(
        diff(&lab, present, &[]),
        "# host: __file@/x\n--- /dev/null\n+++ @/x\n@@ -0,0 +1 @@\n+new\n\n"
    );
    assert_eq!(diff(&lab, present, &[]), "", "nothing changes any more");
    lab.write("t/x", "old\n");
    assert_eq!(diff(&lab, present, &[]), "# host: __file@/x\n--- @/x\n+++ @/x\n@@ -1 +1 @@\n-old\n+new\n\n");
    assert_eq!(fs::read(lab.path("t/x")).unwrap(), b"new\n");
    let absent = "__file @/x --state absent\n";
    assert_eq!(diff(&lab, absent, &[]), "# host: __file@/x\n--- @/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n\n");
}

#[test]
fn a_dry_run_shows_the_difference_and_the_code() {
    let lab = new_lab();
    lab.write("t/x", "old\n");
    let text = diff(&lab, "echo new | __file @/x --source - --mode 0644\n", &["-n"]);
    assert!(text.contains("-old\n+new\n\n# host: __file@/x, on the target:\n"), "{text}");
    assert_eq!(fs::read(lab.path("t/x")).unwrap(), b"old\n");
    assert!(!lab.path("remote").exists());
}

#[test]
fn long_and_binary_files_and_links_are_named() {
    let lab = new_lab();
    lab.write("t/binary", [0, 1, 2]);
    lab.write("t/long", "short\n");
    lab.write("long", vec![b'x'; 3_000_000]);
    symlink("/etc", lab.path("t/link")).unwrap();
    let manifest = format!(
        "echo text | __file @/binary --source - --mode 0644\n\
         __file @/long --mode 0644 --source '{}'\n\
         echo text | __file @/link --source - --mode 0644\n",
        lab.path("long").display()
    );
    assert_eq!(
        diff(&lab, &manifest, &[]),
        "# host: __file@/binary\nBinary files @/binary and @/binary differ (3 bytes now, 5 wanted)\n\n\
         # host: __file@/long\n# @/long: too large to show, more than 1048576 bytes\n\n\
         # host: __file@/link\n# @/link is no regular file now, but: symlink\n--- /dev/null\n+++ @/link\n@@ -0,0 +1 @@\n+text\n\n"
    );
    assert_eq!(fs::metadata(lab.path("t/long")).unwrap().len(), 3_000_000);
}

#[test]
fn a_line_is_shown_in_its_place() {
    let lab = new_lab();
    lab.write("t/x", "a\nb\nc");
    let text = diff(&lab, "__line l --file @/x --line b2 --regex '^b' --state replace\n", &[]);
    assert_eq!(
        text,
        "# host: __line/l\n--- @/x\n+++ @/x\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n\\ No newline at end of file\n+b2\n+c\n\n"
    );
}

#[test]
fn keys_and_blocks_are_shown_in_their_place() {
    let lab = new_lab();
    lab.write("t/x", "a=1\nb=2\n");
    let text = diff(&lab, "__key_value k --file @/x --key b --value \"it's\" --delimiter =\n", &[]);
    assert_eq!(text, "# host: __key_value/k\n--- @/x\n+++ @/x\n@@ -1,2 +1,2 @@\n a=1\n-b=2\n+b=it's\n\n");
    let text = diff(&lab, "__key_value k --file @/new --key b --value 2 --delimiter ' '\n", &[]);
    assert_eq!(text, "# host: __key_value/k\n--- /dev/null\n+++ @/new\n@@ -0,0 +1 @@\n+b 2\n\n");

    lab.write("t/x", "one\ntwo\n");
    let block = |text: &str| format!("__block b --file @/x --prefix '#<' --suffix '#>' --text '{text}'\n");
    let text = diff(&lab, &block("mv -f \"$new\" x\nCDIST_END"), &[]);
    let added = "@@ -1,2 +1,6 @@\n one\n two\n+#<\n+mv -f \"$new\" x\n+CDIST_END\n+#>\n\n";
    assert_eq!(text, format!("# host: __block/b\n--- @/x\n+++ @/x\n{added}"));
    let text = diff(&lab, &block("other"), &[]);
    assert!(text.ends_with(" #<\n-mv -f \"$new\" x\n-CDIST_END\n+other\n #>\n\n"), "{text}");
    let text = diff(&lab, "__block b --file @/x --prefix '#<' --suffix '#>' --text '' --state absent\n", &[]);
    assert!(text.ends_with(" two\n-#<\n-other\n-#>\n\n"), "{text}");
    let text = diff(&lab, "__block b --file @/y --prefix '#<' --suffix '#>' --text z\n", &[]);
    assert!(text.ends_with("--- /dev/null\n+++ @/y\n@@ -0,0 +1,3 @@\n+#<\n+z\n+#>\n\n"), "{text}");
}

/// Only the target knows the mode of a file that is changed in part.
#[test]
fn a_dry_run_asks_the_target_what_is_secret() {
    let lab = new_lab();
    for mode in [0o600, 0o644] {
        lab.write("t/x", "one\n");
        fs::set_permissions(lab.path("t/x"), fs::Permissions::from_mode(mode)).unwrap();
        let output = run(&lab, "__block b --file @/x --prefix '#<' --suffix '#>' --text xyzzy\n", &["-n"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("__block/b"), "{text}");
        assert_eq!(text.contains("xyzzy"), mode == 0o644, "{text}");
    }
}

#[test]
fn names_with_any_bytes_are_fine() {
    let lab = new_lab();
    let text =
        diff(&lab, "echo new | __file \"@/it's a \\\\ \n$(printf '\\351')\" --source - --mode 0644\n", &[]);
    assert!(text.contains("+++ @/it's a \\ \\n\u{fffd}\n@@ -0,0 +1 @@\n+new\n"), "{text}");
}

/// The content of a file that is not for everybody appears nowhere, before and after.
#[test]
fn secrets_are_not_shown() {
    let lab = new_lab();
    for (is, mode) in [(None, "0600"), (Some(0o600), "0644"), (Some(0o644), "0640"), (None, "u=rw,go=")] {
        let _ = fs::remove_file(lab.path("t/x"));
        if let Some(is) = is {
            lab.write("t/x", "xyzzy old\n");
            fs::set_permissions(lab.path("t/x"), fs::Permissions::from_mode(is)).unwrap();
        }
        let manifest = format!("echo xyzzy new | __file @/x --source - --mode {mode}\n");
        for words in [&["-n"][..], &["-n", "--json"]] {
            let text = diff(&lab, &manifest, words);
            assert!(text.contains("__file@/x") && !text.contains("xyzzy"), "{mode}: {text}");
            let revealed = diff(&lab, &manifest, &[words, &["--reveal-secrets"]].concat());
            assert!(revealed.contains("+xyzzy new"), "{mode}: {revealed}");
        }
        let text = diff(&lab, &manifest, &[]);
        assert!(text.contains("not shown") && !text.contains("xyzzy"), "{mode}: {text}");
    }
}

/// What a type does wrong costs the difference, not the run, and does not make its code public.
#[test]
fn a_type_that_gets_it_wrong_is_warned_of() {
    let lab = new_lab();
    lab.write("conf/type/__x/gencode-remote", "echo 'echo xyzzy >&2'");
    for (script, reason) in [
        ("exit 3", "exit status 3"),
        ("echo 'exit 4'", "exit status 4"),
        ("echo 'echo hello'", "tells a content before it names a file"),
        ("echo 'diff_file /x; echo hello'", "a line that means nothing: 'hello'"),
        ("echo 'diff_file /proc/none; diff_wanted_here ../parameter'", "names '../parameter'"),
        ("echo 'diff_file /x; if'", "exit status 2"),
    ] {
        lab.write("conf/type/__x/gencode-diff", script);
        for words in [&["--diff"][..], &["--diff", "-n"]] {
            let output = run(&lab, "__x y\n", words);
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{script}: {err}");
            assert!(
                err.contains("WARNING: host: Cannot tell what __x/y changes in files: ")
                    && err.contains(reason),
                "{err}"
            );
            assert!(!out.contains("xyzzy"), "{out}");
        }
    }
    // It must not wait for input, nor read its own script.
    lab.write("conf/type/__x/gencode-diff", "echo 'diff_file /proc/none; cat | diff_wanted'");
    assert_eq!(diff(&lab, "__x y\n", &[]), "# host: __x/y\n--- /dev/null\n+++ /proc/none\n\n");
}

#[test]
fn the_json_report_has_the_difference() {
    let lab = new_lab();
    let text = diff(&lab, "echo new | __file @/x --source - --mode 0644\n", &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["hosts"][0]["changed"][0]["diff"], "--- /dev/null\n+++ @/x\n@@ -0,0 +1 @@\n+new\n");
}
