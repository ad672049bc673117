//! `display --serve`: the page with two buttons, for the person who started it.
//!
//! Invariant: nothing is shown or done without the cookie that the token, used once, became; nothing
//! is done but by a POST with the form's own token, to this very host and port.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::edge::ssh::Stop;
use crate::edge::web::{Answer, Request, Server};
use crate::format::digest::hex;
use crate::format::page;

use super::super::outcome::{Failure, Outcome, answer, tell};
use super::super::session::Session;
use super::super::synchro::{carry_out, tally};
use super::{Shown, open_in_browser, view};

/// Serves the page until Ctrl-C.
///
/// # Errors
/// The system lets nobody listen.
pub fn run(session: &Session, directory: &Path, stop: &Stop) -> Result<Outcome, Failure> {
    let server = Server::bind()
        .map_err(|error| Failure::new(format!("127.0.0.1: cannot listen: {error}")))?;
    let mut desk = Desk {
        session,
        directory,
        stop,
        port: server.port(),
        token: Some(random()?),
        cookie: random()?,
        form: random()?,
        notice: String::new(),
    };
    let token = desk.token.clone().unwrap_or_default();
    let url = format!("http://127.0.0.1:{}/?token={token}", server.port());
    answer(&url);
    if !session.options.quiet {
        tell("remsync: this link is good once; Ctrl-C ends the server.");
    }
    if session.options.open {
        open_in_browser(&url);
    }
    server.serve(stop, &mut |request| desk.answer(request));
    Ok(Outcome::Done)
}

struct Desk<'d> {
    session: &'d Session,
    directory: &'d Path,
    stop: &'d Stop,
    port: u16,
    /// For the first visit; gone once it was used.
    token: Option<String>,
    cookie: String,
    form: String,
    notice: String,
}

