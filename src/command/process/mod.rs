//! `process`: the queue's entries into the tree, and the questions that come of them.
//!
//! Here is the run over projects and entries; what comes in and what no project takes is in
//! `intake`, word of mails of ours that did not arrive in `notices`, whether the tree is there in
//! `brake`, what may be meant for us under another name in `names`, what only looks is in
//! `dry`, packages that somebody unpacked are packed again in `unpacked`, and what is told at the end
//! is in `tally`. The order is always the same: what is meant to be put in place is written down, then
//! contents are on the disk, then what is believed of them, then the entry is let go.

mod brake;
mod dry;
mod intake;
mod names;
mod notices;
mod sealed;
mod tally;
mod unpacked;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use crate::edge::identities;
use crate::edge::outbox::Outbox;
use crate::edge::queue::{Entry, EntryState, Queue, QueueError};
use crate::edge::runs::RunLog;
use crate::edge::state::State;
use crate::edge::trust::Trust;
use crate::format::digest::hex;
use crate::format::package::PackageFault;
use crate::model::knowledge::{Correspondence, Knowledge, Question};
use crate::model::orders::Orders;
use crate::model::project::{Format, Identity, Project};
use crate::model::run::{Event, Kind};
use crate::rules::classic;
use crate::rules::intent::intended;
use crate::rules::learn::{Freshness, NotForUs, Route, freshness, route};
use crate::rules::visit::{Hands, Receipt, Visit, reconsider, visit};

use super::ask::{Asked, ask_person};
use super::hands::{DiskHands, finish_removals, stage};
use super::identity;
use super::keep::{keep_bases, tidy_up};
use super::misnamed::is_for;
use super::open::OpenProject;
use super::outcome::{Failure, Outcome, counted, tell, tell_failure};
use super::resolve::{Given, carry_out};
use super::session::Session;
use super::vouch;
use super::words::describe_not_for_us;
use brake::{TREE_GONE, is_tree_there};
use dry::run_dry_on_file;
use intake::{Choice, choose, directories, hold_strangers, is_oldest_for, tell_ended};
use notices::drop_strangers;
use sealed::{Opened, waits_sealed};
pub use tally::Tally;
use tally::{plain_entry, visited_entry};
use unpacked::{folder_of, pack_aside};

/// How the reason ends for which an entry is held whose files wait for a person.
const FOR_PERSON: &str = " for a person";

/// Processes what is named, or all that waits.
///
/// # Errors
/// What keeps the run from beginning; what goes wrong with one entry stops no other.
pub fn run(session: &Session, what: Option<&OsString>) -> Result<Outcome, Failure> {
    let queue = session.queue()?;
    let _lock = if session.options.dry_run { None } else { Some(queue.lock()?) };
    let mut tally = Tally::default();
    if let Some(path) = what.map(Path::new).filter(|_| session.options.dry_run) {
        let at = |error| Failure::new(format!("{}: {error}", path.display()));
        if path.is_file() {
            return run_dry_on_file(session, &queue, path, &File::open(path).map_err(at)?);
        }
        if let Some(folder) = folder_of(path) {
            return run_dry_on_file(session, &queue, &folder, &pack_aside(&folder)?);
        }
    }
    let only = match choose(session, &queue, what)? {
        Choice::Entry(id) => Some(id),
        Choice::All => None,
        Choice::Nothing(outcome) => {
            tally.outcome = outcome;
            tally.tell(session);
            return Ok(outcome);
        }
    };
    if let Some(id) = &only
        && let Some(ended) = tell_ended(session, &queue.find(id)?, &mut tally)
    {
        return Ok(ended);
    }
    let only = match open_all(session, &queue, only.as_deref(), &mut tally)? {
        Some(inside) => Some(inside),
        None => only,
    };
    let directories = directories(session)?;
    let run = Run::new(session, &queue, only.as_deref())?;
    let mut routed = BTreeSet::new();
    for directory in &directories {
        if !State::is_project(directory) {
            tell(format_args!(
                "remsync: {}: it was a project and is gone, or not mounted.",
                directory.display()
            ));
            tally.outcome = tally.outcome.and(Outcome::Waits);
            continue;
        }
        match run.project(directory, &mut tally, &mut routed) {
            Ok(()) => {}
            Err(failure) => {
                tell_failure(&failure);
                tally.outcome = tally.outcome.and(Outcome::Failed);
            }
        }
    }
    drop_strangers(session, &queue)?;
    hold_strangers(&run, &directories, &routed, &mut tally)?;
    tally.tell(session);
    Ok(tally.outcome)
}

