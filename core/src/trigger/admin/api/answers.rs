//! What each endpoint answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
    http::request::Parts,
};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Caller, DOCUMENT, Status, Way, json,
    logs::{self, Part},
    parameters::{self, Query},
    problem::Problem,
    routes::Endpoint,
    view::{
        CommitProblemView, JobDetails, JobDone, JobList, JobView, MachineDetails, MachineDone, MachineList,
        MachineView, StatusView, actions, time,
    },
};
use crate::{
    net::http::{self, Body},
    trigger::{
        admin::metrics,
        dispatcher::{Order, OrderDone},
        job::{Job, JobId, MachineId, Millis},
        ledger::OrderError,
        store::JobFilter,
    },
};

/// How many jobs or machines a list has by default.
const LIST: u64 = 50;
/// The most that it has.
const LIST_MAX: u64 = 500;
/// How many jobs are told of one machine.
const LAST_JOBS: usize = 10;
/// The longest `tail`.
const TAIL_MAX: u64 = 1 << 30;
/// For how long a machine is armed by default.
const ARMED: u64 = 24 * 3600;
/// The longest.
const ARMED_MAX: u64 = 365 * 24 * 3600;
const TEXT: &str = "text/plain; charset=utf-8";
const STATES: &str = "queued, running, succeeded, failed, interrupted or cancelled";

type Answer = Result<Response<Body>, Problem>;

impl Status {
    /// Answers a request that leads to `endpoint`; `word` is the part of the path that differs.
    pub(super) async fn endpoint(
        &self,
        endpoint: Endpoint,
        word: &str,
        head: &Parts,
        body: &Bytes,
        caller: Caller,
    ) -> Answer {
        let known: &[&str] = match endpoint {
            Endpoint::Jobs => &["state", "kind", "machine", "before", "limit"],
            Endpoint::Log => &["attempt", "follow", "tail"],
            Endpoint::Events => &["attempt", "tail"],
            Endpoint::Machines => &["after", "limit"],
            _ => &[],
        };
        let query = Query::read(head.uri.query(), known)?;
        match endpoint {
            Endpoint::Status => self.status().await,
            Endpoint::Jobs => self.jobs(&query).await,
            Endpoint::Job => self.job(parameters::job_id(word)?, caller).await,
            Endpoint::Log => self.log(parameters::job_id(word)?, &query, caller).await,
            Endpoint::Events => self.events(parameters::job_id(word)?, &query, caller).await,
            Endpoint::Cancel => self.cancel(parameters::job_id(word)?).await,
            Endpoint::Retry => self.retry(parameters::job_id(word)?).await,
            Endpoint::Machines => self.machines(&query).await,
            Endpoint::Machine => self.machine(word).await,
            Endpoint::Arm => {
                let seconds = parameters::seconds(body, ARMED, 1..=ARMED_MAX)?;
                self.change_machine(Order::Arm(word.to_owned(), Duration::from_secs(seconds))).await
            }
            Endpoint::Disarm => self.change_machine(Order::Disarm(word.to_owned())).await,
            Endpoint::Forget => self.change_machine(Order::Forget(word.to_owned())).await,
            Endpoint::Document => {
                Ok(http::response(StatusCode::OK, "application/json", http::full(DOCUMENT)))
            }
            Endpoint::Metrics => {
                let text = metrics::text(self.dispatcher.counters(), &self.dispatcher.counts().await?);
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                Ok(http::response(StatusCode::OK, kind, http::full(text)))
            }
            Endpoint::Health => Ok(match self.dispatcher.counters().complaint() {
                None => http::response(StatusCode::OK, TEXT, http::full("ok\n")),
                Some(why) => {
                    let body = http::full(format!("{why}\n"));
                    http::response(StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
                }
            }),
        }
    }

    async fn status(&self) -> Answer {
        let (counters, rules) = (self.dispatcher.counters(), self.dispatcher.rules());
        let number = |counter: &AtomicU64| counter.load(Relaxed);
        let problem = counters.commit_problem();
        let view = StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.to_string(),
            uptime_seconds: self.clock.elapsed().as_secs(),
            healthy: counters.is_healthy(),
            complaint: counters.complaint().map(str::to_owned),
            state_dir: self.state_dir.clone(),
            listeners: self.listeners.clone(),
            install_policy: rules.policy,
            jobs_at_once: rules.at_once,
            queue_max: rules.queue_max,
            machines_max: rules.machines_max,
            retries: rules.retries,
            dry_run: rules.dry_run,
            waiting: number(&counters.waiting),
            running: number(&counters.running),
            machines: number(&counters.machines),
            connections: number(&counters.connections),
            jobs: self.dispatcher.counts().await?.into_iter().collect(),
            commits: number(&counters.commits),
            commits_failed: number(&counters.commits_failed),
            last_commit_problem: problem
                .map(|problem| CommitProblemView { at: time(problem.at), reason: problem.reason }),
        };
        Ok(json(StatusCode::OK, &view))
    }

