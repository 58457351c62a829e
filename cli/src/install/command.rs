//! `cdist install plan`: reads facts and layout, and prints the plan or the refusal.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use cdist_core::{
    install::{Facts, Layout, Plan, Refusal, Request, commands, facts, layout},
    near_match,
};
use serde_json::json;

use super::args::PlanArgs;
use crate::terminal::{
    failure::Failure,
    printable::{self, line},
    stdout::print,
};

/// Prints the plan with exit status 0, or why no plan is made with 1.
pub(crate) fn run(args: &PlanArgs) -> Result<i32, Failure> {
    match make(args)? {
        Ok(text) => print(&text).map(|()| 0),
        Err(refusal) if args.json => {
            let Refusal { sentence, remedy, disks } = refusal;
            let value = json!({"refused": sentence, "remedy": remedy, "disks": disks});
            print(&printable::json(&format!("{value:#}\n"))).map(|()| 1)
        }
        Err(refusal) => Err(Failure::new(&refusal.sentence).hint(hint(&refusal))),
    }
}

/// What is printed of a plan.
fn make(args: &PlanArgs) -> Result<Result<String, Refusal>, Failure> {
    let name = args.layout.display().to_string();
    let layout = read_layout(&args.layout)?;
    let mut facts = read_facts(&args.facts)?;
    if let Some(firmware) = args.firmware {
        facts.firmware = firmware;
    }
    let job = args.job.as_deref();
    let request = Request { facts: &facts, layout: &layout, rules: &args.disk, wipe: &args.wipe, job };
    Ok(Plan::make(&request).map(|plan| {
        if args.json {
            printable::json(&format!("{:#}\n", plan.json(&name)))
        } else if args.script {
            commands::script(&plan)
        } else {
            plan.text(&name)
        }
    }))
}

/// What to do, and all disks: the one that is refused may not be the one that was meant.
fn hint(refusal: &Refusal) -> String {
    let mut hint = format!("{}\ndisks of the machine:", refusal.remedy);
    refusal.disks.iter().for_each(|disk| hint.push_str(&format!("\n  {disk}")));
    if refusal.disks.is_empty() {
        hint.push_str(" none");
    }
    hint
}

fn read_layout(path: &Path) -> Result<Layout, Failure> {
    let name = path.to_string_lossy();
    if let Some(layout) = Layout::ready(&name) {
        return Ok(layout);
    }
    let names = layout::READY.map(|(name, _)| name);
    // A name is never taken for a file that happens to be there.
    if !name.contains('/') {
        let shown = line(&name);
        let failure = Failure::usage(format!("there is no layout `{shown}`"));
        return Err(failure.hint(match near_match(names, &name) {
            Some(near) => format!("did you mean {near}? a file has a slash in its path: ./{shown}"),
            None => format!("there are {}; a file has a slash in its path: ./{shown}", names.join(", ")),
        }));
    }
    let text = read(path, layout::BYTES_MAX)?;
    Layout::parse(&text).map_err(|error| Failure::new(format!("the layout {}: {error}", line(&name))))
}

fn read_facts(path: &Path) -> Result<Facts, Failure> {
    let text = read(path, facts::BYTES_MAX)?;
    Facts::parse(&text).map_err(|error| Failure::new(format!("{}: {error}", line(&path.to_string_lossy()))))
}

/// The text of a file, of which one byte more is read than is taken: that it is too long is told by who takes it.
fn read(path: &Path, most: usize) -> Result<String, Failure> {
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    let done = if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    let shown = line(&path.to_string_lossy());
    done.map_err(|error| Failure::new(format!("reading {shown}: {error}")))?;
    String::from_utf8(text).map_err(|_| Failure::new(format!("{shown} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::{Args, FromArgMatches};

    use super::*;

    fn parse(words: &str) -> PlanArgs {
        let command = PlanArgs::augment_args(clap::Command::new("plan"));
        let matches =
            command.try_get_matches_from(["plan"].into_iter().chain(words.split_whitespace())).unwrap();
        PlanArgs::from_arg_matches(&matches).unwrap()
    }

    /// What the program prints, on both streams.
    fn printed(args: &PlanArgs) -> String {
        match make(args) {
            Ok(Ok(text)) => text,
            Ok(Err(refusal)) => format!("error: {}\nhint: {}\n", refusal.sentence, hint(&refusal)),
            Err(failure) => format!("error: {}\n", failure.message()),
        }
    }

    #[test]
    fn the_page_shows_what_is_printed() {
        let page = include_str!("../../../docs/install-layouts.md");
        let blocks = |kind: &str| {
            let begin = format!("```{kind}\n");
            let parts = page.split(&begin).skip(1);
            parts.map(|part| part.split("\n```").next().unwrap().to_owned()).collect::<Vec<String>>()
        };
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("web1.json"), &blocks("json")[0]).unwrap();
        let mut count = 0;
        for shown in blocks("console").iter().flat_map(|block| block.split("$ cdist install plan ").skip(1)) {
            let (words, output) = shown.split_once('\n').unwrap();
            let mut args = parse(words);
            args.facts = dir.path().join(args.facts);
            assert_eq!(printed(&args).trim_end(), output.trim_end(), "{words}");
            count += 1;
        }
        assert!(count >= 3, "{count}");
        for layout in blocks("text") {
            let file = dir.path().join("layout");
            fs::write(&file, &layout).unwrap();
            assert!(read_layout(&file).is_ok(), "{layout}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f\u{1b}[2J");
        let told = |path: &Path| read_layout(path).unwrap_err().message().to_owned();
        assert_eq!(told(Path::new("plainn")), "there is no layout `plainn`");
        assert_eq!(read_layout(Path::new("plainn")).unwrap_err().status, 2);
        assert!(told(&file).contains("No such file"));
        for (text, part) in [
            (&b"disks 0\n"[..], "line 1: `0` is no number of disks"),
            (b"\xff", "is not UTF-8"),
            (&[b' '; layout::BYTES_MAX + 2], "of at most 65536"),
        ] {
            fs::write(&file, text).unwrap();
            let told = told(&file);
            assert!(told.contains(part) && !told.contains('\u{1b}'), "{told}");
        }
        fs::write(&file, "{}").unwrap();
        let told = read_facts(&file).unwrap_err().message().to_owned();
        assert!(told.contains("missing field `architecture`"), "{told}");
    }
}
