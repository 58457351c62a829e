//! The lines of a layout, one by one.

use super::{
    super::{number_of_disks, size},
    BYTES_MAX, Base, Content, FileSystem, Item, LEVELS, Layout, LayoutError, Level, Place, Size, Table,
};
use crate::printable;

/// The most lines that say something.
const ITEMS_MAX: usize = 256;
/// The most characters of a name. A FAT label has eleven, and on a second disk the name gets a number.
const NAME_MAX: usize = 9;
const PATH_MAX: usize = 128;

/// A line that makes something, after its name.
type Parse = fn(&mut Words<'_>) -> Result<(Place, Content), String>;

/// All words that a line begins with to make something.
const KINDS: [(&str, Parse); 6] = [
    ("partition", |words| Ok((Place::Partition(words.size()?), words.content()?))),
    ("raid", |words| Ok((Place::Raid { of: words.of()?, level: words.level()? }, words.content()?))),
    ("luks", |words| Ok((Place::Luks { of: words.of()? }, words.content()?))),
    ("group", |words| Ok((Place::Group { of: words.of()? }, Content::Volumes))),
    ("volume", |words| Ok((Place::Volume { of: words.of()?, size: words.size()? }, words.content()?))),
    ("subvolume", |words| {
        Ok((Place::Subvolume { of: words.of()? }, Content::Directory { mount: words.path()? }))
    }),
];

/// A layout as it stands, and the line of each item.
pub(super) fn parse(text: &str) -> Result<(Layout, Vec<usize>), LayoutError> {
    if text.len() > BYTES_MAX {
        let length = text.len();
        return Err(LayoutError::Whole(format!(
            "it has {length} bytes, of at most {BYTES_MAX}; a layout is a few lines"
        )));
    }
    let mut layout = Layout { table: Table::Gpt, disks: 1, items: Vec::new() };
    let mut lines = Vec::new();
    let mut said = Vec::new();
    for (at, text) in text.lines().enumerate() {
        let line = at + 1;
        let words: Vec<&str> = text.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let Some((&kind, rest)) = words.split_first() else { continue };
        let mut words = Words { rest };
        parse_line(kind, &mut words, &mut layout, &mut said)
            .and_then(|()| words.end())
            .map_err(|wrong| LayoutError::Line { line, wrong })?;
        lines.resize(layout.items.len(), line);
    }
    Ok((layout, lines))
}

fn parse_line<'a>(
    kind: &'a str,
    words: &mut Words<'_>,
    layout: &mut Layout,
    said: &mut Vec<&'a str>,
) -> Result<(), String> {
    if ["table", "disks"].contains(&kind) {
        if said.contains(&kind) {
            return Err(format!("`{kind}` is said twice; leave one of the lines out"));
        }
        if !layout.items.is_empty() {
            return Err(format!("`{kind}` stands in front of all that is made; move the line up"));
        }
        said.push(kind);
    }
    match kind {
        "table" => layout.table = words.table()?,
        "disks" => layout.disks = words.disks()?,
        _ => {
            let Some((_, parse)) = KINDS.iter().find(|(word, _)| *word == kind) else {
                return Err(unknown(
                    kind,
                    &["table", "disks"].into_iter().chain(KINDS.map(|(word, _)| word)).collect::<Vec<_>>(),
                ));
            };
            let name = words.name(kind)?;
            let (place, content) = parse(words)?;
            let options = words.options(&content)?;
            if layout.items.len() == ITEMS_MAX {
                return Err(format!("there are more than {ITEMS_MAX} lines; a layout is a few lines"));
            }
            layout.items.push(Item { name, place, content, options });
        }
    }
    Ok(())
}

/// What to write in the place of a word, of which the beginning is enough.
fn unknown(word: &str, known: &[&str]) -> String {
    printable::line(&super::super::unknown(&word.chars().take(40).collect::<String>(), known))
}

