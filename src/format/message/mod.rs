//! Mail, read as a stream: finds the parts that look like something of ours and hands on their
//! decoded bytes as they come.
//!
//! It is no general MIME library: it decodes no text, builds no tree, keeps nothing but the header
//! block being read. What a part *is* is decided by its first decoded bytes, never by its name or
//! label, and everything that real mailers get wrong and that has one sensible reading is read.
//!
//! A mail goes down through it: `reader` cuts it into lines and parts, `header` says how a part is
//! to be read, `leaf` undoes its transfer encoding (`decode`), `content` tells what it is and hands
//! it on. What is none of ours may hold something of ours: `hunt` finds encoded files in text
//! (`museum` knows the old encodings, `shar` shell archives), `wrapped` and `zip` look into what holds other files. What
//! cannot be looked into, and is called as only our mail is, is handed on as [`Kind::Unread`].
//!
//! Invariant: memory is bounded by [`HEADER_BYTES_MAX`] and fixed buffers, whatever the mail.

use std::io::{self, Read};

use crate::model::limits::{
    HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, MIME_DEPTH_MAX, MIME_PARTS_MAX, MIME_WRAPS_MAX, RATIO_MAX,
    UNPACKED_BYTES_MAX,
};

use super::volume;
use reader::Reader;
use shar::Piece;

mod content;
mod decode;
mod header;
mod hunt;
mod leaf;
mod museum;
mod reader;
pub mod shar;
mod wrapped;
mod zip;

/// What the first decoded bytes of a part say that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A gzip stream: a package, or other people's business.
    Gzip,
    /// A file sealed with age, binary or armored.
    Sealed,
    /// A detached SSH signature.
    Signature,
    /// A volume of a package, as [`super::volume`] says.
    Volume,
    /// Uuencoded text, of a shell archive: a file, or a piece of one.
    Piece,
    /// A run of the lines of another mail, which came in several (`message/partial`, RFC 2046
    /// section 5.2.2).
    Fragment,
    /// Nothing that can be read here; but its name, or the mail's subject, speaks of remsync.
    Unread(Unread),
}

/// Why a part that may hold a package cannot be read; in words, with what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// OpenPGP, armored or binary.
    #[error(
        "it is encrypted with OpenPGP: decrypt it, and give the package in it to \
         \"remsync process FILE\""
    )]
    OpenPgp,
    /// S/MIME, enveloped.
    #[error(
        "it is encrypted with S/MIME: decrypt it, and give the package in it to \
         \"remsync process FILE\""
    )]
    Smime,
    /// A zip archive that asks for a password.
    #[error(
        "it is in a zip archive with a password: unpack that, and give the package in it to \
         \"remsync process FILE\""
    )]
    ZipLocked,
    /// A zip archive of another method than stored and deflated.
    #[error(
        "it is in a zip archive of a kind that is not read here: unpack that, and give the \
         package in it to \"remsync process FILE\""
    )]
    Zip,
    /// Some other archive.
    #[error(
        "it is in an archive of another kind ({0}): unpack that, and give the package in it to \
         \"remsync process FILE\""
    )]
    Archive(&'static str),
    /// A package whose gzip layer is gone.
    #[error(
        "something on its way unpacked it: compress the file with gzip, and give that to \
         \"remsync process FILE\""
    )]
    Unpacked,
    /// A `message/partial` that does not say which, or one of several files of yEnc.
    #[error(
        "it is one of several pieces, and does not say of what: ask for it in one piece, or join \
         them and give the mail to \"remsync-deliver\""
    )]
    Piece,
    /// It has the name of a package, and is something else, or nothing that can be read.
    #[error(
        "it has the name of a package and is none: something on its way put it there instead, or \
         damaged it at its beginning; ask for the package once more, by another way if need be"
    )]
    Other,
}

