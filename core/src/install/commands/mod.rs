//! A plan as a script for POSIX sh, and as files of the new system.
//!
//! The script looks at each disk again before it writes to the first one: between the facts and it, disks may have come, gone,
//! or been put to use. It may run again after it was interrupted; it begins from the table on then.

#[cfg(test)]
mod tests;

use super::{
    layout::{Content, FileSystem, Level, Table},
    plan::{Format, Partition, Plan, PlannedDisk, RAID_FRONT, Step},
};
use crate::host::quote;

/// Where the new system is mounted while it is installed.
pub const TARGET: &str = "/target";

const RAID_FRONT_MIB: u64 = RAID_FRONT / super::size::MIB;

const FUNCTIONS: &str = include_str!("functions.sh");

/// Types of partitions: what is in them, in a GPT, in an MBR.
const TYPES: [(&str, &str, &str); 6] = [
    ("bios", "21686148-6449-6E6F-744E-656564454649", "da"),
    ("esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "ef"),
    ("swap", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82"),
    ("raid", "A19D880F-05FC-4D3B-A006-743F0F84911E", "fd"),
    ("lvm", "E6D6D379-F507-44C2-A23C-238F2A3DF928", "8e"),
    ("luks", "CA7D7CCB-63ED-4C53-861C-1742536059CC", "e8"),
];
/// A file system of Linux, and what is none of the others.
const OTHER_TYPE: (&str, &str) = ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "83");

/// The type of a partition, as sfdisk takes it.
pub fn partition_type(content: &Content, table: Table) -> &'static str {
    let known = TYPES.iter().find(|(word, ..)| *word == content.word());
    let (gpt, mbr) = known.map_or(OTHER_TYPE, |(_, gpt, mbr)| (*gpt, *mbr));
    if table == Table::Gpt { gpt } else { mbr }
}

