//! `cdist trigger jobs` and the like: asks a running server through its socket.

mod hosts;
mod job_screen;
mod jobs;
mod log;
mod screen;
mod server_screen;
mod table;
#[cfg(test)]
mod tests;
mod times;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use cdist_core::{
    host::parent_of,
    trigger::{
        admin::api::view::{JobDetails, JobDone, MachineDone, StatusView},
        client::{self, Client, ClientError},
        job::{JobId, JobKind, JobState},
        store,
    },
    trust,
};
use serde_json::json;

use self::screen::Screen;
use crate::{
    terminal::{
        failure::Failure,
        printable::{self, line, quoted},
        stdout,
    },
    trigger::values,
};

/// What is asked of a running server.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum TriggerCommand {
    /// List jobs, the newest first
    #[command(infer_long_args = true, args_override_self = true)]
    Jobs {
        /// Jobs in this state: queued, running, succeeded, failed, interrupted, cancelled
        #[arg(short, long)]
        state: Option<JobState>,
        /// Jobs of this kind: install, config
        #[arg(short, long)]
        kind: Option<JobKind>,
        /// Jobs of this machine: its number, hardware address or address
        #[arg(short = 'H', long, value_name = "HOST")]
        host: Option<String>,
        /// At most N
        #[arg(short, long = "count", value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..=500))]
        n: u32,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Tell everything about a job: what failed where, and why
    #[command(infer_long_args = true, args_override_self = true)]
    Show {
        /// Number of the job
        id: JobId,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Print the log of a job; with -f the exit status is 0 if the job has succeeded
    #[command(infer_long_args = true, args_override_self = true)]
    Log {
        /// Number of the job
        id: JobId,
        /// Go on until the attempt ends; then exit with 0 if the job has succeeded, with 1 otherwise
        #[arg(short, long)]
        follow: bool,
        /// Print the log of this attempt [default: the last one]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        attempt: Option<u32>,
        #[command(flatten)]
        server: Server,
    },
    /// Stop a job
    #[command(infer_long_args = true, args_override_self = true)]
    Cancel {
        /// Number of the job
        id: JobId,
        #[command(flatten)]
        server: Server,
    },
    /// Do a job again that has ended, whatever the install policy says
    #[command(infer_long_args = true, args_override_self = true)]
    Retry {
        /// Number of the job
        id: JobId,
        #[command(flatten)]
        server: Server,
    },
    /// Let a machine be installed once more, when it asks
    #[command(infer_long_args = true, args_override_self = true)]
    Arm {
        /// Number, hardware address or address of the machine
        host: String,
        /// If it asks within this time
        #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = values::time)]
        time: Duration,
        /// Take that back
        #[arg(long, conflicts_with = "time")]
        off: bool,
        #[command(flatten)]
        server: Server,
    },
    /// List machines
    #[command(infer_long_args = true, args_override_self = true)]
    Hosts {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Forget a machine, and with it whether it was installed
    #[command(infer_long_args = true, args_override_self = true)]
    Forget {
        /// Number, hardware address or address of the machine
        host: String,
        #[command(flatten)]
        server: Server,
    },
    /// Tell how the server is doing
    #[command(infer_long_args = true, args_override_self = true)]
    Status {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Copy the database to a file, whether a server runs or not
    #[command(infer_long_args = true, args_override_self = true)]
    Backup {
        /// The copy; an older one is replaced
        file: PathBuf,
        #[command(flatten)]
        server: Server,
    },
}

/// Which server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Server {
    /// State directory of the server [default: ~/.cdist/trigger]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// In which form.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Print what the API of the server answers
    #[arg(long)]
    json: bool,
}

impl Server {
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(values::state_dir(self.state_dir.as_deref())?)?)
    }

    /// A command that asks the same server.
    fn command(&self, words: &str) -> String {
        let option = self.state_dir.as_deref().map(|dir| format!(" --state-dir {}", quoted(dir)));
        format!("cdist trigger {words}{}", option.unwrap_or_default())
    }
}

