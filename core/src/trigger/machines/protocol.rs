//! What machines ask for, and what they hear: paths, statuses, sentences. Nothing here knows a connection.

use serde::Serialize;

use crate::trigger::{
    dispatcher::Unavailable,
    job::{JobId, JobKind, JobState, MachineId},
    ledger::Answer,
    policy::Refusal,
};

/// Longest path that is recorded.
const PATH_MAX: usize = 512;
/// Longest time that an answer is held back, in seconds.
const WAIT_MAX: u64 = 3600;
/// The paths of this listener, for answers to requests for any other one.
const PATHS: &str =
    "there are /install/, /config/ (each also below /cdist), /file/present/, /file/absent/ and /healthz";

/// What a machine asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A job.
    Job {
        /// Install or configure.
        kind: JobKind,
        /// What follows the prefix, with the query.
        path: String,
        /// Hold the answer until the job has ended, for so many seconds.
        wait: Option<u64>,
    },
    /// A file with the machine's address as its name: made, or (false) removed.
    File(bool),
    /// How a job of its own stands.
    Look(JobId),
    /// Whether jobs can be accepted.
    Health,
}

/// An answer: a status, a sentence, and the job that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// The status code of HTTP.
    #[serde(skip)]
    pub status: u16,
    /// One line: what is the case, and what to do.
    pub message: String,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Seconds after which asking again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The connection ends with it: others need it.
    #[serde(skip)]
    pub closes: bool,
}

impl Reply {
    /// An answer about no job.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), job: None, state: None, retry_after: None, closes: false }
    }

    fn about(status: u16, job: JobId, state: JobState, message: String) -> Self {
        Self { job: Some(job), state: Some(state), ..Self::new(status, message) }
    }

    fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// Understands the target of a request, as it came.
///
/// # Errors
///
/// The path or query is not understood; the reply tells the client why.
pub fn parse(path: &str, query: Option<&str>) -> Result<Wish, Reply> {
    let bare = path.strip_prefix("/cdist").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    for (prefix, kind) in [("/install/", JobKind::Install), ("/config/", JobKind::Config)] {
        if let Some(rest) = bare.strip_prefix(prefix) {
            return Ok(Wish::Job { kind, path: recorded(rest, query), wait: wait(query)? });
        }
    }
    if path == "/healthz" {
        return Ok(Wish::Health);
    }
    if path.starts_with("/file/present/") || path.starts_with("/file/absent/") {
        return Ok(Wish::File(path.starts_with("/file/present/")));
    }
    if let Some(id) = path
        .strip_prefix("/jobs/")
        .filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|id| id.parse().ok())
    {
        return Ok(Wish::Look(id));
    }
    Err(Reply::new(404, format!("nothing here: {PATHS}")))
}

fn recorded(rest: &str, query: Option<&str>) -> String {
    let whole = query.map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
    // The parser of HTTP lets more through than RFC 3986 does; it is shown on terminals and pages.
    whole.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(PATH_MAX).collect()
}

fn wait(query: Option<&str>) -> Result<Option<u64>, Reply> {
    let mut values = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("wait="));
    let Some(value) = values.next() else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(seconds) if value.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(seconds.min(WAIT_MAX))),
        _ => Err(Reply::new(400, "wait= takes a number of seconds, such as /config/?wait=60")),
    }
}

/// The answer to a machine whose call was decided.
pub fn called(answer: Answer, kind: JobKind, address: &str) -> Reply {
    match answer {
        Answer::Queued(job) => {
            Reply::about(202, job, JobState::Queued, format!("{kind} queued: job {job} for {address}"))
        }
        Answer::Joined(job) => Reply::about(
            202,
            job,
            JobState::Queued,
            format!("{kind} joined: job {job} for {address} is queued already"),
        ),
        Answer::Running(job) => {
            Reply::about(202, job, JobState::Running, format!("{kind} running: job {job} for {address}"))
        }
        Answer::Rebooted(job) => {
            let text = format!(
                "{kind} running: job {job} is still at work on {address} as it was before it was switched off; ask again \
                 when that job has ended"
            );
            Reply { retry_after: Some(60), ..Reply::about(503, job, JobState::Running, text) }
        }
        Answer::Elsewhere(job) => {
            let text = format!(
                "{kind} of {address} refused: job {job} waits for the same machine at another address"
            );
            Reply::new(409, text)
        }
        Answer::Moved(job) => {
            let text = format!(
                "{kind} of {address} not queued: job {job} installs the same machine at another address; ask again when that job \
                 has ended"
            );
            Reply::new(503, text).after(60)
        }
        Answer::Taken(job) => {
            let text = format!(
                "{kind} of {address} not queued: job {job} installs another machine at this address; ask again when that job has \
                 ended"
            );
            Reply::new(503, text).after(60)
        }
        Answer::Astray(machine) => {
            let text = format!(
                "{kind} of {address} refused: machine {machine} has called from too many addresses since it was installed; \
                 let the administrator run `cdist trigger forget {machine}`, and ask again"
            );
            Reply::new(409, text)
        }
        Answer::Refused(refusal, machine) => refused(refusal, machine, address),
        Answer::QueueFull => {
            let text = format!("{kind} of {address} not queued: the queue is full; ask again later");
            Reply::new(503, text).after(30)
        }
        Answer::MachinesFull => {
            let text = format!(
                "{kind} of {address} not queued: too many machines are known; the administrator can forget some with \
                 `cdist trigger forget`, or raise --machines"
            );
            Reply::new(503, text).after(300)
        }
    }
}