/// Opens what is sealed and waits, or only the entry that is named; returns what was in that one.
fn open_all(
    session: &Session,
    queue: &Queue,
    only: Option<&str>,
    tally: &mut Tally,
) -> Result<Option<String>, Failure> {
    let is_meant = |entry: &Entry| only.is_none_or(|only| entry.id == only);
    let entries: Vec<Entry> = queue.list()?;
    let mut entries = entries.into_iter().filter(|e| waits_sealed(e) && is_meant(e)).peekable();
    if entries.peek().is_none() || session.options.dry_run {
        return Ok(None);
    }
    let run = Run { session, queue, only, trust: Trust::default() };
    let opener = sealed::opener(session);
    let mut inside = None;
    for entry in entries {
        match sealed::open_entry(session, queue, &opener, &entry) {
            Ok(Opened::Entry(id)) => inside = only.and(Some(id)),
            Ok(Opened::Held(why)) => run.hold(&entry, &why, tally)?,
            Ok(Opened::Refused(why)) => run.refuse(&entry, &why, tally)?,
            Err(failure) => {
                tell_failure(&failure);
                tally.outcome = tally.outcome.and(Outcome::Failed);
            }
        }
    }
    Ok(inside)
}

/// Returns the entry that a person names, opened where it is sealed.
///
/// # Errors
/// It does not open, or holds no package.
pub fn opened(session: &Session, queue: &Queue, entry: Entry) -> Result<Entry, Failure> {
    if !waits_sealed(&entry) {
        return Ok(entry);
    }
    match sealed::open_entry(session, queue, &sealed::opener(session), &entry)? {
        Opened::Entry(id) => Ok(queue.find(&id)?),
        Opened::Held(why) => Err(Failure::new(format!("{}: {why}", entry.id))),
        Opened::Refused(why) => {
            queue.refuse(&entry, &why)?;
            Err(Failure::new(format!("{}: refused: {why}", entry.id)))
        }
    }
}

/// Processes one entry into a project that is open already (`accept`); tells nothing.
pub fn process_into(
    session: &Session,
    queue: &Queue,
    open: &mut OpenProject,
    entry: &Entry,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let run = Run::new(session, queue, None)?;
    let runs = open.runs(Kind::Accept, session.now_ms);
    run.entry(open, &runs, entry, Consent::Accepted, tally)?;
    remember_threads(session, open, std::slice::from_ref(entry));
    runs.end()?;
    open.state.finish(&open.project)?;
    Ok(())
}

/// Who says whether an entry may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    /// A person accepted it.
    Accepted,
    /// Its signature, or the settings.
    BySettings,
}

/// One run over the queue.
struct Run<'a> {
    session: &'a Session,
    queue: &'a Queue,
    only: Option<&'a str>,
    trust: Trust,
}

impl<'a> Run<'a> {
    fn new(
        session: &'a Session,
        queue: &'a Queue,
        only: Option<&'a str>,
    ) -> Result<Run<'a>, Failure> {
        let trust = session.trust()?;
        vouch::tell_faults(session, &trust);
        Ok(Run { session, queue, only, trust })
    }
}

