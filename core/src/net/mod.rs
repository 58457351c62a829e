//! Servers on a network, of no particular service: listeners, connections and their limits, HTTP, and what the kernel knows
//! of its neighbours.

pub(crate) mod accept;
pub mod connections;
pub mod http;
pub mod listener;
pub(crate) mod neighbours;
