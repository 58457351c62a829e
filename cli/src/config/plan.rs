//! What a dry run would do and what a run changes in files, on standard output.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use cdist_core::{
    config::{ObjectName, RunReport},
    runs::{HostResult, HostState},
};

use crate::terminal::printable::{line, lines};

/// What is printed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Shows the code of each object.
    pub(crate) code: bool,
    /// Shows what changes in files.
    pub(crate) diff: bool,
    /// Shows what is marked as secret.
    pub(crate) reveal: bool,
    /// Control characters are shown and not sent: the output is a terminal.
    pub(crate) escaped: bool,
}

impl Plan {
    /// Prints the objects of one host. Lines that are neither code nor difference begin with `#`.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written to.
    pub(crate) fn print(&self, out: &mut dyn Write, result: &HostResult) -> io::Result<()> {
        let (host, report) = (&result.host, &result.report);
        if !self.code && !self.diff {
            return Ok(());
        }
        match (result.state, report.changed.is_empty()) {
            (HostState::Done, true) if self.code => writeln!(out, "# {}: nothing would run", line(host))?,
            (HostState::Failed, false) if self.code => {
                writeln!(out, "# {}: not all, for it failed", line(host))?;
            }
            _ => {}
        }
        for object in &report.changed {
            self.print_object(out, host, report, object)?;
        }
        out.flush()
    }

    fn print_object(
        &self,
        out: &mut dyn Write,
        host: &str,
        report: &RunReport,
        object: &ObjectName,
    ) -> io::Result<()> {
        // A name may hold line ends, which would look like code.
        let title = line(&format!("{host}: {object}"));
        let diff = if self.diff { report.diff(object) } else { None };
        if let Some(diff) = diff {
            writeln!(out, "# {title}")?;
            self.write(out, &diff)?;
            writeln!(out)?;
        }
        if !self.code {
            return Ok(());
        }
        let hidden = report.is_secret(object) && !self.reveal;
        for (place, path) in report.code(object) {
            let machine = if place == "code-local" { "on this machine" } else { "on the target" };
            writeln!(out, "# {title}, {machine}:")?;
            if hidden {
                writeln!(out, "# not shown, it holds a secret (--reveal-secrets shows it)")?;
            } else if let Err(error) = self.copy(out, &path) {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return Err(error);
                }
                writeln!(out, "# {}", line(&format!("reading {}: {error}", path.display())))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Prints a file, however long it is.
    fn copy(&self, out: &mut dyn Write, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = file.read(&mut buffer)?;
            match buffer.get(..length) {
                Some(part) if !part.is_empty() => self.write(out, part)?,
                _ => return Ok(()),
            }
        }
    }

    fn write(&self, out: &mut dyn Write, text: &[u8]) -> io::Result<()> {
        if self.escaped { out.write_all(lines(text).as_bytes()) } else { out.write_all(text) }
    }
}

#[cfg(test)]
mod tests {
    use cdist_core::config::Outcome;

    use super::*;

    #[test]
    fn without_changes_a_dry_run_says_so() {
        let plan = Plan { code: true, diff: false, reveal: false, escaped: false };
        let mut out = Vec::new();
        plan.print(&mut out, &HostResult::new("web1".into(), Outcome::default())).unwrap();
        assert_eq!(out, b"# web1: nothing would run\n");
        out.clear();
        plan.print(&mut out, &HostResult::refused("web1".into(), "no".into())).unwrap();
        assert!(out.is_empty());
    }
}
