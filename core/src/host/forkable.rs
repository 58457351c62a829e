//! Which scripts a shell that is already running can read in a subshell, instead of a shell that is started for each: a fork
//! costs a tenth of what the start of a program costs.
//!
//! The script must not be able to tell. What differs in a subshell is the name of the script, the number of its process,
//! and what the shell itself says in front of its messages, which [`Corrected`] makes good.

use std::io::{self, Write};

/// What tells a script in a subshell apart from one with a shell of its own.
const TELLING: [&[u8]; 8] = [b"$0", b"${0", b"$$", b"${$", b"PPID", b"LINENO", b"BASH", b"ZSH"];
/// More than the line number and the rest that a shell puts between its own name and its message.
const NUMBER_MAX: usize = 32;

/// True if a script for `/bin/sh` does the same in a subshell of `/bin/sh`.
pub(crate) fn is_forkable(text: &[u8]) -> bool {
    !text.contains(&0)
        && !TELLING.iter().any(|word| memchr::memmem::find(text, word).is_some())
        && !reads_others(text)
        && !text.split(|&b| b == b'\n').any(|line| line.starts_with(b"return"))
}

/// True if the script may read another one, which is not looked at: the command that does it stands where commands stand.
fn reads_others(text: &[u8]) -> bool {
    let commands: [&[u8]; 4] = [b". ", b".\t", b"source ", b"source\t"];
    commands
        .iter()
        .any(|command| memchr::memmem::find_iter(text, command).any(|at| is_command(text.get(..at))))
}

/// True if a word after `before` would be a command.
fn is_command(before: Option<&[u8]>) -> bool {
    const BEFORE_COMMANDS: [&[u8]; 10] =
        [b"then", b"else", b"elif", b"do", b"if", b"while", b"until", b"!", b"command", b"builtin"];
    let Some(before) = before else { return false };
    let end = before.iter().rposition(|b| !b" \t\\".contains(b)).map_or(0, |at| at + 1);
    let is_joined = end == before.len();
    let before = before.get(..end).unwrap_or_default();
    let start = before.iter().rposition(|b| b" \t\n;&|({`)".contains(b)).map_or(0, |at| at + 1);
    let word = before.get(start..).unwrap_or_default();
    // After a value for a variable there is a command, too.
    word.is_empty() || (!is_joined && (BEFORE_COMMANDS.contains(&word) || word.contains(&b'=')))
}

/// True if a background process of a script may still write when the script has ended.
pub(crate) fn has_background(text: &[u8]) -> bool {
    memchr::memchr_iter(b'&', text).any(|at| {
        let neighbour =
            |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|b| b"&<>".contains(b));
        !neighbour(at.checked_sub(1)) && !neighbour(at.checked_add(1))
    })
}

/// If the first line of an executable script names `/bin/sh`: whether it has the option `-e`, and no other.
pub(crate) fn plain_shell(text: &[u8]) -> Option<bool> {
    let line = text.split(|&b| b == b'\n').next()?.strip_prefix(b"#!")?;
    // What the kernel takes for blanks; a carriage return is a part of the name of another program.
    let mut words = line.split(|b| b" \t".contains(b)).filter(|word| !word.is_empty());
    match (words.next()?, words.next(), words.next()) {
        (b"/bin/sh", None, _) => Some(false),
        (b"/bin/sh", Some(b"-e"), None) => Some(true),
        _ => None,
    }
}

/// Standard error of a script in a subshell, with the script's name in the messages of the shell where the shell has put its own.
#[derive(Debug)]
pub(crate) struct Corrected<'a, W> {
    to: &'a mut W,
    /// The shell's name, colon and blank.
    shell: Vec<u8>,
    /// The script's name, colon and blank.
    script: Vec<u8>,
    /// The beginning of a line that may still turn out to be one of the shell's own messages.
    begun: Vec<u8>,
    is_inside: bool,
}

