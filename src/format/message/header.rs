//! Header blocks: the few fields that decide how a body is read, and those that a mail is told by.
//!
//! Fields are read as loosely as mailers write them; all that a field may do is to be believed or
//! not. Invariant: no block is an error.

use mail_parser::{MessageParser, MimeHeaders};

use super::{Envelope, Fragment, LINE_BYTES};

/// The fields of a header block that decide how its body is read.
#[derive(Default)]
pub(super) struct Fields {
    /// `type/subtype` in lower case.
    pub(super) content_type: String,
    pub(super) boundary: Vec<u8>,
    pub(super) encoding: Encoding,
    /// A bounce: null return path, failed recipients.
    pub(super) returned: bool,
    /// An automatic answer to somebody's mail.
    pub(super) replied: bool,
    /// Its subject, or a field of ours, speaks of remsync.
    pub(super) claims: bool,
    /// What a `message/partial` says of itself.
    pub(super) fragment: Fragment,
    pub(super) remsync_sha256: Option<String>,
}

/// A transfer encoding, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary, uuencode (found by its `begin` line), lost, unknown.
    #[default]
    Identity,
    Base64,
    Quoted,
}

impl Fields {
    /// Reads a block; a part that says no type is of `type_default`.
    pub(super) fn of(header: &[u8], type_default: &str) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in unfolded(header) {
            match name.as_slice() {
                b"content-type" => fields.content_type_is(&value),
                b"content-transfer-encoding" if !fields.encoding.is_encoded() => {
                    fields.encoding = Encoding::of(&value);
                }
                b"return-path" => fields.returned |= value.trim_ascii() == b"<>",
                b"x-failed-recipients" => fields.returned = true,
                b"auto-submitted" => {
                    fields.replied |= starts_with_nocase(value.trim_ascii(), b"auto-replied");
                }
                b"from" => fields.returned |= is_mailer_daemon(&value),
                b"subject" => fields.claims |= speaks_of_remsync(&value),
                b"x-remsync-sha256" => {
                    fields.claims = true;
                    let text = String::from_utf8_lossy(value.trim_ascii());
                    fields.remsync_sha256 = Some(text.chars().take(64).collect());
                }
                _ => {}
            }
        }
        if fields.content_type.is_empty() {
            fields.content_type = type_default.to_owned();
        }
        if fields.content_type.starts_with("multipart/") && fields.boundary.is_empty() {
            fields.boundary = boundary_of(header);
        }
        // No line can be found to be so long a one; it is then guessed.
        if fields.boundary.len() > LINE_BYTES / 2 {
            fields.boundary = Vec::new();
        }
        if fields.content_type.len() > TYPE_BYTES {
            fields.content_type = String::new();
        }
        fields
    }

    /// Where there are several fields, a multipart is what the body really is: some mailers write
    /// the type of the text above it.
    fn content_type_is(&mut self, value: &[u8]) {
        let value = without_comments(value);
        let mut parameters = split_parameters(&value);
        let name = parameters.next().unwrap_or_default();
        let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
        if !self.content_type.is_empty() && !name.starts_with("multipart/") {
            return;
        }
        self.content_type = name;
        for parameter in parameters {
            let mut halves = parameter.splitn(2, |b| *b == b'=');
            let name = halves.next().unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"boundary") {
                self.boundary = unquoted(halves.next().unwrap_or_default().trim_ascii());
            } else if let Some(which) = [&b"id"[..], b"number", b"total"]
                .iter()
                .position(|known| name.eq_ignore_ascii_case(known))
            {
                let value = unquoted(halves.next().unwrap_or_default().trim_ascii());
                let value = String::from_utf8_lossy(&value).into_owned();
                match which {
                    0 => self.fragment.id = value,
                    1 => self.fragment.number = value.parse().unwrap_or_default(),
                    _ => self.fragment.total = value.parse().unwrap_or_default(),
                }
            }
        }
    }
}

