use super::*;
use crate::install::{
    facts::{Signature, Use, UseKind},
    size::{GIB, MIB},
};

fn disk(name: &str, size: u64) -> Disk {
    Disk {
        name: name.into(),
        size,
        logical_sector: 512,
        serial: Some(format!("S-{name}")),
        ..Disk::default()
    }
}

fn machine(disks: Vec<Disk>) -> Facts {
    Facts { architecture: "x86_64".into(), firmware: Firmware::Uefi, disks, ..Facts::default() }
}

fn signature(at: &str, kind: &str) -> Signature {
    Signature { at: at.into(), kind: kind.into(), ..Signature::default() }
}

fn plan_with(
    facts: &Facts,
    layout: &Layout,
    rules: &[&str],
    wipe: &[&str],
    job: Option<&str>,
) -> Result<Plan, Refusal> {
    let rules: Vec<Rule> = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
    let wipe: Vec<String> = wipe.iter().map(|id| (*id).to_owned()).collect();
    Plan::make(&Request { facts, layout, rules: &rules, wipe: &wipe, job })
}

fn plan(facts: &Facts, layout: &str) -> Result<Plan, Refusal> {
    let layout = Layout::ready(layout).unwrap_or_else(|| Layout::parse(layout).unwrap());
    plan_with(facts, &layout, &[], &[], Some("1"))
}

fn refused(facts: &Facts, layout: &str) -> String {
    plan(facts, layout).unwrap_err().sentence
}

#[test]
fn every_ready_layout_starts_by_both_firmwares() {
    for (name, _) in super::super::layout::READY {
        let layout = Layout::ready(name).unwrap();
        let disks = ["sda", "nvme0n1"][..layout.disks].iter().map(|name| disk(name, 8 * GIB)).collect();
        let mut facts = machine(disks);
        for firmware in [Firmware::Bios, Firmware::Uefi, Firmware::Uefi32] {
            facts.firmware = firmware;
            let plan = plan(&facts, name).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert_eq!(plan.mounts[0].path.as_deref(), Some("/"), "{name}");
            assert!(plan.mounts.iter().any(|mount| mount.path.as_deref() == Some("/boot/efi")), "{name}");
            for planned in &plan.disks {
                assert_eq!(planned.partitions[0].start, MIB);
                let sum: u64 = planned.partitions.iter().map(|part| part.size).sum();
                assert_eq!(sum + planned.unused(), planned.disk.size);
                assert!(planned.unused() <= 3 * MIB, "{name} uses all");
            }
        }
    }
}

#[test]
fn what_does_not_start_is_refused() {
    let mut facts = machine(vec![disk("sda", 8 * GIB)]);
    facts.firmware = Firmware::Unknown;
    assert!(plan(&facts, "plain").unwrap_err().remedy.contains("--firmware bios or --firmware uefi"));
    facts.firmware = Firmware::Bios;
    assert!(
        refused(&facts, "partition root rest ext4 /")
            .contains("starts by BIOS, and the layout has no partition")
    );
    assert_eq!(plan(&facts, "table mbr\npartition root rest ext4 /").unwrap().disks.len(), 1);
    facts.architecture = "aarch64".into();
    assert!(refused(&facts, "plain").contains("none of architecture `aarch64` does"));
    facts.firmware = Firmware::Uefi;
    assert!(refused(&facts, "partition root rest ext4 /").contains("has no EFI system partition"));
    assert_eq!(plan(&facts, "plain").unwrap().disks.len(), 1);
}

