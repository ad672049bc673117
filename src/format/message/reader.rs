//! The structure of a mail: lines, header blocks, boundaries, mails within mails.
//!
//! It reads what real mailers write: boundaries that are missing or not the one announced, blank
//! lines that are not there, header blocks that end at a boundary.
//!
//! Invariant: it stands in one part at a time, and each part that it began it ends.

use std::io;

use crate::model::limits::{HEADER_BYTES_MAX, MIME_DEPTH_MAX, MIME_PARTS_MAX};

use super::header::{self, Fields, is_field, starts_with_nocase};
use super::leaf::{Goal, Leaf};
use super::{Envelope, LINE_BYTES, Parts, Past, Words, is_wordy};

/// Mails within base64 within mails: each has a reader of its own.
const ENCODED_DEPTH_MAX: usize = 4;
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
}

enum State {
    /// In a header block, of a mail or of a part of one.
    Header {
        mail: bool,
    },
    /// Before the first part of a multipart, or after its last.
    Between,
    Body(Box<Leaf>),
    /// Past a bound: the rest is not looked at.
    Over,
}

/// Where the reading of one mail is.
pub(super) struct Reader {
    state: State,
    levels: Vec<Level>,
    header: Vec<u8>,
    /// The outermost header block.
    top: Vec<u8>,
    top_returned: bool,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The beginning of that line was handed on already.
    in_line: bool,
    depth: usize,
    encoded_depth: usize,
    parts: usize,
    mails: usize,
    returned: bool,
    /// Within a mail within the mail.
    inner: bool,
    /// `Auto-Submitted: auto-replied`: a mail within it is one that we sent.
    replied: bool,
    returned_sha256: Vec<String>,
    past: Option<Past>,
}

impl Reader {
    /// Returns the reader of a mail that lies in no other.
    pub(super) fn outermost() -> Reader {
        Reader::new(0, 0, false)
    }

    fn new(depth: usize, encoded_depth: usize, returned: bool) -> Reader {
        Reader {
            state: State::Header { mail: true },
            levels: Vec::new(),
            header: Vec::new(),
            top: Vec::new(),
            top_returned: false,
            line: Vec::new(),
            in_line: false,
            depth,
            encoded_depth,
            parts: 1,
            mails: 0,
            returned,
            inner: false,
            replied: false,
            returned_sha256: Vec::new(),
            past: None,
        }
    }

    /// Cuts `bytes` into lines, or pieces of long ones; a piece never ends between CR and LF.
    pub(super) fn feed(&mut self, mut bytes: &[u8], parts: &mut dyn Parts) -> io::Result<()> {
        while !bytes.is_empty() {
            let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
                self.line.extend_from_slice(bytes);
                if self.line.len() >= LINE_BYTES {
                    let mut line = std::mem::take(&mut self.line);
                    let cr = line.pop_if(|last| *last == b'\r').is_some();
                    self.piece(&line, parts)?;
                    line.clear();
                    self.line = line;
                    self.line.extend(cr.then_some(b'\r'));
                }
                return Ok(());
            };
            let (line, rest) = bytes.split_at(end + 1);
            if self.line.is_empty() {
                self.piece(line, parts)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.piece(&whole, parts)?;
                whole.clear();
                self.line = whole;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Takes what has come for the whole mail.
    pub(super) fn finish(&mut self, parts: &mut dyn Parts) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.piece(&line, parts)?;
        }
        if matches!(self.state, State::Header { .. }) {
            self.header_ends(parts);
        }
        self.close(true, parts)
    }

    /// Returns what the mail says of itself, all but its length.
    pub(super) fn into_envelope(self) -> Envelope {
        Envelope {
            returned: self.top_returned,
            returned_sha256: self.returned_sha256,
            past: self.past,
            ..header::envelope(&self.top)
        }
    }

    /// One line, or a piece of a long one: then all but the last have no LF.
    fn piece(&mut self, piece: &[u8], parts: &mut dyn Parts) -> io::Result<()> {
        let first = !self.in_line;
        self.in_line = piece.last() != Some(&b'\n');
        if first && piece.starts_with(b"--") && self.boundary(piece, parts)? {
            return Ok(());
        }
        match &mut self.state {
            State::Over => Ok(()),
            State::Header { .. } => self.header_piece(piece, first, parts),
            State::Between => {
                self.between(piece, first);
                Ok(())
            }
            State::Body(leaf) => leaf.piece(piece, first, parts),
        }
    }

    /// Notes that a bound was passed; the first is told.
    pub(super) fn past(&mut self, past: Past) {
        self.past.get_or_insert(past);
    }

    /// Whether the line was a boundary of an open multipart (the innermost first), then obeyed.
    fn boundary(&mut self, line: &[u8], parts: &mut dyn Parts) -> io::Result<bool> {
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
        self.header_ends(parts);
        self.close(false, parts)?;
        self.levels.truncate(n + 1);
        if last {
            self.levels.pop();
            self.state = State::Between;
        } else {
            self.part_begins();
        }
        Ok(true)
    }

