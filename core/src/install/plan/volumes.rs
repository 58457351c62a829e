//! What is made of partitions, what it is formatted as, and where it is mounted.

use std::collections::BTreeMap;

use super::{
    super::{
        facts::Firmware,
        ident::Seed,
        layout::{Base, Content, FileSystem, Item, Layout, Place, Table},
        size::{self, MIB},
    },
    Format, Mount, PlannedDisk, Step, numbered,
    refusal::Wrong,
    space,
};

/// In front of the data of each part of a RAID: superblock, bitmap, and room to reshape it.
pub(in crate::install) const RAID_FRONT: u64 = 16 * MIB;
/// In front of the data of a LUKS device of version 2.
const LUKS_FRONT: u64 = 16 * MIB;
/// In front of the data of a physical volume.
const LVM_FRONT: u64 = MIB;

/// Devices of a name: one on each disk for a partition, else one.
struct Devices<'a> {
    by_name: BTreeMap<&'a str, Vec<(String, u64)>>,
    steps: Vec<Step>,
    mounts: Vec<Mount>,
    seed: &'a Seed,
}

/// All that follows partitions, in the order of the layout, and the mounts in their own.
pub(super) fn make(
    layout: &Layout,
    disks: &[PlannedDisk],
    seed: &Seed,
) -> Result<(Vec<Step>, Vec<Mount>), Wrong> {
    let mut all = Devices { by_name: BTreeMap::new(), steps: Vec::new(), mounts: Vec::new(), seed };
    let mut number = 0;
    for item in &layout.items {
        let devices = match &item.place {
            Place::Partition(_) => {
                number += 1;
                let parts = disks.iter().filter_map(|planned| planned.partitions.get(number - 1));
                parts.map(|part| (part.device.clone(), part.size)).collect()
            }
            Place::Raid { of, level } => {
                let parts = all.of(of);
                let (device, count) = (format!("/dev/md/{}", item.name), parts.len() as u64);
                let least = parts.iter().map(|(_, size)| *size).min().unwrap_or_default();
                let size = least.saturating_sub(RAID_FRONT) * level.data_disks(count);
                all.steps.push(Step::Raid {
                    name: item.name.clone(),
                    device: device.clone(),
                    level: *level,
                    members: parts.into_iter().map(|(device, _)| device).collect(),
                    id: seed.id(&["raid", &item.name]),
                    size,
                });
                vec![(device, size)]
            }
            Place::Luks { of } => all.luks(item, of),
            Place::Group { of } => {
                let parts = all.of(of);
                let usable = |size: u64| space::down(size.saturating_sub(LVM_FRONT), space::EXTENT);
                let size = parts.iter().map(|(_, size)| usable(*size)).sum();
                let sources = parts.into_iter().map(|(device, _)| device).collect();
                all.steps.push(Step::Group { name: item.name.clone(), sources, size });
                all.volumes(layout, &item.name, size)?;
                continue;
            }
            // Made with their group, which shares its bytes out; here is their turn.
            Place::Volume { of, size } => {
                let made = all.of(&item.name);
                // Those after it have their bytes kept, and the last one gets what rounding has left.
                let is_last = layout
                    .items
                    .iter()
                    .rfind(|other| is_in(other, of))
                    .is_some_and(|last| last.name == item.name);
                let takes_rest = is_last && size.base == Base::Rest && size.max.is_none();
                for (device, size) in &made {
                    all.steps.push(Step::Volume {
                        name: item.name.clone(),
                        group: of.clone(),
                        device: device.clone(),
                        size: *size,
                        takes_rest,
                    });
                }
                made
            }
            Place::Subvolume { of } => {
                all.subvolume(item, of);
                continue;
            }
        };
        for (nth, (device, bytes)) in devices.iter().enumerate() {
            large_enough(item, *bytes)?;
            all.fill(item, nth, devices.len(), device, *bytes);
        }
        all.by_name.insert(&item.name, devices);
    }
    in_order(&mut all.mounts)?;
    Ok((all.steps, all.mounts))
}

