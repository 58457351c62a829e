//! The options about log lines, which most commands have.

use cdist_core::config::{
    log::Level,
    settings::{Colors, Settings},
};

use crate::terminal::log_lines::{LogLines, is_colored};

/// How much is told, and how.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LogArgs {
    /// Tell more; may be repeated
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Tell nothing
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Set the log level: -1 (errors) to 4 (everything); each -v adds one
    #[arg(short = 'l', long, value_name = "N", allow_negative_numbers = true,
          value_parser = level_number, help_heading = "Output")]
    pub(crate) log_level: Option<i64>,
    /// When log lines have colours: always, never, auto [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = ["always", "never", "auto"],
          hide_possible_values = true, help_heading = "Output")]
    pub(crate) colors: Option<String>,
}

impl LogArgs {
    /// What the options say, else the settings.
    pub(crate) fn apply(&self, settings: &Settings, log: &mut LogLines) {
        log.level = self.level(settings);
        log.colored = is_colored(self.colors(settings));
    }

    /// The same for the log of a job, which tells as much as `-v` at least and is no terminal.
    pub(crate) fn apply_to_log(&self, settings: &Settings, log: &mut LogLines) {
        log.level = self.level(settings).min(Level::Info);
        log.colored = self.colors(settings) == Some(Colors::Always);
    }

    fn colors(&self, settings: &Settings) -> Option<Colors> {
        match self.colors.as_deref() {
            None => settings.colored_output,
            Some("always") => Some(Colors::Always),
            Some("never") => Some(Colors::Never),
            Some(_) => Some(Colors::Auto),
        }
    }

    pub(crate) fn level(&self, settings: &Settings) -> Level {
        if self.quiet {
            return Level::Off;
        }
        if self.log_level.is_none() && self.verbose == 0 {
            return settings.verbosity.unwrap_or(Level::Warning);
        }
        let count = self.log_level.unwrap_or(0).saturating_add(i64::from(self.verbose));
        Level::from_count(count).unwrap_or(Level::Error)
    }
}

fn level_number(text: &str) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| *number >= -1);
    number.ok_or_else(|| "must be a number of at least -1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_as_much_as_with_one_v() {
        let mut log = LogLines::new();
        for (verbose, quiet, level) in
            [(0, false, Level::Info), (0, true, Level::Info), (3, false, Level::Debug)]
        {
            LogArgs { verbose, quiet, ..LogArgs::default() }.apply_to_log(&Settings::default(), &mut log);
            assert_eq!((log.level, log.colored), (level, false));
        }
        LogArgs { colors: Some("always".into()), ..LogArgs::default() }
            .apply_to_log(&Settings::default(), &mut log);
        assert!(log.colored);
    }

    #[test]
    fn options_beat_settings() {
        let level = |args: LogArgs, verbosity| args.level(&Settings { verbosity, ..Settings::default() });
        let debug = Some(Level::Debug);
        assert_eq!(level(LogArgs::default(), None), Level::Warning);
        assert_eq!(level(LogArgs::default(), debug), Level::Debug);
        assert_eq!(level(LogArgs { log_level: Some(0), ..LogArgs::default() }, debug), Level::Warning);
        assert_eq!(level(LogArgs { log_level: Some(-1), ..LogArgs::default() }, debug), Level::Error);
        assert_eq!(
            level(LogArgs { log_level: Some(1), verbose: 1, ..LogArgs::default() }, None),
            Level::Verbose
        );
        assert_eq!(level(LogArgs { verbose: 9, ..LogArgs::default() }, None), Level::Trace);
        assert_eq!(level(LogArgs { verbose: 9, quiet: true, ..LogArgs::default() }, debug), Level::Off);
    }
}
