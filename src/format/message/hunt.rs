//! Text, in which somebody may have put an encoded file: uuencode, base64 without a header, yEnc,
//! BinHex, what OpenPGP and age armor, and shell archives.
//!
//! It reads no prose: each line either begins a file or is passed over. A quoted line (`> `) begins
//! none. Invariant: it stands in at most one file, and holds a line and [`OUT_BYTES`].

use std::io;

use super::content::{Content, Label};
use super::decode::{
    Base64, is_base64_line, is_naked_base64, is_uu_begin, is_uu_end, split_eol, uu_decode,
};
use super::museum::{self, BinHex, Told, Yenc};
use super::shar::{Line, Scanner};
use super::{LINE_BYTES, Mail, Past, Unread, kind};
use crate::model::limits::MIME_WRAPS_MAX;

/// Decoded bytes that are handed on together.
const OUT_BYTES: usize = 16 << 10;
/// Bytes of a line that are looked at to tell what it is.
const TOLD_BYTES: usize = 1 << 10;
/// The armors that are handed on as they stand.
const ARMORS: [&[u8]; 3] = [
    b"-----BEGIN AGE ENCRYPTED FILE-----",
    b"-----BEGIN SSH SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
];

/// Where the reading of a text is.
pub(super) struct Hunt {
    label: Label,
    wraps: usize,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    in_line: bool,
    scanner: Scanner,
    found: Option<Found>,
}

/// A file in the text.
struct Found {
    coding: Coding,
    content: Content,
    out: Vec<u8>,
}

enum Coding {
    Uu,
    /// `doubtful` once a line came that is none of it: what follows may be prose, or another file.
    /// `passing` while such a line goes on.
    Base64 {
        base64: Base64,
        doubtful: bool,
        passing: bool,
    },
    Yenc(Yenc),
    BinHex(Box<BinHex>),
    Armor,
    /// The here-document of a shell archive, handed on as the text that it is.
    Shar(Scanner),
}

/// Whether a file begins at this line, in an encoding that the header of no part would name.
pub(super) fn begins_file(line: &[u8]) -> bool {
    begun(line).is_some()
}

/// What of a line tells what it is: where long ones were cut must make no difference.
fn told(line: &[u8]) -> &[u8] {
    line.get(..TOLD_BYTES).unwrap_or(line)
}

/// What begins at this line: its coding, its name, and why it cannot be read if so.
fn begun(line: &[u8]) -> Option<(Coding, &[u8], Option<Unread>)> {
    let line = told(line);
    let words = |n: usize| line.splitn(n, |byte| *byte == b' ').last().unwrap_or_default();
    match line.trim_ascii_start().first()? {
        b'b' if is_uu_begin(line) => Some((Coding::Uu, words(3), None)),
        b'b' if line.starts_with(b"begin-base64 ") => Some((Coding::base64(), words(3), None)),
        b'=' if line.starts_with(b"=ybegin ") => {
            let is_piece = museum::is_yenc_piece(line);
            let coding = Coding::Yenc(Yenc::default());
            Some((coding, museum::yenc_name(line), is_piece.then_some(Unread::Piece)))
        }
        b'(' if line.starts_with(b"(This file must be converted with BinHex") => {
            Some((Coding::BinHex(Box::default()), b"", None))
        }
        b'H' | b'Y' if is_naked_base64(line) => Some((Coding::base64(), b"", None)),
        b'-' if ARMORS.contains(&line.trim_ascii()) => Some((Coding::Armor, b"", None)),
        _ => None,
    }
}

impl Coding {
    fn base64() -> Coding {
        Coding::Base64 { base64: Base64::default(), doubtful: false, passing: false }
    }
}

impl Hunt {
    pub(super) fn new(label: Label, wraps: usize) -> Hunt {
        let scanner = Scanner::default();
        Hunt { label, wraps, line: Vec::new(), in_line: false, scanner, found: None }
    }

    /// Takes the next bytes of the text.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mail: &mut Mail) -> io::Result<()> {
        while !bytes.is_empty() {
            let (text, rest) = match memchr::memchr(b'\n', bytes) {
                Some(end) => bytes.split_at(end + 1),
                None => (bytes, &b""[..]),
            };
            bytes = rest;
            if self.line.is_empty() && text.ends_with(b"\n") {
                self.piece(text, mail)?;
                continue;
            }
            self.line.extend_from_slice(text);
            if text.ends_with(b"\n") || self.line.len() >= LINE_BYTES {
                let mut line = std::mem::take(&mut self.line);
                self.piece(&line, mail)?;
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    /// Ends the text.
    pub(super) fn finish(mut self, mail: &mut Mail) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.piece(&line, mail)?;
        }
        self.end_file(mail)
    }

