//! `mail-files`: files by ordinary mail, to one or many; and what `mailshar` shares with it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::edge::carrier::Carrier;
use crate::edge::state::State;
use crate::format::mail::post::{self, Attachment, Body, Post};
use crate::model::Address;

use super::help::usage;
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell, tell_failure};
use super::session::Session;
use super::sites::{guessed_address, parse_address};

/// Bytes of all files of one call: they are in memory.
const BYTES_MAX: u64 = 256 << 20;
/// Bytes of a distribution list.
const LIST_BYTES_MAX: u64 = 1 << 20;
/// Bytes that the headers of a mail may take.
const HEADERS_BYTES: u64 = 2 << 10;

/// Mails files as attachments, as many mails as their size asks for, to each destination.
///
/// # Errors
/// What was typed cannot be, or nothing can be sent at all.
pub fn run(session: &Session, words: &[OsString]) -> Result<Outcome, Failure> {
    let typed = Typed::parse(words)?;
    let [destination, kind, subject, files @ ..] = typed.words.as_slice() else {
        return Err(misuse());
    };
    if files.is_empty() {
        return Err(misuse());
    }
    let limit = typed.size_bytes.or(session.settings.size_max_bytes);
    let mut outcome = Outcome::Done;
    let attachments = attachments(files, limit, &mut outcome)?;
    let mails = grouped(attachments, limit);
    let subject = format!("{}: {}", kind.to_string_lossy(), subject.to_string_lossy());
    let bodies: Vec<Body> = mails.into_iter().map(Body::Files).collect();
    let sender = Sender { session, kind_and_subject: &subject, is_traced: typed.is_traced };
    Ok(outcome.and(sender.send(&destinations(destination)?, &bodies)?))
}

/// What is typed behind `mail-files` and `mailshar`: options of their own.
#[derive(Debug, Default)]
pub struct Typed {
    /// `-s`: bytes of one mail.
    pub size_bytes: Option<u64>,
    /// `-x`: say what is done.
    pub is_traced: bool,
    /// `-S`: the subject.
    pub subject: Option<OsString>,
    /// The last of `-M -T -B -z -Z -j`.
    pub mode: Option<char>,
    /// All else.
    pub words: Vec<OsString>,
}

impl Typed {
    /// Reads it.
    ///
    /// # Errors
    /// An option that neither has, or one without its value.
    pub fn parse(words: &[OsString]) -> Result<Typed, Failure> {
        use lexopt::Arg::{Short, Value};
        let fault = |error: lexopt::Error| {
            Failure::new(error).hinted("\"remsync --help\" and remsync(1) tell what they take")
        };
        let mut typed = Typed::default();
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next().map_err(fault)? {
            match argument {
                Short('s') => {
                    let size = parser.value().map_err(fault)?;
                    let kilobytes = size.to_str().and_then(|size| size.parse::<u64>().ok());
                    let bytes = kilobytes.and_then(|size| size.checked_mul(1024));
                    let why = || Failure::new("-s takes a number of kilobytes").hinted("-s 60");
                    typed.size_bytes = Some(bytes.filter(|bytes| *bytes > 0).ok_or_else(why)?);
                }
                Short('x') => typed.is_traced = true,
                Short('S') => typed.subject = Some(parser.value().map_err(fault)?),
                Short(mode @ ('M' | 'T' | 'B' | 'z' | 'Z' | 'j')) => typed.mode = Some(mode),
                Value(word) => typed.words.push(word),
                other => return Err(fault(other.unexpected())),
            }
        }
        Ok(typed)
    }
}

/// Sends the same mails to several.
pub struct Sender<'a> {
    /// The run.
    pub session: &'a Session,
    /// `TYPE: SUBJECT`; of several mails each has its number before the colon.
    pub kind_and_subject: &'a str,
    /// Whether each mail is told.
    pub is_traced: bool,
}

/// What went to one destination.
#[derive(Default)]
struct Sent {
    mails: usize,
    bytes: u64,
    /// Why the next mail did not go; empty if all went.
    error: String,
}

impl Sent {
    fn document(&self, to: &Address) -> Value {
        let Sent { mails, bytes, error } = self;
        json!({ "address": to.as_str(), "sent": mails, "bytes": bytes, "error": error })
    }
}

