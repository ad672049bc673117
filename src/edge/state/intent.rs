//! What a processing, or an answer, is about to put in place: `.remsync.d/intent`.
//!
//! A journal of its own, of rows alone: synced before the first file is put there, emptied when all
//! is believed. Invariant: while it holds anything and the lock is free, a run was killed, or failed,
//! between the files and the beliefs. That it is empty need not reach the disk: what comes
//! back after a crash says nothing that the rows do not know.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{INTENT, State, StateError, append_to, cut, io_error, open_log, private};
use crate::format::journal;
use crate::model::TreePath;
use crate::model::knowledge::{Intent, Knowledge};
use crate::model::project::{Identity, Project};

/// The file of what is about to be put in place.
#[derive(Debug, Default)]
pub(super) struct Intended {
    /// Opened when there is something to say.
    file: Option<File>,
    /// What was said and is not believed yet, as it was said: one file may be in several.
    intents: Vec<Intent>,
    transactions: u64,
    bytes: u64,
    /// Whether more lies behind those: what a crash tore.
    is_torn: bool,
}

impl Intended {
    /// Reads what an earlier run left in `dir`, whose project is that of `identity`.
    pub fn read(dir: &Path, identity: &Identity) -> Result<Intended, StateError> {
        let path = private(dir, INTENT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_error(&path, "cannot be read")(error)),
        };
        if bytes.is_empty() {
            return Ok(Intended::default());
        }
        let shown = path.display().to_string();
        let journal = journal::parse(&bytes, &shown)?;
        let found = journal.replay_apart(&alone(identity, Intent::new()), &bytes, &shown)?;
        Ok(Intended {
            file: None,
            intents: found.into_iter().map(|project| project.knowledge.rows).collect(),
            transactions: journal.transactions(),
            bytes: journal.sound_bytes,
            is_torn: journal.is_torn,
        })
    }

    fn opened(&mut self, dir: &Path) -> Result<&mut File, StateError> {
        Ok(match &mut self.file {
            Some(file) => file,
            none => none.insert(open_log(dir, INTENT)?),
        })
    }
}

impl State {
    /// Makes durable that the versions of `intent` are about to be put in place.
    ///
    /// # Errors
    /// It cannot be written: nothing may be put in place then.
    pub fn intend(&mut self, intent: Intent) -> Result<(), StateError> {
        let (Some(identity), false) = (&self.identity, intent.is_empty()) else { return Ok(()) };
        let (path, touched) = (private(&self.dir, INTENT), intent.keys().cloned().collect());
        let intended = &mut self.intended;
        let project = alone(identity, intent);
        let text = journal::transaction(&project, &touched, intended.transactions + 1);
        let bytes = intended.bytes;
        let file = intended.opened(&self.dir)?;
        // What a crash tore, or a disk that was full, is cut off.
        cut(file, bytes, &path)?;
        append_to(file, &text, &path)?;
        intended.is_torn = false;
        intended.bytes += text.len() as u64;
        intended.transactions += 1;
        intended.intents.push(project.knowledge.rows);
        Ok(())
    }

    /// Returns what was about to be put in place when runs were killed, or failed, the first first.
    pub fn intents(&self) -> &[Intent] {
        &self.intended.intents
    }

    /// Notes what of it is believed now, or is not in place, as `is_settled` says.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub fn settle_intent(
        &mut self,
        is_settled: impl Fn(&TreePath) -> bool,
    ) -> Result<(), StateError> {
        let intended = &mut self.intended;
        for intent in &mut intended.intents {
            intent.retain(|path, _| !is_settled(path));
        }
        intended.intents.retain(|intent| !intent.is_empty());
        let is_empty = intended.bytes == 0 && !intended.is_torn;
        if !intended.intents.is_empty() || is_empty {
            return Ok(());
        }
        let path = private(&self.dir, INTENT);
        cut(intended.opened(&self.dir)?, 0, &path)?;
        (intended.transactions, intended.bytes, intended.is_torn) = (0, 0, false);
        Ok(())
    }
}

/// A project of which only these rows are told.
fn alone(identity: &Identity, rows: Intent) -> Project {
    let identity = Identity { remotes: Vec::new(), hosts: Vec::new(), ..identity.clone() };
    Project { identity, knowledge: Knowledge { rows, ..Knowledge::default() } }
}
