//! Which source of a setting wins, through the program: files, environment and command line.

use std::{fs, process::Command};

/// From the lowest to the highest. The files in /etc are left out: a test must not write there.
const SOURCES: [&str; 6] = ["default", "user's file", "environment", "$CDIST_CONFIG_FILE", "-g", "-I"];

/// Each source names an inventory of its own, whose only host is called like the source.
#[test]
fn the_highest_source_that_is_there_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let home = path("home");
    fs::create_dir_all(format!("{home}/.cdist/inventory")).unwrap();
    fs::write(format!("{home}/.cdist/inventory/source0"), "").unwrap();
    for i in 1..SOURCES.len() {
        fs::create_dir(path(&format!("inventory{i}"))).unwrap();
        fs::write(path(&format!("inventory{i}/source{i}")), "").unwrap();
        fs::write(
            path(&format!("file{i}")),
            format!("[GLOBAL]\ninventory_dir = {}\n", path(&format!("inventory{i}"))),
        )
        .unwrap();
    }
    for present in 0..1u32 << (SOURCES.len() - 1) {
        let is_there = |i: usize| i == 0 || present & (1 << (i - 1)) != 0;
        let user_file = format!("{home}/.cdist.cfg");
        let _ = fs::remove_file(&user_file);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
        command.env_clear().env("HOME", &home).args(["inventory", "list", "-b", "-H"]);
        if is_there(1) {
            fs::copy(path("file1"), &user_file).unwrap();
        }
        if is_there(2) {
            command.env("CDIST_INVENTORY_DIR", path("inventory2"));
        }
        if is_there(3) {
            command.env("CDIST_CONFIG_FILE", path("file3"));
        }
        if is_there(4) {
            command.args(["-g", &path("file4")]);
        }
        if is_there(5) {
            command.args(["-I", &path("inventory5")]);
        }
        let output = command.output().unwrap();
        let highest = (0..SOURCES.len()).rev().find(|i| is_there(*i)).unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown, format!("source{highest}\n"), "{} of {present:05b}", SOURCES[highest]);
    }
}
