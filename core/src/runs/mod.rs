//! Runs of the configuration engine on hosts: from options and settings to the result of each host. The same for a command and
//! for a job of the trigger server.
//!
//! - [`options`]: what a user may ask for
//! - [`maker`]: options and settings become a [`Run`](crate::config::Run) for each host
//! - [`hosts`]: the runs, several at a time
//! - [`observer`]: who hears of them
//! - [`result`]: how each of them ended
//! - [`piped`]: pipes that take the output of scripts

pub mod hosts;
pub mod maker;
pub mod observer;
pub mod options;
pub mod piped;
pub mod result;

pub use hosts::{Base, HostRuns};
pub use maker::{ProgramPaths, RunError, RunMaker, Target, at_a_time, conf_dirs, keep_files_private};
pub use observer::{HostObserver, Observer};
pub use options::RunOptions;
pub use piped::Piped;
pub use result::{HostFailure, HostResult, HostState, NamedStream};

/// What the callers of this module need of the engine.
pub use crate::config::{
    Manifest, Mode, Streams,
    log::{Level, LogSink},
    names::confirmed,
};