#[test]
fn a_disk_in_use_is_refused_whatever_is_said() {
    for (kind, told) in [
        (UseKind::Mounted, "sda is in use: sda1 is mounted on /srv"),
        (UseKind::Swap, "sda is in use: sda1 is swap space in use"),
        (UseKind::Holder, "sda is in use: sda1 is held by /srv"),
        (UseKind::Other, "sda is in use: sda1 is used by /srv"),
    ] {
        let mut used = disk("sda", 8 * GIB);
        used.in_use = vec![Use { at: "sda1".into(), kind, by: Some("/srv".into()) }];
        let facts = machine(vec![used, disk("sdb", 8 * GIB)]);
        let layout = Layout::ready("plain").unwrap();
        let refusal = plan_with(&facts, &layout, &["name=sda"], &["sda"], Some("1")).unwrap_err();
        assert_eq!(refusal.sentence, told);
        assert!(refusal.disks[1].starts_with("sdb, 8 GiB"), "{:?}", refusal.disks);
        assert_eq!(plan_with(&facts, &layout, &["name=sdb"], &[], None).unwrap().disks[0].disk.name, "sdb");
    }
}

#[test]
fn a_disk_with_anything_on_it_takes_its_own_name() {
    let layout = Layout::ready("plain").unwrap();
    for kind in
        ["gpt", "dos", "ext4", "LVM2_member", "linux_raid_member", "crypto_LUKS", "swap", "unheard-of"]
    {
        let mut full = disk("sda", 8 * GIB);
        (full.wwn, full.by_id) = (Some("0x5000".into()), vec!["ata-1".into()]);
        full.content = vec![signature("sda", kind)];
        let facts = machine(vec![full, disk("sdb", 8 * GIB)]);
        let make = |wipe: &[&str]| plan_with(&facts, &layout, &["name=sda"], wipe, Some("1"));
        let refusal = make(&[]).unwrap_err();
        assert!(refusal.sentence.starts_with("sda is not blank: "), "{}", refusal.sentence);
        assert_eq!(refusal.remedy, "if all of that may be lost: --wipe S-sda");
        for id in ["sda", "/dev/sda", "S-sda", "0x5000", "ata-1"] {
            assert_eq!(make(&[id]).unwrap().disks[0].lost().len(), 1, "{id}");
        }
        assert_eq!(make(&["S-sd"]).unwrap_err().sentence, "--wipe S-sd names no disk of the machine");
        assert_eq!(
            make(&["sda", "sdb"]).unwrap_err().sentence,
            "--wipe sdb names sdb, which the rules do not choose"
        );
    }
    // Namespaces of one NVMe share a serial number, so the remedy is another name.
    let space = |name: &str| Disk {
        serial: Some("N1".into()),
        content: vec![signature(name, "gpt")],
        ..disk(name, 8 * GIB)
    };
    let facts = machine(vec![space("nvme0n1"), space("nvme0n2")]);
    let refusal = plan_with(&facts, &layout, &["name=nvme0n2"], &[], None).unwrap_err();
    assert_eq!(refusal.remedy, "if all of that may be lost: --wipe nvme0n2");
    // One disk's serial number is the name of another one.
    let mut odd = disk("sdb", 8 * GIB);
    odd.serial = Some("sda".into());
    let facts = machine(vec![disk("sda", 8 * GIB), odd]);
    let refusal = plan_with(&facts, &layout, &["name=sda"], &["sda"], None).unwrap_err();
    assert_eq!(refusal.sentence, "--wipe sda names 2 disks");
}

