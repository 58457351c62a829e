//! The sessions. They are kept in memory: after a restart of the server every user logs in again.

use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

/// How long a session may be idle.
pub(in crate::trigger::admin::page) const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// How many there are at most; one more takes the place of the one that is idle for the longest time.
const SESSIONS_MAX: usize = 1000;
/// 256 bits, in hexadecimal digits.
const ID_LENGTH: usize = 64;

/// One of them.
#[derive(Clone)]
struct Session {
    id: String,
    csrf: String,
    used: Instant,
}

/// All of them.
#[derive(Default)]
pub(in crate::trigger::admin::page) struct Sessions(Vec<Session>);

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sessions", self.0.len())
    }
}

impl Sessions {
    /// Begins one, and returns its id.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(in crate::trigger::admin::page) fn begin(
        &mut self,
        now: Instant,
    ) -> Result<String, getrandom::Error> {
        let (id, csrf) = (random()?, random()?);
        self.expire(now);
        if self.0.len() >= SESSIONS_MAX
            && let Some((at, _)) = self.0.iter().enumerate().min_by_key(|(_, session)| session.used)
        {
            self.0.swap_remove(at);
        }
        self.0.push(Session { id: id.clone(), csrf, used: now });
        Ok(id)
    }

    /// The secret that forms of a session carry, if there is such a session. It counts as used.
    pub(in crate::trigger::admin::page) fn csrf(&mut self, id: &str, now: Instant) -> Option<String> {
        if id.len() != ID_LENGTH {
            return None;
        }
        self.expire(now);
        let mut found = None;
        // All are compared: how long it takes tells nothing.
        for session in &mut self.0 {
            if session.id.as_bytes().ct_eq(id.as_bytes()).into() {
                session.used = now;
                found = Some(session.csrf.clone());
            }
        }
        found
    }

    /// Ends one.
    pub(in crate::trigger::admin::page) fn end(&mut self, id: &str) {
        self.0.retain(|session| !bool::from(session.id.as_bytes().ct_eq(id.as_bytes())));
    }

    fn expire(&mut self, now: Instant) {
        self.0.retain(|session| now.saturating_duration_since(session.used) < IDLE_MAX);
    }
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; ID_LENGTH / 2];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_half_a_day_without_use() {
        let mut sessions = Sessions::default();
        let begin = Instant::now();
        let id = sessions.begin(begin).unwrap();
        let almost = IDLE_MAX - Duration::from_secs(1);
        assert!(sessions.csrf(&id, begin + almost).is_some());
        // Used meanwhile, so it lives on.
        assert!(sessions.csrf(&id, begin + almost * 2).is_some());
        assert!(sessions.csrf(&id, begin + almost * 2 + IDLE_MAX).is_none());
        assert!(sessions.0.is_empty());
    }

    #[test]
    fn there_are_not_more_than_a_thousand() {
        let mut sessions = Sessions::default();
        let begin = Instant::now();
        let ids: Vec<String> = (0..=SESSIONS_MAX as u64)
            .map(|at| sessions.begin(begin + Duration::from_secs(at)).unwrap())
            .collect();
        let now = begin + Duration::from_secs(2000);
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(sessions.csrf(&ids[0], now).is_none());
        assert!(sessions.csrf(&ids[1], now).is_some());
        assert!(sessions.csrf(&ids[SESSIONS_MAX], now).is_some());
    }

    #[test]
    fn ids_are_long_and_differ_and_wrong_ones_are_none() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let (one, two) = (sessions.begin(now).unwrap(), sessions.begin(now).unwrap());
        assert!(one != two && one.len() == ID_LENGTH);
        assert_ne!(sessions.csrf(&one, now), sessions.csrf(&two, now));
        for wrong in
            ["", "x", &one[1..], &"0".repeat(ID_LENGTH), &one.to_uppercase().replace(char::is_numeric, "A")]
        {
            assert!(sessions.csrf(wrong, now).is_none(), "{wrong}");
        }
        sessions.end(&one);
        assert!(sessions.csrf(&one, now).is_none() && sessions.csrf(&two, now).is_some());
        assert_eq!(format!("{sessions:?}"), "1 sessions");
    }
}
