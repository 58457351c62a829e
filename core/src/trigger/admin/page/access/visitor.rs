//! Who asks, as far as the request tells.

/// The cookie. No `__Host-` in front: browsers take that over https only.
pub(super) const COOKIE: &str = "cdist_session";
/// Who asks: a user with a session, or a visitor without one.
#[derive(Default)]
pub(in crate::trigger::admin::page) struct Visitor(Option<Session>);

/// A session that is valid now.
#[derive(Clone)]
pub(in crate::trigger::admin::page) struct Session {
    pub(super) id: String,
    pub(super) csrf: String,
}

impl Visitor {
    pub(super) fn new(session: Option<Session>) -> Self {
        Self(session)
    }

    pub(in crate::trigger::admin::page) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// What forms have to carry.
    pub(in crate::trigger::admin::page) fn csrf(&self) -> Option<&str> {
        self.0.as_ref().map(|session| session.csrf.as_str())
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.0.as_ref()
    }
}
