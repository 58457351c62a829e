//! The options of `cdist install plan`.

use std::{ffi::OsString, path::PathBuf};

use cdist_core::install::{Firmware, Rule};

/// The command, as clap knows it.
pub(crate) const NAME: &str = "install-plan";

/// The options of `cdist install plan`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Facts of the machine, as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: PathBuf,
    /// A ready layout (plain, lvm, raid1, raid1-lvm, luks, btrfs), or a file with a slash in its path
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) layout: PathBuf,
    /// Which disks are meant, such as serial=S1, smallest or ssd,size=100GiB..; may be repeated [default: only]
    #[arg(long, value_name = "RULE", value_parser = Rule::parse)]
    pub(crate) disk: Vec<Rule>,
    /// Disk whose content may be lost: serial number, WWN, name or name in /dev/disk/by-id; may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) wipe: Vec<String>,
    /// What the install is known by when it is taken up again
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) job: Option<String>,
    /// How the machine starts, whatever the facts say
    #[arg(long, value_name = "bios|uefi|uefi32", value_parser = firmware)]
    pub(crate) firmware: Option<Firmware>,
    /// Print the commands instead
    #[arg(long, conflicts_with = "json")]
    pub(crate) script: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn firmware(text: &str) -> Result<Firmware, &'static str> {
    match text {
        "bios" => Ok(Firmware::Bios),
        "uefi" => Ok(Firmware::Uefi),
        "uefi32" => Ok(Firmware::Uefi32),
        _ => Err("write bios, uefi or uefi32"),
    }
}

/// Makes one word of `install plan`. A host may be called `plan`: only with `--facts`, which `install` has not, it is the command.
pub(crate) fn as_one_word(mut words: Vec<OsString>) -> Vec<OsString> {
    let has_facts = |word: &OsString| word == "--facts" || word.to_string_lossy().starts_with("--facts=");
    let is_plan = words.first().is_some_and(|word| word == "install")
        && words.get(1).is_some_and(|word| word == "plan")
        && words.iter().take_while(|word| *word != "--").any(has_facts);
    if is_plan {
        words.splice(..2, [NAME.into()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_called_plan() {
        let one = |words: &str| {
            let words = as_one_word(words.split_whitespace().map(OsString::from).collect());
            words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        for words in [
            "install plan",
            "install -b plan",
            "install plan -i x",
            "config plan --facts x",
            "install plan -- --facts",
        ] {
            assert_eq!(one(words), words);
        }
        assert_eq!(one("install plan --facts x"), "install-plan --facts x");
        assert_eq!(one("install plan --layout y --facts=x"), "install-plan --layout y --facts=x");
    }
}