    async fn jobs(&self, query: &Query) -> Answer {
        let limit = limit(query)?;
        let machine = match query.text("machine") {
            None => None,
            // A number also finds the jobs of a machine that is forgotten.
            Some(word) => Some(match word.parse() {
                Ok(id) => id,
                Err(_) => self.find(word).await?,
            }),
        };
        let filter = JobFilter {
            state: query.word("state", STATES)?,
            kind: query.word("kind", "install or config")?,
            machine,
            before: query.id("before", 1)?,
            limit,
        };
        let jobs = self.list(filter).await?;
        let next = jobs.last().map(|job| job.id).filter(|_| jobs.len() == limit);
        Ok(json(StatusCode::OK, &JobList { jobs, next }))
    }

    async fn job(&self, id: JobId, caller: Caller) -> Answer {
        let mut job = self.stored(id).await?;
        if !caller.is_known
            && let Some(report) = &mut job.report
        {
            // As with the log.
            report.streams.clear();
        }
        let machine = self.dispatcher.machine(job.machine).await?;
        let now = now();
        let log = self.dispatcher.jobs_dir().log(id, job.attempts);
        let details = JobDetails {
            job: JobView::new(&job, machine.as_ref(), now),
            actions: actions(job.state, machine.is_some()),
            machine_record: machine.map(|machine| MachineView::new(&machine, now)),
            log: (job.attempts > 0).then_some(log),
            facts: job.facts,
            report: job.report,
        };
        Ok(json(StatusCode::OK, &details))
    }

