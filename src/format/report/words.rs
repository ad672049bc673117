//! The words of mail systems: what they call themselves, how they say that a mail failed or is
//! late, where they quote it, and the numbers in what they say.
//!
//! Old letters have no form, so this is a list of what is met. Phrases are looked for in text whose
//! lines are joined, for they break anywhere. Invariant: a number counts only where one reading of
//! it is left.

use super::statement;
use crate::model::limits::{MAIL_LIMIT_BYTES_MIN, MESSAGE_BYTES_MAX};

/// What a letter says as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Failed,
    Delayed,
    Delivered,
    Nothing,
}

/// What a receiver says of its room for one mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    #[default]
    NotSaid,
    /// That this one was too large, and not by how much.
    TooLarge,
    /// The largest that it takes, in bytes.
    AtMost(u64),
}

/// What a letter says of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) reason: String,
    pub(super) recipient: String,
}

/// What `From` holds, in lower case, where a mail system writes.
pub(super) const DAEMONS: &[&str] = &[
    "mailer-daemon",
    "mailer daemon",
    "mailerdaemon",
    "mail-daemon",
    "maildaemon",
    "mdaemon@",
    "postmaster",
    "mail delivery s",
    "mail server at",
    "microsoft outlook",
    "microsoftexchange",
    "system administrator",
    "internet mail delivery",
];

/// How they say that nothing more will be tried, whatever else they say.
const GIVEN_UP: &[&str] = &[
    "failed permanently",
    "permanent error",
    "permanent fatal errors",
    "permanent failure",
    "permanently failed",
    "given up",
    "giving up",
    "gave up",
    "deleted from queue",
    "returning message to sender",
    "returned to sender",
    "returned mail",
    "retry timeout exceeded",
    "could not be delivered for",
];

const DELAYED: &[&str] = &[
    "not yet been delivered",
    "not been delivered yet",
    "not yet delivered",
    "has been delayed",
    "is delayed",
    "was delayed",
    "message delayed",
    "delayed mail",
    "still being retried",
    "still undelivered",
    "warning message only",
    "warning: could not send",
    "do not need to resend",
    "transient non-fatal errors",
    "temporary failure report",
    "temporary error",
    "will be retried",
    "will continue to try",
    "continue trying",
    "delivery attempts will continue",
    "status notification (delay)",
    "status notification: warning",
];

const DELIVERED: &[&str] = &[
    "successfully delivered",
    "successfully relayed",
    "delivered successfully",
    "delivery was successful",
    "status notification (success)",
    "status notification: success",
    "status notification (relay)",
];

const FAILED: &[&str] = &[
    "not be delivered",
    "n't be delivered",
    "cannot be delivered",
    "was not delivered",
    "n't delivered",
    "undeliverable",
    "undelivered mail",
    "unable to deliver",
    "n't able to deliver",
    "not able to deliver",
    "cannot deliver",
    "could not deliver",
    "n't deliver",
    "failed to deliver",
    "delivery failed",
    "delivery has failed",
    "delivery failure",
    "delivery error",
    "delivery to the following recipient failed",
    "delivery to the following recipients failed",
    "mail delivery failed",
    "failure notice",
    "status notification (failure)",
    "status notification: error",
    "did not reach the following",
    "didn't reach",
    "an error has occurred while attempting to deliver",
    "message was rejected",
    "message has been rejected",
    "rejected your message",
    "was rejected by",
    "n't accept",
    "unknown user",
    "user unknown",
    "message bounced",
    "was not sent",
];

/// Lines below which the returned mail stands, whole, in lower case and without what frames them.
const COPIES: &[&str] = &[
    "original message",
    "original message follows",
    "original message headers",
    "original message header",
    "original message below",
    "the original message follows",
    "below is the original message",
    "message header follows",
    "message headers follow",
    "message text follows",
    "unsent message follows",
    "unsent message below",
    "unsent message",
    "returned message",
    "returned message follows",
    "returned mail follows",
    "the body of the message is",
    "your original message",
    "start of returned message",
    "begin message",
    "begin original message",
    "copy of your message",
    "included message",
    "mail headers follow",
    "message contents",
];

