//! What all pages have in common: head, navigation, foot, and the headers that keep browsers from doing more than
//! showing them.

use hyper::{
    Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use maud::{DOCTYPE, Markup, html};

use super::{access::Visitor, route};
use crate::{
    net::http::{self, Body},
    trigger::job::JobState,
};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
const REFERRER: &str = "same-origin";

/// One page, without its frame.
pub(super) struct Frame {
    title: String,
    content: Markup,
    section: Option<&'static str>,
    news: Option<String>,
    refresh: bool,
}

impl Frame {
    pub(super) fn new(title: impl Into<String>, content: Markup) -> Self {
        Self { title: title.into(), content, section: None, news: None, refresh: false }
    }

    /// Below which entry of the navigation it is.
    pub(super) fn section(mut self, path: &'static str) -> Self {
        self.section = Some(path);
        self
    }

    /// The page is loaded again now and then; when `news` is another one, it is read aloud.
    pub(super) fn refreshed(mut self, news: String) -> Self {
        self.refresh = true;
        self.news = Some(news);
        self
    }

    /// The whole answer. `here` is where a login leads back to.
    pub(super) fn answer(self, visitor: &Visitor, here: &str) -> Response<Body> {
        let page = self.whole(visitor, here).into_string();
        safe(http::response(StatusCode::OK, "text/html; charset=utf-8", http::full(page)))
    }

    fn whole(&self, visitor: &Visitor, here: &str) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (self.title) " · cdist trigger" }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="icon" href="data:,";
                    link rel="stylesheet" href="/style.css";
                    script src="/page.js" defer {}
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        span.name { "cdist trigger" }
                        nav aria-label="Main" { ul {
                            @for (path, name) in [("/", "Overview"), ("/jobs", "Jobs"), ("/machines", "Machines")] {
                                li { a href=(path) aria-current=[(self.section == Some(path)).then_some("true")] { (name) } }
                            }
                        } }
                        (account(visitor, here))
                    }
                    main id="content" tabindex="-1" data-refresh=[self.refresh.then_some("5")] data-news=[&self.news] {
                        (self.content)
                    }
                    footer {
                        p { "cdist " (env!("CARGO_PKG_VERSION")) ". All times are UTC." }
                        p id="fresh" role="status" aria-live="polite" {}
                    }
                }
            }
        }
    }
}

fn account(visitor: &Visitor, here: &str) -> Markup {
    match visitor.csrf() {
        Some(_) => html! {
            form.account method="post" action="/logout" { (secret(visitor)) button.quiet type="submit" { "Log out" } }
        },
        None => html! { a.account href=(login_link(here)) { "Log in" } },
    }
}

/// The hidden field by which a form is known as ours.
pub(super) fn secret(visitor: &Visitor) -> Markup {
    html! { @if let Some(csrf) = visitor.csrf() { input type="hidden" name="csrf" value=(csrf); } }
}

/// The login page that leads back to a page.
pub(super) fn login_link(next: &str) -> String {
    if matches!(next, "/" | "/login") {
        return "/login".to_owned();
    }
    let mut query = form_urlencoded::Serializer::for_suffix("/login?".to_owned(), "/login?".len());
    query.append_pair("next", route::next(Some(next)));
    query.finish()
}

/// The word for a state, with a colour and a shape.
pub(super) fn badge(state: JobState) -> Markup {
    html! { span.state.{ (state.name()) } { (state.name()) } }
}

/// A sentence in which what is between backquotes is a command.
pub(super) fn commands(sentence: &str) -> Markup {
    html! {
        @for (at, part) in sentence.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An answer that leads to another page of ours.
pub(super) fn redirect(to: &str) -> Response<Body> {
    let body = http::full(format!("go on with {to}\n"));
    let mut response = safe(http::response(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", body));
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    response
}

/// The headers of every answer.
pub(super) fn safe(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, REFERRER),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
