//! `process -n`: what would be done, without a lock, a file or a belief being touched.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};

use crate::edge::identities;
use crate::edge::queue::{Entry, EntryState, Queue};
use crate::edge::state::State;
use crate::format::digest::{hex, sha256_of};
use crate::format::package::{self, PackageFault};
use crate::model::identities::Identities;
use crate::model::knowledge::Knowledge;
use crate::model::project::Identity;
use crate::rules::learn::route;

use super::super::ground::{DryHands, Ground};
use super::super::misnamed::is_for;
use super::super::outcome::{Failure, Outcome, tell};
use super::super::session::Session;
use super::super::words::describe_not_for_us;
use super::intake::beside;
use super::{Run, Tally, of_package, visited_entry};

impl Run<'_> {
    pub(super) fn project_dry(
        &self,
        directory: &Path,
        tally: &mut Tally,
        routed: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        self.notices_dry(directory, tally)?;
        let project = State::read(directory)?;
        let mut dry = Dry {
            directory: directory.to_owned(),
            ground: Ground::open(self.session, directory, &project.identity)?,
            knowledge: project.knowledge,
            known: identities::load(directory)?,
            identity: project.identity,
        };
        self.names_dry(directory, &dry.identity, tally, routed)?;
        for entry in self.queue.list()? {
            let is_wanted = self.only.is_none_or(|only| entry.id == only)
                && matches!(entry.state, EntryState::New | EntryState::Held)
                && is_for(&entry, &dry.identity, &dry.known);
            if is_wanted {
                routed.insert(entry.id.clone());
                self.entry_dry(&mut dry, &entry, self.queue.open_entry(&entry)?, tally)?;
            }
        }
        tally.waiting += dry.knowledge.questions.len();
        Ok(())
    }

    /// Says what one package would do.
    fn entry_dry(
        &self,
        dry: &mut Dry,
        entry: &Entry,
        package: File,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let bytes = package.try_clone()?;
        let mut package = match package::check(package) {
            Ok(package) => package,
            Err(PackageFault::Io(error)) => return Err(Failure::new(error)),
            Err(fault) => return self.refuse(entry, &fault.to_string(), tally),
        };
        package.orders.in_our_names(&dry.identity, &dry.known);
        let route = match route(&package.orders, &dry.identity) {
            Ok(route) => route,
            Err(fault) => {
                let reason = describe_not_for_us(fault, &package.orders, &dry.identity);
                return self.hold(entry, &reason, tally);
            }
        };
        let origin = package.orders.identity.here.address.as_str();
        let entry = &Entry { origin: origin.to_owned(), ..entry.clone() };
        if let Some((reason, _)) =
            self.distrust(&dry.directory, entry, &bytes, dry.identity.format)?
        {
            return self.hold(entry, &reason, tally);
        }
        let mut hands = DryHands(&dry.ground);
        let receipt =
            self.visit(&mut dry.knowledge, &mut hands, &package.orders, &route, entry.sha256);
        tally.add(&receipt);
        tally.done += 1;
        let questions = of_package(&dry.knowledge, entry);
        for question in &questions {
            tell(format_args!("remsync: {}: would wait for you.", question.path));
        }
        tally.entries.push(visited_entry(entry, &receipt, &questions));
        Ok(())
    }
}

/// A project that is only looked at: what it would know is forgotten.
struct Dry {
    directory: PathBuf,
    identity: Identity,
    known: Identities,
    knowledge: Knowledge,
    ground: Ground,
}

/// Says what a package that lies somewhere as a file would do here; it stays where it is.
pub(super) fn run_dry_on_file(
    session: &Session,
    queue: &Queue,
    file: &Path,
    package: &File,
) -> Result<Outcome, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let directory = session.project_directory()?;
    let project = State::read(&directory)?;
    let mut dry = Dry {
        ground: Ground::open(session, &directory, &project.identity)?,
        known: identities::load(&directory)?,
        directory,
        knowledge: project.knowledge,
        identity: project.identity,
    };
    let (sha256, size_bytes) = sha256_of(package).map_err(at)?;
    let mut package = package.try_clone().map_err(at)?;
    package.rewind().map_err(at)?;
    let entry = Entry {
        id: hex(&sha256).chars().take(12).collect(),
        sha256,
        state: EntryState::New,
        path: Some(file.to_owned()),
        size_bytes,
        received_ms: session.now_ms,
        from: String::new(),
        message_id: String::new(),
        title: dry.identity.title.clone(),
        origin: String::new(),
        visit: dry.identity.here.address.to_string(),
        serial: 0,
        reason: String::new(),
        signatures: Some(beside(file))
            .filter(|signature| signature.is_file())
            .into_iter()
            .collect(),
        sealed: false,
    };
    let mut tally = Tally::default();
    let run = Run::new(session, queue, None)?;
    run.entry_dry(&mut dry, &entry, package, &mut tally)?;
    tally.waiting += dry.knowledge.questions.len();
    tally.tell(session);
    Ok(tally.outcome)
}
