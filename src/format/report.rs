//! What mail systems say of mail that we sent: that it did not arrive, or not yet.
//!
//! It reads the reports of RFC 3464 and the letters that were written before there were any, or are
//! still: qmail's, Exim's, sendmail's, Exchange's and others'. It proves nothing, for anybody can
//! write such a mail: what it says can only make a site send once more. A report of success, a
//! receipt of a reader and an automatic answer are none.
//!
//! Invariant: memory is bounded, whatever the mail; nothing that a mail holds is an error.

mod status;
mod words;

use super::message::Words;
use super::statement;
use crate::model::limits::{ADDRESS_BYTES_MAX, REASON_BYTES_MAX};
use crate::model::path::escaped;

use status::Group;
pub use words::Limit;
use words::Tone;

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was given up: the receiver will not have it.
    Failed,
    /// It is late, and still tried.
    Delayed,
}

/// Which mail is meant: all names of mails of ours that the report has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Digests of the packages, from `X-Remsync-Sha256`.
    pub sha256: Vec<[u8; 32]>,
    /// As [`super::mail::message_id`] makes them, without brackets.
    pub message_ids: Vec<String>,
}

/// A mail of ours did not arrive, as somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Given up, or still tried.
    pub kind: Kind,
    /// `5.1.1` (RFC 3463), else `550` (RFC 5321), else empty.
    pub status: String,
    /// Why, in the words of whoever refused it: escaped, one line, at most [`REASON_BYTES_MAX`].
    pub reason: String,
    /// The address that failed, escaped; empty where it is not said.
    pub recipient: String,
    /// The mail system that says so, escaped; empty where it is not said.
    pub reported_by: String,
    /// What the receiver says of its room for one mail.
    pub limit: Limit,
}

/// What a mail is to the mails that we sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A mail did not arrive.
    Notice(Notice),
    /// It names one, and says nothing of the kind: what it is.
    Harmless(&'static str),
}

impl Kind {
    /// Returns the word for it, in files and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
        }
    }

    /// Returns the kind that a word means.
    pub fn of_word(word: &str) -> Option<Kind> {
        [Kind::Failed, Kind::Delayed].into_iter().find(|kind| kind.word() == word)
    }
}

impl About {
    /// Whether no mail of ours is named.
    pub fn is_nothing(&self) -> bool {
        self.sha256.is_empty() && self.message_ids.is_empty()
    }

    fn add_sha256(&mut self, digest: [u8; 32]) {
        if self.sha256.len() < NAMES_MAX && !self.sha256.contains(&digest) {
            self.sha256.push(digest);
        }
    }

    fn add_message_ids(&mut self, text: &[u8]) {
        for id in words::message_ids(text) {
            if self.message_ids.len() < NAMES_MAX && !self.message_ids.contains(&id) {
                self.message_ids.push(id);
            }
        }
    }
}

/// Listens to one mail, and says at its end what it reports.
#[derive(Debug, Default)]
pub struct Listener {
    about: About,
    top: Top,
    part: Part,
    /// What was said in plain words, above the copy of our mail.
    said: Vec<u8>,
    /// The part for machines.
    status: Vec<u8>,
    is_receipt: bool,
    is_complaint: bool,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// Below a line that announces a copy of our mail.
    in_copy: bool,
}

/// What the header of the mail itself says.
#[derive(Debug, Default)]
struct Top {
    from: String,
    subject: String,
    has_null_path: bool,
    failed_recipients: Option<String>,
    /// Somebody's program answers in their absence.
    is_answer: bool,
    is_automatic: bool,
}

/// What is listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Nothing,
    Plain,
    /// Names of mails are looked for, and nothing else.
    Marked,
    Status,
}

impl Listener {
    /// Takes the next words of the mail.
    pub fn hear(&mut self, words: Words<'_>) {
        match words {
            Words::Header(header) => self.top_is(header),
            Words::Inner(header) => {
                self.line_ends();
                self.part = Part::Nothing;
                self.copied_header(header);
            }
            Words::Begin(content_type) => self.part_begins(content_type),
            Words::Text(text) => self.text(text),
        }
    }

    /// Returns which mails of ours the mail speaks of, and what it says; `None` where it speaks of
    /// none, or is no more than a person's answer.
    pub fn finish(mut self) -> Option<(About, Report)> {
        self.line_ends();
        let report = self.report()?;
        (!self.about.is_nothing()).then_some((self.about, report))
    }

