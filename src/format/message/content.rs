//! What the decoded bytes of a part are, told by their beginning, and what becomes of them.
//!
//! It undoes no encoding. Invariant: what it began it ends; names and labels decide nothing but
//! whether that which cannot be read is worth keeping.

use std::io;

use mail_parser::{MessageParser, MimeHeaders};

use super::header::holds_nocase;
use super::hunt::Hunt;
use super::reader::Reader;
use super::shar::Piece;
use super::wrapped::{self, Wrapped};
use super::{Fragment, HEAD_BYTES, Kind, Mail, Part, Past, Unread, Words, kind};
use crate::model::limits::{MIME_WRAPS_MAX, REPORT_PART_BYTES_MAX};

/// Bytes of a name that an archive or an encoding gives.
const NAME_BYTES: usize = 1 << 10;
/// Bytes that are kept of a text that has the name of a package and holds none.
const INSTEAD_BYTES_MAX: usize = 16 << 10;

/// The decoded bytes of a part, or of a file within one.
pub(super) struct Content {
    goal: Goal,
    label: Label,
    /// Wrappings around it, each with buffers of its own.
    wraps: usize,
    /// What was seen while it was too little to tell.
    head: Vec<u8>,
    /// Bytes that are handed on as words yet, where they are none of ours.
    listens: usize,
    /// What stands under the name of a package, should it turn out to be none.
    instead: Option<Instead>,
}

/// The beginning of a text that has the name of a package.
struct Instead {
    text: Vec<u8>,
    /// How much of the mail was handed on when it began.
    begun: Option<usize>,
}

/// What is said of a part: its header block, or the name that an archive gives it.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    header: Vec<u8>,
    name: Option<String>,
    /// It lies in what was returned.
    pub(super) returned: bool,
    /// The whole mail answers one of ours: what stands in its text is quoted.
    pub(super) replied: bool,
}

enum Goal {
    /// Too few bytes yet to tell.
    Deciding,
    /// They are handed on.
    Taking,
    /// They are none of ours.
    Skipping,
    /// They are past a bound, whatever they are.
    Closed,
    /// Text, in which an encoded file may come.
    Text(Box<Hunt>),
    /// They hold other files.
    Wrapped(Box<Wrapped>),
    /// They are a mail, or a part of one with its header.
    Nested(Box<Reader>),
    /// They cannot be read, for this reason; not begun yet.
    Aside(Unread),
    /// They are lines of another mail; not begun yet.
    Fragment(Fragment),
}

impl Label {
    pub(super) fn of_part(header: Vec<u8>, returned: bool, replied: bool) -> Label {
        Label { header, name: None, returned, replied }
    }

    /// Returns the label of a file within this one; no name is this one's.
    pub(super) fn inside(&self, name: &[u8]) -> Label {
        let name = name.get(..NAME_BYTES).unwrap_or(name);
        let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
        let name = if name.is_empty() { self.name() } else { name };
        Label { header: Vec::new(), name: Some(name), ..*self }
    }

    fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let parsed = MessageParser::default().parse_headers(self.header.as_slice());
        let name = parsed.as_ref().and_then(|mail| mail.attachment_name().map(str::to_owned));
        name.unwrap_or_default()
    }

    fn claims(&self, mail: &Mail) -> bool {
        mail.claims
            || holds_nocase(&self.header, b"remsync")
            || holds_nocase(self.name().as_bytes(), b"remsync")
    }

    /// Whether its name is that of a package, and nobody only returns or answers it.
    fn names_package(&self) -> bool {
        !self.returned && !self.replied && is_package_name(self.name().as_bytes())
    }
}

/// Whether this is how a package is called, whatever a mail system made of the name.
fn is_package_name(name: &[u8]) -> bool {
    let begins = [&b"remsync.tar"[..], b"remsync.tgz"];
    begins.iter().any(|word| holds_nocase(name, word))
        && ![&b".sig"[..], b".txt", b".htm"].iter().any(|word| holds_nocase(name, word))
}

impl Content {
    pub(super) fn new(label: Label, wraps: usize) -> Content {
        Content { goal: Goal::Deciding, label, wraps, head: Vec::new(), listens: 0, instead: None }
    }

