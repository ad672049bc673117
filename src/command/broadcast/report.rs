//! What became of the packages of one broadcast: for people, and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::edge::outbox::{Note, NoteState};
use crate::format::settings::Unsigned;
use crate::model::orders::{Act, Orders};
use crate::model::project::Project;
use crate::model::version::Content;
use crate::model::{Address, TreePath};
use crate::rules::plan::{Outgoing, With};

use super::super::outcome::{Outcome, answer, answer_json, counted, tell};
use super::super::session::Session;
use super::super::words::local_time;

/// What became of one package.
pub struct Report {
    /// The site.
    pub address: Address,
    /// Files in it.
    pub files: usize,
    /// Deletions in it.
    pub removes: usize,
    /// Rows that it tells.
    pub rows: usize,
    /// Bytes handed over, or that would be.
    pub bytes: u64,
    /// What became of it.
    pub fate: Fate,
    /// The reason as the world codes it.
    pub status: String,
    /// The reason in words; `None` if it was sent.
    pub error: Option<String>,
    /// What a person can do about it.
    pub hint: String,
    /// When it is tried again, in ms since 1970.
    pub next_ms: Option<u64>,
    /// Whether its package lies in the outbox.
    pub is_kept: bool,
    /// Whether the reason is the one that was told before.
    pub is_told: bool,
    /// Files that had to be left out.
    pub left_out: usize,
    /// Volumes that a carrier took, and of how many; 0 of 0 for a package in one mail.
    pub volumes: (u32, u32),
    /// Whether a key of ours signed it.
    pub signed: bool,
}

/// What became of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A dry run.
    Planned,
    /// A carrier took it.
    Sent,
    /// It was not made, or is not kept.
    Failed,
    /// It lies in the outbox, in this state.
    Kept(NoteState),
}

impl Report {
    /// Returns the report of a plan.
    pub fn planned(project: &Project, outgoing: &Outgoing) -> Report {
        let content = |path: &TreePath| project.knowledge.rows.get(path).map(|r| r.version.content);
        let carried = outgoing.rows.iter().filter(|row| row.with == With::Contents);
        let (removes, files): (Vec<_>, Vec<_>) =
            carried.partition(|row| content(&row.path) == Some(Content::Absent));
        let address = project.identity.remotes[outgoing.remote].address.clone();
        Report {
            files: files.len(),
            removes: removes.len(),
            rows: outgoing.rows.len(),
            ..Report::of(address)
        }
    }

    /// Returns the report of a package by what it says.
    pub fn of_orders(told: &Orders) -> Report {
        let removes = told.rows.iter().filter(|row| matches!(row.act, Act::Remove { .. })).count();
        let address = told.identity.remotes[told.visit].address.clone();
        let files = usize::try_from(told.members()).unwrap_or(usize::MAX);
        Report { files, removes, rows: told.rows.len(), ..Report::of(address) }
    }

    /// Returns the report of a package that stays where it is.
    pub fn of_note(note: &Note) -> Report {
        let mut report = Report::of(note.to.clone());
        if let Some(unsent) = &note.package {
            (report.files, report.removes) = (unsent.files, unsent.removes);
            report.rows = unsent.files + unsent.removes;
        }
        report.keep(note);
        report.is_told = true;
        report
    }

    fn of(address: Address) -> Report {
        Report {
            address,
            files: 0,
            removes: 0,
            rows: 0,
            bytes: 0,
            fate: Fate::Planned,
            status: String::new(),
            error: None,
            hint: String::new(),
            next_ms: None,
            is_kept: false,
            is_told: false,
            left_out: 0,
            volumes: (0, 0),
            signed: false,
        }
    }

    /// Enters that the package lies in the outbox.
    pub fn keep(&mut self, note: &Note) {
        self.fate = Fate::Kept(note.state);
        self.is_kept = note.package.is_some();
        self.status.clone_from(&note.status);
        self.error = Some(note.reason.clone());
        self.next_ms = (note.next_ms > 0).then_some(note.next_ms);
        self.hint = match note.state {
            NoteState::Held if note.package.is_some() => {
                format!("\"remsync queue retry {}\" lets the next broadcast send it", note.id())
            }
            NoteState::Refused if note.package.is_some() => format!(
                "it is not tried again as it is; \"remsync queue retry {}\" or naming the site does",
                note.id()
            ),
            _ => String::new(),
        };
    }

