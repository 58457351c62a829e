//! What came of the requests.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use nix::sys::resource::{UsageWho, getrusage};

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    /// Answers by their status; those that have joined a job are counted once more.
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) joined: u64,
    /// Requests without an answer, by the reason.
    pub(crate) errors: BTreeMap<&'static str, usize>,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// Microseconds, one for each answer.
    pub(crate) latencies: Vec<u32>,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
}

impl Report {
    pub(crate) fn answered(&mut self, status: u16, joined: bool, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.joined += u64::from(joined);
        self.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn failed(&mut self, reason: &'static str, requests: usize) {
        if requests > 0 {
            *self.errors.entry(reason).or_default() += requests;
        }
    }

    /// Milliseconds that so many of a hundred answers needed at most; `latencies` are sorted.
    fn percentile(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies.get(place).map_or(0.0, |micros| f64::from(*micros) / 1e3)
    }

    /// One line of JSON.
    pub(crate) fn json(&mut self) -> String {
        self.latencies.sort_unstable();
        let answers = self.latencies.len();
        let (seconds, joined) = (self.time.as_secs_f64(), self.joined);
        let accepted = self.statuses.get(&202).map_or(0, |all| all - joined);
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let refused = self.statuses.iter().filter(|(status, _)| **status >= 300);
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        format!(
            "{{\"requests\":{},\"answers\":{answers},\"accepted\":{accepted},\"joined\":{joined},\"ok\":{},\
             \"refused\":{},\"errors\":{},\"connections\":{},\"seconds\":{seconds:.3},\"per_second\":{:.1},\
             \"accepted_per_second\":{:.1},\"p50_ms\":{p50},\"p90_ms\":{p90},\"p99_ms\":{p99},\"max_ms\":{max},\
             \"cpu_seconds\":{:.3}}}",
            self.requests,
            self.statuses.get(&200).unwrap_or(&0),
            object(refused),
            object(self.errors.iter()),
            self.connections,
            per_second(answers as u64),
            per_second(accepted),
            cpu_seconds(),
        )
    }
}

fn object<K: Display, V: Display>(members: impl Iterator<Item = (K, V)>) -> String {
    let members: Vec<_> = members.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// What this program has used, to know its share of a machine that it has for itself no more than the server has.
fn cpu_seconds() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_they_say() {
        let mut report =
            Report { requests: 7, connections: 2, time: Duration::from_secs(2), ..Report::default() };
        for (status, joined, micros) in
            [(202, false, 900), (202, true, 100), (503, false, 500), (202, false, 2500)]
        {
            report.answered(status, joined, Duration::from_micros(micros));
        }
        report.failed("reset", 3);
        report.failed("closed", 0);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        for (name, value) in [
            ("requests", "7"),
            ("answers", "4"),
            ("accepted", "2"),
            ("joined", "1"),
            ("ok", "0"),
            ("refused", r#"{"503":1}"#),
            ("errors", r#"{"reset":3}"#),
            ("per_second", "2.0"),
            ("accepted_per_second", "1.0"),
            ("p50_ms", "0.5"),
            ("p99_ms", "2.5"),
        ] {
            assert_eq!(json[name].to_string(), value, "{name}");
        }
    }

    #[test]
    fn nothing_at_all_is_a_report_too() {
        let json: serde_json::Value = serde_json::from_str(&Report::default().json()).unwrap();
        assert_eq!((json["per_second"].as_f64(), json["max_ms"].as_f64()), (Some(0.0), Some(0.0)));
    }
}
