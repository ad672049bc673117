//! The part for machines: RFC 3464 `message/delivery-status`, one group of fields about the mail and
//! one for each recipient.
//!
//! Read as mail systems write it: blank lines missing between the groups or doubled, types left
//! out, actions spelt in any case or not at all.

use super::{Kind, fields, words};

/// The fields about one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) recipient: String,
    action: String,
    /// As it stands there; perhaps with a comment behind it.
    pub(super) status: String,
    /// Without its type.
    pub(super) diagnostic: String,
}

/// All of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// The mail system that writes.
    pub(super) reporter: String,
    /// In their order; a group that names nobody and nothing is none.
    pub(super) recipients: Vec<Group>,
}

/// Recipients of one report that are looked at: ours go to one each.
const RECIPIENTS_MAX: usize = 1_000;

/// Reads the decoded text of the part.
pub(super) fn parse(text: &[u8]) -> Groups {
    let mut groups = Groups::default();
    let mut original = String::new();
    let mut group = Group::default();
    for block in blocks(text) {
        for (name, value) in fields(&block) {
            let value = String::from_utf8_lossy(&value).into_owned();
            match name.as_slice() {
                b"reporting-mta" => groups.reporter = untyped(&value),
                b"final-recipient" => {
                    // A second one in a block: the blank line between two groups is missing.
                    if !group.recipient.is_empty() {
                        groups.add(&mut group, &mut original);
                    }
                    group.recipient = untyped(&value);
                }
                b"original-recipient" => original = untyped(&value),
                b"action" => group.action = value.to_ascii_lowercase(),
                b"status" => group.status = value,
                b"diagnostic-code" => group.diagnostic = untyped(&value),
                _ => {}
            }
        }
        groups.add(&mut group, &mut original);
    }
    groups
}

impl Groups {
    fn add(&mut self, group: &mut Group, original: &mut String) {
        let mut group = std::mem::take(group);
        let original = std::mem::take(original);
        if group.recipient.is_empty() {
            group.recipient = original;
        }
        let is_some = !(group.action.is_empty() && group.status.is_empty());
        if is_some && self.recipients.len() < RECIPIENTS_MAX {
            self.recipients.push(group);
        }
    }

    /// Returns the first recipient that failed, else the first that waits; `None` where all have
    /// it.
    pub(super) fn worst(&self) -> Option<(Kind, &Group)> {
        let first = |kind| self.recipients.iter().find(|group| group.kind() == Some(kind));
        let failed = first(Kind::Failed).map(|group| (Kind::Failed, group));
        failed.or_else(|| first(Kind::Delayed).map(|group| (Kind::Delayed, group)))
    }
}

impl Group {
    /// RFC 3464 section 2.3.3; where no action is named, the status tells.
    fn kind(&self) -> Option<Kind> {
        let word: String = self.action.chars().take_while(char::is_ascii_alphabetic).collect();
        match word.as_str() {
            "failed" | "failure" => Some(Kind::Failed),
            "delayed" => Some(Kind::Delayed),
            "delivered" | "relayed" | "expanded" => None,
            _ => match words::status_of(&[&self.status, &self.diagnostic]).chars().next() {
                Some('5') => Some(Kind::Failed),
                Some('4') => Some(Kind::Delayed),
                _ => None,
            },
        }
    }
}

/// Cuts text at its blank lines.
fn blocks(text: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = vec![Vec::new()];
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii().is_empty() {
            blocks.push(Vec::new());
        } else if let Some(block) = blocks.last_mut() {
            block.extend_from_slice(line);
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The value without its type: `rfc822; a@b`, `dns;mx.b`, `smtp; 550 …`.
fn untyped(value: &str) -> String {
    let is_type = |text: &str| {
        let text = text.trim();
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let text = match value.split_once(';') {
        Some((kind, text)) if is_type(kind) => text,
        _ => value,
    };
    let text = text.trim();
    let inside = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inside.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Reporting-MTA: dns; mx.a.example\nArrival-Date: now\n\n";

    #[test]
    fn groups_are_read_however_they_are_set() {
        for (text, expected) in [
            ("", None),
            (HEAD, None),
            (
                "Final-Recipient: rfc822; b@b\nAction: failed\nStatus: 5.1.1\n",
                Some((Kind::Failed, "b@b")),
            ),
            (
                "FINAL-RECIPIENT:RFC822;<b@b>\r\nACTION: Failed\r\nSTATUS:5.1.1 (no)\r\n",
                Some((Kind::Failed, "b@b")),
            ),
            (
                "Original-Recipient: rfc822; b@b\nAction: delayed (3)\nStatus: 4.0.0\n",
                Some((Kind::Delayed, "b@b")),
            ),
            ("Final-Recipient: b@b\nStatus: 5.1.1\n", Some((Kind::Failed, "b@b"))),
            ("Final-Recipient: b@b\nStatus: 4.4.7\n", Some((Kind::Delayed, "b@b"))),
            ("Final-Recipient: b@b\nAction: failed\nStatus: 4.4.7\n", Some((Kind::Failed, "b@b"))),
            ("Final-Recipient: b@b\nAction: relayed\nStatus: 2.1.9\n", None),
            ("Final-Recipient: b@b\nAction: expanded\nStatus: 2.0.0\n", None),
            ("Final-Recipient: b@b\nAction: delivered\nStatus: 5.0.0\n", None),
            (
                "\n\nFinal-Recipient: a@b\nAction: delivered\n\n\nFinal-Recipient: b@b\nAction: delayed\n\n\
                 Final-Recipient: c@b\nAction: failed\n\n",
                Some((Kind::Failed, "c@b")),
            ),
            // Two groups with no line between them.
            (
                "Final-Recipient: a@b\nAction: delivered\nFinal-Recipient: b@b\nAction: failed\n",
                Some((Kind::Failed, "b@b")),
            ),
        ] {
            let groups = parse(text.as_bytes());
            let worst = groups.worst().map(|(kind, group)| (kind, group.recipient.as_str()));
            assert_eq!(worst, expected, "{text}");
        }
        assert_eq!(parse(HEAD.as_bytes()).reporter, "mx.a.example");
    }

    #[test]
    fn folded_diagnostics_are_one_line() {
        let text = "Final-Recipient: rfc822;b@b\nAction: failed\nStatus: 5.7.1\n\
                    Diagnostic-Code: smtp; 550-5.7.1 one\n    550 5.7.1 two; three\n";
        assert_eq!(
            parse(text.as_bytes()).recipients[0].diagnostic,
            "550-5.7.1 one 550 5.7.1 two; three"
        );
    }
}
