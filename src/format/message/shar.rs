//! Shell archives, as GNU remsync's `mailshar` sends packages: read, never run.
//!
//! What counts is the here-document that such a script hands to `uudecode`. A [`Scanner`] finds it
//! among the lines of a mail, and says which part of which archive it stands in; a [`Decoder`]
//! undoes the encoding, of one document or of those of all parts in their order. All else that the
//! script says, and whatever another script says, is passed over. Invariant: a line is looked at
//! by itself, and what is kept of it is a short name.

use std::io::{self, BufRead, Read};

use super::decode::{is_uu_begin, split_eol, uu_decode};

/// What an archive says of an encoded file in it, or of a piece of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The part of the archive that it stands in, from 1; `None` where that is no part of several.
    pub part: Option<u32>,
    /// The name that all parts of one archive share, and others hardly do; may be empty.
    pub archive: String,
    /// The file's name; may be empty. Never trusted.
    pub file: String,
}

/// Which ends of the file a piece holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// It begins the file.
    pub first: bool,
    /// It ends the file.
    pub last: bool,
}

/// What a line is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing.
    Other,
    /// The encoded file begins, or goes on, with the next line.
    Begins,
    /// A line of it, with its end.
    Encoded(&'a [u8]),
    /// The document ends.
    Ends,
}

/// Finds the encoded files in the lines of a text.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// A line said that this is a shell archive.
    is_archive: bool,
    piece: Piece,
    document: Option<Document>,
}

/// A here-document that is open.
#[derive(Clone, Debug)]
struct Document {
    delimiter: Vec<u8>,
    /// What `sed` takes off each line.
    prefix: Vec<u8>,
}

/// The bytes that uuencoded text holds: one file, whose lines may come from several pieces.
#[derive(Debug)]
pub struct Decoder<R> {
    text: R,
    begun: bool,
    ended: bool,
    line: Vec<u8>,
    out: Vec<u8>,
    taken: usize,
}

/// Bytes of a name, and of a line of the script, that are looked at.
const NAME_BYTES_MAX: usize = 255;
const SCRIPT_LINE_BYTES_MAX: usize = 400;
/// Bytes of a line of uuencode that are looked at: such a line has 61.
const UU_LINE_BYTES_MAX: u64 = 200;

impl Scanner {
    /// Looks at the next line; of one that came in pieces, at the first only.
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        if let Some(document) = &self.document {
            if split_eol(line).0.trim_ascii_end() == document.delimiter {
                self.document = None;
                return Line::Ends;
            }
            return Line::Encoded(line.strip_prefix(document.prefix.as_slice()).unwrap_or(line));
        }
        if !self.is_archive && line.first() != Some(&b'#') || line.len() > SCRIPT_LINE_BYTES_MAX {
            return Line::Other;
        }
        let line = line.trim_ascii();
        if let Some(comment) = line.strip_prefix(b"#") {
            self.comment(comment);
            return Line::Other;
        }
        self.note_archive(line);
        self.document = if line.starts_with(b"sed ") { document(line) } else { None };
        if self.document.is_some() { Line::Begins } else { Line::Other }
    }

    /// Returns what is known of the document that begins.
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    fn comment(&mut self, comment: &[u8]) {
        let lower = comment.to_ascii_lowercase();
        let holds = |words: &[u8]| find(&lower, words).is_some();
        if lower.trim_ascii_start().starts_with(b"!") {
            *self = Scanner { is_archive: holds(b"/sh"), ..Scanner::default() };
        } else if holds(b"multipart archive") {
            self.is_archive = true;
            self.piece.part = number_after(&lower, b"part ").or(self.piece.part);
        } else if holds(b"shell archive") {
            self.is_archive = true;
        } else if let Some(name) = titled(comment) {
            self.piece.file = text(name);
        } else if lower.trim_ascii_start().starts_with(b"file ") && holds(b"continued") {
            self.piece.file = text(continued_name(comment));
        }
    }

    /// Notes the folder of locks, `_sh` and the number of the process that made the archive.
    fn note_archive(&mut self, line: &[u8]) {
        if !self.piece.archive.is_empty() {
            return;
        }
        let Some(at) = find(line, b"_sh") else { return };
        let name = line.get(at..).unwrap_or_default();
        let digits = name.iter().skip(3).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            self.piece.archive = text(name.get(..3 + digits).unwrap_or_default());
        }
    }
}

