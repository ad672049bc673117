//! The sentences that several commands say: who, when, what and why.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::format::difference::{is_text, unified};
use crate::model::knowledge::{Knowledge, Question, Why};
use crate::model::orders::Orders;
use crate::model::project::{Format, Identity, Project};
use crate::rules::learn::NotForUs;

use super::outcome::counted;
use super::sides::{Base, Side, Sides};

/// Returns why something is a question, in a few words.
pub fn describe_why(why: Why) -> &'static str {
    match why {
        Why::Conflict => "changed here and there",
        Why::DeletedThere => "changed here, deleted there",
        Why::DeletedHere => "deleted here, changed there",
        Why::Deletion => "deleted there",
        Why::ManyDeletions => "deleted there, with most of the files",
        Why::Ignored => "ignored here",
        Why::OutsideScan => "outside the scans here",
        Why::Sensitive => "a name that other programs obey",
        Why::InTheWay => "something else is in the way",
        Why::Unreadable => "what is here cannot be read",
    }
}

/// Returns the reason that has this name.
pub fn why_named(name: &str) -> Option<Why> {
    Why::ALL.into_iter().find(|why| why.name() == name)
}

/// Returns one question in a line: what, why, who, when.
pub fn describe_question(project: &Project, question: &Question) -> String {
    format!(
        "{}: {} (from {}, arrived {})",
        label(&project.knowledge, question),
        describe_why(question.why),
        address_of(project, question),
        local_time(question.at_ms)
    )
}

/// Returns how a question is named: its file, and its number where there are several on it.
pub fn label(knowledge: &Knowledge, question: &Question) -> String {
    let on_file: Vec<&Question> = knowledge.questions.on(&question.path).collect();
    match on_file.iter().position(|open| *open == question) {
        Some(at) if on_file.len() > 1 => format!("{}:{}", question.path, at + 1),
        _ => question.path.to_string(),
    }
}

/// Returns the address that a question's version came from.
pub fn address_of<'p>(project: &'p Project, question: &Question) -> &'p str {
    let site = project.identity.remotes.get(question.remote);
    site.map_or("a site unknown now", |site| site.address.as_str())
}

/// Returns one side of a question in a few words.
pub fn describe_side(side: &Side) -> String {
    match side {
        Side::Nothing => "no file".into(),
        Side::Unknown(why) => format!("not known: {why}"),
        Side::File(file) => {
            let changed_ms = u64::try_from(file.mtime_s).unwrap_or(0).saturating_mul(1000);
            let size =
                counted(usize::try_from(file.size_bytes).unwrap_or(usize::MAX), "byte", "bytes");
            let kind = match &file.bytes {
                Some(bytes) if !is_text(bytes) => ", no text",
                _ => "",
            };
            let program = if file.executable { ", executable" } else { "" };
            format!("{size}{kind}{program}, changed {}", local_time(changed_ms))
        }
    }
}

/// Returns the difference between the two sides as people read it: a unified diff of texts, else
/// what is known of each. With `is_from_base`, what each side changed since the common ancestor.
pub fn describe_difference(
    project: &Project,
    question: &Question,
    sides: &Sides,
    is_from_base: bool,
) -> String {
    let texts = unified_of(project, question, sides, is_from_base);
    match texts {
        Some(text) if !text.is_empty() => text,
        _ => format!(
            "{}\n  here:  {}\n  there: {}\n",
            describe_question(project, question),
            describe_side(&sides.ours),
            describe_side(&sides.theirs),
        ),
    }
}