/// A part that looks like something of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it looks like.
    pub kind: Kind,
    /// The name that the mail gives it, decoded; empty where it has none. Never trusted.
    pub name: String,
    /// It lies in a bounce, a report or an automatic reply: our own mail coming back.
    pub returned: bool,
    /// Its name, or the mail's subject or fields, speak of remsync. Proves nothing.
    pub claims: bool,
    /// What a shell archive says of a [`Kind::Piece`].
    pub piece: Option<Piece>,
    /// What a [`Kind::Fragment`] says of itself.
    pub fragment: Option<Fragment>,
}

/// Which part of another mail a `message/partial` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// What all fragments of that mail have in common.
    pub id: String,
    /// From 1; 0 where it does not say.
    pub number: u32,
    /// How many there are; 0 where it does not say, as only the last has to.
    pub total: u32,
}

/// What a mail says in words, as far as it may tell what became of another mail: see
/// [`super::report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// The header block of the mail itself.
    Header(&'a [u8]),
    /// That of a mail within it, or what is left of one.
    Inner(&'a [u8]),
    /// A text or a report of this type begins: `type/subtype` in lower case, or nothing.
    Begin(&'a str),
    /// The next decoded bytes of it, up to
    /// [`REPORT_PART_BYTES_MAX`](crate::model::limits::REPORT_PART_BYTES_MAX).
    Text(&'a [u8]),
}

/// Takes the parts of a mail that look like something of ours, one after the other.
///
/// An error of any of them ends the reading.
pub trait Parts {
    /// What the mail says in words; who does not listen misses no part.
    fn words(&mut self, _words: Words<'_>) {}

    /// A part begins.
    ///
    /// # Errors
    /// Whatever keeps it from being taken.
    fn begin(&mut self, part: &Part) -> io::Result<()>;

    /// The next decoded bytes of the part that began last.
    ///
    /// # Errors
    /// Whatever keeps them from being taken.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// That part ends, at its boundary or with the mail.
    ///
    /// # Errors
    /// Whatever keeps it from being taken.
    fn end(&mut self) -> io::Result<()>;
}

/// A bound of `limits.rs` that a mail went past; what came before it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Past {
    /// [`MESSAGE_BYTES_MAX`].
    #[error("a mail over {MESSAGE_BYTES_MAX} bytes")]
    Message,
    /// [`HEADER_BYTES_MAX`].
    #[error("a header block over {HEADER_BYTES_MAX} bytes")]
    Header,
    /// [`MIME_DEPTH_MAX`].
    #[error("parts nested more than {MIME_DEPTH_MAX} deep")]
    Depth,
    /// [`MIME_WRAPS_MAX`].
    #[error("mails and archives wrapped more than {MIME_WRAPS_MAX} times")]
    Wraps,
    /// [`MIME_PARTS_MAX`].
    #[error("more than {MIME_PARTS_MAX} parts")]
    Parts,
    /// [`UNPACKED_BYTES_MAX`] or [`RATIO_MAX`], by a zip archive around other files.
    #[error("a zip archive over {UNPACKED_BYTES_MAX} bytes or {RATIO_MAX} for each packed one")]
    Unpacked,
}

/// What a mail says of itself; none of it is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Address of the first author, in lower case; empty where there is none.
    pub from: String,
    /// Without its angle brackets; empty where there is none.
    pub message_id: String,
    /// Decoded; empty where there is none.
    pub subject: String,
    /// Seconds since 1970.
    pub date_seconds: Option<i64>,
    /// Its subject or its fields speak of remsync.
    pub claims: bool,
    /// The mail as a whole is a bounce or a report.
    pub returned: bool,
    /// Digests in `X-Remsync-Sha256` fields of what was returned, as they stand there.
    pub returned_sha256: Vec<String>,
    /// The first bound that the mail went past.
    pub past: Option<Past>,
    /// Bytes read.
    pub bytes: u64,
}

/// Reads one mail to its end (or to [`MESSAGE_BYTES_MAX`], where `past` says so).
///
/// # Errors
/// Those of `input` and of `parts`; nothing that a mail holds is an error.
pub fn read(input: &mut impl Read, parts: &mut dyn Parts) -> io::Result<Envelope> {
    read_up_to(MESSAGE_BYTES_MAX, input, parts)
}

fn read_up_to(
    bytes_max: u64,
    input: &mut impl Read,
    parts: &mut dyn Parts,
) -> io::Result<Envelope> {
    let mut reader = Reader::outermost();
    let mut mail = Mail::new(parts);
    let mut bytes = 0;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes += n as u64;
        if bytes > bytes_max {
            mail.past(Past::Message);
            break;
        }
        reader.feed(buffer.get(..n).unwrap_or_default(), &mut mail)?;
    }
    reader.finish(&mut mail)?;
    Ok(mail.into_envelope(bytes))
}

/// Returns what bytes are by their beginning, of which 64 suffice; `None` for nothing of ours.
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    // RFC 1952: the magic, and deflate, the only method there is.
    if bytes.starts_with(GZIP_MAGIC) {
        return Some(Kind::Gzip);
    }
    if bytes.starts_with(volume::MAGIC) {
        return Some(Kind::Volume);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if bytes.starts_with(b"age-encryption.org/v1")
        || text.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
    {
        return Some(Kind::Sealed);
    }
    text.starts_with(b"-----BEGIN SSH SIGNATURE-----").then_some(Kind::Signature)
}

/// Returns why a file that begins so cannot be read, where it is known to be such a one.
pub fn unread(head: &[u8]) -> Option<Unread> {
    wrapped::unread(head)
}

/// Whether a part of this type may say in words what became of a mail.
fn is_wordy(content_type: &str) -> bool {
    content_type.is_empty()
        || content_type.starts_with("text")
        || matches!(
            content_type,
            "message/delivery-status"
                | "message/global-delivery-status"
                | "message/disposition-notification"
                | "message/global-disposition-notification"
                | "message/feedback-report"
        )
}

/// What the readers of one mail and of the mails in it have in common.
struct Mail<'p> {
    parts: &'p mut dyn Parts,
    /// Parts so far; the mail itself is the first.
    part_count: usize,
    mail_count: usize,
    /// How many were handed on.
    begun: usize,
    /// The outermost header block.
    top: Vec<u8>,
    top_returned: bool,
    /// A header block of the mail, or of one in it, speaks of remsync.
    claims: bool,
    returned_sha256: Vec<String>,
    past: Option<Past>,
}

