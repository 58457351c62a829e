//! Settings from configuration files and environment variables.
//!
//! A file is INI with one section, `[GLOBAL]`. Higher sources replace what lower ones say, key by key:
//! `/etc/cdist.cfg`, the user's file, environment variables, the file in `$CDIST_CONFIG_FILE`, the file of `-g`.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::log::Level;
use crate::trust;

/// When output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// On a terminal.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// What one or more sources say; `None` is "nothing".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the keys")]
pub struct Settings {
    pub beta: Option<bool>,
    pub cache_path_pattern: Option<String>,
    pub colored_output: Option<Colors>,
    pub conf_dir: Option<Vec<PathBuf>>,
    pub init_manifest: Option<PathBuf>,
    pub inventory_dir: Option<PathBuf>,
    /// `Some(0)` is off, `Some(-1)` one per processor.
    pub jobs: Option<i64>,
    pub local_shell: Option<PathBuf>,
    pub out_path: Option<PathBuf>,
    /// Like `jobs`.
    pub parallel: Option<i64>,
    pub remote_copy: Option<String>,
    pub remote_exec: Option<String>,
    pub remote_out_path: Option<PathBuf>,
    pub remote_shell: Option<String>,
    pub save_output_streams: Option<bool>,
    /// Read by ssh instead of its own files, unless it is empty.
    pub ssh_config: Option<PathBuf>,
    pub timestamp: Option<bool>,
    pub verbosity: Option<Level>,
}

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A section other than `[GLOBAL]`.
    #[error("Invalid section: {0}.")]
    Section(String),
    /// A key that does not exist.
    #[error("Invalid option: {0}.")]
    Option(String),
    /// A value that the key does not take.
    #[error("Invalid {key} value: {value}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A line that is no section, no comment and no assignment, or stands before the first section.
    #[error("Invalid line: {0}")]
    Line(String),
    /// A key that a file sets twice.
    #[error("Option set twice: {0}")]
    Duplicate(String),
    /// An error with the file in which it is.
    #[error("reading configuration file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Settings {
    /// All sources but the command line. `extra` is the file of `-g`. Files that are not there say nothing.
    ///
    /// # Errors
    ///
    /// The first source that cannot be read or understood.
    pub fn load(extra: Option<&Path>) -> Result<Self, SettingsError> {
        let mut all = Self::default();
        let mut files = vec![PathBuf::from("/etc/cdist.cfg")];
        files.extend(user_file());
        for file in files {
            all = all.overlaid(Self::from_file(&file)?);
        }
        all = all.overlaid(Self::from_environment()?);
        let named = env::var_os("CDIST_CONFIG_FILE").filter(|f| !f.is_empty()).map(PathBuf::from);
        for file in named.iter().map(PathBuf::as_path).chain(extra) {
            all = all.overlaid(Self::from_file(file)?);
        }
        Ok(all)
    }

    fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| SettingsError::File {
            path: path.to_owned(),
            source,
        };
        if !trust::way_for_root("the configuration file", path).map_err(|e| failed(e.into()))? {
            return Ok(Self::default());
        }
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|e| failed(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(failed(e.into())),
        }
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    ///
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let mut in_section = false;
        let mut seen: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                if section != "GLOBAL" && section != "DEFAULT" {
                    return Err(SettingsError::Section(section.to_owned()));
                }
                in_section = true;
                continue;
            }
            let Some((key, value)) = line.split_once(['=', ':']).filter(|_| in_section) else {
                return Err(SettingsError::Line(line.to_owned()));
            };
            let key = key.trim().to_lowercase();
            if seen.contains(&key) {
                return Err(SettingsError::Duplicate(key));
            }
            settings.set(&key, value.trim())?;
            seen.push(key);
        }
        Ok(settings)
    }

    fn from_environment() -> Result<Self, SettingsError> {
        let get = |name: &str| env::var_os(name).filter(|v| !v.is_empty());
        let text = |name: &str| get(name).map(|v| v.to_string_lossy().into_owned());
        let level = match text("__cdist_log_level") {
            None => None,
            Some(value) => Some(
                value
                    .parse()
                    .ok()
                    .and_then(Level::from_number)
                    .ok_or_else(|| SettingsError::Value { key: "__cdist_log_level".to_owned(), value })?,
            ),
        };
        Ok(Self {
            // An explicit "no" is meant as one; anything else that is set means yes, even nothing.
            beta: env::var_os("CDIST_BETA").map(|v| boolean(&v.to_string_lossy()) != Some(false)),
            cache_path_pattern: text("CDIST_CACHE_PATH_PATTERN"),
            colored_output: text("CDIST_COLORED_OUTPUT").map(|v| colors(&v).unwrap_or(Colors::Never)),
            conf_dir: get("CDIST_PATH").map(|v| {
                let dirs = v.as_bytes().split(|&b| b == b':').filter(|d| !d.is_empty());
                dirs.map(|d| OsString::from_vec(d.to_vec()).into()).collect()
            }),
            inventory_dir: get("CDIST_INVENTORY_DIR").map(Into::into),
            local_shell: get("CDIST_LOCAL_SHELL").map(Into::into),
            remote_copy: text("CDIST_REMOTE_COPY"),
            remote_exec: text("CDIST_REMOTE_EXEC"),
            remote_shell: text("CDIST_REMOTE_SHELL"),
            ssh_config: get("CDIST_SSH_CONFIG").map(Into::into),
            verbosity: level,
            ..Self::default()
        })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), SettingsError> {
        let invalid = |key: &str| SettingsError::Value { key: key.to_owned(), value: value.to_owned() };
        let truth = || boolean(value).ok_or_else(|| invalid(&format!("{key} boolean")));
        let count = || match value.parse::<i64>() {
            Ok(n) if n < -1 => Err(SettingsError::Value { key: key.to_owned(), value: format!("{n} < -1") }),
            Ok(n) => Ok(n),
            Err(_) => Err(invalid(key)),
        };
        let path = || Some(PathBuf::from(value));
        let text = || Some(value.to_owned());
        match key {
            // Files always travel together; a value that the original refuses is still a mistake.
            "archiving" if ["none", "tar", "tgz", "tbz2", "txz"].contains(&value) => {}
            "archiving" => return Err(invalid(key)),
            "beta" => self.beta = Some(truth()?),
            "cache_path_pattern" => self.cache_path_pattern = text(),
            "colored_output" => self.colored_output = Some(colors(value).ok_or_else(|| invalid(key))?),
            "conf_dir" => {
                self.conf_dir = Some(value.split(':').filter(|d| !d.is_empty()).map(PathBuf::from).collect());
            }
            "init_manifest" => self.init_manifest = path(),
            "inventory_dir" => self.inventory_dir = path(),
            "jobs" => self.jobs = Some(count()?),
            "local_shell" => self.local_shell = path(),
            "out_path" => self.out_path = path(),
            "parallel" => self.parallel = Some(count()?),
            "remote_copy" => self.remote_copy = text(),
            "remote_exec" => self.remote_exec = text(),
            "remote_out_path" => self.remote_out_path = path(),
            "remote_shell" => self.remote_shell = text(),
            "save_output_streams" => self.save_output_streams = Some(truth()?),
            "ssh_config" => self.ssh_config = path(),
            "timestamp" => self.timestamp = Some(truth()?),
            "verbosity" => {
                let level = Level::ALL.into_iter().find(|l| l.name() == value);
                self.verbosity = Some(level.ok_or_else(|| invalid(key))?);
            }
            _ => return Err(SettingsError::Option(key.to_owned())),
        }
        Ok(())
    }

    /// These settings where `higher` says nothing.
    #[must_use]
    pub fn overlaid(self, higher: Self) -> Self {
        Self {
            beta: higher.beta.or(self.beta),
            cache_path_pattern: higher.cache_path_pattern.or(self.cache_path_pattern),
            colored_output: higher.colored_output.or(self.colored_output),
            conf_dir: higher.conf_dir.or(self.conf_dir),
            init_manifest: higher.init_manifest.or(self.init_manifest),
            inventory_dir: higher.inventory_dir.or(self.inventory_dir),
            jobs: higher.jobs.or(self.jobs),
            local_shell: higher.local_shell.or(self.local_shell),
            out_path: higher.out_path.or(self.out_path),
            parallel: higher.parallel.or(self.parallel),
            remote_copy: higher.remote_copy.or(self.remote_copy),
            remote_exec: higher.remote_exec.or(self.remote_exec),
            remote_out_path: higher.remote_out_path.or(self.remote_out_path),
            remote_shell: higher.remote_shell.or(self.remote_shell),
            save_output_streams: higher.save_output_streams.or(self.save_output_streams),
            ssh_config: higher.ssh_config.or(self.ssh_config),
            timestamp: higher.timestamp.or(self.timestamp),
            verbosity: higher.verbosity.or(self.verbosity),
        }
    }
}

