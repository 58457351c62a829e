//! Pages that say what will happen, before something happens that cannot be taken back.

use maud::{Markup, html};

use super::{
    Ask,
    access::Visitor,
    actions::HOURS,
    frame::{self, Frame},
    machine,
    problem::Problem,
    text,
};
use crate::trigger::{
    job::{Job, JobId, JobKind, JobState, MachineId},
    policy::InstallPolicy,
};

const HOURS_DEFAULT: u64 = 24;

/// A question, and the way to say yes.
struct Question {
    title: String,
    warning: Markup,
    more: Markup,
    fields: Markup,
    /// Where yes is sent.
    path: String,
    yes: String,
    back: String,
}

impl Question {
    fn frame(self, visitor: &Visitor, section: &'static str) -> Frame {
        let content = html! {
            h1 { (self.title) }
            div.banner.bad { p { strong { (self.warning) } } }
            (self.more)
            @if visitor.is_known() {
                form.confirm method="post" action=(self.path) {
                    (frame::secret(visitor))
                    (self.fields)
                    div.actions {
                        button.danger type="submit" { (self.yes) }
                        a.button href=(self.back) { "Leave it as it is" }
                    }
                }
            } @else {
                p { "This needs a login." }
                div.actions {
                    a.button href=(frame::login_link(&self.path)) { "Log in" }
                    a.button href=(self.back) { "Leave it as it is" }
                }
            }
        };
        Frame::new(self.title, content).section(section)
    }
}

pub(super) async fn arm(ask: &Ask<'_>, id: MachineId) -> Result<Frame, Problem> {
    let found = ask.dispatcher.machine(id).await?.ok_or_else(|| Problem::no_machine(id))?;
    let (name, now) = (machine::name(&found), ask.now);
    let state = match found.install {
        Some(state) => {
            html! { "Its last install: " (frame::badge(state)) @if let Some(at) = found.installed { " " (text::moment(at, now)) } "." }
        }
        None => html! { "As far as this server knows, it was never installed." },
    };
    let question = Question {
        title: format!("Arm machine {id}, {name}?"),
        warning: html! {
            "Machine " (id) " will be installed" @if found.install.is_some() { " again" }
            " when it calls within the time below. An install erases its disks."
        },
        more: html! {
            p { (state) " Its last address was " (text::line(&found.address, 80)) ", " (text::ago(found.last_seen, now)) "." }
            p { "Nothing happens before it calls " code { "/install/" } ", which a machine does when it boots the PreOS from the \
                 network. It is installed once by this; you can disarm it until then." }
            @if ask.dispatcher.rules().policy == InstallPolicy::Always {
                p { "The install policy is always: it is installed whenever it calls, armed or not." }
            }
        },
        fields: html! {
            p {
                label for="hours" { "Armed for" } " "
                select id="hours" name="hours" {
                    @for (hours, words) in HOURS { option value=(hours) selected[hours == HOURS_DEFAULT] { (words) } }
                }
            }
        },
        path: format!("/machines/{id}/arm"),
        yes: format!("Arm machine {id}"),
        back: format!("/machines/{id}"),
    };
    Ok(question.frame(ask.visitor, "/machines"))
}

pub(super) async fn forget(ask: &Ask<'_>, id: MachineId) -> Result<Frame, Problem> {
    let found = ask.dispatcher.machine(id).await?.ok_or_else(|| Problem::no_machine(id))?;
    let after = match ask.dispatcher.rules().policy {
        InstallPolicy::Armed => "When it calls again, it is a new machine that has to be armed.",
        _ => {
            "When it calls again, it is a new machine: if it asks to be installed, it will be, and that erases its disks."
        }
    };
    let question = Question {
        title: format!("Forget machine {id}, {}?", machine::name(&found)),
        warning: html! { "The server will not know any more whether this machine was installed. " (after) },
        more: html! { p { "Its jobs and their logs stay until they are old. It cannot be forgotten while a job of it waits or runs." } },
        fields: html! {},
        path: format!("/machines/{id}/forget"),
        yes: format!("Forget machine {id}"),
        back: format!("/machines/{id}"),
    };
    Ok(question.frame(ask.visitor, "/machines"))
}

pub(super) async fn cancel(ask: &Ask<'_>, id: JobId) -> Result<Frame, Problem> {
    let job = ask.dispatcher.job(id).await?.ok_or_else(|| Problem::no_job(id))?;
    let warning = match (job.state, job.kind) {
        (JobState::Running, JobKind::Install) => html! {
            "The machine will be left half installed, and probably does not boot. It is not installed again by itself."
        },
        (JobState::Running, JobKind::Config) => {
            html! { "Some of its objects are done then, and others are not." }
        }
        (JobState::Queued, _) => html! { "It waits, so nothing was done yet; it will not be done." },
        _ => html! { "It has ended already; there is nothing to stop." },
    };
    let question = Question {
        title: format!("Stop job {id}, {} of {}?", job.kind, text::line(&job.address, 80)),
        warning,
        more: html! {},
        fields: html! {},
        path: format!("/jobs/{id}/cancel"),
        yes: format!("Stop job {id}"),
        back: format!("/jobs/{id}"),
    };
    Ok(question.frame(ask.visitor, "/jobs"))
}

pub(super) async fn retry(ask: &Ask<'_>, id: JobId) -> Result<Frame, Problem> {
    let job = ask.dispatcher.job(id).await?.ok_or_else(|| Problem::no_job(id))?;
    let question = Question {
        title: format!("Do job {id} again, {} of {}?", job.kind, text::line(&job.address, 80)),
        warning: retry_warning(&job),
        more: html! { p { "This does not wait for the machine to call: the job begins as soon as it is its turn, at the last \
        address of the machine. What answers there now has to be that machine." } },
        fields: html! {},
        path: format!("/jobs/{id}/retry"),
        yes: format!("Do job {id} again"),
        back: format!("/jobs/{id}"),
    };
    Ok(question.frame(ask.visitor, "/jobs"))
}

fn retry_warning(job: &Job) -> Markup {
    match job.kind {
        JobKind::Install => html! {
            "Machine " (job.machine) " will be installed now, whatever the install policy says. An install erases its disks."
        },
        JobKind::Config => html! { "Machine " (job.machine) " will be configured now." },
    }
}
