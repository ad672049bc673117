//! A part without parts: undoes its encoding, tells what it is by its first bytes, and hands it on.
//!
//! It knows no boundaries. Invariant: what it began it ends, and it holds [`BUFFER_BYTES`] and what
//! one piece decodes to, not more.

use std::io;

use mail_parser::{MessageParser, MimeHeaders};

use super::decode::{
    Base64, Quoted, is_naked_base64, is_uu_begin, is_uu_end, split_eol, uu_decode,
};
use super::header::Encoding;
use super::reader::Reader;
use super::{BUFFER_BYTES, HEAD_BYTES, Part, Parts, Words, kind};
use crate::model::limits::REPORT_PART_BYTES_MAX;

/// What becomes of the decoded bytes.
pub(super) enum Goal {
    /// Too few of them yet to tell.
    Deciding,
    /// They are handed on.
    Taking,
    /// They are none of ours, and listened to, so many bytes more; in text, a uuencoded file may
    /// still come.
    Listening(usize),
    /// They are none of ours; in text, a uuencoded file may still come.
    Skipping,
    /// They are a mail themselves.
    Nested(Box<Reader>),
}

/// A part without parts.
pub(super) struct Leaf {
    decoder: Decoder,
    pub(super) goal: Goal,
    header: Vec<u8>,
    /// It lies in what was returned.
    pub(super) returned: bool,
    listens: bool,
    out: Vec<u8>,
}

enum Decoder {
    /// As it stands; the end of the last line is held back, for it may be the boundary's.
    Raw {
        eol: &'static [u8],
    },
    Base64(Base64),
    Quoted(Quoted),
    Uu,
}

impl Leaf {
    pub(super) fn new(encoding: Encoding, goal: Goal, header: Vec<u8>) -> Leaf {
        let decoder = match encoding {
            Encoding::Identity => Decoder::Raw { eol: b"" },
            Encoding::Base64 => Decoder::Base64(Base64::default()),
            Encoding::Quoted => Decoder::Quoted(Quoted::default()),
        };
        Leaf { decoder, goal, header, returned: false, listens: false, out: Vec::new() }
    }

    /// Hands on the beginning of what is none of ours, as words.
    pub(super) fn listen(&mut self) {
        self.listens = true;
    }

    /// Returns a part that nothing is taken of.
    pub(super) fn skipped() -> Leaf {
        Leaf::new(Encoding::Base64, Goal::Skipping, Vec::new())
    }

    /// Takes a line of it, or a piece of a long one; `first` is where a line begins.
    pub(super) fn piece(
        &mut self,
        piece: &[u8],
        first: bool,
        parts: &mut dyn Parts,
    ) -> io::Result<()> {
        let open = matches!(self.goal, Goal::Deciding | Goal::Listening(_) | Goal::Skipping);
        match &mut self.decoder {
            Decoder::Raw { .. } if open && first && is_uu_begin(piece) => {
                self.flush(parts)?;
                self.uu_begins(piece);
                return Ok(());
            }
            Decoder::Uu if first && is_uu_end(piece) => return self.uu_ends(parts),
            _ if matches!(self.goal, Goal::Skipping) => return Ok(()),
            Decoder::Raw { eol } => {
                self.out.extend_from_slice(eol);
                let (text, ending) = split_eol(piece);
                self.out.extend_from_slice(text);
                *eol = ending;
            }
            Decoder::Base64(base64) => base64.decode(piece, &mut self.out),
            Decoder::Quoted(quoted) => quoted.decode(piece, &mut self.out),
            // The lines of uuencode are 61 characters: a longer one, and its rest, is none.
            Decoder::Uu if first => uu_decode(piece, &mut self.out),
            Decoder::Uu => {}
        }
        self.advance(parts)
    }

    fn advance(&mut self, parts: &mut dyn Parts) -> io::Result<()> {
        if matches!(self.goal, Goal::Deciding) && self.out.len() >= HEAD_BYTES {
            self.decide(parts)?;
        }
        if self.out.len() >= BUFFER_BYTES { self.flush(parts) } else { Ok(()) }
    }

    fn decide(&mut self, parts: &mut dyn Parts) -> io::Result<()> {
        if matches!(self.decoder, Decoder::Raw { .. }) && is_naked_base64(&self.out) {
            // The encoding was lost or is spelt as nobody spells it.
            let text = std::mem::take(&mut self.out);
            let mut base64 = Base64::default();
            base64.decode(&text, &mut self.out);
            self.decoder = Decoder::Base64(base64);
        }
        match kind(&self.out) {
            Some(kind) => {
                let part = Part { kind, name: self.name(), returned: self.returned };
                self.goal = Goal::Taking;
                parts.begin(&part)
            }
            None if self.listens => {
                self.goal = Goal::Listening(REPORT_PART_BYTES_MAX);
                Ok(())
            }
            None => {
                self.goal = Goal::Skipping;
                self.out = Vec::new();
                Ok(())
            }
        }
    }

    fn name(&self) -> String {
        let parsed = MessageParser::default().parse_headers(self.header.as_slice());
        let name = parsed.as_ref().and_then(|mail| mail.attachment_name().map(str::to_owned));
        name.unwrap_or_default()
    }

    fn flush(&mut self, parts: &mut dyn Parts) -> io::Result<()> {
        match &mut self.goal {
            Goal::Taking => parts.bytes(&self.out)?,
            Goal::Nested(reader) => reader.feed(&self.out, parts)?,
            Goal::Listening(left) => {
                let heard = self.out.get(..*left).unwrap_or(&self.out);
                parts.words(Words::Text(heard));
                *left -= heard.len();
                if *left == 0 {
                    self.goal = Goal::Skipping;
                }
            }
            Goal::Deciding | Goal::Skipping => {}
        }
        self.out.clear();
        Ok(())
    }

    /// Ends it, at its boundary or, `at_end`, with the mail.
    pub(super) fn finish(&mut self, at_end: bool, parts: &mut dyn Parts) -> io::Result<()> {
        match &mut self.decoder {
            // The line end before a boundary is the boundary's (RFC 2046 section 5.1.1).
            Decoder::Raw { eol } if at_end => self.out.extend_from_slice(eol),
            Decoder::Raw { .. } | Decoder::Uu => {}
            Decoder::Base64(base64) => base64.finish(&mut self.out),
            Decoder::Quoted(quoted) => quoted.finish(&mut self.out),
        }
        if matches!(self.goal, Goal::Deciding) {
            self.decide(parts)?;
            // A lost encoding is noticed only now where the part is short.
            if let Decoder::Base64(base64) = &mut self.decoder {
                base64.finish(&mut self.out);
            }
        }
        self.flush(parts)?;
        match &mut self.goal {
            Goal::Taking => parts.end(),
            Goal::Nested(reader) => reader.finish(parts),
            Goal::Deciding | Goal::Listening(_) | Goal::Skipping => Ok(()),
        }
    }

    fn uu_begins(&mut self, line: &[u8]) {
        let name = line.splitn(3, |b| *b == b' ').nth(2).unwrap_or_default().trim_ascii();
        self.header = [b"Content-Disposition: attachment; filename=\"", name, b"\"\n\n"].concat();
        self.out = Vec::new();
        self.decoder = Decoder::Uu;
        self.goal = Goal::Deciding;
    }

    fn uu_ends(&mut self, parts: &mut dyn Parts) -> io::Result<()> {
        self.finish(false, parts)?;
        self.decoder = Decoder::Raw { eol: b"" };
        self.goal = Goal::Skipping;
        Ok(())
    }
}
