//! The book: every page is in it, every link leads somewhere, every block of code is compiled or parsed. The blocks of
//! the tutorial are run, by another test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::{run, tool},
    plugins::{cargo, compile, lock, workspace},
};

/// A fenced block of code.
struct Block {
    /// File and line, for messages.
    place: String,
    language: String,
    text: String,
}

/// All pages with code: the book, and what authors of plugins read first.
fn pages() -> Vec<PathBuf> {
    let (mut pages, mut dirs) = (Vec::new(), vec![workspace()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("reading {}: {error}", dir.display())) {
            let path = entry.expect("reading a directory").path();
            let name = path.file_name().unwrap_or_default();
            // Without what was built, hidden, or is a page only after something is put in.
            let skipped =
                name == "target" || name == "templates" || name.as_encoded_bytes().starts_with(b".");
            if path.is_dir() && !path.is_symlink() && !skipped {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("reading {}: {error}", page.display()));
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(language), None) => {
                let place = format!("{}:{}", page.display(), number + 1);
                open = Some(Block { place, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block of code does not end", page.display());
    blocks
}

/// The blocks of one language, and a directory with each in a file of its own.
fn written(language: &str, extension: &str) -> (tempfile::TempDir, Vec<(PathBuf, Block)>) {
    let dir = tempfile::tempdir().expect("making a directory");
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| blocks(page)).filter(|block| block.language == language);
    let files = blocks
        .enumerate()
        .map(|(number, block)| {
            let file = dir.path().join(format!("block{number}.{extension}"));
            fs::write(&file, &block.text).expect("writing a block");
            (file, block)
        })
        .collect();
    (dir, files)
}

#[test]
fn every_block_has_a_language_that_is_checked() {
    const CHECKED: [&str; 10] =
        ["rust", "rust,ignore", "c", "python", "toml", "sh", "console", "json", "yaml", "ini"];
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let known = block.language == "text" || CHECKED.contains(&block.language.as_str());
        assert!(known, "{}: no test checks blocks of the language {:?}", block.place, block.language);
    }
}

#[test]
fn blocks_in_rust_are_plugins() {
    let (_dir, blocks) = written("rust", "rs");
    assert!(!blocks.is_empty());
    let top = workspace().join("target/book-blocks");
    // With what other tests have built of the API's dependencies.
    let target = workspace().join("target/examples");
    let _lock = lock(&target.join("lock"));
    let _ = fs::remove_dir_all(top.join("examples"));
    fs::create_dir_all(top.join("examples")).expect("making a directory");
    let mut manifest = format!(
        "[package]\nname = \"book-blocks\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\ncdist-plugin-api = {{ path = {:?} }}\n\n\
         [dev-dependencies]\ncdist-plugin-api = {{ path = {:?}, features = [\"fake-host\"] }}\n\n[workspace]\n",
        workspace().join("plugin-api"),
        workspace().join("plugin-api"),
    );
    for (number, (_, block)) in blocks.iter().enumerate() {
        manifest.push_str(&format!("\n[[example]]\nname = \"block{number}\"\ncrate-type = [\"cdylib\"]\n"));
        let text = format!("// {}\n{}", block.place, block.text);
        fs::write(top.join(format!("examples/block{number}.rs")), text).expect("writing a block");
    }
    fs::create_dir_all(top.join("src")).expect("making a directory");
    fs::write(top.join("src/lib.rs"), "").expect("writing an empty library");
    fs::write(top.join("Cargo.toml"), manifest).expect("writing the manifest");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--examples", "--target-dir"]).arg(&target).current_dir(&top);
    run(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols"));
}

/// What mdBook must not try to run: parts of the examples, whose lines stand in one of them in this order.
#[test]
fn parts_of_plugins_are_from_the_examples() {
    let sources: Vec<String> = ["devuan", "busybox", "dummies"]
        .map(|name| {
            fs::read_to_string(workspace().join(format!("examples/{name}/src/lib.rs"))).expect("reading")
        })
        .to_vec();
    let (_dir, blocks) = written("rust,ignore", "rs");
    assert!(!blocks.is_empty());
    for (_, block) in blocks {
        let wanted =
            || block.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let holds = |source: &String| {
            let mut lines = source.lines().map(str::trim);
            wanted().all(|line| lines.any(|other| other == line))
        };
        assert!(sources.iter().any(holds), "{}: this is in no example:\n{}", block.place, block.text);
    }
}

#[test]
fn blocks_in_c_are_plugins() {
    let (_dir, blocks) = written("c", "c");
    assert!(!blocks.is_empty());
    for (file, _) in blocks {
        compile(&file, &file.with_extension("so"), &[]);
    }
}

/// Runs a program that parses its standard input and fails if it cannot.
fn parsed(language: &str, program: &str, arguments: &[&str]) {
    let (_dir, blocks) = written(language, "txt");
    assert!(!blocks.is_empty(), "no block in {language}: take it from the languages that are checked");
    for (file, block) in blocks {
        let input = fs::File::open(&file).expect("opening a block");
        let output = Command::new(program).args(arguments).stdin(input).output().expect("starting a parser");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, {language}: {errors}\n{}", block.place, block.text);
    }
}

#[test]
fn blocks_in_python_are_parsed() {
    let python = tool("/usr/bin/python3", "python3");
    let python = python.to_str().expect("a path in UTF-8");
    parsed("python", python, &["-c", "import ast, sys; ast.parse(sys.stdin.read())"]);
    parsed("toml", python, &["-c", "import sys, tomllib; tomllib.load(sys.stdin.buffer)"]);
    parsed(
        "ini",
        python,
        &["-c", "import configparser, sys; configparser.ConfigParser(strict=False).read_file(sys.stdin)"],
    );
}

#[test]
fn blocks_for_the_shell_are_parsed() {
    parsed("sh", "/bin/sh", &["-n"]);
}

#[test]
fn every_page_is_in_the_book() {
    let docs = workspace().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("reading the summary");
    let named: BTreeSet<PathBuf> = links(&summary).into_iter().map(|link| docs.join(link)).collect();
    let pages: BTreeSet<PathBuf> =
        pages().into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(named, pages);
}

/// The targets of all links in a page, without those inside code.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    let mut links = Vec::new();
    for line in lines {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in outside.split("](").skip(1) {
            links.extend(part.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    links
}

/// The anchors that mdBook and GitHub make of the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("reading a page");
        for link in links(&text) {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.with_file_name(file),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let there = fs::read_to_string(&target).expect("reading a page");
                assert!(anchors(&there).contains(anchor), "{}: {link} leads to no heading", page.display());
            }
        }
    }
}