/// Returns the unified diff, if both sides are texts and neither is a deletion.
pub fn unified_of(
    project: &Project,
    question: &Question,
    sides: &Sides,
    is_from_base: bool,
) -> Option<String> {
    let ours = sides.ours.file().and(sides.ours.text())?;
    let theirs = sides.theirs.file().and(sides.theirs.text())?;
    let path = label(&project.knowledge, question);
    let (here, there) =
        (format!("{path} (here)"), format!("{path} (from {})", address_of(project, question)));
    let bytes = match (&sides.base, is_from_base) {
        (Some(Base { bytes: base, .. }), true) => {
            let before = format!("{path} (before)");
            [unified(base, ours, &before, &here), unified(base, theirs, &before, &there)].concat()
        }
        _ => unified(ours, theirs, &here, &there),
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns a question and its sides as JSON: what `pending` and `diff` tell alike.
pub fn sides_json(project: &Project, question: &Question, sides: &Sides) -> Value {
    let counts = sides.counts();
    json!({
        "path": question.path.to_string(),
        "question": label(&project.knowledge, question),
        "why": question.why.name(),
        "from": address_of(project, question),
        "here": side_json(&sides.ours),
        "there": side_json(&sides.theirs),
        "added": counts.map(|counts| counts.added),
        "removed": counts.map(|counts| counts.removed),
        "has_base": sides.base.is_some(),
    })
}

/// Returns one side as JSON; null is no file.
fn side_json(side: &Side) -> Value {
    match side {
        Side::Nothing => Value::Null,
        Side::Unknown(why) => json!({ "unknown": why }),
        Side::File(file) => json!({
            "size": file.size_bytes,
            "modified": file.mtime_s.saturating_mul(1000),
            "executable": file.executable,
        }),
    }
}

/// Returns one question as JSON.
pub fn question_json(question: &Question) -> Value {
    json!({ "path": question.path.to_string(), "why": question.why.name() })
}

/// Says why a package is not for a project.
pub fn describe_not_for_us(fault: NotForUs, orders: &Orders, ours: &Identity) -> String {
    let theirs = &orders.identity;
    match fault {
        NotForUs::Address => format!("it is not for {}", ours.here.address),
        NotForUs::Title => format!("it is of \"{}\", this is \"{}\"", theirs.title, ours.title),
        NotForUs::Originator if theirs.here.address == ours.here.address => {
            "it says that it comes from this very site: a loop, or a forgery".into()
        }
        NotForUs::Originator => format!(
            "{} is no remote of this project; \"remsync create remote {} -\" makes it one",
            theirs.here.address, theirs.here.address
        ),
        NotForUs::Format => {
            let remedy = match ours.format {
                Format::V1_3 => "\"remsync upgrade\" makes it speak that too",
                Format::V2_0 => "its sender has to run \"remsync upgrade\"",
            };
            format!(
                "it is written in {}, this project speaks {}; both sites have to speak one format: \
                 {remedy}",
                theirs.format, ours.format
            )
        }
    }
}

/// Returns a number of bytes for people: `812 bytes`, `34 kB`, `1.2 MB`.
pub fn size_words(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return counted(usize::try_from(bytes).unwrap_or(usize::MAX), "byte", "bytes");
    }
    // The next unit begins where rounding would print a thousand of this one.
    let at = (0..3).find(|at| bytes < 999_500 * 1_000_u64.pow(*at)).unwrap_or(3);
    let unit = 1_000_u64.pow(at + 1);
    let tenths = (bytes / 10).saturating_add(unit / 200) / (unit / 100);
    let name = UNITS.get(at as usize).copied().unwrap_or("TB");
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", bytes.saturating_add(unit / 2) / unit)
    }
}

/// Returns how long ago a time is: `just now`, `5 minutes ago`, `3 days ago`.
pub fn age_words(ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(ms) / 60_000;
    let ago = |count: u64, one: &str, many: &str| {
        format!("{} ago", counted(usize::try_from(count).unwrap_or(usize::MAX), one, many))
    };
    match minutes {
        0 => "just now".into(),
        1..60 => ago(minutes, "minute", "minutes"),
        60..1_440 => ago(minutes / 60, "hour", "hours"),
        _ => ago(minutes / 1_440, "day", "days"),
    }
}

/// Returns a time for people, in the local zone.
pub fn local_time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "at a time unknown".into(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (34_499, "34 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (10_485_760, "10 MB"),
            (1_200_000_000, "1.2 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size_words(bytes), words, "{bytes}");
        }
    }

    #[test]
    fn ages_for_people() {
        let minute = 60_000;
        for (ago, words) in [
            (0, "just now"),
            (minute - 1, "just now"),
            (minute, "1 minute ago"),
            (60 * minute - 1, "59 minutes ago"),
            (60 * minute, "1 hour ago"),
            (1_440 * minute - 1, "23 hours ago"),
            (1_440 * minute, "1 day ago"),
            (4_321 * minute, "3 days ago"),
        ] {
            assert_eq!(age_words(10_000_000_000 - ago, 10_000_000_000), words);
        }
        assert_eq!(age_words(2, 1), "just now", "a clock that was set back");
    }
}
