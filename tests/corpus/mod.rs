//! Mails as other people's programs make them, each with what has to come of it.
//!
//! Every mail is made here, the same each time; none is a file. A case names the client, gateway or
//! mail system that writes such mail. Families: `a` labels, `b` names, `c` encodings, `d`
//! structure, `e` what is in the package, `f` not for us, `g` whole mails of more senders, `h`
//! shapes that broke other readers.

mod coding;
mod contents;
mod encodings;
mod labels;
mod names;
mod others;
mod senders;
#[path = "../support/coding.rs"]
mod standard;
mod structure;
mod structure_within;
mod wrapping;

use remsync::format::package::{Level, Writer};

use super::archive::{noise, orders_head, update};
pub use coding::base64;

/// One mail, and what has to come of it.
pub struct Case {
    /// A letter for its family, and a number.
    pub name: String,
    /// Who makes such mail, and what is odd about it.
    pub by: String,
    pub mail: Vec<u8>,
    pub expected: Expected,
    /// An ordinary MIME library takes such packages for ours, and we do not.
    pub policy: bool,
}

/// What has to come of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// These packages wait in the queue.
    Packages(Vec<Vec<u8>>),
    /// Something is kept as refused, for a reason that holds this word.
    Refused(&'static str),
    /// The queue stays empty.
    Nothing,
}

/// Packages, and the text they become.
pub struct Kit {
    pub package: Vec<u8>,
    pub second: Vec<u8>,
    /// The first in base64, as nearly everybody writes it.
    pub body: String,
}

/// The header of most mails. Nothing in it speaks of us: content has to decide.
pub const TOP: &str = "From: Ann <ann@a.example>\nTo: Bob <bob@b.example>\nSubject: our files\n\
                       Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <1@a.example>\n\
                       MIME-Version: 1.0\n";
/// The fields of most attachments.
pub const GZIP: &str = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64";

/// Returns every case.
pub fn cases() -> Vec<Case> {
    let kit = Kit::new();
    let families = [
        ('a', labels::cases(&kit)),
        ('b', names::cases(&kit)),
        ('c', encodings::cases(&kit)),
        ('d', structure::cases(&kit)),
        ('d', structure_within::cases(&kit)),
        ('d', wrapping::cases(&kit)),
        ('e', contents::cases(&kit)),
        ('f', others::cases(&kit)),
        ('g', senders::cases(&kit)),
        ('h', senders::broken(&kit)),
    ];
    let mut all: Vec<Case> = Vec::new();
    for (letter, cases) in families {
        let before = all.iter().filter(|case| case.name.starts_with(letter)).count();
        all.extend(
            cases
                .into_iter()
                .enumerate()
                .map(|(n, case)| Case { name: format!("{letter}{:02}", before + n + 1), ..case }),
        );
    }
    all
}

impl Case {
    /// A mail that holds the first package.
    pub fn found(by: &str, mail: impl Into<Vec<u8>>, kit: &Kit) -> Case {
        Case::new(by, mail, Expected::Packages(vec![kit.package.clone()]))
    }

    pub fn new(by: &str, mail: impl Into<Vec<u8>>, expected: Expected) -> Case {
        let (name, by, mail) = (String::new(), by.to_owned(), mail.into());
        Case { name, by, mail, expected, policy: false }
    }

    pub fn refused(by: &str, mail: impl Into<Vec<u8>>, word: &'static str) -> Case {
        Case::new(by, mail, Expected::Refused(word))
    }

    pub fn nothing(by: &str, mail: impl Into<Vec<u8>>) -> Case {
        Case::new(by, mail, Expected::Nothing)
    }

    /// Another library may find a package here; we decide not to.
    pub fn by_policy(self) -> Case {
        Case { policy: true, ..self }
    }

    /// The mail with CR LF, where it has no line ends of its own and nothing but text in it.
    pub fn crlf(&self) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(&self.mail).ok().filter(|text| !text.contains('\r'))?;
        Some(text.replace('\n', "\r\n").into_bytes())
    }
}

impl Kit {
    fn new() -> Kit {
        let (package, second) = (package("T"), package("another"));
        let body = base64(&package, 76);
        Kit { package, second, body }
    }
}

/// A sound package; another title is another package.
pub fn package(title: &str) -> Vec<u8> {
    write(&orders(title, &content(title)), &content(title), Level::Stored)
}

pub fn content(title: &str) -> Vec<u8> {
    noise(title.len() as u64, 700)
}

pub fn orders(title: &str, content: &[u8]) -> String {
    let head = orders_head(title, "ann@a.example ~/a", "bob@b.example ~/b", 1_700_000_000_001);
    head + &update("file", content, 1)
}

pub fn write(orders: &str, content: &[u8], level: Level) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), level);
    writer.orders(orders.as_bytes(), 1_700_000_000).unwrap();
    writer.member(1, content.len() as u64, false, 1_700_000_000, 0, &mut &content[..]).unwrap();
    writer.finish().unwrap()
}

/// A mail of a text and an attachment with these fields.
pub fn attached(fields: &str, body: &str) -> String {
    multipart("mixed", "=_b1", &[("Content-Type: text/plain", "Here it is.\n"), (fields, body)])
}

/// The same around bytes that are no text.
pub fn attached_raw(fields: &str, body: &[u8]) -> Vec<u8> {
    splice(&attached(fields, "@@"), body)
}

/// Puts bytes where the text says `@@`.
pub fn splice(text: &str, bytes: &[u8]) -> Vec<u8> {
    let (before, after) = text.split_once("@@").expect("a place for the bytes");
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

/// A whole mail of these parts.
pub fn multipart(subtype: &str, boundary: &str, parts: &[(&str, &str)]) -> String {
    let (fields, body) = entity(subtype, boundary, parts);
    format!("{TOP}{fields}\n\nThis is a multi-part message in MIME format.\n\n{body}")
}

/// The fields and the body of a multipart.
pub fn entity(subtype: &str, boundary: &str, parts: &[(&str, &str)]) -> (String, String) {
    let mut body = String::new();
    for (fields, text) in parts {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        body += &format!("--{boundary}\n{fields}\n\n{text}{end}");
    }
    let fields = format!("Content-Type: multipart/{subtype};\n\tboundary=\"{boundary}\"");
    (fields, format!("{body}--{boundary}--\n"))
}
