//! Whether the lines of a layout hold together.

use std::collections::BTreeMap;

use super::{super::size, Base, Content, FileSystem, Item, Layout, LayoutError, Place, Table};

const GPT_MAX: usize = 120;
const MBR_MAX: usize = 4;
/// What is in /dev already: no volume group can have these names. Those of vgcreate(8) that a layout could have.
const IN_DEV: [&str; 20] = [
    "block", "bsg", "bus", "char", "console", "cpu", "disk", "dri", "fd", "full", "input", "kmsg", "mapper",
    "md", "mem", "net", "null", "pts", "shm", "zero",
];

/// # Errors
///
/// The first thing that does not hold together, with its line and the remedy.
pub(super) fn check(layout: &Layout, lines: &[usize]) -> Result<(), LayoutError> {
    for (at, item) in layout.items.iter().enumerate() {
        let earlier = &layout.items[..at];
        for check in [name, source, content, item_size] {
            check(layout, earlier, item)
                .map_err(|wrong| LayoutError::Line { line: lines.get(at).copied().unwrap_or(0), wrong })?;
        }
    }
    whole(layout).map_err(LayoutError::Whole)
}

pub(super) fn is_subvolume(item: &Item) -> bool {
    matches!(item.place, Place::Subvolume { .. })
}

/// No two things have one name, and every program takes it.
fn name(_: &Layout, earlier: &[Item], item: &Item) -> Result<(), String> {
    let name = &item.name;
    let is_same = |other: &&Item| {
        other.name == *name
            && match (&other.place, &item.place) {
                (Place::Subvolume { of }, Place::Subvolume { of: own }) => of == own,
                _ => !is_subvolume(other) && !is_subvolume(item),
            }
    };
    if let Some(other) = earlier.iter().find(is_same) {
        let word = other.place.word();
        return Err(format!("`{name}` is the name of a {word} above; give this one another name"));
    }
    match &item.place {
        Place::Group { .. } if IN_DEV.contains(&name.as_str()) => Err(format!(
            "/dev/{name} is something else, so no group can be called that; give it another name"
        )),
        Place::Volume { .. } if name.starts_with("snapshot") || name.starts_with("pvmove") => {
            Err(format!("LVM keeps names such as `{name}` for itself; give the volume another name"))
        }
        Place::Luks { .. } if name == "control" => {
            Err("/dev/mapper/control is something else; give it another name".to_owned())
        }
        _ => Ok(()),
    }
}

/// What something is made of is there, is for it, and is used once.
fn source(_: &Layout, earlier: &[Item], item: &Item) -> Result<(), String> {
    let Some(of) = item.place.of() else { return Ok(()) };
    let word = item.place.word();
    let Some(source) = earlier.iter().find(|other| other.name == of && !is_subvolume(other)) else {
        return Err(format!("there is no `{of}` above that the {word} could be made of"));
    };
    let wanted = match item.place {
        Place::Raid { .. } => Content::Raid,
        Place::Luks { .. } => Content::Luks,
        Place::Group { .. } => Content::Lvm,
        Place::Volume { .. } => Content::Volumes,
        Place::Subvolume { .. } | Place::Partition(_) => {
            let is_btrfs = matches!(source.content, Content::FileSystem { kind: FileSystem::Btrfs, .. });
            return match (&source.content, is_btrfs) {
                (content, true) if content.mount().is_none() => Ok(()),
                (_, true) => Err(format!(
                    "`{of}` is mounted as a whole; leave its directory out, and mount subvolumes"
                )),
                _ => Err(format!("`{of}` is no btrfs, and only that has subvolumes")),
            };
        }
    };
    if source.content != wanted {
        return Err(match wanted {
            Content::Volumes => format!("`{of}` is no group; make one by `group NAME of {of}`"),
            other => format!("`{of}` is not for that; write `{}` at the end of its line", other.word()),
        });
    }
    let is_shared = matches!(item.place, Place::Volume { .. });
    if !is_shared && let Some(other) = earlier.iter().find(|other| other.place.of() == Some(of)) {
        return Err(format!("`{of}` is used by `{}` already", other.name));
    }
    Ok(())
}