impl Mail<'_> {
    fn new(parts: &mut dyn Parts) -> Mail<'_> {
        Mail {
            parts,
            part_count: 1,
            mail_count: 0,
            begun: 0,
            top: Vec::new(),
            top_returned: false,
            claims: false,
            returned_sha256: Vec::new(),
            past: None,
        }
    }

    /// Notes that a bound was passed; the first is told.
    fn past(&mut self, past: Past) {
        self.past.get_or_insert(past);
    }

    /// Counts one part more; `false` past the bound.
    fn count_part(&mut self) -> bool {
        self.part_count += 1;
        if self.part_count > MIME_PARTS_MAX {
            self.past(Past::Parts);
        }
        self.part_count <= MIME_PARTS_MAX
    }

    /// Returns what the mail says of itself.
    fn into_envelope(self, bytes: u64) -> Envelope {
        Envelope {
            claims: self.claims,
            returned: self.top_returned,
            returned_sha256: self.returned_sha256,
            past: self.past,
            bytes,
            ..header::envelope(&self.top)
        }
    }
}

/// Bytes read at once, and handed on at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a line that are looked at together; longer lines come in pieces.
const LINE_BYTES: usize = 4 << 10;
/// What every gzip stream begins with: the magic, and deflate, the only method there is.
const GZIP_MAGIC: &[u8] = b"\x1f\x8b\x08";
/// Decoded bytes that suffice to tell what a part is, some blank lines before them included.
const HEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::RATIO_FREE_BYTES;

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept {
        parts: Vec<(Part, Vec<u8>)>,
        open: bool,
    }

    impl Parts for Kept {
        fn begin(&mut self, part: &Part) -> io::Result<()> {
            assert!(!std::mem::replace(&mut self.open, true), "one part at a time");
            self.parts.push((part.clone(), Vec::new()));
            Ok(())
        }

        fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
            assert!(self.open);
            self.parts.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> io::Result<()> {
            assert!(std::mem::replace(&mut self.open, false));
            Ok(())
        }
    }

    /// Gives `step` bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = out.len().min(self.1);
            self.0.read(&mut out[..n])
        }
    }

    fn read_slowly(mail: &[u8], step: usize) -> (Envelope, Vec<(Part, Vec<u8>)>) {
        let mut kept = Kept::default();
        let envelope = read(&mut Slow(mail, step), &mut kept).unwrap();
        assert!(!kept.open);
        (envelope, kept.parts)
    }

    fn read_all(mail: &[u8]) -> (Envelope, Vec<(Part, Vec<u8>)>) {
        read_slowly(mail, usize::MAX)
    }

    const GZIP_QP: &str = "=1F=8B=08abc =\n=3D =zz\ndef=20  \n=";
    const GZIP_QP_BYTES: &[u8] = b"\x1f\x8b\x08abc = =zz\ndef \n";

    fn mail() -> Vec<u8> {
        let mut mail = format!(
            "From: =?utf-8?q?=C3=89a?= <Ea@X>\nMessage-ID: <m@x>\nSubject: =?utf-8?b?w6k=?=\n\
             Date: Thu, 1 Jan 1970 00:00:01 +0000\n\
             Content-Type: multipart/mixed;\n boundary=\"b;=\"\n\nhi\n--b;=\n\
             Content-Type: a/b; name=\"=?utf-8?q?=C3=A9?=\"\n\
             Content-Transfer-Encoding: quoted-printable\n\n{GZIP_QP}\n--b;=\n\
             Content-Transfer-Encoding: base64\n\nH4sIAA\n--b;=\n\n\
             -----BEGIN SSH SIGNATURE-----\n{}\n--b;=\n\ntext\nbegin 644 a b\n#'XL(\n`\nend\n\
             begin 600 c\n#86)C\nend\n--b;=--\n",
            "x".repeat(10_000)
        )
        .into_bytes();
        mail.extend_from_slice(b"--b;=\n\n\x1f\x8b\x08\n");
        mail
    }

    #[test]
    fn pieces_of_any_size_read_the_same() {
        let (envelope, parts) = read_all(&mail());
        assert_eq!((envelope.from.as_str(), envelope.message_id.as_str()), ("ea@x", "m@x"));
        assert_eq!((envelope.subject.as_str(), envelope.date_seconds), ("é", Some(1)));
        let kinds: Vec<_> = parts.iter().map(|(part, _)| part.kind).collect();
        assert_eq!(kinds, [Kind::Gzip, Kind::Gzip, Kind::Signature, Kind::Gzip]);
        let names: Vec<_> = parts.iter().map(|(part, _)| part.name.as_str()).collect();
        assert_eq!(names, ["é", "", "", "a b"]);
        assert_eq!(parts[0].1, GZIP_QP_BYTES);
        assert_eq!(parts[1].1, b"\x1f\x8b\x08\0");
        assert_eq!(parts[2].1.len(), 30 + 10_000, "the line end is the boundary's");
        assert_eq!(parts[3].1, b"\x1f\x8b\x08");
        for step in [1, 2, 3, 7, 64, 4_095, 4_096, 4_097] {
            assert_eq!(read_slowly(&mail(), step), (envelope.clone(), parts.clone()), "{step}");
        }
    }

    #[test]
    fn a_long_line_reads_the_same_however_cut() {
        let a = |n: usize| "A".repeat(n);
        for line in [
            format!("H4sI{}*{}", a(6_000), a(200)),
            format!("H4sI{}\n{}*{}\n{}", a(72), a(5_000), a(5_000), a(72)),
            format!("begin 644 {}\n#'XL(\nend", a(9_000)),
        ] {
            let mail = format!("A: b\n\nHello\n{line}\n");
            let whole = read_all(mail.as_bytes());
            assert_eq!(whole.1.len(), 1);
            for step in [1, 71, 1_000, 4_096] {
                let (_, parts) = read_slowly(mail.as_bytes(), step);
                assert_eq!(parts, whole.1, "{step}");
            }
        }
    }

    #[test]
    fn binary_keeps_its_line_ends() {
        let bytes = b"\x1f\x8b\x08\r\n\r\r\n\n--x\n--b\r\nen\rd";
        let mail =
            [&b"Content-Type: multipart/x; boundary=bb\r\n\r\n--bb\r\n\r\n"[..], bytes].concat();
        for (rest, extra) in [("\r\n--bb--\r\n", &b""[..]), ("\n--bb\n", b""), ("\r\n", b"\r\n")] {
            let whole = [&mail[..], rest.as_bytes()].concat();
            for step in [1, 5, usize::MAX] {
                let (_, parts) = read_slowly(&whole, step);
                assert_eq!(parts[0].1, [&bytes[..], extra].concat(), "{rest:?} {step}");
            }
        }
    }

    #[test]
    fn bounds_end_the_reading_and_say_so() {
        let nested = |depth: usize| {
            let levels: String = (0..depth).map(|_| "Content-Type: message/rfc822\n\n").collect();
            format!("{levels}Content-Transfer-Encoding: base64\n\nH4sIAAAA\n")
        };
        let many = |parts: usize| {
            let part = "--b\nContent-Transfer-Encoding: base64\n\nH4sIAAAA\n";
            format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(parts))
        };
        // The mail itself is the first of its parts; a field is a name, a colon and a line end.
        let header = |bytes: usize| {
            let fields = "Content-Transfer-Encoding: base64\n";
            format!("X:{}\n{fields}\nH4sIAAAA\n", "y".repeat(bytes - 3 - fields.len()))
        };
        for (name, mail, past, found) in [
            ("depth", nested(MIME_DEPTH_MAX), None, 1),
            ("depth + 1", nested(MIME_DEPTH_MAX + 1), Some(Past::Depth), 0),
            ("10,000 levels", nested(10_000), Some(Past::Depth), 0),
            ("parts", many(MIME_PARTS_MAX - 1), None, MIME_PARTS_MAX - 1),
            ("parts + 1", many(MIME_PARTS_MAX), Some(Past::Parts), MIME_PARTS_MAX - 1),
            ("header", header(HEADER_BYTES_MAX), None, 1),
            ("header + 1", header(HEADER_BYTES_MAX + 1), Some(Past::Header), 0),
        ] {
            let (envelope, parts) = read_all(mail.as_bytes());
            assert_eq!(envelope.past, past, "{name}");
            assert_eq!(parts.len(), found, "{name}");
        }
    }

    #[test]
    fn a_mail_is_read_to_its_bound() {
        let mail = mail();
        let bytes = mail.len() as u64;
        for (bytes_max, past) in [(bytes, None), (bytes - 1, Some(Past::Message))] {
            let envelope = read_up_to(bytes_max, &mut mail.as_slice(), &mut Kept::default());
            assert_eq!(envelope.unwrap().past, past);
        }
    }

    #[test]
    fn a_zip_is_unpacked_to_its_bound() {
        for (bytes, past) in
            [(RATIO_FREE_BYTES, None), (RATIO_FREE_BYTES + 1, Some(Past::Unpacked))]
        {
            let zeros = vec![0; usize::try_from(bytes).unwrap()];
            let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
            io::Write::write_all(&mut packed, &zeros).unwrap();
            let head = b"\n\nPK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            let mail = [&b"A: b"[..], head, &packed.finish().unwrap()].concat();
            assert_eq!(read_all(&mail).0.past, past, "{bytes}");
        }
    }

    #[test]
    fn a_part_with_too_long_a_header_hides_no_other() {
        let long = format!("X: {}\n", "y".repeat(HEADER_BYTES_MAX));
        let part = "Content-Transfer-Encoding: base64\n\nH4sIAAAA\n";
        let mail = format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n{long}{part}--b\n{part}--b--\n"
        );
        let (envelope, parts) = read_all(mail.as_bytes());
        assert_eq!((envelope.past, parts.len()), (Some(Past::Header), 1));
    }

    #[test]
    fn kinds_are_told_by_content() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\0"[..], Some(Kind::Gzip)),
            (b"\x1f\x8b\x07\0", None),
            (b"\x1f\x8b", None),
            (b"age-encryption.org/v1\n", Some(Kind::Sealed)),
            (b" age-encryption.org/v1\n", None),
            (b"\r\n -----BEGIN AGE ENCRYPTED FILE-----", Some(Kind::Sealed)),
            (b"\xef\xbb\xbf-----BEGIN SSH SIGNATURE-----", Some(Kind::Signature)),
            (b"x -----BEGIN SSH SIGNATURE-----", None),
            (b"", None),
        ] {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_was_returned_is_marked() {
        let part = "Content-Transfer-Encoding: base64\n\nH4sIAAAA\n";
        let digest = "a".repeat(64);
        let report = format!(
            "Content-Type: multipart/report; boundary=r\n\n--r\nContent-Type: text/rfc822-headers\n\n\
             X-Remsync-Sha256: {digest}\n--r\nContent-Type: message/rfc822\n\n{part}\n--r--\n"
        );
        // What stands beside a forwarded report came from its sender.
        let beside = format!(
            "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: message/rfc822\n\n\
             {report}\n--m\n{part}\n--m--\n"
        );
        for (mail, returned, marks) in
            [(report, true, vec![true]), (beside, false, vec![true, false])]
        {
            let (envelope, parts) = read_all(mail.as_bytes());
            assert_eq!(envelope.returned, returned);
            assert_eq!(envelope.returned_sha256, std::slice::from_ref(&digest));
            assert_eq!(parts.iter().map(|(part, _)| part.returned).collect::<Vec<_>>(), marks);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_mail_stops_us(words in proptest::collection::vec(0..WORDS.len(), 0..60), step in 1..50_usize) {
            let mail: Vec<u8> = words.iter().flat_map(|n| WORDS[*n].iter().copied()).collect();
            proptest::prop_assert_eq!(read_slowly(&mail, step), read_all(&mail));
        }
    }

    /// What mails are made of, for mails that nobody would make.
    const WORDS: [&[u8]; 39] = [
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"--b",
        b"--b--",
        b"--",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: message/rfc822",
        b"Content-Type: message/partial; total=1",
        b"Content-Type: message/partial; id=x; number=2",
        b"Content-Type: multipart/report",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Subject: remsync",
        b"no field",
        b"From <> x",
        b"begin 644 x",
        b"begin-base64 644 x",
        b"end",
        b"`",
        b"H4sIAAAA",
        b"UEsDBBQAAAAAAAAA",
        b"=ybegin line=128 name=x",
        b"=yend",
        b"(This file must be converted with BinHex 4.0)",
        b":#",
        b"-----BEGIN PGP MESSAGE-----",
        b"-----END PGP MESSAGE-----",
        b"=1F=8B=08",
        b"=",
        b" ",
        b"\x1f\x8b\x08",
        b"#'XL(",
        b"\0\xff:",
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x03\0\0\0\x01\0\0\0a\x1f\x8b\x08",
        b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x24\x80\x04\x03",
        b"\x78\x9f\x3e\x22\0\0\x02\x0f\x80\x06\0\x03\0\0\0\x1f\x8b\x08",
        b"\0\x05\x16\0\0\x02\0\0................\0\x01\0\0\0\x01\0\0\0\x26\0\0\0\x03\x1f\x8b\x08",
    ];
}
