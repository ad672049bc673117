//! Mail over SMTP, RFC 5321, by lettre.
//!
//! lettre speaks the protocol and TLS; which command goes when, how long an answer is waited for
//! and what it means is ours, for its own transports hold a whole mail in memory, wait a minute for
//! everything, and know no SIZE. Invariants: a mail is streamed; a password goes over TLS, unless
//! the server is on this machine or the URL says `tls=none`; what the package's reader can't
//! deliver whole is never ended with a dot; one connection serves a whole broadcast.

mod reply;
mod trust;

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Ehlo, Quit};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use self::reply::{Fault, Step, Talk, is_slow};
use super::cargo::open_cargo;
use super::failure::Failure;
use super::transport::{SmtpServer, TlsUse};
use super::{Access, Carrier, Found};
use crate::format::mail::post::{Post, whole};
use crate::format::mail::{self, Letter, Pieces};
use crate::model::Address;

/// How long each answer is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The connection, TLS and the greeting; where only the greeting is late, [`Timeouts::answer`].
    pub connect: Duration,
    /// Every command, RFC 5321 section 4.5.3.2.1 to 4.5.3.2.4.
    pub answer: Duration,
    /// The mail and the dot after it, section 4.5.3.2.6: whatever looks at mails looks at it now.
    pub end: Duration,
}

/// How long a server's last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Gives each message to an SMTP server.
pub struct SmtpCarrier {
    server: SmtpServer,
    access: Access,
    timeouts: Timeouts,
    /// The open connection.
    line: Option<Line>,
    /// What will not be over within this broadcast: it is not tried again for every site.
    given_up: Option<Failure>,
    /// The server's certificate is a CA's: it has to be trusted itself.
    by_itself: bool,
}

/// Why there is no connection.
enum Setback {
    Failure(Failure),
    /// The server's own certificate is a CA's; it may still be one that is trusted itself.
    ByItself(Failure),
}

/// A connection that greeted, with TLS and AUTH behind it.
struct Line {
    connection: SmtpConnection,
    ehlo: Offers,
    /// Mails sent over it.
    mails: u32,
}

/// What a server says it can, RFC 5321 section 4.1.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offers {
    /// SIZE, RFC 1870.
    size: bool,
    /// The largest mail; none where it said 0 or nothing.
    size_max: Option<u64>,
    /// SMTPUTF8, RFC 6531.
    utf8: bool,
    /// Any AUTH at all.
    auth: bool,
}

/// Why a mail did not go, and what became of the connection.
struct Broke {
    failure: Failure,
    /// The connection is of no more use.
    closed: bool,
    /// Nothing of the mail itself was sent.
    early: bool,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(300),
            end: Duration::from_secs(600),
        }
    }
}

impl SmtpCarrier {
    /// Returns a carrier to `server`; nothing is connected yet.
    pub fn new(server: SmtpServer, access: Access) -> SmtpCarrier {
        SmtpCarrier::with_timeouts(server, access, Timeouts::default())
    }

    /// Returns a carrier that waits as long as `timeouts` say.
    pub fn with_timeouts(server: SmtpServer, access: Access, timeouts: Timeouts) -> SmtpCarrier {
        SmtpCarrier { server, access, timeouts, line: None, given_up: None, by_itself: false }
    }

    /// Connects, with TLS and AUTH, and takes its leave.
    ///
    /// # Errors
    /// As in sending.
    pub fn probe(&mut self) -> Result<Found, Failure> {
        let line = self.connect()?;
        let how = if line.connection.is_encrypted() { "over TLS" } else { "without TLS" };
        let user = self.access.login.as_ref().map(|(user, _)| format!(", knows {user}"));
        let what = format!(
            "{} answers {how}{}",
            self.server.place(),
            user.unwrap_or_else(|| ", asked for no password".into())
        );
        let limit_bytes = line.ehlo.size_max;
        self.line = Some(line);
        Ok(Found { what, limit_bytes })
    }

    /// Returns the open connection, or a new one.
    fn line(&mut self) -> Result<Line, Failure> {
        if let Some(line) = self.line.take() {
            return Ok(line);
        }
        if let Some(failure) = &self.given_up {
            return Err(failure.clone());
        }
        self.connect()
    }

    fn connect(&mut self) -> Result<Line, Failure> {
        let failure = match self.connect_once() {
            Ok(line) => return Ok(line),
            Err(Setback::Failure(failure)) => return Err(failure),
            Err(Setback::ByItself(failure)) => failure,
        };
        self.by_itself = true;
        match self.connect_once() {
            Ok(line) => Ok(line),
            Err(Setback::Failure(failure)) => Err(failure),
            Err(Setback::ByItself(_)) => {
                self.given_up = Some(failure.clone());
                Err(failure)
            }
        }
    }