/// It can be there, on so many disks.
fn content(layout: &Layout, earlier: &[Item], item: &Item) -> Result<(), String> {
    let is_partition = matches!(item.place, Place::Partition(_));
    let word = item.content.word();
    if let Some(mount) = item.content.mount()
        && let Some(other) = earlier.iter().find(|other| other.content.mount() == Some(mount))
    {
        return Err(format!("`{}` is mounted on {mount} already", other.name));
    }
    match &item.content {
        Content::Bios | Content::Esp { .. } if !is_partition => {
            Err(format!("firmware finds `{word}` only as a partition; write a line `partition` for it"))
        }
        Content::Bios | Content::Esp { .. } if earlier.iter().any(|other| other.content.word() == word) => {
            Err(format!("there is a partition for `{word}` already; one is enough"))
        }
        Content::Bios if layout.table == Table::Mbr => Err(
            "MBR has no partition for BIOS, which finds GRUB in front of the first one; leave the line out"
                .to_owned(),
        ),
        Content::Raid if !is_partition => {
            Err("a RAID is made of partitions; write `raid` at the end of a line `partition`".to_owned())
        }
        Content::Raid if layout.disks == 1 => {
            Err("a RAID takes more than one disk; write `disks 2` at the beginning".to_owned())
        }
        Content::FileSystem { .. } | Content::Luks | Content::Empty if is_partition && layout.disks > 1 => {
            let disks = layout.disks;
            Err(format!(
                "there would be {disks} of `{}`, one on each disk; make it of a RAID or of a group",
                item.name
            ))
        }
        Content::FileSystem { kind: FileSystem::Vfat, mount: Some(mount) } if mount == "/" => {
            Err("vfat has no owners and links; use ext4, xfs or btrfs for /".to_owned())
        }
        _ => level(layout, item),
    }
}

fn level(layout: &Layout, item: &Item) -> Result<(), String> {
    match &item.place {
        Place::Raid { level, .. } if layout.disks < level.fewest() => {
            let (number, fewest) = (level.number(), level.fewest());
            Err(format!("level {number} takes at least {fewest} disks, and the layout has {}", layout.disks))
        }
        _ => Ok(()),
    }
}

/// What is in it can be made in it, and only one takes the rest.
fn item_size(_: &Layout, earlier: &[Item], item: &Item) -> Result<(), String> {
    let Some(size) = item.place.size() else { return Ok(()) };
    let least = item.content.least();
    let most = if let Base::Fixed(bytes) = size.base { Some(bytes) } else { size.max };
    if most.is_some_and(|most| most < least) {
        let (word, least) = (item.content.word(), size::exact(least));
        return Err(format!("`{word}` takes at least {least}; make it larger"));
    }
    let is_beside = |other: &&Item| match (&other.place, &item.place) {
        (Place::Partition(_), Place::Partition(_)) => true,
        (Place::Volume { of, .. }, Place::Volume { of: own, .. }) => of == own,
        _ => false,
    };
    let takes_rest = |item: &Item| item.place.size().is_some_and(|size| size.base == Base::Rest);
    if takes_rest(item)
        && let Some(other) = earlier.iter().filter(is_beside).find(|other| takes_rest(other))
    {
        return Err(format!("`{}` takes the rest already; give one of them a size", other.name));
    }
    Ok(())
}

fn whole(layout: &Layout) -> Result<(), String> {
    let partitions = layout.partitions().count();
    match layout.table {
        Table::Gpt if partitions > GPT_MAX => {
            return Err(format!("there are {partitions} partitions, of at most {GPT_MAX}"));
        }
        Table::Mbr if partitions > MBR_MAX => {
            return Err(format!(
                "there are {partitions} partitions, and MBR has {MBR_MAX}; write `table gpt`"
            ));
        }
        _ => {}
    }
    let mut users = BTreeMap::new();
    for item in &layout.items {
        users.extend(item.place.of().map(|of| (of, &item.name)));
    }
    for item in layout.items.iter().filter(|item| !is_subvolume(item)) {
        let is_used = users.contains_key(item.name.as_str());
        let next = match item.content {
            Content::Raid => "raid NAME",
            Content::Luks => "luks NAME",
            Content::Lvm => "group NAME",
            Content::Volumes => "volume NAME",
            Content::FileSystem { mount: None, .. } => "subvolume NAME",
            _ => continue,
        };
        if !is_used {
            let name = &item.name;
            return Err(format!("nothing is made of `{name}`; add a line `{next} of {name} …`"));
        }
    }
    root(layout)
}

/// A system has a root, and what starts it can be read without a key.
fn root(layout: &Layout) -> Result<(), String> {
    if layout.mounted_on("/").is_none() {
        return Err("nothing is mounted on /; say which file system is the root, such as `ext4 /`".to_owned());
    }
    let is_luks = |item: &Item| matches!(item.place, Place::Luks { .. });
    if layout.with_kernel().is_some_and(|kernel| layout.below(kernel).any(is_luks)) {
        return Err(
            "GRUB would need the key to read the kernel; add a partition with `ext4 /boot` outside of LUKS"
                .to_owned(),
        );
    }
    Ok(())
}

impl Layout {
    /// The item, and what it is made of, down to the partition.
    pub(in crate::install) fn below<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = &'a Item> {
        std::iter::successors(Some(item), |item| self.item(item.place.of()?))
    }
}
