//! `queue`: the entries, and a person's word on one, which may lie in the outbox too.

use serde_json::{Value, json};

use crate::edge::parallel::in_parallel;
use crate::edge::queue::{Entry, EntryState, PartSet, Queue, QueueError};
use crate::format::digest::hex;
use crate::format::public_key::PublicKey;

use super::grammar::QueueVerb;
use super::outbox::{self, Waiting};
use super::outcome::{Failure, Outcome, answer, answer_json, answer_lines};
use super::session::Session;
use super::vouch;
use super::words::local_time;

/// An entry, wherever it lies.
enum Found {
    In(Box<Entry>),
    /// Parts that came, and wait for others.
    Parts(Box<PartSet>),
    Out(Box<Waiting>),
}

/// Lists, shows, drops or retries.
///
/// # Errors
/// The queue cannot be read, or no entry has that name.
pub fn run(session: &Session, verb: &QueueVerb) -> Result<Outcome, Failure> {
    let is_dry = session.options.dry_run;
    if *verb == QueueVerb::List && session.options.out {
        return outbox::list(session);
    }
    let queue = session.queue()?;
    match verb {
        QueueVerb::List => list(session, &queue)?,
        QueueVerb::Show(id) => match find(session, &queue, id)? {
            Found::Out(waiting) => waiting.show(session),
            Found::In(entry) => {
                // Of one that is gone, or sealed, nobody knows who signed it.
                let signers = vouch::signers(&queue, &entry).unwrap_or_default();
                match session.options.json {
                    true => answer_json(&shown_json(&entry, &signers)),
                    false => show(&entry, &signers),
                }
            }
            Found::Parts(set) if session.options.json => answer_json(&set_json(&set)),
            Found::Parts(set) => show_set(&set),
        },
        QueueVerb::Drop(id) => match find(session, &queue, id)? {
            Found::Out(waiting) => waiting.drop_it(session)?,
            Found::In(entry) => {
                let _lock = queue.lock()?;
                if !is_dry {
                    queue.remove(&entry)?;
                }
                tell_dropped(session, &entry.id);
            }
            Found::Parts(set) => {
                if !is_dry {
                    queue.drop_waiting(&set)?;
                }
                tell_dropped(session, &set.id);
            }
        },
        QueueVerb::Retry(id) => match find(session, &queue, id)? {
            Found::Out(waiting) => waiting.retry(session)?,
            Found::In(_) => {
                let _lock = queue.lock()?;
                let entry = queue.find(id)?;
                if entry.state == EntryState::Done {
                    return Err(Failure::new(format!("{}: it is done", entry.id)));
                }
                if !is_dry {
                    queue.retry(&entry)?;
                }
                let done = if is_dry { "would be new again" } else { "new again" };
                tell_one(session, &entry.id, done);
            }
            Found::Parts(set) => {
                return Err(Failure::new(format!("{}: {}", set.id, set.standing))
                    .hinted("a part that is lost has to be sent again"));
            }
        },
    }
    Ok(Outcome::Done)
}

/// Looks for an entry among what came and what is to go; with `--out` there only. The same package
/// may be both, where one account has two sites.
fn find(session: &Session, queue: &Queue, id: &str) -> Result<Found, Failure> {
    let out = outbox::find(session, id)?;
    if session.options.out {
        let waiting = out.ok_or_else(|| Failure::new(format!("{id}: not in the outbox")))?;
        return Ok(Found::Out(Box::new(waiting)));
    }
    match (queue.find(id), out) {
        (Ok(_), Some(_)) | (Err(QueueError::Ambiguous { .. }), Some(_)) => {
            Err(Failure::new(format!("{id}: it is both in the queue and in the outbox"))
                .hinted("--out means the one in the outbox; more digits may tell them apart"))
        }
        (Err(QueueError::NotFound { .. }), Some(waiting)) => Ok(Found::Out(Box::new(waiting))),
        (Err(error @ QueueError::NotFound { .. }), None) => match queue.find_waiting(id)? {
            Some(set) => Ok(Found::Parts(Box::new(set))),
            None => Err(error.into()),
        },
        (entry, _) => Ok(Found::In(Box::new(entry?))),
    }
}

fn list(session: &Session, queue: &Queue) -> Result<(), Failure> {
    let mut entries = queue.list_by_names()?;
    let waiting = queue.waiting()?;
    if session.options.json {
        let sets = waiting.iter().map(set_json);
        answer_json(&Value::Array(entries.iter().map(entry_json).chain(sets).collect()));
        return Ok(());
    }
    let lines = in_parallel(&mut entries, |entry| Ok::<_, Failure>(Some(line(entry))))?;
    answer_lines(lines.into_iter().chain(waiting.iter().map(set_line)));
    if entries.is_empty() && waiting.is_empty() && !session.options.quiet {
        answer("the queue is empty");
    }
    // The program ends: a hundred thousand entries need not be taken apart for that.
    std::mem::forget(entries);
    Ok(())
}