impl<'a> Devices<'a> {
    fn of(&self, name: &str) -> Vec<(String, u64)> {
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    fn luks(&mut self, item: &Item, of: &str) -> Vec<(String, u64)> {
        let device = format!("/dev/mapper/{}", item.name);
        let Some((source, bytes)) = self.of(of).into_iter().next() else { return Vec::new() };
        let size = bytes.saturating_sub(LUKS_FRONT);
        self.steps.push(Step::Luks {
            name: item.name.clone(),
            device: device.clone(),
            source,
            id: self.seed.id(&["luks", &item.name]),
            size,
        });
        vec![(device, size)]
    }

    /// Gives the volumes of a group their sizes.
    fn volumes(&mut self, layout: &'a Layout, group: &str, bytes: u64) -> Result<(), Wrong> {
        let items: Vec<&Item> = layout.items.iter().filter(|item| is_in(item, group)).collect();
        for (item, size) in items.iter().zip(space::in_group(group, bytes, &items)?) {
            self.by_name.insert(&item.name, vec![(format!("/dev/{group}/{}", item.name), size)]);
        }
        Ok(())
    }

    /// Formats and mounts the `nth` of `count` devices of an item.
    fn fill(&mut self, item: &Item, nth: usize, count: usize, device: &str, size: u64) {
        let format = match item.content {
            Content::Esp { .. } => Format::Esp,
            Content::Swap => Format::Swap,
            Content::FileSystem { kind, .. } => Format::FileSystem(kind),
            _ => return,
        };
        let label = numbered(&item.name, nth);
        let id = self.seed.id(&["format", &label]);
        self.steps.push(Step::Format { device: device.to_owned(), label, format, id, size });
        let path = item.content.mount().map(|path| numbered(path, nth));
        if path.is_none() && format != Format::Swap {
            return;
        }
        let (spec, pass) = match format {
            Format::Esp | Format::FileSystem(FileSystem::Vfat) => (id.fat(), 2),
            Format::FileSystem(FileSystem::Ext4) if path.as_deref() == Some("/") => (id.uuid(), 1),
            Format::FileSystem(FileSystem::Ext4) => (id.uuid(), 2),
            _ => (id.uuid(), 0),
        };
        let default = match format {
            Format::Esp => "umask=0077",
            Format::Swap => "sw",
            Format::FileSystem(FileSystem::Ext4) if path.as_deref() == Some("/") => "errors=remount-ro",
            Format::FileSystem(_) => "defaults",
        };
        let mut options = item.options.clone().unwrap_or_else(|| default.to_owned());
        if count > 1 {
            // The system starts without the disk, too.
            options.push_str(",nofail");
        }
        self.mounts.push(Mount {
            device: device.to_owned(),
            spec: format!("UUID={spec}"),
            path,
            format,
            options,
            pass,
        });
    }

    fn subvolume(&mut self, item: &Item, of: &str) {
        let Some((device, _)) = self.of(of).into_iter().next() else { return };
        self.steps.push(Step::Subvolume { name: item.name.clone(), device: device.clone() });
        let options = item.options.as_ref().map_or_else(String::new, |options| format!(",{options}"));
        self.mounts.push(Mount {
            device,
            spec: format!("UUID={}", self.seed.id(&["format", of]).uuid()),
            path: item.content.mount().map(str::to_owned),
            format: Format::FileSystem(FileSystem::Btrfs),
            options: format!("subvol=/{}{options}", item.name),
            pass: 0,
        });
    }
}

/// Whether it is a volume of the group.
fn is_in(item: &Item, group: &str) -> bool {
    matches!(&item.place, Place::Volume { of, .. } if of == group)
}

fn large_enough(item: &Item, bytes: u64) -> Result<(), Wrong> {
    let least = item.content.least();
    if bytes >= least {
        return Ok(());
    }
    let (word, name) = (item.content.word(), &item.name);
    Err(Wrong::new(
        format!(
            "`{name}` would have {}, and {word} takes at least {}",
            size::told(bytes),
            size::exact(least)
        ),
        "choose a larger disk, or give it more in the layout",
    ))
}

/// What is mounted below another one is mounted after it; swap space comes last.
fn in_order(mounts: &mut [Mount]) -> Result<(), Wrong> {
    let depth = |mount: &Mount| match mount.path.as_deref() {
        Some("/") => (0, String::new()),
        Some(path) => (path.split('/').count(), path.to_owned()),
        None => (usize::MAX, String::new()),
    };
    mounts.sort_by_key(depth);
    let same = mounts.windows(2).find(|pair| pair[0].path.is_some() && pair[0].path == pair[1].path);
    same.map_or(Ok(()), |pair| {
        let path = pair[0].path.as_deref().unwrap_or_default();
        Err(Wrong::new(
            format!("two file systems would be mounted on {path}, for that of another disk gets a number behind its path"),
            "give one of them another directory in the layout",
        ))
    })
}

/// Marks the partition with the kernel: some BIOSes start no disk without a mark.
pub(super) fn mark_bootable(firmware: Firmware, layout: &Layout, disks: &mut [PlannedDisk]) {
    if layout.table != Table::Mbr || firmware != Firmware::Bios {
        return;
    }
    let Some(partition) = layout.with_kernel().and_then(|item| layout.below(item).last()) else { return };
    let Some(at) = layout.partitions().position(|item| item.name == partition.name) else { return };
    for planned in disks {
        if let Some(partition) = planned.partitions.get_mut(at) {
            partition.is_bootable = true;
        }
    }
}