/// The commands that make all of the plan, from the table to the mounts below [`TARGET`].
///
/// If something is encrypted, the key is read from descriptor 3 and reaches programs on their standard input only.
pub fn script(plan: &Plan) -> String {
    let mut lines = vec!["#!/bin/sh".to_owned(), "set -eu".to_owned(), FUNCTIONS.trim_end().to_owned()];
    lines.extend(plan.disks.iter().map(guard));
    if plan.steps.iter().any(|step| matches!(step, Step::Luks { .. })) {
        lines.push("key=$({ cat <&3; } 2>/dev/null) || key=''".to_owned());
        lines.push(
            "[ -n \"$key\" ] || refuse 'the key for LUKS has to come on descriptor 3; nothing was written'"
                .to_owned(),
        );
    }
    for planned in &plan.disks {
        lines.extend(wipe(planned));
        lines.push(format!(
            "{} <<'TABLE'\n{}TABLE",
            words(&[
                "sfdisk",
                "--quiet",
                "--wipe",
                "always",
                "--wipe-partitions",
                "always",
                &planned.disk.device()
            ]),
            table(plan.table, planned)
        ));
        if planned.disk.name.starts_with("mapper/") {
            lines.push(words(&["kpartx", "-u", "-s", "-p", "-part", &planned.disk.device()]));
        }
    }
    let devices = plan.disks.iter().flat_map(|planned| &planned.partitions).map(|part| part.device.as_str());
    lines.push(words(&["await"].into_iter().chain(devices).collect::<Vec<_>>()));
    lines.extend(plan.steps.iter().flat_map(step));
    for mount in &plan.mounts {
        let Some(path) = &mount.path else { continue };
        let point = format!("{TARGET}{}", if path == "/" { "" } else { path });
        lines.push(words(&["mkdir", "-p", &point]));
        lines.push(words(&["mount", "-t", mount.format.name(), "-o", &mount.options, &mount.device, &point]));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Files of the new system by their paths, which are written when it is unpacked. Those in `/etc/mdadm` are to be added to
/// what is there.
pub fn files(plan: &Plan) -> Vec<(&'static str, String)> {
    let fstab: String = plan
        .mounts
        .iter()
        .map(|mount| {
            let (path, format) = (mount.path.as_deref().unwrap_or("none"), mount.format.name());
            format!("{} {path} {format} {} 0 {}\n", mount.spec, mount.options, mount.pass)
        })
        .collect();
    let (mut crypttab, mut arrays) = (String::new(), String::new());
    for step in &plan.steps {
        match step {
            Step::Luks { name, id, .. } => {
                crypttab.push_str(&format!("{name} UUID={} none luks\n", id.uuid()));
            }
            Step::Raid { device, id, .. } => arrays.push_str(&format!("ARRAY {device} UUID={}\n", id.md())),
            _ => {}
        }
    }
    let all = [("/etc/fstab", fstab), ("/etc/crypttab", crypttab), ("/etc/mdadm/mdadm.conf", arrays)];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// The table of a disk, as sfdisk reads it.
pub fn table(table: Table, planned: &PlannedDisk) -> String {
    let label = if table == Table::Gpt { "gpt" } else { "dos" };
    let mut text = format!("label: {label}\nlabel-id: {}\nunit: sectors\n", planned.table_id(table));
    for part in &planned.partitions {
        text.push_str(&entry(table, planned.disk.logical_sector, part));
    }
    text
}

fn entry(table: Table, sector: u64, part: &Partition) -> String {
    let (start, size) = (part.start / sector, part.size / sector);
    let kind = partition_type(&part.content, table);
    let more = match table {
        Table::Gpt => format!(", uuid={}, name=\"{}\"", part.id.guid(), part.name),
        Table::Mbr if part.is_bootable => ", bootable".to_owned(),
        Table::Mbr => String::new(),
    };
    format!("start={start}, size={size}, type={kind}{more}\n")
}

fn guard(planned: &PlannedDisk) -> String {
    let disk = &planned.disk;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    words(&["guard", &disk.device(), &(disk.size / 512).to_string(), &text(&disk.serial), &text(&disk.wwn)])
}

/// Takes away what is known to be on a disk, from the inside to the outside: an old superblock must not come back to life in
/// a new partition.
fn wipe(planned: &PlannedDisk) -> Vec<String> {
    let disk = &planned.disk;
    let own = disk.content.iter().filter(|signature| disk.has(&signature.at));
    let mut devices: Vec<String> = own.map(|signature| format!("/dev/{}", signature.at)).collect();
    devices.sort();
    devices.dedup();
    devices.retain(|device| *device != disk.device());
    let device = |device: &String| {
        let device = words(&[device]);
        format!("if [ -b {device} ]; then wipefs --all --quiet {device}; fi")
    };
    devices.iter().map(device).chain([words(&["wipefs", "--all", "--quiet", &disk.device()])]).collect()
}

fn step(step: &Step) -> Vec<String> {
    match step {
        Step::Raid { name, device, level, members, id, .. } => {
            let (count, name, id) = (members.len(), format!("--name={name}"), format!("--uuid={}", id.md()));
            let (level_word, count) =
                (format!("--level={}", level.number()), format!("--raid-devices={count}"));
            let mut all = vec!["mdadm", "--create", device, "--run", "--quiet", &level_word, &count];
            let front = format!("--data-offset={RAID_FRONT_MIB}M");
            all.extend(["--metadata=1.2", &front, "--homehost=any", &name, &id]);
            if *level != Level::Stripes {
                all.push("--bitmap=internal");
            }
            all.extend(members.iter().map(String::as_str));
            // What was in an array of the same place before would be in this one as well, and LVM would wake up in it.
            let clear = |member: &String| {
                let (of, seek) = (format!("of={member}"), format!("seek={RAID_FRONT_MIB}"));
                words(&[
                    "dd",
                    "if=/dev/zero",
                    &of,
                    "bs=1048576",
                    &seek,
                    "count=1",
                    "conv=notrunc",
                    "status=none",
                ])
            };
            members.iter().map(clear).chain([words(&all), words(&["await", device])]).collect()
        }
        Step::Luks { name, device, source, id, .. } => {
            let id = id.uuid();
            let format = [
                "cryptsetup",
                "luksFormat",
                "--batch-mode",
                "--type",
                "luks2",
                "--uuid",
                &id,
                "--label",
                name,
            ];
            vec![
                format!("printf '%s' \"$key\" | {} --key-file=- {}", words(&format), words(&[source])),
                format!(
                    "printf '%s' \"$key\" | {}",
                    words(&["cryptsetup", "open", "--key-file=-", source, name])
                ),
                words(&["await", device]),
            ]
        }
        Step::Group { name, sources, .. } => {
            let mut all = vec!["vgcreate", "--quiet", "--yes", "--physicalextentsize", "4m", name];
            all.extend(sources.iter().map(String::as_str));
            let volumes = sources.iter().map(|source| {
                words(&["pvcreate", "--quiet", "--yes", "--force", "--dataalignment", "1m", source])
            });
            volumes.chain([words(&all)]).collect()
        }
        Step::Volume { name, group, device, size, takes_rest } => {
            let size = format!("{}m", size / super::size::MIB);
            let size = if *takes_rest { ["--extents", "100%FREE"] } else { ["--size", &size] };
            let all = [
                "lvcreate",
                "--quiet",
                "--yes",
                "--wipesignatures",
                "y",
                size[0],
                size[1],
                "--name",
                name,
                group,
            ];
            vec![words(&all), words(&["await", device])]
        }
        Step::Format { device, label, format, id, .. } => {
            vec![make_file_system(device, label, *format, &id.uuid(), &id.short())]
        }
        Step::Subvolume { name, device } => vec![
            words(&["mkdir", "-p", TARGET]),
            words(&["mount", "-t", "btrfs", device, TARGET]),
            words(&["btrfs", "subvolume", "create", &format!("{TARGET}/{name}")]),
            words(&["umount", TARGET]),
        ],
    }
}

fn make_file_system(device: &str, label: &str, format: Format, uuid: &str, short: &str) -> String {
    let fat = label.to_uppercase();
    let xfs = format!("uuid={uuid}");
    let all: &[&str] = match format {
        Format::Swap => &["mkswap", "-f", "-L", label, "-U", uuid, device],
        Format::Esp | Format::FileSystem(FileSystem::Vfat) => {
            &["mkfs.vfat", "-F", "32", "-n", &fat, "-i", short, device]
        }
        Format::FileSystem(FileSystem::Ext4) => &["mkfs.ext4", "-F", "-q", "-L", label, "-U", uuid, device],
        Format::FileSystem(FileSystem::Xfs) => &["mkfs.xfs", "-f", "-q", "-L", label, "-m", &xfs, device],
        Format::FileSystem(FileSystem::Btrfs) => &["mkfs.btrfs", "-f", "-q", "-L", label, "-U", uuid, device],
    };
    words(all)
}

/// A line of words, as a shell reads them back.
fn words(all: &[&str]) -> String {
    quote::posix_line(all).to_string_lossy().into_owned()
}
