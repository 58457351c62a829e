//! The man page, in reStructuredText as the types of the distribution have it.

use std::{collections::BTreeSet, path::Path};

use super::{Findings, declared::Declared, references::has_word};

pub(super) fn check(dir: &Path, name: &str, declared: &Declared, findings: &mut Findings) {
    let path = dir.join("man.rst");
    if !path.is_file() {
        findings.warning(dir, "has no man page; write man.rst");
        return;
    }
    let Some(bytes) = findings.read(&path) else { return };
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("\r\n") {
        findings.warning(&path, "has DOS line ends; convert it with dos2unix");
    }
    let page = Page::read(&text);
    let title = format!("cdist-type{name}(7)");
    match page.title {
        Some(found) if found == title => {}
        Some(found) => findings.warning(&path, format!("is titled '{found}'; the title has to be '{title}'")),
        None => findings.warning(&path, format!("is empty; begin it with the title '{title}'")),
    }
    for heading in &page.short_lines {
        findings.warning(
            &path,
            format!("the line under '{heading}' is shorter than the heading; make it as long"),
        );
    }
    for parameter in declared.keys() {
        let listed = page.terms.contains(parameter.as_str()) || page.bare.contains(parameter.as_str());
        let mentioned =
            has_word(&text, &format!("--{parameter}")) || !page.has_parameters && has_word(&text, parameter);
        if !listed && !mentioned && !page.elsewhere {
            findings.warning(
                &path,
                format!("does not describe the parameter '{parameter}'; add it under PARAMETERS"),
            );
        }
    }
    for term in page.terms.iter().filter(|term| !declared.contains_key(**term)) {
        findings.warning(
            &path,
            format!("describes the parameter '{term}', which is not declared; remove it or declare it"),
        );
    }
}

/// What matters of a page.
#[derive(Debug, Default)]
struct Page<'a> {
    /// The first line with text.
    title: Option<&'a str>,
    /// Headings whose line of dashes is too short for a reader of reStructuredText.
    short_lines: Vec<&'a str>,
    /// There is a section about parameters that lists some.
    has_parameters: bool,
    /// The names that such sections describe.
    terms: BTreeSet<&'a str>,
    /// What may be such a name without description.
    bare: BTreeSet<&'a str>,
    /// Such a section sends the reader to the page of another type.
    elsewhere: bool,
}

impl<'a> Page<'a> {
    fn read(text: &'a str) -> Self {
        // One more, so that the last line is followed by one, too.
        let lines: Vec<&str> = text.lines().chain([""]).map(str::trim_end).collect();
        let mut page = Self { title: lines.iter().find(|line| !line.is_empty()).copied(), ..Self::default() };
        let mut in_parameters = false;
        for pair in lines.windows(2) {
            let [line, next] = pair else { continue };
            if line.is_empty() || line.starts_with([' ', '\t']) {
                continue;
            }
            if is_underline(next) && !is_underline(line) {
                in_parameters = line.to_uppercase().contains("PARAMETERS");
                if next.chars().count() < line.chars().count() {
                    page.short_lines.push(line);
                }
            } else if in_parameters && next.starts_with([' ', '\t']) && !line.starts_with("..") {
                page.has_parameters = true;
                page.terms.extend(names_in(line));
            } else if in_parameters {
                page.bare.extend(names_in(line));
                page.elsewhere |= line.contains("cdist-type__");
            }
        }
        page
    }
}

/// A line of one punctuation mark, at least three times.
fn is_underline(line: &str) -> bool {
    let mut characters = line.chars();
    let first = characters.next();
    first.is_some_and(|c| "=-~^\"'`*+#.:_".contains(c))
        && line.len() >= 3
        && characters.all(|c| Some(c) == first)
}

/// The parameters of a line such as "before, after (boolean)". A line of prose has none.
fn names_in(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let line = match line.split_once(" (") {
        Some((names, note)) if note.ends_with(')') => names,
        _ => line,
    };
    for part in line.split(',') {
        let name = part.trim().trim_matches('`').trim_start_matches('-');
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || !name.chars().all(good) {
            return Vec::new();
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    const DECLARED: [(&str, &str); 2] = [
        ("parameter/optional", "before\nafter\nlost\n"),
        ("gencode-remote", "#!/bin/sh -e\nls \"$__object/parameter\"\n"),
    ];

    fn found_in(man: &str) -> Vec<String> {
        found(&[DECLARED.as_slice(), &[("man.rst", man)]].concat())
    }

    #[test]
    fn parameters_and_titles() {
        let lines = found_in(
            "cdist-type__other(7)\n=======\n\nPARAMETERS\n----------\nbefore, after (boolean)\n  One of them.\n\ngone\n    Was here.\n\nNOTES\n-----\nterm\n  no parameter\n",
        );
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_page_without_list_may_name_them_anywhere() {
        let lines = found_in("cdist-type__t(7)\n================\n\nWith before, after or --lost.\n");
        assert_eq!(lines, [""; 0]);
    }

    #[test]
    fn a_list_may_have_names_without_description() {
        let man =
            "cdist-type__t(7)\n================\n\nPARAMETERS\n----------\nbefore\n   x\n\nafter\n\nlost\n";
        assert_eq!(found_in(man), [""; 0]);
    }

    #[test]
    fn another_page_may_describe_them() {
        let man = "cdist-type__t(7)\n================\n\nPARAMETERS\n----------\nSee cdist-type__file(7).\n";
        assert_eq!(found_in(man), [""; 0]);
        let man = "cdist-type__t(7)\n================\n\nSEE ALSO\n--------\ncdist-type__file(7).\n";
        assert_eq!(found_in(man).len(), 3);
    }

    #[test]
    fn an_empty_page() {
        let lines = found_in("\n");
        assert!(lines[0].contains("does not describe the parameter 'after'"), "{lines:?}");
        assert!(lines.last().unwrap().contains("is empty; begin it with"), "{lines:?}");
    }
}
