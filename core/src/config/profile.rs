//! Where the time of runs goes, as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing show.
//!
//! Spans are recorded when they end. [`trace`] makes the document of them, apart from all writing: each host is a process of the
//! trace, and what was done at the same time is in different threads of it, so that in each thread spans nest.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The whole work on a host.
    Run,
    /// A part of it, such as the global explorers.
    Stage,
    /// Objects that are worked on together.
    Wave,
    /// One step of one object.
    Object,
    /// A call of the target.
    Call,
    /// A program that is started on this machine.
    Program,
    /// A script on this machine that a shell has read which was running already.
    Script,
}

impl SpanKind {
    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stage => "stage",
            Self::Wave => "wave",
            Self::Object => "object",
            Self::Call => "call",
            Self::Program => "program",
            Self::Script => "script",
        }
    }
}

/// Something that took time. Times are since the recording began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The host that it was for.
    pub host: String,
    /// What it is.
    pub kind: SpanKind,
    /// What the user sees.
    pub name: String,
    /// When it began.
    pub begin: Duration,
    /// When it ended.
    pub end: Duration,
}

/// Takes spans, or nothing. Clones take them together.
#[derive(Clone, Default)]
pub struct Profile(Option<Arc<Recording>>);

struct Recording {
    start: Instant,
    spans: Mutex<Vec<Span>>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("records", &self.0.is_some()).finish_non_exhaustive()
    }
}

/// Ends a span when it is dropped.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped"]
pub struct Open {
    profile: Profile,
    /// Its end is not known yet.
    span: Option<Span>,
}

impl Profile {
    /// Records from now on.
    pub fn recording() -> Self {
        Self(Some(Arc::new(Recording { start: Instant::now(), spans: Mutex::default() })))
    }

    /// Begins a span. `name` is asked only if this records.
    pub fn begin(&self, kind: SpanKind, host: &str, name: impl FnOnce() -> String) -> Open {
        let span = self.0.as_ref().map(|recording| {
            let begin = recording.start.elapsed();
            Span { host: host.to_owned(), kind, name: name(), begin, end: begin }
        });
        Open { profile: self.clone(), span }
    }

