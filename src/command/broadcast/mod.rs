//! `broadcast`: what the others lack, packed and handed to a carrier, one message a site; what no
//! carrier accepts stays in the outbox.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use serde_json::json;

use crate::edge::outbox::{Call, Note, NoteState, Outbox, Turn, Unsent, Volumes, mark_of_carrier};
use crate::edge::state::{Locked, State};
use crate::format::package::orders_of;
use crate::model::orders::Orders;
use crate::model::project::{Format, Project};
use crate::model::{Address, TreePath};
use crate::rules::classic;
use crate::rules::observe::record;
use crate::rules::parts::{Extent, stands};
use crate::rules::plan::{Named, Outgoing, Request, What, forget_tombstones, plan};

use super::edit::numbered_by;
use super::keep::{keep_bases, tidy_up};
use super::open::OpenProject;
use super::outcome::{Failure, Outcome, answer_json, counted, tell};
use super::session::Session;
use super::survey::{Sifted, Survey, rests, sift};
use report::{Report, conclude, tell_unsigned};

mod errand;
mod pack;
mod report;

/// Broadcasts to `sites` (addresses, or numbers from 1), or to everybody.
///
/// # Errors
/// What keeps the broadcast from beginning; one site's trouble stops no other.
pub fn run(session: &Session, sites: &[String]) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    // Before the tree is looked at: who has the lock may be changing it.
    let mut locked = Locked::take(&directory)?;
    if locked.is_interrupted() {
        let (state, project) = locked.open()?;
        locked = OpenProject::with(session, state, project)?.state.into_locked();
    }
    let sifted = sift(session, &directory, |sieve| locked.open_some(sieve))?;
    let Sifted { state, project, ground, survey } = sifted;
    let targets = site_set(&project, sites)?;
    let mut open = OpenProject { state, project, ground };
    survey.tell();
    survey.tell_resting();
    if let Some(outcome) = brake(session, &survey)? {
        return Ok(outcome);
    }
    let outbox = Outbox::open(&State::private_folder(open.state.dir()));
    settle_outbox(session, &mut open.project, &outbox)?;
    let mut touched = survey.differences.touched();
    let knowledge = &mut open.project.knowledge;
    match open.project.identity.format {
        Format::V2_0 => {
            record(knowledge, &survey.differences, session.now_ms);
            touched.extend(forget_tombstones(knowledge, session.now_ms));
        }
        Format::V1_3 => classic::record(knowledge, &survey.differences),
    }
    if !session.options.dry_run && !touched.is_empty() {
        open.state.commit(&open.project, &touched)?;
    }
    let named = if sites.is_empty() { Named::Everybody } else { Named::ByName };
    let request = Request {
        now_ms: session.now_ms,
        resend_after_ms: session.resend_after_ms(),
        what: if session.options.inventory { What::Inventory } else { What::Contents },
        named,
    };
    let carrier = mark_of_carrier(&session.transport_name());
    let view = View { session, survey: &survey, outbox: &outbox, request, carrier };
    let mut reports = Vec::new();
    let mut errands = Vec::new();
    for remote in targets {
        match view.look(&open, remote)? {
            Look::Nothing(left_out) => reports.extend(left_out),
            Look::NotYet(report) => reports.push(report),
            Look::Go(errand) => errands.push(*errand),
        }
    }
    let carried = errands.iter().flat_map(|errand| &errand.plan.rows);
    let carried: BTreeSet<TreePath> = carried.map(|row| row.path.clone()).collect();
    match session.options.dry_run {
        true => reports.extend(errands.iter().map(|e| Report::planned(&open.project, &e.plan))),
        false => reports.extend(errand::run_all(&view, &mut open, errands)?),
    }
    open.state.finish(&open.project)?;
    if !session.options.dry_run {
        keep_bases(session, &open, &carried);
        tidy_up(session, &open);
    }
    let outcome = conclude(session, &reports);
    if open.project.identity.format == Format::V2_0 {
        tell_unsigned(session, open.state.dir(), &reports);
    }
    Ok(outcome.and(survey.outcome()))
}

/// What a broadcast is decided by.
struct View<'a> {
    session: &'a Session,
    survey: &'a Survey,
    outbox: &'a Outbox,
    request: Request,
    /// Stands for the carrier in notes.
    carrier: String,
}

/// What there is to be done for one site.
struct Errand {
    remote: usize,
    plan: Outgoing,
    /// What the outbox says of the site.
    note: Option<Note>,
    /// The orders of the package in the outbox that is to be tried again, if one is.
    again: Option<Box<Orders>>,
}

/// What a look at one site found.
enum Look {
    /// There is nothing to send; but what was left out of an earlier package.
    Nothing(Option<Report>),
    /// What lies in the outbox has to wait.
    NotYet(Report),
    /// Something is to be sent.
    Go(Box<Errand>),
}

