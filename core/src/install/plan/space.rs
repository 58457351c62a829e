//! Where partitions begin, and how large all is. Every number that is shown is exact, and they add up.

use super::{
    super::{
        facts::Disk,
        ident::Id,
        layout::{Base, Content, Item, Layout, Size, Table},
        size::{self, MIB},
    },
    Partition, PlannedDisk,
    disks::check_esp,
    numbered,
    refusal::Wrong,
};
use crate::printable::line;

/// In front of the first partition: the table, and GRUB in an MBR.
const FRONT: u64 = MIB;
/// What LVM gives out at once.
pub(super) const EXTENT: u64 = 4 * MIB;

/// What is behind the last partition of a GPT: its backup, of 128 entries of 128 bytes and a header.
fn backup(table: Table, sector: u64) -> u64 {
    match table {
        Table::Gpt => (128_u64 * 128).div_ceil(sector) * sector + sector,
        Table::Mbr => 0,
    }
}

pub(super) fn down(bytes: u64, unit: u64) -> u64 {
    bytes / unit * unit
}

/// Gives the disks their partitions; `id` makes the identifier of one, by its disk and name.
pub(super) fn lay_out(
    layout: &Layout,
    disks: &mut [PlannedDisk],
    id: impl Fn(usize, &str) -> Id,
) -> Result<(), Wrong> {
    let items: Vec<&Item> = layout.partitions().collect();
    let mut sizes = Vec::new();
    for planned in disks.iter() {
        sizes.push(on_disk(layout.table, &planned.disk, &items)?);
    }
    // All parts of a RAID are as large as the smallest one.
    for (at, _) in items.iter().enumerate().filter(|(_, item)| item.content == Content::Raid) {
        let least = sizes.iter().map(|sizes| sizes[at]).min().unwrap_or_default();
        sizes.iter_mut().for_each(|sizes| sizes[at] = least);
    }
    for (nth, (planned, sizes)) in disks.iter_mut().zip(sizes).enumerate() {
        let mut start = FRONT;
        for (at, (item, size)) in items.iter().zip(sizes).enumerate() {
            check_esp(&planned.disk, &item.content, size)?;
            let number = at + 1;
            planned.partitions.push(Partition {
                number,
                name: numbered(&item.name, nth),
                device: planned.disk.partition(number),
                start,
                size,
                content: item.content.clone(),
                id: id(nth, &item.name),
                is_bootable: false,
            });
            start += size;
        }
    }
    Ok(())
}

/// The sizes of the partitions on a disk.
fn on_disk(table: Table, disk: &Disk, items: &[&Item]) -> Result<Vec<u64>, Wrong> {
    let name = line(&disk.name);
    if table == Table::Mbr && disk.size / disk.logical_sector > u64::from(u32::MAX) {
        let reach = u64::from(u32::MAX) * disk.logical_sector;
        return Err(Wrong::new(
            format!("{name} has {}, and MBR reaches {}", size::told(disk.size), size::told(reach)),
            "leave `table mbr` out of the layout; GPT reaches all of it",
        ));
    }
    let behind = backup(table, disk.logical_sector);
    let end = down(disk.size.saturating_sub(behind), MIB);
    let wishes: Vec<Wish<'_>> = items.iter().filter_map(|item| Wish::new(item)).collect();
    share(end.saturating_sub(FRONT), MIB, &wishes).map_err(|terms| {
        let mut all = vec![(FRONT, "in front of them".to_owned())];
        all.extend(terms);
        if behind > 0 {
            all.push((behind, "for the backup of the table".to_owned()));
        }
        let what = format!("the partitions need {}, and {name} has {}", sum(&all), size::told(disk.size));
        Wrong::new(what, "choose a larger disk, or a layout that takes less")
    })
}

/// The sizes of the volumes of a group that has so many bytes.
pub(super) fn in_group(group: &str, bytes: u64, items: &[&Item]) -> Result<Vec<u64>, Wrong> {
    let wishes: Vec<Wish<'_>> = items.iter().filter_map(|item| Wish::new(item)).collect();
    share(down(bytes, EXTENT), EXTENT, &wishes).map_err(|terms| {
        let has = size::told(down(bytes, EXTENT));
        let what = format!("the volumes of `{group}` need {}, and the group has {has}", sum(&terms));
        Wrong::new(what, "choose a larger disk, or a layout that takes less")
    })
}

