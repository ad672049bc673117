//! A part without parts: undoes its transfer encoding, whatever its header calls that.
//!
//! It knows no boundaries, and does not look at what it decodes. Invariant: it holds
//! [`BUFFER_BYTES`] and what one piece decodes to, not more.

use std::io;

use super::content::Content;
use super::decode::{Base64, Quoted, split_eol};
use super::header::{Encoding, starts_with_nocase};
use super::hunt::begins_file;
use super::{BUFFER_BYTES, GZIP_MAGIC, HEAD_BYTES, Mail};

/// A part without parts.
pub(super) struct Leaf {
    transfer: Transfer,
    content: Content,
    /// Its first line, blank ones not counted, was seen.
    begun: bool,
    out: Vec<u8>,
}

enum Transfer {
    /// As it stands; the end of the last line is held back, for it may be the boundary's.
    Raw {
        eol: &'static [u8],
    },
    Base64(Base64),
    Quoted(Quoted),
}

impl Leaf {
    pub(super) fn new(encoding: Encoding, content: Content) -> Leaf {
        let transfer = match encoding {
            Encoding::Identity => Transfer::Raw { eol: b"" },
            Encoding::Base64 => Transfer::Base64(Base64::default()),
            Encoding::Quoted => Transfer::Quoted(Quoted::default()),
        };
        Leaf { transfer, content, begun: false, out: Vec::new() }
    }

    /// Returns a part that nothing is taken of.
    pub(super) fn skipped() -> Leaf {
        Leaf { begun: true, ..Leaf::new(Encoding::Base64, Content::skipped()) }
    }

    /// Takes a line of it, or a piece of a long one; `first` is where a line begins.
    pub(super) fn piece(&mut self, piece: &[u8], first: bool, mail: &mut Mail) -> io::Result<()> {
        if first && !self.is_settled() {
            self.correct(piece);
        }
        match &mut self.transfer {
            Transfer::Raw { eol } => {
                self.out.extend_from_slice(eol);
                let (text, ending) = split_eol(piece);
                self.out.extend_from_slice(text);
                *eol = ending;
            }
            Transfer::Base64(base64) => base64.decode(piece, &mut self.out),
            Transfer::Quoted(quoted) => quoted.decode(piece, &mut self.out),
        }
        let told = self.content.is_deciding() && self.out.len() >= HEAD_BYTES;
        if told || self.out.len() >= BUFFER_BYTES { self.flush(mail) } else { Ok(()) }
    }

    /// Whether whole runs of lines may be given as one piece, as long as none begins with `-`.
    pub(super) fn takes_runs(&self) -> bool {
        matches!(self.transfer, Transfer::Base64(_)) && self.is_settled()
    }

    /// What it is was told by its first bytes: nothing changes that any more.
    fn is_settled(&self) -> bool {
        self.begun && self.content.is_settled()
    }

    /// Believes the text where that and the header disagree on the encoding.
    fn correct(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let begins = !std::mem::replace(&mut self.begun, true);
        let is_raw = matches!(self.transfer, Transfer::Raw { .. });
        if begins && line.starts_with(GZIP_MAGIC) && !is_raw {
            self.transfer = Transfer::Raw { eol: b"" };
        } else if begins && starts_with_nocase(line, b"=1f=8b=08") {
            self.transfer = Transfer::Quoted(Quoted::default());
        } else if matches!(self.transfer, Transfer::Base64(_))
            && !(begins && line.trim_ascii().starts_with(b"H4sI"))
            && begins_file(line)
        {
            // Text above the file, or an encoding that base64 is not.
            self.out.clear();
            self.content.restart_as_text();
            self.transfer = Transfer::Raw { eol: b"" };
        }
    }

    fn flush(&mut self, mail: &mut Mail) -> io::Result<()> {
        self.content.feed(&self.out, mail)?;
        self.out.clear();
        Ok(())
    }

    /// Ends it, at its boundary or, `at_end`, with the mail.
    pub(super) fn finish(mut self, at_end: bool, mail: &mut Mail) -> io::Result<()> {
        match &mut self.transfer {
            // The line end before a boundary is the boundary's (RFC 2046 section 5.1.1).
            Transfer::Raw { eol } if at_end => self.out.extend_from_slice(eol),
            Transfer::Raw { .. } => {}
            Transfer::Base64(base64) => base64.finish(&mut self.out),
            Transfer::Quoted(quoted) => quoted.finish(&mut self.out),
        }
        self.flush(mail)?;
        self.content.finish(mail)
    }
}
