use super::*;

/// A machine with a disk, which has one more key.
fn with(more: &str) -> String {
    format!(
        r#"{{"architecture": "x86_64", "disks": [{{"name": "sda", "size": 1073741824, "read_only": false, "removable": false,
            "content": [], "in_use": []{more}}}]}}"#
    )
}

#[test]
fn little_has_to_be_said() {
    let facts = Facts::parse(&with("")).unwrap();
    assert_eq!((facts.firmware, facts.disks[0].logical_sector), (Firmware::Unknown, 512));
    assert_eq!(facts.disks[0].line(), "sda, 1 GiB: blank");
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(Facts::parse(&text), Ok(facts));
}

#[test]
fn later_versions_may_say_more() {
    let facts = Facts::parse(&with(
        r#", "colour": "red", "model": " QEMU  ", "serial": "   ",
           "in_use": [{"at": "sda1", "kind": "dreamt-of", "by": "x"}]"#,
    ));
    // A key that is there twice is no JSON that anybody means.
    assert!(facts.unwrap_err().to_string().contains("duplicate field `in_use`"));
    let facts = Facts::parse(&with(r#", "colour": "red", "model": " QEMU  ", "serial": "   ""#)).unwrap();
    assert_eq!((facts.disks[0].model.as_deref(), facts.disks[0].serial.as_ref()), (Some("QEMU"), None));
    let text =
        with("").replace(r#""in_use": []"#, r#""in_use": [{"at": "sda1", "kind": "dreamt-of", "by": "x"}]"#);
    assert_eq!(Facts::parse(&text).unwrap().disks[0].in_use[0].kind, UseKind::Other);
    let text = text.replace("\"architecture\"", "\"firmware\": \"coreboot\", \"architecture\"");
    assert_eq!(Facts::parse(&text).unwrap().firmware, Firmware::Unknown);
}

/// What decides about the life of a disk is never taken for granted.
#[test]
fn what_is_refused_is_told_with_its_place() {
    for key in ["name", "size", "read_only", "removable", "content", "in_use"] {
        let text = with("").replace(&format!("\"{key}\""), "\"other\"");
        let error = Facts::parse(&text).unwrap_err().to_string();
        assert!(error.contains(&format!("missing field `{key}` at line 2 column")), "{error}");
    }
    for (from, to, told) in [
        ("1073741824", "1073741825", "disks[0] (`sda`): size 1073741825 is not that of a disk with sectors of 512 bytes"),
        ("1073741824", "-1", "invalid value: integer `-1`"),
        ("1073741824", "18446744073709551104", "is not that of a disk"),
        ("\"sda\"", "\"../sda\"", "disks[0].name `../sda` is no name of a device"),
        ("\"sda\"", "\"\\u001b[2J\"", "disks[0].name `\\u{1b}[2J` is no name"),
        ("\"content\": []", "\"content\": [{\"at\": \"a b\", \"type\": \"x\"}]", "content is at `a b`, which is no name"),
        (
            "\"content\": []",
            "\"content\": [{\"at\": \"sdb1\", \"type\": \"x\"}]",
            "content is at `sdb1`, which is neither the disk nor a partition of it",
        ),
        ("\"in_use\": []", "\"in_use\": [{\"at\": \"-x\", \"kind\": \"swap\"}]", "in_use is at `-x`, which is no name"),
        ("\"in_use\": []", "\"in_use\": [], \"logical_sector\": 520", "logical_sector is 520"),
        ("x86_64", &"x".repeat(300), "architecture has a text of more than 256 bytes"),
        ("[{\"name\"", "[17, {\"name\"", "the facts cannot be read: invalid type: integer `17`"),
        ("[{\"name\"", "[{\"name\": \"sdb\", \"size\": 0, \"read_only\": false, \"removable\": false, \"content\": [], \"in_use\": []},
          {\"name\": \"sdb\", \"size\": 0, \"read_only\": false, \"removable\": false, \"content\": [], \"in_use\": []}, {\"name\"",
         "disks[1].name `sdb` is that of another disk, too"),
    ] {
        let text = with("").replacen(from, to, 1);
        let error = Facts::parse(&text).unwrap_err().to_string();
        assert!(error.contains(told), "{to}\n  {error}\n  {told}");
    }
    assert!(
        Facts::parse("").unwrap_err().to_string().contains("EOF while parsing a value at line 1 column 0")
    );
    let error = Facts::parse(&" ".repeat(BYTES_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("of at most 1048576; they describe one machine"), "{error}");
    let many = format!(
        "{{\"architecture\": \"x\", \"disks\": [], \"cards\": [{}]}}",
        vec!["{\"name\": \"\"}"; 1025].join(",")
    );
    assert!(Facts::parse(&many).unwrap_err().to_string().contains("cards has 1025 entries, of at most 1024"));
}

#[test]
fn partitions_are_called_as_the_kernel_does() {
    for (disk, device) in [
        ("sda", "/dev/sda3"),
        ("vda", "/dev/vda3"),
        ("nvme0n1", "/dev/nvme0n1p3"),
        ("mmcblk0", "/dev/mmcblk0p3"),
        ("loop7", "/dev/loop7p3"),
        ("mapper/mpatha", "/dev/mapper/mpatha-part3"),
    ] {
        let disk = Disk { name: disk.to_owned(), ..Disk::default() };
        assert_eq!(disk.partition(3), device);
    }
}

#[test]
fn a_disk_has_its_own_partitions_only() {
    for (name, device, has) in [
        ("sda", "sda", true),
        ("sda", "sda12", true),
        ("sda", "sdaa", false),
        ("sda", "sdaa1", false),
        ("sda", "sdb1", false),
        ("sda", "sdap", false),
        ("nvme0n1", "nvme0n1p2", true),
        ("nvme0n1", "nvme0n12", false),
        ("nvme0n1", "nvme0n12p1", false),
        ("mapper/mpatha", "mapper/mpatha-part1", true),
        ("mapper/mpatha", "mapper/mpathab", false),
    ] {
        let disk = Disk { name: name.to_owned(), ..Disk::default() };
        assert_eq!(disk.has(device), has, "{name} {device}");
    }
}

#[test]
fn a_disk_is_called_by_a_whole_name_only() {
    let disk = Disk {
        name: "sda".into(),
        by_id: vec!["ata-X_1".into()],
        serial: Some("S1".into()),
        wwn: Some("0x5000".into()),
        model: Some("X".into()),
        ..Disk::default()
    };
    for id in ["sda", "/dev/sda", "ata-X_1", "/dev/disk/by-id/ata-X_1", "S1", "0x5000"] {
        assert!(disk.is_called(id), "{id}");
    }
    for id in ["", "sd", "sda1", "/dev/", "/dev/S1", "ata-X", "S", "s1", "X", "*", "0x5"] {
        assert!(!disk.is_called(id), "{id}");
    }
    assert!(!Disk::default().is_called(""));
}

#[test]
fn a_line_tells_what_is_on_a_disk() {
    let at = |at: &str, kind: &str, label: Option<&str>| Signature {
        at: at.into(),
        kind: kind.into(),
        label: label.map(str::to_owned),
        uuid: None,
    };
    let mut disk = Disk {
        name: "sda".into(),
        size: 2_000_398_934_016,
        model: Some("Disk\u{1b}[2J".into()),
        wwn: Some("0x5000".into()),
        removable: true,
        content: vec![at("sda", "gpt", None), at("sda1", "ext4", Some("ro\not"))],
        in_use: vec![Use { at: "sda1".into(), kind: UseKind::Mounted, by: Some("/".into()) }],
        ..Disk::default()
    };
    assert_eq!(
        disk.line(),
        "sda, 1.8 TiB (2000398934016 bytes), Disk\\u{1b}[2J, wwn 0x5000, removable: sda1 is mounted on /; \
         partition table GPT on sda; ext4 \"ro\\not\" on sda1"
    );
    disk.content = vec![at("sda", "LVM2_member", None); 9];
    assert!(disk.line().ends_with("LVM on sda; 4 more"), "{}", disk.line());
}
