//! Completions and man pages, made from the same description of the command line that parses it.
//!
//! Not a command for users: `make build` calls it to fill the staged layout.

mod manual_page;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use self::manual_page::to_roff;
use crate::{args, terminal::failure::Failure};

/// The first word of the command line. After it comes the directory that holds `share` with the types, and is to hold the
/// rest.
pub(crate) const WORD: &str = "--write-reference";

/// Where each shell looks for completions below a prefix such as /usr.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/cdist"),
    (Shell::Zsh, "share/zsh/site-functions/_cdist"),
    (Shell::Fish, "share/fish/vendor_completions.d/cdist.fish"),
];
const MAN_DIR: &str = "share/man";
/// Where the types are, each with its page.
const TYPES: &str = "share/cdist/conf/type";
const SOURCE: &str = concat!("cdist ", env!("CARGO_PKG_VERSION"));

/// Variables that more than one command reads. Those in capitals can be set in a file too, see `docs/config.md`.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("CDIST_BETA", "allows what is not stable yet, unless it is 0, no, off or false"),
    ("CDIST_CACHE_PATH_PATTERN", "name of a host's place in the cache, as with -C"),
    ("CDIST_COLORED_OUTPUT", "when log lines have colours: always, never or auto"),
    ("CDIST_CONFIG_FILE", "one more file with settings"),
    ("CDIST_INVENTORY_DIR", "inventory directory"),
    ("CDIST_LOCAL_SHELL", "shell for scripts on this machine that are not executable"),
    ("CDIST_PATH", "configuration directories, with colons between"),
    ("CDIST_PREOS_PATH", "directories with PreOS plugins, with colons between"),
    ("CDIST_REMOTE_COPY, CDIST_REMOTE_EXEC", "commands that copy to a target, and run a command there"),
    ("CDIST_REMOTE_SHELL", "shell for scripts on a target"),
    ("CDIST_SSH_CONFIG", "configuration for ssh, as with --ssh-config"),
    ("NO_COLOR", "no colours by default, whatever it holds"),
    ("TMPDIR", "where temporary directories are made"),
];
const FILES: [(&str, &str); 5] = [
    ("/etc/cdist.cfg", "settings of this machine"),
    ("~/.cdist.cfg, else ~/.config/cdist/cdist.cfg", "settings of the user"),
    ("~/.cdist", "configuration directory of the user; cache/ holds what the last runs have left"),
    ("~/.cdist/inventory", "hosts and their tags"),
    ("~/.cdist/trigger", "jobs, machines and logs of the trigger server; --state-dir names another"),
];
const EXIT_STATUS: [(&str, &str); 4] = [
    ("0", "all is done"),
    ("1", "something failed, or was refused"),
    ("2", "wrong usage"),
    ("128 + N", "ended by signal N"),
];

/// Writes everything below the directory that the words name.
pub(crate) fn write(words: &[OsString]) -> Result<i32, Failure> {
    let [prefix] = words else { return Err(Failure::usage(format!("{WORD} takes one directory"))) };
    let prefix = Path::new(prefix);
    for (shell, name) in COMPLETIONS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut args::command(), "cdist", &mut text);
        put(&prefix.join(name), &text)?;
    }
    for (name, text) in pages(args::command()) {
        put(&prefix.join(MAN_DIR).join("man1").join(name), &text)?;
    }
    for entry in fs::read_dir(prefix.join(TYPES)).into_iter().flatten().flatten() {
        // A type without page is what check-type complains about.
        let Ok(text) = fs::read_to_string(entry.path().join("man.rst")) else { continue };
        let name = format!("cdist-type{}", entry.file_name().to_string_lossy());
        let path = prefix.join(MAN_DIR).join("man7").join(format!("{name}.7"));
        put(&path, to_roff(&text, &name, SOURCE).as_bytes())?;
    }
    Ok(0)
}

fn put(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, text));
    written.map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
}

/// The man pages of the program and of all commands: file name and text.
fn pages(mut command: Command) -> Vec<(String, Vec<u8>)> {
    // Gives the commands their full names.
    command.build();
    let mut all = Vec::new();
    collect(&command, &mut all);
    all
}

fn collect(command: &Command, all: &mut Vec<(String, Vec<u8>)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, all);
    }
    // A date that is empty would be left out, and the source taken for it.
    let man = Man::new(command.clone()).date(" ").source(SOURCE).manual("cdist");
    let mut text = Vec::new();
    // A vector takes everything.
    let _ = man.render(&mut text);
    if command.get_name() == "cdist" {
        for (title, rows) in
            [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES[..]), ("EXIT STATUS", &EXIT_STATUS[..])]
        {
            text.extend(section(title, rows).render().into_bytes());
        }
    } else {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"])
            .text([bold("cdist"), roman("(1) has environment, files and exit status.")]);
        text.extend(roff.render().into_bytes());
    }
    all.push((man.get_filename(), text));
}

fn section(title: &str, rows: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, meaning) in rows {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let names: Vec<String> = pages(args::command()).into_iter().map(|(name, _)| name).collect();
        for command in args::command().get_subcommands() {
            assert!(names.contains(&format!("cdist-{}.1", command.get_name())), "{names:?}");
        }
        assert!(names.contains(&"cdist-inventory-add-tag.1".to_owned()), "{names:?}");
    }

    #[test]
    fn all_is_written_below_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join(TYPES).join("__t/man.rst");
        fs::create_dir_all(page.parent().unwrap()).unwrap();
        fs::write(
            page,
            "cdist-type__t(7)\n================\n\nNAME\n----\ncdist-type__t - test the pages of all types\n",
        )
        .unwrap();
        assert_eq!(write(&[dir.path().into()]).unwrap(), 0);
        for name in [
            "share/bash-completion/completions/cdist",
            "share/man/man1/cdist.1",
            "share/man/man7/cdist-type__t.7",
        ] {
            assert!(fs::metadata(dir.path().join(name)).unwrap().len() > 50, "{name}");
        }
        assert_eq!(write(&[]).unwrap_err().status, 2);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(write(&[dir.path().join("file").into()]).unwrap_err().status, 1);
    }
}
