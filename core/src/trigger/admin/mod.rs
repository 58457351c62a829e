//! What people and programs ask of a server: the API, metrics and the status page, on the second listener and on the socket.

pub mod api;
pub mod follow;
pub mod metrics;
pub mod page;
pub mod socket;