impl<R: BufRead> Decoder<R> {
    /// Returns the bytes that the uuencoded `text` holds.
    pub fn new(text: R) -> Decoder<R> {
        Decoder { text, begun: false, ended: false, line: Vec::new(), out: Vec::new(), taken: 0 }
    }

    fn next_line(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        if !uu_line(&mut self.text, &mut self.line)? {
            self.ended = true;
        } else if is_uu_begin(&self.line) {
            self.begun = true;
        } else if self.line.trim_ascii() == b"end" {
            self.ended = self.begun;
        } else if self.begun && self.line.first().is_some_and(|b| matches!(b, b'!'..=b'_')) {
            uu_decode(&self.line, &mut self.out);
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken >= self.out.len() && !self.ended {
            self.next_line()?;
        }
        let left = self.out.get(self.taken..).unwrap_or_default();
        let n = left.len().min(out.len());
        for (to, from) in out.iter_mut().zip(left) {
            *to = *from;
        }
        self.taken += n;
        Ok(n)
    }
}

/// Returns which ends of a file the text of a piece holds.
///
/// # Errors
/// What the reader answers.
pub fn edges(mut text: impl BufRead) -> io::Result<Edges> {
    let mut edges = Edges::default();
    let mut line = Vec::new();
    let mut is_head = true;
    while uu_line(&mut text, &mut line)? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        edges.first |= is_head && is_uu_begin(&line);
        edges.last |= line.trim_ascii() == b"end";
        is_head = false;
    }
    Ok(edges)
}

/// Reads a line, of a long one only the beginning; `false` at the end.
fn uu_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = text.take(UU_LINE_BYTES_MAX).read_until(b'\n', line)?;
    if read as u64 == UU_LINE_BYTES_MAX && line.last() != Some(&b'\n') {
        text.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

/// Reads `sed 's/^X//' << 'SHAR_EOF' | uudecode` and its kin.
fn document(line: &[u8]) -> Option<Document> {
    let at = find(line, b"<<")?;
    let (sed, rest) = line.split_at(at);
    let rest = rest.get(2..)?.trim_ascii_start();
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'|' | b'>' | b'&'));
    let (word, to) = rest.split_at(end.unwrap_or(rest.len()));
    let delimiter: Vec<u8> =
        word.iter().copied().filter(|byte| !matches!(byte, b'\'' | b'"' | b'\\')).collect();
    let is_encoded = find(to, b"uudecode").is_some() || find(to, b"uue").is_some();
    let prefix = find(sed, b"s/^").and_then(|at| sed.get(at + 3..)).unwrap_or_default();
    let prefix = prefix.split(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    (is_encoded && !delimiter.is_empty()).then_some(Document { delimiter, prefix })
}

/// The name on a line `File 'NAME' is being continued...` or `file NAME continued`.
fn continued_name(comment: &[u8]) -> &[u8] {
    let rest = comment.trim_ascii().get(b"file ".len()..).unwrap_or_default();
    let end = find(rest, b" is being continued").or_else(|| find(rest, b" continued"));
    let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let quote = |byte: &u8| matches!(byte, b'\'' | b'`' | b'"');
    let start = name.iter().position(|byte| !quote(byte)).unwrap_or(name.len());
    let stop = name.iter().rposition(|byte| !quote(byte)).map_or(start, |at| at + 1);
    name.get(start..stop).unwrap_or_default()
}

/// The name on a line `============= NAME ==============`.
fn titled(comment: &[u8]) -> Option<&[u8]> {
    let line = comment.trim_ascii();
    let name = line.strip_prefix(b"==").and_then(|rest| rest.strip_suffix(b"=="))?;
    let start = find(name, b" ")? + 1;
    let stop = name.iter().rposition(|byte| *byte == b' ')?;
    name.get(start..stop).filter(|name| !name.is_empty())
}

