//! What a server's answer, or the lack of one, means for a mail.
//!
//! | what | lasts |
//! |---|---|
//! | 5xx to MAIL, RCPT, DATA or the mail | never; with a limit where it is about size |
//! | 5xx before a mail: greeting, EHLO, STARTTLS, AUTH; 530, 534, 535, 538 anywhere | later: a person mends the access, and the mail is as good as before |
//! | 4xx, no connection, no answer, TLS, a wrong certificate | later |
//! | the connection broke after the dot | later, and it may have arrived |

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::response::{Code, Response, Severity};
use rustls::CertificateError;

use super::super::failure::{Failure, SMALLER, one_line};
use super::super::transport::SmtpServer;
use crate::format::mail::base64;
use crate::format::settings::Secret;

/// How far a dialogue was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Within the mail.
    Body,
    /// The dot behind the mail.
    End,
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// lettre's word.
    Smtp(SmtpError),
    /// An answer that says yes, but not to what was said.
    Unexpected(Response),
}

/// Puts answers into words, for one server.
pub(super) struct Talk {
    place: String,
    has_login: bool,
    /// The password in every form in which a server may repeat it.
    secrets: Vec<String>,
}

impl Step {
    fn is_of_mail(self) -> bool {
        matches!(self, Step::Mail | Step::Rcpt | Step::Data | Step::Body | Step::End)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "the connection",
            Step::Ehlo => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Auth => "AUTH",
            Step::Mail => "MAIL FROM",
            Step::Rcpt => "RCPT TO",
            Step::Data => "DATA",
            Step::Body | Step::End => "the mail",
        })
    }
}

impl From<SmtpError> for Fault {
    fn from(error: SmtpError) -> Fault {
        Fault::Smtp(error)
    }
}

impl Fault {
    fn smtp(&self) -> Option<&SmtpError> {
        match self {
            Fault::Smtp(error) => Some(error),
            Fault::Unexpected(_) => None,
        }
    }

    fn status(&self) -> Option<Code> {
        self.smtp().and_then(SmtpError::status)
    }

    /// Whether an answer was waited for in vain.
    pub(super) fn is_slow(&self) -> bool {
        self.smtp().is_some_and(is_slow)
    }

    /// Whether the server said anything with a code.
    pub(super) fn is_reply(&self) -> bool {
        self.status().is_some() || matches!(self, Fault::Unexpected(_))
    }

    /// Whether the server showed a certificate that only vouches for others.
    pub(super) fn is_of_a_ca(&self) -> bool {
        let why = self.smtp().and_then(certificate);
        why.is_some_and(|why| format!("{why:?}").contains(CA_AS_SERVER))
    }

    /// Whether the connection is of no more use after it.
    pub(super) fn closes(&self) -> bool {
        self.status().is_none_or(|code| u16::from(code) == 421)
    }
}

impl Talk {
    pub(super) fn new(server: &SmtpServer, login: Option<&(String, Secret)>) -> Talk {
        let mut secrets = Vec::new();
        if let Some((user, password)) = login {
            let password = password.expose();
            secrets = vec![
                base64(format!("\0{user}\0{password}").as_bytes()),
                base64(format!("user={user}\x01auth=Bearer {password}\x01\x01").as_bytes()),
                base64(password.as_bytes()),
                password.to_owned(),
            ];
            secrets.retain(|secret| !secret.is_empty());
        }
        Talk { place: server.place(), has_login: login.is_some(), secrets }
    }

    /// Holds an answer that says yes to what the step has to hear.
    pub(super) fn expected(&self, step: Step, reply: Response) -> Result<(), Fault> {
        let severity = match step {
            Step::Data => Severity::PositiveIntermediate,
            _ => Severity::PositiveCompletion,
        };
        if reply.code().severity == severity { Ok(()) } else { Err(Fault::Unexpected(reply)) }
    }

    /// Refuses a mail of `size` bytes where the server said that it takes less.
    pub(super) fn size_fits(&self, size: u64, size_max: Option<u64>) -> Result<(), Failure> {
        let Some(limit) = size_max.filter(|limit| size > *limit) else { return Ok(()) };
        let what =
            format!("{}: the mail has {size} bytes, and the server takes {limit}", self.place);
        Err(Failure::never(what).hinted(SMALLER).with_limit(Some(limit)))
    }

    /// Returns what trouble before any mail means.
    pub(super) fn failure(&self, step: Step, fault: &Fault, waited: Duration) -> Failure {
        self.of_mail(step, fault, waited, (0, None))
    }

    /// Returns what trouble with a mail of `limit.0` bytes means, where the server said that it
    /// takes `limit.1`.
    pub(super) fn of_mail(
        &self,
        step: Step,
        fault: &Fault,
        waited: Duration,
        limit: (u64, Option<u64>),
    ) -> Failure {
        let place = &self.place;
        if let Some(code) = fault.status() {
            return self.refused(step, code, &self.words(step, fault), limit);
        }
        let failure = match fault {
            Fault::Unexpected(reply) => {
                Failure::later(format!("{place}: {step} was answered with {}", reply.code()))
            }
            Fault::Smtp(error) => self.unanswered(step, error, waited),
        };
        match step {
            Step::End => failure.hinted(
                "it may have arrived: sent again it is the same mail with the same Message-ID, \
                 and a package that comes twice counts once",
            ),
            _ => failure,
        }
    }

    /// Returns what trouble with the connection itself means.
    pub(super) fn io(&self, step: Step, error: &io::Error) -> Failure {
        Failure::later(format!("{}: {step}: {error}", self.place))
    }

