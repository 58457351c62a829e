//! What a plugin asks of the host besides a build, and what it gets back.

use crate::{Record, RecordError};

/// A command to run as a child of cdist.
///
/// Its environment is built, not inherited; its standard input is empty unless given; its output goes into the
/// build's log and, bounded, into the report. It is ended when the user cancels.
///
/// It crosses as a [`Record`] of the kind `command` with the keys `arg` (once for each word, the program first), `env`
/// (`NAME=VALUE`), `cwd` and `stdin`. The report has the key `stdout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest(Record);

impl CommandRequest {
    /// The version of this request that this crate writes.
    pub const VERSION: u32 = 1;

    /// A command that runs `program`, found in PATH when it has no slash.
    pub fn new(program: &str) -> Self {
        let mut record = Record::new("command", Self::VERSION);
        record.push("arg", program);
        Self(record)
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.0.push("arg", arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.0.push("arg", arg);
        }
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.push("env", format!("{}={}", name, value));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: &str) -> Self {
        self.0.set("cwd", dir);
        self
    }

    /// What the command reads from standard input. Fit for secrets, which must not be in argv.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.0.set("stdin", text);
        self
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        self.0.to_text()
    }
}

/// A request to configure a root directory with shell types, through the config engine and a chroot.
///
/// It crosses as a [`Record`] of the kind `configure` with the keys `manifest` and `conf-dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigureRequest(Record);

impl ConfigureRequest {
    /// The version of this request that this crate writes.
    pub const VERSION: u32 = 1;

    /// A request that runs `manifest`, the text of an initial manifest.
    pub fn new(manifest: impl Into<String>) -> Self {
        let mut record = Record::new("configure", Self::VERSION);
        record.push("manifest", manifest);
        Self(record)
    }

    /// Adds a conf directory, after cdist's own and the user's.
    #[must_use]
    pub fn conf_dir(mut self, dir: impl Into<String>) -> Self {
        self.0.push("conf-dir", dir);
        self
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        self.0.to_text()
    }
}

/// What a service of the host reports: named values, of which later versions of cdist may have more.
///
/// It crosses as a [`Record`] of the kind `report`, version 1 in all of 1.x. That of a command has the key `stdout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(Record);

impl Report {
    /// Wraps a record.
    pub fn new(record: Record) -> Self {
        Self(record)
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// The text is no record, or one of another kind or version.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let record = Record::parse(text)?;
        if (record.kind(), record.version()) != ("report", 1) {
            let found = format!("expected `report 1`, found `{} {}`", record.kind(), record.version());
            return Err(RecordError { line: 1, reason: found });
        }
        Ok(Self(record))
    }

    /// The last value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// The standard output of a command; empty for other reports.
    pub fn stdout(&self) -> &str {
        self.get("stdout").unwrap_or("")
    }

    /// Everything in the report.
    pub fn record(&self) -> &Record {
        &self.0
    }
}
