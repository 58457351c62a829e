//! Which disks are written to, and whether they may be.

use super::{
    super::{
        facts::{Disk, Facts, Firmware, Signature, Use},
        ident::Id,
        layout::{Content, Layout, Table},
        rules,
        size::{self, MIB},
    },
    PlannedDisk, Request,
    refusal::Wrong,
};
use crate::printable::line;

/// Whether what the layout makes starts on the machine.
pub(super) fn check_start(facts: &Facts, layout: &Layout) -> Result<(), Wrong> {
    let has = |word: &str| layout.items.iter().any(|item| item.content.word() == word);
    let architecture = &facts.architecture;
    let is_pc = matches!(architecture.as_str(), "x86_64" | "amd64" | "i386" | "i486" | "i586" | "i686");
    match facts.firmware {
        Firmware::Unknown => Err(Wrong::new(
            "the facts do not say how the machine starts, and a system for the wrong firmware would not start",
            "find out whether it starts by BIOS or UEFI, and say so: --firmware bios or --firmware uefi",
        )),
        Firmware::Bios if !is_pc => Err(Wrong::new(
            format!(
                "the facts say that the machine starts by BIOS, and none of architecture `{}` does",
                line(architecture)
            ),
            "look at the facts again; such machines start by UEFI",
        )),
        Firmware::Bios if layout.table == Table::Gpt && !has("bios") => Err(Wrong::new(
            "the machine starts by BIOS, and the layout has no partition for it",
            "add the line `partition bios 1MiB bios` to the layout, or write `table mbr`",
        )),
        Firmware::Uefi | Firmware::Uefi32 if !has("esp") => Err(Wrong::new(
            "the machine starts by UEFI, and the layout has no EFI system partition",
            "add the line `partition esp 512MiB esp /boot/efi` to the layout",
        )),
        _ => Ok(()),
    }
}

/// The disks that rules mean, all of which can be written to.
pub(super) fn choose<'a>(request: &Request<'a>) -> Result<Vec<&'a Disk>, Wrong> {
    let facts = request.facts;
    let chosen = rules::choose(facts, request.rules, request.layout.disks)
        .map_err(|wrong| Wrong::new(wrong, "say which disks are meant: --disk serial=…, --disk name=…"))?;
    let chosen: Vec<&Disk> = chosen.into_iter().filter_map(|at| facts.disks.get(at)).collect();
    for disk in &chosen {
        let name = line(&disk.name);
        if let Some(held) = disk.in_use.first() {
            return Err(in_use(disk, held));
        }
        if disk.read_only {
            let remedy = "take its write protection away, or choose another disk";
            return Err(Wrong::new(format!("{name} cannot be written to"), remedy));
        }
        // Without multipath, a disk with two ways to it looks like two.
        let is_same = |other: &&Disk| {
            other.name != disk.name
                && disk.wwn.is_some()
                && other.wwn == disk.wwn
                && other.member_of.as_ref() != Some(&disk.name)
        };
        if let Some(other) = facts.disks.iter().find(is_same) {
            return Err(Wrong::new(
                format!(
                    "{name} and {} have the same WWN, so they may be two ways to one disk",
                    line(&other.name)
                ),
                "start multipathd in the PreOS, and choose the multipath device",
            ));
        }
    }
    Ok(chosen)
}

fn in_use(disk: &Disk, held: &Use) -> Wrong {
    let what = held.line();
    Wrong::new(
        format!("{} is in use: {what}", line(&disk.name)),
        "unmount it, and stop what holds it (swapoff, mdadm --stop, vgchange -an, cryptsetup close); or choose another disk",
    )
}

/// What tells each of them apart. Cheap ones share serial numbers; then their order does.
pub(super) fn keys(disks: &[&Disk]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for disk in disks {
        let key = disk.key();
        let same = disks[..keys.len()].iter().filter(|other| other.key() == key).count();
        keys.push(if same == 0 { key } else { format!("{key}\0{same}") });
    }
    keys
}

/// Whether all that is on it was written by this very install: the GPT that it would get is there, and nothing beside it.
pub(super) fn is_own(disk: &Disk, id: Id) -> bool {
    let mut whole = disk.content.iter().filter(|signature| signature.at == disk.name);
    let is_table = |kind: &str, uuid: &Option<String>| {
        kind == "gpt" && uuid.as_ref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(&id.guid()))
    };
    let has_table = disk.content.iter().any(|at| at.at == disk.name && is_table(&at.kind, &at.uuid));
    // The MBR that protects a GPT from old programs.
    has_table && whole.all(|at| at.kind == "PMBR" || is_table(&at.kind, &at.uuid))
}

/// Nothing is lost that is not to be lost.
pub(super) fn check_content(request: &Request<'_>, planned: &[PlannedDisk]) -> Result<(), Wrong> {
    let disks = &request.facts.disks;
    let mut wiped = Vec::new();
    for id in request.wipe {
        let called: Vec<&Disk> = disks.iter().filter(|disk| disk.is_called(id)).collect();
        let shown = line(id);
        let remedy = "give the serial number, WWN, name or name in /dev/disk/by-id of a disk that the rules choose, in full";
        match called[..] {
            [] => return Err(Wrong::new(format!("--wipe {shown} names no disk of the machine"), remedy)),
            [disk] if planned.iter().any(|planned| planned.disk.name == disk.name) => wiped.push(&disk.name),
            [disk] => {
                let name = line(&disk.name);
                return Err(Wrong::new(
                    format!("--wipe {shown} names {name}, which the rules do not choose"),
                    remedy,
                ));
            }
            _ => return Err(Wrong::new(format!("--wipe {shown} names {} disks", called.len()), remedy)),
        }
    }
    for PlannedDisk { disk, is_own, .. } in planned {
        if disk.content.is_empty() || *is_own || wiped.contains(&&disk.name) {
            continue;
        }
        let found: Vec<String> = disk.content.iter().take(4).map(Signature::line).collect();
        let more = if disk.content.len() > found.len() { " and more" } else { "" };
        let call = call(disk, disks);
        return Err(Wrong::new(
            format!("{} is not blank: {}{more}", line(&disk.name), found.join(", ")),
            format!("if all of that may be lost: --wipe {}", line(call)),
        ));
    }
    Ok(())
}

/// What names this disk and no other one, preferably for longer than until the next start.
fn call<'a>(disk: &'a Disk, all: &[Disk]) -> &'a String {
    let names = [disk.serial.as_ref(), disk.wwn.as_ref(), disk.by_id.first()].into_iter().flatten();
    let is_alone = |id: &&String| all.iter().filter(|other| other.is_called(id)).count() == 1;
    names.into_iter().find(is_alone).unwrap_or(&disk.name)
}

/// The EFI system partition is FAT of 32 bits, which has at least 65525 clusters of a sector each.
pub(super) fn check_esp(disk: &Disk, content: &Content, bytes: u64) -> Result<(), Wrong> {
    let least = 65 * MIB * disk.logical_sector / 1024;
    if !matches!(content, Content::Esp { .. }) || disk.logical_sector == 512 || bytes >= least {
        return Ok(());
    }
    let (name, sector) = (line(&disk.name), disk.logical_sector);
    let least = size::exact(least);
    Err(Wrong::new(
        format!(
            "the EFI system partition takes at least {least} on {name}, whose sectors have {sector} bytes"
        ),
        format!("write {} as its size in the layout", least.replace(' ', "")),
    ))
}