    /// Whether it makes no sense to try again at once.
    pub(super) fn is_lasting(&self, step: Step, fault: &Fault) -> bool {
        let timed_out = || {
            let io = fault.smtp().and_then(io_of);
            io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        };
        let wrong_certificate = || fault.smtp().is_some_and(|error| certificate(error).is_some());
        let refused = step == Step::Auth && fault.status().is_some();
        refused || fault.is_slow() || timed_out() || wrong_certificate()
    }

    fn refused(
        &self,
        step: Step,
        code: Code,
        words: &str,
        (size, size_max): (u64, Option<u64>),
    ) -> Failure {
        let number = u16::from(code);
        let status = enhanced(words).map_or_else(|| number.to_string(), str::to_owned);
        let what = format!("{}: {step} was answered with {number} {words}", self.place);
        let what = what.trim_end().to_owned();
        let is_of_access = matches!(number, 530 | 534 | 535 | 538) || !step.is_of_mail();
        if code.severity != Severity::PermanentNegativeCompletion || is_of_access {
            let hint = self.hint(step, number);
            return Failure::later(what).with_status(status).hinted(hint);
        }
        let is_size = matches!(status.as_str(), "5.3.4" | "5.2.3" | "552");
        let failure = Failure::never(what).with_status(status);
        if is_size {
            let limit = size_max.filter(|limit| *limit < size).unwrap_or(size.saturating_sub(1));
            return failure.hinted(SMALLER).with_limit(Some(limit));
        }
        failure.hinted(self.hint(step, number))
    }

    fn hint(&self, step: Step, code: u16) -> &'static str {
        match (step, code) {
            (_, 530 | 534 | 535 | 538) | (Step::Auth, 500..) if self.has_login => {
                "look at the user and the password (\"user\", \"password_file\" under [mail]): \
                 nothing is lost, the mail is sent when they are right"
            }
            (_, 530 | 534 | 535 | 538) => {
                "the server asks for a user and a password: \"user\" and \"password_file\" under \
                 [mail] in the settings"
            }
            (Step::Rcpt, 500..) => "is the site's address right? \"remsync list remote\" shows it",
            (Step::Mail, 500..) => {
                "is this an address that the server lets you send from? \"from\" under [mail]"
            }
            _ => "",
        }
    }

    fn unanswered(&self, step: Step, error: &SmtpError, waited: Duration) -> Failure {
        let place = &self.place;
        if let Some(why) = certificate(error) {
            let words =
                one_line(rustls::Error::InvalidCertificate(why.clone()).to_string().as_bytes());
            let words = words.strip_prefix("invalid peer certificate: ").unwrap_or(&words);
            let what = format!("{place}: the server's certificate is not accepted: {words}");
            return Failure::later(what).hinted(advice(why, words));
        }
        if is_slow(error) {
            let s = waited.as_secs();
            return Failure::later(format!("{place}: no answer to {step} within {s} s"));
        }
        let tls = io_of(error).and_then(io::Error::get_ref);
        if let Some(tls) = tls.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Failure::later(format!("{place}: TLS: {tls}")).hinted(
                "smtps:// is TLS from the first byte (port 465), smtp:// begins without (port 587)",
            );
        }
        if let Some(io) = io_of(error) {
            let hint = match step {
                Step::Connect => "is the network there, and are host and port right?",
                _ => "",
            };
            return Failure::later(format!("{place}: {step}: {io}")).hinted(hint);
        }
        let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        match words.as_str() {
            "incomplete response" => {
                Failure::later(format!("{place}: the server hung up at {step}"))
            }
            words => Failure::later(format!("{place}: {step}: {}", one_line(words.as_bytes()))),
        }
    }

    /// Returns what the server said, without what it repeats of a password.
    fn words(&self, step: Step, fault: &Fault) -> String {
        let words = fault.smtp().and_then(|error| error.source()).map(ToString::to_string);
        let mut words = words.unwrap_or_default();
        if step == Step::Auth {
            for secret in &self.secrets {
                words = words.replace(secret.as_str(), "…");
            }
        }
        one_line(words.as_bytes())
    }
}

/// How rustls names a CA's certificate in a server's place; it has no variant for it.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// Whether an answer was waited for in vain: a socket's own time limit, `EAGAIN`.
pub(super) fn is_slow(error: &SmtpError) -> bool {
    io_of(error).is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn io_of(error: &SmtpError) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io);
        }
        source = cause.source();
    }
    None
}

fn certificate(error: &SmtpError) -> Option<&CertificateError> {
    match io_of(error)?.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    }
}

fn advice(why: &CertificateError, words: &str) -> &'static str {
    match why {
        CertificateError::UnknownIssuer => {
            "if it is a server of your own, \"ca_file\" under [mail] in the settings names its CA's \
             certificate; if not, somebody may be listening"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "name the server as its certificate does; if that is no name of it, somebody may be \
             listening"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "is the clock of this machine right?",
        _ if words.contains(CA_AS_SERVER) => {
            "if it is a server of your own, \"ca_file\" under [mail] in the settings names that very \
             certificate; if not, somebody may be listening"
        }
        _ => "\"ca_file\" under [mail] in the settings names certificates that are trusted too",
    }
}

/// Returns the enhanced status that an answer begins with, RFC 2034 and 3463.
fn enhanced(words: &str) -> Option<&str> {
    let word = words.split(' ').next()?;
    let numbers: Vec<&str> = word.split('.').collect();
    let is_number = |n: &&str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let is_class = matches!(numbers.first(), Some(&("4" | "5")));
    (numbers.len() == 3 && is_class && numbers.iter().all(is_number)).then_some(word)
}
