//! The structure of a mail: lines, header blocks, boundaries, mails within mails.
//!
//! It reads what real mailers write: boundaries that are missing or not the one announced, blank
//! lines that are not there, header blocks that end at a boundary.
//!
//! Invariant: it stands in one part at a time, and each part that it began it ends.

use std::io;

use memchr::{memchr, memchr2, memrchr};

use super::content::{Content, Label};
use super::decode::is_base64_line;
use super::header::{
    ENVELOPE, Encoding, Fields, PART, chosen, is_field, is_known_field, is_returned_line,
    starts_with_nocase,
};
use super::hunt::begins_file;
use super::leaf::Leaf;
use super::{LINE_BYTES, Mail, Past, Words, is_wordy};
use crate::model::limits::{HEADER_BYTES_MAX, MIME_DEPTH_MAX, MIME_WRAPS_MAX};

/// Bytes of a boundary that is guessed; RFC 2046 allows 70.
const GUESS_BYTES_MAX: usize = 200;
/// Characters that a line of a multipart has at least where all of it is in base64.
const ENCODED_LINE_BYTES: usize = 32;
/// Digests of returned packages that are kept.
const RETURNED_MAX: usize = 16;

/// A multipart that is open.
struct Level {
    /// Without the leading `--`; empty while it is not known.
    boundary: Vec<u8>,
    /// A `multipart/digest`: its parts are mails unless they say otherwise.
    digest: bool,
    returned: bool,
    inner: bool,
    depth: usize,
    /// A line that would be a boundary if a header followed it; for a boundary that is missing or
    /// not the one announced.
    guess: Vec<u8>,
    /// A part of it was seen: no guessing any more.
    open: bool,
    /// Its header says that the whole of it is encoded, which none may be.
    encoding: Encoding,
}

enum State {
    /// In a header block, of a mail or of a part of one.
    Header {
        mail: bool,
    },
    /// Before the first part of a multipart, or after its last: text, where none should be.
    Between(Box<Leaf>),
    Body(Box<Leaf>),
    /// Past a bound: the rest is not looked at.
    Over,
}

/// Where the reading of one mail is.
pub(super) struct Reader {
    state: State,
    levels: Vec<Level>,
    header: Vec<u8>,
    /// A line within a header block that is no field: dropped if another field follows it.
    odd: Vec<u8>,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The beginning of that line was handed on already.
    in_line: bool,
    /// Whether a CR alone ends a line; not known before the first line has ended.
    cr_ends: Option<bool>,
    depth: usize,
    wraps: usize,
    returned: bool,
    /// Within a mail within the mail.
    inner: bool,
    /// `Auto-Submitted: auto-replied`: a mail within it is one that we sent.
    replied: bool,
}

impl Reader {
    /// Returns the reader of a mail that lies in no other.
    pub(super) fn outermost() -> Reader {
        Reader {
            state: State::Header { mail: true },
            levels: Vec::new(),
            header: Vec::new(),
            odd: Vec::new(),
            line: Vec::new(),
            in_line: false,
            cr_ends: None,
            depth: 0,
            wraps: 0,
            returned: false,
            inner: false,
            replied: false,
        }
    }

    /// Returns the reader of a part of a mail with its header, within `wraps` wrappings.
    pub(super) fn part(wraps: usize, label: &Label) -> Reader {
        Reader {
            state: State::Header { mail: false },
            wraps,
            depth: wraps,
            returned: label.returned,
            replied: label.replied,
            ..Reader::outermost()
        }
    }