/// How such lines begin that say more.
const COPY_STARTS: &[&str] = &[
    "below this line is a copy",
    "this is a copy of",
    "below is a copy of",
    "here is a copy of",
    "a copy of the message",
    "a copy of your message",
    "the header of the original message",
    "the headers of the original message",
    "headers of the original message",
    "the original message headers",
    "headers of your message",
    "header of your message",
    "the following is a copy of",
    "the message headers are",
    "return-path:",
    "received: from",
];

/// Subjects under which programs answer in their owner's absence.
const ABSENCES: &[&str] = &[
    "out of office",
    "out of the office",
    "automatic reply",
    "automatische antwort",
    "réponse automatique",
    "respuesta automática",
    "risposta automatica",
    "autoreply",
    "auto-reply",
    "auto reply",
    "auto:",
    "abwesen",
    "vacation",
    "away from my mail",
];

/// Whether a line announces a copy of the mail that came back.
pub(super) fn announces_copy(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line).to_ascii_lowercase();
    let is_edge = |c: char| c.is_whitespace() || "-=*_.:+".contains(c);
    let bare = text.trim_start_matches(is_edge);
    COPIES.contains(&bare.trim_end_matches(is_edge))
        || COPY_STARTS.iter().any(|start| bare.starts_with(start))
}

/// Whether a subject is that of an answer in somebody's absence.
pub(super) fn is_absence(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    ABSENCES.iter().any(|absence| subject.trim_start().starts_with(absence))
}

/// The subject without what it quotes of ours.
pub(super) fn own_subject(subject: &str) -> String {
    subject.split("[remsync]").next().unwrap_or_default().to_owned()
}

/// Returns what a letter says as a whole: what is said of the end outranks what is said of waiting,
/// and that what is said of failing, for those who wait say too what failed.
pub(super) fn tone(said: &[u8], subject: &str) -> Tone {
    let text = format!("{} {}", flattened(subject.as_bytes()), flattened(said)).to_lowercase();
    let text = text.replace('\u{2019}', "'");
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if has(DELIVERED) && !has(FAILED) {
        Tone::Delivered
    } else if has(DELAYED) && !has(GIVEN_UP) {
        Tone::Delayed
    } else if has(GIVEN_UP) || has(FAILED) {
        Tone::Failed
    } else {
        Tone::Nothing
    }
}

/// Finds the paragraph that says why: the one with the most of a status, a code, an address and a
/// word for it.
pub(super) fn diagnosis(said: &[u8]) -> Said {
    let text = String::from_utf8_lossy(said);
    let mut best = (0, Said::default());
    let mut recipient = String::new();
    for paragraph in paragraphs(&text) {
        let whole = paragraph.join(" ");
        let named = paragraph.iter().find_map(|line| address_of(line));
        if recipient.is_empty()
            && let Some(named) = named
        {
            named.clone_into(&mut recipient);
        }
        let is_more_than_named =
            paragraph.len() > 1 || named.is_none_or(|n| whole.len() > n.len() + 4);
        let marks = [
            (5, enhanced(&whole).is_some()),
            (4, code(&whole).is_some()),
            (3, named.is_some() && is_more_than_named),
            (2, is_complaint(&whole)),
            (1, tone(whole.as_bytes(), "") != Tone::Nothing),
        ];
        let score: u32 = marks.iter().filter(|(_, holds)| *holds).map(|(score, _)| score).sum();
        if score > best.0 {
            best = (score, Said { reason: reason_of(&paragraph), recipient: String::new() });
        }
    }
    Said { recipient, ..best.1 }
}