    /// One more log may be followed. The socket has connections of its own.
    fn stream(&self, caller: Caller) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        if caller.way == Way::Socket {
            return Ok(None);
        }
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        permit.map(Some).map_err(|_| {
            let error = "too many logs are followed just now";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, error).hint("ask again when others have ended")
        })
    }

    async fn log(&self, id: JobId, query: &Query, caller: Caller) -> Answer {
        let (job, part) = self.part(id, query).await?;
        let part = Part { follow: query.switch("follow")?, ..part };
        let permit = self.stream(caller)?;
        let body = logs::log(&self.dispatcher, &job, part, self.stop.clone(), permit).await?;
        Ok(http::response(StatusCode::OK, TEXT, body))
    }

    async fn events(&self, id: JobId, query: &Query, caller: Caller) -> Answer {
        let (_, part) = self.part(id, query).await?;
        let permit = self.stream(caller)?;
        let body = logs::events(&self.dispatcher, id, part, self.stop.clone(), permit);
        Ok(http::response(StatusCode::OK, "text/event-stream", body))
    }

    /// A job, and which part of its log is asked for.
    async fn part(&self, id: JobId, query: &Query) -> Result<(Job, Part), Problem> {
        let attempt = query.number("attempt", 1..=u64::from(u32::MAX))?;
        let attempt = attempt.and_then(|attempt| u32::try_from(attempt).ok());
        let tail = query.number("tail", 0..=TAIL_MAX)?;
        let job = self.stored(id).await?;
        if let Some(attempt) = attempt.filter(|attempt| *attempt > job.attempts.max(1)) {
            let had = match job.attempts {
                1 => "1 attempt".to_owned(),
                n => format!("{n} attempts"),
            };
            return Err(Problem::not_found(format!("job {id} has no attempt {attempt}"))
                .hint(format!("there have been {had} so far")));
        }
        Ok((job, Part { attempt, tail, follow: false }))
    }

    async fn cancel(&self, id: JobId) -> Answer {
        let OrderDone::Cancelled(ended) = self.order(Order::Cancel(id)).await? else { return Err(inside()) };
        let (status, message) = if ended {
            (StatusCode::OK, format!("job {id} is cancelled"))
        } else {
            (StatusCode::ACCEPTED, format!("job {id} is told to stop"))
        };
        Ok(json(status, &JobDone { job: id, message }))
    }

    async fn retry(&self, id: JobId) -> Answer {
        let OrderDone::Retried(job) = self.order(Order::Retry(id)).await? else { return Err(inside()) };
        let message = format!("job {job} does job {id} again");
        let mut response = json(StatusCode::ACCEPTED, &JobDone { job, message });
        if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/jobs/{job}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }

    async fn machines(&self, query: &Query) -> Answer {
        let limit = limit(query)?;
        let after = query.id("after", 0)?.unwrap_or(0);
        let now = now();
        let machines = self.dispatcher.machines(after, limit).await?;
        let machines: Vec<_> = machines.iter().map(|machine| MachineView::new(machine, now)).collect();
        let next = machines.last().map(|machine| machine.id).filter(|_| machines.len() == limit);
        Ok(json(StatusCode::OK, &MachineList { machines, next }))
    }

    async fn machine(&self, word: &str) -> Answer {
        let id = self.find(word).await?;
        let unknown = || OrderError::UnknownMachine(word.to_owned());
        let machine = self.dispatcher.machine(id).await?.ok_or_else(unknown)?;
        let filter = JobFilter { machine: Some(id), limit: LAST_JOBS, ..JobFilter::default() };
        let jobs = self.list(filter).await?;
        Ok(json(StatusCode::OK, &MachineDetails { machine: MachineView::new(&machine, now()), jobs }))
    }

    async fn change_machine(&self, order: Order) -> Answer {
        let (machine, armed_until, what) = match self.order(order).await? {
            OrderDone::Armed(machine, until) => (machine, time(until), "may be installed once more"),
            OrderDone::Disarmed(machine) => (machine, None, "is not armed"),
            OrderDone::Forgotten(machine) => (machine, None, "is forgotten"),
            _ => return Err(inside()),
        };
        let until = armed_until.as_deref().map(|until| format!(", until {until}")).unwrap_or_default();
        let message = format!("machine {machine} {what}{until}");
        Ok(json(StatusCode::OK, &MachineDone { machine, armed_until, message }))
    }

    async fn order(&self, order: Order) -> Result<OrderDone, Problem> {
        Ok(self.dispatcher.order(order).await??)
    }

    async fn find(&self, word: &str) -> Result<MachineId, Problem> {
        match self.order(Order::Find(word.to_owned())).await? {
            OrderDone::Found(machine) => Ok(machine),
            _ => Err(inside()),
        }
    }

    async fn stored(&self, id: JobId) -> Result<Job, Problem> {
        let job = self.dispatcher.job(id).await?;
        Ok(job.ok_or(OrderError::UnknownJob(id))?)
    }

    async fn list(&self, filter: JobFilter) -> Result<Vec<JobView>, Problem> {
        let jobs = self.dispatcher.jobs(filter).await?;
        let mut ids: Vec<MachineId> = jobs.iter().map(|job| job.machine).collect();
        ids.sort_unstable();
        ids.dedup();
        let machines = self.dispatcher.machines_of(ids).await?;
        let now = now();
        let view = |job: &Job| {
            let machine = machines.iter().find(|machine| machine.id == job.machine);
            JobView::new(job, machine, now)
        };
        Ok(jobs.iter().map(view).collect())
    }
}

fn limit(query: &Query) -> Result<usize, Problem> {
    let limit = query.number("limit", 1..=LIST_MAX)?.unwrap_or(LIST);
    usize::try_from(limit).map_err(|_| inside())
}

fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// What cannot happen.
fn inside() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed inside")
}
