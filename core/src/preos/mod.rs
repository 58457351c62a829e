//! Building a PreOS.