/// What is asked for, of what others want, too.
struct Wish<'a> {
    name: &'a str,
    size: &'a Size,
    least: u64,
}

impl<'a> Wish<'a> {
    fn new(item: &'a Item) -> Option<Self> {
        let size = item.place.size()?;
        Some(Self { name: &item.name, size, least: item.content.least().max(size.min.unwrap_or(0)) })
    }
}

/// Shares bytes out, in whole units.
///
/// # Errors
///
/// They do not suffice. The terms are what is needed, which is more than there is.
fn share(bytes: u64, unit: u64, wishes: &[Wish<'_>]) -> Result<Vec<u64>, Vec<(u64, String)>> {
    let up = |bytes: u64| bytes.div_ceil(unit) * unit;
    let needed = |wish: &Wish<'_>| match wish.size.base {
        Base::Fixed(fixed) => up(fixed),
        Base::Rest => up(wish.least),
        Base::Percent(percent) => {
            let part = u128::from(bytes) * u128::from(percent) / 100;
            let part = down(u64::try_from(part).unwrap_or(bytes), unit);
            let most = wish.size.max.map_or(u64::MAX, |max| down(max, unit));
            part.min(most).max(up(wish.least))
        }
    };
    let mut sizes: Vec<u64> = wishes.iter().map(needed).collect();
    let sum = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
    if sum > bytes {
        let terms = wishes.iter().zip(sizes).map(|(wish, size)| (size, wish.name.to_owned()));
        return Err(terms.collect());
    }
    if let Some(at) = wishes.iter().position(|wish| wish.size.base == Base::Rest) {
        let most = wishes[at].size.max.map_or(u64::MAX, |max| down(max, unit));
        sizes[at] = (sizes[at] + down(bytes - sum, unit)).min(most.max(sizes[at]));
    }
    Ok(sizes)
}

/// `2818 MiB = 1 MiB in front + …`: the terms are exact, and so is the sum.
fn sum(terms: &[(u64, String)]) -> String {
    let total = terms.iter().fold(0_u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    let terms: Vec<String> =
        terms.iter().map(|(bytes, what)| format!("{} {what}", size::exact(*bytes))).collect();
    format!("{} = {}", size::told(total), terms.join(" + "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backup_of_a_table_is_whole_sectors() {
        assert_eq!(backup(Table::Gpt, 512), 33 * 512);
        assert_eq!(backup(Table::Gpt, 4096), 5 * 4096);
        assert_eq!(backup(Table::Mbr, 512), 0);
    }

    #[test]
    fn bytes_are_shared() {
        let gib = size::GIB;
        let of = |base, min, max| Size { base, min, max };
        for (bytes, wishes, sizes) in [
            (
                10 * gib,
                vec![of(Base::Fixed(gib), None, None), of(Base::Rest, None, None)],
                Ok(vec![gib, 9 * gib]),
            ),
            (10 * gib, vec![of(Base::Percent(50), None, Some(gib))], Ok(vec![gib])),
            (
                gib,
                vec![of(Base::Percent(1), Some(512 * MIB), None), of(Base::Rest, None, Some(MIB))],
                Ok(vec![512 * MIB, MIB]),
            ),
            (gib, vec![of(Base::Percent(33), None, None)], Ok(vec![337 * MIB])),
            (gib, vec![of(Base::Fixed(gib), None, None), of(Base::Rest, Some(2 * gib), None)], Err(3 * gib)),
            (
                gib,
                vec![of(Base::Percent(60), None, None), of(Base::Percent(60), None, None)],
                Err(614 * MIB * 2),
            ),
        ] {
            let wish = |size| Wish { name: "x", size, least: size.min.unwrap_or(MIB) };
            let wishes: Vec<Wish<'_>> = wishes.iter().map(wish).collect();
            let shared =
                share(bytes, MIB, &wishes).map_err(|terms| terms.iter().map(|(bytes, _)| bytes).sum());
            assert_eq!(shared, sizes);
        }
    }
}
