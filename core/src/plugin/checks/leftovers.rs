//! What a plugin leaves behind: processes that it has started, mounts that it has made.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::events::{Event, Events};
use crate::host::mounts::mount_points;

/// How long a process that was told to end may take.
const GRACE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);
/// Most mounts and processes that are named.
const NAMED_MAX: usize = 5;

/// The mounts before the plugin was called.
#[derive(Debug)]
pub(super) struct Before(HashMap<PathBuf, usize>);

impl Before {
    pub(super) fn now() -> io::Result<Self> {
        Ok(Self(counted(mount_points()?)))
    }

    /// Writes down what the plugin has left behind.
    pub(super) fn report(&self, events: &Events) {
        for left in self.left() {
            events.put(&Event::Left(left));
        }
    }

    /// What there is more than before: a clause for each. The calling process has to be a child subreaper, so that also
    /// what has made itself a daemon is its descendant.
    fn left(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (point, count) in counted(mount_points().unwrap_or_default()) {
            if count > self.0.get(&point).copied().unwrap_or(0) {
                found.push(format!("the mount {}", point.display()));
            }
        }
        let end = Instant::now() + GRACE;
        let processes = loop {
            let processes = descendants();
            if processes.is_empty() || Instant::now() > end {
                break processes;
            }
            thread::sleep(POLL);
        };
        found.extend(processes.into_iter().map(|name| format!("the process {name}")));
        found.truncate(NAMED_MAX);
        found
    }
}

/// A mount over another one has the same point.
fn counted(points: Vec<PathBuf>) -> HashMap<PathBuf, usize> {
    points.into_iter().fold(HashMap::new(), |mut counts, point| {
        *counts.entry(point).or_default() += 1;
        counts
    })
}

/// The names of all living processes below this one, see proc(5). A zombie is none: it holds nothing but its number.
fn descendants() -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![std::process::id().to_string()];
    while let Some(pid) = waiting.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().map(str::to_owned));
        }
        // `PID (NAME) STATE …`, and a name may hold anything.
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let name = head.split_once('(').map_or(head, |(_, name)| name);
        if !tail.starts_with(['Z', 'X']) && pid != std::process::id().to_string() {
            found.push(name.to_owned());
        }
    }
    found
}
