//! The engine of cdist.
//!
//! What a user wants goes from the upper parts to the lower ones; results, progress and the wish to stop come back.
//!
//! - PreOS: [`preos`] builds a network-boot OS as a plugin asks for it; [`plugin`] finds plugins and runs them.
//! - Configuration: [`config`] runs shell types, manifests and explorers against a host through a [`connector`];
//!   [`runs`] does that for one host or many, as options and settings say.
//! - Install: [`install`] decides what is done with the disks of a machine.
//! - Trigger: [`trigger`] is the server that booted machines call; it has them configured.
//! - Hosts: [`inventory`] holds hosts and their tags.
//! - Network: [`net`] is what servers of any kind need.
//! - Ground: [`host`] is what several parts need of the operating system, [`progress`] tells what is going on,
//!   [`token`] is what the trigger's callers have to know, [`trust`] is whether others could have changed what root uses,
//!   [`printable`] is text that gives no orders to a terminal.

mod chain;
pub mod config;
pub mod connector;
pub mod host;
pub mod install;
pub mod inventory;
mod near;
pub mod net;
pub mod plugin;
pub mod preos;
pub mod printable;
pub mod progress;
pub mod runs;
pub mod token;
pub mod trigger;
pub mod trust;

pub use chain::chain;
pub use near::near_match;