impl Run<'_> {
    fn project(
        &self,
        directory: &Path,
        tally: &mut Tally,
        routed: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        if self.session.options.dry_run {
            return self.project_dry(directory, tally, routed);
        }
        let mut open = OpenProject::open(self.session, directory)?;
        self.notices(&mut open, tally)?;
        let runs = open.runs(Kind::Process, self.session.now_ms);
        self.settle_names(&mut open, tally, routed)?;
        let mut asked = packages_asked_about(&open);
        let entries = self.entries_for(&open)?;
        routed.extend(entries.iter().map(|entry| entry.id.clone()));
        if !entries.is_empty() && !is_tree_there(self.session, &open)? {
            return self.leave_all(&entries, tally);
        }
        finish_removals(&open.ground, &runs)?;
        for entry in &entries {
            if let Err(failure) = self.entry(&mut open, &runs, entry, Consent::BySettings, tally) {
                tell_failure(&failure);
                tally.outcome = tally.outcome.and(Outcome::Failed);
            }
        }
        remember_threads(self.session, &open, &entries);
        asked.extend(packages_asked_about(&open));
        self.reconsider(&mut open, &runs, tally)?;
        if self.session.may_ask() {
            self.ask(&mut open, &runs, tally)?;
            identity::ask(self.session, &mut open)?;
        }
        runs.end()?;
        retire_settled(self.queue, &mut open, &asked)?;
        open.state.finish(&open.project)?;
        tidy_up(self.session, &open);
        let differences = identity::open_differences(directory, &open.project.identity)?;
        let waiting = open.project.knowledge.questions.len() + differences.len();
        tally.waiting += waiting;
        if waiting > 0 {
            tally.outcome = tally.outcome.and(Outcome::Waits);
        }
        Ok(())
    }

    /// The entries that are for this project or nearly so, each originator's in its own order.
    fn entries_for(&self, open: &OpenProject) -> Result<Vec<Entry>, Failure> {
        let identity = &open.project.identity;
        let known = identities::load(open.state.dir())?;
        let mut entries: Vec<Entry> = self.queue.list()?;
        entries.retain(|entry| {
            let is_named = self.only.is_none_or(|only| entry.id == only);
            let is_waiting = matches!(entry.state, EntryState::New | EntryState::Held);
            is_named
                && is_waiting
                && (is_for(entry, identity, &known) || self.is_oldest_for(entry, identity))
        });
        entries.sort_by(|a, b| (&a.origin, a.serial).cmp(&(&b.origin, b.serial)));
        // What is held for its questions only is not read again.
        let asked = packages_asked_about(open);
        entries.retain(|entry| {
            entry.state == EntryState::New || self.only.is_some() || !asked.contains(&entry.sha256)
        });
        Ok(entries)
    }

    /// Whether an entry of before format 1.3, which names no project, is meant for this one: a person
    /// who is in its folder says so.
    fn is_oldest_for(&self, entry: &Entry, identity: &Identity) -> bool {
        let is_here = matches!(self.session.project_directory_if_any(), Ok(Some(_)));
        is_here && is_oldest_for(entry, identity)
    }

    /// Leaves every entry where it is: most of the tree is gone, and nobody said that it is meant.
    fn leave_all(&self, entries: &[Entry], tally: &mut Tally) -> Result<(), Failure> {
        tally.outcome = tally.outcome.and(Outcome::Waits);
        tally.waiting += entries.len();
        let left = entries.iter().map(|entry| plain_entry(entry, "held", TREE_GONE));
        tally.entries.extend(left);
        Ok(())
    }

    fn entry(
        &self,
        open: &mut OpenProject,
        runs: &RunLog,
        entry: &Entry,
        consent: Consent,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let file = self.queue.open_entry(entry)?;
        if consent == Consent::BySettings
            && let Some((reason, hint)) =
                self.distrust(open.state.dir(), entry, &file, open.project.identity.format)?
        {
            let is_news = is_news(entry, &reason) && !hint.is_empty();
            self.hold(entry, &reason, tally)?;
            if is_news {
                tell(format_args!("  hint: {hint}."));
            }
            return Ok(());
        }
        let (package, staged) = match stage(&open.ground, file) {
            Ok(staged) => staged,
            Err(PackageFault::Io(error)) => return Err(Failure::new(error)),
            Err(fault) => return self.refuse(entry, &fault.to_string(), tally),
        };
        let mut package = package;
        if !package.orders.for_project(&open.project.identity) {
            let reason =
                describe_not_for_us(NotForUs::Address, &package.orders, &open.project.identity);
            return self.hold(entry, &reason, tally);
        }
        package.orders.in_our_names(&open.project.identity, &identities::load(open.state.dir())?);
        let route = match route(&package.orders, &open.project.identity) {
            Ok(route) => route,
            Err(fault) => {
                let reason = describe_not_for_us(fault, &package.orders, &open.project.identity);
                return self.hold(entry, &reason, tally);
            }
        };
        let correspondence = &open.project.knowledge.remotes[route.from];
        if let Some(reason) = contradiction(entry, &package.orders, correspondence) {
            return self.hold(entry, &reason, tally);
        }
        let from = package.orders.identity.here.address.as_str();
        runs.announce(entry.sha256, from);
        let mut hands = DiskHands::new(&open.ground, self.queue, runs)?;
        hands.hold(entry.sha256, staged);
        if package.orders.identity.format == Format::V2_0 {
            let intent = intended(&open.project.knowledge, &package.orders, &route);
            open.state.intend(intent)?;
        }
        let knowledge = &mut open.project.knowledge;
        let receipt = self.visit(knowledge, &mut hands, &package.orders, &route, entry.sha256);
        drop(hands);
        note_held(runs, &receipt, from)?;
        // Contents are on the disk before anything is believed of them, and what is believed is
        // before the entry is let go.
        runs.sync()?;
        open.ground.root.sync_touched()?;
        open.state.commit(&open.project, &receipt.touched)?;
        open.state.settle_intent(|path| receipt.touched.contains(path))?;
        // The oldest orders say nothing of it.
        let says = !package.orders.is_oldest;
        if says && receipt.taken.is_some_and(|taken| taken.is_newest) {
            identity::remember(open, &package.orders, self.session.now_ms)?;
        }
        keep_bases(self.session, open, &receipt.touched);
        self.conclude(open, entry, &package.orders, &receipt, tally)
    }

    fn visit(
        &self,
        knowledge: &mut Knowledge,
        hands: &mut dyn Hands,
        orders: &Orders,
        route: &Route,
        package: [u8; 32],
    ) -> Receipt {
        let circumstances = Visit {
            orders,
            route,
            package,
            deletions: self.session.deletions(),
            now_ms: self.session.now_ms,
        };
        match orders.identity.format {
            Format::V2_0 => visit(knowledge, hands, &circumstances),
            Format::V1_3 => classic::visit(knowledge, hands, &circumstances),
        }
    }

    fn conclude(
        &self,
        open: &OpenProject,
        entry: &Entry,
        orders: &Orders,
        receipt: &Receipt,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        tally.add(receipt);
        for (path, why) in &receipt.failed {
            tell(format_args!("remsync: {path}: {why}."));
        }
        if receipt.taken.is_some_and(|taken| taken.we_went_back) {
            tell(format_args!(
                "remsync: {} has seen packages of ours that we do not know: this site was restored \
                 from a backup, or its state was. Everything is told anew.",
                orders.identity.here.address
            ));
        }
        if receipt.taken.is_some_and(|taken| taken.they_went_back) {
            tell(format_args!(
                "remsync: {} no longer knows packages that it took in: it was restored from a \
                 backup, or lost its state.",
                orders.identity.here.address
            ));
        }
        let questions: Vec<&Question> = of_package(&open.project.knowledge, entry);
        if !receipt.failed.is_empty() {
            tally.outcome = tally.outcome.and(Outcome::Failed);
        } else if questions.is_empty() {
            tally.done += 1;
            self.queue.retire(entry)?;
        } else {
            tally.done += 1;
            self.queue.hold(entry, &wait_for_person(questions.len()))?;
        }
        tally.entries.push(visited_entry(entry, receipt, &questions));
        Ok(())
    }

    /// Why an entry may not be applied, and what to do about it; `None` where a signature vouches
    /// for it, or the settings or a person let it. Nothing of it is read but its bytes.
    fn distrust(
        &self,
        project: &Path,
        entry: &Entry,
        package: &File,
        format: Format,
    ) -> Result<Option<(String, String)>, Failure> {
        let Run { session, queue, trust, .. } = self;
        let origin = &entry.origin;
        let standing = vouch::standing(session, trust, queue, entry, package, origin)?;
        let reason = vouch::distrust(session, project, entry, &standing, self.only.is_some());
        Ok(reason.map(|reason| (reason, vouch::hint(&standing, format, entry))))
    }

    fn hold(&self, entry: &Entry, reason: &str, tally: &mut Tally) -> Result<(), Failure> {
        if !self.session.options.dry_run {
            self.queue.hold(entry, reason)?;
        }
        tally.outcome = tally.outcome.and(Outcome::Waits);
        tally.waiting += 1;
        if is_news(entry, reason) {
            tell(format_args!("remsync: {}: held: {reason}.", entry.id));
        }
        tally.entries.push(plain_entry(entry, "held", reason));
        Ok(())
    }

    fn refuse(&self, entry: &Entry, reason: &str, tally: &mut Tally) -> Result<(), Failure> {
        if !self.session.options.dry_run {
            self.queue.refuse(entry, reason)?;
        }
        tally.outcome = tally.outcome.and(Outcome::Failed);
        tally.refused += 1;
        tell(format_args!("remsync: {}: refused: {reason}.", entry.id));
        tally.entries.push(plain_entry(entry, "refused", reason));
        Ok(())
    }

    /// Judges the open questions anew: a folder may have made way, a scan may have been added.
    fn reconsider(
        &self,
        open: &mut OpenProject,
        runs: &RunLog,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        if open.project.knowledge.questions.is_empty() {
            return Ok(());
        }
        let mut hands = DiskHands::new(&open.ground, self.queue, runs)?;
        let deletions = self.session.deletions();
        let knowledge = &mut open.project.knowledge;
        let receipt = match open.project.identity.format {
            Format::V2_0 => reconsider(knowledge, &mut hands, deletions, self.session.now_ms),
            Format::V1_3 => classic::reconsider(knowledge, &mut hands),
        };
        drop(hands);
        runs.sync()?;
        open.ground.root.sync_touched()?;
        open.state.commit(&open.project, &receipt.touched)?;
        tally.add(&receipt);
        Ok(())
    }

    /// Puts every open question to the person at the terminal.
    fn ask(&self, open: &mut OpenProject, runs: &RunLog, tally: &mut Tally) -> Result<(), Failure> {
        let questions = open.project.knowledge.questions.to_vec();
        for question in &questions {
            if !open.project.knowledge.questions.contains(question) {
                continue;
            }
            match ask_person(self.queue, open, question) {
                Asked::Answer(decision, shown) => {
                    let given = [Given { question: question.clone(), decision, shown }];
                    let receipt = carry_out(self.session, self.queue, open, runs, &given)?;
                    tally.add(&receipt);
                }
                Asked::Leave => {}
                Asked::LeaveAll => break,
            }
        }
        Ok(())
    }
}

