//! A connector that works only as long as a guard lets it: the address of a target may be another machine's by now.

use std::{ffi::OsString, fmt, io, path::Path, sync::Arc};

use async_trait::async_trait;

use super::{Commands, Connector, ConnectorError, Copy, Done, Exec, RunContext};

/// Decides whether a target is still the machine that is meant.
#[async_trait]
pub trait Guard: Send + Sync + fmt::Debug {
    /// Looks now.
    ///
    /// # Errors
    ///
    /// Why it is not, in one sentence.
    async fn check(&self) -> Result<(), String>;

    /// Something is about to be done there.
    fn reach(&self);
}

/// Uses another connector while a guard lets it.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn Connector>,
    guard: Arc<dyn Guard>,
}

impl Guarded {
    /// `guard` is asked when the connection is made, and before each command and each copy: a connector may make a
    /// connection for each of them.
    pub fn new(inner: Arc<dyn Connector>, guard: Arc<dyn Guard>) -> Self {
        Self { inner, guard }
    }

    async fn check(&self) -> Result<(), ConnectorError> {
        self.guard.check().await.map_err(ConnectorError::Guard)
    }
}

#[async_trait]
impl Connector for Guarded {
    async fn open(&self, context: &RunContext) -> Result<(), ConnectorError> {
        self.inner.open(context).await?;
        self.check().await
    }

    async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError> {
        self.check().await?;
        self.guard.reach();
        self.inner.exec(context, exec).await
    }

    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
        self.check().await?;
        self.guard.reach();
        self.inner.copy(context, copy).await
    }

    fn commands(&self, dir: &Path) -> io::Result<Commands> {
        self.inner.commands(dir)
    }

    fn takes_scripts_on_stdin(&self) -> bool {
        self.inner.takes_scripts_on_stdin()
    }

    fn shown(&self, context: &RunContext, words: &[OsString]) -> String {
        self.inner.shown(context, words)
    }

    async fn close(&self, context: &RunContext) -> Result<(), ConnectorError> {
        self.inner.close(context).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::{
        connector::{Input, Local, Output},
        host::Cancel,
    };

    /// Lets so many questions pass.
    #[derive(Debug, Default)]
    struct Count {
        passes: AtomicUsize,
        reached: AtomicUsize,
    }

    #[async_trait]
    impl Guard for Count {
        async fn check(&self) -> Result<(), String> {
            let left = self.passes.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            left.map(drop).map_err(|_| "it is another machine".to_owned())
        }

        fn reach(&self) {
            self.reached.fetch_add(1, SeqCst);
        }
    }

    #[tokio::test]
    async fn nothing_runs_when_the_guard_is_against_it() {
        let dir = tempfile::tempdir().unwrap();
        let context = RunContext { host: "h".into(), env: Vec::new(), cancel: Cancel::default() };
        let touch = |name: &str| Exec {
            words: vec!["touch".into(), dir.path().join(name).into()],
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
        };
        let guard = Arc::new(Count { passes: 2.into(), ..Count::default() });
        let guarded = Guarded::new(Arc::new(Local::new()), guard.clone());
        guarded.open(&context).await.unwrap();
        guarded.exec(&context, touch("one")).await.unwrap();
        let error = guarded.exec(&context, touch("two")).await.unwrap_err();
        assert_eq!(error.to_string(), "it is another machine");
        assert!(dir.path().join("one").exists() && !dir.path().join("two").exists());
        assert_eq!(guard.reached.load(SeqCst), 1);
    }
}
