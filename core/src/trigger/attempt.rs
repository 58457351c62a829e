//! One attempt at a job: what a worker is asked to do, and how it ended.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

pub use super::report::{AttemptReport, StreamEnd};

use super::{
    address::TargetAddress,
    job::{JobId, JobKind, MachineId},
};
use crate::{connector::Guard, host::Cancel};

/// One attempt at a job.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The job.
    pub job: JobId,
    /// Install or configure.
    pub kind: JobKind,
    /// The address of the machine.
    pub address: TargetAddress,
    /// 1 for the first attempt.
    pub number: u32,
    /// The machine's ssh host keys as it told them: `TYPE BASE64`, checked to be no more than that. With any, they alone
    /// are right for this job.
    pub ssh_host_keys: Vec<String>,
    /// Under which number the machine is known; what is kept for it across jobs goes by that.
    pub machine: MachineId,
    /// Where everything goes that `cdist config -v` would print; the directory exists.
    pub log: PathBuf,
    /// A directory for the run's own files; exists and is empty. The worker removes what is not worth keeping.
    pub work_dir: PathBuf,
    /// Set when the job is to end.
    pub cancel: Cancel,
    /// Whether the address is still the machine's.
    pub binding: Binding,
}

/// Whether an address is still that of the machine that a job is for. The worker looks when there is a connection,
/// and before each command.
#[derive(Clone)]
pub struct Binding(Arc<Bound>);

struct Bound {
    look: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    state: Mutex<BindingState>,
}

#[derive(Debug, Default)]
struct BindingState {
    /// Why it is not, as far as calls tell.
    lost: Option<String>,
    /// Something was done there.
    reached: bool,
    /// Why nothing was.
    missed: Option<String>,
}

impl Binding {
    /// Whose address it is tells `look`, in one sentence if it is another machine's. It may take a second.
    pub fn new(look: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Bound { look: Box::new(look), state: Mutex::default() }))
    }

    /// Another machine has called from there. That counts until something was done there: a program on a machine can say to
    /// be another one, and should not end what is at work on it.
    pub fn lose(&self, why: &str) {
        self.state().lost = Some(why.to_owned());
    }

    /// Why nothing was done there.
    pub fn missed(&self) -> Option<String> {
        self.state().missed.clone()
    }

    fn state(&self) -> MutexGuard<'_, BindingState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Guard for Binding {
    /// On a thread that may wait.
    async fn check(&self) -> Result<(), String> {
        let bound = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || (bound.look)()).await;
        let mut result = looked.unwrap_or_else(|error| Err(format!("looking whose the address is: {error}")));
        let mut state = self.state();
        if !state.reached {
            result = result.and_then(|()| state.lost.clone().map_or(Ok(()), Err));
            state.missed = result.as_ref().err().cloned();
        }
        result
    }

    fn reach(&self) {
        self.state().reached = true;
    }
}

impl Default for Binding {
    /// To an address that is always the machine's.
    fn default() -> Self {
        Self::new(|| Ok(()))
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binding").field(&self.0.state).finish()
    }
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All objects are done.
    Succeeded,
    /// Something failed.
    Failed,
    /// It has ended because a stop was requested.
    Cancelled,
    /// The address is another machine's by now, and nothing was done there. The reason of the report tells.
    Missed,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What was done, and what failed.
    pub report: AttemptReport,
}

/// Does what attempts ask for. Called from several tasks at once, never twice at a time for one machine.
#[async_trait]
pub trait JobWorker: Send + Sync + fmt::Debug {
    /// Works on one attempt until its end, or until it is cancelled. Never panics on what a machine says.
    async fn run(&self, attempt: Attempt) -> Ended;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whose_an_address_is_counts_until_something_was_done_there() {
        let binding = Binding::default();
        binding.check().await.unwrap();
        binding.lose("another one calls");
        assert_eq!(binding.check().await, Err("another one calls".to_owned()));
        assert_eq!(binding.missed().as_deref(), Some("another one calls"));

        let binding = Binding::default();
        binding.check().await.unwrap();
        binding.reach();
        binding.lose("another one calls");
        binding.check().await.unwrap();
        assert_eq!(binding.missed(), None);

        let binding = Binding::new(|| Err("it is another one".to_owned()));
        binding.reach();
        assert!(binding.check().await.is_err(), "what the kernel knows always counts");
        assert_eq!(binding.missed(), None, "but then something was done");
    }
}
