//! How mail leaves, as the settings and `REMSYNC_TRANSPORT` spell it.
//!
//! It connects to nothing. Invariant: no password is shown, in an error, in `Debug` or elsewhere;
//! what is wrong with a URL is said without repeating any of it, for where it is wrong it is not
//! known which part is the password.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::format::settings::Secret;

/// Port for mail without TLS, RFC 5321.
const PORT_SMTP: u16 = 25;
/// Port for submission with STARTTLS, RFC 6409.
const PORT_SUBMISSION: u16 = 587;
/// Port for submission with TLS from the first byte, RFC 8314.
const PORT_SUBMISSIONS: u16 = 465;

/// How mail leaves, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `maildir:DIR`.
    Maildir(PathBuf),
    /// `sendmail`, `sendmail:PATH`.
    Sendmail(Option<PathBuf>),
    /// `smtp://…`, `smtps://…`.
    Smtp(SmtpServer),
}

/// An SMTP server, as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// When TLS is spoken.
    pub tls: TlsUse,
    /// The name to greet with, where one is asked for.
    pub hello: Option<String>,
    /// The user for AUTH.
    pub user: Option<String>,
    /// The password for AUTH.
    pub password: Option<Secret>,
    /// Whether the password is a token: AUTH XOAUTH2.
    pub xoauth2: bool,
}

/// When TLS is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// From the first byte: `smtps://`.
    Wrapped,
    /// From STARTTLS on, or nothing is sent.
    Required,
    /// From STARTTLS on where the server offers it; a password goes over TLS only.
    Opportunistic,
    /// Never, as was asked for.
    Never,
    /// Not needed within this machine; used where the server offers AUTH over TLS only.
    Local,
}

/// Why some text names no transport.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// A word that we do not know.
    #[error(
        "the transport {0:?} is unknown; it is one of sendmail, sendmail:PATH, maildir:DIR, \
         smtp://HOST and smtps://HOST"
    )]
    Unknown(String),
    /// Nothing, or no absolute path, where a path belongs.
    #[error("the transport {0} needs an absolute path after its colon")]
    NoPath(&'static str),
    /// No host in an SMTP URL.
    #[error("the transport {0} needs a host")]
    NoHost(&'static str),
    /// No port after the host's colon.
    #[error(
        "the transport {0} has no number from 1 to 65535 for a port; in a user or password, \
         @ : / ? # and % are written %40 %3A %2F %3F %23 and %25"
    )]
    Port(&'static str),
    /// A percent sign that begins no code.
    #[error("the transport {0} has a % in its user or password that is not written %25")]
    Escape(&'static str),
    /// A name to greet with that is none.
    #[error("the transport {0} has a path, and that is no host's name to greet the server with")]
    Hello(&'static str),
    /// A parameter that we do not know.
    #[error(
        "the transport {0} has a parameter that is none of tls=required, tls=opportunistic, \
         tls=none (not with smtps://) and auth=xoauth2"
    )]
    Parameter(&'static str),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Maildir(dir) => write!(f, "maildir:{}", dir.display()),
            Transport::Sendmail(None) => f.write_str("sendmail"),
            Transport::Sendmail(Some(program)) => write!(f, "sendmail:{}", program.display()),
            Transport::Smtp(server) => {
                let scheme = if server.tls == TlsUse::Wrapped { SMTPS } else { SMTP };
                write!(f, "{scheme}{}", server.place())
            }
        }
    }
}

impl SmtpServer {
    /// Returns `HOST:PORT`, which holds nothing secret.
    pub fn place(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether the server is on this machine: nobody listens on the way.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

const SMTP: &str = "smtp://";
const SMTPS: &str = "smtps://";

/// Reads a transport as settings and `REMSYNC_TRANSPORT` spell it.
///
/// # Errors
/// What is wrong with `text`; nothing of a URL is repeated.
pub fn parse_transport(text: &str) -> Result<Transport, TransportFault> {
    let text = text.trim();
    let path = |kind, path: &str| match PathBuf::from(path) {
        path if path.is_absolute() => Ok(path),
        _ => Err(TransportFault::NoPath(kind)),
    };
    if text == "sendmail" {
        return Ok(Transport::Sendmail(None));
    }
    if let Some(program) = text.strip_prefix("sendmail:") {
        return Ok(Transport::Sendmail(Some(path("sendmail:", program)?)));
    }
    if let Some(dir) = text.strip_prefix("maildir:") {
        return Ok(Transport::Maildir(path("maildir:", dir)?));
    }
    for scheme in [SMTP, SMTPS] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return Ok(Transport::Smtp(parse_server(scheme, rest)?));
        }
    }
    let word: String = text.chars().take_while(|c| *c != ':').take(40).collect();
    Err(TransportFault::Unknown(word))
}

