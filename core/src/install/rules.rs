//! Which disks are meant. A rule that could mean other disks than those that it is for is refused, never guessed at.

use super::{
    facts::{Disk, Facts},
    number_of_disks, size, unknown,
};
use crate::printable;

/// Smaller ones are never meant unless they are named: card readers, and disks that controllers show of themselves.
const TINY: u64 = size::GIB;

/// A rule: what disks have, and how many of them are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As it was written.
    text: String,
    conditions: Vec<Condition>,
    order: Option<Order>,
    count: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Size {
        min: u64,
        max: u64,
    },
    /// A pattern with `*` and `?`.
    Model(String),
    Serial(String),
    Wwn(String),
    ById(String),
    ByPath(String),
    Name(String),
    Rotational(bool),
    Transport(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Smallest,
    Largest,
}

/// What a word of a rule is.
#[derive(Clone, Copy)]
enum Word {
    /// The word alone.
    Alone(fn(&mut Rule)),
    /// With `=` and a value.
    Value(fn(&mut Rule, &str) -> Result<(), String>),
}

use Word::{Alone, Value};

/// All words of rules.
const WORDS: [(&str, Word); 14] = [
    ("only", Alone(|_| {})),
    ("smallest", Alone(|rule| rule.order = Some(Order::Smallest))),
    ("largest", Alone(|rule| rule.order = Some(Order::Largest))),
    ("ssd", Alone(|rule| rule.conditions.push(Condition::Rotational(false)))),
    ("rotational", Alone(|rule| rule.conditions.push(Condition::Rotational(true)))),
    ("size", Value(|rule, value| rule.push(range(value)))),
    ("model", Value(|rule, value| rule.push(Ok(Condition::Model(value.to_owned()))))),
    ("serial", Value(|rule, value| rule.push(Ok(Condition::Serial(value.to_owned()))))),
    ("wwn", Value(|rule, value| rule.push(Ok(Condition::Wwn(value.to_owned()))))),
    ("by-id", Value(|rule, value| rule.push(Ok(Condition::ById(value.to_owned()))))),
    ("by-path", Value(|rule, value| rule.push(Ok(Condition::ByPath(value.to_owned()))))),
    ("name", Value(|rule, value| rule.push(Ok(Condition::Name(value.to_owned()))))),
    ("transport", Value(|rule, value| rule.push(Ok(Condition::Transport(value.to_owned()))))),
    (
        "count",
        Value(|rule, value| {
            rule.count = Some(number_of_disks(value)?);
            Ok(())
        }),
    ),
];

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(String);

impl Rule {
    /// Reads a rule: words with commas between, or a path below `/dev`.
    ///
    /// # Errors
    ///
    /// A word is not known, or its value says nothing.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut rule = Self { text: text.to_owned(), conditions: Vec::new(), order: None, count: None };
        let read = match text.strip_prefix("/dev/") {
            Some(path) => rule.push(Ok(device(path))),
            None => text.split(',').try_for_each(|word| rule.word(word)),
        };
        read.map_err(|wrong| RuleError(printable::line(&wrong)))?;
        Ok(rule)
    }

    fn word(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match (WORDS.iter().find(|(known, _)| *known == name).map(|(_, word)| *word), value) {
            (Some(Alone(_)), Some(_)) => Err(format!("`{name}` takes no value; leave `=` out")),
            (Some(Alone(set)), None) => {
                set(self);
                Ok(())
            }
            (Some(Value(_)), None | Some("")) => Err(format!("`{name}` takes a value; write {name}=…")),
            (Some(Value(set)), Some(value)) => set(self, value),
            (None, _) => Err(unknown(name, &WORDS.map(|(name, _)| name))),
        }
    }

    fn push(&mut self, condition: Result<Condition, String>) -> Result<(), String> {
        self.conditions.push(condition?);
        Ok(())
    }

    /// Whether it names a disk, and not a kind of disks.
    fn names(&self) -> bool {
        let names = |condition: &Condition| {
            matches!(
                condition,
                Condition::Serial(_)
                    | Condition::Wwn(_)
                    | Condition::ById(_)
                    | Condition::ByPath(_)
                    | Condition::Name(_)
            )
        };
        self.conditions.iter().any(names)
    }

    fn fits(&self, disk: &Disk) -> bool {
        self.conditions.iter().all(|condition| condition.fits(disk))
    }

    /// The disks that it means, as their places in the facts.
    fn choose(&self, facts: &Facts, count: usize) -> Result<Vec<usize>, String> {
        let mut all: Vec<(usize, &Disk)> = Vec::new();
        let mut left_out = Vec::new();
        for (at, disk) in facts.disks.iter().enumerate().filter(|(_, disk)| self.fits(disk)) {
            match never_meant(disk) {
                Some(reason) if disk.member_of.is_some() || !self.names() => left_out.push((disk, reason)),
                _ => all.push((at, disk)),
            }
        }
        let text = printable::line(&self.text);
        let left_out: String = left_out
            .iter()
            .map(|(disk, reason)| {
                format!("; {} is left out, for it is {reason}", printable::line(&disk.name))
            })
            .collect();
        if all.is_empty() {
            return Err(format!("no disk is what the rule `{text}` asks for{left_out}"));
        }
        if all.len() < count {
            let found = names(&all);
            return Err(format!(
                "the rule `{text}` finds {} of {count} disks that are wanted: {found}{left_out}",
                all.len()
            ));
        }
        match self.order {
            Some(Order::Smallest) => all.sort_by_key(|(_, disk)| disk.size),
            Some(Order::Largest) => all.sort_by_key(|(_, disk)| std::cmp::Reverse(disk.size)),
            None if all.len() > count => {
                return Err(format!(
                    "the rule `{text}` finds {} disks where {count} {} wanted: {}",
                    all.len(),
                    if count == 1 { "is" } else { "are" },
                    names(&all)
                ));
            }
            None => {}
        }
        let last = all.get(count - 1).map(|(_, disk)| disk.size);
        let next = all.get(count).map(|(_, disk)| disk.size);
        if let (Some(last), Some(next)) = (last, next)
            && last == next
        {
            let tied: Vec<_> = all.into_iter().filter(|(_, disk)| disk.size == last).collect();
            return Err(format!(
                "the rule `{text}` cannot choose: {} have {} each",
                names(&tied),
                size::told(last)
            ));
        }
        all.truncate(count);
        // In the order of the machine, however they were found.
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(at, _)| at).collect())
    }
}