    fn connect_once(&mut self) -> Result<Line, Setback> {
        let hello = hello(&self.server);
        let tls = match self.server.tls {
            TlsUse::Never => None,
            _ => Some(self.tls()?),
        };
        let mut connection = self.dial(&hello, tls.as_ref())?;
        let talk = Talk::new(&self.server, self.access.login.as_ref());
        let answer = self.timeouts.answer;
        connection.set_timeout(Some(answer)).map_err(|error| talk.io(Step::Connect, &error))?;
        if self.wants_starttls(&connection)?
            && let Some(tls) = &tls
        {
            let started = connection.starttls(tls, &hello);
            started.map_err(|error| self.final_failure(Step::StartTls, error, answer))?;
        }
        let ca_file = self.access.ca_file.as_deref();
        if self.by_itself
            && connection.is_encrypted()
            && !trust::is_trusted_itself(&connection, ca_file)
        {
            let what = format!("{}: the server's certificate is not trusted", self.server.place());
            return Err(Setback::ByItself(Failure::later(what)));
        }
        // lettre keeps of an EHLO what it uses itself.
        let reply = connection.command(Ehlo::new(hello));
        let ehlo = offers(&reply.map_err(|error| talk.failure(Step::Ehlo, &error.into(), answer))?);
        self.log_in(&mut connection, &ehlo)?;
        let place = self.server.place();
        log::info!("{place}: connected, TLS {}, {ehlo:?}", connection.is_encrypted());
        Ok(Line { connection, ehlo, mails: 0 })
    }

    /// Opens the connection. A greeting that is only late (some servers look long at whoever comes)
    /// is waited for once more, and longer.
    fn dial(
        &mut self,
        hello: &ClientId,
        tls: Option<&TlsParameters>,
    ) -> Result<SmtpConnection, Setback> {
        let tls = tls.filter(|_| self.server.tls == TlsUse::Wrapped);
        let place = (self.server.host.clone(), self.server.port);
        let connect =
            |time| SmtpConnection::connect((&*place.0, place.1), Some(time), hello, tls, None);
        let Timeouts { connect: first, answer, .. } = self.timeouts;
        match connect(first) {
            Err(error) if is_slow(&error) && first < answer => {
                connect(answer).map_err(|error| self.final_failure(Step::Connect, error, answer))
            }
            done => done.map_err(|error| self.final_failure(Step::Connect, error, first)),
        }
    }

    fn wants_starttls(&self, connection: &SmtpConnection) -> Result<bool, Failure> {
        let offered = connection.can_starttls();
        let place = self.server.place();
        match self.server.tls {
            TlsUse::Required if !offered => {
                let what = format!("{place}: the server offers no STARTTLS");
                Err(Failure::later(what).hinted(
                    "is it the port for mail of users? smtps:// (port 465) has TLS from the first \
                     byte; \"?tls=none\" after the URL sends without TLS, for all to read",
                ))
            }
            TlsUse::Required => Ok(true),
            TlsUse::Opportunistic => Ok(offered),
            TlsUse::Local => {
                let info = connection.server_info();
                Ok(offered
                    && self.access.login.is_some()
                    && info.get_auth_mechanism(self.mechanisms()).is_none())
            }
            TlsUse::Wrapped | TlsUse::Never => Ok(false),
        }
    }

