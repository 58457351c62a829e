//! The time that pruning goes by. What was kept for a month must not go because the clock was set wrong.

use std::time::Duration;

use crate::trigger::job::Millis;

/// The latest time that is believed. It follows the clock on the wall, but goes twice as fast as a clock at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reckoned(Millis);

impl Reckoned {
    /// Goes on from what an earlier server has believed. The first one believes the clock.
    pub(super) fn new(stored: Option<Millis>, wall: Millis) -> Self {
        Self(stored.unwrap_or(wall))
    }

    /// The time for pruning, after `elapsed` on the monotonic clock. Never later than the clock on the wall says.
    pub(super) fn go_on(&mut self, wall: Millis, elapsed: Duration) -> Millis {
        let elapsed = Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX);
        let latest = self.0.saturating_add(elapsed.saturating_mul(2));
        self.0 = self.0.max(wall.min(latest));
        self.0.min(wall)
    }

    /// What to keep for a later server.
    pub(super) fn stored(self) -> Millis {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Millis = 24 * 3600 * 1000;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * 3600)
    }

    #[test]
    fn a_clock_that_jumps_is_not_believed_at_once() {
        let mut time = Reckoned::new(None, 100 * DAY);
        assert_eq!(time.go_on(101 * DAY, days(1)), 101 * DAY);
        // Forward, and back again.
        assert_eq!(time.go_on(9000 * DAY, days(1)), 103 * DAY);
        assert_eq!(time.go_on(103 * DAY, days(1)), 103 * DAY);
        // A machine without a battery begins in 1970, and learns the time later.
        assert_eq!(time.go_on(0, days(0)), 0);
        assert_eq!(time.go_on(104 * DAY, days(1)), 104 * DAY);
        // After a rest the clock is right, and is reached in the end.
        let mut time = Reckoned::new(Some(time.stored()), 144 * DAY);
        assert_eq!(time.go_on(144 * DAY, days(0)), 104 * DAY);
        assert_eq!(time.go_on(184 * DAY, days(40)), 184 * DAY);
    }

    proptest! {
        #[test]
        fn it_is_never_later_than_the_wall_and_never_runs(
            steps in prop::collection::vec((any::<Millis>(), 0u64..u64::MAX), 0..20), stored in any::<Option<Millis>>(),
        ) {
            let mut time = Reckoned::new(stored, 0);
            for (wall, elapsed) in steps {
                let before = time.stored();
                prop_assert!(time.go_on(wall, Duration::from_millis(elapsed)) <= wall);
                let most = Millis::try_from(elapsed).unwrap_or(Millis::MAX).saturating_mul(2);
                prop_assert!(time.stored() >= before && time.stored() <= before.saturating_add(most));
            }
        }
    }
}