/// Reads `[USER[:PASSWORD]@]HOST[:PORT][/HELLO][?PARAMETERS]`, as lettre's URLs are; but without a
/// parameter `smtp://` means STARTTLS, except within this machine.
fn parse_server(scheme: &'static str, rest: &str) -> Result<SmtpServer, TransportFault> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => (login, place),
        None => ("", authority),
    };
    let (host, port) = split_port(place);
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(port @ 1..) => Some(port),
            _ => return Err(TransportFault::Port(scheme)),
        },
    };
    if !is_host(host) {
        return Err(TransportFault::NoHost(scheme));
    }
    let mut tls = match (scheme, is_local(host)) {
        (SMTPS, _) => TlsUse::Wrapped,
        (_, true) => TlsUse::Local,
        (_, false) => TlsUse::Required,
    };
    let mut xoauth2 = false;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match (scheme, parameter) {
            (SMTP, "tls=required") => tls = TlsUse::Required,
            (SMTP, "tls=opportunistic") => tls = TlsUse::Opportunistic,
            (SMTP, "tls=none") => tls = TlsUse::Never,
            (SMTPS, "tls=required") => {}
            (_, "auth=xoauth2") => xoauth2 = true,
            _ => return Err(TransportFault::Parameter(scheme)),
        }
    }
    let hello = Some(path.trim_matches('/')).filter(|hello| !hello.is_empty());
    if hello.is_some_and(|hello| !is_host(hello)) {
        return Err(TransportFault::Hello(scheme));
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| match text {
        "" => Ok(None),
        text => percent_decoded(text).map(Some).ok_or(TransportFault::Escape(scheme)),
    };
    Ok(SmtpServer {
        host: host.to_owned(),
        port: port.unwrap_or(match tls {
            TlsUse::Wrapped => PORT_SUBMISSIONS,
            TlsUse::Required | TlsUse::Opportunistic => PORT_SUBMISSION,
            TlsUse::Never | TlsUse::Local => PORT_SMTP,
        }),
        tls,
        hello: hello.map(str::to_owned),
        user: decoded(user)?,
        password: decoded(password)?.map(Secret::from),
        xoauth2,
    })
}

/// Splits `HOST:PORT` and `[IPv6]:PORT`.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) };
        return (host, port);
    }
    match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

/// Whether this is a host: an address, or a name as DNS has them (RFC 1123), `_` allowed.
fn is_host(host: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_label =
        |label: &str| !label.is_empty() && label.len() < 64 && label.chars().all(is_name);
    let name = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok() || (host.len() < 254 && name.split('.').all(is_label))
}

fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_address = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name == "localhost" || name.ends_with(".localhost")
}

