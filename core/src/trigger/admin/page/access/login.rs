//! Logging in with the server's token, and out again.

use std::time::{Duration, Instant};

use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use maud::{Markup, html};
use tokio::time::{sleep, timeout};

use super::visitor::{COOKIE, Session, Visitor};
use crate::{
    net::http::Body,
    trigger::admin::page::{
        Ask, Page,
        frame::{self, Frame},
        problem::Problem,
        query::Query,
        route,
    },
};

/// How long a wrong token is thought about.
const WRONG: Duration = Duration::from_secs(1);
/// How long one waits while others try.
const TURN: Duration = Duration::from_secs(10);

/// The form.
pub(in crate::trigger::admin::page) fn page(ask: &Ask<'_>) -> Response<Body> {
    let next = route::next(ask.query.get("next"));
    if ask.visitor.is_known() {
        return frame::redirect(next);
    }
    Frame::new("Log in", form(next, false)).answer(ask.visitor, "/login")
}

fn form(next: &str, wrong: bool) -> Markup {
    html! {
        h1 { "Log in" }
        @if wrong { p.banner.bad role="alert" id="wrong" { "That is not the token. Nothing was changed." } }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            p {
                label for="token" { "Token" }
                input id="token" name="token" type="password" required autocomplete="current-password" maxlength="512"
                    aria-describedby=(if wrong { "wrong where" } else { "where" }) aria-invalid=[wrong.then_some("true")] autofocus;
            }
            p.quiet id="where" {
                "It is the line in the file " code { "status-token" } " in the server's state directory, or in the file that "
                code { "--status-token-file" } " names."
            }
            div.actions { button type="submit" { "Log in" } }
        }
    }
}

impl Page {
    pub(in crate::trigger::admin::page) async fn log_in(
        &self,
        form: &Query,
        visitor: &Visitor,
    ) -> Result<Response<Body>, Problem> {
        let next = route::next(form.get("next"));
        // Compared before the wait for a turn: a right token is never delayed by guesses of others. Guesses that end before
        // their turn are of no use, for a token is too long to be found by them.
        if !self.token.is(form.get("token").unwrap_or_default().trim().as_bytes()) {
            // Guesses get a few answers a second, however many connections there are.
            let Ok(Ok(_turn)) = timeout(TURN, self.logins.acquire()).await else {
                return Err(Problem::TooMany("Too many try to log in. Wait a little, and try again."));
            };
            sleep(WRONG).await;
            tracing::warn!("status page: somebody has tried to log in with a wrong token");
            let mut response = Frame::new("Log in", self::form(next, true)).answer(visitor, "/login");
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
        let id = {
            let mut sessions = self.sessions();
            // An older session of the same browser ends.
            if let Some(old) = visitor.session() {
                sessions.end(&old.id);
            }
            let begun = sessions.begin(Instant::now());
            begun.map_err(|error| Problem::Inside(format!("The system has no random numbers: {error}.")))?
        };
        tracing::info!("status page: somebody has logged in");
        let mut response = frame::redirect(next);
        set_cookie(&mut response, &format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/"));
        Ok(response)
    }

    pub(in crate::trigger::admin::page) fn log_out(&self, session: &Session) -> Response<Body> {
        self.sessions().end(&session.id);
        let mut response = frame::redirect("/");
        set_cookie(&mut response, &format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"));
        response
    }
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}