    /// Returns content that is text, whatever it begins with.
    pub(super) fn text(label: Label, wraps: usize) -> Content {
        let mut content = Content::new(label, wraps);
        content.restart_as_text();
        content
    }

    /// Returns content that is a mail.
    pub(super) fn nested(reader: Reader, wraps: usize) -> Content {
        Content { goal: Goal::Nested(Box::new(reader)), ..Content::new(Label::default(), wraps) }
    }

    /// Returns content that cannot be read, for this reason.
    pub(super) fn aside(why: Unread, label: Label, wraps: usize) -> Content {
        Content { goal: Goal::Aside(why), ..Content::new(label, wraps) }
    }

    /// Begins content that is a piece of a shell archive.
    pub(super) fn piece(piece: Piece, label: Label, mail: &mut Mail) -> io::Result<Content> {
        let mut content = Content::new(label, 0);
        content.begin(Kind::Piece, mail, |part| part.piece = Some(piece))?;
        Ok(content)
    }

    /// Returns content that is a fragment of another mail; one that does not say which cannot be
    /// read.
    pub(super) fn fragment(fragment: Fragment, label: Label, wraps: usize) -> Content {
        let goal = match fragment {
            Fragment { number: 0, .. } => Goal::Aside(Unread::Piece),
            fragment if fragment.id.is_empty() => Goal::Aside(Unread::Piece),
            fragment => Goal::Fragment(fragment),
        };
        Content { goal, ..Content::new(label, wraps) }
    }

    /// Returns content that nothing is taken of.
    pub(super) fn skipped() -> Content {
        Content { goal: Goal::Closed, ..Content::new(Label::default(), 0) }
    }

    /// Hands on the beginning of what is none of ours, as words.
    pub(super) fn listen(&mut self) {
        self.listens = REPORT_PART_BYTES_MAX;
    }

    /// Forgets what came: it is text from here on.
    pub(super) fn restart_as_text(&mut self) {
        self.head.clear();
        self.hunt();
    }

    /// Gives it the name that its encoding tells; nothing of it came yet.
    pub(super) fn rename(&mut self, name: &[u8]) {
        self.label = self.label.inside(name);
    }

    /// It cannot be read, for this reason; nothing of it came yet.
    pub(super) fn set_aside(&mut self, why: Unread) {
        self.goal = Goal::Aside(why);
    }