    fn top_is(&mut self, header: &[u8]) {
        for (name, value) in fields(header) {
            let text = || String::from_utf8_lossy(&value).into_owned();
            let lower = || text().to_ascii_lowercase();
            match name.as_slice() {
                b"from" => self.top.from = lower(),
                b"subject" => {
                    self.top.subject = text();
                    self.top.is_answer |= words::is_absence(&self.top.subject);
                }
                b"return-path" => self.top.has_null_path |= value == b"<>",
                b"x-failed-recipients" => self.top.failed_recipients = Some(text()),
                b"in-reply-to" | b"references" => self.about.add_message_ids(&value),
                b"auto-submitted" => {
                    self.top.is_automatic |= !value.eq_ignore_ascii_case(b"no");
                    // RFC 5230 section 4.6, and what others write after "auto-replied".
                    self.top.is_answer |= lower().contains("vacation");
                }
                b"precedence" => {
                    self.top.is_answer |= lower().starts_with("auto");
                    self.top.is_automatic = true;
                }
                b"x-autoreply" | b"x-autorespond" | b"x-autoresponder" | b"x-auto-reply"
                | b"x-vacation" | b"x-mail-autoreply" | b"x-autogenerated" => {
                    self.top.is_answer |= !value.eq_ignore_ascii_case(b"no");
                }
                _ => {}
            }
        }
    }

    fn copied_header(&mut self, header: &[u8]) {
        for (name, value) in fields(header) {
            match name.as_slice() {
                b"x-remsync-sha256" => {
                    if let Some(digest) = words::digest(&value) {
                        self.about.add_sha256(digest);
                    }
                }
                b"message-id" => self.about.add_message_ids(&value),
                _ => {}
            }
        }
    }

    fn part_begins(&mut self, content_type: &str) {
        self.line_ends();
        self.in_copy = false;
        self.part = match content_type {
            "message/delivery-status" | "message/global-delivery-status" => Part::Status,
            "message/disposition-notification" | "message/global-disposition-notification" => {
                self.is_receipt = true;
                Part::Marked
            }
            "message/feedback-report" => {
                self.is_complaint = true;
                Part::Marked
            }
            "" | "text" | "text/plain" => Part::Plain,
            _ => Part::Marked,
        };
    }

    /// Cuts text into lines; longer ones come in pieces.
    fn text(&mut self, text: &[u8]) {
        for piece in text.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LINE_BYTES {
                self.line_ends();
            }
        }
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        self.find_names(&line);
        let room = SAID_BYTES_MAX;
        match self.part {
            Part::Plain if self.in_copy => {}
            Part::Plain if words::announces_copy(&line) => self.in_copy = true,
            Part::Plain => extend(&mut self.said, &line, room),
            Part::Status => extend(&mut self.status, &line, room),
            Part::Marked | Part::Nothing => {}
        }
    }

    /// Finds the names of our mails in a line: of a copied header, however it is quoted.
    fn find_names(&mut self, line: &[u8]) {
        let bare = line.trim_ascii_start();
        let bare = bare.trim_start_with(|b| matches!(b, b'>' | b'|' | b' ' | b'\t'));
        if let Some((name, value)) = split_field(bare)
            && name.eq_ignore_ascii_case(b"x-remsync-sha256")
        {
            if let Some(digest) = words::digest(value) {
                self.about.add_sha256(digest);
            }
            return;
        }
        // The mail that ours answers is not ours.
        let is_of_others = split_field(bare).is_some_and(|(name, _)| {
            name.eq_ignore_ascii_case(b"in-reply-to") || name.eq_ignore_ascii_case(b"references")
        });
        if !is_of_others {
            self.about.add_message_ids(line);
        }
    }

    fn report(&self) -> Option<Report> {
        if self.is_receipt {
            return Some(Report::Harmless("a receipt"));
        }
        if self.is_complaint {
            return Some(Report::Harmless("a complaint"));
        }
        let groups = status::parse(&self.status);
        if !groups.recipients.is_empty() {
            return Some(match groups.worst() {
                Some((kind, group)) => Report::Notice(self.notice(kind, group, &groups.reporter)),
                None => Report::Harmless("a report of success"),
            });
        }
        if !self.top.is_daemon() {
            return self.top.is_robot().then_some(Report::Harmless("an automatic answer"));
        }
        let tone = words::tone(&self.said, &words::own_subject(&self.top.subject));
        let kind = match tone {
            Tone::Delayed => Kind::Delayed,
            Tone::Failed => Kind::Failed,
            _ if self.top.failed_recipients.is_some() => Kind::Failed,
            Tone::Delivered => return Some(Report::Harmless("a report of success")),
            Tone::Nothing => return Some(Report::Harmless("an automatic answer")),
        };
        Some(Report::Notice(self.notice(kind, &Group::default(), "")))
    }

    /// Puts together what the part for machines says, and what the one for people does.
    fn notice(&self, kind: Kind, group: &Group, reporter: &str) -> Notice {
        let said = words::diagnosis(&self.said);
        let diagnostic = group.diagnostic.as_str();
        let reason = if diagnostic.is_empty() { said.reason.as_str() } else { diagnostic };
        let status = words::status_of(&[&group.status, diagnostic, &said.reason]);
        let recipient = [
            group.recipient.as_str(),
            self.top.failed_recipients.as_deref().unwrap_or_default(),
            said.recipient.as_str(),
        ];
        let recipient = recipient.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let reporter = if reporter.is_empty() { words::host_of(&self.top.from) } else { reporter };
        let whole = words::flattened(&self.said);
        Notice {
            kind,
            limit: match kind {
                Kind::Failed => words::limit(&status, &[diagnostic, &said.reason, &whole]),
                Kind::Delayed => Limit::NotSaid,
            },
            status,
            reason: shown(reason, REASON_BYTES_MAX),
            recipient: shown(recipient, ADDRESS_BYTES_MAX),
            reported_by: shown(reporter, ADDRESS_BYTES_MAX),
        }
    }
}

