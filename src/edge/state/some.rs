//! Opening a project for the rows that are needed: a large one costs what changed.
//!
//! What is not read cannot be written: where all rows have to be, they are read then.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{
    INTENT, LEDGER, LEDGER_NEW, Loaded, REMSYNC, REMSYNC_NEW, SMALL_BASE_BYTES, State, StateError,
    current, io_error, journal_bytes, load, lock, must_be_project, private,
    sections::{self, Key, New},
};
use crate::edge::lock::Lock;
use crate::format::base::{self, Sieve, Sifted};
use crate::format::journal::{self, Journal};
use crate::format::project::Listed;
use crate::format::sections::{Section, Sections};
use crate::model::TreePath;
use crate::model::knowledge::{Knowledge, Row};
use crate::model::project::{Identity, Project};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 18;

impl State {
    /// Returns who takes part in the project in `dir`, as far as `.remsync` alone tells before its
    /// first file: what is read with it is to be compared with it. `None` where it does not.
    pub fn identity(dir: &Path) -> Option<Identity> {
        let path = dir.join(REMSYNC);
        let reader = BufReader::new(File::open(&path).ok()?);
        let (_, project) = Listed::begin(reader, &path.display().to_string()).ok()??;
        Some(project.identity)
    }

    /// Reads the project in `dir` as [`State::read`] does, and keeps of its rows those that
    /// [`Locked::open_some`] keeps.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn read_some(dir: &Path, sieve: &mut dyn Sieve) -> Result<Project, StateError> {
        State::read_by(dir, &mut |dir| load_some(dir, sieve))
    }

    /// Reads what was left out, where something was: all that the disk has, and what `project`
    /// knows beside it.
    pub(super) fn whole(
        &mut self,
        project: &Project,
        touched: &BTreeSet<TreePath>,
    ) -> Result<Option<Project>, StateError> {
        if !self.is_part {
            return Ok(None);
        }
        if self.identity.as_ref() != Some(&project.identity) {
            // The columns of what was left out would be others.
            return Err(StateError::Part { dir: self.dir.clone() });
        }
        let loaded = load(&self.dir)?;
        self.remsync = loaded.remsync;
        let mut rows = loaded.project.knowledge.rows;
        for path in touched {
            rows.remove(path);
        }
        let known = &project.knowledge;
        rows.extend(known.rows.iter().map(|(path, row)| (path.clone(), row.clone())));
        // All but the rows is known here.
        let knowledge = Knowledge {
            rows,
            clock: known.clock,
            forgotten: known.forgotten,
            remotes: known.remotes.clone(),
            lacking: known.lacking.clone(),
            questions: known.questions.clone(),
            settled: known.settled.clone(),
        };
        Ok(Some(Project { identity: project.identity.clone(), knowledge }))
    }
}

/// A project whose lock is taken, and of which nothing is read yet.
pub struct Locked {
    pub(super) dir: PathBuf,
    pub(super) lock: Lock,
}

impl Locked {
    /// Takes the lock of the project in `dir`.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn take(dir: &Path) -> Result<Locked, StateError> {
        must_be_project(dir)?;
        Ok(Locked { dir: dir.to_owned(), lock: lock(dir)? })
    }

    /// Opens it as [`State::open`] does.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn open(self) -> Result<(State, Project), StateError> {
        let loaded = load(&self.dir)?;
        State::of(&self.dir, self.lock, loaded)
    }

    /// Whether a run was killed, or failed, between the files and what is believed of them.
    pub fn is_interrupted(&self) -> bool {
        private(&self.dir, INTENT).metadata().is_ok_and(|found| found.len() > 0)
    }

    /// Opens it as [`State::open`] does, and keeps of its rows those that `sieve` says, those of open
    /// questions, and those that changed lately. Of a small project it keeps all: `sieve` is then
    /// not asked.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn open_some(self, sieve: &mut dyn Sieve) -> Result<(State, Project), StateError> {
        let loaded = load_some(&self.dir, sieve)?;
        State::of(&self.dir, self.lock, loaded)
    }
}

fn load_some(dir: &Path, sieve: &mut dyn Sieve) -> Result<Loaded, StateError> {
    let mut asked = BTreeSet::new();
    let mut known = None;
    loop {
        let Some(loaded) = load_sifted(dir, sieve, &asked, &mut known)? else {
            let loaded = load(dir)?;
            sieve.begin(&loaded.project);
            return Ok(loaded);
        };
        // Questions stand after the rows that they are about.
        let questions = loaded.project.knowledge.questions.iter();
        let known = &loaded.project.knowledge.rows;
        let missing: Vec<TreePath> = questions
            .map(|question| question.path.clone())
            .filter(|path| !known.contains_key(path) && !asked.contains(path))
            .collect();
        if missing.is_empty() {
            return Ok(loaded);
        }
        asked.extend(missing);
    }
}

