//! The list of machines.

use maud::{Markup, html};

use super::{
    Ask,
    frame::{self, Frame},
    jobs,
    problem::Problem,
    text,
};
use crate::trigger::job::{Machine, Millis};

/// How many machines a page has.
const SHOWN: usize = 50;

pub(super) async fn page(ask: &Ask<'_>) -> Result<Frame, Problem> {
    let (dispatcher, now) = (ask.dispatcher, ask.now);
    let after: i64 = ask.query.typed("after")?.unwrap_or(0);
    let mut machines = dispatcher.machines(after, SHOWN + 1).await?;
    let has_more = machines.len() > SHOWN;
    machines.truncate(SHOWN);
    let content = html! {
        h1 { "Machines" }
        @if machines.is_empty() {
            p { @if after > 0 { "There are no more machines." } @else { "No machine has called yet. A machine is known once it has called." } }
        } @else {
            (table(&machines, now))
        }
        @let first = (after > 0).then(|| "/machines".to_owned());
        @let more = machines.last().filter(|_| has_more).map(|last| format!("/machines?after={}", last.id));
        (jobs::pages((first, "First"), (more, "More")))
    };
    let known = dispatcher.counters().machines.load(std::sync::atomic::Ordering::Relaxed);
    Ok(Frame::new("Machines", content).section("/machines").refreshed(format!("{known} machines are known")))
}

fn table(machines: &[Machine], now: Millis) -> Markup {
    html! {
        table.cards {
            caption { "Machines that have called, by number" }
            thead { tr {
                @for name in ["Machine", "Hardware address", "Address", "Last seen", "Install", "Armed", "Newest job"] {
                    th scope="col" { (name) }
                }
            } }
            tbody {
                @for machine in machines {
                    tr {
                        th scope="row" { a href={ "/machines/" (machine.id) } { "Machine " (machine.id) } }
                        td data-label="Hardware address" { (text::line(machine.mac.as_deref().unwrap_or("unknown"), 80)) }
                        td data-label="Address" { (text::line(&machine.address, 80)) }
                        td data-label="Last seen" { (text::ago(machine.last_seen, now)) }
                        td data-label="Install" { @if let Some(state) = machine.install { (frame::badge(state)) } @else { "none yet" } }
                        td data-label="Armed" { (armed(machine, now)) }
                        td data-label="Newest job" { @if let Some(job) = machine.last_job { a href={ "/jobs/" (job) } { "Job " (job) } } }
                    }
                }
            }
        }
    }
}

/// Until when it may be installed once more.
pub(super) fn armed(machine: &Machine, now: Millis) -> Markup {
    match machine.armed_until.filter(|until| *until > now) {
        Some(until) => html! { span.state.armed { "armed" } ", ends " (text::ago(until, now)) },
        None => html! { "no" },
    }
}
