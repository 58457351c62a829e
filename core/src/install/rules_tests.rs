use super::*;

fn disk(name: &str, gib: u64) -> Disk {
    Disk {
        name: name.to_owned(),
        size: gib * size::GIB,
        logical_sector: 512,
        serial: Some(format!("S-{name}")),
        ..Disk::default()
    }
}

/// A machine with all kinds of disks.
fn machine() -> Facts {
    let with = |mut disk: Disk, change: fn(&mut Disk)| {
        change(&mut disk);
        disk
    };
    Facts {
        disks: vec![
            with(disk("sda", 4000), |disk| {
                disk.rotational = Some(true);
                disk.model = Some("WDC WD40EFRX-68N".to_owned());
                disk.by_id = vec!["ata-WDC_WD40EFRX".to_owned()];
            }),
            with(disk("sdb", 4000), |disk| disk.rotational = Some(true)),
            with(disk("nvme0n1", 500), |disk| {
                (disk.rotational, disk.transport) = (Some(false), Some("nvme".to_owned()));
                (disk.wwn, disk.by_path) =
                    (Some("eui.01".to_owned()), vec!["pci-0000:01:00.0-nvme-1".to_owned()]);
            }),
            with(disk("sdc", 16), |disk| (disk.removable, disk.transport) = (true, Some("usb".to_owned()))),
            with(disk("sdd", 100), |disk| disk.read_only = true),
            with(disk("mmcblk0boot0", 0), |disk| disk.size = 4 * size::MIB),
            with(disk("sde", 200), |disk| disk.member_of = Some("mapper/mpatha".to_owned())),
            with(disk("mapper/mpatha", 200), |disk| disk.transport = Some("multipath".to_owned())),
        ],
        ..Facts::default()
    }
}

fn chosen(facts: &Facts, rules: &[&str], wanted: usize) -> Result<String, String> {
    let rules: Vec<Rule> = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
    let disks = choose(facts, &rules, wanted)?;
    Ok(disks.iter().map(|at| facts.disks[*at].name.as_str()).collect::<Vec<_>>().join(" "))
}

#[test]
fn rules_mean_disks() {
    let facts = machine();
    for (rules, wanted, disks) in [
        (&["ssd"][..], 1, "nvme0n1"),
        (&["smallest"], 1, "mapper/mpatha"),
        (&["smallest"], 2, "nvme0n1 mapper/mpatha"),
        (&["largest"], 2, "sda sdb"),
        (&["largest,count=2"], 2, "sda sdb"),
        (&["rotational"], 2, "sda sdb"),
        (&["rotational,smallest"], 2, "sda sdb"),
        (&["size=300GiB..1TiB"], 1, "nvme0n1"),
        (&["size=..200GiB"], 1, "mapper/mpatha"),
        (&["model=WDC*68?"], 1, "sda"),
        (&["serial=S-sdb"], 1, "sdb"),
        (&["serial=S-sdb", "ssd"], 2, "sdb nvme0n1"),
        (&["wwn=eui.01"], 1, "nvme0n1"),
        (&["by-path=pci-0000:01:00.0-nvme-1"], 1, "nvme0n1"),
        (&["/dev/disk/by-path/pci-0000:01:00.0-nvme-1"], 1, "nvme0n1"),
        (&["/dev/disk/by-id/ata-WDC_WD40EFRX"], 1, "sda"),
        (&["/dev/mapper/mpatha"], 1, "mapper/mpatha"),
        (&["transport=nvme"], 1, "nvme0n1"),
        // Named, they are meant; whether they can be written to is not for the rules.
        (&["name=sdc"], 1, "sdc"),
        (&["/dev/sdd"], 1, "sdd"),
        (&["serial=S-mmcblk0boot0"], 1, "mmcblk0boot0"),
    ] {
        assert_eq!(chosen(&facts, rules, wanted), Ok(disks.to_owned()), "{rules:?}");
    }
    let one = Facts { disks: machine().disks.drain(2..6).collect(), ..Facts::default() };
    assert_eq!(chosen(&one, &[], 1), Ok("nvme0n1".to_owned()));
    assert_eq!(chosen(&one, &["only"], 1), Ok("nvme0n1".to_owned()));
}

#[test]
fn what_could_mean_another_disk_is_refused() {
    let facts = machine();
    for (rules, wanted, told) in [
        (&[][..], 1, "the rule `only` finds 4 disks where 1 is wanted: sda, sdb, nvme0n1, mapper/mpatha"),
        (&["only"], 2, "finds 4 disks where 2 are wanted"),
        (&["rotational"], 1, "finds 2 disks where 1 is wanted: sda, sdb"),
        (&["largest"], 1, "the rule `largest` cannot choose: sda, sdb have 4000 GiB each"),
        (&["largest,model=*"], 2, "finds 1 of 2 disks that are wanted: sda"),
        (
            &["transport=usb"],
            1,
            "no disk is what the rule `transport=usb` asks for; sdc is left out, for it is removable and not named",
        ),
        (
            &["size=..100GiB"],
            1,
            "sdd is left out, for it is read-only and not named; mmcblk0boot0 is left out, for it is smaller than 1 GiB",
        ),
        (&["name=sde"], 1, "sde is left out, for it is a path to mapper/mpatha, which is the disk"),
        (&["serial=S-sd"], 1, "no disk is what the rule `serial=S-sd` asks for"),
        (&["name=sda", "serial=S-sda"], 2, "two disk rules choose sda"),
        (&["ssd", "largest,count=2"], 2, "the disk rules choose 3 disks, and the layout takes 2"),
        (&["ssd,count=2"], 1, "the disk rules choose 2 disks, and the layout takes 1"),
    ] {
        let refused = chosen(&facts, rules, wanted).unwrap_err();
        assert!(refused.contains(told), "{rules:?}\n  {refused}\n  {told}");
    }
    assert!(chosen(&Facts::default(), &[], 1).unwrap_err().contains("no disk is"));
}

#[test]
fn what_is_no_rule_is_told() {
    for (text, told) in [
        ("", "`` is not known here; write one of only, smallest"),
        ("smalest", "did you mean `smallest`?"),
        ("sda", "`sda` is not known here"),
        ("ssd=yes", "`ssd` takes no value"),
        ("serial", "`serial` takes a value; write serial=…"),
        ("serial=", "`serial` takes a value"),
        ("size=10GiB", "write size=MIN..MAX"),
        ("size=..", "write size=MIN..MAX"),
        ("size=2TiB..1TiB", "the smaller size stands in front"),
        ("size=10G..", "write 10GiB"),
        ("count=0", "write one from 1 to 64"),
        ("ssd,,largest", "`` is not known here"),
        ("a\u{1b}[2J", "a\\u{1b}[2J"),
    ] {
        let error = Rule::parse(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn patterns() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("a*c", "abcbc", true),
        ("a*c", "abcb", false),
        ("?", "", false),
        ("a?c", "a\u{e9}c", true),
        ("abc", "abcd", false),
        ("**x*", "yxz", true),
    ] {
        assert_eq!(matches_pattern(pattern, text), fits, "{pattern} {text}");
    }
}
