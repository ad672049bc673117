//! `queue --out`: what no carrier has accepted, and a person's word on it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::edge::outbox::{Note, NoteState, Outbox, Volumes};
use crate::edge::state::State;
use crate::format::digest::hex;

use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::Session;
use super::words::{local_time, size_words};

/// One note, and the project that it is of.
pub struct Waiting {
    project: PathBuf,
    outbox: Outbox,
    note: Note,
}

/// Lists what waits in the outbox of the project here, or of every project of this account.
///
/// # Errors
/// The register cannot be read; an outbox that cannot be is told.
pub fn list(session: &Session) -> Result<Outcome, Failure> {
    let all = all(session)?;
    if session.options.json {
        answer_json(&Value::Array(all.iter().map(Waiting::json).collect()));
        return Ok(Outcome::Done);
    }
    all.iter().for_each(|waiting| answer(waiting.line()));
    if all.is_empty() && !session.options.quiet {
        answer("the outbox is empty");
    }
    Ok(Outcome::Done)
}

/// Returns what is named by the beginning of its number.
///
/// # Errors
/// As [`list`]; several have that beginning.
pub fn find(session: &Session, id: &str) -> Result<Option<Waiting>, Failure> {
    let mut named = all(session)?.into_iter().filter(|waiting| waiting.note.is_named(id));
    match (named.next(), named.count()) {
        (found, 0) => Ok(found),
        (_, more) => Err(Failure::new(format!(
            "{id}: {} of the outbox have this beginning",
            counted(more + 1, "entry", "entries")
        ))),
    }
}

/// Returns what waits for a person's word.
///
/// # Errors
/// As [`list`].
pub fn for_a_person(session: &Session) -> Result<Vec<Waiting>, Failure> {
    let is_for_a_person =
        |waiting: &Waiting| matches!(waiting.note.state, NoteState::Held | NoteState::Refused);
    Ok(all(session)?.into_iter().filter(is_for_a_person).collect())
}

/// Returns every note there is.
fn all(session: &Session) -> Result<Vec<Waiting>, Failure> {
    let mut waiting = Vec::new();
    for project in projects(session)? {
        let outbox = Outbox::open(&State::private_folder(&project));
        match outbox.notes() {
            Ok(notes) => waiting.extend(notes.into_iter().map(|note| {
                let (project, outbox) = (project.clone(), outbox.clone());
                Waiting { project, outbox, note }
            })),
            Err(error) => tell(format_args!("remsync: {error}.")),
        }
    }
    Ok(waiting)
}

fn projects(session: &Session) -> Result<Vec<PathBuf>, Failure> {
    match session.project_directory_if_any()? {
        Some(project) => Ok(vec![project]),
        None => Ok(session.places.register_list()?),
    }
}

impl Waiting {
    /// Prints all that is known of it.
    pub fn show(&self, session: &Session) {
        if session.options.json {
            return answer_json(&self.json());
        }
        let note = &self.note;
        answer(format_args!("id          {}", note.id()));
        answer(format_args!("state       {}", note.state.word()));
        answer(format_args!("to          {}", note.to));
        answer(format_args!("project     {}", self.project.display()));
        if let Some(unsent) = &note.package {
            answer(format_args!("sha256      {}", hex(&unsent.sha256)));
            answer(format_args!("size        {} bytes", unsent.size_bytes));
            answer(format_args!("mail        {} bytes", unsent.mail_bytes));
            answer(format_args!("files       {}", unsent.files));
            answer(format_args!("deletions   {}", unsent.removes));
            answer(format_args!("message-id  {}", unsent.message_id));
            if let Some(volumes) = unsent.volumes {
                let Volumes { sent, sent_bytes, .. } = volumes;
                answer(format_args!("volumes     {sent} sent, {sent_bytes} bytes"));
            }
        }
        answer(format_args!("serial      {}", note.serial));
        answer(format_args!("attempts    {}", note.attempts));
        for (name, ms) in [("first", note.first_ms), ("last", note.last_ms), ("next", note.next_ms)]
        {
            if ms > 0 {
                answer(format_args!("{name:<12}{}", local_time(ms)));
            }
        }
        if let Some(path) = self.outbox.package_path(note) {
            answer(format_args!("path        {}", path.display()));
        }
        if !note.status.is_empty() {
            answer(format_args!("status      {}", note.status));
        }
        answer(format_args!("reason      {}", note.reason));
        for left in &note.left_out {
            answer(format_args!("left out    {}: {}", left.path, size_words(left.mail_bytes)));
        }
    }

