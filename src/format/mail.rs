//! Mail out: a package as one message, RFC 5322 and MIME, streamed.
//!
//! It sends nothing; a carrier does. Invariant: every line ends in CRLF and has at most 998 bytes,
//! no header can be begun from inside a value, and memory does not grow with the package.

pub mod post;
mod words;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;

use jiff::Zoned;

use self::words::explanation;
use super::digest::hex;
use super::volume::{self, Place, Volume};
use crate::model::Address;
use crate::model::limits::{PACKAGE_BYTES_MAX, VOLUMES_MAX};

/// Bytes that fill one line of base64.
const LINE_BYTES: usize = 57;
/// Bytes encoded at a time: whole lines.
const CHUNK_BYTES: usize = LINE_BYTES * 512;
/// Columns at which a header is folded, RFC 5322 section 2.1.1.
const FOLD_COLUMNS: usize = 76;
/// Bytes in one encoded word: base64 of them, `=?utf-8?B?` and `?=` stay under 75, RFC 2047.
const WORD_BYTES: usize = 45;
/// Bytes of a header's line without its CRLF, RFC 5322 section 2.1.1.
const HEADER_LINE_BYTES_MAX: usize = 998;
/// The package's name in a mail.
const PACKAGE_NAME: &str = "remsync.tar.gz";

/// All of a message but the package.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The site that sends.
    pub from: Address,
    /// The site that is to receive.
    pub to: Address,
    /// The project's title.
    pub title: String,
    /// The package's number among those to this site; 0 in format 1.3.
    pub serial: u64,
    /// The receiver's index among the sender's remotes, as the orders say it.
    pub visit: usize,
    /// Files in the package.
    pub files: u32,
    /// When it was made.
    pub date: Zoned,
    /// As [`message_id`] makes it; the same each time that this package is sent.
    pub message_id: String,
    /// SHA-256 of the package.
    pub sha256: [u8; 32],
    /// Whether package and signature are sealed: then the mail tells nothing of what is in them.
    pub sealed: bool,
    /// Whether no person asked for it: then automatic answers are asked not to come.
    pub unattended: bool,
    /// Message-ID of the mail that this one answers, with or without angle brackets; one that no
    /// header can hold is left out.
    pub in_reply_to: Option<String>,
    /// The volume of the package that goes with it; `None`: all of it.
    pub volume: Option<Volume>,
}

/// A message, piece by piece; ends after the first error.
pub struct Pieces<'a> {
    left: VecDeque<Piece<'a>>,
}

/// What is still to be written.
enum Piece<'a> {
    Text(Vec<u8>),
    Base64(Box<dyn Read + 'a>),
}

/// Returns the name of the mail with this package: the same for every attempt at sending it, so
/// that a mail that arrives twice is seen to be one. `made_s` is in seconds since 1970.
pub fn message_id(sha256: &[u8; 32], made_s: i64, from: &Address) -> String {
    let digest: String = hex(sha256).chars().take(12).collect();
    let domain = from.as_str().rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let domain = if domain.chars().all(is_domain) { domain } else { "localhost" };
    format!("<remsync.{digest}.{made_s}@{domain}>")
}

/// Returns the name of the mail with a volume of the package whose mail would have this name.
pub fn volume_message_id(message_id: &str, place: &Place) -> String {
    let Place { number, count, offset, .. } = place;
    match message_id.split_once('@') {
        Some((left, right)) => format!("{left}.{number}of{count}.{offset}@{right}"),
        None => message_id.to_owned(),
    }
}

/// Whether a mail of ours has a name that [`volume_message_id`] made.
pub fn is_volume(message_id: &str) -> bool {
    let local = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
    let words: Vec<&str> = local.split('.').collect();
    matches!(words.as_slice(), ["remsync", _, _, place, _] if place.contains("of"))
}

