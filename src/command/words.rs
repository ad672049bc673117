//! The sentences that several commands say: who, when, what and why.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::model::knowledge::{Question, Why};
use crate::model::orders::Orders;
use crate::model::project::{Identity, Project};
use crate::rules::learn::NotForUs;

use super::outcome::counted;

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
        Why::InTheWay => "something that is no plain file is in the way",
        Why::Unreadable => "what is here cannot be read",
    }
}

/// Returns one question in a line: what, why, who, when.
pub fn describe_question(project: &Project, question: &Question) -> String {
    let who = project
        .identity
        .remotes
        .get(question.remote)
        .map_or("a site unknown now", |site| site.address.as_str());
    format!(
        "{}: {} (from {who}, arrived {})",
        question.path,
        describe_why(question.why),
        local_time(question.at_ms)
    )
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
        NotForUs::Format => format!(
            "it is written in {}, this project speaks {}; both sites have to speak one format",
            theirs.format, ours.format
        ),
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