#[test]
fn an_interrupted_install_takes_its_own_disk_up_again() {
    let layout = Layout::ready("plain").unwrap();
    let mut facts = machine(vec![disk("sda", 8 * GIB)]);
    let first = plan_with(&facts, &layout, &[], &[], Some("7")).unwrap();
    let table = |id: String| Signature { uuid: Some(id), ..signature("sda", "gpt") };
    let own = first.disks[0].id.guid();
    facts.disks[0].content = vec![table(own.clone()), signature("sda4", "ext4")];
    let again = plan_with(&facts, &layout, &[], &[], Some("7")).unwrap();
    assert!(again.disks[0].is_own && !first.disks[0].is_own);
    assert_eq!(again.disks[0].partitions[3].id, first.disks[0].partitions[3].id);
    // Also under another name, and with its GUID in small letters.
    facts.disks[0].name = "sdb".into();
    facts.disks[0].content = vec![Signature { at: "sdb".into(), ..table(own.to_lowercase()) }];
    assert!(plan_with(&facts, &layout, &[], &[], Some("7")).unwrap().disks[0].is_own);
    let facts = |content| Facts { disks: vec![Disk { content, ..disk("sda", 8 * GIB) }], ..machine(vec![]) };
    let is_refused = |facts: &Facts, job| plan_with(facts, &layout, &[], &[], job).is_err();
    // Another job, none, a table of another disk, or more than the table.
    assert!(is_refused(&facts(vec![table(own.clone())]), Some("8")));
    assert!(is_refused(&facts(vec![table(own.clone())]), None));
    assert!(is_refused(&facts(vec![table("0".into())]), Some("7")));
    assert!(is_refused(&facts(vec![Signature { at: "sda1".into(), ..table(own.clone()) }]), Some("7")));
    assert!(is_refused(&facts(vec![table(own.clone()), signature("sda", "LVM2_member")]), Some("7")));
    let mut clone = disk("sda", 8 * GIB);
    (clone.serial, clone.content) = (Some("other".into()), vec![table(own)]);
    assert!(is_refused(&machine(vec![clone]), Some("7")), "a copy on another disk is data");
}

#[test]
fn sizes_that_do_not_fit_add_up() {
    for (size, layout, told) in [
        (
            2 * GIB,
            "plain",
            "the partitions need 2.7 GiB (2954904064 bytes) = 1 MiB in front of them + 1 MiB bios + 512 MiB esp + 256 MiB swap + \
             2 GiB root + 16896 bytes for the backup of the table, and sda has 2 GiB",
        ),
        // People see 1.8 TiB twice.
        (
            2_000_398_934_016,
            "partition esp 512MiB esp /e\npartition root 1907217MiB ext4 /",
            "need 1.8 TiB (2000399909376 bytes) = 1 MiB in front of them + 512 MiB esp + 1907217 MiB root + 16896 bytes \
             for the backup of the table, and sda has 1.8 TiB (2000398934016 bytes)",
        ),
        (
            8 * GIB,
            "partition esp 512MiB esp /e\npartition pv 1GiB lvm\ngroup g of pv\nvolume swap of g 512MiB swap\nvolume root of g rest min 512MiB ext4 /",
            "the volumes of `g` need 1 GiB = 512 MiB swap + 512 MiB root, and the group has 1020 MiB",
        ),
        (
            8 * GIB,
            "partition esp 512MiB esp /e\npartition boot 1GiB ext4 /boot\npartition c 310MiB luks\nluks root of c xfs /",
            "`root` would have 294 MiB, and xfs takes at least 300 MiB",
        ),
        (0, "plain", "2954904064 bytes"),
    ] {
        let facts = machine(vec![disk("sda", size)]);
        let layout = Layout::ready(layout).unwrap_or_else(|| Layout::parse(layout).unwrap());
        let refusal = plan_with(&facts, &layout, &["name=sda"], &[], None).unwrap_err().sentence;
        assert!(refusal.contains(told), "\n{refusal}\n{told}");
    }
    // By one sector.
    let text = "partition esp 512MiB esp /e\npartition root 1GiB ext4 /";
    let needed = MIB + 512 * MIB + GIB + 33 * 512;
    assert!(plan(&machine(vec![disk("sda", needed)]), text).is_ok());
    let refusal = refused(&machine(vec![disk("sda", needed - 512)]), text);
    assert!(refusal.contains(&format!("need 1.5 GiB ({needed} bytes)")), "{refusal}");
    assert!(refusal.ends_with(&format!("has 1.5 GiB ({} bytes)", needed - 512)), "{refusal}");
}