/// Returns how many bytes of a package from `here` fit a volume in a mail of at most `limit_bytes`,
/// with a signature as long as this one; `None` where there is hardly room for the mail's own words.
///
/// # Errors
/// `InvalidInput` as for [`write()`].
pub fn volume_room(
    letter: &Letter,
    here: &Address,
    signature: Option<&[u8]>,
    limit_bytes: u64,
) -> io::Result<Option<NonZeroU64>> {
    // The widest numbers that there may be.
    let (number, count) = (VOLUMES_MAX, VOLUMES_MAX);
    let (offset, length_bytes) = (PACKAGE_BYTES_MAX, PACKAGE_BYTES_MAX);
    let widest = Volume {
        here: here.clone(),
        whole: letter.sha256,
        total_bytes: PACKAGE_BYTES_MAX,
        place: Place { number, count, offset, length_bytes },
        sha256: [0; 32],
    };
    let head = volume::header(&widest).len() as u64;
    let message_id = volume_message_id(&letter.message_id, &widest.place);
    let letter = Letter { message_id, volume: Some(widest), ..letter.clone() };
    let frame = size_bytes(&letter, 0, signature)?;
    let lines = limit_bytes.saturating_sub(frame) / (LINE_BYTES as u64 / 3 * 4 + 2);
    Ok(NonZeroU64::new((lines * LINE_BYTES as u64).saturating_sub(head)))
}

/// Returns the subject: `[remsync] TITLE: 3 files`, and which volume it is; of what is sealed it says
/// nothing else.
pub fn subject(letter: &Letter) -> String {
    let what = match letter.sealed {
        true => "[remsync] a sealed package".to_owned(),
        false => format!("[remsync] {}: {}", letter.title, count(letter.files)),
    };
    match &letter.volume {
        Some(Volume { place: Place { number, count, .. }, .. }) => {
            format!("{what} (volume {number} of {count})")
        }
        None => what,
    }
}

/// Returns the message, to be taken piece by piece. `package` is what the mail carries: all of the
/// package, or the header and the bytes of the letter's volume. `signature`, of the whole, becomes
/// a second attachment.
///
/// # Errors
/// `InvalidInput` for an address or a message id that no header can hold.
pub fn pieces<'a>(
    letter: &Letter,
    package: impl Read + 'a,
    signature: Option<&'a [u8]>,
) -> io::Result<Pieces<'a>> {
    let boundary = boundary(letter);
    let mut head = Vec::new();
    push_headers(letter, &boundary, &mut head)?;
    push_text_part(letter, &boundary, &mut head);
    push_cargo_header(letter, &boundary, &mut head);
    let mut left = VecDeque::from([Piece::Text(head), Piece::Base64(Box::new(package))]);
    if let Some(signature) = signature {
        let mut head = Vec::new();
        let name = format!("{PACKAGE_NAME}.sig{}", if letter.sealed { ".age" } else { "" });
        let what = "signature of the package";
        push_part_header(&boundary, "application/octet-stream", &name, what, &mut head);
        left.extend([Piece::Text(head), Piece::Base64(Box::new(signature))]);
    }
    left.push_back(Piece::Text(format!("--{boundary}--\r\n").into_bytes()));
    Ok(Pieces { left })
}

/// Writes the message and returns its length in bytes.
///
/// # Errors
/// What `package` or `out` answers; `InvalidInput` as for [`pieces`].
pub fn write(
    letter: &Letter,
    package: &mut dyn Read,
    signature: Option<&[u8]>,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut bytes = 0;
    for piece in pieces(letter, package, signature)? {
        let piece = piece?;
        out.write_all(&piece)?;
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

/// Returns the length of the message with a package of `package_bytes`, without reading it.
///
/// # Errors
/// `InvalidInput` as for [`write()`].
pub fn size_bytes(
    letter: &Letter,
    package_bytes: u64,
    signature: Option<&[u8]>,
) -> io::Result<u64> {
    let frame = write(letter, &mut io::empty(), signature, &mut io::sink())?;
    let lines = package_bytes.div_ceil(LINE_BYTES as u64);
    Ok(frame + package_bytes.div_ceil(3) * 4 + lines * 2)
}

impl Iterator for Pieces<'_> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        loop {
            match self.left.pop_front()? {
                Piece::Text(text) => return Some(Ok(text)),
                Piece::Base64(mut from) => match base64_chunk(&mut from) {
                    Ok(text) if text.is_empty() => {}
                    Ok(text) => {
                        self.left.push_front(Piece::Base64(from));
                        return Some(Ok(text));
                    }
                    Err(error) => {
                        self.left.clear();
                        return Some(Err(error));
                    }
                },
            }
        }
    }
}