/// `~/.cdist.cfg`, else the one in the XDG configuration directory.
fn user_file() -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
    if let Some(file) = home.as_ref().map(|h| h.join(".cdist.cfg")).filter(|f| f.is_file()) {
        return Some(file);
    }
    let xdg = env::var_os("XDG_CONFIG_HOME").filter(|d| !d.is_empty()).map(PathBuf::from);
    xdg.or_else(|| home.map(|h| h.join(".config"))).map(|dir| dir.join("cdist/cdist.cfg"))
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "yes" | "on" | "true" | "1" => Some(true),
        "no" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn colors(value: &str) -> Option<Colors> {
    match value {
        "auto" => Some(Colors::Auto),
        "always" => Some(Colors::Always),
        "never" => Some(Colors::Never),
        // What the original's skeleton file documents.
        other => boolean(other).map(|on| if on { Colors::Always } else { Colors::Never }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_file() {
        let settings =
            Settings::parse("# c\n[GLOBAL]\nBeta = Yes\njobs: 0\nverbosity = INFO\nconf_dir = /a::/b # x\n")
                .unwrap();
        assert_eq!(settings.beta, Some(true));
        assert_eq!(settings.jobs, Some(0));
        assert_eq!(settings.verbosity, Some(Level::Info));
        assert_eq!(settings.conf_dir, Some(vec!["/a".into(), "/b # x".into()]));
    }

    #[test]
    fn tells_what_is_wrong() {
        for (text, error) in [
            ("[OTHER]\n", "Invalid section: OTHER."),
            ("[GLOBAL]\nnonsense = 1", "Invalid option: nonsense."),
            ("[GLOBAL]\nverbosity = info", "Invalid verbosity value: info"),
            ("[GLOBAL]\njobs = -2", "Invalid jobs value: -2 < -1"),
            ("[GLOBAL]\nbeta = x", "Invalid beta boolean value: x"),
            ("beta = yes", "Invalid line: beta = yes"),
            ("[GLOBAL]\nbeta = 1\nBETA = 1", "Option set twice: beta"),
        ] {
            assert_eq!(Settings::parse(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn the_higher_source_wins_key_by_key() {
        let low = Settings { jobs: Some(2), beta: Some(true), ..Settings::default() };
        let high = Settings { jobs: Some(0), ..Settings::default() };
        assert_eq!(low.overlaid(high), Settings { jobs: Some(0), beta: Some(true), ..Settings::default() });
    }

    /// Every key, with values that it takes.
    const KEYS: [(&str, [&str; 2]); 19] = [
        ("archiving", ["tgz", "none"]),
        ("beta", ["yes", "0"]),
        ("cache_path_pattern", ["%N", "x"]),
        ("colored_output", ["auto", "never"]),
        ("conf_dir", ["/a:/b", "/c"]),
        ("init_manifest", ["/m", "n"]),
        ("inventory_dir", ["/i", "/j"]),
        ("jobs", ["0", "-1"]),
        ("local_shell", ["/bin/sh", "/bin/bash"]),
        ("out_path", ["/o", "/p"]),
        ("parallel", ["4", "0"]),
        ("remote_copy", ["scp", "cp -a"]),
        ("remote_exec", ["ssh", "ssh -v"]),
        ("remote_out_path", ["/r", "/s"]),
        ("remote_shell", ["/bin/sh", "/bin/sh -e"]),
        ("save_output_streams", ["on", "off"]),
        ("ssh_config", ["/s", "/t"]),
        ("timestamp", ["true", "False"]),
        ("verbosity", ["INFO", "TRACE"]),
    ];

    proptest! {
        /// Any number of sources: for every key, the highest that says something about it counts.
        #[test]
        fn sources_are_overlaid_key_by_key(
            sources in prop::collection::vec(prop::collection::btree_map(0..KEYS.len(), 0usize..2, 0..KEYS.len()), 0..6),
        ) {
            let read = |source: &std::collections::BTreeMap<usize, usize>| {
                let line = |(key, value): (&usize, &usize)| format!("{} = {}\n", KEYS[*key].0, KEYS[*key].1[*value]);
                Settings::parse(&format!("[GLOBAL]\n{}", source.iter().map(line).collect::<String>())).unwrap()
            };
            let overlaid = sources.iter().fold(Settings::default(), |all, source| all.overlaid(read(source)));
            let flat = sources.iter().flatten().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(overlaid, read(&flat));
        }

        #[test]
        fn no_panic_on_any_text(text in "\\PC*") {
            let _ = Settings::parse(&text);
        }
    }
}
