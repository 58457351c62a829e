//! How the engine reaches a target.