impl Sender<'_> {
    /// Sends `bodies` to each; one destination in trouble does not stop the others.
    ///
    /// # Errors
    /// There is no author, or no carrier.
    pub fn send(&self, destinations: &[Address], bodies: &[Body]) -> Result<Outcome, Failure> {
        let session = self.session;
        let from = author(session)?;
        let made_s = i64::try_from(session.now_ms / 1000).unwrap_or(i64::MAX);
        let date = Timestamp::from_second(made_s)?.to_zoned(TimeZone::system());
        let mut carrier = session.carrier()?;
        let mut outcome = Outcome::Done;
        let mut sites = Vec::new();
        for to in destinations {
            let mails = bodies.iter().enumerate().map(|(at, body)| Post {
                from: from.clone(),
                to: to.clone(),
                subject: self.subject(at, bodies.len()),
                date: date.clone(),
                body: body.clone(),
            });
            let sent = self.send_to(to, mails, carrier.as_mut())?;
            if !sent.error.is_empty() {
                outcome = Outcome::Failed;
            }
            sites.push(sent.document(to));
        }
        if session.options.json {
            answer_json(&json!({ "sites": sites }));
        }
        Ok(outcome)
    }

    /// Sends mails to one destination, until one does not go.
    fn send_to(
        &self,
        to: &Address,
        mails: impl Iterator<Item = Post>,
        carrier: &mut dyn Carrier,
    ) -> Result<Sent, Failure> {
        let options = &self.session.options;
        let mut sent = Sent::default();
        for mail in mails {
            let message = post::post(&mail)?;
            if self.is_traced || options.dry_run {
                let would = if options.dry_run { "would be mailed" } else { "mailing" };
                let (subject, bytes) = (&mail.subject, message.len());
                tell(format_args!("{would} to {to}: {subject}, {bytes} bytes"));
            }
            if options.dry_run {
                continue;
            }
            match carrier.post(&mail, message) {
                Ok(bytes) => (sent.mails, sent.bytes) = (sent.mails + 1, sent.bytes + bytes),
                Err(failure) => {
                    sent.error = failure.to_string();
                    let what = format!("{to}: not sent: {failure}");
                    tell_failure(&Failure::new(what).hinted(failure.hint));
                    break;
                }
            }
        }
        if !options.json && !options.quiet && !options.dry_run {
            answer(format_args!("{to}: {} sent", counted(sent.mails, "mail", "mails")));
        }
        Ok(sent)
    }

    /// `TYPE: SUBJECT`, or `TYPE (2/3): SUBJECT`, as they always were.
    fn subject(&self, at: usize, count: usize) -> String {
        match self.kind_and_subject.split_once(':') {
            Some((kind, rest)) if count > 1 => format!("{kind} ({}/{count}):{rest}", at + 1),
            _ => self.kind_and_subject.to_owned(),
        }
    }
}

/// Reads who is meant: an address, or a file with one on each line.
///
/// # Errors
/// What is no address, or a list that cannot be read or is empty.
pub fn destinations(word: &OsStr) -> Result<Vec<Address>, Failure> {
    let file = Path::new(word);
    if !file.is_file() {
        let text = word.to_str().ok_or_else(|| Failure::new("an address that is not UTF-8"))?;
        return Ok(vec![parse_address(text)?]);
    }
    let at = |what: String| Failure::new(format!("{}: {what}", file.display()));
    if fs::metadata(file).is_ok_and(|found| found.len() > LIST_BYTES_MAX) {
        return Err(at(format!("over {LIST_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(file).map_err(|error| at(error.to_string()))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let addresses = lines.map(parse_address).collect::<Result<Vec<Address>, Failure>>()?;
    if addresses.is_empty() {
        return Err(at("no address is in it".into()).hinted("one on each line"));
    }
    Ok(addresses)
}

/// Returns who sends: the settings' author, this project's site, or a guess.
fn author(session: &Session) -> Result<Address, Failure> {
    if let Some(from) = &session.settings.from {
        return parse_address(from);
    }
    if let Some(directory) = session.project_directory_if_any()? {
        return Ok(State::read(&directory)?.identity.here.address);
    }
    let guess = guessed_address(session).ok_or_else(|| {
        Failure::new("it is not known who sends").hinted("set \"from\" under [mail]")
    })?;
    parse_address(&guess)
}

/// Reads the files; one that cannot be, or is too big for a mail, is told and left out.
fn attachments(
    files: &[OsString],
    limit: Option<u64>,
    outcome: &mut Outcome,
) -> Result<Vec<Attachment>, Failure> {
    let mut attachments = Vec::new();
    let mut total = 0_u64;
    for file in files {
        let path = Path::new(file);
        let name = path.file_name().unwrap_or(file).to_string_lossy().into_owned();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tell_failure(&Failure::new(format!("{}: {error}", path.display())));
                *outcome = Outcome::Failed;
                continue;
            }
        };
        total += bytes.len() as u64;
        if total > BYTES_MAX {
            return Err(Failure::new(format!("over {BYTES_MAX} bytes of files")));
        }
        let attachment = Attachment { name, bytes };
        if limit.is_some_and(|limit| post::attached_bytes(&attachment) + HEADERS_BYTES > limit) {
            let what = format!("{}: too big for one mail: left out", path.display());
            tell_failure(&Failure::new(what).hinted("\"remsync mailshar\" splits it"));
            *outcome = Outcome::Failed;
            continue;
        }
        attachments.push(attachment);
    }
    if attachments.is_empty() {
        return Err(Failure::new("there is nothing to mail"));
    }
    Ok(attachments)
}

/// Puts files together as long as they fit one mail, in their order.
fn grouped(attachments: Vec<Attachment>, limit: Option<u64>) -> Vec<Vec<Attachment>> {
    let mut mails: Vec<Vec<Attachment>> = Vec::new();
    let mut bytes = 0;
    for attachment in attachments {
        let more = post::attached_bytes(&attachment);
        match mails.last_mut() {
            Some(mail) if limit.is_none_or(|limit| bytes + more <= limit) => {
                mail.push(attachment);
                bytes += more;
            }
            _ => {
                mails.push(vec![attachment]);
                bytes = HEADERS_BYTES + more;
            }
        }
    }
    mails
}

fn misuse() -> Failure {
    Failure::new("mail-files takes a destination, a type, a subject and files")
        .hinted(usage("mail-files"))
}
