//! One machine: its identity, what was done to it, and what happens when it calls.

use maud::{Markup, html};

use super::{
    Ask,
    access::Visitor,
    actions::Deed,
    frame::{self, Frame},
    job::{VALUE_MAX, list},
    jobs, machines,
    problem::Problem,
    text,
};
use crate::trigger::{
    job::{Machine, MachineId, Millis},
    policy::InstallPolicy,
    store::JobFilter,
};

/// How many of its jobs are shown.
const SHOWN: usize = 20;

pub(super) async fn page(ask: &Ask<'_>, id: MachineId) -> Result<Frame, Problem> {
    let (dispatcher, now) = (ask.dispatcher, ask.now);
    let machine = dispatcher.machine(id).await?.ok_or_else(|| Problem::no_machine(id))?;
    let jobs = dispatcher.jobs(JobFilter { machine: Some(id), limit: SHOWN, ..JobFilter::default() }).await?;
    let content = html! {
        h1 { "Machine " (id) ", " (name(&machine)) }
        (Deed::notice(&ask.query))
        p.lead { (outlook(&machine, dispatcher.rules().policy, now)) }
        (buttons(&machine, ask.visitor, now))
        section aria-labelledby="details" { h2 id="details" { "Details" } (details(&machine, now)) }
        section aria-labelledby="jobs" {
            h2 id="jobs" { "Its jobs" }
            @if jobs.is_empty() {
                p { "It has none." }
            } @else {
                (jobs::table("Jobs of this machine, the newest first", &jobs, now))
                p { a href={ "/jobs?machine=" (id) } { "All its jobs" } }
            }
        }
    };
    let state = machine.install.map_or("never installed", crate::trigger::job::JobState::name);
    let armed = if is_armed(&machine, now) { "armed" } else { "not armed" };
    let newest = jobs.first().map(|job| format!(", job {} {}", job.id, job.state)).unwrap_or_default();
    let news = format!("machine {id}: install {state}, {armed}{newest}");
    Ok(Frame::new(format!("Machine {id}"), content).section("/machines").refreshed(news))
}

/// The address that stands for a machine.
pub(super) fn name(machine: &Machine) -> String {
    text::line(machine.mac.as_deref().unwrap_or(&machine.address), 80)
}

pub(super) fn is_armed(machine: &Machine, now: Millis) -> bool {
    machine.armed_until.is_some_and(|until| until > now)
}

/// What happens when it asks to be installed.
fn outlook(machine: &Machine, policy: InstallPolicy, now: Millis) -> Markup {
    let armed = machine.armed_until.filter(|until| *until > now);
    html! {
        @match (armed, policy.decide(machine, false)) {
            (Some(until), _) => {
                span.state.armed { "armed" } " It is installed when it calls " code { "/install/" }
                " the next time, once; that ends " (text::ago(until, now)) "."
            }
            (None, Ok(())) => {
                "It is installed when it calls " code { "/install/" }
                @if policy == InstallPolicy::Always { ", whenever that is: the install policy is always." } @else { "." }
            }
            (None, Err(refusal)) => {
                "It is not installed when it calls " code { "/install/" } ": " (refusal) "."
            }
        }
    }
}

fn buttons(machine: &Machine, visitor: &Visitor, now: Millis) -> Markup {
    let id = machine.id;
    html! {
        div.actions {
            a.button href={ "/machines/" (id) "/arm" } { "Arm for an install…" }
            @if is_armed(machine, now) {
                @if visitor.is_known() {
                    form method="post" action={ "/machines/" (id) "/disarm" } { (frame::secret(visitor)) button type="submit" { "Disarm" } }
                } @else {
                    a.button href=(frame::login_link(&format!("/machines/{id}"))) { "Log in to disarm" }
                }
            }
            a.button href={ "/machines/" (id) "/forget" } { "Forget…" }
        }
    }
}

fn details(machine: &Machine, now: Millis) -> Markup {
    let facts = &machine.facts;
    let value = |value: &Option<String>| value.as_deref().map(|value| text::line(value, VALUE_MAX));
    html! {
        (list([
            ("Hardware address", value(&machine.mac).or_else(|| Some("unknown; its address stands for it".to_owned()))),
            ("Address", Some(text::line(&machine.address, 80))),
            ("UUID", value(&facts.uuid)),
            ("Serial number", value(&facts.serial)),
        ]))
        dl {
            div { dt { "First seen" } dd { (text::moment(machine.first_seen, now)) } }
            div { dt { "Last seen" } dd { (text::moment(machine.last_seen, now)) } }
            div { dt { "Last install" } dd {
                @if let Some(state) = machine.install { (frame::badge(state)) } @else { "none yet" }
                @if let Some(at) = machine.installed { " " (text::moment(at, now)) }
            } }
            div { dt { "Armed" } dd { (machines::armed(machine, now)) } }
        }
        @if !facts.ssh_host_keys.is_empty() {
            details {
                summary { "ssh host keys, as the machine has told them: " (facts.ssh_host_keys.len()) }
                ul.keys { @for key in &facts.ssh_host_keys { li { code { (text::line(key, VALUE_MAX)) } } } }
            }
        }
    }
}