/// RFC 3986 section 2.1; what is decoded has to be UTF-8, and no control character.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (code, tail) = tail.split_at_checked(2)?;
        let digit = |b: u8| char::from(b).to_digit(16);
        let &[high, low] = code else { return None };
        bytes.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_read() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (text, expected) in [
            ("sendmail", Some(Transport::Sendmail(None))),
            (" sendmail\n", Some(Transport::Sendmail(None))),
            ("sendmail:/x/y", Some(Transport::Sendmail(path("/x/y")))),
            ("maildir:/var/mail d", Some(Transport::Maildir("/var/mail d".into()))),
            ("", None),
            ("Sendmail", None),
            ("sendmail:", None),
            ("sendmail:x", None),
            ("maildir:", None),
            ("maildir:x", None),
            ("ftp://u:secret@h", None),
        ] {
            let answer = parse_transport(text);
            assert_eq!(answer.clone().ok(), expected, "{text}");
            assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
        }
    }

    #[test]
    fn servers_are_read() {
        use TlsUse::{Local, Never, Opportunistic, Required, Wrapped};
        for (text, place, tls) in [
            ("smtp://mail.example", "mail.example:587", Required),
            ("smtp://mail.example:25", "mail.example:25", Required),
            ("smtp://mail.example?tls=required", "mail.example:587", Required),
            ("smtp://mail.example/?tls=opportunistic", "mail.example:587", Opportunistic),
            ("smtp://mail.example?tls=none", "mail.example:25", Never),
            ("smtps://mail.example", "mail.example:465", Wrapped),
            ("smtps://mail.example:1465?tls=required", "mail.example:1465", Wrapped),
            ("smtp://localhost", "localhost:25", Local),
            ("smtp://mx.localhost.", "mx.localhost.:25", Local),
            ("smtp://127.0.0.9:2525", "127.0.0.9:2525", Local),
            ("smtp://[::1]", "[::1]:25", Local),
            ("smtp://[::1]:2525?tls=required", "[::1]:2525", Required),
            ("smtp://127.0.0.1?tls=required", "127.0.0.1:587", Required),
            ("smtp://10.0.0.1", "10.0.0.1:587", Required),
        ] {
            let Ok(Transport::Smtp(server)) = parse_transport(text) else { panic!("{text}") };
            assert_eq!((server.place().as_str(), server.tls), (place, tls), "{text}");
            assert_eq!((server.user, server.password, server.hello), (None, None, None));
        }
        let text =
            "smtps://ana%40ship.example:s%3Ae%2Fc%25ret@mail.example/me.example?auth=xoauth2";
        let Ok(Transport::Smtp(server)) = parse_transport(text) else { panic!() };
        assert_eq!(server.user.as_deref(), Some("ana@ship.example"));
        assert_eq!(server.password.as_ref().map(Secret::expose), Some("s:e/c%ret"));
        assert_eq!((server.hello.as_deref(), server.xoauth2), (Some("me.example"), true));
        // An @ in the user, as people type it.
        let Ok(Transport::Smtp(server)) = parse_transport("smtp://a@b.example:pw@mail.example")
        else {
            panic!()
        };
        assert_eq!(server.user.as_deref(), Some("a@b.example"));
        assert_eq!(server.host, "mail.example");
    }

    #[test]
    fn what_is_no_server_is_said_and_never_repeated() {
        for (text, word) in [
            ("smtp://", "needs a host"),
            ("smtp://u:hunter2@", "needs a host"),
            ("smtp://u:hunter2@h ost", "needs a host"),
            ("smtp://u:hunter2@a..b", "needs a host"),
            ("smtp://u:hunter2@h:0", "65535"),
            ("smtp://u:hunter2@h:65536", "65535"),
            ("smtp://u:hunter2@[::1]x", "65535"),
            ("smtp://u:hunter2/x@h", "65535"),
            ("smtp://u:hunter2?x@h", "65535"),
            ("smtp://u:1/hunter2@h", "greet"),
            ("smtp://u:1?hunter2@h", "parameter"),
            ("smtp://u:hunter2%zz@h", "%25"),
            ("smtp://u:hunter2%0a@h", "%25"),
            ("smtp://u:hunter2@h?tls=maybe", "parameter"),
            ("smtps://u:hunter2@h?tls=none", "parameter"),
            ("smtp://u:hunter2@h#x", "needs a host"),
        ] {
            let fault = parse_transport(text).unwrap_err();
            assert!(fault.to_string().contains(word), "{text}: {fault}");
            assert!(!format!("{fault} {fault:?}").contains("hunter"), "{text}: {fault:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let smtp = parse_transport("smtps://u:hunter2@h:465").unwrap();
        assert!(!format!("{smtp:?} {smtp:#?} {smtp}").contains("hunter"), "{smtp:?}");
        assert_eq!(smtp.to_string(), "smtps://h:465");
    }
}
