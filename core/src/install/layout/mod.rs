//! What disks are to hold: partitions, RAID, LUKS, logical volumes, file systems and where they are mounted, in a few lines.
//!
//! `docs/install-layouts.md` describes the text. [`parse`](Layout::parse) reads it, line by line in `parse`, and `check` looks at the whole.

mod check;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};

use super::size;

/// The layouts that come with cdist: name and text.
pub const READY: [(&str, &str); 6] = [
    ("plain", include_str!("ready/plain")),
    ("lvm", include_str!("ready/lvm")),
    ("raid1", include_str!("ready/raid1")),
    ("raid1-lvm", include_str!("ready/raid1-lvm")),
    ("luks", include_str!("ready/luks")),
    ("btrfs", include_str!("ready/btrfs")),
];

/// The most bytes of a layout.
pub const BYTES_MAX: usize = 64 << 10;

/// A layout that holds together: what is made of something is made of what is there, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub table: Table,
    /// How many disks it takes. All of them get the same partitions.
    pub disks: usize,
    /// In the order in which they are made.
    pub items: Vec<Item>,
}

/// How partitions are written down on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Gpt,
    Mbr,
}

impl Table {
    /// The word for it in a layout.
    pub fn word(self) -> &'static str {
        if self == Self::Gpt { "gpt" } else { "mbr" }
    }
}

/// A line of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Also the label of what it becomes.
    pub name: String,
    pub place: Place,
    pub content: Content,
    /// Options of the mount.
    pub options: Option<String>,
}

/// What a line makes, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One on each disk.
    Partition(Size),
    /// Of the partitions of that name on all disks.
    Raid {
        of: String,
        level: Level,
    },
    Luks {
        of: String,
    },
    /// A volume group, of one name on all disks.
    Group {
        of: String,
    },
    Volume {
        of: String,
        size: Size,
    },
    Subvolume {
        of: String,
    },
}

impl Place {
    /// What it is made of, other than a disk.
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::Partition(_) => None,
            Self::Raid { of, .. }
            | Self::Luks { of }
            | Self::Group { of }
            | Self::Volume { of, .. }
            | Self::Subvolume { of } => Some(of),
        }
    }

    /// The size that is asked for.
    pub fn size(&self) -> Option<&Size> {
        match self {
            Self::Partition(size) | Self::Volume { size, .. } => Some(size),
            _ => None,
        }
    }

    /// The word that begins its line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::Raid { .. } => "raid",
            Self::Luks { .. } => "luks",
            Self::Group { .. } => "group",
            Self::Volume { .. } => "volume",
            Self::Subvolume { .. } => "subvolume",
        }
    }
}

/// How the disks of a RAID share the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Stripes,
    Mirror,
    Parity,
    TwoParities,
    StripedMirrors,
}

/// Levels: number, fewest disks, how many disks of data there are on so many.
const LEVELS: [(Level, &str, usize); 5] = [
    (Level::Stripes, "0", 2),
    (Level::Mirror, "1", 2),
    (Level::Parity, "5", 3),
    (Level::TwoParities, "6", 4),
    (Level::StripedMirrors, "10", 4),
];

impl Level {
    /// Its number.
    pub fn number(self) -> &'static str {
        LEVELS.iter().find(|(level, ..)| *level == self).map_or("", |(_, number, _)| number)
    }

    fn fewest(self) -> usize {
        LEVELS.iter().find(|(level, ..)| *level == self).map_or(1, |(.., fewest)| *fewest)
    }

    /// How many times the data of one disk it holds.
    pub(in crate::install) fn data_disks(self, disks: u64) -> u64 {
        match self {
            Self::Stripes => disks,
            Self::Mirror => 1,
            Self::Parity => disks - 1,
            Self::TwoParities => disks - 2,
            Self::StripedMirrors => disks / 2,
        }
    }
}

/// How large something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    pub base: Base,
    /// In bytes.
    pub min: Option<u64>,
    pub max: Option<u64>,
}

/// What a size is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// In bytes.
    Fixed(u64),
    /// Of the whole disk or volume group.
    Percent(u64),
    /// All that others leave.
    Rest,
}