/// The disks that the rules mean, so many as are wanted, as their places in the facts. Without a rule it is `only`.
///
/// # Errors
///
/// One sentence: a rule finds none, too few or too many, or the rules together do not make the number.
pub(super) fn choose(facts: &Facts, rules: &[Rule], wanted: usize) -> Result<Vec<usize>, String> {
    let only = [Rule { text: "only".to_owned(), conditions: Vec::new(), order: None, count: None }];
    let rules = if rules.is_empty() { &only[..] } else { rules };
    let default = if rules.len() == 1 { wanted } else { 1 };
    let counts: Vec<usize> = rules.iter().map(|rule| rule.count.unwrap_or(default)).collect();
    let sum: usize = counts.iter().sum();
    if sum != wanted {
        return Err(format!("the disk rules choose {sum} disks, and the layout takes {wanted}"));
    }
    let mut chosen: Vec<usize> = Vec::new();
    for (rule, count) in rules.iter().zip(counts) {
        for at in rule.choose(facts, count)? {
            if chosen.contains(&at) {
                let name = facts.disks.get(at).map_or("", |disk| &disk.name);
                return Err(format!("two disk rules choose {name}; each has to choose another disk"));
            }
            chosen.push(at);
        }
    }
    Ok(chosen)
}

/// Why a disk is not meant by rules that do not name it. A way to a multipath device is not meant by any.
fn never_meant(disk: &Disk) -> Option<String> {
    if let Some(of) = &disk.member_of {
        return Some(format!("a path to {}, which is the disk", printable::line(of)));
    }
    let transport = disk.transport.as_deref().unwrap_or_default();
    let reason = if disk.read_only {
        "read-only"
    } else if disk.removable || transport == "usb" {
        "removable"
    } else if transport == "loop" {
        "a loop device"
    } else if disk.size < TINY {
        "smaller than 1 GiB"
    } else {
        return None;
    };
    Some(format!("{reason} and not named"))
}

impl Condition {
    fn fits(&self, disk: &Disk) -> bool {
        let is = |own: &Option<String>, value: &str| own.as_deref() == Some(value);
        match self {
            Self::Size { min, max } => (*min..=*max).contains(&disk.size),
            Self::Model(pattern) => disk.model.as_ref().is_some_and(|model| matches_pattern(pattern, model)),
            Self::Serial(serial) => is(&disk.serial, serial),
            Self::Wwn(wwn) => is(&disk.wwn, wwn),
            Self::ById(name) => disk.by_id.contains(name),
            Self::ByPath(name) => disk.by_path.contains(name),
            Self::Name(name) => disk.name == *name,
            Self::Rotational(value) => disk.rotational == Some(*value),
            Self::Transport(transport) => is(&disk.transport, transport),
        }
    }
}

fn device(path: &str) -> Condition {
    if let Some(name) = path.strip_prefix("disk/by-id/") {
        Condition::ById(name.to_owned())
    } else if let Some(name) = path.strip_prefix("disk/by-path/") {
        Condition::ByPath(name.to_owned())
    } else {
        Condition::Name(path.to_owned())
    }
}

fn range(text: &str) -> Result<Condition, String> {
    let Some((min, max)) = text.split_once("..").filter(|_| text != "..") else {
        return Err(format!(
            "`{text}` is no range of sizes; write size=MIN..MAX, of which one may be left out"
        ));
    };
    let min = if min.is_empty() { 0 } else { size::parse(min)? };
    let max = if max.is_empty() { u64::MAX } else { size::parse(max)? };
    if min > max {
        return Err("the smaller size stands in front".to_owned());
    }
    Ok(Condition::Size { min, max })
}

fn names(disks: &[(usize, &Disk)]) -> String {
    disks.iter().map(|(_, disk)| printable::line(&disk.name)).collect::<Vec<_>>().join(", ")
}

/// Whether the text is that of the pattern, in which `*` is any text and `?` one character.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star is, and from where on the text after it is tried.
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, tried)) => {
                    star = Some((place, tried + 1));
                    (at, from) = (place + 1, tried + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
