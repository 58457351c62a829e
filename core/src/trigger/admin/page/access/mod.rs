//! Who may do what: logging in, sessions, and what is asked of a form.

pub(super) mod guard;
pub(super) mod login;
pub(super) mod session;
mod visitor;

pub(super) use visitor::Visitor;