/// Returns the first exact status in the texts, else the first one that says little (`5.0.0`), else
/// the first reply code, else nothing.
pub(super) fn status_of(texts: &[&str]) -> String {
    let mut found: Vec<&str> = texts.iter().filter_map(|text| enhanced(text)).collect();
    found.sort_by_key(|status| status.ends_with(".0.0"));
    let code = || texts.iter().find_map(|text| code(text));
    found.first().copied().or_else(code).unwrap_or_default().to_owned()
}

/// Returns what the texts say of the receiver's room for one mail, where `status` and words are
/// about the mail's size and not about a mailbox that is full.
pub(super) fn limit(status: &str, texts: &[&str]) -> Limit {
    let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    let has = |phrases: &[&str]| lower.iter().any(|text| phrases.iter().any(|p| text.contains(p)));
    let is_full = has(&["quota", "mailbox full", "mailbox is full", "storage", "disk full"]);
    let is_sized = has(&[
        "size limit",
        "message size",
        "maximum size",
        "max size",
        "too large",
        "too big",
        "too long",
        "larger than",
        "bigger than",
        "exceeds size",
        "exceeds the size",
        "exceeds the maximum",
        "exceeds maximum",
        "exceeds fixed maximum",
        "too much mail data",
    ]);
    let is_too_large = match status {
        "5.3.4" | "5.2.3" => true,
        "5.2.2" | "4.2.2" => false,
        _ => is_sized && !is_full,
    };
    if !is_too_large {
        return Limit::NotSaid;
    }
    for text in &lower {
        let mut found = limits_in(text);
        found.dedup();
        match found.as_slice() {
            [] => {}
            [limit] => return Limit::AtMost(*limit),
            // Two readings are none.
            _ => return Limit::TooLarge,
        }
    }
    Limit::TooLarge
}

/// Finds the names that we give our mails: `remsync.DIGEST12.TIME@domain`.
pub(super) fn message_ids(text: &[u8]) -> Vec<String> {
    const MARK: &[u8] = b"remsync.";
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(MARK.len()).position(|w| w.eq_ignore_ascii_case(MARK)) {
        let id = rest.get(at..).unwrap_or_default();
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'@');
        let end = id.iter().position(|b| !is_part(b)).unwrap_or(id.len());
        let (id, after) = id.split_at(end);
        let id = String::from_utf8_lossy(id).to_ascii_lowercase();
        // The full stop behind it is the sentence's.
        let id = id.trim_end_matches('.');
        if is_message_id(id) {
            found.push(id.to_owned());
        }
        rest = after;
    }
    found
}

/// Reads a digest as it stands in `X-Remsync-Sha256`.
pub(super) fn digest(value: &[u8]) -> Option<[u8; 32]> {
    let word = value.split(|b| b.is_ascii_whitespace()).find(|word| !word.is_empty())?;
    statement::hex(&word.to_ascii_lowercase())
}

/// Text as one line with single blanks; what is no UTF-8 becomes the sign for it.
pub(super) fn flattened(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// Returns the domain of the first address in a `From` field, or nothing.
pub(super) fn host_of(from: &str) -> &str {
    let address = address_of(from).unwrap_or_default();
    address.rsplit_once('@').map_or("", |(_, host)| host)
}

fn is_message_id(id: &str) -> bool {
    let Some((local, domain)) = id.split_once('@') else { return false };
    let mut words = local.split('.');
    let is_ours = words.next() == Some("remsync")
        && words.next().is_some_and(|digest| {
            digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit())
        })
        && words.next().is_some_and(|time| {
            (1..=20).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit())
        })
        && words.next().is_none();
    is_ours && !domain.is_empty() && !domain.contains('@') && domain.len() <= 255
}

