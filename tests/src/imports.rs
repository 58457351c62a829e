//! Which file of a crate imports which, read from the sources without a compiler.
//!
//! What only tests and fuzz targets compile is left out. A name that a module passes on with `use` stands for the file that
//! has it, so a way over a `mod.rs` does not hide where it leads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::Path,
};

/// A module by its names: the crate, then the modules down to it.
type Module = Vec<String>;

/// One source file.
#[derive(Debug)]
pub struct File {
    /// From the workspace on.
    pub path: String,
    /// All its lines.
    pub lines: usize,
    /// Its lines without the module of tests at its end.
    pub lines_of_product: usize,
    /// Compiled for tests or fuzz targets only.
    pub is_test: bool,
    module: Module,
    source: Source,
}

/// The sources of some crates.
#[derive(Debug)]
pub struct Sources {
    /// All files, by path.
    pub files: Vec<File>,
    by_module: HashMap<Module, usize>,
    crates: Vec<String>,
}

/// What one file says.
#[derive(Debug, Default)]
struct Source {
    tests: Vec<String>,
    uses: Vec<Use>,
    paths: Vec<(Module, Vec<String>)>,
    /// Words outside of `use`, by which is seen whether a name that is passed on is used here as well.
    words: HashSet<String>,
}

#[derive(Debug)]
struct Use {
    /// Modules within the file around it.
    inner: Module,
    path: Vec<String>,
    name: String,
    is_public: bool,
}

