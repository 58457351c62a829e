//! What happens to jobs, told to subscribers.

use tokio::sync::broadcast;

use crate::trigger::job::{JobId, State};

/// How many events a slow listener may be behind. One that is further behind has to look for itself.
const BEHIND: usize = 1024;

/// A job has got into another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The job.
    pub job: JobId,
    /// The new state; for a new attempt [`State::Running`] again.
    pub state: State,
}

/// Tells all subscribers.
#[derive(Debug)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Events {
    pub(super) fn tell(&self, event: Event) {
        // There may be no reader.
        let _ = self.0.send(event);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
