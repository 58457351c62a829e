//! What is known of a machine before it is installed: its disks with what is on them, its firmware, its cards.
//!
//! `docs/install-layouts.md` describes the JSON. What is not known is left out or null; keys that are not known are left
//! alone. What decides about a disk's life has to be said: a disk without `content` is not a blank one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::size;
use crate::printable;

/// The most bytes of a description.
pub const BYTES_MAX: usize = 1 << 20;
const DISKS_MAX: usize = 1024;
const LIST_MAX: usize = 1024;
const TEXT_MAX: usize = 256;
/// 64 PiB, in bytes: a few times what any disk has, and small enough for sums of many disks.
const SIZE_MAX: u64 = 1 << 56;

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As `uname -m` has it, such as `x86_64` or `aarch64`.
    pub architecture: String,
    /// How it starts.
    #[serde(default)]
    pub firmware: Firmware,
    /// Whether only signed programs start.
    #[serde(default)]
    pub secure_boot: Option<bool>,
    /// In bytes.
    #[serde(default)]
    pub memory: Option<u64>,
    #[serde(default)]
    pub cpus: Option<u32>,
    /// What the firmware says of itself.
    #[serde(default)]
    pub dmi: Dmi,
    #[serde(default)]
    pub cards: Vec<Card>,
    pub disks: Vec<Disk>,
}

/// How a machine starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    Bios,
    Uefi,
    /// UEFI whose programs have 32 bits, whatever the processor has.
    Uefi32,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Firmware {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
            Self::Uefi32 => "UEFI of 32 bits",
            Self::Unknown => "unknown",
        }
    }
}

/// What the firmware says of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dmi {
    #[serde(default)]
    pub product: Option<String>,
    #[serde(default)]
    pub serial: Option<String>,
    #[serde(default)]
    pub uuid: Option<String>,
}

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub name: String,
    #[serde(default)]
    pub mac: Option<String>,
    #[serde(default)]
    pub driver: Option<String>,
    /// Whether a cable is in it.
    #[serde(default)]
    pub link: Option<bool>,
}

/// A disk, or something else that can be written to as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Below `/dev`, such as `sda`, `nvme0n1` or `mapper/mpatha`.
    pub name: String,
    /// Names in `/dev/disk/by-id`.
    #[serde(default)]
    pub by_id: Vec<String>,
    /// Names in `/dev/disk/by-path`.
    #[serde(default)]
    pub by_path: Vec<String>,
    /// In bytes.
    pub size: u64,
    /// In bytes; positions are counted in these.
    #[serde(default = "sector")]
    pub logical_sector: u64,
    #[serde(default)]
    pub physical_sector: Option<u64>,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub serial: Option<String>,
    #[serde(default)]
    pub wwn: Option<String>,
    #[serde(default)]
    pub rotational: Option<bool>,
    /// `sata`, `sas`, `nvme`, `mmc`, `virtio`, `usb`, `loop`, `multipath` and others.
    #[serde(default)]
    pub transport: Option<String>,
    /// The multipath device that it is a way to. It is no disk of its own then.
    #[serde(default)]
    pub member_of: Option<String>,
    pub read_only: bool,
    pub removable: bool,
    /// All that was found on it and on its partitions; empty if it is blank.
    pub content: Vec<Signature>,
    /// What works on it or on its partitions now.
    pub in_use: Vec<Use>,
}

fn sector() -> u64 {
    512
}

/// Something that was found on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The device that it is on: the disk or a partition.
    pub at: String,
    /// As blkid calls it: `gpt`, `dos`, `ext4`, `swap`, `LVM2_member`, `linux_raid_member`, `crypto_LUKS` and others.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub label: Option<String>,
    /// The UUID of a file system, the disk GUID of a GPT.
    #[serde(default)]
    pub uuid: Option<String>,
}

/// Why a disk must not be written to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The disk or a partition.
    pub at: String,
    pub kind: UseKind,
    /// The directory, or the device that holds it.
    #[serde(default)]
    pub by: Option<String>,
}

/// A way to be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UseKind {
    Mounted,
    Swap,
    /// RAID, LVM, LUKS and other devices are made of it.
    Holder,
    #[serde(other)]
    Other,
}

/// Why a description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FactsError(String);

