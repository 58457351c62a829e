//! The stable ABI between `cdist` and its PreOS plugins, major version 1.
//!
//! An author implements [`PreOs`] for a type and names the type in [`export_preos!`]. What the plugin wants of
//! cdist it asks of the [`Host`]: telling progress, running commands, building a [`Recipe`], configuring a root
//! directory with shell types.
//!
//! # The promise
//!
//! Everything in [`module`] and the methods of [`HostServices`] are **frozen** for all of 1.x: abi_stable refuses
//! a host whose types have one field more than those the plugin was built with. Growth comes in two ways:
//! [`Host::get_extension`] for new abilities, and [`Record`], the versioned text in which recipes, requests and
//! reports cross the border, for new details.
//!
//! # Index
//!
//! - for authors: [`PreOs`], [`export_preos!`], [`Host`], [`PluginError`]
//! - what crosses as text: [`Record`], [`Recipe`], [`ConfigureRequest`], [`CommandRequest`], [`Report`]
//! - for tests of plugins: `FakeHost`, with the feature `fake-host`
//! - the frozen types: [`module`], [`HostServices`], [`Extension`]
#![deny(missing_docs)]
// The derive macros of abi_stable 0.11 write impls that newer compilers warn of; older ones do not know the lint.
#![allow(unknown_lints, non_local_definitions, non_camel_case_types)]

mod export;
mod extension;
#[cfg(feature = "fake-host")]
mod fake;
mod host;
pub mod module;
mod recipe;
mod record;
mod request;

#[doc(hidden)]
pub use export::__private;
pub use export::PreOs;
pub use extension::Extension;
#[cfg(feature = "fake-host")]
pub use fake::{Call, FakeHost};
pub use host::{Host, HostServices, HostServices_TO, Level, StepId};
pub use module::{PluginError, PreosEntry, PreosModule, PreosModule_Ref};
pub use recipe::Recipe;
pub use record::{Record, RecordError};
pub use request::{CommandRequest, ConfigureRequest, Report};

/// The types of the ABI that are not plain Rust types. Plugins written with [`PreOs`] never need them; an
/// implementation of [`HostServices`] or of an extension does.
pub mod abi {
    pub use abi_stable::sabi_trait::TD_Opaque;
    pub use abi_stable::std_types::{RArc, ROption, RResult, RSlice, RStr, RString};
}

/// The API version of this crate, `MAJOR.MINOR`.
pub const API_VERSION: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
