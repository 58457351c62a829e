//! What the command line says: help texts, usage errors; and that no words make it panic.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use clap::{Command, error::ErrorKind};
use proptest::prelude::*;

use crate::args;

fn command() -> Command {
    let mut command = args::command().term_width(100);
    command.build();
    command
}

/// The command of these words and all below it.
fn help_texts(command: &Command, texts: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    texts.push((name, command.clone().term_width(100).render_help().to_string()));
    for inner in command.get_subcommands() {
        help_texts(inner, texts);
    }
}

#[test]
fn help_texts_are_as_reviewed() {
    let mut texts = Vec::new();
    help_texts(&command(), &mut texts);
    for (name, text) in texts {
        insta::assert_snapshot!(format!("help_of_{name}"), text);
    }
}

#[test]
fn every_option_of_config_has_a_heading() {
    let command = command();
    let config = command.find_subcommand("config").unwrap();
    for argument in config.get_arguments().filter(|argument| argument.get_id() != "help") {
        let heading = argument.get_help_heading().unwrap_or_else(|| panic!("{} has none", argument.get_id()));
        assert!(["Hosts", "Configuration", "Target", "Work", "Output"].contains(&heading), "{heading}");
    }
}

fn error(words: &str) -> clap::Error {
    let words = std::iter::once("cdist").chain(words.split_whitespace());
    command().try_get_matches_from(words).unwrap_err()
}

#[test]
fn usage_errors_are_as_reviewed() {
    let mut text = String::new();
    for words in [
        "confg",
        "--nonsense",
        "config --nonsense h",
        "config --remote h",
        "config -l",
        "config -l -2 h",
        "config -l many h",
        "config --colors maybe h",
        "config -j h",
        "config -j 0 h",
        "config -p -2 h",
        "config -R zip h",
        "config -4 -6 h",
        "config --chroot --local h",
        "install --local --remote-exec x h",
        "plugin",
        "plugin inspect",
        "plugin install",
        "plugin remove a b",
        "inventory",
        "inventory rename x",
        "inventory list -z",
        "info one two",
        "shell bash",
        "shell -s",
        "banner loud",
        "new-type",
        "new-type __a __b",
        "check-type",
        "check-type --strict",
    ] {
        let error = error(words);
        assert_eq!(error.exit_code(), 2, "{words}");
        text.push_str(&format!("$ cdist {words}\n{error}\n"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn options_have_the_names_of_the_original() {
    for (name, shorts, longs) in [
        (
            "config",
            "hlqvbg46CcijnoPRrSIAafpst",
            "help log-level quiet verbose beta colors config-file force-ipv4 force-ipv6 cache-path-pattern conf-dir \
             initial-manifest jobs log-server dry-run out-dir timestamp use-archiving remote-out-dir remote-copy \
             remote-exec disable-saving-output-streams inventory all-tagged all file parallel sequential tag",
        ),
        ("info", "haceFfgt", "help all conf-dir global-explorers fixed-string full config-file types"),
        ("shell", "hlqvs", "help log-level quiet verbose colors shell"),
        ("banner", "hlqv", "help log-level quiet verbose"),
    ] {
        let command = command();
        let found = command.find_subcommand(name).unwrap();
        for short in shorts.chars() {
            assert!(found.get_arguments().any(|a| a.get_short() == Some(short)), "{name} -{short}");
        }
        for long in longs.split_whitespace() {
            assert!(found.get_arguments().any(|a| a.get_long() == Some(long)), "{name} --{long}");
        }
    }
    let common = ["log-level", "quiet", "verbose", "beta", "colors", "config-file", "inventory", "file"];
    for (name, own) in [
        ("list", "all host-only tag"),
        ("add-host", ""),
        ("del-host", "all"),
        ("add-tag", "taglist tag-file"),
        ("del-tag", "all taglist tag-file"),
    ] {
        let command = command();
        let inventory = command.find_subcommand("inventory").unwrap();
        let found = inventory.find_subcommand(name).unwrap();
        for long in own.split_whitespace().chain(common) {
            assert!(found.get_arguments().any(|a| a.get_long() == Some(long)), "inventory {name} --{long}");
        }
    }
}

#[test]
fn long_options_may_be_shortened() {
    for words in [
        "config --dry h",
        "config --remote-e x h",
        "install --cache-path=x h",
        "inventory list --host x",
        "info --fixed x",
        "shell --sh x",
        "check-type --str x",
        "new-type --man __x",
    ] {
        let words = std::iter::once("cdist").chain(words.split_whitespace());
        command().try_get_matches_from(words).unwrap();
    }
}

/// Words that mean something, and any other.
fn word() -> impl Strategy<Value = OsString> {
    let mut known: Vec<String> = Vec::new();
    let mut waiting = vec![command()];
    while let Some(command) = waiting.pop() {
        known.push(command.get_name().to_owned());
        for argument in command.get_arguments() {
            known.extend(argument.get_short().map(|short| format!("-{short}")));
            known.extend(argument.get_long().map(|long| format!("--{long}")));
        }
        waiting.extend(command.get_subcommands().cloned());
    }
    known.extend(
        ["--", "-", "", "-1", "0", "99999999999999999999", "__t", "=", "--=", "-vvvvl3"].map(str::to_owned),
    );
    prop_oneof![
        4 => prop::sample::select(known).prop_map(OsString::from),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
        1 => "-{0,2}[a-zA-Z46=-]{0,6}".prop_map(OsString::from),
    ]
}

proptest! {
    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(word(), 0..8)) {
        match args::parse("cdist".into(), words) {
            Ok(_) => {}
            Err(error) => {
                let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                prop_assert_eq!(error.exit_code(), if wanted { 0 } else { 2 });
                prop_assert!(!error.to_string().trim().is_empty());
            }
        }
    }
}