/// Returns the address as an envelope and a command line hold it: `mailbox` without its brackets.
///
/// # Errors
/// `InvalidInput` where it cannot be written.
pub fn envelope_address(address: &Address) -> io::Result<String> {
    let mailbox = mailbox(address)?;
    let inside = mailbox.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    Ok(inside.unwrap_or(&mailbox).to_owned())
}

fn push_headers(letter: &Letter, boundary: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let date = jiff::fmt::rfc2822::to_string(&letter.date).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a date that no header can hold")
    })?;
    push_exact("Date", &date, out)?;
    push_exact("From", &mailbox(&letter.from)?, out)?;
    push_exact("To", &mailbox(&letter.to)?, out)?;
    push_text("Subject", &subject(letter), out);
    push_exact("Message-ID", &letter.message_id, out)?;
    if let Some(id) = letter.in_reply_to.as_deref().and_then(bracketed) {
        push_exact("In-Reply-To", &id, out)?;
        push_exact("References", &id, out)?;
    }
    if letter.unattended {
        // RFC 3834 section 5; the second is what Exchange obeys (MS-OXCMAIL 2.2.3.2.14).
        push_exact("Auto-Submitted", "auto-generated", out)?;
        push_exact("X-Auto-Response-Suppress", "All", out)?;
    }
    push_exact("X-Remsync-Version", env!("CARGO_PKG_VERSION"), out)?;
    if !letter.sealed {
        push_text("X-Remsync-Title", &letter.title, out);
        push_exact("X-Remsync-Visit", &letter.visit.to_string(), out)?;
        if letter.serial > 0 {
            push_exact("X-Remsync-Serial", &letter.serial.to_string(), out)?;
        }
    }
    push_exact("X-Remsync-Sha256", &hex(&letter.sha256), out)?;
    if let Some(Volume { place: Place { number, count, .. }, .. }) = &letter.volume {
        push_exact("X-Remsync-Volume", &format!("{number}/{count}"), out)?;
    }
    push_exact("MIME-Version", "1.0", out)?;
    let content_type = format!("multipart/mixed; boundary=\"{boundary}\"");
    push_exact("Content-Type", &content_type, out)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes a header whose value is a line as it stands.