impl Desk<'_> {
    fn answer(&mut self, request: &Request) -> Answer {
        let hosts = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        // A name that somebody else lets point to this machine is none of ours.
        if !hosts.contains(&request.host) {
            return plain("421 Misdirected Request", "This is not the host that was started.");
        }
        let given = request.query_fields().into_iter().find(|(key, _)| key == "token");
        if let (Some((_, given)), "GET") = (given, request.method.as_str()) {
            return self.admit(&given);
        }
        let name = self.cookie_name();
        if !request.cookie(&name).is_some_and(|given| is_same(given, &self.cookie)) {
            return plain(
                "403 Forbidden",
                "Open the link that \"remsync display --serve\" printed.",
            );
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => self.show(),
            ("POST", "/check" | "/synchro") => self.act(request, &hosts),
            ("GET", _) => plain("404 Not Found", "There is no such page."),
            _ => plain("405 Method Not Allowed", "Only the page's own buttons do something."),
        }
    }

    /// Makes a cookie of the token, which is then no good any more.
    fn admit(&mut self, given: &str) -> Answer {
        if !self.token.as_deref().is_some_and(|token| is_same(given, token)) {
            return plain("403 Forbidden", "This link was used already, or is another one's.");
        }
        self.token = None;
        let name = self.cookie_name();
        // Not a redirect: what another page's link leads to would come without the cookie.
        let mut answer = plain("200 OK", "");
        answer.body = b"<!DOCTYPE html><html lang=\"en\"><title>remsync</title>\
                        <meta http-equiv=\"refresh\" content=\"0; url=/\">\
                        <p><a href=\"/\">Go on</a></p></html>"
            .to_vec();
        let cookie = format!("{name}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie);
        answer.headers.push(("Set-Cookie", cookie));
        answer
    }

    fn show(&mut self) -> Answer {
        let shown = self.fresh().and_then(|session| {
            let shown = Shown::gather(&session, self.directory, false, self.stop)?;
            Ok((shown, session.now_ms))
        });
        let (shown, now_ms) = match shown {
            Ok(shown) => shown,
            Err(failure) => return plain("500 Internal Server Error", &failure.what),
        };
        let mut page = view::page(&shown, now_ms);
        page.notice = std::mem::take(&mut self.notice);
        // The plan that is ticked has to be the plan that was shown.
        page.form = Some(format!("{}-{}", self.form, shown.plan().checked_ms));
        Answer {
            status: "200 OK",
            headers: vec![(POLICY, page::policy(true) + "; frame-ancestors 'none'")],
            body: page::print(&page),
        }
    }

    fn act(&mut self, request: &Request, hosts: &[String]) -> Answer {
        let is_ours = request
            .origin
            .as_ref()
            .is_none_or(|origin| hosts.iter().any(|host| *origin == format!("http://{host}")));
        let fields = request.fields();
        let form = fields.iter().find(|(key, _)| key == "form").map(|(_, value)| value.as_str());
        let (token, checked) = form.and_then(|form| form.rsplit_once('-')).unwrap_or_default();
        if !is_ours || !is_same(token, &self.form) {
            return plain("403 Forbidden", "This was not sent by the page itself.");
        }
        let done = if request.path == "/check" {
            self.check().map(|()| "Checked again.".to_owned())
        } else {
            self.synchronise(&fields, checked)
        };
        self.notice = match done {
            Ok(done) => done,
            Err(failure) => format!("{}. {}", failure.what.trim_end_matches('.'), failure.hint),
        };
        let mut answer = plain("303 See Other", "");
        answer.headers.push(("Location", "/".to_owned()));
        answer
    }

    fn check(&self) -> Result<(), Failure> {
        Shown::gather(&self.fresh()?, self.directory, true, self.stop).map(drop)
    }

    fn synchronise(&self, fields: &[(String, String)], checked: &str) -> Result<String, Failure> {
        let session = self.fresh()?;
        let mut plan = Shown::gather(&session, self.directory, false, self.stop)?.checked.plan;
        if plan.checked_ms.to_string() != checked {
            return Ok("Everything was checked meanwhile: look again, then tick.".to_owned());
        }
        let ticks = fields.iter().filter(|(key, _)| key == "tick");
        let ticks: Vec<usize> = ticks.filter_map(|(_, value)| value.parse().ok()).collect();
        for (number, operation) in plan.operations.iter_mut().enumerate() {
            operation.is_ticked = ticks.contains(&number);
        }
        let mut ended = carry_out(&session, self.directory, &plan, self.stop)?;
        let mut notes = Vec::new();
        ended.retain(|(operation, _)| operation.is_ticked);
        for (operation, end) in &ended {
            use super::super::synchro::End;
            if let End::Held(why) | End::Failed(why) = end {
                notes.push(format!("{}: {why}", operation.path));
            }
        }
        self.check()?;
        let tally = tally(&ended, false);
        Ok(if notes.is_empty() { tally } else { format!("{tally}. {}.", notes.join("; ")) })
    }

    /// Returns the session as it would be if the command began now.
    fn fresh(&self) -> Result<Session, Failure> {
        Session::new(self.session.options.clone())
    }

    /// A cookie is for a host, whatever its port.
    fn cookie_name(&self) -> String {
        format!("remsync-{}", self.port)
    }
}

/// The header that says what a page may do.
const POLICY: &str = "Content-Security-Policy";

fn plain(status: &'static str, words: &str) -> Answer {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let body =
        format!("<!DOCTYPE html><html lang=\"en\"><title>remsync</title><p>{words}</p></html>");
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'".to_owned();
    Answer { status, headers: vec![(POLICY, policy)], body: body.into_bytes() }
}

/// Compares so that the time says nothing of how far two are alike.
fn is_same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()) == Sha256::digest(b.as_bytes())
}

fn random() -> Result<String, Failure> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; 32];
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::new(format!("{SOURCE}: {error}")))?;
    Ok(hex(&bytes))
}