    fn log_in(&mut self, connection: &mut SmtpConnection, ehlo: &Offers) -> Result<(), Setback> {
        let Some((user, password)) = &self.access.login else { return Ok(()) };
        let place = self.server.place();
        let is_asked_for = self.server.tls == TlsUse::Never;
        if !connection.is_encrypted() && !is_asked_for && !self.server.is_local() {
            let what = format!("{place}: the server offers no STARTTLS, and a password is needed");
            return Err(Setback::from(Failure::later(what).hinted(
                "smtps:// or \"?tls=required\" after the URL; \"?tls=none\" shows the password to \
                 everybody on the way",
            )));
        }
        let mechanisms = self.mechanisms();
        if connection.server_info().get_auth_mechanism(mechanisms).is_none() {
            let how = if self.server.xoauth2 { "AUTH XOAUTH2" } else { "AUTH PLAIN or LOGIN" };
            let offer = if ehlo.auth { "offers other AUTH than" } else { "offers no" };
            let what = format!("{place}: the server {offer} {how}");
            return Err(Setback::from(Failure::later(what).hinted(
                "is it the port for mail of users (587, 465)? A server that asks for no password \
                 needs no user in the settings",
            )));
        }
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        match connection.auth(mechanisms, &credentials) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.final_failure(Step::Auth, error, self.timeouts.answer)),
        }
    }

    fn mechanisms(&self) -> &'static [Mechanism] {
        match self.server.xoauth2 {
            true => &[Mechanism::Xoauth2],
            false => &[Mechanism::Plain, Mechanism::Login],
        }
    }

    /// Returns what an error before any mail means. What costs minutes, or an account that is
    /// locked after three wrong passwords, is not tried again for the next site.
    fn final_failure(&mut self, step: Step, error: SmtpError, waited: Duration) -> Setback {
        let talk = Talk::new(&self.server, self.access.login.as_ref());
        let fault = Fault::from(error);
        let failure = talk.failure(step, &fault, waited);
        if fault.is_of_a_ca() {
            return Setback::ByItself(failure);
        }
        if talk.is_lasting(step, &fault) {
            self.given_up = Some(failure.clone());
        }
        Setback::Failure(failure)
    }

    fn tls(&self) -> Result<TlsParameters, Failure> {
        let mut builder = TlsParameters::builder(self.server.host.clone());
        if let Some(path) = &self.access.ca_file {
            for certificate in trust::certificates(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if self.by_itself {
            // Its name and its key are looked at all the same; the rest is is_trusted_itself's.
            builder = builder.dangerous_accept_invalid_certs(true);
        }
        let place = self.server.place();
        let trouble = |error: SmtpError| Failure::later(format!("{place}: TLS: {error}"));
        builder.build().map_err(trouble)
    }
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Setback {
        Setback::Failure(failure)
    }
}

impl Carrier for SmtpCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let (_, length) = open_cargo(letter, package)?;
        let unfit = |error: io::Error| Failure::never(error.to_string());
        let size = mail::size_bytes(letter, length, signature);
        let envelope = Envelope::of(&letter.from, &letter.to, size).map_err(unfit)?;
        self.exchange(&envelope, package, &|| {
            let (source, _) = open_cargo(letter, package)?;
            mail::pieces(letter, source, signature).map_err(unfit)
        })
    }

    fn post(&mut self, post: &Post, message: Vec<u8>) -> Result<u64, Failure> {
        let unfit = |error: io::Error| Failure::never(error.to_string());
        let size = Ok(message.len() as u64);
        let envelope = Envelope::of(&post.from, &post.to, size).map_err(unfit)?;
        self.exchange(&envelope, Path::new("the mail"), &|| Ok(whole(message.clone())))
    }
}

impl SmtpCarrier {
    /// Sends a mail, whose pieces `make` makes, on the connection there is or a new one.
    fn exchange<'a>(
        &mut self,
        envelope: &Envelope,
        package: &Path,
        make: &dyn Fn() -> Result<Pieces<'a>, Failure>,
    ) -> Result<u64, Failure> {
        loop {
            let mut line = self.line()?;
            match self.transact(&mut line, envelope, make()?, package) {
                Ok(()) => {
                    line.mails += 1;
                    self.line = Some(line);
                    return Ok(envelope.size);
                }
                Err(Broke { failure, closed: false, .. }) => {
                    if self.reset(&mut line) {
                        self.line = Some(line);
                    }
                    return Err(failure);
                }
                Err(broke) if broke.early && line.mails > 0 => {
                    log::info!("{}: connecting again", broke.failure);
                }
                Err(broke) => return Err(broke.failure),
            }
        }
    }

    /// Sends one mail.
    fn transact(
        &self,
        line: &mut Line,
        envelope: &Envelope,
        pieces: Pieces,
        package: &Path,
    ) -> Result<(), Broke> {
        let talk = Talk::new(&self.server, self.access.login.as_ref());
        let Timeouts { answer, end, .. } = self.timeouts;
        let keep = |failure| Broke { failure, closed: false, early: true };
        talk.size_fits(envelope.size, line.ehlo.size_max).map_err(keep)?;
        if !envelope.is_ascii && !line.ehlo.utf8 {
            let what = format!("{}: it takes only addresses of ASCII letters", self.server.place());
            return Err(keep(Failure::never(what)));
        }
        let connection = &mut line.connection;
        let set = |connection: &mut SmtpConnection, time| {
            let set = connection.set_timeout(Some(time));
            set.map_err(|e| Broke { failure: talk.io(Step::Mail, &e), closed: true, early: true })
        };
        let limit = (envelope.size, line.ehlo.size_max);
        set(connection, answer)?;
        for (step, command) in [
            (Step::Mail, envelope.mail(&line.ehlo)),
            (Step::Rcpt, format!("RCPT TO:<{}>\r\n", envelope.to)),
            (Step::Data, "DATA\r\n".to_owned()),
        ] {
            let reply = connection.command(command).map_err(Fault::from);
            let reply = reply.and_then(|reply| talk.expected(step, reply));
            reply.map_err(|fault| Broke {
                failure: talk.of_mail(step, &fault, answer, limit),
                closed: fault.closes(),
                early: true,
            })?;
        }
        set(connection, end)?;
        let all = Cell::new(false);
        let body = Body { pieces, held: Vec::new(), all: &all };
        let late = |failure| Broke { failure, closed: true, early: false };
        // lettre takes an iterator, which has no way to say that it has to stop, and would end the
        // mail where it ends. So it is left by unwinding, and the connection dropped as it is.
        let sent = catch_unwind(AssertUnwindSafe(|| connection.message_iter(body)));
        let reply = match sent {
            Ok(reply) => reply,
            Err(cause) => return Err(late(Failure::of_file(package, &of_body(cause)))),
        };
        let reply = reply.map_err(Fault::from).and_then(|reply| talk.expected(Step::End, reply));
        let fault = match reply {
            Ok(()) => return Ok(()),
            Err(fault) => last_words(connection, fault),
        };
        let step = if all.get() { Step::End } else { Step::Body };
        let failure = talk.of_mail(step, &fault, end, limit);
        Err(Broke { failure, closed: fault.closes(), early: false })
    }

    /// Forgets the mail that was refused; returns whether the connection is still of use.
    fn reset(&self, line: &mut Line) -> bool {
        line.connection.command("RSET\r\n").is_ok()
    }
}

