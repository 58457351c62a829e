//! The configuration engine: shell types, explorers and manifests against one host.
//!
//! - Entry: [`Run`] describes the work on one host, [`configure`] does it, [`Report`] and [`ConfigError`] tell.
//! - Configuration: conf dirs are merged into one view ([`conf_dirs`]), which holds [`types`].
//! - Declaring: [`manifest`] runs manifests; their type calls end up in [`emulator`] ([`emulator_args`],
//!   [`object`], [`parameters`], [`relations`]).
//! - Working: [`explorers`], [`gencode`] and [`apply`] on objects in the order of [`scheduler`] and
//!   [`dependency`]; [`messages`] between scripts.
//! - Ground: [`stage`] knows the directories, [`environment`] the variables, [`script`] runs local scripts,
//!   [`batch`] many scripts of the target in one call, [`remote`] a single one.
//! - Without a target: [`catalogue`] lists what configuration directories hold, [`shell`] is for trying type calls.
//!   [`skeleton`] makes a new type, [`check`](mod@check) looks for mistakes in one.
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
mod batch;
pub mod cache;
pub mod catalogue;
pub mod check;
mod code;
mod conf_dirs;
mod dependency;
mod diff;
mod dry_run;
pub mod emulator;
mod emulator_args;
mod engine;
mod entity;
mod environment;
mod error;
mod explorers;
mod file_diff;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gencode;
pub mod log;
pub mod log_server;
mod manifest;
mod messages;
pub mod names;
mod no_type;
mod object;
mod objects;
mod outcome;
mod parameters;
mod relations;
mod remote;
mod request;
mod run;
mod scheduler;
mod script;
pub mod settings;
pub mod shell;
pub mod skeleton;
mod stage;
mod types;
mod variables;

pub use conf_dirs::without_repetitions;
pub use entity::Entity;
pub use error::ConfigError;
pub use object::{IdError, ObjectName};
pub use outcome::{Outcome, Report};
pub use request::{Manifest, Mode, Names, Run, Streams, host_dir, is_work_dir};
pub use run::{attempt, configure};
pub use types::{Kind, Parameter, Type};
pub use variables::inherited;
