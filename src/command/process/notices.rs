//! Notices of mails that did not arrive: `process` takes them first. What was sent is taken back, so
//! that the next broadcast sends it again; why is noted for the outbox and `status`.
//!
//! The order is: what is believed, then the outbox's note, then the notice is let go; a crash
//! between two of them is made good by the same notice, read again.

use std::path::Path;

use serde_json::{Value, json};

use crate::edge::outbox::{Note, NoteState, Outbox};
use crate::edge::queue::{Queue, QueuedNotice};
use crate::edge::state::State;
use crate::format::report::Kind;
use crate::model::project::Format;
use crate::rules::classic;
use crate::rules::plan::take_back;

use super::super::open::OpenProject;
use super::super::outcome::{Failure, counted, tell};
use super::super::session::Session;
use super::super::words::local_time;
use super::Run;
use super::tally::Tally;

/// Lets go of the notices that no project needs: theirs is gone, or knows that site no more.
pub(super) fn drop_strangers(session: &Session, queue: &Queue) -> Result<(), Failure> {
    let projects = session.places.register_list()?;
    for notice in queue.notices()? {
        let project = &notice.mail.project;
        // What is not mounted now may come back.
        if State::is_project(project) || projects.contains(project) {
            continue;
        }
        drop_one(session, queue, &notice)?;
    }
    Ok(())
}

impl Run<'_> {
    /// Takes the notices that are about mails of this project.
    pub(super) fn notices(&self, open: &mut OpenProject, tally: &mut Tally) -> Result<(), Failure> {
        if self.only.is_some() {
            return Ok(());
        }
        for notice in self.queue.notices()? {
            if !is_of(&notice, open.state.dir()) {
                continue;
            }
            let remotes = &open.project.identity.remotes;
            match remotes.iter().position(|site| site.address == notice.mail.to) {
                Some(remote) => self.notice(open, &notice, remote, tally)?,
                None => drop_one(self.session, self.queue, &notice)?,
            }
        }
        Ok(())
    }

    fn notice(
        &self,
        open: &mut OpenProject,
        notice: &QueuedNotice,
        remote: usize,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let outbox = Outbox::open(&open.state.private(""));
        let QueuedNotice { mail, status, reason, .. } = notice;
        let serial = mail.serial;
        let now_ms = self.session.now_ms;
        let next = match notice.kind {
            Kind::Delayed => {
                outbox.delayed(&mail.to, serial, status, reason, now_ms)?;
                "the mail system goes on trying".to_owned()
            }
            Kind::Failed if open.project.knowledge.remotes[remote].seen == serial => {
                "but the site has taken it in: nothing to do".to_owned()
            }
            Kind::Failed => {
                let count = self.take_back(open, remote, serial)?;
                if !is_noted(outbox.find(&mail.to)?, serial) {
                    let limit = notice.limit_bytes;
                    outbox.returned(&mail.to, serial, status, reason, limit, now_ms)?;
                }
                what_next(count, outbox.find(&mail.to)?.map(|note| note.next_ms), now_ms)
            }
        };
        self.queue.retire_notice(notice)?;
        tell(format_args!("remsync: {}: {}; {next}.", mail.to, describe(notice)));
        tally.notices.push(notice_json(notice));
        Ok(())
    }

    /// Returns how many files are due again.
    fn take_back(
        &self,
        open: &mut OpenProject,
        remote: usize,
        serial: u64,
    ) -> Result<usize, Failure> {
        let knowledge = &mut open.project.knowledge;
        let touched = match open.project.identity.format {
            Format::V2_0 => take_back(knowledge, remote, serial),
            Format::V1_3 => classic::take_back(knowledge, remote, serial),
        };
        open.state.commit(&open.project, &touched)?;
        Ok(touched.len())
    }

    /// Says what the notices would do.
    pub(super) fn notices_dry(&self, directory: &Path, tally: &mut Tally) -> Result<(), Failure> {
        if self.only.is_some() {
            return Ok(());
        }
        for notice in self.queue.notices()? {
            if is_of(&notice, directory) {
                tell(format_args!("remsync: {}: {}.", notice.mail.to, describe(&notice)));
                tally.notices.push(notice_json(&notice));
            }
        }
        Ok(())
    }
}

fn is_of(notice: &QueuedNotice, directory: &Path) -> bool {
    let project = &notice.mail.project;
    let is_same = |there: std::io::Result<std::path::PathBuf>| {
        there.is_ok_and(|there| directory.canonicalize().is_ok_and(|here| here == there))
    };
    project == directory || is_same(project.canonicalize())
}

/// Whether the outbox knows of it, from before a crash.
fn is_noted(note: Option<Note>, serial: u64) -> bool {
    note.is_some_and(|note| note.serial == serial && note.state == NoteState::Refused)
}

fn drop_one(session: &Session, queue: &Queue, notice: &QueuedNotice) -> Result<(), Failure> {
    if session.options.dry_run {
        return Ok(());
    }
    tell(format_args!(
        "remsync: {}: {}; no project here sends there from {} any more: dropped.",
        notice.mail.to,
        describe(notice),
        notice.mail.project.display()
    ));
    Ok(queue.retire_notice(notice)?)
}

/// What came back, from where, and why.
fn describe(notice: &QueuedNotice) -> String {
    let QueuedNotice { mail, status, reason, reported_by, recipient, .. } = notice;
    let sent = local_time(mail.at_ms);
    let mut words = match notice.kind {
        Kind::Failed => format!("the mail of {sent} came back"),
        Kind::Delayed => format!("the mail of {sent} is late"),
    };
    if !reported_by.is_empty() {
        words += &format!(", says {reported_by}");
    }
    if !recipient.is_empty() && !recipient.eq_ignore_ascii_case(mail.to.as_str()) {
        words += &format!(" of {recipient}");
    }
    // The status is often the beginning of the reason.
    let is_told = status.is_empty() || reason.contains(status.as_str());
    let status = if is_told { "" } else { status.as_str() };
    let why = [status, reason.as_str()].join(" ");
    match why.trim() {
        "" => words,
        why => format!("{words}: {}", why.trim_end_matches('.')),
    }
}

fn what_next(files: usize, next_ms: Option<u64>, now_ms: u64) -> String {
    let what = match files {
        0 => "what else is due".to_owned(),
        files => counted(files, "file", "files"),
    };
    let goes = if files == 1 { "goes" } else { "go" };
    let goes = if files == 0 { "goes" } else { goes };
    match next_ms.filter(|next_ms| *next_ms > now_ms) {
        Some(next_ms) => format!("{what} {goes} out again from {} on", local_time(next_ms)),
        None => format!("{what} {goes} out again with the next broadcast"),
    }
}

fn notice_json(notice: &QueuedNotice) -> Value {
    json!({
        "address": notice.mail.to.as_str(),
        "kind": notice.kind.word(),
        "status": notice.status,
        "reason": notice.reason,
    })
}
