//! What happens to jobs, told to subscribers.

use tokio::sync::broadcast;

use crate::trigger::job::{JobId, JobState};

/// How many events a slow listener may be behind. One that is further behind has to look for itself.
const BEHIND: usize = 1024;

/// A job has got into another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// The new state; for a new attempt [`JobState::Running`] again.
    pub state: JobState,
}

/// Tells all subscribers.
#[derive(Debug)]
pub struct JobEvents(broadcast::Sender<JobEvent>);

impl Default for JobEvents {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl JobEvents {
    pub(super) fn tell(&self, event: JobEvent) {
        // There may be no reader.
        let _ = self.0.send(event);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.0.subscribe()
    }
}
