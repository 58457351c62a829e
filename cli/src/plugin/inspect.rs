//! `cdist plugin inspect`: what a file holds, and whether it would be used.

use std::path::Path;

use cdist_core::plugin::{
    check::Checker,
    facts::{ElfFacts, LibraryKind, Panic, PluginFacts},
    python, search,
    text::PluginText,
};
use serde_json::{Value, json};

use crate::terminal::{
    failure::Failure,
    printable::{self, line},
    stdout::print,
};

/// Prints the facts; exit status 0 if the file would be used, else 1.
pub(crate) fn run(file: &Path, as_json: bool) -> Result<i32, Failure> {
    // What cannot be read at all is refused with the same reason below.
    let facts = PluginFacts::read(file).ok();
    let refusal = Checker::default().check(file).err().map(|error| error.to_string());
    let (facts, refusal_text) = (facts.as_ref(), refusal.as_deref());
    print(&if as_json { to_json(file, facts, refusal_text) } else { to_text(file, facts, refusal_text) })?;
    Ok(i32::from(refusal.is_some()))
}

fn to_text(file: &Path, facts: Option<&PluginFacts>, refusal: Option<&str>) -> String {
    let mut rows = vec![("File", line(&file.to_string_lossy()))];
    let mut preoses = String::new();
    if let Some(facts) = facts {
        rows.push(("Size", format!("{} bytes", facts.size)));
        rows.push(("SHA-256", facts.sha256.clone()));
        rows.push(("Owner", line(&facts.owner)));
        rows.push(("Mode", format!("{:04o}", facts.mode)));
        rows.extend(python_kind(file).map(|kind| ("Kind", kind.to_owned())));
        rows.extend(facts.elf.iter().flat_map(elf_rows));
        if let Some(text) = &facts.text {
            rows.push(("Plugin API", version(text)));
            rows.push(("Built with", line(&text.built_with)));
            preoses = preos_lines(text);
        }
    }
    let verdict = refusal.map_or_else(|| "yes".to_owned(), |reason| format!("no: {}", line(reason)));
    let mut out: String =
        rows.iter().map(|(name, value)| format!("{:12}{value}\n", format!("{name}:"))).collect();
    out.push_str(&preoses);
    out.push_str(&format!("{:12}{verdict}\n", "Loadable:"));
    out
}

fn elf_rows(elf: &ElfFacts) -> Vec<(&'static str, String)> {
    let order = if elf.little_endian { "little" } else { "big" };
    let needed: Vec<String> = elf.needed.iter().map(|name| line(name)).collect();
    let mut rows = vec![
        ("ELF", format!("{}-bit {order}-endian, {}", elf.class, elf.machine)),
        ("Kind", kind(elf).to_owned()),
    ];
    if elf.kind != LibraryKind::C {
        rows.push(("Panic", panic_strategy(elf).to_owned()));
    }
    rows.extend([
        ("Stripped", if elf.stripped { "yes" } else { "no" }.to_owned()),
        ("Needs", if needed.is_empty() { "nothing".to_owned() } else { needed.join(", ") }),
        ("glibc", elf.glibc.as_ref().map_or_else(|| "none".to_owned(), |least| format!("{least} or later"))),
    ]);
    rows
}

/// What a Python file is, by its name; nothing else is known of one that is not executed.
fn python_kind(file: &Path) -> Option<&'static str> {
    search::is_python(file).then(|| {
        if python::is_helper(file) {
            "Python file for others to import"
        } else {
            "Python plugin, which is executed to be listed"
        }
    })
}

fn kind(elf: &ElfFacts) -> &'static str {
    match elf.kind {
        LibraryKind::C => "C library",
        LibraryKind::Rust => "Rust library",
        LibraryKind::Other => "other",
    }
}

fn panic_strategy(elf: &ElfFacts) -> &'static str {
    match elf.panic {
        Panic::Unwind => "unwind",
        Panic::Abort => "abort",
        Panic::Unknown => "unknown",
    }
}

fn version(text: &PluginText) -> String {
    format!("{}.{}", text.api.0, text.api.1)
}

fn preos_lines(text: &PluginText) -> String {
    let rows: Vec<[String; 3]> = text
        .preoses
        .iter()
        .map(|preos| [line(&preos.name()), line(&preos.type_name), line(&preos.summary)])
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, types) = (width(0), width(1));
    let mut out = String::from("PreOSes:\n");
    for [name, type_name, summary] in &rows {
        out.push_str(format!("    - {name:names$}  {type_name:types$}  {summary}").trim_end());
        out.push('\n');
    }
    out
}

fn to_json(file: &Path, facts: Option<&PluginFacts>, refusal: Option<&str>) -> String {
    let text = facts.and_then(|facts| facts.text.as_ref());
    let elf = facts.and_then(|facts| facts.elf.as_ref());
    let preoses: Vec<Value> = text
        .iter()
        .flat_map(|text| &text.preoses)
        .map(|preos| json!({"name": preos.name(), "type": preos.type_name, "summary": preos.summary}))
        .collect();
    let value = json!({
        "file": file.to_string_lossy(),
        "loadable": refusal.is_none(),
        "reason": refusal,
        "size": facts.map(|facts| facts.size),
        "sha256": facts.map(|facts| &facts.sha256),
        "owner": facts.map(|facts| &facts.owner),
        "mode": facts.map(|facts| format!("{:04o}", facts.mode)),
        "kind": facts.and(python_kind(file)).or_else(|| elf.map(kind)),
        "api": text.map(version),
        "built_with": text.map(|text| &text.built_with),
        "preoses": preoses,
        "elf": elf.map(|elf| json!({
            "class": elf.class,
            "little_endian": elf.little_endian,
            "machine": elf.machine,
            "needed": elf.needed,
            "glibc": elf.glibc,
            "panic": panic_strategy(elf),
            "stripped": elf.stripped,
        })),
    });
    printable::json(&format!("{value:#}\n"))
}