    /// The spans that have ended so far.
    pub fn spans(&self) -> Vec<Span> {
        self.0.as_ref().map_or_else(Vec::new, |recording| {
            recording.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(recording), Some(mut span)) = (&self.profile.0, self.span.take()) {
            span.end = recording.start.elapsed();
            recording.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        }
    }
}

/// The spans as a document in Chrome's trace event format.
pub fn trace(spans: &[Span]) -> Value {
    let mut events = Vec::new();
    for (process, (host, own)) in (1..).zip(by_host(spans)) {
        events.push(
            json!({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": host}}),
        );
        for (span, thread) in threads(own) {
            events.push(json!({
                "ph": "X",
                "name": span.name,
                "cat": span.kind.name(),
                "pid": process,
                "tid": thread,
                "ts": microseconds(span.begin),
                "dur": microseconds(span.end.saturating_sub(span.begin)),
            }));
        }
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}

/// The spans of each host; hosts are in the order of their first spans.
fn by_host(spans: &[Span]) -> Vec<(&str, Vec<&Span>)> {
    let mut hosts: Vec<(&str, Vec<&Span>)> = Vec::new();
    let mut positions = HashMap::new();
    for span in spans {
        let position = *positions.entry(span.host.as_str()).or_insert(hosts.len());
        match hosts.get_mut(position) {
            Some((_, own)) => own.push(span),
            None => hosts.push((&span.host, vec![span])),
        }
    }
    hosts
}

/// Viewers add begin and length, so both are whole numbers: nanoseconds would not add up in their floating point numbers.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The spans of a host by their beginnings, each with a thread where it is inside of what has not ended there, or alone.
fn threads(mut spans: Vec<&Span>) -> Vec<(&Span, usize)> {
    // As the document has them.
    let edges = |span: &Span| {
        (
            microseconds(span.begin),
            microseconds(span.begin) + microseconds(span.end.saturating_sub(span.begin)),
        )
    };
    // Of those that begin together, what lasts longer is around the others. A span is recorded when it ends, so the inner one of two
    // that are equal comes first.
    spans.reverse();
    spans.sort_by_key(|span| (edges(span).0, std::cmp::Reverse(edges(span).1)));
    let mut open: Vec<Vec<u64>> = Vec::new();
    let mut placed = Vec::new();
    for span in spans {
        let (begin, end) = edges(span);
        for ends in &mut open {
            while ends.last().is_some_and(|last| *last <= begin && *last < end) {
                ends.pop();
            }
        }
        let fits = |ends: &Vec<u64>| ends.last().is_none_or(|last| end <= *last);
        let thread = open.iter().position(fits).unwrap_or_else(|| {
            open.push(Vec::new());
            open.len() - 1
        });
        if let Some(ends) = open.get_mut(thread) {
            ends.push(end);
        }
        placed.push((span, thread));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(host: &str, name: &str, begin: u64, end: u64) -> Span {
        let [begin, end] = [begin, end].map(Duration::from_micros);
        Span { host: host.to_owned(), kind: SpanKind::Object, name: name.to_owned(), begin, end }
    }

    fn events(spans: &[Span]) -> Vec<Value> {
        // What is written is what is read.
        let text = serde_json::to_string(&trace(spans)).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        document["traceEvents"].as_array().unwrap().clone()
    }

    #[test]
    fn spans_are_recorded_when_they_end() {
        let profile = Profile::recording();
        let outer = profile.begin(SpanKind::Run, "h", || "outer".to_owned());
        drop(profile.begin(SpanKind::Program, "h", || "inner".to_owned()));
        assert_eq!(profile.spans().len(), 1);
        drop(outer);
        let names: Vec<_> = events(&profile.spans()).iter().map(|e| e["name"].clone()).collect();
        assert_eq!(names, ["process_name", "outer", "inner"]);
        let silent = Profile::default();
        drop(silent.begin(SpanKind::Run, "h", || unreachable!()));
        assert!(silent.spans().is_empty());
    }

    #[test]
    fn names_may_hold_anything() {
        let name = "__file/\"a\\b\"\n\u{1}ü</script>";
        let events = events(&[span("a \"host\"", name, 3, 10)]);
        assert_eq!((&events[0]["args"]["name"], &events[1]["name"]), (&json!("a \"host\""), &json!(name)));
        assert_eq!(
            (&events[1]["ts"], &events[1]["dur"], &events[1]["cat"]),
            (&json!(3), &json!(7), &json!("object"))
        );
    }

    #[test]
    fn a_host_is_one_process_wherever_its_spans_are() {
        let spans = [("h", "a"), ("i", "b"), ("h", "c"), ("j", "d"), ("i", "e")];
        let events = events(&spans.map(|(host, name)| span(host, name, 1, 2)));
        let processes: Vec<_> =
            events.iter().map(|e| (e["name"].as_str().unwrap(), e["pid"].clone())).collect();
        let expected = [("process_name", 1), ("c", 1), ("a", 1), ("process_name", 2), ("e", 2), ("b", 2)];
        assert_eq!(processes[..6], expected.map(|(name, process)| (name, json!(process))));
        assert_eq!((events.len(), &events[6]["args"]["name"]), (8, &json!("j")));
    }

    #[test]
    fn what_is_inside_is_in_the_same_thread_and_what_overlaps_is_not() {
        let spans = [
            span("h", "inner", 1, 5),
            span("h", "next", 5, 9),
            span("h", "outer", 0, 9),
            span("h", "other", 3, 12),
            span("i", "far", 3, 12),
        ];
        let events = events(&spans).into_iter().filter(|e| e["ph"] == "X");
        let found: Vec<_> = events.map(|e| format!("{} {} {}", e["pid"], e["tid"], e["name"])).collect();
        let expected =
            [r#"1 0 "outer""#, r#"1 0 "inner""#, r#"1 1 "other""#, r#"1 0 "next""#, r#"2 0 "far""#];
        assert_eq!(found, expected);
    }

    proptest! {
        /// As viewers have it: of two events in a thread, one is inside the other, or they have no time together.
        #[test]
        fn events_nest(spans in prop::collection::vec((0u64..40, 0u64..20, 0usize..2), 0..40)) {
            let spans: Vec<Span> = spans.iter().map(|(begin, length, host)| span(["a", "b"][*host], "x", *begin, begin + length)).collect();
            let events: Vec<Value> = events(&spans).into_iter().filter(|e| e["ph"] == "X").collect();
            prop_assert_eq!(events.len(), spans.len());
            let edges = |e: &Value| (e["ts"].as_u64().unwrap(), e["ts"].as_u64().unwrap() + e["dur"].as_u64().unwrap());
            for (i, a) in events.iter().enumerate() {
                for b in events.iter().skip(i + 1).filter(|b| (&a["pid"], &a["tid"]) == (&b["pid"], &b["tid"])) {
                    let ((from, to), (since, until)) = (edges(a), edges(b));
                    let nests = to <= since || until <= from || (from <= since && until <= to) || (since <= from && to <= until);
                    prop_assert!(nests, "{:?} {:?}", a, b);
                }
            }
        }
    }
}
