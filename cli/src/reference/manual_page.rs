//! The man pages of types, `man.rst`, as pages that man(1) shows.
//!
//! Not all of reStructuredText: title, sections, paragraphs, definitions, lists, literal blocks and ``words``, which is
//! what pages of types are made of. Anything else comes out as the text that it is.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// The page in the language of man(1). `source` names the program.
pub(crate) fn to_roff(text: &str, name: &str, source: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut page = Page { roff: Roff::new(), lines: &lines, at: 0 };
    // A date that is empty would be left out, and the source taken for it.
    page.roff.control("TH", [name, "7", " ", source, "cdist"]);
    // A long word would leave gaps in a line that has to reach the margin.
    page.roff.control("ad", ["l"]);
    // The first heading is the title, which is in the header already.
    if page.is_heading() {
        page.at += 2;
    }
    page.body(0);
    page.roff.to_roff()
}

struct Page<'a> {
    roff: Roff,
    lines: &'a [&'a str],
    at: usize,
}

impl<'a> Page<'a> {
    fn line(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    /// Everything that is indented by `indent` at least.
    fn body(&mut self, indent: usize) {
        while let Some(line) = self.line() {
            if line.is_empty() {
                self.at += 1;
                continue;
            }
            let depth = depth_of(line);
            if depth < indent {
                return;
            }
            if indent == 0 && self.is_heading() {
                self.roff.control("SH", [line]);
                self.at += 2;
            } else if let Some(directive) = line.trim_start().strip_prefix(".. ") {
                self.at += 1;
                self.directive(directive, depth);
            } else if depth > indent {
                self.roff.control("RS", []);
                self.body(depth);
                self.roff.control("RE", []);
            } else {
                self.paragraph_or_definition(depth);
            }
        }
    }

    /// A line above one of punctuation marks.
    fn is_heading(&self) -> bool {
        let mark = |line: &str| {
            let first = line.chars().next().filter(char::is_ascii_punctuation);
            line.len() > 2 && first.is_some_and(|first| line.chars().all(|c| c == first))
        };
        let next = self.lines.get(self.at + 1);
        self.line().is_some_and(|line| !line.is_empty() && !mark(line)) && next.is_some_and(|line| mark(line))
    }

    /// Code is shown as it is. Of other directives, which no type has so far, the content is.
    fn directive(&mut self, directive: &str, depth: usize) {
        if directive.starts_with("code-block::") || directive.starts_with("code::") {
            self.literal(depth);
        }
    }

    fn literal(&mut self, depth: usize) {
        let mut block: Vec<&str> = Vec::new();
        while let Some(line) = self.line().filter(|line| line.is_empty() || depth_of(line) > depth) {
            block.push(line);
            self.at += 1;
        }
        let filled = |line: &&&str| !line.is_empty();
        let margin = block.iter().filter(filled).map(|line| depth_of(line)).min().unwrap_or(0);
        let from = block.iter().position(|line| !line.is_empty()).unwrap_or(block.len());
        let to = block.iter().rposition(|line| !line.is_empty()).map_or(from, |last| last + 1);
        self.roff.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in block.get(from..to).unwrap_or_default() {
            self.roff.text([roman(line.get(margin..).unwrap_or_default())]);
        }
        self.roff.control("fi", []).control("RE", []);
    }

    /// Lines of one depth, up to an empty one; with deeper lines right below them they are what those define.
    fn paragraph_or_definition(&mut self, depth: usize) {
        let mut words: Vec<&str> = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty() && depth_of(line) == depth) {
            // Each item of a list is a paragraph.
            if !words.is_empty() && line.trim_start().starts_with("- ") {
                break;
            }
            words.push(line.trim_start());
            self.at += 1;
        }
        let mut text = words.join(" ");
        let inner = self.line().filter(|line| !line.is_empty()).map(depth_of).filter(|inner| *inner > depth);
        if let Some(rest) = text.strip_prefix("- ") {
            let mut item = rest.to_owned();
            while let Some(line) = self.line().filter(|line| !line.is_empty() && depth_of(line) > depth) {
                item = format!("{item} {}", line.trim_start());
                self.at += 1;
            }
            self.roff.control("IP", ["\\[u2022]", "2"]).text(inlines(&item));
        } else if let Some(inner) = inner {
            self.roff.control("TP", []).text([bold(text.replace("``", ""))]);
            self.definition(inner);
        } else {
            let literal = text.ends_with("::");
            if literal {
                text.pop();
            }
            self.roff.control("PP", []).text(inlines(&text));
            if literal {
                self.literal(depth);
            }
        }
    }

    /// What is defined: the first paragraph belongs to the term, further ones are indented like it.
    fn definition(&mut self, depth: usize) {
        let mut words: Vec<&str> = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty() && depth_of(line) == depth) {
            words.push(line.trim_start());
            self.at += 1;
        }
        self.roff.text(inlines(&words.join(" ")));
        let next = self.lines.get(self.at..).unwrap_or_default().iter().find(|line| !line.is_empty());
        if next.is_some_and(|line| depth_of(line) >= depth) {
            self.roff.control("RS", []);
            self.body(depth);
            self.roff.control("RE", []);
        }
    }
}

fn depth_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Text with ``literal`` words in bold.
fn inlines(text: &str) -> Vec<Inline> {
    let mut all = Vec::new();
    for (i, part) in text.split("``").enumerate().filter(|(_, part)| !part.is_empty()) {
        all.push(if i % 2 == 1 { bold(part) } else { roman(part) });
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_with_everything() {
        let text = "\
cdist-type__t(7)
================

NAME
----
cdist-type__t - for tests

DESCRIPTION
-----------
Two lines with ``a literal``
make a paragraph; \\backslash.
.starts with a dot

PARAMETERS
----------
state
    ``present`` or
    ``absent``.

    A second paragraph.

before, after (boolean)
    Nested:

    one
        Deeper.

- first
  goes on
- second

EXAMPLES
--------
.. code-block:: sh

    __t x <<TEXT
    'quoted' .dot
        indented \\n
    TEXT

As it is::

    kept  as is
";
        insta::assert_snapshot!(to_roff(text, "cdist-type__t", "cdist 1"));
    }

    #[test]
    fn pages_without_title_or_text() {
        for text in ["", "\n\n", "---", "x", "    deep", ".. code-block:: sh", "a\n\tb\n  c\n d"] {
            assert!(to_roff(text, "n", "s").contains(".TH"), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn ends_for_any_text(text in "([ a-z.`:=-]{0,6}\n{1,2}){0,12}|(?s).{0,60}") {
            let _ = to_roff(&text, "n", "s");
        }
    }
}
