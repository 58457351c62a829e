//! What is to be done with which disks of a machine; or why nothing is.
//!
//! - `disks`: which ones, and whether they may be written to
//! - `space`: where partitions begin and how large all is
//! - `volumes`: what is made of partitions, formatted and mounted

mod disks;
mod refusal;
mod space;
#[cfg(test)]
mod tests;
mod volumes;

pub use refusal::Refusal;
pub(super) use volumes::RAID_FRONT;

use super::{
    facts::{Disk, Facts, Firmware, Signature},
    ident::{Id, Seed},
    layout::{Content, FileSystem, Layout, Level, Table},
    rules::Rule,
};

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub facts: &'a Facts,
    pub layout: &'a Layout,
    /// Which disks are meant; without one it is `only`.
    pub rules: &'a [Rule],
    /// Names, serial numbers, WWNs or names in `/dev/disk/by-id` of disks whose content may be lost.
    pub wipe: &'a [String],
    /// What is different for each install, and the same when one is taken up again.
    pub job: Option<&'a str>,
}

/// All that is done to the disks of a machine, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    pub firmware: Firmware,
    pub table: Table,
    pub disks: Vec<PlannedDisk>,
    pub steps: Vec<Step>,
    /// In the order in which they are mounted. Swap space is in it as well.
    pub mounts: Vec<Mount>,
}

/// A disk that is written to.
#[derive(Clone, Debug)]
pub struct PlannedDisk {
    pub disk: Disk,
    /// The disk GUID of its table, or what is cut from it.
    pub id: Id,
    /// This job has written its table before.
    pub is_own: bool,
    pub partitions: Vec<Partition>,
}

/// A partition. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Partition {
    pub number: usize,
    /// Its label, too.
    pub name: String,
    pub device: String,
    pub start: u64,
    pub size: u64,
    pub content: Content,
    pub id: Id,
    /// The mark that some BIOSes look for in an MBR.
    pub is_bootable: bool,
}

/// Something that is made of partitions, or in them. Sizes are in bytes, and what is there at least.
#[derive(Clone, Debug)]
pub enum Step {
    Raid { name: String, device: String, level: Level, members: Vec<String>, id: Id, size: u64 },
    Luks { name: String, device: String, source: String, id: Id, size: u64 },
    Group { name: String, sources: Vec<String>, size: u64 },
    Volume { name: String, group: String, device: String, size: u64, takes_rest: bool },
    Format { device: String, label: String, format: Format, id: Id, size: u64 },
    Subvolume { name: String, device: String },
}

/// What a device is formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// FAT of 32 bits, which firmware reads.
    Esp,
    Swap,
    FileSystem(FileSystem),
}

impl Format {
    /// As fstab names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Esp => "vfat",
            Self::Swap => "swap",
            Self::FileSystem(kind) => kind.name(),
        }
    }
}

/// A line of fstab.
#[derive(Clone, Debug)]
pub struct Mount {
    pub device: String,
    /// What fstab finds it by.
    pub spec: String,
    /// A directory of the new system; None for swap space.
    pub path: Option<String>,
    pub format: Format,
    pub options: String,
    /// When it is checked at the start: 0 for never.
    pub pass: u8,
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    ///
    /// It cannot be done, or could destroy what was not meant. Nothing of it is done then.
    pub fn make(request: &Request<'_>) -> Result<Self, Refusal> {
        make(request).map_err(|wrong| refusal::with_disks(wrong, request.facts))
    }
}

fn make(request: &Request<'_>) -> Result<Plan, refusal::Wrong> {
    let (facts, layout) = (request.facts, request.layout);
    disks::check_start(facts, layout)?;
    let chosen = disks::choose(request)?;
    let keys = disks::keys(&chosen);
    let seed = match request.job {
        Some(job) => Seed::job(job),
        None => {
            let dmi = &facts.dmi;
            let known = [&dmi.product, &dmi.serial, &dmi.uuid].into_iter().flatten();
            Seed::machine(&known.chain(&keys).map(String::as_str).collect::<Vec<_>>())
        }
    };
    let is_job = request.job.is_some();
    let mut planned = Vec::new();
    for (disk, key) in chosen.iter().zip(&keys) {
        let id = seed.id(&["disk", key]);
        let is_own = is_job && layout.table == Table::Gpt && disks::is_own(disk, id);
        planned.push(PlannedDisk { disk: (*disk).clone(), id, is_own, partitions: Vec::new() });
    }
    disks::check_content(request, &planned)?;
    space::lay_out(layout, &mut planned, |at, name| {
        seed.id(&["partition", keys.get(at).map_or("", String::as_str), name])
    })?;
    volumes::mark_bootable(facts.firmware, layout, &mut planned);
    let (steps, mounts) = volumes::make(layout, &planned, &seed)?;
    Ok(Plan { firmware: facts.firmware, table: layout.table, disks: planned, steps, mounts })
}

/// The name of what is on the disk of that number as well, which is counted from 0: only the first one has no number.
fn numbered(name: &str, nth: usize) -> String {
    if nth == 0 { name.to_owned() } else { format!("{name}{}", nth + 1) }
}

impl PlannedDisk {
    /// The identifier of its table, as sfdisk writes it.
    pub fn table_id(&self, table: Table) -> String {
        match table {
            Table::Gpt => self.id.guid(),
            Table::Mbr => format!("0x{}", self.id.short().to_lowercase()),
        }
    }

    /// What is on it now, and will not be.
    pub fn lost(&self) -> Vec<String> {
        self.disk.content.iter().map(Signature::line).collect()
    }

    /// What no partition takes, with the table and its backup, in bytes.
    pub fn unused(&self) -> u64 {
        self.disk.size - self.partitions.iter().map(|partition| partition.size).sum::<u64>()
    }
}
