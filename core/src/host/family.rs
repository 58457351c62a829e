//! Which kind of network address counts.

/// Which addresses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}
