use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use super::{super::random::Random, *};
use crate::install::{Facts, Firmware, Layout, Request, Rule, facts::Disk, size::GIB};

fn disk(name: &str) -> Disk {
    Disk {
        name: name.into(),
        size: 20 * GIB,
        logical_sector: 512,
        serial: Some("it's 1".into()),
        ..Disk::default()
    }
}

fn plan(layout: &str, disks: Vec<Disk>) -> Plan {
    let facts = Facts { architecture: "x86_64".into(), firmware: Firmware::Bios, disks, ..Facts::default() };
    let layout = Layout::ready(layout).unwrap_or_else(|| Layout::parse(layout).unwrap());
    Plan::make(&Request { facts: &facts, layout: &layout, rules: &[], wipe: &[], job: Some("1") }).unwrap()
}

/// Without the functions, which are the same in all.
fn own_part(script: &str) -> String {
    let (_, own) = script.split_once(FUNCTIONS.trim_end()).unwrap();
    own.trim_start().to_owned()
}

#[test]
fn scripts_of_ready_layouts() {
    for (name, _) in super::super::layout::READY {
        let layout = Layout::ready(name).unwrap();
        let disks = ["sda", "nvme0n1"][..layout.disks].iter().map(|name| disk(name)).collect();
        let plan = plan(name, disks);
        let mut text = own_part(&script(&plan));
        for (path, content) in files(&plan) {
            text.push_str(&format!("--- {path}\n{content}"));
        }
        insta::assert_snapshot!(format!("script_of_{name}"), text);
    }
}

#[test]
fn every_shell_reads_every_script() {
    for (name, _) in super::super::layout::READY {
        let layout = Layout::ready(name).unwrap();
        let disks = ["sda", "nvme0n1"][..layout.disks].iter().map(|name| disk(name)).collect();
        let text = script(&plan(name, disks));
        assert!(!text.contains("trap ") && text.starts_with("#!/bin/sh\nset -eu\n"), "{name}");
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            let output = Command::new(shell[0]).args(&shell[1..]).args(["-n", "-c", &text]).output().unwrap();
            assert!(
                output.status.success(),
                "{name}, {shell:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// The key is in no argument, and is asked for before anything is written.
#[test]
fn keys_are_no_arguments() {
    let text = own_part(&script(&plan("luks", vec![disk("sda")])));
    let key = text.find("key=$(").unwrap();
    assert!(text.find("guard ").unwrap() < key && key < text.find("wipefs").unwrap(), "{text}");
    for line in text.lines().filter(|line| line.contains("$key") && !line.starts_with("[ -n")) {
        assert!(line.starts_with("printf '%s' \"$key\" | cryptsetup "), "{line}");
    }
}

/// A machine in a directory: what the script's functions read of the kernel.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        for (path, text) in [
            ("sys/class/block/sda/dev", "8:0\n"),
            ("sys/class/block/sda/size", "41943040\n"),
            ("sys/class/block/sda/ro", "0\n"),
            ("sys/class/block/sda/device/vpd_pg80", "\0\u{1}\0\u{8}  it's 1\0"),
            ("sys/class/block/sda/wwid", "naa.5000\n"),
            ("sys/class/block/sda/sda1/dev", "8:1\n"),
            (
                "proc/self/mountinfo",
                "22 1 0:21 / /proc rw - proc proc rw\n25 1 8:17 / /srv rw - ext4 /dev/sdb1 rw\n",
            ),
            ("proc/swaps", "Filename Type Size Used Priority\n/dev/sdb2 partition 1 0 -2\n"),
        ] {
            machine.put(path, text);
        }
        fs::create_dir_all(machine.path("sys/class/block/sda/sda1/holders")).unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Guards a disk, and says what is printed after it.
    fn guard(&self, shell: &[&str], size: &str, serial: &str, wwn: &str) -> Output {
        let dir = self.dir.path().to_str().unwrap();
        let text =
            FUNCTIONS.replace("/sys/", &format!("{dir}/sys/")).replace("/proc/", &format!("{dir}/proc/"));
        // Without a block device: what `test` says of one, and lsblk, are the only things that are not in the directory.
        let text = text.replace("[ -b \"$1\" ]", "[ \"$1\" = /dev/sda ]").replace("lsblk ", "false ");
        let script =
            format!("set -eu\n{text}\n{}\necho goes on\n", words(&["guard", "/dev/sda", size, serial, wwn]));
        Command::new(shell[0]).args(&shell[1..]).args(["-c", &script]).output().unwrap()
    }
}

#[test]
fn guards_look_again_before_anything_is_written() {
    type Change = fn(&Machine);
    let cases: [(&str, &str, &str, Change, &str); 12] = [
        ("41943040", "it's 1", "", |_| {}, ""),
        ("41943040", "", "0x5000", |_| {}, ""),
        ("41943040", "", "", |_| {}, ""),
        ("41943048", "it's 1", "", |_| {}, "it has 41943040 sectors of 512 bytes, and not 41943048"),
        ("41943040", "it's 2", "", |_| {}, "its serial number is not it's 2"),
        ("41943040", "", "0x5001", |_| {}, "its WWN is not 0x5001"),
        (
            "41943040",
            "it's 1",
            "",
            |at| at.put("sys/class/block/sda/ro", "1\n"),
            "/dev/sda cannot be written to",
        ),
        (
            "41943040",
            "it's 1",
            "",
            |at| at.put("proc/self/mountinfo", "25 1 8:1 / /srv rw - ext4 /dev/other rw\n"),
            "/dev/sda is in use: sda1 is mounted on /srv",
        ),
        (
            "41943040",
            "it's 1",
            "",
            |at| at.put("proc/self/mountinfo", "25 1 0:44 /@ / rw shared:1 - btrfs /dev/sda1 rw\n"),
            "/dev/sda is in use: sda1 is mounted on /",
        ),
        (
            "41943040",
            "it's 1",
            "",
            |at| at.put("proc/swaps", "/dev/sda1 partition 1\n"),
            "sda1 is swap space in use",
        ),
        (
            "41943040",
            "it's 1",
            "",
            |at| at.put("sys/class/block/sda/sda1/holders/md127/dev", ""),
            "sda1 is held by md127",
        ),
        (
            "41943040",
            "it's 1",
            "",
            |at| {
                at.put("sys/class/block/sda/holders/dm-1/dev", "");
                at.put("sys/class/block/dm-1/dm/uuid", "part1-mpath-3600\n");
                at.put("sys/class/block/dm-1/dev", "253:1\n");
                at.put("sys/class/block/dm-1/holders/dm-2/dev", "");
            },
            "/dev/sda is in use: dm-1 is held by dm-2",
        ),
    ];
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        for (size, serial, wwn, change, told) in &cases {
            let machine = Machine::new();
            change(&machine);
            let output = machine.guard(shell, size, serial, wwn);
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            if told.is_empty() {
                assert_eq!((out.as_ref(), err.as_ref()), ("goes on\n", ""), "{shell:?} {serial} {wwn}");
            } else {
                assert!(
                    err.contains(told) && err.ends_with("; nothing was written\n"),
                    "{shell:?} {told}\n{err}{out}"
                );
                assert_eq!(
                    (output.status.code(), err.lines().count(), out.as_ref()),
                    (Some(1), 1, ""),
                    "{err}"
                );
            }
        }
    }
}