fn refused(refusal: Refusal, machine: MachineId, address: &str) -> Reply {
    let text = format!(
        "install refused: {address} is machine {machine}, and {refusal}; to install it, let the administrator run \
         `cdist trigger arm {machine}`, and ask again"
    );
    Reply::new(409, text)
}

/// The answer when there is none.
pub fn unavailable(error: &Unavailable, kind: JobKind, address: &str) -> Reply {
    match error {
        Unavailable::Closing => {
            let text = format!("{kind} of {address} not queued: {error}; ask again later");
            Reply::new(503, text).after(10)
        }
        // Paths and reasons are for the administrator.
        Unavailable::Store(_) => {
            let text = format!(
                "{kind} of {address} not queued: the job could not be stored; the server's log says why; ask again later"
            );
            Reply::new(500, text)
        }
    }
}

/// The answer about a job that was waited for, or looked at.
pub fn standing(job: JobId, kind: JobKind, state: JobState, address: &str, waited: bool) -> Reply {
    let status = match state {
        JobState::Queued | JobState::Running if waited => 202,
        // As the original has it.
        JobState::Failed | JobState::Interrupted | JobState::Cancelled if waited => 599,
        _ => 200,
    };
    let more = if state == JobState::Failed {
        format!("; `cdist trigger show {job}` tells why")
    } else {
        String::new()
    };
    Reply::about(status, job, state, format!("{kind} {state}: job {job} for {address}{more}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(path: &str) -> Option<JobKind> {
        match parse(path, None) {
            Ok(Wish::Job { kind, .. }) => Some(kind),
            _ => None,
        }
    }

    #[test]
    fn only_a_prefix_with_its_slash_is_a_job() {
        for path in ["/install/", "/install/x/../config/", "/cdist/install/", "/install//"] {
            assert_eq!(kind(path), Some(JobKind::Install), "{path}");
        }
        assert_eq!(kind("/cdist/config/web"), Some(JobKind::Config));
        for path in [
            "/",
            "",
            "*",
            "/install",
            "//install/",
            "/./install/",
            "/x/../install/",
            "/%69nstall/",
            "/INSTALL/",
            "/cdistinstall/",
            "/cdist//install/",
            "/cdist/cdist/install/",
            "/install%2f",
            "install/",
            "\\install/",
            "/file/present",
            "/jobs/",
            "/jobs/x",
            "/jobs/-",
            "/jobs/+2",
            "/jobs/-2",
            "/healthz/",
            "http://x/install/",
        ] {
            assert_eq!(kind(path), None, "{path}");
        }
        assert_eq!(parse("/file/present/x", None), Ok(Wish::File(true)));
        assert_eq!(parse("/file/absent/", None), Ok(Wish::File(false)));
        assert_eq!(parse("/jobs/17", None), Ok(Wish::Look(17)));
        let nothing = parse("/", None).unwrap_err();
        assert_eq!(nothing.status, 404);
        assert_eq!(nothing.message.lines().count(), 1);
    }

    #[test]
    fn waiting_is_a_number() {
        let wait = |query: &str| match parse("/config/a", Some(query)) {
            Ok(Wish::Job { wait, path, .. }) => {
                assert_eq!(path, format!("a?{query}"));
                Ok(wait)
            }
            Ok(other) => panic!("{other:?}"),
            Err(reply) => Err(reply.status),
        };
        assert_eq!(wait("wait=60"), Ok(Some(60)));
        assert_eq!(wait("a=1&wait=99999999"), Ok(Some(3600)));
        assert_eq!(wait("a"), Ok(None));
        for bad in ["wait=", "wait=-1", "wait=+1", "wait=1.5", "wait=x"] {
            assert_eq!(wait(bad), Err(400), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_target_is_recorded_as_it_is_or_refused(path in "[!-~]{0,40}|/install/[!-~]{0,600}", query in prop::option::of("[!-~]{0,40}")) {
            if let Ok(Wish::Job { path: recorded, .. }) = parse(&path, query.as_deref()) {
                let whole = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
                prop_assert!(whole.contains(&recorded) && recorded.len() <= PATH_MAX);
                prop_assert!(path.starts_with("/install/") || path.starts_with("/config/") || path.starts_with("/cdist/"));
            }
        }
    }
}