    /// Cuts `bytes` into lines, or pieces of long ones; a piece never ends between CR and LF.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mail: &mut Mail) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = self.run(bytes, mail)?;
            let Some(end) = self.line_end(bytes) else {
                self.line.extend_from_slice(bytes);
                if self.line.len() >= LINE_BYTES {
                    let mut line = std::mem::take(&mut self.line);
                    let cr = line.pop_if(|last| *last == b'\r').is_some();
                    self.piece(&line, mail)?;
                    line.clear();
                    self.line = line;
                    self.line.extend(cr.then_some(b'\r'));
                }
                return Ok(());
            };
            let (line, rest) = bytes.split_at(end);
            if self.line.is_empty() && line.ends_with(b"\n") {
                self.piece(line, mail)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                // Nothing but this knows of lines that end in CR.
                if whole.pop_if(|last| *last == b'\r').is_some() {
                    whole.push(b'\n');
                }
                self.piece(&whole, mail)?;
                whole.clear();
                self.line = whole;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Hands on many lines at once where none of them can matter here: base64 has no `-`.
    fn run<'b>(&mut self, bytes: &'b [u8], mail: &mut Mail) -> io::Result<&'b [u8]> {
        let State::Body(leaf) = &mut self.state else { return Ok(bytes) };
        if self.in_line || !self.line.is_empty() || !leaf.takes_runs() {
            return Ok(bytes);
        }
        let clear = bytes.get(..memchr(b'-', bytes).unwrap_or(bytes.len())).unwrap_or_default();
        let Some(end) = memrchr(b'\n', clear) else { return Ok(bytes) };
        let (lines, rest) = bytes.split_at(end + 1);
        leaf.piece(lines, true, mail)?;
        Ok(rest)
    }

    /// Returns where the line ends, its end counted in; `None` where that has not come yet.
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.cr_ends == Some(false) {
            return memchr(b'\n', bytes).map(|at| at + 1);
        }
        // A CR that came last could not be judged before.
        if self.line.last() == Some(&b'\r') && !self.cr_judged(bytes.first().copied()?) {
            return Some(0);
        }
        let mut from = 0;
        loop {
            let at = from + memchr2(b'\r', b'\n', bytes.get(from..)?)?;
            if bytes.get(at) == Some(&b'\n') {
                self.cr_ends.get_or_insert(false);
                return Some(at + 1);
            }
            if !self.cr_judged(bytes.get(at + 1).copied()?) {
                return Some(at + 1);
            }
            from = at + 1;
        }
    }

    /// Judges a CR by the byte after it: `false` where it ends a line by itself. That is so in
    /// mails whose first line ends so: old Macintoshes wrote them.
    fn cr_judged(&mut self, next: u8) -> bool {
        let is_alone = !matches!(next, b'\r' | b'\n');
        !is_alone || !*self.cr_ends.get_or_insert(is_alone)
    }

    /// Takes what has come for the whole mail.
    pub(super) fn finish(&mut self, mail: &mut Mail) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.piece(&line, mail)?;
        }
        if matches!(self.state, State::Header { .. }) {
            self.header_ends(mail);
        }
        self.close(true, mail)
    }

    /// One line, or a piece of a long one: then all but the last have no LF.
    fn piece(&mut self, piece: &[u8], mail: &mut Mail) -> io::Result<()> {
        let first = !self.in_line;
        self.in_line = piece.last() != Some(&b'\n');
        if first && piece.starts_with(b"--") && self.boundary(piece, mail)? {
            return Ok(());
        }
        match &mut self.state {
            State::Over => Ok(()),
            State::Header { .. } => self.header_piece(piece, first, mail),
            State::Between(_) => self.between(piece, first, mail),
            State::Body(leaf) => leaf.piece(piece, first, mail),
        }
    }

    /// Whether the line was a boundary of an open multipart (the innermost first), then obeyed.
    fn boundary(&mut self, line: &[u8], mail: &mut Mail) -> io::Result<bool> {
        let line = line.get(2..).unwrap_or_default().trim_ascii_end();
        let found = self.levels.iter().enumerate().rev().find_map(|(n, level)| {
            match line.strip_prefix(level.boundary.as_slice()) {
                _ if level.boundary.is_empty() => None,
                Some(b"") => Some((n, false)),
                Some(b"--") => Some((n, true)),
                _ => None,
            }
        });
        let Some((n, last)) = found else { return Ok(false) };
        if matches!(self.state, State::Over) {
            return Ok(true);
        }
        // A block of fields may end here: a returned mail's often does.
        self.header_ends(mail);
        self.close(false, mail)?;
        self.levels.truncate(n + 1);
        if last {
            self.levels.pop();
            self.state = self.text_between();
        } else {
            self.part_begins(mail);
        }
        Ok(true)
    }

    fn part_begins(&mut self, mail: &mut Mail) {
        let Some(level) = self.levels.last_mut() else { return };
        level.open = true;
        (self.depth, self.returned, self.inner) = (level.depth, level.returned, level.inner);
        self.header.clear();
        self.state = State::Header { mail: false };
        if !mail.count_part() {
            self.state = State::Over;
        }
    }

    fn text_between(&self) -> State {
        let label = Label::of_part(Vec::new(), self.returned, self.replied);
        let text = Content::text(label, self.wraps);
        State::Between(Box::new(Leaf::new(Encoding::Identity, text)))
    }

    fn between(&mut self, piece: &[u8], first: bool, mail: &mut Mail) -> io::Result<()> {
        if let Some(level) = self.levels.last_mut().filter(|level| first && !level.open) {
            if !level.guess.is_empty() && starts_with_nocase(piece, b"content-") {
                level.boundary = std::mem::take(&mut level.guess);
                self.close(false, mail)?;
                self.part_begins(mail);
                self.header.extend_from_slice(piece);
                return Ok(());
            }
            level.guess = match piece.trim_ascii_end().strip_prefix(b"--") {
                Some(rest) if rest.len() <= GUESS_BYTES_MAX => rest.to_vec(),
                _ => Vec::new(),
            };
            if level.encoding.is_encoded() && !piece.trim_ascii().is_empty() {
                self.encoded_level(piece);
                return self.take_body(piece, first, mail);
            }
        }
        self.take_body(piece, first, mail)
    }

    fn take_body(&mut self, piece: &[u8], first: bool, mail: &mut Mail) -> io::Result<()> {
        match &mut self.state {
            State::Between(leaf) | State::Body(leaf) => leaf.piece(piece, first, mail),
            State::Header { .. } | State::Over => Ok(()),
        }
    }

    /// The first line of a multipart that its header says is encoded: it may be, against the rules.
    fn encoded_level(&mut self, line: &[u8]) {
        let Some(level) = self.levels.last_mut() else { return };
        let encoding = std::mem::take(&mut level.encoding);
        let is_text = begins_file(line) || line.trim_ascii().len() < ENCODED_LINE_BYTES;
        let is_encoded = encoding == Encoding::Base64 && is_base64_line(line) && !is_text;
        if !is_encoded || self.wraps >= MIME_WRAPS_MAX {
            return;
        }
        let Some(level) = self.levels.pop() else { return };
        let mut reader = self.inner();
        reader.levels.push(level);
        reader.state = reader.text_between();
        let content = Content::nested(reader, self.wraps + 1);
        self.state = State::Body(Box::new(Leaf::new(encoding, content)));
    }

    /// Returns the reader of a mail that lies encoded in this one.
    fn inner(&self) -> Reader {
        Reader {
            depth: self.depth,
            wraps: self.wraps + 1,
            returned: self.returned,
            inner: self.inner,
            ..Reader::outermost()
        }
    }

    fn header_piece(&mut self, piece: &[u8], first: bool, mail: &mut Mail) -> io::Result<()> {
        let State::Header { mail: is_mail } = self.state else { return Ok(()) };
        if first {
            if is_mail && (piece.starts_with(b"From ") || piece.starts_with(b">From ")) {
                // What mbox and some MTAs put above or between the fields; the rest of an
                // overlong one would be no field either.
                self.returned |= self.header.is_empty() && is_returned_line(piece);
                return Ok(());
            }
            let is_blank = piece.iter().all(|b| matches!(b, b'\r' | b'\n'));
            let goes_on = is_field(piece) || piece.starts_with(b" ") || piece.starts_with(b"\t");
            if !self.odd.is_empty() {
                // Not a field after all, nor a stray line among fields: the body began with it.
                if is_blank || !is_known_field(piece) {
                    return self.body_begins(piece, mail);
                }
                self.odd.clear();
            } else if is_blank {
                // Blank lines above the first field are none of a mail's.
                if !(is_mail && self.header.is_empty() && mail.mail_count == 0) {
                    self.header_ends(mail);
                }
                return Ok(());
            } else if !goes_on {
                let may_be_odd = !self.in_line && !piece.starts_with(b"-") && !begins_file(piece);
                if may_be_odd && !self.header.is_empty() {
                    self.odd.extend_from_slice(piece);
                    return Ok(());
                }
                return self.body_begins(piece, mail);
            }
        }
        if self.header.len() + piece.len() > HEADER_BYTES_MAX {
            mail.past(Past::Header);
            self.header.clear();
            self.state = State::Over;
            if !self.levels.is_empty() {
                self.state = State::Body(Box::new(Leaf::skipped()));
            }
            return Ok(());
        }
        self.header.extend_from_slice(piece);
        Ok(())
    }

    /// There was no blank line before the body, which begins with the line kept aside, if any.
    fn body_begins(&mut self, piece: &[u8], mail: &mut Mail) -> io::Result<()> {
        let odd = std::mem::take(&mut self.odd);
        self.header_ends(mail);
        if !odd.is_empty() {
            self.in_line = false;
            self.piece(&odd, mail)?;
        }
        self.in_line = false;
        self.piece(piece, mail)
    }

    fn header_ends(&mut self, mail: &mut Mail) {
        let State::Header { mail: is_mail } = self.state else { return };
        let digest = self.levels.last().is_some_and(|level| level.digest);
        let fields =
            Fields::of(&self.header, if digest && !is_mail { "message/rfc822" } else { "" });
        self.odd.clear();
        mail.claims |= fields.claims;
        if is_mail {
            self.mail_begins(&fields, mail);
            self.inner = mail.mail_count > 1;
            let header = self.header.as_slice();
            mail.parts.words(if self.inner { Words::Inner(header) } else { Words::Header(header) });
        }
        if self.returned
            && let Some(digest) = fields.remsync_sha256.clone()
            && mail.returned_sha256.len() < RETURNED_MAX
        {
            mail.returned_sha256.push(digest);
        }
        let content_type = fields.content_type.as_str();
        let multipart = content_type.starts_with("multipart/");
        let nested = matches!(
            content_type,
            "message/rfc822"
                | "message/global"
                | "message/news"
                | "text/rfc822-headers"
                | "message/rfc822-headers"
                | "message/global-headers"
        ) || content_type == "message/partial" && fields.fragment.total == 1;
        if multipart || nested {
            self.depth += 1;
            if self.depth > MIME_DEPTH_MAX {
                mail.past(Past::Depth);
                self.state = State::Body(Box::new(Leaf::skipped()));
                return;
            }
        }
        self.state = if multipart {
            self.level_begins(fields, mail)
        } else if nested {
            self.nested_begins(&fields, mail)
        } else {
            self.leaf_begins(&fields, mail)
        };
    }

    fn level_begins(&mut self, fields: Fields, mail: &mut Mail) -> State {
        let is_report = fields.content_type == "multipart/report";
        self.header = Vec::new();
        self.returned |= is_report;
        mail.top_returned |= self.returned && mail.mail_count == 1;
        self.levels.push(Level {
            boundary: fields.boundary,
            digest: fields.content_type == "multipart/digest",
            returned: self.returned,
            inner: self.inner,
            depth: self.depth,
            guess: Vec::new(),
            open: false,
            encoding: fields.encoding,
        });
        self.text_between()
    }

    fn nested_begins(&mut self, fields: &Fields, mail: &mut Mail) -> State {
        self.returned |= self.replied;
        if !fields.encoding.is_encoded() {
            self.header = Vec::new();
            return State::Header { mail: true };
        }
        if self.wraps >= MIME_WRAPS_MAX {
            mail.past(Past::Wraps);
            return self.leaf_begins(fields, mail);
        }
        self.header = Vec::new();
        let content = Content::nested(self.inner(), self.wraps + 1);
        State::Body(Box::new(Leaf::new(fields.encoding, content)))
    }

    fn leaf_begins(&mut self, fields: &Fields, mail: &mut Mail) -> State {
        let header = chosen(&std::mem::take(&mut self.header), &PART);
        let label = Label::of_part(header, self.returned, self.replied);
        let mut content = match fields.content_type.as_str() {
            "message/partial" => Content::fragment(fields.fragment.clone(), label, self.wraps),
            _ => Content::new(label, self.wraps),
        };
        // What a mail within this one says is not what this one says.
        if !self.inner && is_wordy(&fields.content_type) {
            mail.parts.words(Words::Begin(&fields.content_type));
            content.listen();
        }
        State::Body(Box::new(Leaf::new(fields.encoding, content)))
    }

    fn mail_begins(&mut self, fields: &Fields, mail: &mut Mail) {
        mail.mail_count += 1;
        self.returned |= fields.returned;
        self.replied |= fields.replied;
        if mail.mail_count == 1 {
            mail.top = chosen(&self.header, &ENVELOPE);
            mail.top_returned |= self.returned;
        }
    }

    /// Ends the part that is being read, if one is.
    fn close(&mut self, at_end: bool, mail: &mut Mail) -> io::Result<()> {
        let next = self.text_between();
        match std::mem::replace(&mut self.state, next) {
            State::Body(leaf) | State::Between(leaf) => leaf.finish(at_end, mail),
            State::Header { .. } | State::Over => Ok(()),
        }
    }
}
