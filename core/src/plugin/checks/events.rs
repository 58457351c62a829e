//! What the processes of a run tell the check about it: one JSON object a line in a file. A file, because it is whole
//! whatever becomes of the process that writes it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::Verdict;

/// Most calls of services that one process writes: a plugin may call them in an endless loop.
const EVENTS_MAX: usize = 200;
/// Most characters of a text of a plugin.
const TEXT_MAX: usize = 2000;
/// Most bytes that are read.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    /// The plugin cannot be loaded; in the words of the check of that name.
    NotLoaded { check: String, reason: String },
    /// The plugin is loaded.
    Loaded,
    /// The plugin claims an extension that is not defined.
    KnowsEverything,
    /// The plugin has called this service.
    Called(String),
    /// The plugin has been asked to stop.
    Signalled,
    /// The plugin has not stopped in time.
    Late,
    /// `commandline` has returned.
    Returned { status: i32, error: Option<String>, panicked: bool },
    /// Something that the plugin has left behind.
    Left(String),
    /// What a check that only reads the file says: the verdict, and name, type and summary of each PreOS.
    Judged { verdict: Verdict, preoses: Vec<(Option<String>, String, String)> },
    /// The process of the plugin has died.
    Died(String),
    /// The plugin was not called, for a reason that lies in the check.
    NotRun(String),
}

/// Where a process writes its events.
#[derive(Debug)]
pub(super) struct Events(Mutex<(File, usize)>);

impl Events {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self(Mutex::new((file, 0))))
    }

    pub(super) fn put(&self, event: &Event) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, count) = &mut *guard;
        *count += 1;
        // Other events come once, and the last ones matter most.
        if matches!(event, Event::Called(_)) && *count > EVENTS_MAX {
            return;
        }
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            // A full disk shows as an event that is missing.
            let _ = file.write_all(&line);
        }
    }
}

/// All events of a run; what is no event counts for nothing.
pub(super) fn read(path: &Path) -> Vec<Event> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read until an error is still worth something.
        let _ = file.take(BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Text of a plugin, cut to a length that is fit for an event.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