/// What is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Where GRUB has its second part when it is started by BIOS from GPT.
    Bios,
    /// The EFI system partition.
    Esp {
        mount: String,
    },
    Swap,
    FileSystem {
        kind: FileSystem,
        /// None if its subvolumes are mounted.
        mount: Option<String>,
    },
    /// A directory of a btrfs that is mounted by itself.
    Directory {
        mount: String,
    },
    /// A part of a RAID.
    Raid,
    /// What LUKS encrypts.
    Luks,
    /// What volume groups are made of.
    Lvm,
    /// The volumes of a group.
    Volumes,
    /// What is made later, by others.
    Empty,
}

impl Content {
    /// Where it is mounted.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Self::Esp { mount } | Self::Directory { mount } => Some(mount),
            Self::FileSystem { mount, .. } => mount.as_deref(),
            _ => None,
        }
    }

    /// The word for it in a layout.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Esp { .. } => "esp",
            Self::Swap => "swap",
            Self::FileSystem { kind, .. } => kind.name(),
            Self::Raid => "raid",
            Self::Luks => "luks",
            Self::Lvm => "lvm",
            Self::Empty => "empty",
            Self::Directory { .. } | Self::Volumes => "",
        }
    }

    /// The fewest bytes that it can be made in.
    pub(super) fn least(&self) -> u64 {
        match self {
            Self::Esp { .. } => 34 * size::MIB,
            Self::FileSystem { kind: FileSystem::Xfs, .. } => 300 * size::MIB,
            Self::FileSystem { kind: FileSystem::Btrfs, .. } => 256 * size::MIB,
            Self::FileSystem { kind: FileSystem::Ext4, .. } | Self::Swap => 8 * size::MIB,
            Self::FileSystem { kind: FileSystem::Vfat, .. } => 34 * size::MIB,
            Self::Raid | Self::Luks | Self::Lvm => 64 * size::MIB,
            Self::Bios | Self::Empty | Self::Directory { .. } | Self::Volumes => size::MIB,
        }
    }
}

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
}

impl FileSystem {
    const ALL: [Self; 4] = [Self::Ext4, Self::Xfs, Self::Btrfs, Self::Vfat];

    /// As `mount -t` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Vfat => "vfat",
        }
    }
}

/// Why a text is no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("line {line}: {wrong}")]
    Line { line: usize, wrong: String },
    #[error("{0}")]
    Whole(String),
}

impl Layout {
    /// Reads a layout.
    ///
    /// # Errors
    ///
    /// A line says nothing, or the lines do not hold together. The sentence has the line and what to write instead.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let (layout, lines) = parse::parse(text)?;
        check::check(&layout, &lines)?;
        Ok(layout)
    }

    /// The layout of that name that comes with cdist.
    pub fn ready(name: &str) -> Option<Self> {
        let (_, text) = READY.iter().find(|(ready, _)| *ready == name)?;
        Self::parse(text).ok()
    }

    /// The item of that name; subvolumes have none.
    pub(super) fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name && !check::is_subvolume(item))
    }

    /// What is made on each disk.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| matches!(item.place, Place::Partition(_)))
    }

    /// The item that is mounted on a directory.
    fn mounted_on(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.content.mount() == Some(path))
    }

    /// The item with the kernel, which has to be read before anything of the system works.
    pub(super) fn with_kernel(&self) -> Option<&Item> {
        self.mounted_on("/boot").or_else(|| self.mounted_on("/"))
    }
}

/// The text that reads as the same layout.
impl Display for Layout {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {}\ndisks {}", self.table.word(), self.disks)?;
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place.word(), self.name)?;
        if let Some(of) = self.place.of() {
            write!(f, " of {of}")?;
        }
        if let Place::Raid { level, .. } = &self.place {
            write!(f, " level {}", level.number())?;
        }
        if let Some(size) = self.place.size() {
            write!(f, " {size}")?;
        }
        let words = [Some(self.content.word()).filter(|word| !word.is_empty()), self.content.mount()];
        words.into_iter().flatten().try_for_each(|word| write!(f, " {word}"))?;
        self.options.iter().try_for_each(|options| write!(f, " options {options}"))
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Fixed(bytes) => f.write_str(&written(bytes))?,
            Base::Percent(percent) => write!(f, "{percent}%")?,
            Base::Rest => f.write_str("rest")?,
        }
        for (word, bound) in [("min", self.min), ("max", self.max)] {
            bound.into_iter().try_for_each(|bytes| write!(f, " {word} {}", written(bytes)))?;
        }
        Ok(())
    }
}

fn written(bytes: u64) -> String {
    size::exact(bytes).replace(' ', "")
}