fn sfdisk() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join("sfdisk")).find(|program| program.is_file())
}

/// sfdisk makes of a table what the plan says.
#[test]
fn sfdisk_reads_back_what_was_planned() {
    let program =
        sfdisk().expect("sfdisk is missing: install the package fdisk, or make install-test-packages");
    let run = |args: &[&str], file: &Path, input: &str| {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("table");
        fs::write(&table, input).unwrap();
        let input = fs::File::open(&table).unwrap();
        Command::new(&program).args(args).arg(file).stdin(input).output().unwrap()
    };
    let help = Command::new(&program).arg("--help").output().unwrap().stdout;
    let has_sectors = String::from_utf8_lossy(&help).contains("--sector-size");
    let mut done = 0;
    for number in 0..400 {
        let sector = if has_sectors && number % 3 == 0 { 4096 } else { 512 };
        let mut random = Random::new(number);
        let (mut facts, text) = (random.machine(), random.layout());
        for disk in &mut facts.disks {
            // A sparse file is as large as a file system lets it be, and has sectors of 512 bytes if sfdisk is not told.
            (disk.logical_sector, disk.size) = (sector, disk.size.min(3 << 40));
            (disk.wwn, disk.content, disk.in_use) = (None, Vec::new(), Vec::new());
        }
        let Ok(layout) = Layout::parse(&text) else { continue };
        let rules = [Rule::parse(if number % 2 == 0 { "largest" } else { "smallest" }).unwrap()];
        let request = Request { facts: &facts, layout: &layout, rules: &rules, wipe: &[], job: Some("1") };
        let Ok(plan) = Plan::make(&request) else { continue };
        let planned = &plan.disks[0];
        // In memory where that can be: sfdisk waits until all is on the disk.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let file = dir.path().join("disk");
        fs::File::create(&file).unwrap().set_len(planned.disk.size).unwrap();
        let table = table(plan.table, planned);
        let size = sector.to_string();
        let sectors: &[&str] = if has_sectors { &["--sector-size", &size] } else { &[] };
        let made = run(&[&["--quiet", "--no-reread", "--no-tell-kernel"], sectors].concat(), &file, &table);
        assert!(made.status.success(), "{table}\n{}", String::from_utf8_lossy(&made.stderr));
        let read = run(&[sectors, &["--json"]].concat(), &file, "");
        compare(&plan, planned, &serde_json::from_slice(&read.stdout).unwrap());
        done += 1;
        if done == 40 {
            return;
        }
    }
    panic!("only {done} plans");
}

fn compare(plan: &Plan, planned: &PlannedDisk, read: &Value) {
    let table = &read["partitiontable"];
    let is_gpt = plan.table == Table::Gpt;
    let id = if is_gpt { planned.id.guid() } else { format!("0x{}", planned.id.short().to_lowercase()) };
    assert_eq!(
        (&table["id"], &table["label"]),
        (&Value::from(id), &Value::from(if is_gpt { "gpt" } else { "dos" }))
    );
    let parts = table["partitions"].as_array().unwrap();
    assert_eq!(parts.len(), planned.partitions.len());
    let sector = planned.disk.logical_sector;
    for (part, read) in planned.partitions.iter().zip(parts) {
        assert_eq!(read["start"], part.start / sector);
        assert_eq!(read["size"], part.size / sector);
        assert_eq!(read["type"], partition_type(&part.content, plan.table));
        if is_gpt {
            assert_eq!((&read["uuid"], &read["name"]), (&part.id.guid().into(), &part.name.as_str().into()));
            let last = table["lastlba"].as_u64().unwrap();
            assert!(part.start / sector + part.size / sector - 1 <= last);
        } else {
            assert_eq!(read["bootable"].as_bool().unwrap_or(false), part.is_bootable);
        }
    }
}