impl Encoding {
    /// Reads the field loosely: quotes, comments and stray marks are put aside.
    fn of(value: &[u8]) -> Encoding {
        let bare = without_comments(value);
        let word: Vec<u8> = bare
            .iter()
            .map(u8::to_ascii_lowercase)
            .skip_while(|b| !b.is_ascii_alphanumeric())
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'-')
            .collect();
        match word.as_slice() {
            b"base64" | b"base-64" | b"x-base64" => Encoding::Base64,
            b"quoted-printable" | b"quotedprintable" => Encoding::Quoted,
            _ => Encoding::Identity,
        }
    }

    pub(super) fn is_encoded(self) -> bool {
        self != Encoding::Identity
    }
}

/// The fields that tell of a mail.
pub(super) const ENVELOPE: [&[u8]; 4] = [b"from", b"message-id", b"subject", b"date"];
/// The fields that tell of a part.
pub(super) const PART: [&[u8]; 3] =
    [b"content-type", b"content-disposition", b"content-description"];
/// Bytes of fields that are kept; a name of 3 kB is the longest that was met.
const CHOSEN_BYTES: usize = 32 << 10;
/// Bytes of a type; a longer one is none.
const TYPE_BYTES: usize = 200;

/// Returns what the outermost header block says of its mail, of which [`ENVELOPE`] was chosen.
pub(super) fn envelope(header: &[u8]) -> Envelope {
    let Some(mail) = MessageParser::default().parse_headers(header) else {
        return Envelope::default();
    };
    let from = mail.from().and_then(|from| from.first()).and_then(|from| from.address());
    Envelope {
        from: from.unwrap_or_default().to_lowercase(),
        message_id: mail.message_id().unwrap_or_default().to_owned(),
        subject: mail.subject().unwrap_or_default().to_owned(),
        date_seconds: mail.date().map(mail_parser::DateTime::to_timestamp),
        ..Envelope::default()
    }
}

/// Whether a line begins a field: a name without blanks, perhaps blanks, a colon.
pub(super) fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() || *b >= 0x80)
}

/// Whether a line begins one of the fields that mail is made of, so that a stray line before it was
/// none of the body.
pub(super) fn is_known_field(line: &[u8]) -> bool {
    const KNOWN: [&[u8]; 12] = [
        b"content-",
        b"mime-version",
        b"x-",
        b"received",
        b"from",
        b"to",
        b"cc",
        b"subject",
        b"date",
        b"message-id",
        b"return-path",
        b"reply-to",
    ];
    is_field(line) && KNOWN.iter().any(|name| starts_with_nocase(line, name))
}