impl<'a, W: Write> Corrected<'a, W> {
    /// `shell` and `script` are names as the shell has them.
    pub(crate) fn new(to: &'a mut W, shell: &[u8], script: &[u8]) -> Self {
        let (shell, script) = ([shell, b": "].concat(), [script, b": "].concat());
        Self { to, shell, script, begun: Vec::new(), is_inside: false }
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.pass_on()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let begun = std::mem::take(&mut self.begun);
        self.is_inside = true;
        let Some(rest) = begun.strip_prefix(&self.shell[..]) else { return self.to.write_all(&begun) };
        if rest.starts_with(&self.script) {
            return self.to.write_all(rest);
        }
        self.to.write_all(&self.script)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, after) = rest.split_at(digits);
        // dash tells both names, with the line between them.
        match after.strip_prefix(b": ").and_then(|after| after.strip_prefix(&self.script[..])) {
            Some(message) if digits > 0 => self.to.write_all(&[number, b": ", message].concat()),
            _ => self.to.write_all(rest),
        }
    }

    fn is_decided(&self) -> bool {
        let common = self.begun.len().min(self.shell.len());
        self.begun.get(..common) != self.shell.get(..common)
            || self.begun.len() >= self.shell.len() + self.script.len() + NUMBER_MAX
    }
}

impl<W: Write> Write for Corrected<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            if self.is_inside {
                self.to.write_all(line)?;
            } else {
                self.begun.extend_from_slice(line);
                if line.ends_with(b"\n") || self.is_decided() {
                    self.pass_on()?;
                }
            }
            self.is_inside &= !line.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_subshell_would_change_has_its_own_shell() {
        for text in [
            "echo a",
            "#!/bin/sh -e\n# It ends. So\nls ./x; f() { return 1; }\n  return",
            "a=${1#.}",
            "cd ..\n",
        ] {
            assert!(is_forkable(text.as_bytes()), "{text}");
        }
        for text in [
            "echo $0",
            "${0##*/}",
            "kill $$",
            "ps $PPID",
            ". ./x",
            "if . /x; then",
            "a;. x",
            "return 3",
            "\0",
            "source x",
        ] {
            assert!(!is_forkable(text.as_bytes()), "{text}");
        }
        for (text, expected) in
            [("a && b >&2 2>&1", false), ("sleep 3 &", true), ("a &\nb", true), ("a 3<&-", false)]
        {
            assert_eq!(has_background(text.as_bytes()), expected, "{text}");
        }
        for (text, expected) in [
            ("#!/bin/sh\n", Some(false)),
            ("#! /bin/sh -e\n", Some(true)),
            ("#!/bin/sh -eu\n", None),
            ("#!/bin/sh \t\n", Some(false)),
            ("#!/bin/sh\r\n", None),
            ("#!/bin/sh -e\r\n", None),
            ("#!/bin/sh -e -u\n", None),
            ("#!/bin/bash\n", None),
            ("echo", None),
        ] {
            assert_eq!(plain_shell(text.as_bytes()), expected, "{text}");
        }
    }

    fn corrected(pieces: &[&[u8]]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut to = Corrected::new(&mut all, b"/w/batch-1", b"/w/script");
        pieces.iter().for_each(|piece| to.write_all(piece).unwrap());
        to.finish().unwrap();
        all
    }

    /// As dash, busybox and bash say it.
    #[test]
    fn messages_of_the_shell_name_the_script() {
        for (said, expected) in [
            ("/w/batch-1: 7: /w/script: x: not found\n", "/w/script: 7: x: not found\n"),
            ("/w/batch-1: 7: cd: can't cd to x\n", "/w/script: 7: cd: can't cd to x\n"),
            ("/w/batch-1: /w/script: line 7: x: not found", "/w/script: line 7: x: not found"),
            ("/w/batch-1: cd: line 7: can't\n", "/w/script: cd: line 7: can't\n"),
            ("/w/script: line 7: x: command not found\n", "/w/script: line 7: x: command not found\n"),
            ("a /w/batch-1: 7: x\n/w/batch", "a /w/batch-1: 7: x\n/w/batch"),
        ] {
            assert_eq!(String::from_utf8(corrected(&[said.as_bytes()])).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop_oneof!["/w/batch-1: ", "7: ", "/w/script: ", "\n", "[a-z/]{0,50}"], 0..12),
            at in any::<prop::sample::Index>(),
        ) {
            let text = parts.concat().into_bytes();
            let (left, right) = text.split_at(at.index(text.len() + 1));
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(corrected(&[left, right]), corrected(&[&text]));
            prop_assert_eq!(corrected(&bytes), corrected(&[&text]));
        }
    }
}