/// Returns why an entry is held of which so many files wait.
fn wait_for_person(count: usize) -> String {
    format!("{}{FOR_PERSON}", counted(count, "file waits", "files wait"))
}

/// Returns the packages that were held for a person's word on their files, by what the queue says:
/// of one that was killed when all was answered no question tells any more.
pub fn packages_left_to_person(
    queue: &Queue,
    open: &OpenProject,
) -> Result<BTreeSet<[u8; 32]>, Failure> {
    let mut entries = queue.list()?;
    let known = identities::load(open.state.dir())?;
    entries.retain(|entry| {
        entry.state == EntryState::Held
            && entry.reason.ends_with(FOR_PERSON)
            && is_for(entry, &open.project.identity, &known)
    });
    Ok(entries.into_iter().map(|entry| entry.sha256).collect())
}

/// Why a package cannot be what it says; `None` where it can. What a signature vouched for is the
/// site that the queue noted, and one site never gives two packages the same number.
fn contradiction(entry: &Entry, orders: &Orders, with: &Correspondence) -> Option<String> {
    let (origin, serial) = (&orders.identity.here.address, orders.serial);
    if entry.origin != origin.as_str() || entry.serial != serial {
        return Some(format!("it is package {serial} of {origin}, and was noted otherwise"));
    }
    match freshness(with, serial, &entry.sha256) {
        Freshness::New | Freshness::Again => None,
        Freshness::Twin(mark) => Some(format!(
            "{origin} gave its number {serial} to another package too, {}: there are two of that \
             site, or somebody has its key",
            hex(&mark).get(..12).unwrap_or_default()
        )),
    }
}