impl Sources {
    /// Reads crates: the directory of each from the workspace on, and its name.
    ///
    /// # Panics
    ///
    /// If a file cannot be read.
    #[must_use]
    pub fn read(workspace: &Path, crates: &[(&str, &str)]) -> Self {
        let mut files = Vec::new();
        for (dir, name) in crates {
            let mut waiting = vec![workspace.join(dir)];
            while let Some(at) = waiting.pop() {
                for entry in fs::read_dir(&at).expect("reading a directory of sources").flatten() {
                    let path = entry.path();
                    if path.is_dir() {
                        waiting.push(path);
                    } else if path.extension().is_some_and(|extension| extension == "rs") {
                        let below = path.strip_prefix(workspace.join(dir)).expect("it is below");
                        let text = fs::read_to_string(&path).expect("reading a source file");
                        files.push(File::parse(dir, name, &below.to_string_lossy(), &text));
                    }
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::new(files, crates.iter().map(|(_, name)| (*name).to_owned()).collect())
    }

    fn new(mut files: Vec<File>, crates: Vec<String>) -> Self {
        let tests: HashSet<Module> = files
            .iter()
            .flat_map(|file| file.source.tests.iter().map(|name| joined(&file.module, name)))
            .collect();
        for file in &mut files {
            file.is_test = (1..=file.module.len()).any(|end| tests.contains(&file.module[..end]));
        }
        let by_module = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        Self { files, by_module, crates }
    }

    /// The files that each file imports from; tests neither import nor are imported.
    #[must_use]
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut imports = BTreeMap::new();
        for file in self.files.iter().filter(|file| !file.is_test) {
            let mut found = BTreeSet::new();
            for path in self.paths_of(file) {
                if let Some(other) = self.resolve(&path, 0)
                    && !self.files[other].is_test
                    && self.files[other].path != file.path
                {
                    found.insert(self.files[other].path.as_str());
                }
            }
            imports.insert(file.path.as_str(), found);
        }
        imports
    }

    /// True if `to` is a `mod.rs`, `lib.rs` or the like above `from`.
    #[must_use]
    pub fn is_door(&self, from: &str, to: &str) -> bool {
        let module = |path: &str| self.files.iter().find(|file| file.path == path).map(|file| &file.module);
        module(from).zip(module(to)).is_some_and(|(from, to)| from.starts_with(to) && from != to)
    }

    fn paths_of(&self, file: &File) -> Vec<Module> {
        let mut paths = Vec::new();
        for import in &file.source.uses {
            let Some(path) = self.absolute(file, &import.inner, &import.path) else { continue };
            let passes_on = import.is_public && path.starts_with(&file.module);
            if !passes_on || file.source.words.contains(&import.name) {
                paths.push(path);
            }
        }
        for (inner, path) in &file.source.paths {
            paths.extend(self.absolute(file, inner, path));
        }
        paths
    }

    fn absolute(&self, file: &File, inner: &[String], path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let here = [&file.module[..], inner].concat();
        if first == "crate" {
            return Some([&file.module[..1], rest].concat());
        }
        if first == "self" {
            return Some([&here[..], rest].concat());
        }
        if first == "super" {
            let up = path.iter().take_while(|part| *part == "super").count();
            return Some([here.get(..here.len().checked_sub(up)?)?, &path[up..]].concat());
        }
        if self.crates.contains(first) {
            return Some(path.to_vec());
        }
        if self.by_module.contains_key(&joined(&here, first)) {
            return Some([&here[..], path].concat());
        }
        // A name that was imported, such as `config` in `config::Run` after `use crate::config`.
        let import =
            file.source.uses.iter().find(|import| import.name == *first && import.path[0] != *first)?;
        let module = self.absolute(file, &import.inner, &import.path)?;
        Some([&module[..], rest].concat())
    }

    /// The file that has what `path` names.
    fn resolve(&self, path: &[String], depth: usize) -> Option<usize> {
        let end = (1..=path.len()).rev().find(|end| self.by_module.contains_key(&path[..*end]))?;
        let at = self.by_module[&path[..end]];
        let file = &self.files[at];
        let Some(name) = path.get(end).filter(|_| depth < 8) else { return Some(at) };
        let passed_on =
            file.source.uses.iter().find(|import| import.inner.is_empty() && import.name == *name);
        let Some(import) = passed_on else { return Some(at) };
        let Some(origin) = self.absolute(file, &[], &import.path) else { return Some(at) };
        self.resolve(&[&origin[..], &path[end + 1..]].concat(), depth + 1).or(Some(at))
    }
}

impl File {
    fn parse(dir: &str, name: &str, below: &str, text: &str) -> Self {
        let mut module: Module = vec![name.to_owned()];
        module.extend(below.trim_end_matches(".rs").split('/').map(str::to_owned));
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let source = Source::parse(&tokens(text));
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        Self {
            path: format!("{dir}/{below}"),
            lines: text.lines().count(),
            lines_of_product: product.lines().count(),
            is_test: false,
            module,
            source,
        }
    }
}

impl Source {
    fn parse(tokens: &[&str]) -> Self {
        let mut source = Self::default();
        let (mut at, mut depth, mut inner) = (0, 0_usize, Vec::<(String, usize)>::new());
        while let Some(token) = tokens.get(at) {
            let names = || inner.iter().map(|(name, _)| name.clone()).collect::<Module>();
            let next = |by: usize| tokens.get(at + by).copied().unwrap_or_default();
            match *token {
                "#" if next(1) == "[" => {
                    let end = closing(tokens, at + 1);
                    let is_test = is_for_tests(&tokens[at..end]);
                    at = end + 1;
                    if is_test {
                        at = source.skip_item(tokens, at);
                    }
                    continue;
                }
                "mod" if next(2) == "{" => inner.push((next(1).to_owned(), depth)),
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    inner.retain(|(_, outside)| *outside < depth);
                }
                "use" if next(1) != "<" => {
                    let end = (at..tokens.len()).find(|end| tokens[*end] == ";").unwrap_or(tokens.len());
                    let is_public = tokens[..at]
                        .iter()
                        .rev()
                        .take(12)
                        .take_while(|t| !"{};".contains(**t))
                        .any(|t| *t == "pub");
                    for (path, name) in leaves(&tokens[at + 1..end], &[]) {
                        source.uses.push(Use { inner: names(), path, name, is_public });
                    }
                    at = end;
                }
                word if is_word(word) => {
                    source.words.insert(word.to_owned());
                    let before = at.checked_sub(1).map_or("", |before| tokens[before]);
                    let mut path = vec![word.to_owned()];
                    while next(path.len() * 2 - 1) == "::" && is_word(next(path.len() * 2)) {
                        path.push(next(path.len() * 2).to_owned());
                    }
                    if path.len() > 1 && !matches!(before, "::" | ".") {
                        source.paths.push((names(), path));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }

    /// The end of an item that only tests compile; notes the file that it names, if it is `mod name;`.
    fn skip_item(&mut self, tokens: &[&str], mut at: usize) -> usize {
        while tokens.get(at) == Some(&"#") {
            at = closing(tokens, at + 1) + 1;
        }
        let start = at;
        while let Some(token) = tokens.get(at) {
            match *token {
                "(" | "[" => at = closing(tokens, at),
                "{" => return closing(tokens, at) + 1,
                "}" => return at,
                ";" => {
                    if let Some(name) = tokens[start..at].iter().position(|token| *token == "mod") {
                        self.tests.extend(tokens.get(start + name + 1).map(|name| (*name).to_owned()));
                    }
                    return at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        at
    }
}

fn joined(module: &[String], name: &str) -> Module {
    [module, &[name.to_owned()]].concat()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// True for `#[cfg(test)]`, `#[cfg(any(test, …))]` and `#[cfg(feature = "fuzzing")]`.
fn is_for_tests(attribute: &[&str]) -> bool {
    attribute.get(2) == Some(&"cfg")
        && !attribute.contains(&"not")
        && attribute.iter().any(|token| matches!(*token, "test" | "\"fuzzing\""))
}

/// The bracket that closes the one at `open`; the end if there is none.
fn closing(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// The paths of a `use`, each with the name that it has in the file.
fn leaves(tree: &[&str], before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut path = before.to_vec();
    let mut alias = None;
    for (at, token) in tree.iter().enumerate() {
        match *token {
            "{" => {
                let body = &tree[at + 1..closing(tree, at)];
                return branches(body).into_iter().flat_map(|branch| leaves(branch, &path)).collect();
            }
            "as" => {
                alias = tree.get(at + 1).map(|name| (*name).to_owned());
                break;
            }
            "self" if !path.is_empty() => {}
            word if is_word(word) => path.push(word.to_owned()),
            _ => {}
        }
    }
    let glob = tree.last() == Some(&"*");
    let name = alias.or_else(|| path.last().filter(|_| !glob).cloned()).unwrap_or_default();
    if path.is_empty() { Vec::new() } else { vec![(path, name)] }
}

/// What stands between the commas of a list, without those of lists in it.
fn branches<'a, 't>(body: &'a [&'t str]) -> Vec<&'a [&'t str]> {
    let (mut all, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in body.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                all.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&body[start..]);
    all.retain(|branch| !branch.is_empty());
    all
}

/// The words and signs of a source; comments are left out, and so are characters and lifetimes.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = string(rest) {
            found.push(&rest[..length]);
            length
        } else if first == '\'' {
            character(rest)
        } else if is_word(rest) {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(&rest[..length]);
            length
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            found.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    found
}

/// The length of a string at the beginning of `text`, raw or not.
fn string(text: &str) -> Option<usize> {
    let prefix = text.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|length| *length <= 2)?;
    let is_raw = text[..prefix].ends_with('r');
    let marks = text[prefix..].find(|c| c != '#').unwrap_or(0);
    let body = prefix + marks + 1;
    if !text[prefix + marks..].starts_with('"') || marks > 0 && !is_raw {
        return None;
    }
    if is_raw {
        let end = format!("\"{}", "#".repeat(marks));
        return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(body) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of a character or of the quote of a lifetime at the beginning of `text`.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let from = escaped + c.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        let files = files.iter().map(|(below, text)| File::parse("src", "own", below, text)).collect();
        Sources::new(files, vec!["own".to_owned()])
    }

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let sources = sources(files);
        let each = |(from, to): (&str, BTreeSet<&str>)| {
            to.into_iter().map(|to| format!("{} {}", &from[4..], &to[4..])).collect::<Vec<_>>()
        };
        sources.imports().into_iter().flat_map(each).collect()
    }

    #[test]
    fn imports_are_found_however_they_are_written() {
        let all = imports(&[
            ("lib.rs", "mod a; mod b; pub mod c;"),
            ("a.rs", "use crate::{c::{self, x::X as Y}, b};\nfn f() { b::g(); }"),
            (
                "b.rs",
                "fn g(l: &'static str) -> char { let s = \"crate::a\"; /* crate::a */ crate::c::y::h(); '\\'' } // crate::a",
            ),
            ("c/mod.rs", "mod x; pub mod y; pub use x::X;"),
            ("c/x.rs", "pub struct X; use super::y::h;"),
            ("c/y.rs", "pub fn h() {}"),
        ]);
        assert_eq!(all, ["a.rs b.rs", "a.rs c/mod.rs", "a.rs c/x.rs", "b.rs c/y.rs", "c/x.rs c/y.rs"]);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_its_file() {
        let all = imports(&[
            ("lib.rs", "mod a; mod c;"),
            ("a.rs", "use crate::c; fn f(x: c::X) {}"),
            ("c/mod.rs", "mod x; pub use self::x::X;"),
            ("c/x.rs", "pub struct X;"),
        ]);
        assert_eq!(all, ["a.rs c/mod.rs", "a.rs c/x.rs"]);
        let used = imports(&[("lib.rs", "mod x; pub use x::X; fn f(x: X) {}"), ("x.rs", "pub struct X;")]);
        assert_eq!(used, ["lib.rs x.rs"]);
    }

    #[test]
    fn tests_import_nothing() {
        let all = imports(&[
            ("lib.rs", "mod a; mod b; #[cfg(any(test, feature = \"fuzzing\"))] mod helpers;"),
            (
                "a.rs",
                "#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::b; fn f() { crate::b::g(); } }\nfn z() {}",
            ),
            ("b.rs", "#[cfg(test)]\nuse crate::a::z;\npub fn g() {}"),
            ("helpers.rs", "use crate::a;"),
        ]);
        assert_eq!(all, Vec::<String>::new());
    }
}
