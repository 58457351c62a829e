//! The rules for a target that is reached by commands of the administrator's, which may put words between double quotes: a
//! script like `guard.sh` does not get there whole. The target only lists the way, and it is judged here.

use std::path::{Path, PathBuf};

use super::Flaw;
use super::rules::{Component, ComponentKind, Use, flaw};

/// What a target has said about the way to a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// What is wrong with the way, if something is.
    pub(crate) flaw: Option<String>,
    /// The way without symbolic links; `None` if not all of it is there.
    pub(crate) real: Option<PathBuf>,
}

/// A command for `/bin/sh -c` that lists the directories on the way to `dir`, itself among them. `quoted` makes a path a
/// word. There is no character in it, but those of `dir`, that is special between double quotes.
pub(crate) fn list_command(dir: &Path, quoted: impl Fn(&Path) -> String) -> String {
    let mut way: Vec<String> = dir.ancestors().map(&quoted).collect();
    way.reverse();
    format!("id -u; ls -ldn -- {} 2>/dev/null; cd -P -- {} 2>/dev/null && pwd -P", way.join(" "), quoted(dir))
}

/// Reads what [`list_command`] has printed. For other users than root, and where there is no `id` or `ls`, there is nothing
/// wrong.
pub(crate) fn read_listing(text: &str) -> Listing {
    let mut listing = Listing::default();
    let mut is_root = false;
    for line in text.lines() {
        if line.starts_with('/') {
            listing.real = Some(PathBuf::from(line));
        } else if line == "0" {
            is_root = true;
        } else if is_root && listing.flaw.is_none() {
            listing.flaw = said_of(line);
        }
    }
    listing
}

/// What is wrong with the component that a line of `ls -ldn` shows.
fn said_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (mode, owner) = (words.next()?.as_bytes(), words.nth(1)?.parse().ok()?);
    let is = |at: usize, letters: &[u8]| mode.get(at).is_some_and(|letter| letters.contains(letter));
    let kind = if is(0, b"l") { ComponentKind::Link } else { ComponentKind::Directory };
    let bits = [(is(5, b"w"), 0o020), (is(8, b"w"), 0o002), (is(9, b"tT"), 0o1000)];
    let mode = bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
    let shown = line.get(line.find(" /")? + 1..)?;
    // Behind a link's name stands where it leads to.
    let name = if kind == ComponentKind::Link { shown.split(" -> ").next()? } else { shown };
    Some(match flaw(&Component { kind, owner, mode }, Use::Passed, 0)? {
        Flaw::Owner => format!("{name} belongs to user {owner}, who could change what root does there"),
        _ => format!("{name} is writable by group or others"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_has_nothing_special_and_lists_all() {
        let command = list_command(Path::new("/var/lib"), |path| path.display().to_string());
        assert_eq!(
            command,
            "id -u; ls -ldn -- / /var /var/lib 2>/dev/null; cd -P -- /var/lib 2>/dev/null && pwd -P"
        );
        assert!(!command.contains(['"', '$', '`', '\\']));
    }

    #[test]
    fn the_table() {
        for (line, expected) in [
            ("drwxr-xr-x 1 0 0 4096 Nov 30 19:00 /var", None),
            ("drwxrwxrwt. 9 0 0 4096 Nov 30 19:00 /tmp", None),
            ("lrwxrwxrwx 1 0 0 3 Nov 30 19:00 /l -> tmp", None),
            ("drwxrwxr-x 1 0 50 4096 Nov 30 19:00 /srv", Some("/srv is writable by group or others")),
            ("drwxr-xrwx 1 0 0 4096 2026-11-30 /a b", Some("/a b is writable by group or others")),
            (
                "drwxr-xr-x 1 1234 0 4096 Nov 30 19:00 /home/x",
                Some("/home/x belongs to user 1234, who could change what root does there"),
            ),
            (
                "lrwxrwxrwx 1 7 0 3 Nov 30 19:00 /l -> tmp",
                Some("/l belongs to user 7, who could change what root does there"),
            ),
            ("Welcome to this host /x", None),
        ] {
            let listing = read_listing(&format!("hello\n0\n{line}\n/var\n"));
            assert_eq!(listing.flaw.as_deref(), expected, "{line}");
            assert_eq!(listing.real, Some("/var".into()));
            let of_user = read_listing(&format!("1000\n{line}\n/var\n"));
            assert_eq!(of_user, Listing { flaw: None, real: Some("/var".into()) });
        }
    }

    proptest! {
        #[test]
        fn no_listing_is_a_panic(text in "(0\n)?.*\n.*") {
            read_listing(&text);
        }
    }
}