impl Drop for SmtpCarrier {
    fn drop(&mut self) {
        if let Some(line) = &mut self.line {
            // Every mail has its answer; that we leave is courtesy.
            let _ = line.connection.set_timeout(Some(LAST_WORDS));
            let _ = line.connection.command(Quit);
        }
    }
}

/// Who sends to whom, and how much.
struct Envelope {
    from: String,
    to: String,
    size: u64,
    is_ascii: bool,
}

impl Envelope {
    fn of(from: &Address, to: &Address, size: io::Result<u64>) -> io::Result<Envelope> {
        let from = mail::envelope_address(from)?;
        let to = mail::envelope_address(to)?;
        let is_ascii = from.is_ascii() && to.is_ascii();
        Ok(Envelope { from, to, size: size?, is_ascii })
    }

    fn mail(&self, ehlo: &Offers) -> String {
        let size = if ehlo.size { format!(" SIZE={}", self.size) } else { String::new() };
        let utf8 = if self.is_ascii { "" } else { " SMTPUTF8" };
        format!("MAIL FROM:<{}>{size}{utf8}\r\n", self.from)
    }
}

/// The mail as lettre takes it: without its last CRLF, which comes with the dot.
struct Body<'a> {
    pieces: Pieces<'a>,
    held: Vec<u8>,
    /// Set when nothing is left.
    all: &'a Cell<bool>,
}

impl Iterator for Body<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let Some(piece) = self.pieces.next() else {
            self.all.set(true);
            return None;
        };
        let piece = piece.unwrap_or_else(|error| resume_unwind(Box::new(error)));
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(&piece);
        self.held = bytes.split_off(bytes.len().saturating_sub(2));
        Some(bytes)
    }
}

/// Returns what made [`Body`] stop; a panic that is none of ours goes on.
fn of_body(cause: Box<dyn Any + Send>) -> io::Error {
    match cause.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(panic) => resume_unwind(panic),
    }
}

/// A server that has enough of a mail may say so and hang up before it was read to its end: what it
/// said is still to be had.
fn last_words(connection: &mut SmtpConnection, fault: Fault) -> Fault {
    if fault.is_reply() || fault.is_slow() {
        return fault;
    }
    let _ = connection.set_timeout(Some(LAST_WORDS));
    match connection.read_response().map_err(Fault::from) {
        Err(words) if words.is_reply() => words,
        _ => fault,
    }
}

/// Returns the name to greet with: the URL's, else this machine's where it is one for the world,
/// else an address literal (RFC 5321 section 4.1.4).
fn hello(server: &SmtpServer) -> ClientId {
    let nodename = rustix::system::uname();
    let nodename = nodename.nodename().to_string_lossy();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let is_known = nodename.trim_matches('.').contains('.') && nodename.chars().all(is_name);
    match &server.hello {
        Some(name) => ClientId::Domain(name.clone()),
        None if is_known => ClientId::Domain(nodename.into_owned()),
        None => ClientId::Ipv4(Ipv4Addr::LOCALHOST),
    }
}

fn offers(ehlo: &Response) -> Offers {
    let mut offers = Offers::default();
    for line in ehlo.message().skip(1) {
        let mut words = line.split_ascii_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "SIZE" => {
                offers.size = true;
                let size = words.next().and_then(|size| size.parse().ok());
                offers.size_max = size.filter(|size| *size > 0);
            }
            "SMTPUTF8" => offers.utf8 = true,
            "AUTH" => offers.auth = true,
            _ => {}
        }
    }
    offers
}