    fn part_begins(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        level.open = true;
        (self.depth, self.returned, self.inner) = (level.depth, level.returned, level.inner);
        self.header.clear();
        self.parts += 1;
        self.state = State::Header { mail: false };
        if self.parts > MIME_PARTS_MAX {
            self.past(Past::Parts);
            self.state = State::Over;
        }
    }

    fn between(&mut self, piece: &[u8], first: bool) {
        let Some(level) = self.levels.last_mut() else { return };
        if level.open || !first {
            return;
        }
        let guessed = !level.guess.is_empty() && starts_with_nocase(piece, b"content-");
        if guessed {
            level.boundary = std::mem::take(&mut level.guess);
            self.part_begins();
            self.header.extend_from_slice(piece);
        } else {
            level.guess = match piece.trim_ascii_end().strip_prefix(b"--") {
                Some(rest) if rest.len() <= 200 => rest.to_vec(),
                _ => Vec::new(),
            };
        }
    }

    fn header_piece(&mut self, piece: &[u8], first: bool, parts: &mut dyn Parts) -> io::Result<()> {
        let State::Header { mail } = self.state else { return Ok(()) };
        if first {
            if mail && (piece.starts_with(b"From ") || piece.starts_with(b">From ")) {
                // What mbox and some MTAs put above or between the fields; the rest of an
                // overlong one would be no field either.
                return Ok(());
            }
            if piece.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                // Blank lines above the first field are none of a mail's.
                if !(mail && self.header.is_empty() && self.mails == 0) {
                    self.header_ends(parts);
                }
                return Ok(());
            }
            if !(is_field(piece) || piece.starts_with(b" ") || piece.starts_with(b"\t")) {
                // No blank line before the body.
                self.header_ends(parts);
                self.in_line = false;
                return self.piece(piece, parts);
            }
        }
        if self.header.len() + piece.len() > HEADER_BYTES_MAX {
            self.past(Past::Header);
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

    fn header_ends(&mut self, parts: &mut dyn Parts) {
        let State::Header { mail } = self.state else { return };
        let digest = self.levels.last().is_some_and(|level| level.digest);
        let fields = Fields::of(&self.header, if digest && !mail { "message/rfc822" } else { "" });
        if mail {
            self.mail_begins(&fields);
            self.inner = self.mails > 1;
            let header = self.header.as_slice();
            parts.words(if self.inner { Words::Inner(header) } else { Words::Header(header) });
        }
        if self.returned
            && let Some(digest) = fields.remsync_sha256.clone()
            && self.returned_sha256.len() < RETURNED_MAX
        {
            self.returned_sha256.push(digest);
        }
        let header = std::mem::take(&mut self.header);
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
        );
        if multipart || nested {
            self.depth += 1;
            if self.depth > MIME_DEPTH_MAX {
                self.past(Past::Depth);
                self.state = State::Body(Box::new(Leaf::skipped()));
                return;
            }
        }
        if multipart {
            self.returned |= content_type == "multipart/report";
            self.top_returned |= self.returned && self.mails == 1;
            self.levels.push(Level {
                boundary: fields.boundary,
                digest: content_type == "multipart/digest",
                returned: self.returned,
                inner: self.inner,
                depth: self.depth,
                guess: Vec::new(),
                open: false,
            });
            self.state = State::Between;
            return;
        }
        if nested {
            self.returned |= self.replied;
            if !fields.encoding.is_encoded() {
                self.state = State::Header { mail: true };
                return;
            }
            if self.encoded_depth < ENCODED_DEPTH_MAX {
                let reader = Reader {
                    parts: self.parts,
                    mails: self.mails,
                    ..Reader::new(self.depth, self.encoded_depth + 1, self.returned)
                };
                let leaf = Leaf::new(fields.encoding, Goal::Nested(Box::new(reader)), header);
                self.state = State::Body(Box::new(leaf));
                return;
            }
            self.past(Past::Depth);
        }
        let mut leaf = Leaf::new(fields.encoding, Goal::Deciding, header);
        leaf.returned = self.returned;
        // What a mail within this one says is not what this one says.
        if !self.inner && is_wordy(content_type) {
            parts.words(Words::Begin(content_type));
            leaf.listen();
        }
        self.state = State::Body(Box::new(leaf));
    }

    fn mail_begins(&mut self, fields: &Fields) {
        self.mails += 1;
        self.returned |= fields.returned;
        self.replied |= fields.replied;
        if self.mails == 1 {
            self.top = self.header.clone();
            self.top_returned |= fields.returned;
        }
    }

    /// Ends the part that is being read, if one is.
    fn close(&mut self, at_end: bool, parts: &mut dyn Parts) -> io::Result<()> {
        let State::Body(mut leaf) = std::mem::replace(&mut self.state, State::Between) else {
            return Ok(());
        };
        leaf.finish(at_end, parts)?;
        if let Goal::Nested(reader) = leaf.goal {
            self.parts = reader.parts;
            self.mails = reader.mails;
            if let Some(past) = reader.past {
                self.past(past);
            }
            self.returned_sha256.extend(reader.returned_sha256);
            self.returned_sha256.truncate(RETURNED_MAX);
        }
        Ok(())
    }
}
