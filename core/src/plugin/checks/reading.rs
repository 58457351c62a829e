//! The checks that only read the file. They run outside of the sandbox, which has other directories above it.

use std::{collections::HashSet, path::Path};

use super::{Verdict, catalogue::Check, events::Event};
use crate::{
    plugin::{
        check::Checker,
        elf,
        facts::{LibraryKind, Panic, PluginFacts},
        sums::Sums,
        text::{self, PreosText},
    },
    printable,
    trust::Trust,
};

/// A longer summary does not fit beside the name in a list.
const SUMMARY_MAX: usize = 80;

/// Does one of these checks; the verdict, and the PreOSes if it is the check of the text.
pub(super) fn read(check: Check, path: &Path) -> Event {
    let (verdict, preoses) = match check {
        Check::File => (file(path), Vec::new()),
        Check::Record => (record(path), Vec::new()),
        Check::Elf => (elf(path), Vec::new()),
        Check::PanicStrategy => (panic_strategy(path), Vec::new()),
        Check::Text => text(path),
        _ => return Event::NotRun(format!("the check {} does not only read the file", check.name())),
    };
    let preoses =
        preoses.into_iter().map(|preos| (preos.preos_name, preos.type_name, preos.summary)).collect();
    Event::Judged { verdict, preoses }
}

fn file(path: &Path) -> Verdict {
    judged(Checker::default().open(path))
}

fn record(path: &Path) -> Verdict {
    let mut trust = Trust::default();
    match Sums::of_directory(path.parent().unwrap_or(Path::new("/")), &mut trust) {
        Ok(None) => Verdict::Skipped("there is no plugins.sha256 beside it".to_owned()),
        Ok(Some(sums)) => {
            let (file, _) = match trust.open(path) {
                Ok(opened) => opened,
                Err(error) => return Verdict::Failed(error.to_string()),
            };
            judged(sums.verify(path, &file))
        }
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

fn elf(path: &Path) -> Verdict {
    match Trust::default().open(path) {
        Ok((file, _)) => judged(elf::read_text(&file)),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

/// The verdict, and what the text names.
fn text(path: &Path) -> (Verdict, Vec<PreosText>) {
    let failed = |reason: String| (Verdict::Failed(reason), Vec::new());
    let bytes = match Trust::default().open(path) {
        Ok((file, _)) => elf::read_text(&file),
        Err(error) => return failed(error.to_string()),
    };
    match bytes
        .map_err(|error| error.to_string())
        .and_then(|bytes| text::parse(&bytes).map_err(|error| error.to_string()))
    {
        Ok(text) => (preoses(&text.preoses), text.preoses),
        Err(reason) => failed(reason),
    }
}

/// Names and summaries.
pub(super) fn preoses(preoses: &[PreosText]) -> Verdict {
    let mut seen = HashSet::new();
    if let Some(twice) = preoses.iter().map(PreosText::name).find(|name| !seen.insert(name.clone())) {
        return Verdict::Failed(format!("it has two PreOSes with the name {twice}"));
    }
    let warnings: Vec<String> = preoses
        .iter()
        .filter_map(|preos| Some(format!("{}: {}", preos.name(), summary_warning(&preos.summary)?)))
        .collect();
    if warnings.is_empty() { Verdict::Passed } else { Verdict::Warning(warnings.join("; ")) }
}

fn summary_warning(summary: &str) -> Option<String> {
    let columns = summary.chars().count();
    if summary.trim().is_empty() {
        Some("it has no summary; the list of PreOSes shows one".to_owned())
    } else if summary.contains(printable::is_hidden) {
        Some("its summary holds control characters".to_owned())
    } else if columns > SUMMARY_MAX {
        Some(format!("its summary has {columns} characters; up to {SUMMARY_MAX} fit into a list"))
    } else {
        None
    }
}

/// A warning and no failure: cdist runs such a plugin, and one that never panics is as good as any other.
fn panic_strategy(path: &Path) -> Verdict {
    let elf = match PluginFacts::read(path) {
        Ok(facts) => facts.elf,
        Err(error) => return Verdict::Failed(format!("reading it: {error}")),
    };
    match elf.map(|elf| (elf.panic, elf.kind)) {
        Some((Panic::Unwind, _)) => Verdict::Passed,
        Some((Panic::Abort, _)) => Verdict::Warning(
            "a panic aborts the process, and its message is lost; build with panic = \"unwind\"".to_owned(),
        ),
        Some((Panic::Unknown, LibraryKind::C)) => Verdict::Skipped("not for libraries in C".to_owned()),
        _ => Verdict::Skipped("the file does not tell what a panic does".to_owned()),
    }
}

fn judged<T, E: std::fmt::Display>(result: Result<T, E>) -> Verdict {
    match result {
        Ok(_) => Verdict::Passed,
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preos(name: &str, summary: &str) -> PreosText {
        PreosText { preos_name: None, type_name: name.to_owned(), summary: summary.to_owned() }
    }

    #[test]
    fn names_and_summaries_are_judged() {
        assert_eq!(preoses(&[preos("A", "makes a"), preos("B", "makes b")]), Verdict::Passed);
        let twice = preoses(&[preos("A", "one"), preos("a", "two")]);
        assert_eq!(twice, Verdict::Failed("it has two PreOSes with the name a".to_owned()));
        for (summary, word) in
            [("", "no summary"), ("a\u{1b}[1m", "control"), (&*"x".repeat(81), "81 characters")]
        {
            let Verdict::Warning(text) = preoses(&[preos("A", summary)]) else { panic!("{summary}") };
            assert!(text.contains(word), "{text}");
        }
    }
}