impl Top {
    /// Whether a mail system wrote it, and not a person's program.
    fn is_daemon(&self) -> bool {
        if self.failed_recipients.is_some() {
            return true;
        }
        let is_named = words::DAEMONS.iter().any(|daemon| self.from.contains(daemon));
        !self.is_answer && (is_named || self.has_null_path)
    }

    fn is_robot(&self) -> bool {
        self.is_answer || self.is_automatic || self.has_null_path
    }
}

/// Names of one kind that are kept.
const NAMES_MAX: usize = 16;
/// Bytes of a line that are looked at together.
const LINE_BYTES: usize = 4 << 10;
/// Bytes that are kept of what is said, in plain words and for machines.
const SAID_BYTES_MAX: usize = 64 << 10;
/// Bytes of one field of a header.
const FIELD_BYTES_MAX: usize = 16 << 10;

fn extend(kept: &mut Vec<u8>, line: &[u8], bytes_max: usize) {
    if kept.len() + line.len() <= bytes_max {
        kept.extend_from_slice(line);
    }
}

/// The fields of a header block: name in lower case, value with its folds as blanks.
fn fields(header: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let is_fold = |line: &[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
    let mut lines = header.split(|b| *b == b'\n').peekable();
    // One at a time: a block of nothing but fields would be many.
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let Some((name, value)) = split_field(line).filter(|_| !is_fold(line)) else {
                continue;
            };
            let mut value = value.get(..FIELD_BYTES_MAX).unwrap_or(value).to_vec();
            while let Some(fold) = lines.next_if(|line| is_fold(line)) {
                extend(&mut value, b" ", FIELD_BYTES_MAX);
                extend(&mut value, fold.trim_ascii(), FIELD_BYTES_MAX);
            }
            return Some((name.to_ascii_lowercase(), value));
        }
    })
}

fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at(colon);
    Some((name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()))
}

/// One line fit for a terminal, of at most `bytes_max` bytes; where it was longer, it says so.
fn shown(text: &str, bytes_max: usize) -> String {
    const MORE: &str = "…";
    let mut out = escaped(words::flattened(text.as_bytes()).as_bytes());
    if out.len() > bytes_max {
        let mut end = bytes_max - MORE.len();
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push_str(MORE);
    }
    out
}

/// Bytes from the left as long as they are some.
trait TrimStart {
    fn trim_start_with(&self, is_some: impl Fn(u8) -> bool) -> &[u8];
}

impl TrimStart for [u8] {
    fn trim_start_with(&self, is_some: impl Fn(u8) -> bool) -> &[u8] {
        let kept = self.iter().position(|b| !is_some(*b)).unwrap_or(self.len());
        self.get(kept..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