fn number_after(text: &[u8], word: &[u8]) -> Option<u32> {
    let at = find(text, word)? + word.len();
    let digits: Vec<u8> =
        text.iter().skip(at).copied().take_while(u8::is_ascii_digit).take(10).collect();
    let number = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    (number > 0).then_some(number)
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the scanner says of a text, and the encoded lines of it.
    fn scanned(script: &str) -> Vec<(Piece, String)> {
        let mut scanner = Scanner::default();
        let mut found: Vec<(Piece, String)> = Vec::new();
        for line in script.split_inclusive('\n') {
            match scanner.line(line.as_bytes()) {
                Line::Begins => found.push((scanner.piece().clone(), String::new())),
                Line::Encoded(text) => {
                    found.last_mut().unwrap().1 += std::str::from_utf8(text).unwrap();
                }
                Line::Other | Line::Ends => {}
            }
        }
        found
    }

    fn piece(part: Option<u32>, archive: &str, file: &str) -> Piece {
        Piece { part, archive: archive.into(), file: file.into() }
    }

    #[test]
    fn the_lines_of_many_years_are_known() {
        let head = "#!/bin/sh\n# This is a shell archive (produced by GNU sharutils 4.15.2).\n\
                    # everything before the '#!/bin/sh' line above, then type 'sh FILE'.\n";
        let body = "begin 600 a\n#86)C\n`\nend\n";
        let name = "# ============= .remsync.tar.gz ==============\n";
        for (what, script, expected) in [
            (
                "4.15, piped",
                format!(
                    "{head}lock_dir=_sh19325\n{name}  sed 's/^X//' << 'SHAR_EOF' | uudecode &&\n{body}SHAR_EOF\n"
                ),
                piece(None, "_sh19325", ".remsync.tar.gz"),
            ),
            (
                "4.15, part 2",
                format!(
                    "#!/bin/sh\n# This is 'p.02' (part 2 of a multipart archive).\n\
                     # Do not concatenate these parts, unpack them in order with '/bin/sh'.\n\
                     # File '.remsync.tar.gz' is being continued...\n#\nlock_dir=_sh7\n\
                     \x20 sed 's/^X//' << 'SHAR_EOF' >> ${{lock_dir}}/uue &&\n{body}SHAR_EOF\n :\n"
                ),
                piece(Some(2), "_sh7", ".remsync.tar.gz"),
            ),
            (
                "4.2, part 1, a delimiter of its own",
                format!(
                    "{head}# This is part 1 of a multipart archive.\nif mkdir _sh00123; then\n{name}\
                     sed 's/^X//' << \\END-OF > _sh00123/uue &&\n{body}END-OF\n"
                ),
                piece(Some(1), "_sh00123", ".remsync.tar.gz"),
            ),
            (
                "3.52, part 2",
                format!(
                    "#!/bin/sh\n# This is part 02 of a multipart archive\n\
                     # file a name continued\nsed 's/^-//' <<\"E\" >> s2_sh.uue &&\n{body}E\n"
                ),
                piece(Some(2), "", "a name"),
            ),
        ] {
            for (script, text) in [
                (script.clone(), body.to_owned()),
                (script.replace('\n', "\r\n"), body.replace('\n', "\r\n")),
            ] {
                assert_eq!(scanned(&script), [(expected.clone(), text)], "{what}");
            }
        }
        // What every line is prefixed with is taken off.
        let forced = format!(
            "{head}sed 's/^X//' << 'SHAR_EOF' | uudecode\nX{}SHAR_EOF\n",
            body.trim_end().replace('\n', "\nX") + "\n"
        );
        assert_eq!(scanned(&forced)[0].1, body);
    }

    #[test]
    fn other_scripts_and_texts_are_passed_over() {
        for text in [
            "sed 's/^X//' << 'E' | uudecode\nbegin 600 a\nE\n",
            "#!/bin/sh\nsed 's/^X//' << 'E' > notes.txt\nbegin 600 a\nE\n",
            "#!/bin/sh\n> sed 's/^X//' << 'E' | uudecode\n",
            "#!/bin/sh\ncat << E | uudecode\n",
            "#!/usr/bin/perl\nsed << E | uudecode\n",
            "#!/bin/sh\nsed << '' | uudecode\n",
        ] {
            assert_eq!(scanned(text), [], "{text}");
        }
    }

    #[test]
    fn a_file_is_decoded_however_it_was_cut() {
        let lines = ["begin 600 a\n", "#86)C\r\n", "\n", "#9&5F  \n", "`\n", "end\n", "#86)C\n"];
        for cut in 0..=5 {
            let (a, b) = lines.split_at(cut);
            let (a, b) = (a.concat(), b.concat());
            let (of_a, of_b) = (edges(a.as_bytes()).unwrap(), edges(b.as_bytes()).unwrap());
            assert_eq!(of_a, Edges { first: cut > 0, last: false }, "{cut}");
            assert_eq!(of_b, Edges { first: cut == 0, last: true }, "{cut}");
            let mut bytes = Vec::new();
            Decoder::new(a.as_bytes().chain(b.as_bytes())).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"abcdef", "{cut}");
        }
        let long = format!("begin 600 a\n#86)C{}\n#9&5F\nend", "x".repeat(100_000));
        let mut bytes = Vec::new();
        Decoder::new(long.as_bytes()).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcdef");
    }
}