/// Whether a reason was not told before: it is said once, not by every run that finds the entry still
/// waiting.
fn is_news(entry: &Entry, reason: &str) -> bool {
    entry.state != EntryState::Held || entry.reason != reason
}

/// Returns the packages that open questions are about.
pub fn packages_asked_about(open: &OpenProject) -> BTreeSet<[u8; 32]> {
    open.project.knowledge.questions.iter().map(|question| question.package).collect()
}

/// Retires the entries that were `asked` about and that no question needs any more. A run that is
/// killed before this leaves them held; the next `process` reads them again and retires them, or the
/// next `resolve` does.
pub fn retire_settled(
    queue: &Queue,
    open: &mut OpenProject,
    asked: &BTreeSet<[u8; 32]>,
) -> Result<(), Failure> {
    let still_asked = packages_asked_about(open);
    for package in asked.difference(&still_asked) {
        match queue.find(&hex(package)) {
            Ok(entry) if entry.state == EntryState::Held => queue.retire(&entry)?,
            Ok(_) | Err(QueueError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if open.project.knowledge.settled.is_empty() {
        return Ok(());
    }
    let waits = |entry: &Entry| matches!(entry.state, EntryState::New | EntryState::Held);
    let waiting: BTreeSet<[u8; 32]> =
        queue.list()?.iter().filter(|entry| waits(entry)).map(|entry| entry.sha256).collect();
    if classic::forget_settled(&mut open.project.knowledge, &|package| waiting.contains(package)) {
        open.state.commit(&open.project, &BTreeSet::new())?;
    }
    Ok(())
}

/// Remembers which mail brought the newest package of each site: what goes there next answers it. A
/// name that cannot be kept costs the thread only.
fn remember_threads(session: &Session, open: &OpenProject, entries: &[Entry]) {
    let Project { identity, knowledge, .. } = &open.project;
    let is_newest = |with: &Correspondence, entry: &Entry| match identity.format {
        Format::V2_0 => with.heard == entry.serial,
        // Its packages have no serials: they come in the order of the queue.
        Format::V1_3 => with.heard_ms == session.now_ms,
    };
    let is_name = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
    let mut last = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_name(&entry.message_id)) {
        let sites = identity.remotes.iter().zip(&knowledge.remotes);
        for (site, _) in sites
            .filter(|(site, with)| site.address.as_str() == entry.origin && is_newest(with, entry))
        {
            last.insert(site.address.clone(), entry.message_id.clone());
        }
    }
    let outbox = Outbox::open(&State::private_folder(open.state.dir()));
    if let Err(error) = outbox.put_threads(&last) {
        tell(format_args!("remsync: {error}: the next mail answers none."));
    }
}

/// Notes in the history what a package left for a person.
fn note_held(runs: &RunLog, receipt: &Receipt, from: &str) -> Result<(), Failure> {
    for (path, why) in &receipt.questions {
        let (path, why, from) = (path.clone(), why.name().to_owned(), from.to_owned());
        runs.note(&Event::Held { path, why, from })?;
    }
    Ok(())
}

fn of_package<'a>(knowledge: &'a Knowledge, entry: &Entry) -> Vec<&'a Question> {
    knowledge.questions.iter().filter(|question| question.package == entry.sha256).collect()
}
