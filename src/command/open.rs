//! The project that a command works on, under our lock.

use std::collections::BTreeSet;
use std::path::Path;

use crate::edge::runs::RunLog;
use crate::edge::state::State;
use crate::model::TreePath;
use crate::model::project::Project;
use crate::model::run::Kind;
use crate::rules::intent::recognise;

use super::ground::{DryHands, Ground};
use super::outcome::Failure;
use super::session::Session;

/// The run history's name in the project's own folder.
pub const RUNS: &str = "runs";

/// A project under our lock.
pub struct OpenProject {
    /// Its files on disk.
    pub state: State,
    /// Who takes part, and what is known.
    pub project: Project,
    /// Where it stands.
    pub ground: Ground,
}

impl OpenProject {
    /// Opens the project in `directory` and takes its lock.
    ///
    /// # Errors
    /// It is no project, another remsync is at work on it, its state or an expression of it cannot
    /// be read.
    pub fn open(session: &Session, directory: &Path) -> Result<OpenProject, Failure> {
        let (state, project) = State::open(directory)?;
        OpenProject::with(session, state, project)
    }

    /// Completes a project whose state is open.
    ///
    /// # Errors
    /// As [`OpenProject::open`].
    pub fn with(session: &Session, state: State, project: Project) -> Result<OpenProject, Failure> {
        let ground = Ground::open(session, state.dir(), &project.identity)?;
        let mut open = OpenProject { state, project, ground };
        open.recognise(session.now_ms)?;
        Ok(open)
    }

    /// Believes what a run put in place that was killed, or failed, before it did so itself:
    /// it will be run again, but something else may come first.
    fn recognise(&mut self, now_ms: u64) -> Result<(), Failure> {
        let mut intents = self.state.intents().to_vec();
        let mut touched = BTreeSet::new();
        for intent in &mut intents {
            let mut hands = DryHands(&self.ground);
            touched.extend(recognise(&mut self.project.knowledge, &mut hands, intent, now_ms));
        }
        if !touched.is_empty() {
            self.state.commit(&self.project, &touched)?;
        }
        let is_left = |path: &TreePath| intents.iter().any(|intent| intent.contains_key(path));
        Ok(self.state.settle_intent(|path| !is_left(path))?)
    }

    /// Opens the run history for a run of `kind`.
    pub fn runs(&self, kind: Kind, now_ms: u64) -> RunLog {
        RunLog::begin(&self.state.private(RUNS), kind, None, now_ms)
    }
}