    /// Nothing that comes changes any more what it is.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.goal, Goal::Taking | Goal::Wrapped(_) | Goal::Nested(_) | Goal::Closed)
    }

    /// Nothing of it was told yet.
    pub(super) fn is_deciding(&self) -> bool {
        matches!(self.goal, Goal::Deciding | Goal::Aside(_) | Goal::Fragment(_))
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], mail: &mut Mail) -> io::Result<()> {
        if self.is_deciding() {
            if self.head.is_empty() && bytes.len() >= HEAD_BYTES {
                self.decide(bytes, mail)?;
            } else {
                self.head.extend_from_slice(bytes);
                return if self.head.len() < HEAD_BYTES { Ok(()) } else { self.decide_head(mail) };
            }
        }
        self.pass(bytes, mail)
    }

    /// Ends it.
    pub(super) fn finish(mut self, mail: &mut Mail) -> io::Result<()> {
        if self.is_deciding() {
            self.decide_head(mail)?;
        }
        match std::mem::replace(&mut self.goal, Goal::Closed) {
            Goal::Taking => mail.parts.end(),
            Goal::Text(hunt) => {
                hunt.finish(mail)?;
                match self.instead.take() {
                    Some(Instead { text, begun }) if begun.is_none_or(|n| n == mail.begun) => {
                        self.begin(Kind::Unread(Unread::Other), mail, |_| {})?;
                        mail.parts.bytes(&text)?;
                        mail.parts.end()
                    }
                    _ => Ok(()),
                }
            }
            Goal::Wrapped(wrapped) => wrapped.finish(mail),
            Goal::Nested(mut reader) => reader.finish(mail),
            Goal::Deciding | Goal::Skipping | Goal::Closed | Goal::Aside(_) | Goal::Fragment(_) => {
                Ok(())
            }
        }
    }

    fn decide_head(&mut self, mail: &mut Mail) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        self.decide(&head, mail)?;
        self.pass(&head, mail)
    }

    fn pass(&mut self, bytes: &[u8], mail: &mut Mail) -> io::Result<()> {
        if self.listens > 0 && matches!(self.goal, Goal::Text(_) | Goal::Skipping) {
            let heard = bytes.get(..self.listens).unwrap_or(bytes);
            self.listens -= heard.len();
            mail.parts.words(Words::Text(heard));
        }
        if let Some(Instead { text, begun }) = &mut self.instead {
            begun.get_or_insert(mail.begun);
            let room = INSTEAD_BYTES_MAX - text.len();
            text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        match &mut self.goal {
            Goal::Taking => mail.parts.bytes(bytes),
            Goal::Text(hunt) => hunt.feed(bytes, mail),
            Goal::Wrapped(wrapped) => wrapped.feed(bytes, mail),
            Goal::Nested(reader) => reader.feed(bytes, mail),
            Goal::Deciding | Goal::Skipping | Goal::Closed | Goal::Aside(_) | Goal::Fragment(_) => {
                Ok(())
            }
        }
    }

    fn decide(&mut self, head: &[u8], mail: &mut Mail) -> io::Result<()> {
        if let Goal::Fragment(fragment) = &mut self.goal {
            let fragment = std::mem::take(fragment);
            return self.begin(Kind::Fragment, mail, |part| part.fragment = Some(fragment));
        }
        let is_aside = matches!(self.goal, Goal::Aside(_)) && self.claims(head, mail);
        if let Some(kind) = kind(head).filter(|_| !is_aside) {
            return self.begin(kind, mail, |_| {});
        }
        let unread = match self.goal {
            Goal::Aside(why) => Some(why),
            _ => wrapped::unread(head),
        };
        if let Some(why) = unread
            && !head.is_empty()
            && (why == Unread::Unpacked || self.claims(head, mail))
        {
            return self.begin(Kind::Unread(why), mail, |_| {});
        }
        let inside = match wrapped::format_of(head) {
            Some(_) if self.wraps >= MIME_WRAPS_MAX => {
                mail.past(Past::Wraps);
                None
            }
            format => format,
        };
        match inside {
            Some(format) => {
                let wrapped = Wrapped::new(format, self.label.clone(), self.wraps + 1);
                self.goal = Goal::Wrapped(Box::new(wrapped));
            }
            None if unread.is_some() || is_binary(head) => {
                if self.label.names_package() {
                    return self.begin(Kind::Unread(Unread::Other), mail, |_| {});
                }
                self.goal = Goal::Skipping;
            }
            None => self.hunt(),
        }
        Ok(())
    }

    /// It is text, in which an encoded file may come.
    fn hunt(&mut self) {
        self.instead =
            self.label.names_package().then(|| Instead { text: Vec::new(), begun: None });
        self.goal = Goal::Text(Box::new(Hunt::new(self.label.clone(), self.wraps)));
    }

    /// Whether it may well hold a package; an archive may say so by a name that it begins with.
    fn claims(&self, head: &[u8], mail: &Mail) -> bool {
        let begins_so = holds_nocase(head.get(..HEAD_BYTES).unwrap_or(head), b"remsync");
        begins_so || self.label.claims(mail)
    }

    fn begin(
        &mut self,
        kind: Kind,
        mail: &mut Mail,
        complete: impl FnOnce(&mut Part),
    ) -> io::Result<()> {
        let (name, claims) = (self.label.name(), self.label.claims(mail));
        let returned = self.label.returned;
        let mut part = Part { kind, name, returned, claims, piece: None, fragment: None };
        complete(&mut part);
        mail.begun += 1;
        self.goal = Goal::Taking;
        mail.parts.begin(&part)
    }
}

/// No text has such a first line.
fn is_binary(head: &[u8]) -> bool {
    let line = head.iter().take(HEAD_BYTES).take_while(|byte| **byte != b'\n');
    line.into_iter().any(|byte| matches!(byte, 1..=6 | 0x0e..=0x1a | 0x1c..=0x1f))
}
