//! A type whose generated code starts `cdist` itself, as installation types do.

use std::{fs, path::Path, process::Command};

#[test]
fn an_inner_run_works_and_its_log_reaches_the_outer_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), text).unwrap();
    };
    let program = env!("CARGO_BIN_EXE_cdist");
    write("conf/manifest/init", "__outer x\n");
    write("conf/manifest/inner", "__inner y\n");
    write(
        "conf/type/__outer/gencode-local",
        &format!(
            "cat <<'EOF'\n{program} config --local -c {0}/conf -i {0}/conf/manifest/inner -r {0}/remote2 inner-host\nEOF\n",
            dir.path().display()
        ),
    );
    write("conf/type/__inner/gencode-remote", &format!("echo 'echo done > {}'", path("result").display()));
    let run = |with_server: bool| {
        let mut command = Command::new(program);
        command.args(["config", "-v", "--local", "-r"]).arg(path("remote1")).arg("-c").arg(path("conf"));
        if with_server {
            command.arg("--log-server");
        }
        let output = command
            .arg("outer-host")
            .env("HOME", path("home"))
            .env("TMPDIR", tmp(dir.path()))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(output.stdout.is_empty());
        text
    };

    let log = run(true);
    assert!(log.contains("INFO: inner-host: Processing __inner/y\n"), "{log}");
    // The inner summary is a log line, the outer one the last line of all.
    assert!(log.contains("INFO: config: inner-host: 1 object, 1 changed, "), "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("outer-host: 1 object, 1 changed, "), "{last}");
    assert!(!log.contains("\ninner-host: "), "{log}");
    assert_eq!(fs::read_to_string(path("result")).unwrap(), "done\n");
    assert!(!run(false).contains("inner-host"));
    assert_eq!(fs::read_dir(tmp(dir.path())).unwrap().count(), 0, "temporary files");
}

fn tmp(dir: &Path) -> std::path::PathBuf {
    let tmp = dir.join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    tmp
}