    /// One line, or a piece of a long one: then all but the last have no LF.
    fn piece(&mut self, piece: &[u8], mail: &mut Mail) -> io::Result<()> {
        let first = !self.in_line;
        self.in_line = piece.last() != Some(&b'\n');
        let Some(found) = &mut self.found else {
            return if first { self.look(piece, mail) } else { Ok(()) };
        };
        match found.line(piece, first) {
            After::More => {}
            After::Ended => return self.end_file(mail),
            // This line may begin another.
            After::Before => {
                self.end_file(mail)?;
                return self.look(piece, mail);
            }
        }
        if found.out.len() >= OUT_BYTES { found.flush(mail) } else { Ok(()) }
    }

    fn look(&mut self, line: &[u8], mail: &mut Mail) -> io::Result<()> {
        if self.scanner.line(line) == Line::Begins && mail.count_part() {
            return self.begin_shar(mail);
        }
        let Some((coding, name, unread)) = begun(line) else { return Ok(()) };
        if self.wraps >= MIME_WRAPS_MAX {
            mail.past(Past::Wraps);
            return Ok(());
        }
        if !mail.count_part() {
            return Ok(());
        }
        let mut label = self.label.inside(name);
        label.returned |= label.replied;
        let is_armor = matches!(coding, Coding::Armor);
        let content = match unread {
            Some(why) => Content::aside(why, label, self.wraps + 1),
            None => Content::new(label, self.wraps + 1),
        };
        let mut found = Found { coding, content, out: Vec::new() };
        if is_armor || is_naked_base64(told(line)) {
            found.line(line, true);
        }
        self.found = Some(found);
        Ok(())
    }

    fn begin_shar(&mut self, mail: &mut Mail) -> io::Result<()> {
        let piece = self.scanner.piece().clone();
        let mut label = self.label.inside(piece.file.as_bytes());
        label.returned |= label.replied;
        let content = Content::piece(piece, label, mail)?;
        let coding = Coding::Shar(std::mem::take(&mut self.scanner));
        self.found = Some(Found { coding, content, out: Vec::new() });
        Ok(())
    }

    fn end_file(&mut self, mail: &mut Mail) -> io::Result<()> {
        let Some(mut found) = self.found.take() else { return Ok(()) };
        if let Coding::Shar(scanner) = &mut found.coding {
            self.scanner = std::mem::take(scanner);
        }
        if let Coding::Base64 { base64, .. } = &mut found.coding {
            base64.finish(&mut found.out);
        }
        found.flush(mail)?;
        found.content.finish(mail)
    }
}

/// What a line does to the file that it stands in.
enum After {
    More,
    Ended,
    /// It is none of the file's any more.
    Before,
}

impl Found {
    fn flush(&mut self, mail: &mut Mail) -> io::Result<()> {
        if let Coding::BinHex(binhex) = &mut self.coding {
            match binhex.told() {
                Some(Told::Name(name)) => self.content.rename(&name),
                Some(Told::Damaged(header)) if kind(&self.out).is_none() => {
                    self.content.set_aside(Unread::Other);
                    self.content.feed(&header, mail)?;
                }
                Some(Told::Damaged(_)) | None => {}
            }
        }
        self.content.feed(&self.out, mail)?;
        self.out.clear();
        Ok(())
    }

    fn line(&mut self, piece: &[u8], first: bool) -> After {
        let out = &mut self.out;
        match &mut self.coding {
            Coding::Uu if first && is_uu_end(told(piece)) => return After::Ended,
            // The lines of uuencode are 61 characters: a longer one, and its rest, is none.
            Coding::Uu if first => uu_decode(piece, out),
            Coding::Uu => {}
            Coding::Base64 { base64, doubtful, passing } => {
                if first {
                    *passing = !is_base64_line(told(piece));
                    *doubtful |= *passing;
                    if *doubtful && begins_file(piece) {
                        return After::Before;
                    }
                }
                if !*passing {
                    base64.decode(piece, out);
                }
            }
            Coding::Yenc(_) if first && piece.starts_with(b"=yend") => return After::Ended,
            Coding::Yenc(yenc) => yenc.decode(piece, first, out),
            Coding::BinHex(binhex) => {
                if binhex.decode(piece, out) {
                    return After::Ended;
                }
            }
            Coding::Shar(scanner) if first => match scanner.line(piece) {
                Line::Encoded(text) => out.extend_from_slice(text),
                Line::Ends => return After::Ended,
                Line::Other | Line::Begins => {}
            },
            Coding::Shar(_) => {}
            Coding::Armor => {
                out.extend_from_slice(piece);
                if first && split_eol(piece).0.starts_with(b"-----END ") {
                    return After::Ended;
                }
            }
        }
        After::More
    }
}