/// Asks a server, or copies its database.
///
/// # Errors
///
/// No server runs there, or it refuses; exit status 1.
pub(crate) fn run(command: &TriggerCommand) -> Result<i32, Failure> {
    let mut out = io::stdout().lock();
    match answer(command, &Screen::of_stdout(), &mut out) {
        Ok(status) => Ok(status),
        Err(Stopped::Failed(failure)) => Err(failure),
        Err(Stopped::Output(error)) => stdout::finish(Err(error)).map(|()| 0),
    }
}

/// Why a command does not come to its end.
#[derive(Debug)]
enum Stopped {
    Failed(Failure),
    Output(io::Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::from_error(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn answer(command: &TriggerCommand, screen: &Screen, out: &mut dyn Write) -> Result<i32, Stopped> {
    match command {
        TriggerCommand::Jobs { state, kind, host, n, output, server } => {
            let path = jobs::path(*state, *kind, host.as_deref(), *n);
            let text = server.client()?.get(&path)?;
            if output.json {
                out.write_all(printable::json(&text).as_bytes())?;
            } else {
                out.write_all(jobs::table(&client::read(&text)?, screen).as_bytes())?;
            }
        }
        TriggerCommand::Show { id, output, server } => {
            let text = server.client()?.get(&format!("/jobs/{id}"))?;
            if output.json {
                out.write_all(printable::json(&text).as_bytes())?;
            } else {
                let job: JobDetails = client::read(&text)?;
                let next = |words: &str| server.command(words);
                out.write_all(job_screen::text(&job, screen, &next).as_bytes())?;
            }
        }
        TriggerCommand::Log { id, follow, attempt, server } => {
            let next = |words: &str| server.command(words);
            return log::print(&server.client()?, *id, *attempt, *follow, screen, &next, out);
        }
        TriggerCommand::Cancel { id, server } => {
            let done: JobDone = server.client()?.post(&format!("/jobs/{id}/cancel"), None)?;
            writeln!(out, "{}", line(&done.message))?;
        }
        TriggerCommand::Retry { id, server } => {
            let done: JobDone = server.client()?.post(&format!("/jobs/{id}/retry"), None)?;
            let follow = server.command(&format!("log -f {}", done.job));
            writeln!(out, "{}; `{follow}` shows how", line(&done.message))?;
        }
        TriggerCommand::Arm { host, off: true, server, .. } => {
            let done: MachineDone = server.client()?.post(&client::machine(host, "/disarm"), None)?;
            writeln!(out, "{}", line(&done.message))?;
        }
        TriggerCommand::Arm { host, time, server, .. } => {
            let body = json!({ "seconds": time.as_secs() });
            let done: MachineDone = server.client()?.post(&client::machine(host, "/arm"), Some(&body))?;
            let until = done.armed_until.as_deref().map(|until| screen.clock.date(until));
            let (machine, until) = (done.machine, until.unwrap_or_default());
            writeln!(out, "machine {machine} may be installed once more, until {until}")?;
        }
        TriggerCommand::Hosts { output, server } => {
            let machines = hosts::all(&server.client()?)?;
            if output.json {
                let all = json!({ "machines": machines, "next": null });
                writeln!(out, "{}", printable::json(&all.to_string()))?;
            } else {
                out.write_all(hosts::table(&machines, screen).as_bytes())?;
            }
        }
        TriggerCommand::Forget { host, server } => {
            let done: MachineDone = server.client()?.delete(&client::machine(host, ""))?;
            writeln!(out, "{}", line(&done.message))?;
        }
        TriggerCommand::Status { output, server } => {
            let text = server.client()?.get("/status")?;
            if output.json {
                out.write_all(printable::json(&text).as_bytes())?;
            } else {
                let status: StatusView = client::read(&text)?;
                out.write_all(server_screen::text(&status, screen).as_bytes())?;
            }
        }
        TriggerCommand::Backup { file, server } => {
            let state_dir = values::state_dir(server.state_dir.as_deref())?;
            // The copy is made beside the file, and by more than one call.
            trust::way_for_root("the directory of the backup", parent_of(file))
                .map_err(|error| Failure::new(error.to_string()))?;
            store::backup(&state_dir, file).map_err(values::not_stored)?;
        }
    }
    out.flush()?;
    Ok(0)
}