/// Reads the base through `sieve`, and keeps the rows of `asked` whatever that says; `None` where
/// it has to be read whole. `known` are the sections that an earlier reading found.
fn load_sifted(
    dir: &Path,
    sieve: &mut dyn Sieve,
    asked: &BTreeSet<TreePath>,
    known: &mut Option<(Key, Sections)>,
) -> Result<Option<Loaded>, StateError> {
    let (bytes, shown) = journal_bytes(dir)?;
    let journal = journal::parse(&bytes, &shown)?;
    let fold = journal.fold;
    let (remsync, new_remsync) =
        current(dir.join(REMSYNC), dir.join(REMSYNC_NEW), fold.and_then(|fold| fold.remsync));
    let (ledger, new_ledger) =
        current(private(dir, LEDGER), private(dir, LEDGER_NEW), fold.map(|fold| fold.ledger));
    // What a crash left is checked by its digest.
    if new_remsync.is_some() || new_ledger.is_some() {
        return Ok(None);
    }
    let (Ok(remsync_open), Ok(ledger_open)) = (File::open(&remsync), File::open(&ledger)) else {
        return Ok(None);
    };
    let length = |path: &Path, file: &File| -> Result<u64, StateError> {
        Ok(file.metadata().map_err(io_error(path, "cannot be looked at"))?.len())
    };
    let base_bytes = length(&remsync, &remsync_open)? + length(&ledger, &ledger_open)?;
    if base_bytes < SMALL_BASE_BYTES {
        return Ok(None);
    }
    let key = Key::of([&remsync_open, &ledger_open]);
    let of_now = known.take().filter(|(of, _)| key.as_ref() == Some(of));
    *known = of_now.or_else(|| Some((key.clone()?, sections::known(dir, key.as_ref()?)?)));
    let new = key.clone().filter(|_| known.is_none()).and_then(|key| New::begin(dir, key));
    let mut sieve = Asked { sieve, asked, later: None, journal: (&journal, &bytes, &shown) };
    let read = |file: File| BufReader::with_capacity(CHUNK_BYTES, file);
    let apart = journal.paths(&bytes);
    let sifted = base::read(
        (read(remsync_open), &remsync.display().to_string()),
        (read(ledger_open), &ledger.display().to_string()),
        &apart,
        &mut sieve,
        known.as_ref().map(|(_, sections)| sections),
    )?;
    let Sifted::Project(mut project, found) = sifted else { return Ok(None) };
    if let Some(found) = found {
        if let Some(new) = new {
            new.finish(&found);
        }
        *known = key.map(|key| (key, found));
    }
    journal.replay(&mut project, &bytes, &shown)?;
    Ok(Some(Loaded { project: *project, journal, remsync: None, base_bytes, is_part: true }))
}

/// A sieve that keeps what is asked about too, and knows of the remotes what the journal does.
struct Asked<'s> {
    sieve: &'s mut dyn Sieve,
    asked: &'s BTreeSet<TreePath>,
    /// What the journal knows; `None` where it is empty.
    later: Option<Project>,
    journal: (&'s Journal, &'s [u8], &'s str),
}

impl Sieve for Asked<'_> {
    fn begin(&mut self, project: &Project) {
        let (journal, bytes, shown) = self.journal;
        let mut later = project.clone();
        // What cannot be replayed is said when it is replayed on all.
        let is_later = journal.transactions() > 0 && journal.fold.is_none();
        self.later =
            (is_later && journal.replay(&mut later, bytes, shown).is_ok()).then_some(later);
        self.sieve.begin(project);
    }

    fn keeps(&mut self, project: &Project, path: &TreePath, row: &Row) -> bool {
        let known = self.later.as_ref().unwrap_or(project);
        self.sieve.keeps(known, path, row) || self.asked.contains(path)
    }

    fn passes(&mut self, project: &Project, section: &Section) -> bool {
        let known = self.later.as_ref().unwrap_or(project);
        let is_asked = self.asked.range(&section.first..=&section.last).next().is_some();
        !is_asked && self.sieve.passes(known, section)
    }
}