/// Whether `text` begins with `prefix`, in whatever case.
pub(super) fn starts_with_nocase(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether `text` holds `word`, in whatever case.
pub(super) fn holds_nocase(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// Whether an mbox `From ` line names the null return path. (`MAILER-DAEMON` says nothing there:
/// it is what programs write that know no sender.)
pub(super) fn is_returned_line(line: &[u8]) -> bool {
    line.split(|byte| *byte == b' ').nth(1).is_some_and(|sender| sender.trim_ascii() == b"<>")
}

/// A bounce of a mail system that writes no report: it writes in its own name.
fn is_mailer_daemon(from: &[u8]) -> bool {
    let address = from.rsplit(|byte| *byte == b'<').next().unwrap_or(from).trim_ascii();
    starts_with_nocase(address, b"mailer-daemon")
}

/// Whether a subject, encoded or not, holds the word.
fn speaks_of_remsync(subject: &[u8]) -> bool {
    if holds_nocase(subject, b"remsync") {
        return true;
    }
    let subject = subject.get(..CHOSEN_BYTES).unwrap_or(subject);
    let field = [b"Subject: ", subject, b"\n\n"].concat();
    let mail = MessageParser::default().parse_headers(field.as_slice());
    let decoded = mail.as_ref().and_then(|mail| mail.subject()).unwrap_or_default();
    holds_nocase(decoded.as_bytes(), b"remsync")
}

/// A boundary spelt as RFC 2231 allows, in pieces or encoded.
fn boundary_of(header: &[u8]) -> Vec<u8> {
    let header = chosen(header, &PART);
    let parsed = MessageParser::default().parse_headers(header.as_slice());
    let boundary = parsed.as_ref().and_then(|mail| mail.content_type()?.attribute("boundary"));
    boundary.unwrap_or_default().as_bytes().trim_ascii_end().to_vec()
}

/// The fields of a header block that matter: name in lower case, value with its folds as blanks.
fn unfolded(header: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut matters_now = false;
    for line in header.split(|b| *b == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if folded {
            if let Some((_, value)) = fields.last_mut().filter(|_| matters_now) {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some(colon) = line.iter().position(|b| *b == b':') {
            let (name, value) = line.split_at(colon);
            let name = name.trim_ascii().to_ascii_lowercase();
            // The folds of one that does not must not run on into the field before it.
            matters_now = matters(&name);
            if matters_now {
                fields.push((name, value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
            }
        }
    }
    fields
}

/// Returns the fields of these names as they stand, the first [`CHOSEN_BYTES`] of them: a parser
/// that makes something of every field would make much of a block that is all fields.
pub(super) fn chosen(header: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut is_chosen = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if !(line.starts_with(b" ") || line.starts_with(b"\t")) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            is_chosen = names.iter().any(|other| name.trim_ascii().eq_ignore_ascii_case(other));
        }
        if is_chosen && out.len() + line.len() <= CHOSEN_BYTES {
            out.extend_from_slice(line);
        }
    }
    out
}

fn matters(name: &[u8]) -> bool {
    matches!(
        name,
        b"content-type"
            | b"content-transfer-encoding"
            | b"return-path"
            | b"x-failed-recipients"
            | b"auto-submitted"
            | b"from"
            | b"subject"
            | b"x-remsync-sha256"
    )
}

/// The value without what stands in parentheses outside of quotes.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    let mut out = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted && depth > 0 => {
                depth -= 1;
                out.push(b' ');
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(byte);
        }
    }
    out
}

fn split_parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return true,
            _ => {}
        }
        false
    })
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return value.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default().to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    out.truncate(out.trim_ascii_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_loosely() {
        let of = |header: &str| Fields::of(header.as_bytes(), "a/default");
        for (header, content_type, boundary) in [
            ("", "a/default", ""),
            ("Content-Type: Text/Plain; charset=x\n", "text/plain", ""),
            (
                "CONTENT-TYPE:multipart/mixed;\n\tboundary=\"a;\\\"b\" \n",
                "multipart/mixed",
                "a;\"b",
            ),
            ("Content-Type: (x) multipart/x (y); Boundary = b (z)\n", "multipart/x", "b"),
            ("Content-Type: multipart/x; boundary*0=a;\n boundary*1=b\n", "multipart/x", "ab"),
            ("Content-Type: a/b\nContent-Type: multipart/c; boundary=d\n", "multipart/c", "d"),
            ("Content-Type: a/b\nContent-Type: c/d\n", "a/b", ""),
            ("X: y\n Content-Type: a/b\n", "a/default", ""),
        ] {
            let fields = of(header);
            assert_eq!(fields.content_type, content_type, "{header:?}");
            assert_eq!(String::from_utf8_lossy(&fields.boundary), boundary, "{header:?}");
        }
        for (header, returned, replied) in [
            ("Return-Path: <>\n", true, false),
            ("Return-Path: <a@b>\n", false, false),
            ("X-Failed-Recipients: a@b\n", true, false),
            ("Auto-Submitted: Auto-Replied; x\n", false, true),
            ("Auto-Submitted: auto-generated\n", false, false),
        ] {
            assert_eq!(
                (of(header).returned, of(header).replied),
                (returned, replied),
                "{header:?}"
            );
        }
    }

    #[test]
    fn encodings_are_known_in_every_spelling() {
        for (value, expected) in [
            ("base64", Encoding::Base64),
            ("\"Base-64\";", Encoding::Base64),
            ("(a) x-base64 (b)", Encoding::Base64),
            ("Quoted-Printable", Encoding::Quoted),
            ("8bit", Encoding::Identity),
            ("base6", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            assert_eq!(Encoding::of(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn a_field_is_a_name_and_a_colon() {
        for (line, expected) in [
            ("A: b", true),
            ("A :b", true),
            ("é: b", true),
            ("a b: c", false),
            (": b", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_field(line.as_bytes()), expected, "{line:?}");
        }
    }
}