impl View<'_> {
    /// Looks what one site lacks, and what lies in the outbox for it.
    fn look(&self, open: &OpenProject, remote: usize) -> Result<Look, Failure> {
        let to = &open.project.identity.remotes[remote].address;
        let mut note = self.outbox.find(to)?;
        if let Some(note) = &mut note {
            self.forget_left_out(open, note)?;
        }
        let Some(plan) = self.plan(&open.project, open, remote, note.as_ref(), self.request) else {
            return self.nothing_to_send(note);
        };
        let Some(note) = note else {
            return Ok(Look::Go(Box::new(Errand { remote, plan, note: None, again: None })));
        };
        let unsent = self.standing(open, &plan, &note)?;
        let turn = match note.turn(unsent.is_some(), self.call(&note), self.session.now_ms) {
            Turn::Ask if self.session.options.to.is_some() || self.session.may_ask() => Turn::Again,
            Turn::Ask if note.approved_bytes >= note.asked_bytes => Turn::Again,
            turn => turn,
        };
        Ok(match turn {
            Turn::NotYet | Turn::Ask => Look::NotYet(Report::of_note(&note)),
            Turn::Again => {
                Look::Go(Box::new(Errand { remote, plan, note: Some(note), again: unsent }))
            }
            Turn::Anew => {
                Look::Go(Box::new(Errand { remote, plan, note: Some(note), again: None }))
            }
        })
    }

    /// Returns how much this broadcast presses for a package that was not accepted.
    fn call(&self, note: &Note) -> Call {
        let is_other_carrier = !note.carrier.is_empty() && note.carrier != self.carrier;
        let as_files = self.session.options.to.is_some();
        match self.request.named {
            Named::ByName => Call::Pressing,
            Named::Everybody if as_files || is_other_carrier => Call::Pressing,
            Named::Everybody if self.session.options.batch => Call::Unattended,
            Named::Everybody => Call::Typed,
        }
    }

    /// Plans for one remote, from what `project` knows. Files that were found to be too big for a
    /// mail to it rest.
    fn plan(
        &self,
        project: &Project,
        open: &OpenProject,
        remote: usize,
        note: Option<&Note>,
        request: Request,
    ) -> Option<Outgoing> {
        let left_out: BTreeSet<&TreePath> = match self.session.options.to {
            None => note.iter().flat_map(|n| &n.left_out).map(|left| &left.path).collect(),
            Some(_) => BTreeSet::new(),
        };
        let resting = rests(&self.survey.differences.resting, &open.ground.selection);
        let rests = |path: &TreePath| left_out.contains(path) || resting(path);
        match project.identity.format {
            Format::V2_0 => plan(&project.knowledge, remote, &request, &rests),
            Format::V1_3 => classic::plan(&project.knowledge, remote, &request, &rests),
        }
    }

    /// Returns the largest mail that may go to a site, in bytes; `None` for packages as files.
    fn limit_bytes(&self, to: &Address) -> Result<Option<u64>, Failure> {
        if self.session.options.to.is_some() {
            return Ok(None);
        }
        let learnt = self.outbox.limit(to, self.session.now_ms)?;
        Ok(learnt.into_iter().chain(self.session.settings.size_max_bytes).min())
    }

    /// Forgets which files were too big, where they are others by now or the limit is higher.
    fn forget_left_out(&self, open: &OpenProject, note: &mut Note) -> Result<(), Failure> {
        let limit = self.limit_bytes(&note.to)?;
        let rows = &open.project.knowledge.rows;
        note.left_out.retain(|left| {
            let signature = rows.get(&left.path).and_then(|row| row.version.content.signature());
            signature.is_some_and(|now| now.to_string() == left.signature)
                && limit.is_none_or(|limit| left.mail_bytes > limit)
        });
        Ok(())
    }

    /// Returns the orders of the package in the outbox, if it still says what there is to say, in a
    /// mail that is not too big.
    fn standing(
        &self,
        open: &OpenProject,
        plan: &Outgoing,
        note: &Note,
    ) -> Result<Option<Box<Orders>>, Failure> {
        let (Some(unsent), Some(path)) = (&note.package, self.outbox.package_path(note)) else {
            return Ok(None);
        };
        let limit = self.limit_bytes(&note.to)?;
        if unsent.volumes.is_none() && limit.is_some_and(|limit| unsent.mail_bytes > limit) {
            return Ok(None);
        }
        let Ok(file) = std::fs::File::open(&path) else { return Ok(None) };
        let Ok(orders) = orders_of(std::io::BufReader::new(file)) else { return Ok(None) };
        let mut project = errand::copy_of_classic(&open.project);
        if let Some(project) = &mut project {
            classic::rest(&mut project.knowledge, note.left_out.iter().map(|left| &left.path));
        }
        let fresh = pack::told(project.as_ref().unwrap_or(&open.project), plan, &[plan.remote]);
        // As a receiver reads it: a history may be cut where it is written.
        let fresh = crate::format::orders::print(&fresh);
        let fresh = crate::format::orders::parse(&*fresh, "the orders")?;
        let extent = match unsent {
            Unsent { volumes: Some(Volumes { sent: 1.., .. }), .. } => Extent::Begun,
            Unsent { is_part: true, .. } => Extent::Part,
            _ => Extent::Whole,
        };
        let issued = &open.project.knowledge.remotes[plan.remote].issued;
        Ok(stands(&orders, &fresh, extent, issued).then(|| Box::new(orders)))
    }

    /// There is nothing to tell a site: a package for it is not needed any more.
    fn nothing_to_send(&self, note: Option<Note>) -> Result<Look, Failure> {
        let Some(note) = note else { return Ok(Look::Nothing(None)) };
        let is_moot = matches!(note.state, NoteState::Held | NoteState::Waiting);
        if note.package.is_some() || is_moot && note.left_out.is_empty() {
            self.replace(&note.to, note.rest(None, note.serial))?;
        }
        let is_left_out = !note.left_out.is_empty() && note.state == NoteState::Held;
        Ok(Look::Nothing(is_left_out.then(|| Report::of_note(&note))))
    }

    /// Puts what is left of a note in its place, or removes it.
    fn replace(&self, to: &Address, rest: Option<Note>) -> Result<(), Failure> {
        match rest {
            _ if self.session.options.dry_run => {}
            Some(rest) => self.outbox.put(&rest, None)?,
            None => self.outbox.remove(to)?,
        }
        Ok(())
    }
}

