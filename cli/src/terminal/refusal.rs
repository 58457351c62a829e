//! Why a command does not begin.

/// A failure before any host was touched: one line for the user.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(cdist_core::chain(&error))
    }
}