impl Facts {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// It is too long, no JSON, lacks what has to be said, or cannot be true. The sentence says where.
    pub fn parse(text: &str) -> Result<Self, FactsError> {
        if text.len() > BYTES_MAX {
            return Err(FactsError(format!(
                "the facts have {} bytes, of at most {BYTES_MAX}; they describe one machine",
                text.len()
            )));
        }
        let mut facts: Self = serde_json::from_str(text).map_err(|error| {
            FactsError(format!("the facts cannot be read: {}", printable::line(&error.to_string())))
        })?;
        facts.trim();
        facts.check().map_err(|wrong| FactsError(format!("the facts cannot be true: {wrong}")))?;
        Ok(facts)
    }

    /// Firmware and drives fill fields with blanks, and empty texts say nothing.
    fn trim(&mut self) {
        let dmi = &mut self.dmi;
        for text in [&mut dmi.product, &mut dmi.serial, &mut dmi.uuid] {
            trim(text);
        }
        for disk in &mut self.disks {
            for text in [&mut disk.model, &mut disk.serial, &mut disk.wwn, &mut disk.member_of] {
                trim(text);
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        short("architecture", &self.architecture)?;
        at_most("disks", self.disks.len(), DISKS_MAX)?;
        at_most("cards", self.cards.len(), LIST_MAX)?;
        for text in [&self.dmi.product, &self.dmi.serial, &self.dmi.uuid].into_iter().flatten() {
            short("dmi", text)?;
        }
        let mut names = BTreeSet::new();
        for (at, disk) in self.disks.iter().enumerate() {
            let name = &disk.name;
            if !is_device_name(name) {
                let shown = printable::line(name);
                return Err(format!("disks[{at}].name `{shown}` is no name of a device below /dev"));
            }
            disk.check().map_err(|wrong| format!("disks[{at}] (`{name}`): {wrong}"))?;
            if !names.insert(name) {
                return Err(format!("disks[{at}].name `{name}` is that of another disk, too"));
            }
        }
        Ok(())
    }
}

impl Disk {
    fn check(&self) -> Result<(), String> {
        if ![512, 1024, 2048, 4096].contains(&self.logical_sector) {
            let sector = self.logical_sector;
            return Err(format!(
                "logical_sector is {sector}, and no disk has others than of 512 to 4096 bytes"
            ));
        }
        if !self.size.is_multiple_of(self.logical_sector) || self.size > SIZE_MAX {
            let (size, sector) = (self.size, self.logical_sector);
            return Err(format!("size {size} is not that of a disk with sectors of {sector} bytes"));
        }
        for (what, list) in [("by_id", &self.by_id), ("by_path", &self.by_path)] {
            at_most(what, list.len(), LIST_MAX)?;
            list.iter().try_for_each(|text| short(what, text))?;
        }
        let texts = [&self.model, &self.serial, &self.wwn, &self.transport, &self.member_of];
        texts.into_iter().flatten().try_for_each(|text| short("a text", text))?;
        at_most("content", self.content.len(), LIST_MAX)?;
        at_most("in_use", self.in_use.len(), LIST_MAX)?;
        for signature in &self.content {
            device("content", &signature.at)?;
            // What is on it is wiped: a mistake here must not lead to another disk.
            if !self.has(&signature.at) {
                return Err(format!(
                    "content is at `{}`, which is neither the disk nor a partition of it",
                    signature.at
                ));
            }
            let texts = [Some(&signature.kind), signature.label.as_ref(), signature.uuid.as_ref()];
            texts.into_iter().flatten().try_for_each(|text| short("content", text))?;
        }
        for held in &self.in_use {
            device("in_use", &held.at)?;
            held.by.iter().try_for_each(|text| short("in_use", text))?;
        }
        Ok(())
    }

    /// Its device.
    pub fn device(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// The device of one of its partitions.
    pub fn partition(&self, number: usize) -> String {
        let name = &self.name;
        let between = if name.starts_with("mapper/") {
            "-part"
        } else if name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        format!("/dev/{name}{between}{number}")
    }

    /// Whether a device is the disk or one of its partitions, by its name.
    pub(super) fn has(&self, device: &str) -> bool {
        let Some(rest) = device.strip_prefix(&self.name) else { return false };
        let number = rest.strip_prefix("-part").or_else(|| rest.strip_prefix('p')).unwrap_or(rest);
        let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        // Without a letter between, the digits could go on the name of another disk.
        let is_apart = number.len() < rest.len() || !self.name.ends_with(|c: char| c.is_ascii_digit());
        rest.is_empty() || (is_number && is_apart)
    }

    /// Whether an administrator means this disk: by its name, serial number, WWN or name in `/dev/disk/by-id`, all of it.
    pub fn is_called(&self, id: &str) -> bool {
        if id.is_empty() {
            return false;
        }
        if let Some(by_id) = id.strip_prefix("/dev/disk/by-id/") {
            return self.by_id.iter().any(|own| own == by_id);
        }
        if let Some(name) = id.strip_prefix("/dev/") {
            return self.name == name;
        }
        self.name == id
            || self.by_id.iter().any(|own| own == id)
            || [&self.serial, &self.wwn].into_iter().flatten().any(|own| own == id)
    }

    /// What tells it apart from others, also under another name.
    pub(super) fn key(&self) -> String {
        let path = self.by_path.first();
        let known = [self.serial.as_ref(), self.wwn.as_ref()];
        match known.into_iter().flatten().map(String::as_str).collect::<Vec<_>>() {
            own if !own.is_empty() => own.join(" "),
            _ => path.unwrap_or(&self.name).clone(),
        }
    }

    /// One line for people: what it is, and what is on it.
    pub fn line(&self) -> String {
        let mut words = vec![printable::line(&self.name), size::told(self.size)];
        words.extend(self.model.iter().map(|model| printable::line(model)));
        match (&self.serial, &self.wwn) {
            (Some(serial), _) => words.push(format!("serial {}", printable::line(serial))),
            (None, Some(wwn)) => words.push(format!("wwn {}", printable::line(wwn))),
            (None, None) => {}
        }
        for (is_so, word) in [(self.read_only, "read-only"), (self.removable, "removable")] {
            words.extend(is_so.then(|| word.to_owned()));
        }
        words.extend(self.member_of.iter().map(|of| format!("a path to {}", printable::line(of))));
        let mut on_it: Vec<String> = self.in_use.iter().map(Use::line).collect();
        on_it.extend(self.content.iter().map(Signature::line));
        // What a disk is full of is seen by the first few.
        let more = on_it.len().saturating_sub(6);
        on_it.truncate(6);
        if more > 0 {
            on_it.push(format!("{more} more"));
        }
        let on_it = if on_it.is_empty() { "blank".to_owned() } else { on_it.join("; ") };
        format!("{}: {on_it}", words.join(", "))
    }
}

impl Signature {
    /// A few words for people.
    pub fn line(&self) -> String {
        let label = self.label.as_ref().filter(|label| !label.is_empty());
        let label = label.map_or_else(String::new, |label| format!(" \"{}\"", printable::line(label)));
        let kind = match self.kind.as_str() {
            "gpt" => "partition table GPT",
            "dos" => "partition table MBR",
            "LVM2_member" => "LVM",
            "linux_raid_member" => "RAID",
            "crypto_LUKS" => "LUKS",
            other => other,
        };
        format!("{}{label} on {}", printable::line(kind), printable::line(&self.at))
    }
}

impl Use {
    /// A few words for people.
    pub fn line(&self) -> String {
        let at = printable::line(&self.at);
        let by = printable::line(self.by.as_deref().unwrap_or("something"));
        match self.kind {
            UseKind::Mounted => format!("{at} is mounted on {by}"),
            UseKind::Swap => format!("{at} is swap space in use"),
            UseKind::Holder => format!("{at} is held by {by}"),
            UseKind::Other => format!("{at} is used by {by}"),
        }
    }
}

fn trim(text: &mut Option<String>) {
    *text = text.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
}

fn short(what: &str, text: &str) -> Result<(), String> {
    if text.len() > TEXT_MAX || text.contains('\0') {
        return Err(format!("{what} has a text of more than {TEXT_MAX} bytes or with a NUL byte"));
    }
    Ok(())
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("{what} has {count} entries, of at most {most}")) } else { Ok(()) }
}

fn device(what: &str, name: &str) -> Result<(), String> {
    if is_device_name(name) {
        return Ok(());
    }
    Err(format!("{what} is at `{}`, which is no name of a device below /dev", printable::line(name)))
}

/// Whether it is a path below `/dev` without detours and without what a shell or sfdisk could take for something else.
fn is_device_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:+-/".contains(c);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']);
    name.len() <= 64 && name.chars().all(is_plain) && name.split('/').all(is_part)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