/// Forgets what is known to have got there, and what is for nobody any more; what changes from now
/// on is stamped above all that lies in the outbox.
fn settle_outbox(session: &Session, project: &mut Project, outbox: &Outbox) -> Result<(), Failure> {
    for note in outbox.notes()? {
        let knowledge = &mut project.knowledge;
        knowledge.clock = knowledge.clock.max(note.serial);
        let mut remotes = project.identity.remotes.iter().zip(&knowledge.remotes);
        let with = remotes.find(|(site, _)| site.address == note.to).map(|(_, with)| with);
        let is_settled = with.is_none_or(|with| note.is_settled(with, project.identity.format));
        if is_settled && !session.options.dry_run {
            match with.and_then(|_| note.rest(None, note.serial)) {
                Some(rest) => outbox.put(&rest, None)?,
                None => outbox.remove(&note.to)?,
            }
        }
    }
    Ok(())
}

/// Returns the remotes meant by a list of addresses or numbers from 1, in brackets or without; none
/// is all, a leading `!` is all but those, and by itself nobody.
///
/// # Errors
/// A word that names no remote.
pub fn site_set(project: &Project, sites: &[String]) -> Result<BTreeSet<usize>, Failure> {
    let remotes = &project.identity.remotes;
    let mut words: Vec<&str> = sites.iter().map(String::as_str).collect();
    let mut is_complement = false;
    if let Some(first) = words.first_mut()
        && let Some(rest) = first.strip_prefix('!')
        && !remotes.iter().any(|site| site.address.as_str() == *first)
    {
        is_complement = true;
        *first = rest;
    }
    let mut named = BTreeSet::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        let lower = word.to_lowercase();
        let by_number = numbered_by(OsStr::new(word), remotes.len());
        let by_address = remotes.iter().position(|site| site.address.as_str() == lower);
        let index = by_address.or(by_number).ok_or_else(|| {
            Failure::new(format!("\"{word}\" is no remote of this project"))
                .hinted("\"remsync list remote\" lists them")
        })?;
        named.insert(index);
    }
    let all = 0..remotes.len();
    Ok(match (sites.is_empty(), is_complement) {
        (true, _) => all.collect(),
        (false, true) if named.is_empty() => BTreeSet::new(),
        (false, true) => all.filter(|index| !named.contains(index)).collect(),
        (false, false) => named,
    })
}

/// Stops before a broadcast that would tell everybody that most files are gone.
fn brake(session: &Session, survey: &Survey) -> Result<Option<Outcome>, Failure> {
    let differences = &survey.differences;
    let is_empty = survey.scan.root_is_empty && differences.files > 0;
    if !differences.is_drastic() && !is_empty {
        return Ok(None);
    }
    tell(format_args!(
        "remsync: {} of {} are gone: an unmounted disk, or meant?",
        differences.gone.len(),
        counted(differences.files, "file", "files"),
    ));
    if session.may_ask() && super::ask::yes("Tell the others that they were deleted? [y/N] ") {
        return Ok(None);
    }
    tell("remsync: nothing was sent.");
    tell("  hint: if it is meant, run \"remsync broadcast\" at a terminal and say so.");
    if session.options.json {
        answer_json(&json!({ "sites": [], "held": "most files are gone" }));
    }
    Ok(Some(Outcome::Waits))
}
