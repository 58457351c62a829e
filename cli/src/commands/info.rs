//! `cdist info`: the types and global explorers of all configuration directories.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, process::ExitCode};

use cdist_core::config::{
    ParameterKind, Type,
    catalogue::Catalogue,
    log::{Level, LogSink},
};
use glob::Pattern;

use crate::{
    commands::conf_args::ConfArgs,
    layout::Layout,
    terminal::{
        log_lines::{LogLines, is_colored},
        printable::line,
        refusal::Refusal,
        stdout,
    },
};

/// The options of `cdist info`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// Names to list: with ?, * or [ a pattern, else a part of the name
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// List explorers and types (the default)
    #[arg(short, long)]
    all: bool,
    /// List global explorers
    #[arg(short = 'e', long)]
    global_explorers: bool,
    /// List types
    #[arg(short, long)]
    types: bool,
    /// PATTERN is the whole name
    #[arg(short = 'F', long)]
    fixed_string: bool,
    /// Tell what each type is, and its parameters
    #[arg(short, long)]
    full: bool,
    #[command(flatten)]
    conf: ConfArgs,
}

/// Runs the command; a failure is one line on standard error and exit status 1.
pub(crate) fn run(args: &InfoArgs) -> ExitCode {
    let log = LogLines { colored: is_colored(None), ..LogLines::new() };
    match list(args).and_then(|text| Ok(stdout::write(|out| out.write_all(&text))?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            log.log(Level::Error, "cdist", &refusal.0);
            ExitCode::FAILURE
        }
    }
}

fn list(args: &InfoArgs) -> Result<Vec<u8>, Refusal> {
    let wanted = Wanted::new(args)?;
    let settings = args.conf.settings()?;
    let catalogue = Catalogue::scan(&args.conf.conf_dirs(&settings, &Layout::find()?))?;
    let both = args.all || args.types == args.global_explorers;
    let mut text = Vec::new();
    if both || args.global_explorers {
        for path in catalogue.explorers.iter().filter(|path| wanted.matches(path)) {
            write_path(&mut text, path);
        }
    }
    if both || args.types {
        for kind in catalogue.types.iter().filter(|kind| wanted.matches(&kind.dir)) {
            write_path(&mut text, &kind.dir);
            if args.full {
                text.extend(details(kind).into_bytes());
            }
        }
    }
    Ok(text)
}

/// Paths are bytes: what is printed can be opened.
fn write_path(text: &mut Vec<u8>, path: &Path) {
    text.extend(path.as_os_str().as_bytes());
    text.push(b'\n');
}

/// Which names to list.
enum Wanted {
    All,
    Exactly(String),
    Like(Pattern),
}

impl Wanted {
    fn new(args: &InfoArgs) -> Result<Self, Refusal> {
        let Some(word) = &args.pattern else { return Ok(Self::All) };
        if args.fixed_string {
            return Ok(Self::Exactly(word.clone()));
        }
        let pattern = if word.contains(['?', '*', '[']) { word.clone() } else { format!("*{word}*") };
        let pattern = Pattern::new(&pattern).map_err(|error| {
            Refusal(format!("the pattern '{word}' is none: {}; use -F for a name as it is", error.msg))
        })?;
        Ok(Self::Like(pattern))
    }

    fn matches(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        match self {
            Self::All => true,
            Self::Exactly(word) => name == OsStr::new(word),
            Self::Like(pattern) => pattern.matches(&name.to_string_lossy()),
        }
    }
}

/// What a type is and its parameters, each line after a tab.
fn details(kind: &Type) -> String {
    let mut words = vec![if kind.is_install() { "install" } else { "config" }];
    words.extend(kind.is_singleton().then_some("singleton"));
    words.push(if kind.is_nonparallel() { "nonparallel" } else { "parallel" });
    words.extend(kind.deprecated().map(|_| "deprecated"));
    let mut text = format!("\t{}\n", words.join(", "));
    let mut parameters = kind.parameters();
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    for (class, file) in ParameterKind::ALL {
        let mut of_class = parameters.iter().filter(|p| p.kind == class).peekable();
        if of_class.peek().is_some() {
            text.push_str(&format!("\t{} parameters:\n", file.replace('_', " ")));
        }
        for parameter in of_class {
            let default = parameter.default.as_ref();
            let mut notes: Vec<String> =
                default.map(|text| format!("default: {}", shown(text))).into_iter().collect();
            notes.extend(kind.parameter_deprecated(&parameter.name).map(|_| "deprecated".to_owned()));
            text.push_str(&format!("\t\t{}", shown(parameter.name.as_bytes())));
            if !notes.is_empty() {
                text.push_str(&format!(" ({})", notes.join(", ")));
            }
            text.push('\n');
        }
    }
    text
}

/// Text of a type on one line, safe for a terminal.
fn shown(text: &[u8]) -> String {
    line(&String::from_utf8_lossy(text))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn args(pattern: &str, fixed_string: bool) -> InfoArgs {
        let conf = ConfArgs { conf_dir: Vec::new(), config_file: None };
        let pattern = Some(pattern.to_owned());
        InfoArgs {
            pattern,
            all: false,
            global_explorers: false,
            types: false,
            fixed_string,
            full: false,
            conf,
        }
    }

    #[test]
    fn details_of_a_type_with_everything() {
        let dir = tempfile::tempdir().unwrap();
        let types = dir.path();
        for marker in ["singleton", "install", "nonparallel", "deprecated"] {
            write(types, &format!("__t/{marker}"), "");
        }
        for (file, text) in [
            ("required", "r"),
            ("required_multiple", "rm"),
            ("optional", "b\na"),
            ("optional_multiple", "m"),
            ("boolean", "f"),
            ("default/a", " v\n"),
            ("default/m", "x\n\u{1b}[1my"),
            ("deprecated/a", "use b"),
            ("deprecated/f", ""),
        ] {
            write(types, &format!("__t/parameter/{file}"), text);
        }
        insta::assert_snapshot!(details(&Type::find(types, OsStr::new("__t")).unwrap()));
        fs::create_dir(types.join("__empty")).unwrap();
        let empty = Type::find(types, OsStr::new("__empty")).unwrap();
        assert_eq!(details(&empty), "\tconfig, parallel\n");
    }

    #[test]
    fn patterns() {
        let listed = |pattern: &str, fixed: bool| {
            let wanted = Wanted::new(&args(pattern, fixed)).unwrap_or_else(|e| panic!("{}", e.0));
            let names = ["__file", "__dot_file", "__line", "__[x"].map(PathBuf::from);
            names
                .into_iter()
                .filter(|n| wanted.matches(n))
                .map(|n| n.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(listed("file", false), ["__file", "__dot_file"]);
        assert_eq!(listed("__?ile", false), ["__file"]);
        assert_eq!(listed("*[e]", false), ["__file", "__dot_file", "__line"]);
        assert_eq!(listed("[f", true), [""; 0]);
        assert_eq!(listed("__[x", true), ["__[x"]);
        let error = Wanted::new(&args("[f", false)).err().unwrap();
        insta::assert_snapshot!(error.0);
    }
}