/// The lines between blank lines, without what only frames them.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut paragraphs = vec![Vec::new()];
    for line in text.lines() {
        let bare = line.trim();
        let is_frame =
            bare.starts_with("---") || bare.starts_with("***") || bare.starts_with(">>>");
        if bare.is_empty() || bare.starts_with("---") {
            paragraphs.push(Vec::new());
        } else if let Some(paragraph) = paragraphs.last_mut()
            && !is_frame
        {
            paragraph.push(bare);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// The lines of a paragraph without the address above them.
fn reason_of(paragraph: &[&str]) -> String {
    let mut lines = paragraph.to_vec();
    // "<bob@b.example>:", "bob@b.example", and below it what happened.
    if lines.len() > 1
        && let Some(first) = lines.first()
        && let Some(address) = address_of(first)
        && first.len() <= address.len() + 4
    {
        lines.remove(0);
    }
    lines.join(" ").trim_start_matches("<<< ").to_owned()
}

/// Whether a paragraph has a word for what goes wrong.
fn is_complaint(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "unknown",
        "not exist",
        "n't exist",
        "n't have",
        "no such",
        "not found",
        "unrouteable",
        "unrouted",
        "rejected",
        "refused",
        "disabled",
        "unavailable",
        "timed out",
        "too large",
        "too big",
        "size limit",
        "over quota",
        "full",
        "verif",
        "denied",
        "n't accept",
        "not accept",
        "reason",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// Returns the first address in a text, without brackets.
fn address_of(text: &str) -> Option<&str> {
    let is_around = |c: char| c.is_whitespace() || "<>()[]\"',;:".contains(c);
    text.split(is_around).map(|word| word.trim_end_matches('.')).find(|word| {
        let Some((local, domain)) = word.split_once('@') else { return false };
        !local.is_empty() && domain.contains('.') && !domain.contains('@')
    })
}

/// Finds an enhanced status of failure, RFC 3463 section 2; an address of a host is none.
fn enhanced(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c: char| !is_part(c)).map(|word| word.trim_matches('.')).find(|word| {
        let parts: Vec<&str> = word.split('.').collect();
        matches!(parts.as_slice(), ["4" | "5", subject, detail]
            if [subject, detail].iter().all(|part| (1..=3).contains(&part.len())))
    })
}

/// Finds a reply code of failure, RFC 5321 section 4.2.3, where a reply may begin.
fn code(text: &str) -> Option<&str> {
    const CODES: &str = " 421 422 431 432 441 442 446 447 449 450 451 452 454 455 471 500 501 502 \
         503 504 510 511 512 513 515 517 521 522 523 530 531 533 534 535 541 550 551 552 553 554 555 \
         556 557 571 ";
    text.match_indices(|c: char| c.is_ascii_digit()).find_map(|(at, _)| {
        let before = text.get(..at)?.chars().next_back();
        let word = text.get(at..at + 3)?;
        let after = text.get(at + 3..)?;
        let begins = before.is_none_or(|c| c.is_whitespace() || ":;<(#[\"'".contains(c));
        let ends = after.is_empty() || after.starts_with([' ', '-', ':', '_', ')', ']', ',']);
        let is_amount = ["bytes", "kb", "mb", "k ", "m ", "seconds", "hours", "minutes"]
            .iter()
            .any(|unit| after.trim_start().to_ascii_lowercase().starts_with(unit));
        (begins && ends && !is_amount && CODES.contains(&format!(" {word} "))).then_some(word)
    })
}

/// Finds what a text, in lower case, calls a limit, in bytes: ascending, none twice.
fn limits_in(text: &str) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut last_end = 0;
    while at < bytes.len() {
        let begins = bytes.get(at).is_some_and(u8::is_ascii_digit)
            && !at.checked_sub(1).and_then(|n| bytes.get(n)).is_some_and(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'#' | b'@')
            });
        if !begins {
            at += 1;
            continue;
        }
        let number = number_at(text, at);
        let before = text.get(last_end..at).unwrap_or_default();
        let after = text.get(number.end..).unwrap_or_default();
        if let Some(value) = number.value
            && (calls_limit_before(before) || calls_limit_after(after))
            && (MAIL_LIMIT_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&value)
        {
            found.push(value);
        }
        (at, last_end) = (number.end, number.end);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A number with its unit.
struct Number {
    /// In bytes; `None` where it is no whole amount.
    value: Option<u64>,
    /// Where it and its unit end.
    end: usize,
}

fn number_at(text: &str, at: usize) -> Number {
    let rest = text.get(at..).unwrap_or_default();
    let length =
        rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(rest.len());
    let digits = rest.get(..length).unwrap_or_default().trim_end_matches(['.', ',']);
    let tail = rest.get(digits.len()..).unwrap_or_default();
    let blanks = tail.len() - tail.trim_start_matches(' ').len();
    let word: String = tail.chars().skip(blanks).take_while(char::is_ascii_alphabetic).collect();
    let (unit, unit_bytes) = match word.as_str() {
        "k" | "kb" | "kbyte" | "kbytes" | "kilobytes" => (1_000, word.len()),
        "kib" | "kibibytes" => (1 << 10, word.len()),
        // Ten per cent less than they may mean is safe.
        "m" | "mb" | "meg" | "megs" | "mbyte" | "mbytes" | "megabyte" | "megabytes" => {
            (1_000_000, word.len())
        }
        "mib" | "mebibytes" => (1 << 20, word.len()),
        "g" | "gb" | "gbyte" | "gbytes" | "gigabytes" => (1_000_000_000, word.len()),
        "gib" => (1 << 30, word.len()),
        "b" | "byte" | "bytes" | "octets" => (1, word.len()),
        _ => (1, 0),
    };
    let end = at + digits.len() + if unit_bytes > 0 { blanks + unit_bytes } else { 0 };
    Number { value: amount(digits, unit), end }
}

/// Reads `10240000`, `10,240,000` and, of larger units, `9.5`.
fn amount(digits: &str, unit: u64) -> Option<u64> {
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let groups: Vec<&str> = whole.split(',').collect();
    let is_grouped = groups.iter().skip(1).all(|group| group.len() == 3);
    if !is_grouped || part.len() > 3 || part.contains(['.', ',']) || !part.is_empty() && unit == 1 {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse::<u64>().ok()?;
    let whole: u64 = groups.concat().parse().ok()?;
    whole.checked_mul(unit)?.checked_add(thousandths * unit / 1_000)
}

/// Whether what stands right before a number calls it a limit.
fn calls_limit_before(before: &str) -> bool {
    const FILLERS: &str = " is of size message mail email allowed to for this the server value \
         currently set at fixed accepted permitted than be in content length data total a ";
    let is_apart = |c: char| !c.is_alphanumeric();
    let words = before.rsplit(is_apart).filter(|word| !word.is_empty());
    for (fillers, word) in words.enumerate() {
        let is_limit = matches!(
            word,
            "limit" | "limits" | "limited" | "max" | "maximum" | "maxsize" | "exceeds"
        );
        // "larger than 10000".
        let is_more = matches!(word, "larger" | "bigger" | "more" | "over" | "above");
        if is_limit || is_more && fillers <= 1 {
            return true;
        }
        if fillers == 6 || !FILLERS.contains(&format!(" {word} ")) {
            return false;
        }
    }
    false
}

/// Whether what stands right behind a number calls it one: `25 MB limit`.
fn calls_limit_after(after: &str) -> bool {
    let mut words = after.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let is_filler = |word: &&str| matches!(*word, "message" | "mail" | "size" | "is" | "the");
    let word = words.by_ref().take(4).find(|word| !is_filler(word));
    // "size 20000000 limit 10000000": then it is the other's.
    let is_of_next = words.next().is_some_and(|next| next.starts_with(|c: char| c.is_numeric()));
    matches!(word, Some("limit" | "maximum" | "max")) && !is_of_next
}