#[test]
fn raid_takes_what_the_smaller_disk_has() {
    let plan = plan(&machine(vec![disk("sda", 10 * GIB), disk("nvme0n1", 20 * GIB)]), "raid1").unwrap();
    let sizes = |at: usize| plan.disks[at].partitions.iter().map(|part| part.size).collect::<Vec<_>>();
    assert_eq!(sizes(0), sizes(1));
    assert_eq!(plan.disks[1].partitions[3].device, "/dev/nvme0n1p4");
    assert!(plan.disks[1].unused() > 9 * GIB);
    let arrays: Vec<u64> = plan
        .steps
        .iter()
        .filter_map(|step| if let Step::Raid { size, .. } = step { Some(*size) } else { None })
        .collect();
    assert_eq!(arrays, [sizes(0)[2] - 16 * MIB, sizes(0)[3] - 16 * MIB]);
    let mounts: Vec<(Option<&str>, &str)> =
        plan.mounts.iter().map(|mount| (mount.path.as_deref(), mount.options.as_str())).collect();
    assert_eq!(
        mounts,
        [
            (Some("/"), "errors=remount-ro"),
            (Some("/boot/efi"), "umask=0077,nofail"),
            (Some("/boot/efi2"), "umask=0077,nofail"),
            (None, "sw"),
        ]
    );
}

#[test]
fn large_disks_and_large_sectors() {
    let layout = "table mbr\npartition root rest ext4 /";
    let mut facts = machine(vec![disk("sda", 4096 * GIB)]);
    facts.firmware = Firmware::Bios;
    assert!(refused(&facts, layout).contains("sda has 4 TiB, and MBR reaches 1.9 TiB (2199023255040 bytes)"));
    // With larger sectors it reaches further.
    facts.disks[0].logical_sector = 4096;
    let made = plan(&facts, layout).unwrap();
    assert!(made.disks[0].partitions[0].is_bootable);
    facts.firmware = Firmware::Uefi;
    let made = plan(&facts, "plain").unwrap();
    assert_eq!(made.disks[0].partitions.last().unwrap().name, "root");
    assert!(
        refused(&facts, "partition esp 100MiB esp /e\npartition r rest ext4 /")
            .contains("at least 260 MiB on sda")
    );
}

#[test]
fn two_ways_to_one_disk_are_not_two_disks() {
    let with = |name: &str, member_of: Option<&str>| Disk {
        wwn: Some("0x5000".into()),
        member_of: member_of.map(str::to_owned),
        ..disk(name, 8 * GIB)
    };
    let facts = machine(vec![with("sda", None), with("sdb", None)]);
    assert!(refused(&facts, "raid1").contains("sda and sdb have the same WWN"));
    let of = Some("mapper/mpatha");
    let facts = machine(vec![with("sda", of), with("sdb", of), with("mapper/mpatha", None)]);
    let made = plan(&facts, "plain").unwrap();
    assert_eq!(made.disks[0].partitions[0].device, "/dev/mapper/mpatha-part1");
    assert!(refused(&facts, "raid1").contains("finds 1 of 2 disks"));
}

#[test]
fn disks_that_share_a_serial_number_are_told_apart() {
    let same = |name: &str| Disk { serial: Some("000".into()), ..disk(name, 8 * GIB) };
    let made = plan(&machine(vec![same("sda"), same("sdb")]), "raid1").unwrap();
    assert_ne!(made.disks[0].id, made.disks[1].id);
    assert_ne!(made.disks[0].partitions[0].id, made.disks[1].partitions[0].id);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let facts = machine(vec![Disk { read_only: true, ..disk("sda", 8 * GIB) }]);
    assert!(refused(&facts, "plain").contains("sda is left out, for it is read-only"));
    let layout = Layout::ready("plain").unwrap();
    assert_eq!(
        plan_with(&facts, &layout, &["name=sda"], &[], None).unwrap_err().sentence,
        "sda cannot be written to"
    );
}
