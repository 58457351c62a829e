//! Log records of the engine as lines on standard error, or in the log of a job.

use std::{io::IsTerminal, sync::Arc};

use cdist_core::config::{
    log::{Level, LogSink},
    log_server::LogClient,
    settings::Colors,
};

use crate::terminal::host_table::{Form, HostTable};

/// Writes `LEVEL: NAME: MESSAGE`.
#[derive(Clone, Debug)]
pub(crate) struct LogLines {
    /// The least important level that is written.
    pub level: Level,
    /// Writes escape sequences around each line.
    pub colored: bool,
    /// Adds the process, for runs that work on several things at a time.
    pub with_pid: bool,
    /// Adds the time.
    pub(crate) with_time: bool,
    /// The outer run, if this is an inner one: it writes the lines then.
    pub outer: Option<Arc<LogClient>>,
    /// Where the lines go: a live table may stand below them.
    pub(crate) table: HostTable,
}

impl LogSink for LogLines {
    fn log(&self, level: Level, name: &str, message: &str) {
        if level < self.level || self.level == Level::Off {
            return;
        }
        if self.outer.as_ref().is_some_and(|outer| outer.send(level, name, message).is_ok()) {
            return;
        }
        self.write(level, name, message);
    }

    fn pass_on(&self, level: Level, name: &str, message: &str) {
        match &self.outer {
            Some(_) => self.log(level, name, message),
            None => self.write(level, name, message),
        }
    }
}

impl LogLines {
    /// What a command has before it has read its options and settings.
    pub(crate) fn new() -> Self {
        let table = HostTable::new(Form::None, 0);
        Self { level: Level::Warning, colored: false, with_pid: false, with_time: false, outer: None, table }
    }

    /// True if it is worth a line that a host is done. A run without a terminal, as from cron(8), has nothing to say
    /// as long as all is well, unless it is asked.
    pub(crate) fn tells_success(&self) -> bool {
        self.level <= Level::Info || (self.level == Level::Warning && std::io::stderr().is_terminal())
    }

    fn write(&self, level: Level, name: &str, message: &str) {
        let own = matches!(name, "cdist" | "cdist-type");
        let pid = if self.with_pid && !own { format!("[{}]: ", std::process::id()) } else { String::new() };
        let time = if self.with_time && !own { format!("[{}] ", timestamp()) } else { String::new() };
        let (name, message) = (self.table.shown(name), self.table.shown(message));
        let mut line = format!("{}: {pid}{name}: {time}{message}", level.name());
        if self.colored {
            line = format!("\x1b[{}m{line}\x1b[0m", color(level));
        }
        line.push('\n');
        self.table.error_bytes(line.as_bytes());
    }
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Error | Level::Off => "0;31",
        Level::Warning => "0;33",
        Level::Info => "0;94",
        Level::Verbose => "0;34",
        Level::Debug => "0;90",
        Level::Trace => "0;37",
    }
}

/// True if log lines get colours.
pub(crate) fn is_colored(wish: Option<Colors>) -> bool {
    match wish.unwrap_or(Colors::Auto) {
        Colors::Always => true,
        Colors::Never => false,
        Colors::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// `YYYYmmddHHMMSS.ffffff`, UTC.
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%d%H%M%S.%6f").to_string()
}
