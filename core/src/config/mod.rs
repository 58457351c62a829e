//! The configuration engine: shell types, explorers and manifests against one host.
//!
//! - Entry: [`Run`] describes the work on one host, [`configure`] does it, [`RunReport`] and [`ConfigError`] tell.
//! - [`declare`]: configuration directories are merged into one view, which holds types; what a manifest declares by calling
//!   them ends up in [`emulator`], and becomes an object with parameters and relations.
//! - [`schedule`]: which object comes next. [`apply`] prepares and runs it.
//! - [`here`]: scripts on this machine, manifests and gencode. [`target`]: what runs there, many scripts in one call.
//! - [`preview`]: what objects change in files.
//! - [`profile`] records what takes how long.
//! - [`author`]: for those who write types.
//! - Ground: [`mod@request`] is what is asked for, [`stage`] knows the directories, [`engine`] is a run while it goes on,
//!   [`environment`] the variables of its scripts. [`mod@run`] calls the stages in their order.
//!
//! ```no_run
//! # async fn build() -> Result<(), cdist_core::config::ConfigError> {
//! use std::sync::Arc;
//!
//! use cdist_core::{
//!     config::{self, Manifest, Run},
//!     connector::Chroot,
//!     host::quote,
//! };
//!
//! let mut manifest = b"__hostname --name preos\n__file /etc/motd --source ".to_vec();
//! manifest.extend_from_slice(quote::posix("it's here").as_encoded_bytes());
//! let target = Arc::new(Chroot::new("/srv/preos/root").env("DEBIAN_FRONTEND", "noninteractive"));
//! let conf_dirs = vec!["/usr/share/cdist/conf".into()];
//! let mut run = Run::new("preos", conf_dirs, Manifest::Bytes(manifest), target, "/usr/bin/cdist");
//! run.temporary = "/srv/preos/tmp".into();
//! let report = config::configure(run).await?;
//! assert!(report.objects >= 2);
//! # Ok(())
//! # }
//! ```

mod advice;
mod apply;
mod author;
pub mod cache;
mod code;
mod declare;
mod engine;
mod entity;
mod environment;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod here;
pub mod log;
pub mod log_server;
pub mod names;
mod preview;
pub mod profile;
mod request;
mod run;
mod run_report;
mod schedule;
pub mod settings;
mod stage;
mod target;
mod variables;

pub use author::{catalogue, check, shell, skeleton};
pub use declare::{
    conf_dirs::without_repetitions,
    emulator,
    object::{IdError, ObjectName},
    types::{Parameter, ParameterKind, Type},
};
pub use entity::Entity;
pub use error::ConfigError;
pub use request::{Manifest, Mode, Names, Run, Streams, host_dir, is_work_dir};
pub use run::{configure, outcome_of};
pub use run_report::{Outcome, RunReport};
pub use variables::inherited;