    /// Says what the package carries, most telling first.
    fn describe(&self) -> String {
        match (self.files, self.removes, self.rows) {
            (0, 0, 0) => "an acknowledgement".into(),
            (0, 0, rows) => format!("news of {}, no contents,", counted(rows, "file", "files")),
            (0, removes, _) => counted(removes, "deletion", "deletions"),
            (files, 0, _) => counted(files, "file", "files"),
            (files, removes, _) => format!(
                "{} and {}",
                counted(files, "file", "files"),
                counted(removes, "deletion", "deletions")
            ),
        }
    }

    /// Says why it was not sent, and when it will be.
    fn lament(&self, why: &str) -> String {
        let code =
            if self.status.is_empty() { String::new() } else { format!(" ({})", self.status) };
        let state = match self.fate {
            Fate::Kept(NoteState::Held) => "held",
            Fate::Kept(NoteState::Refused) => "refused",
            _ => "not sent",
        };
        let next = match (self.fate, self.next_ms) {
            (Fate::Kept(_), Some(ms)) => format!("; next try {}", local_time(ms)),
            _ => String::new(),
        };
        let done = match self.volumes {
            (_, 0) => String::new(),
            (sent, count) => format!("; {sent} of {count} volumes were taken"),
        };
        format!("remsync: {}: {state}{code}: {why}{done}{next}.", self.address)
    }

    fn state(&self) -> &'static str {
        match self.fate {
            Fate::Planned => "planned",
            Fate::Sent => "sent",
            Fate::Failed => "failed",
            Fate::Kept(state) => state.word(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "address": self.address.as_str(),
            "updates": self.files,
            "removes": self.removes,
            "bytes": self.bytes,
            "sent": self.fate == Fate::Sent,
            "signed": self.signed,
            "error": self.error,
            "status": self.status,
            "next": self.next_ms,
            "state": self.state(),
        })
    }

    fn outcome(&self) -> Outcome {
        match self.fate {
            Fate::Failed | Fate::Kept(NoteState::Waiting | NoteState::Refused) => Outcome::Failed,
            Fate::Kept(NoteState::Held) => Outcome::Waits,
            _ if self.left_out > 0 => Outcome::Waits,
            Fate::Planned | Fate::Sent | Fate::Kept(NoteState::Delayed) => Outcome::Done,
        }
    }
}

/// Tells what became of everything, and returns how the broadcast ends. Quiet, a reason is told
/// once: a run of every five minutes must not mail it each time.
pub fn conclude(session: &Session, reports: &[Report]) -> Outcome {
    let options = &session.options;
    if options.json {
        let sites: Vec<Value> = reports.iter().map(Report::json).collect();
        answer_json(&json!({ "sites": sites }));
    }
    for report in reports {
        match &report.error {
            Some(_) if options.quiet && report.is_told => {}
            Some(why) => {
                tell(report.lament(why.trim_end_matches('.')));
                if !report.hint.is_empty() {
                    tell(format_args!("  hint: {}.", report.hint));
                }
            }
            None if options.json || options.quiet => {}
            None => {
                let verb = if report.fate == Fate::Sent { "sent" } else { "would be sent" };
                let volumes = match report.volumes {
                    (_, 0) => String::new(),
                    (_, count) => format!(" in {count} volumes"),
                };
                answer(format_args!("{}: {} {verb}{volumes}", report.address, report.describe()));
            }
        }
    }
    if !options.json && !options.quiet {
        tally(reports);
    }
    reports.iter().map(Report::outcome).fold(Outcome::Done, Outcome::and)
}

/// Says that what went out is not signed, where that is not what the settings are content with.
pub fn tell_unsigned(session: &Session, project: &Path, reports: &[Report]) {
    let is_bare = reports.iter().any(|report| report.fate == Fate::Sent && !report.signed);
    if is_bare && session.unsigned_in(project) != Unsigned::Accept {
        tell("remsync: not signed, and so it will be held: there is no key that signs here.");
        tell("  hint: \"remsync key new\" makes one; the others then trust it with \"key trust\".");
    }
}

fn tally(reports: &[Report]) {
    let stays: Vec<&Report> = reports.iter().filter(|report| report.is_kept).collect();
    if reports.is_empty() {
        answer("nothing to send");
    }
    if stays.is_empty() {
        return;
    }
    let next = stays.iter().filter_map(|report| report.next_ms).min();
    let next = next.map_or_else(String::new, |ms| format!(", tried again from {}", local_time(ms)));
    let verb = if stays.len() == 1 { "stays" } else { "stay" };
    answer(format_args!(
        "{} {verb} in the outbox{next} (remsync queue list --out)",
        counted(stays.len(), "package", "packages"),
    ));
}
