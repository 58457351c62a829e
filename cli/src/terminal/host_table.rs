//! The hosts that are worked on just now: a live table on a terminal, a line per host that has ended on a pipe. And the way
//! to where everything goes that is told: the streams of this process, or the log of a job.

use std::{
    fmt,
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cdist_core::{
    config::Streams,
    progress::{Event, Progress, Sink},
    runs::{HostResult, HostState, Piped},
    trigger::worker::JobLog,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::terminal::{
    printable::{Pieces, line, lines},
    stdout,
};

/// In which form it is told that hosts begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    None,
    /// One line per running host, rewritten.
    Live,
    /// A line when a host has ended.
    Lines,
}

/// The hosts, and everything else that is written while the table stands.
#[derive(Clone, Debug)]
pub(crate) struct HostTable {
    form: Form,
    multi: MultiProgress,
    /// Takes the place of standard output and standard error.
    log: Option<Arc<JobLog>>,
    total: usize,
    ended: Arc<AtomicUsize>,
}

impl HostTable {
    /// A table for `total` hosts.
    pub(crate) fn new(form: Form, total: usize) -> Self {
        Self { form, multi: MultiProgress::new(), log: None, total, ended: Arc::default() }
    }

    /// No table, and everything goes to `log`.
    pub(crate) fn of_log(log: Arc<JobLog>) -> Self {
        Self { log: Some(log), ..Self::new(Form::None, 0) }
    }

    /// True if this process has to do with what is told: it is its own output.
    pub(crate) fn is_own(&self) -> bool {
        self.log.is_none()
    }

    /// Writes to standard error, above the table, as text that is safe for a terminal; to a log as it is.
    pub(crate) fn error_text(&self, text: &str) {
        self.error_bytes(self.shown(text).as_bytes());
    }

    /// The form in which text may be written by [`error_bytes`](Self::error_bytes).
    pub(crate) fn shown(&self, text: &str) -> String {
        if self.is_own() { lines(text) } else { text.to_owned() }
    }

    /// As [`error_text`](Self::error_text), for what is safe for a terminal.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) {
        if let Some(log) = &self.log {
            return log.write(bytes);
        }
        // If standard error is closed, there is no place left for a message.
        self.multi.suspend(|| drop(io::stderr().lock().write_all(bytes)));
    }

    /// Writes to standard output, above the table.
    ///
    /// # Errors
    ///
    /// An error of `write`, or standard output cannot be written to, see [`stdout::write`].
    pub(crate) fn output(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match &self.log {
            Some(log) => log.output(write),
            None => self.multi.suspend(|| stdout::write(write)),
        }
    }

    /// Where scripts whose output is not saved write to, so that it comes here, too. To a terminal nothing goes as it is.
    ///
    /// # Errors
    ///
    /// No more pipes or threads can be made.
    pub(crate) fn script_output(&self) -> io::Result<Option<(Streams, Piped)>> {
        if let Some(log) = &self.log {
            let (file, piped) = log.pipe()?;
            let file = Arc::new(file);
            return Ok(Some((Streams::To { stdout: Arc::clone(&file), stderr: file }, piped)));
        }
        let terminals = (io::stdout().is_terminal(), io::stderr().is_terminal());
        if terminals == (false, false) {
            return Ok(None);
        }
        let table = self.clone();
        let to_stderr = move |text: &str| table.error_bytes(text.as_bytes());
        let table = self.clone();
        let to_stdout = move |text: &str| drop(table.output(|out| out.write_all(text.as_bytes())));
        let mut piped = Piped::default();
        let own = |fd: BorrowedFd<'_>| Ok::<_, io::Error>(File::from(fd.try_clone_to_owned()?));
        let stdout = if terminals.0 { piped.add(Shown::to(to_stdout))? } else { own(io::stdout().as_fd())? };
        let stderr = if terminals.1 { piped.add(Shown::to(to_stderr))? } else { own(io::stderr().as_fd())? };
        Ok(Some((Streams::To { stdout: Arc::new(stdout), stderr: Arc::new(stderr) }, piped)))
    }

    /// A host begins; its line is there until [`HostLine::end`].
    pub(crate) fn begin(&self, host: &str) -> HostLine {
        let bar = (self.form == Form::Live).then(|| {
            let bar = self.multi.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{prefix}: {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_prefix(line(host));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        HostLine { table: self.clone(), bar }
    }
}

/// What is written here is printed as text that is safe for a terminal, the rest of it by a flush.
struct Shown<P> {
    text: Pieces,
    print: P,
}

impl<P: Fn(&str)> Shown<P> {
    fn to(print: P) -> Self {
        Self { text: Pieces::default(), print }
    }
}

impl<P: Fn(&str)> Write for Shown<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.print)(&self.text.shown(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.print)(&self.text.rest());
        Ok(())
    }
}

/// The line of a host that is being worked on.
#[derive(Debug)]
pub(crate) struct HostLine {
    table: HostTable,
    bar: Option<ProgressBar>,
}

impl HostLine {
    /// Where the host's run tells what it does.
    pub(crate) fn progress(&self) -> Progress {
        match &self.bar {
            Some(bar) => Progress::new(Arc::new(Line { bar: bar.clone(), counter: Arc::default() })),
            None => Progress::silent(),
        }
    }

    /// The host has ended. A success is told only if `tells_success`.
    pub(crate) fn end(self, result: &HostResult, tells_success: bool) {
        let ended = self.table.ended.fetch_add(1, Ordering::Relaxed) + 1;
        if self.table.form == Form::Lines && (tells_success || result.state != HostState::Done) {
            let how = match result.state {
                HostState::Done => "done",
                HostState::Failed => "failed",
                HostState::Cancelled => "stopped",
            };
            self.table
                .error_text(&format!("{}: {how} ({ended} of {} hosts)\n", result.host, self.table.total));
        }
    }
}

impl Drop for HostLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.table.multi.remove(bar);
        }
    }
}

/// Shows the events of one host's run in its line.
struct Line {
    bar: ProgressBar,
    counter: Arc<std::sync::Mutex<String>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Sink for Line {
    fn event(&self, event: &Event) {
        let mut counter = self.counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Advanced { done, total: Some(total), .. } => {
                *counter = format!("{done} of {total} objects");
                self.bar.set_message(counter.clone());
            }
            Event::Doing { what, .. } => {
                // An object's name may hold anything.
                let separator = if counter.is_empty() { "" } else { ", " };
                self.bar.set_message(format!("{counter}{separator}{}", line(what)));
            }
            _ => {}
        }
    }
}