fn push_exact(name: &str, value: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let is_long = name.len() + 2 + value.len() > HEADER_LINE_BYTES_MAX;
    if value.chars().any(char::is_control) || is_long {
        let why = format!("a value that the header {name} cannot hold");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    Ok(())
}

/// Returns a stranger's message id as a header holds it; nothing where it cannot be one.
fn bracketed(id: &str) -> Option<String> {
    let inside = id.trim().trim_start_matches('<').trim_end_matches('>');
    let is_one = !inside.is_empty()
        && inside.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'))
        && inside.len() < HEADER_LINE_BYTES_MAX - 20;
    is_one.then(|| format!("<{inside}>"))
}

/// Writes a header of free text: folded between words, and in encoded words where it could not be
/// read back otherwise.
fn push_text(name: &str, value: &str, out: &mut Vec<u8>) {
    let words: Vec<&str> = value.split(' ').collect();
    let is_plain = |word: &&str| {
        !word.is_empty()
            && word.len() < FOLD_COLUMNS - 20
            && word.bytes().all(|byte| byte.is_ascii_graphic())
            && !word.contains("=?")
    };
    if words.iter().all(is_plain) {
        push_folded(name, words.iter().map(|word| (*word).to_owned()), out);
    } else {
        push_folded(name, encoded_words(value).into_iter(), out);
    }
}

fn push_folded(name: &str, words: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    let mut column = name.len() + 1;
    out.extend_from_slice(format!("{name}:").as_bytes());
    for (at, word) in words.enumerate() {
        if at > 0 && column + 1 + word.len() > FOLD_COLUMNS {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// Splits `value` between characters, RFC 2047 section 5.
fn encoded_words(value: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in value.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_BYTES) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let encode = |word: String| format!("=?utf-8?B?{}?=", base64(word.as_bytes()));
    words.into_iter().map(encode).collect()
}

/// Returns the address as a header holds it; a local part that is no dot-atom is quoted, so that
/// a comma in it does not begin a second address (RFC 5322 section 3.4.1).
fn mailbox(address: &Address) -> io::Result<String> {
    let unfit = || {
        let why = format!("{address} cannot be written into a mail header");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    };
    let text = address.as_str();
    let (local, domain) = match text.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (text, None),
    };
    let is_literal = |domain: &str| {
        let inside = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inside.is_some_and(|inside| {
            inside.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-'))
        })
    };
    if local.is_empty() || domain.is_some_and(|domain| !is_dot_atom(domain) && !is_literal(domain))
    {
        return Err(unfit());
    }
    let local = if is_dot_atom(local) { local.to_owned() } else { quoted(local) };
    Ok(match domain {
        Some(domain) => format!("<{local}@{domain}>"),
        None => local,
    })
}

/// Returns the local part as a quoted string. One that is quoted already is taken apart first:
/// quoting twice would be another name.
fn quoted(local: &str) -> String {
    let inside = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut out = String::from("\"");
    let mut chars = inside.unwrap_or(local).chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' && inside.is_some() { chars.next().unwrap_or(c) } else { c };
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn is_dot_atom(text: &str) -> bool {
    let is_atext =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// What nobody else's text holds: base64 has no `_`, and quoted-printable has no `=_`.
fn boundary(letter: &Letter) -> String {
    let digest: String = hex(&letter.sha256).chars().take(32).collect();
    format!("=_remsync_{digest}")
}

fn push_text_part(letter: &Letter, boundary: &str, out: &mut Vec<u8>) {
    let text = explanation(letter);
    let is_plain = text.is_ascii() && text.lines().all(|line| line.len() <= FOLD_COLUMNS);
    let (charset, encoding) =
        if is_plain { ("us-ascii", "7bit") } else { ("utf-8", "quoted-printable") };
    out.extend_from_slice(
        format!(
            "--{boundary}\r\n\
             Content-Type: text/plain; charset={charset}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        .as_bytes(),
    );
    for line in text.lines() {
        match is_plain {
            true => out.extend_from_slice(line.as_bytes()),
            false => push_quoted_printable(line, out),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn count(files: u32) -> String {
    match files {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    }
}

/// Writes one line, RFC 2045 section 6.7, with soft breaks.
fn push_quoted_printable(line: &str, out: &mut Vec<u8>) {
    let mut column = 0;
    for (at, byte) in line.bytes().enumerate() {
        let is_last = at + 1 == line.len();
        let is_literal = match byte {
            b'=' => false,
            b' ' => !is_last,
            byte => byte.is_ascii_graphic(),
        };
        let width = if is_literal { 1 } else { 3 };
        if column + width > FOLD_COLUMNS - 1 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        match is_literal {
            true => out.push(byte),
            false => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
        }
        column += width;
    }
}

/// The head of the part that is the package, or a volume of it.
fn push_cargo_header(letter: &Letter, boundary: &str, out: &mut Vec<u8>) {
    let name = cargo_name(letter);
    let (media_type, what) = match &letter.volume {
        None if letter.sealed => ("application/octet-stream", "sealed remsync package".to_owned()),
        None => ("application/gzip", "remsync package".to_owned()),
        Some(Volume { place, .. }) => {
            let what = format!("volume {} of {} of a remsync package", place.number, place.count);
            ("application/octet-stream", what)
        }
    };
    push_part_header(boundary, media_type, &name, &what, out);
}

/// The name of what a mail carries, for people.
fn cargo_name(letter: &Letter) -> String {
    let whole = whole_name(letter);
    letter.volume.as_ref().map_or(whole.clone(), |volume| volume.place.file_name(&whole))
}

/// The name of the whole package, as it leaves.
fn whole_name(letter: &Letter) -> String {
    format!("{PACKAGE_NAME}{}", if letter.sealed { ".age" } else { "" })
}

fn push_part_header(boundary: &str, media_type: &str, name: &str, what: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(
        format!(
            "--{boundary}\r\n\
             Content-Type: {media_type}; name=\"{name}\"\r\n\
             Content-Description: {what}\r\n\
             Content-Disposition: attachment; filename=\".{name}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        )
        .as_bytes(),
    );
}

/// Encodes the next bytes; none where `from` has ended. Only the last chunk may end in half a line.
fn base64_chunk(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    from.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    let mut text = Vec::with_capacity(CHUNK_BYTES * 3 / 2);
    for line in chunk.chunks(LINE_BYTES) {
        push_base64(line, &mut text);
        text.extend_from_slice(b"\r\n");
    }
    Ok(text)
}

/// Returns base64 of `bytes`, one line without its end.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    push_base64(bytes, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// RFC 4648 section 4.
fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| DIGITS[(bits & 63) as usize];
    let mut groups = bytes.chunks_exact(3);
    for group in &mut groups {
        if let &[a, b, c] = group {
            let bits = u32::from_be_bytes([0, a, b, c]);
            let four = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
            out.extend_from_slice(&four);
        }
    }
    match *groups.remainder() {
        [a] => {
            let bits = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[digit(bits >> 18), digit(bits >> 12), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), b'=']);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::digest::sha256_of;

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    fn letter(title: &str, package: &[u8]) -> Letter {
        let sha256 = sha256_of(package).unwrap().0;
        let from = address("ana@ship.example");
        Letter {
            message_id: message_id(&sha256, 1_790_000_000, &from),
            from,
            to: address("bo@shore.example"),
            title: title.to_owned(),
            serial: 7,
            visit: 0,
            files: 3,
            date: "2026-11-22T10:00:00+01:00[+01:00]".parse().unwrap(),
            sha256,
            sealed: false,
            unattended: false,
            in_reply_to: None,
            volume: None,
        }
    }

    fn written(letter: &Letter, package: &[u8], signature: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        let bytes = write(letter, &mut &package[..], signature, &mut out).unwrap();
        assert_eq!(bytes, out.len() as u64);
        let foretold = size_bytes(letter, package.len() as u64, signature).unwrap();
        assert_eq!(bytes, foretold, "package of {}", package.len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_mail_is_what_people_and_programs_expect() {
        let text = written(&letter("notes", b"PK"), b"PK", None);
        for line in [
            "Date: Sun, 22 Nov 2026 10:00:00 +0100",
            "From: <ana@ship.example>",
            "To: <bo@shore.example>",
            "Subject: [remsync] notes: 3 files",
            "X-Remsync-Title: notes",
            "X-Remsync-Visit: 0",
            "X-Remsync-Serial: 7",
            "Content-Type: application/gzip; name=\"remsync.tar.gz\"",
            "Content-Disposition: attachment; filename=\".remsync.tar.gz\"",
            "UEs=",
        ] {
            let inside = text.contains(&format!("\r\n{line}\r\n"));
            assert!(inside || text.starts_with(&format!("{line}\r\n")), "{line}\n{text}");
        }
        for header in ["Auto-Submitted", "X-Auto-Response-Suppress", "In-Reply-To", "References"] {
            assert!(!text.contains(header), "{header}");
        }
        let unattended = Letter { unattended: true, ..letter("notes", b"PK") };
        let text = written(&unattended, b"PK", None);
        assert!(text.contains("\r\nAuto-Submitted: auto-generated\r\n"));
        assert!(text.contains("\r\nX-Auto-Response-Suppress: All\r\n"));
    }

    #[test]
    fn an_answer_names_what_it_answers() {
        for (id, header) in [
            ("x.1@shore.example", Some("<x.1@shore.example>")),
            ("<x.1@shore.example>", Some("<x.1@shore.example>")),
            ("x@y\r\nBcc: a@b", None),
            ("x@y> <z@y", None),
            ("a b@y", None),
            ("\u{e9}@y", None),
            ("<>", None),
            (&"x".repeat(978), None),
        ] {
            let answer = Letter { in_reply_to: Some(id.into()), ..letter("notes", b"PK") };
            let text = written(&answer, b"PK", None);
            let expected =
                header.map(|id| format!("\r\nIn-Reply-To: {id}\r\nReferences: {id}\r\n"));
            let is_there = expected.as_ref().is_some_and(|lines| text.contains(lines));
            assert_eq!(is_there, header.is_some(), "{id:?}");
            assert_eq!(text.contains("In-Reply-To"), header.is_some(), "{id:?}");
        }
        let long = Letter { in_reply_to: Some("x".repeat(977)), ..letter("notes", b"PK") };
        assert!(written(&long, b"PK", None).contains("\r\nReferences: <x"));
    }

    #[test]
    fn a_stranger_is_told_how_to_open_it() {
        let text = written(&letter("notes", b"PK"), b"PK", None);
        for line in ["    sha256sum remsync.tar.gz", "    tar tzf remsync.tar.gz"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}\n{text}");
        }
        let digest = hex(&letter("notes", b"PK").sha256);
        assert!(text.contains(&format!("\r\nSHA-256:  {digest}\r\n")), "{text}");
    }

    #[test]
    fn a_volume_says_what_it_is_and_fits() {
        let package = vec![7; 300_000];
        let whole = letter("notes", &package);
        for limit in [10_000, 65_536, 65_537, 200_000] {
            let room = volume_room(&whole, &whole.from, None, limit).unwrap().unwrap();
            let places = volume::plan(0, package.len() as u64, room, 0).unwrap();
            let mut joined = Vec::new();
            for place in &places {
                let (from, to) = (place.offset as usize, place.end() as usize);
                let bytes = &package[from..to];
                let volume = Volume {
                    here: whole.from.clone(),
                    whole: whole.sha256,
                    total_bytes: package.len() as u64,
                    place: *place,
                    sha256: sha256_of(bytes).unwrap().0,
                };
                let cargo = [volume::header(&volume), bytes.to_vec()].concat();
                let message_id = volume_message_id(&whole.message_id, place);
                let letter = Letter { message_id, volume: Some(volume), ..whole.clone() };
                let text = written(&letter, &cargo, None);
                assert!(text.len() as u64 <= limit, "{} over {limit}", text.len());
                let Place { number, count, .. } = place;
                for words in [
                    format!("Subject: [remsync] notes: 3 files (volume {number} of {count})\r\n"),
                    format!("X-Remsync-Volume: {number}/{count}\r\n"),
                    format!("filename=\".{}\"", place.file_name("remsync.tar.gz")),
                    format!("Message-ID: {}\r\n", letter.message_id),
                    "tail -n +7".to_owned(),
                ] {
                    assert!(text.contains(&words), "{words}\n{text}");
                }
                let mail = mail_parser::MessageParser::new().parse(text.as_bytes()).unwrap();
                let held = mail.attachment(0).unwrap().contents();
                let (read, head) = volume::parse(held).unwrap();
                assert_eq!(Some(&read), letter.volume.as_ref());
                joined.extend_from_slice(&held[head..]);
            }
            assert!(joined == package);
            let ids: std::collections::BTreeSet<String> =
                places.iter().map(|place| volume_message_id("<a@b>", place)).collect();
            assert_eq!(ids.len(), places.len(), "no two have one name");
            assert!(is_volume(&volume_message_id(&whole.message_id, &places[0])));
            assert!(!is_volume(&whole.message_id));
        }
        assert_eq!(volume_room(&whole, &whole.from, None, 1_000).unwrap(), None);
    }

    #[test]
    fn every_line_ends_in_crlf_and_is_short() {
        let long = "x".repeat(1000);
        let wide = "é\u{4e2d} ".repeat(150);
        let package: Vec<u8> = (0..100_000u32).map(|n| (n % 253) as u8).collect();
        for title in ["notes", "a  b", "=?utf-8?q?x?=", " edge ", &long, &wide, "two words"] {
            let text = written(&letter(title, &package), &package, Some(b"SIG"));
            assert_eq!(text.replace("\r\n", "").find(['\r', '\n']), None, "{title:?}");
            let longest = text.split("\r\n").map(str::len).max().unwrap();
            assert!(longest <= 98, "{title:?}: a line of {longest}");
            assert!(text.is_ascii(), "{title:?}");
        }
    }

    #[test]
    fn a_reader_of_others_gets_back_what_was_sent() {
        let wide = "Über \u{4e2d}\u{6587} ".repeat(40) + "end";
        for title in ["notes", "Journal de bord n\u{b0} 1", "a  b", "=?utf-8?q?x?=", &wide] {
            for length in [0, 1, 56, 57, 58, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 99_999]
            {
                let package: Vec<u8> = (0..length).map(|n| (n * 7 % 251) as u8).collect();
                let text = written(&letter(title, &package), &package, Some(b"SIG"));
                let mail = mail_parser::MessageParser::new().parse(text.as_bytes()).unwrap();
                let subject = format!("[remsync] {title}: 3 files");
                assert_eq!(mail.subject(), Some(subject.as_str()));
                assert_eq!(mail.attachment(0).unwrap().contents(), package, "{length}");
                assert_eq!(mail.attachment(1).unwrap().contents(), b"SIG");
                let body = mail.body_text(0).unwrap();
                let escaped = crate::model::path::escaped(title.as_bytes());
                assert!(body.contains(&format!("Project:  {escaped}")), "{body}");
            }
        }
    }

    #[test]
    fn no_value_can_begin_a_header() {
        for title in ["a\r\nBcc: x@y", "a\nBcc: x@y", "a\0b"] {
            let text = written(&letter(title, b""), b"", None);
            assert!(!text.contains("\nBcc"), "{title:?}");
        }
        let broken = Letter { message_id: "<a@b>\r\nBcc: x@y".into(), ..letter("t", b"") };
        let answer = write(&broken, &mut io::empty(), None, &mut io::sink());
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_address_stays_one_address() {
        for (text, header) in [
            ("a@b.example", Some("<a@b.example>")),
            ("a,b@c.example", Some("<\"a,b\"@c.example>")),
            ("a@b@c.example", Some("<\"a@b\"@c.example>")),
            ("\"a,b\"@c.example", Some("<\"a,b\"@c.example>")),
            ("a\"b@c.example", Some("<\"a\\\"b\"@c.example>")),
            ("a@[10.0.0.1]", Some("<a@[10.0.0.1]>")),
            ("ana", Some("ana")),
            ("a@b,c@d", Some("<\"a@b,c\"@d>")),
            ("a@b,c", None),
            ("@b.example", None),
            ("a@", None),
        ] {
            assert_eq!(mailbox(&address(text)).ok().as_deref(), header, "{text}");
        }
    }

    #[test]
    fn a_message_id_is_the_same_each_time() {
        let id = |from| message_id(&[0xab; 32], 1_790_000_000, &address(from));
        assert_eq!(id("a@b.example"), "<remsync.abababababab.1790000000@b.example>");
        assert_eq!(id("a@[::1]"), "<remsync.abababababab.1790000000@localhost>");
        assert_eq!(id("ana"), "<remsync.abababababab.1790000000@localhost>");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
