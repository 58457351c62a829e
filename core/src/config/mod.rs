//! The configuration engine.