    /// Forgets it: what it carried is due again.
    ///
    /// # Errors
    /// Another remsync is at work on the project, or the outbox cannot be written.
    pub fn drop_it(self, session: &Session) -> Result<(), Failure> {
        let is_dry = session.options.dry_run;
        let done = if is_dry { "would be dropped" } else { "dropped" };
        self.change(session, |outbox, note| outbox.remove(&note.to).map_err(Failure::from))?;
        self.tell(session, done, "what it carried is due again, as if it had never been sent");
        Ok(())
    }

    /// Makes it due at once; one that was held is allowed.
    ///
    /// # Errors
    /// As [`Waiting::drop_it`].
    pub fn retry(self, session: &Session) -> Result<(), Failure> {
        if self.note.state == NoteState::Delayed {
            return Err(Failure::new(format!("{}: a carrier took it already", self.note.id()))
                .hinted("name the site in a broadcast to send it something all the same"));
        }
        let done = if session.options.dry_run { "would be due" } else { "due now" };
        self.change(session, |outbox, mut note| {
            if note.state == NoteState::Held {
                note.approved_bytes = note.asked_bytes;
            }
            note.state = NoteState::Waiting;
            (note.next_ms, note.limit_bytes) = (0, None);
            note.left_out.clear();
            Ok(outbox.put(&note, None)?)
        })?;
        self.tell(session, done, "the next broadcast sends it");
        Ok(())
    }

    /// Changes the note as it is now, under the project's lock.
    fn change(
        &self,
        session: &Session,
        change: impl FnOnce(&Outbox, Note) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if session.options.dry_run {
            return Ok(());
        }
        let _lock = State::open(&self.project)?;
        let now = self.outbox.find(&self.note.to)?.filter(|now| now.id() == self.note.id());
        let gone = || Failure::new(format!("{}: it is in the outbox no more", self.note.id()));
        change(&self.outbox, now.ok_or_else(gone)?)
    }

    fn tell(&self, session: &Session, done: &str, follows: &str) {
        let id = self.note.id();
        if session.options.json {
            answer_json(&json!({ "id": id, "done": done }));
        } else if !session.options.quiet {
            answer(format_args!("{id}: {done}; {follows}"));
        }
    }

    /// Says all that matters of it in a line.
    pub fn line(&self) -> String {
        let note = &self.note;
        let when = local_time(note.first_ms);
        let mut line = format!("{}  {when}  {}  for {}", note.id(), note.state.word(), note.to);
        if let Some(unsent) = &note.package {
            line += &format!(", {}", size_words(unsent.size_bytes));
            if let Some(Volumes { sent_bytes, .. }) = unsent.volumes {
                line += &format!(" in volumes, {} sent", size_words(sent_bytes));
            }
        }
        if note.attempts > 0 {
            let count = usize::try_from(note.attempts).unwrap_or(usize::MAX);
            line += &format!(", tried {}", counted(count, "time", "times"));
        }
        if note.next_ms > 0 {
            line += &format!(", next {}", local_time(note.next_ms));
        }
        let code =
            if note.status.is_empty() { String::new() } else { format!(" ({})", note.status) };
        line + &format!(": {}{code}", note.reason)
    }

    /// Returns all that is known of it.
    pub fn json(&self) -> Value {
        let note = &self.note;
        let path = self.outbox.package_path(note);
        let left_out: Vec<String> =
            note.left_out.iter().map(|left| left.path.to_string()).collect();
        json!({
            "id": note.id(),
            "state": note.state.word(),
            "to": note.to.as_str(),
            "serial": note.serial,
            "sha256": note.package.as_ref().map(|unsent| hex(&unsent.sha256)),
            "size": note.package.as_ref().map(|unsent| unsent.size_bytes),
            "mail": note.package.as_ref().map(|unsent| unsent.mail_bytes),
            "message_id": note.package.as_ref().map(|unsent| unsent.message_id.clone()),
            "attempts": note.attempts,
            "first": note.first_ms,
            "last": note.last_ms,
            "next": note.next_ms,
            "status": note.status,
            "reason": note.reason,
            "left_out": left_out,
            "path": path.as_deref().map(Path::to_string_lossy),
            "project": self.project.to_string_lossy(),
        })
    }
}