/// Says what became of one entry: a line, or the JSON document.
fn tell_one(session: &Session, id: &str, done: &str) {
    if session.options.json {
        answer_json(&json!({ "id": id, "done": done }));
    } else if !session.options.quiet {
        answer(format_args!("{id}: {done}"));
    }
}

fn tell_dropped(session: &Session, id: &str) {
    let is_dry = session.options.dry_run;
    tell_one(session, id, if is_dry { "would be dropped" } else { "dropped" });
}

fn line(entry: &Entry) -> String {
    let when = local_time(entry.received_ms);
    let mut line = format!("{}  {when}  {}", entry.id, entry.state.word());
    // What was refused unread, or is sealed, says nothing of itself; the mail may.
    if !entry.origin.is_empty() {
        line += &format!("  \"{}\" from {}", entry.title, entry.origin);
    } else if !entry.from.is_empty() {
        line += &format!("  by mail from {}", entry.from);
    }
    if !entry.reason.is_empty() {
        line += &format!(": {}", entry.reason);
    }
    line
}

fn show(entry: &Entry, signers: &[PublicKey]) {
    answer(format_args!("id          {}", entry.id));
    answer(format_args!("state       {}", entry.state.word()));
    answer(format_args!("sha256      {}", hex(&entry.sha256)));
    answer(format_args!("size        {} bytes", entry.size_bytes));
    answer(format_args!("received    {}", local_time(entry.received_ms)));
    answer(format_args!("from        {}", entry.from));
    answer(format_args!("message-id  {}", entry.message_id));
    answer(format_args!("title       {}", entry.title));
    answer(format_args!("origin      {}", entry.origin));
    answer(format_args!("visit       {}", entry.visit));
    answer(format_args!("signatures  {}", entry.signatures.len()));
    for key in signers {
        answer(format_args!("signed by   {key}"));
        answer(format_args!("words       {}", key.words()));
    }
    if let Some(path) = &entry.path {
        answer(format_args!("path        {}", path.display()));
    }
    if !entry.reason.is_empty() {
        answer(format_args!("reason      {}", entry.reason));
    }
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "state": entry.state.word(),
        "path": entry.path.as_ref().map(|path| path.to_string_lossy()),
        "sha256": hex(&entry.sha256),
        "size": entry.size_bytes,
        "received": entry.received_ms,
        "from": entry.from,
        "message_id": entry.message_id,
        "title": entry.title,
        "origin": entry.origin,
        "visit": entry.visit,
        "reason": entry.reason,
        "signatures": entry.signatures.len(),
    })
}

fn shown_json(entry: &Entry, signers: &[PublicKey]) -> Value {
    let mut document = entry_json(entry);
    let signer =
        |key: &PublicKey| json!({ "fingerprint": key.fingerprint(), "words": key.words() });
    document["signers"] = signers.iter().map(signer).collect();
    document
}

fn set_line(set: &PartSet) -> String {
    let when = local_time(set.received_ms);
    let by = if set.origin.is_empty() {
        format!("by mail from {}", set.from)
    } else {
        format!("from {}", set.origin)
    };
    format!("{}  {when}  waiting  {by}: {}", set.id, set.standing)
}

fn show_set(set: &PartSet) {
    answer(format_args!("id          {}", set.id));
    answer(format_args!("state       waiting"));
    answer(format_args!("sha256      {}", hex(&set.sha256)));
    answer(format_args!("size        {} bytes", set.size_bytes));
    answer(format_args!("received    {}", local_time(set.received_ms)));
    answer(format_args!("from        {}", set.from));
    answer(format_args!("message-id  {}", set.message_id));
    answer(format_args!("origin      {}", set.origin));
    answer(format_args!("path        {}", set.path.display()));
    answer(format_args!("reason      {}", set.standing));
}

/// The same keys as of an entry.
fn set_json(set: &PartSet) -> Value {
    json!({
        "id": set.id,
        "state": "waiting",
        "path": set.path.to_string_lossy(),
        "sha256": hex(&set.sha256),
        "size": set.size_bytes,
        "received": set.received_ms,
        "from": set.from,
        "message_id": set.message_id,
        "title": "",
        "origin": set.origin,
        "visit": "",
        "reason": set.standing,
        "signatures": 0,
    })
}