/// What is left of a line.
struct Words<'a> {
    rest: &'a [&'a str],
}

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let Some((word, rest)) = self.rest.split_first() else {
            return Err(format!("the line ends where {what} has to follow"));
        };
        self.rest = rest;
        Ok(word)
    }

    /// Whether this is the next word, which is behind it then.
    fn has(&mut self, word: &str) -> bool {
        let is_next = self.rest.first() == Some(&word);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn end(&self) -> Result<(), String> {
        self.rest.first().map_or(Ok(()), |word| {
            Err(format!("`{}` is more than the line can say; leave it out", printable::line(word)))
        })
    }

    fn table(&mut self) -> Result<Table, String> {
        match self.next("`gpt` or `mbr`")? {
            "gpt" => Ok(Table::Gpt),
            "mbr" => Ok(Table::Mbr),
            other => Err(unknown(other, &["gpt", "mbr"])),
        }
    }

    fn disks(&mut self) -> Result<usize, String> {
        let word = self.next("the number of disks")?;
        number_of_disks(word).map_err(|wrong| printable::line(&wrong))
    }

    fn name(&mut self, kind: &str) -> Result<String, String> {
        let name = self.next("a name")?;
        let shown = printable::line(name);
        if kind == "subvolume" {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "@_.-".contains(c);
            if name.len() > 64 || !name.chars().all(is_plain) || name.starts_with(['.', '-']) {
                return Err(format!(
                    "`{shown}` is no name of a subvolume; write letters, digits and @ _ . -"
                ));
            }
            return Ok(name.to_owned());
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.len() > NAME_MAX
            || !name.chars().all(is_plain)
            || !name.starts_with(|c: char| c.is_ascii_lowercase())
            || name.ends_with('-')
        {
            return Err(format!(
                "`{shown}` is no name; write at most {NAME_MAX} lower-case letters, digits and -, with a letter in front"
            ));
        }
        Ok(name.to_owned())
    }

    fn of(&mut self) -> Result<String, String> {
        if !self.has("of") {
            return Err("`of` has to follow the name, and the name of what it is made of".to_owned());
        }
        Ok(self.next("the name of what it is made of")?.to_owned())
    }

    fn level(&mut self) -> Result<Level, String> {
        let numbers = LEVELS.map(|(_, number, _)| number);
        if !self.has("level") {
            return Err(format!("`level` has to follow, and one of {}", numbers.join(", ")));
        }
        let word = self.next("the level")?;
        let known = LEVELS.iter().find(|(_, number, _)| *number == word);
        known.map(|(level, ..)| *level).ok_or_else(|| unknown(word, &numbers))
    }

    fn size(&mut self) -> Result<Size, String> {
        let word = self.next("a size")?;
        let base = match word {
            "rest" => Base::Rest,
            _ if word.ends_with('%') => {
                let percent =
                    word.trim_end_matches('%').parse().ok().filter(|percent| (1..=100).contains(percent));
                Base::Percent(percent.ok_or_else(|| {
                    format!("`{}` is no part of a disk; write 1% to 100%", printable::line(word))
                })?)
            }
            _ => Base::Fixed(whole(word)?),
        };
        let (mut min, mut max) = (None, None);
        loop {
            let (bound, word) = if min.is_none() && self.has("min") {
                (&mut min, "min")
            } else if max.is_none() && self.has("max") {
                (&mut max, "max")
            } else {
                break;
            };
            if matches!(base, Base::Fixed(_)) {
                return Err(format!("`{word}` bounds a size in % or `rest`; write the size alone"));
            }
            *bound = Some(whole(self.next("a size")?)?);
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err("`min` is more than `max`; turn them round".to_owned());
        }
        Ok(Size { base, min, max })
    }

    fn content(&mut self) -> Result<Content, String> {
        let word = self.next("what is in it, such as `ext4 /`,")?;
        if let Some(kind) = FileSystem::ALL.into_iter().find(|kind| kind.name() == word) {
            let is_mounted =
                kind != FileSystem::Btrfs || self.rest.first().is_some_and(|next| *next != "options");
            let mount = if is_mounted { Some(self.path()?) } else { None };
            return Ok(Content::FileSystem { kind, mount });
        }
        match word {
            "bios" => Ok(Content::Bios),
            "esp" => Ok(Content::Esp { mount: self.path()? }),
            "swap" => Ok(Content::Swap),
            "raid" => Ok(Content::Raid),
            "luks" => Ok(Content::Luks),
            "lvm" => Ok(Content::Lvm),
            "empty" => Ok(Content::Empty),
            other => Err(unknown(
                other,
                &["ext4", "xfs", "btrfs", "vfat", "esp", "bios", "swap", "raid", "luks", "lvm", "empty"],
            )),
        }
    }

    /// A directory of the new system.
    fn path(&mut self) -> Result<String, String> {
        let path = self.next("the directory that it is mounted on")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.@+-/".contains(c);
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_whole = path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_part));
        if !is_whole || path.len() > PATH_MAX || !path.chars().all(is_plain) {
            return Err(format!(
                "`{}` is no directory to mount on; write a path from / on, without blanks and without a slash at its end",
                printable::line(path)
            ));
        }
        Ok(path.to_owned())
    }

    fn options(&mut self, content: &Content) -> Result<Option<String>, String> {
        if !self.has("options") {
            return Ok(None);
        }
        let options = self.next("options of the mount")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.@+-/=:,%".contains(c);
        if options.len() > PATH_MAX || !options.chars().all(is_plain) {
            return Err(format!(
                "`{}` are no options of a mount; write them as in fstab, with commas between",
                printable::line(options)
            ));
        }
        if content.mount().is_none() && *content != Content::Swap {
            return Err(
                "`options` are for what is mounted; leave them out, or say where it is mounted".to_owned()
            );
        }
        Ok(Some(options.to_owned()))
    }
}

/// A size of whole MiB.
fn whole(word: &str) -> Result<u64, String> {
    let bytes = size::parse(word).map_err(|wrong| printable::line(&wrong))?;
    if !bytes.is_multiple_of(size::MIB) {
        return Err(format!("`{word}` is no whole number of MiB; all on a disk begins and ends at one"));
    }
    Ok(bytes)
}
