//! The sentences that several commands say: who, when, what and why.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::model::knowledge::{Question, Why};
use crate::model::orders::Orders;
use crate::model::project::{Identity, Project};
use crate::rules::learn::NotForUs;

/// Returns why something is a question, in a few words.
pub fn describe_why(why: Why) -> &'static str {
    match why {
        Why::Conflict => "changed here and there",
        Why::DeletedThere => "changed here, deleted there",
        Why::DeletedHere => "deleted here, changed there",
        Why::Deletion => "deleted there",
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

/// Returns a time for people, in the local zone.
pub fn local_time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || "at a time unknown".into(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}
