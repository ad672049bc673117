//! Ordinary mails, with files or with a text: what `mail-files` and `mailshar` send.
//!
//! They are made in memory, for they are as small as people want their mails.

use jiff::Zoned;

use super::*;
use crate::format::digest::hex;
use sha2::{Digest, Sha256};

/// A mail from a person.
#[derive(Clone, Debug)]
pub struct Post {
    /// Who sends.
    pub from: Address,
    /// Who is to receive.
    pub to: Address,
    /// The subject.
    pub subject: String,
    /// When it was made.
    pub date: Zoned,
    /// What it says.
    pub body: Body,
}

/// What a mail says.
#[derive(Clone, Debug)]
pub enum Body {
    /// A text of ASCII, lines of at most 998 bytes that end in LF.
    Text(Vec<u8>),
    /// Files, one or many.
    Files(Vec<Attachment>),
}

/// A file that goes with a mail.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Its own name, without folders.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Returns the whole mail.
///
/// # Errors
/// `InvalidInput` for an address that no header can hold.
pub fn post(post: &Post) -> io::Result<Vec<u8>> {
    let digest = digest_of(post);
    let mut out = Vec::new();
    let date = jiff::fmt::rfc2822::to_string(&post.date).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a date that no header can hold")
    })?;
    push_exact("Date", &date, &mut out)?;
    push_exact("From", &mailbox(&post.from)?, &mut out)?;
    push_exact("To", &mailbox(&post.to)?, &mut out)?;
    push_text("Subject", &post.subject, &mut out);
    let message_id = message_id(&digest, post.date.timestamp().as_second(), &post.from);
    push_exact("Message-ID", &message_id, &mut out)?;
    push_exact("MIME-Version", "1.0", &mut out)?;
    match &post.body {
        Body::Text(text) => {
            push_exact("Content-Type", "text/plain; charset=us-ascii", &mut out)?;
            push_exact("Content-Transfer-Encoding", "7bit", &mut out)?;
            out.extend_from_slice(b"\r\n");
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
        }
        Body::Files(files) => {
            let short: String = hex(&digest).chars().take(32).collect();
            let boundary = format!("=_remsync_{short}");
            let content_type = format!("multipart/mixed; boundary=\"{boundary}\"");
            push_exact("Content-Type", &content_type, &mut out)?;
            out.extend_from_slice(b"\r\n");
            files.iter().for_each(|file| push_file(file, &boundary, &mut out));
            out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        }
    }
    Ok(out)
}

/// Returns about how many bytes a file takes in a mail.
pub fn attached_bytes(file: &Attachment) -> u64 {
    let bytes = file.bytes.len() as u64;
    bytes.div_ceil(3) * 4 + bytes.div_ceil(LINE_BYTES as u64) * 2 + 300 + file.name.len() as u64 * 8
}

/// Returns a message that is made already as the carriers take one.
pub fn whole<'a>(message: Vec<u8>) -> Pieces<'a> {
    Pieces { left: VecDeque::from([Piece::Text(message)]) }
}

fn push_file(file: &Attachment, boundary: &str, out: &mut Vec<u8>) {
    let text = std::str::from_utf8(&file.bytes).ok().filter(|text| is_text(text));
    let name = quoted_name(&file.name);
    match text {
        Some(text) => {
            let head = format!(
                "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Disposition: attachment; {name}\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            );
            out.extend_from_slice(head.as_bytes());
            for line in text.lines() {
                push_quoted_printable(line, out);
                out.extend_from_slice(b"\r\n");
            }
            // The line end before a boundary is the boundary's, RFC 2046 section 5.1.1.
            out.extend_from_slice(b"\r\n");
        }
        None => {
            let head = format!(
                "--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Disposition: attachment; {name}\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n"
            );
            out.extend_from_slice(head.as_bytes());
            for line in file.bytes.chunks(LINE_BYTES) {
                push_base64(line, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Whether a text comes out of a mail as it went in: whole lines, nothing but them.
fn is_text(text: &str) -> bool {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.ends_with('\n') && text.chars().all(is_plain)
}

/// The name as a parameter: RFC 2231 where it is no plain ASCII.
fn quoted_name(name: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\') || byte == b' ';
    if name.bytes().all(is_plain) && name.len() <= FOLD_COLUMNS {
        return format!("filename=\"{name}\"");
    }
    let spelled = name.bytes().map(|byte| match byte.is_ascii_alphanumeric() || byte == b'.' {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    format!("filename*=utf-8''{}", spelled.collect::<String>())
}

fn digest_of(post: &Post) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(post.to.as_str());
    digest.update(&post.subject);
    match &post.body {
        Body::Text(text) => digest.update(text),
        Body::Files(files) => files.iter().for_each(|file| digest.update(&file.bytes)),
    }
    digest.finalize().into()
}
