//! Finding, checking and running PreOS plugins.
