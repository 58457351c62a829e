//! Identifiers of disks, partitions and file systems. They come from what is installed and what for, so that the same
//! install finds what it has made before it was interrupted.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What identifiers are derived from.
#[derive(Clone, Debug)]
pub(super) struct Seed(String);

impl Seed {
    /// Those of one job, which its disks are known by.
    pub(super) fn job(id: &str) -> Self {
        Self(format!("job\0{id}"))
    }

    /// Those of a machine that is planned for without a job.
    pub(super) fn machine(parts: &[&str]) -> Self {
        Self(format!("machine\0{}", parts.join("\0")))
    }

    /// The identifier of a thing, such as a partition of a disk.
    pub(super) fn id(&self, what: &[&str]) -> Id {
        let mut hash = Sha256::new();
        hash.update(b"cdist install 1\0");
        for part in [self.0.as_str()].iter().chain(what) {
            // With its length: no two lists of words make the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        // RFC 9562, 5.8: version 8 is for identifiers that are made in a way of one's own.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Id(bytes)
    }
}

/// A UUID, and its shorter forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id([u8; 16]);

impl Id {
    /// As file systems write it: lower-case.
    pub fn uuid(&self) -> String {
        let text = hex(&self.0);
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }

    /// As GPT tools write it: upper-case.
    pub fn guid(&self) -> String {
        self.uuid().to_uppercase()
    }

    /// As mdadm writes it.
    pub fn md(&self) -> String {
        let text = hex(&self.0);
        [&text[..8], &text[8..16], &text[16..24], &text[24..]].join(":")
    }

    /// The 32 bits of a FAT file system or an MBR, as eight digits; never nothing.
    pub fn short(&self) -> String {
        let text = hex(&self.0[..4]).to_uppercase();
        if text == "00000000" { "00000001".to_owned() } else { text }
    }

    /// The name of a FAT file system in fstab.
    pub fn fat(&self) -> String {
        let text = self.short();
        [&text[..4], &text[4..]].join("-")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Disks of interrupted installs are known by these: they must not change from one version to the next.
    #[test]
    fn identifiers_are_frozen() {
        let id = Seed::job("17").id(&["disk", "QM00001"]);
        assert_eq!(id, Seed::job("17").id(&["disk", "QM00001"]));
        assert_eq!(id.uuid().to_uppercase(), id.guid());
        assert_eq!(id.guid(), "55E1B78C-BB0D-833D-988E-429B54FB6E90");
        assert_eq!(id.md(), "55e1b78c:bb0d833d:988e429b:54fb6e90");
        assert_eq!(id.fat(), "55E1-B78C");
    }

    #[test]
    fn other_things_have_others() {
        let all = [
            Seed::job("1").id(&["disk", "a"]),
            Seed::job("2").id(&["disk", "a"]),
            Seed::job("1").id(&["disk", "b"]),
            Seed::job("1").id(&["diska"]),
            Seed::job("1").id(&["disk", "a", ""]),
            Seed::machine(&["1"]).id(&["disk", "a"]),
        ];
        for (at, id) in all.iter().enumerate() {
            assert!(!all[..at].contains(id), "{at}");
            let uuid = id.uuid();
            assert_eq!((&uuid[14..15], uuid.len()), ("8", 36));
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }
}
