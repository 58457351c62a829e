//! What a form of a session does. The answer is always another page to go on with, so that a reload does nothing twice.

use std::time::Duration;

use hyper::Response;
use maud::{Markup, html};

use super::{frame, problem::Problem, query::Query, route::Route};
use crate::{
    net::http::Body,
    trigger::dispatcher::{Dispatcher, Order, OrderDone},
};

/// For how long a machine can be armed here, in hours.
pub(super) const HOURS: [(u64, &str); 5] =
    [(1, "1 hour"), (4, "4 hours"), (24, "24 hours"), (72, "3 days"), (168, "7 days")];

/// What was done, in the query of the page that one goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Cancelled,
    Stopping,
    Retried,
    Armed,
    Disarmed,
    Forgotten,
}

impl Deed {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Cancelled, "cancelled", "The job is stopped; it had not begun."),
        (Self::Stopping, "stopping", "The job is told to stop. That may take some seconds."),
        (Self::Retried, "retried", "This job does it again."),
        (Self::Armed, "armed", "The machine is armed: it will be installed when it calls."),
        (Self::Disarmed, "disarmed", "The machine is disarmed."),
        (Self::Forgotten, "forgotten", "The machine is forgotten."),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(deed, _, _)| *deed == self).map_or("", |(_, word, _)| word)
    }

    /// The sentence for what the query says was done. Whatever else stands in it is not shown.
    pub(super) fn notice(query: &Query) -> Markup {
        let wanted = query.get("done");
        let sentence =
            Self::ALL.iter().find(|(_, word, _)| wanted == Some(*word)).map(|(_, _, sentence)| sentence);
        html! { @if let Some(sentence) = sentence { p.banner.good role="status" { (sentence) } } }
    }
}

/// Does it. The caller has checked the visitor's right to it.
pub(super) async fn act(
    dispatcher: &Dispatcher,
    route: Route,
    form: &Query,
) -> Result<Response<Body>, Problem> {
    let order = match route {
        Route::Cancel(id) => Order::Cancel(id),
        Route::Retry(id) => Order::Retry(id),
        Route::Arm(id) => Order::Arm(id.to_string(), hours(form)?),
        Route::Disarm(id) => Order::Disarm(id.to_string()),
        Route::Forget(id) => Order::Forget(id.to_string()),
        _ => return Err(Problem::Method(route.methods())),
    };
    tracing::info!("status page: {order:?}");
    let done = dispatcher.order(order).await??;
    let (path, deed) = match (done, route) {
        (OrderDone::Cancelled(at_once), Route::Cancel(id)) => {
            (format!("/jobs/{id}"), if at_once { Deed::Cancelled } else { Deed::Stopping })
        }
        (OrderDone::Retried(id), _) => (format!("/jobs/{id}"), Deed::Retried),
        (OrderDone::Armed(id, _), _) => (format!("/machines/{id}"), Deed::Armed),
        (OrderDone::Disarmed(id), _) => (format!("/machines/{id}"), Deed::Disarmed),
        (OrderDone::Forgotten(_), _) => ("/machines".to_owned(), Deed::Forgotten),
        // These orders have no other answers.
        _ => return Ok(frame::redirect("/")),
    };
    Ok(frame::redirect(&format!("{path}?done={}", deed.word())))
}

fn hours(form: &Query) -> Result<Duration, Problem> {
    let hours: Option<u64> = form.typed("hours")?;
    let known = |hours: &u64| HOURS.iter().any(|(known, _)| known == hours);
    let hours =
        hours.filter(known).ok_or_else(|| Problem::bad("hours", form.get("hours").unwrap_or_default()))?;
    Ok(Duration::from_secs(hours * 3600))
}
