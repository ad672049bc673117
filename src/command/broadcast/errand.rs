//! The way of one site's packages: packed, asked about where they are large, noted in the outbox,
//! handed to a carrier, and only then believed sent.
//!
//! In this order, so that a crash anywhere ends the same: the serial is used up, the note is on the
//! disk, the carrier is asked, what it took is known, the note goes. A mail that was taken before a
//! crash is sent again as the same mail.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::edge::carrier::{Carrier, Failure as CarrierFailure, FolderCarrier, Lasts};
use crate::edge::outbox::{LeftOut, Note, NoteState, Unsent, pause_ms, sealed_beside};
use crate::edge::sent::{SentLog, SentMail};
use crate::format::digest::sha256_of;
use crate::format::mail::{self, Letter, message_id};
use crate::model::limits::{MAIL_LIMIT_BYTES_MIN, PACKAGE_BYTES_MAX, PACKAGE_MEMBERS_MAX};
use crate::model::orders::{Act, Orders};
use crate::model::project::{Format, Project};
use crate::model::version::Content;
use crate::model::{Address, TreePath};
use crate::rules::classic;
use crate::rules::parts::{Room, Turn, carve};
use crate::rules::plan::{Named, Outgoing, OutgoingRow, Request, With, accepted, issue, withdraw};

use super::super::ask;
use super::super::open::OpenProject;
use super::super::outcome::{Failure, counted, tell};
use super::super::session::Session;
use super::super::sites::parse_address;
use super::super::words::size_words;
use super::super::wrap::Wrapper;
use super::pack::{Over, Packed, pack, told};
use super::report::{Fate, Report};
use super::{Errand, View};

mod volumes;

/// Unpacked bytes that one package carries at most: with what does not compress, the package stays
/// below its own bound.
const PART_BYTES_MAX: u64 = 900 << 20;
/// Bytes that a file takes beside its contents, about: its headers, and its line in the orders.
const MEMBER_BYTES: u64 = 1 << 10;

/// Runs every errand. What a carrier took is noted at once, so that a crash between two sites
/// forgets nothing that was sent. All packages are of the same, frozen knowledge: the plans were
/// made before the first was sent, and what is noted is nothing that orders tell.
///
/// # Errors
/// The state cannot be written; trouble with one site is in its report.
pub fn run_all(
    view: &View<'_>,
    open: &mut OpenProject,
    errands: Vec<Errand>,
) -> Result<Vec<Report>, Failure> {
    if errands.is_empty() {
        return Ok(Vec::new());
    }
    let format = open.project.identity.format;
    let opened = Wrapper::open(view.session, format)
        .and_then(|wrapper| Ok((wrapper, carrier(view.session)?)));
    let (wrapper, mut carrier) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            let failed = |errand: &Errand| {
                let mut report = Report::planned(&open.project, &errand.plan);
                fail(&mut report, &failure);
                report
            };
            return Ok(errands.iter().map(failed).collect());
        }
    };
    let copy: Vec<usize> = errands.iter().map(|errand| errand.remote).collect();
    let frozen = copy_of_classic(&open.project);
    let mut reports = Vec::new();
    for errand in errands {
        let to = open.project.identity.remotes[errand.remote].address.clone();
        let mut walk = Walk {
            view,
            open,
            wrapper: &wrapper,
            carrier: carrier.as_mut(),
            copy: &copy,
            remote: errand.remote,
            told: frozen.clone(),
            limit_bytes: view.limit_bytes(&to)?,
            note: note_to_go_on(&to, errand.note.as_ref(), view.session.options.to.is_some()),
            before: errand.note.clone(),
            room: Room { bytes_max: PART_BYTES_MAX, members_max: PACKAGE_MEMBERS_MAX },
            in_volumes: false,
            is_allowed: view.session.options.to.is_some(),
            reports: Vec::new(),
        };
        let report = Report::planned(&walk.open.project, &errand.plan);
        if let Err(failure) = walk.run(errand) {
            walk.fail(report, &failure);
        }
        reports.append(&mut walk.reports);
    }
    Ok(reports)
}

/// Returns what the packages of format 1.3 are written from: what was known before the broadcast,
/// for their columns tell what we believe. `None` in 2.0, whose orders tell nothing that sending
/// changes.
pub fn copy_of_classic(project: &Project) -> Option<Project> {
    (project.identity.format == Format::V1_3).then(|| project.clone())
}

/// Returns the note that an errand begins with: of a package that waits, all; of anything else, what
/// outlives a mail. Packages as files leave nothing out that a mail could not hold.
fn note_to_go_on(to: &Address, before: Option<&Note>, as_files: bool) -> Note {
    let mut note = match before {
        Some(note) if note.package.is_some() => note.clone(),
        Some(Note { left_out, approved_bytes, .. }) => {
            let (left_out, approved_bytes) = (left_out.clone(), *approved_bytes);
            Note { left_out, approved_bytes, ..Note::new(to) }
        }
        None => Note::new(to),
    };
    if as_files {
        note.left_out.clear();
    }
    note
}

/// One errand under way.
struct Walk<'a, 'v> {
    view: &'a View<'v>,
    open: &'a mut OpenProject,
    wrapper: &'a Wrapper,
    carrier: &'a mut dyn Carrier,
    copy: &'a [usize],
    remote: usize,
    /// What packages of 1.3 are written from; what this site was told is entered in it.
    told: Option<Project>,
    limit_bytes: Option<u64>,
    /// What the outbox says of the site, or will.
    note: Note,
    /// What it said before.
    before: Option<Note>,
    room: Room,
    /// The package being made may be larger than a mail, and goes in volumes then.
    in_volumes: bool,
    /// A person allowed what goes to this site, or needs not.
    is_allowed: bool,
    reports: Vec<Report>,
}

/// A package on disk, not handed over yet.
struct Made {
    unsent: Unsent,
    letter: Letter,
    told: Box<Orders>,
    serial: u64,
    draft: PathBuf,
    rest: Option<Outgoing>,
    /// Files that changed meanwhile and were left out.
    changed: usize,
}

/// What a carrier did not accept.
struct Refusal {
    failure: CarrierFailure,
    /// Bytes of the mail.
    mail_bytes: u64,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    On,
    Stop,
}

impl Walk<'_, '_> {
    fn run(&mut self, errand: Errand) -> Result<(), Failure> {
        let mut left = Some(errand.plan);
        if let Some(told) = errand.again {
            if self.try_again(&told)? == Step::Stop {
                return Ok(());
            }
            // A named site was sent something; now only what is due besides.
            let request = Request { named: Named::Everybody, ..self.view.request };
            let project = self.told.as_ref().unwrap_or(&self.open.project);
            left = self.view.plan(project, self.open, self.remote, Some(&self.note), request);
        }
        let is_replaced = self.note.package.is_some() && self.note.unanswered == 0;
        if is_replaced && self.told.is_none() {
            withdraw(&mut self.open.project.knowledge, self.remote, self.note.serial);
        }
        let mut turn = Turn::First;
        let mut serial = self.note.serial;
        while let Some(plan) = left {
            let Some(made) = self.make(plan, turn)? else { break };
            let rest = made.rest.clone();
            serial = made.serial;
            if self.send(made)? == Step::Stop {
                return Ok(());
            }
            (left, turn) = (rest, Turn::Later);
            self.room.members_max = PACKAGE_MEMBERS_MAX;
        }
        self.end(serial)
    }

    /// All that there was is sent: what the outbox still has to say is said.
    fn end(&mut self, serial: u64) -> Result<(), Failure> {
        let rest = self.note.rest(self.before.as_ref(), serial);
        let is_left_out = rest.as_ref().is_some_and(|rest| !rest.left_out.is_empty());
        self.view.replace(&self.note.to, rest.clone())?;
        if let Some(rest) = rest.filter(|_| is_left_out) {
            let mut report = Report::of_note(&rest);
            let before = self.before.iter().flat_map(|note| &note.left_out);
            report.is_told = before.eq(rest.left_out.iter());
            report.hint = "split it, or carry it by \"remsync broadcast --to DIR\"".into();
            report.fate = Fate::Kept(NoteState::Held);
            self.reports.push(report);
        }
        Ok(())
    }

    /// Hands over the package of the outbox once more.
    fn try_again(&mut self, told: &Orders) -> Result<Step, Failure> {
        let Some(path) = self.view.outbox.package_path(&self.note) else { return Ok(Step::On) };
        let Some(unsent) = self.note.package.clone() else { return Ok(Step::On) };
        let unsent = self.seal_anew(told, &path, unsent)?;
        self.note.package = Some(unsent.clone());
        let mut report = Report::of_orders(told);
        let bytes = self.note.asked_bytes.max(unsent.mail_bytes);
        if !self.may_send(bytes, unsent.files) {
            if self.note.state != NoteState::Held {
                self.hold(bytes, None, &mut report)?;
            }
            report.keep(&self.note);
            self.reports.push(report);
            return Ok(Step::Stop);
        }
        let letter = self.letter(told, &unsent)?;
        let serial = self.note.serial;
        self.hand_over(&letter, told, serial, &path, None, report)
    }

    /// Hands over a package just made.
    fn send(&mut self, made: Made) -> Result<Step, Failure> {
        let mut report = Report::of_orders(&made.told);
        report.left_out = made.changed;
        self.note.serial = made.serial;
        let Made { unsent, letter, told, serial, draft, rest, .. } = made;
        let bytes = self.estimate(&told, unsent.mail_bytes, rest.as_ref());
        let files = unsent.files + rest.as_ref().map_or(0, count_carried);
        self.note.package = Some(unsent);
        if !self.may_send(bytes, files) {
            self.use_up(serial)?;
            self.hold(bytes, Some(&draft), &mut report)?;
            self.reports.push(report);
            return Ok(Step::Stop);
        }
        self.hand_over(&letter, &told, serial, &draft, Some(&draft), report)
    }

    /// Asks the carrier to take one package, in the order that a crash may interrupt anywhere.
    /// `draft`: where its bytes are, if the outbox does not have them yet.
    #[allow(clippy::disallowed_methods, reason = "drafts of our own")]
    fn hand_over(
        &mut self,
        letter: &Letter,
        told: &Orders,
        serial: u64,
        path: &Path,
        draft: Option<&Path>,
        mut report: Report,
    ) -> Result<Step, Failure> {
        let is_mail = self.view.session.options.to.is_none();
        // What cannot be signed was never tried.
        let unsent = self.note.package.as_ref();
        let in_volumes = unsent.is_some_and(|unsent| unsent.volumes.is_some());
        let signature = self.wrapper.sign(path, &self.note.to, in_volumes)?;
        report.signed = signature.is_some();
        self.use_up(serial)?;
        let path = match is_mail {
            true => self.note_attempt(draft)?,
            false => path.to_owned(),
        };
        let carried = if letter.sealed { sealed_beside(&path) } else { path };
        let signature = signature.as_deref();
        let answer = match is_mail {
            true => self.hand_to_carrier(letter, told, &carried, signature, &mut report)?,
            false => self
                .carrier
                .send(letter, &carried, signature)
                .map_err(|failure| Refusal { failure, mail_bytes: 0 }),
        };
        if let Some(draft) = draft.filter(|_| !is_mail) {
            let _ = std::fs::remove_file(draft);
            let _ = std::fs::remove_file(sealed_beside(draft));
        }
        match answer {
            Ok(bytes) => {
                report.bytes = bytes;
                report.fate = Fate::Sent;
                self.accepted(told, serial)?;
                self.view.outbox.remove(&self.note.to)?;
                self.forget_attempt();
                self.reports.push(report);
                Ok(Step::On)
            }
            Err(refusal) => {
                match is_mail {
                    true => self.note_failure(&refusal, &mut report)?,
                    false => fail(&mut report, &Failure::new(refusal.failure)),
                }
                self.reports.push(report);
                Ok(Step::Stop)
            }
        }
    }

    /// Enters a mail into the log of what was sent: word of it, should it come back, finds its
    /// project there. A line that is missing costs that word only.
    fn remember(&self, letter: &Letter, size_bytes: u64) {
        let project = self.open.state.dir();
        let mail = SentMail {
            at_ms: self.view.session.now_ms,
            sha256: letter.sha256,
            message_id: letter.message_id.trim_matches(['<', '>']).to_owned(),
            serial: self.note.serial,
            size_bytes,
            to: letter.to.clone(),
            project: std::path::absolute(project).unwrap_or_else(|_| project.to_owned()),
        };
        if let Err(error) = SentLog::open(&self.view.session.places.state_dir).append(&mail) {
            tell(format_args!("remsync: {error}: should this mail come back, it is not seen."));
        }
    }

    /// Uses up a serial, durably, before anybody can have seen it.
    fn use_up(&mut self, serial: u64) -> Result<(), Failure> {
        let knowledge = &mut self.open.project.knowledge;
        let is_ours = self.open.project.identity.format == Format::V2_0;
        let is_new = knowledge.clock < serial
            || is_ours && !knowledge.remotes[self.remote].issued.contains(&serial);
        match self.open.project.identity.format {
            Format::V2_0 => issue(knowledge, self.remote, serial),
            Format::V1_3 => knowledge.clock = knowledge.clock.max(serial),
        }
        if is_new {
            self.open.state.commit(&self.open.project, &BTreeSet::new())?;
        }
        Ok(())
    }

    /// Puts the package into the outbox as one that may have been sent; returns where it is. After
    /// a crash it is due at once, and not so soon after several.
    fn note_attempt(&mut self, draft: Option<&Path>) -> Result<PathBuf, Failure> {
        let now_ms = self.view.session.now_ms;
        let note = &mut self.note;
        note.next_ms = now_ms.saturating_add(pause_ms(note.unanswered));
        note.unanswered = note.unanswered.saturating_add(1);
        note.attempts = note.attempts.saturating_add(1);
        note.first_ms = if note.first_ms == 0 { now_ms } else { note.first_ms };
        note.last_ms = now_ms;
        note.state = NoteState::Waiting;
        note.carrier.clone_from(&self.view.carrier);
        note.status.clear();
        note.reason = "remsync was ended before the carrier answered".into();
        note.limit_bytes = None;
        self.view.outbox.put(note, draft)?;
        self.view
            .outbox
            .package_path(note)
            .ok_or_else(|| Failure::new(format!("{}: no package", note.to)))
    }

    fn note_failure(&mut self, refusal: &Refusal, report: &mut Report) -> Result<(), Failure> {
        let now_ms = self.view.session.now_ms;
        let Refusal { failure, mail_bytes } = refusal;
        let note = &mut self.note;
        note.status.clone_from(&failure.status);
        note.reason.clone_from(&failure.what);
        (note.limit_bytes, note.unanswered) = (failure.limit_bytes, 0);
        let is_smaller_left =
            failure.limit_bytes.is_some_and(|limit| limit.max(MAIL_LIMIT_BYTES_MIN) < *mail_bytes);
        (note.state, note.next_ms) = match failure.lasts {
            // Smaller mails are something else, and nothing has to be waited for.
            Lasts::Never if is_smaller_left => (NoteState::Waiting, now_ms),
            Lasts::Never => (NoteState::Refused, 0),
            Lasts::Later => (NoteState::Waiting, now_ms.saturating_add(pause_ms(note.attempts))),
        };
        self.view.outbox.put(note, None)?;
        report.keep(note);
        let hints = [failure.hint.as_str(), &report.hint];
        report.hint =
            hints.into_iter().filter(|hint| !hint.is_empty()).collect::<Vec<_>>().join("; ");
        report.is_told = self.before.as_ref().is_some_and(|before| before.is_same_reason(note));
        Ok(())
    }

    /// What the site was sent is known now.
    fn accepted(&mut self, told: &Orders, serial: u64) -> Result<(), Failure> {
        let now_ms = self.view.session.now_ms;
        let rows = told.rows.iter().filter(|row| row.act != Act::Tell).map(|row| &row.path);
        let mut touched: BTreeSet<TreePath> = rows.chain(&told.wants).cloned().collect();
        let knowledge = &mut self.open.project.knowledge;
        match self.open.project.identity.format {
            Format::V2_0 => accepted(knowledge, self.remote, told, now_ms),
            Format::V1_3 => {
                touched.extend(classic::accepted(knowledge, self.remote, serial, told, now_ms));
                if let Some(view) = &mut self.told {
                    classic::accepted(&mut view.knowledge, self.remote, serial, told, now_ms);
                }
            }
        }
        Ok(self.open.state.commit(&self.open.project, &touched)?)
    }

    /// The site got something: what comes next begins anew.
    fn forget_attempt(&mut self) {
        let Note { left_out, serial, approved_bytes, .. } = self.note.clone();
        self.note = Note { left_out, serial, approved_bytes, ..Note::new(&self.note.to) };
    }

    /// Whether so many bytes may go to the site: below the bound, or a person says so.
    fn may_send(&mut self, bytes: u64, files: usize) -> bool {
        let session = self.view.session;
        let above = session.settings.ask_above_bytes.filter(|above| bytes > *above);
        if above.is_none() || self.is_allowed || self.note.approved_bytes >= bytes {
            self.is_allowed |= above.is_some();
            return true;
        }
        let question = format!(
            "{}: {} of mail, {}: send it? [y/N] ",
            self.note.to,
            size_words(bytes),
            counted(files, "file", "files")
        );
        self.is_allowed = session.may_ask() && ask::yes(&question);
        if self.is_allowed {
            self.note.approved_bytes = bytes;
        }
        self.is_allowed
    }

    /// Keeps a package until a person says a word.
    fn hold(
        &mut self,
        bytes: u64,
        draft: Option<&Path>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let session = self.view.session;
        let note = &mut self.note;
        let above = session.settings.ask_above_bytes.unwrap_or(0);
        note.state = NoteState::Held;
        note.status.clear();
        note.reason = format!(
            "{} of mail, above the {} from which a person is asked",
            size_words(bytes),
            size_words(above)
        );
        (note.asked_bytes, note.approved_bytes, note.next_ms) = (bytes, 0, 0);
        note.first_ms = if note.first_ms == 0 { session.now_ms } else { note.first_ms };
        self.view.outbox.put(note, draft)?;
        report.keep(note);
        report.is_told = self.before.as_ref().is_some_and(|before| before.is_same_reason(note));
        Ok(())
    }

    /// Estimates the bytes of this mail and those to follow, as if all packed alike.
    fn estimate(&self, told: &Orders, mail_bytes: u64, rest: Option<&Outgoing>) -> u64 {
        let Some(rest) = rest else { return mail_bytes };
        let carried = told.rows.iter().filter(|row| row.act != Act::Tell);
        let first: u64 = carried.map(|row| self.size(&row.path)).sum();
        let follows: u64 = carried_rows(rest).map(|row| self.size(&row.path)).sum();
        if first == 0 {
            // base64 makes three bytes four.
            return mail_bytes.saturating_add(follows / 3 * 4);
        }
        let scaled = u128::from(mail_bytes) * u128::from(follows) / u128::from(first);
        mail_bytes.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    fn size(&self, path: &TreePath) -> u64 {
        let found = self.view.survey.scan.files.get(path);
        found.map_or(0, |found| found.size_bytes).saturating_add(MEMBER_BYTES)
    }

    /// Makes the next package of a plan, small enough for the site; `None` if nothing is left that
    /// is.
    fn make(&mut self, mut plan: Outgoing, turn: Turn) -> Result<Option<Made>, Failure> {
        let format = self.open.project.identity.format;
        let draft = self.view.outbox.draft()?;
        let mut changed = 0;
        self.in_volumes = false;
        loop {
            let size = |path: &TreePath| self.size(path);
            let (part, rest) = carve(format, &plan, turn, &size, self.room);
            if turn == Turn::Later && count_carried(&part) == 0 {
                return Ok(None);
            }
            let is_part = rest.is_some() || turn == Turn::Later;
            let view = self.view_for(rest.as_ref());
            let project = view.as_ref().unwrap_or(&self.open.project);
            let told = told(project, &part, self.copy);
            // base64 makes three bytes four.
            let limit_bytes = self.limit_bytes.filter(|_| !self.in_volumes);
            let bytes_max = limit_bytes.map_or(u64::MAX, |limit| limit / 4 * 3);
            let bytes_max = bytes_max.min(PACKAGE_BYTES_MAX);
            let over = match pack(&self.open.ground, told, &draft, bytes_max)? {
                Packed::Changed(paths) => {
                    changed += paths.len();
                    self.leave_changed(&mut plan, &paths)?;
                    continue;
                }
                Packed::Over(over) => Over { bytes: over.bytes.saturating_mul(4) / 3, ..over },
                Packed::Sound(told) => {
                    let (unsent, letter) = self.measure(&told, &draft, is_part)?;
                    let is_cut = unsent.volumes.is_some();
                    if is_cut || self.limit_bytes.is_none_or(|limit| unsent.mail_bytes <= limit) {
                        let serial = part.serial;
                        return Ok(Some(Made {
                            unsent,
                            letter,
                            told,
                            serial,
                            draft,
                            rest,
                            changed,
                        }));
                    }
                    Over { bytes: unsent.mail_bytes, is_whole: true }
                }
            };
            self.shrink(&mut plan, &part, turn, over)?;
        }
    }

    /// Returns what a part of a plan in 1.3 is written from: files that a later part carries rest
    /// in it.
    fn view_for(&self, rest: Option<&Outgoing>) -> Option<Project> {
        let mut view = self.told.clone()?;
        let later = rest.into_iter().flat_map(carried_rows).map(|row| &row.path);
        classic::rest(&mut view.knowledge, later);
        Some(view)
    }

    /// What changes while it is packed is left out; the next scan sees what it became.
    fn leave_changed(
        &mut self,
        plan: &mut Outgoing,
        paths: &BTreeSet<TreePath>,
    ) -> Result<(), Failure> {
        for path in paths {
            tell(format_args!("remsync: {path}: it changed while it was packed: left out."));
        }
        match &mut self.told {
            None => plan.rows.retain(|row| !paths.contains(&row.path)),
            // What is not listed counts as deleted.
            Some(told) => {
                classic::rest(&mut told.knowledge, paths);
                let changed = plan.rows.iter_mut().filter(|row| paths.contains(&row.path));
                changed.for_each(|row| row.with = With::Nothing);
            }
        }
        // Stamped above the serial of the package that does not list them, so that a later one does.
        let knowledge = &mut self.open.project.knowledge;
        for path in paths {
            if let Some(row) = knowledge.rows.get_mut(path) {
                row.changed = row.changed.max(plan.serial + 1);
            }
        }
        knowledge.clock = knowledge.clock.max(plan.serial);
        Ok(self.open.state.commit(&self.open.project, paths)?)
    }

    /// Makes room for less, or leaves out a file that alone is too big.
    fn shrink(
        &mut self,
        plan: &mut Outgoing,
        part: &Outgoing,
        turn: Turn,
        over: Over,
    ) -> Result<(), Failure> {
        let Over { bytes: mail_bytes, is_whole } = over;
        let is_ours = self.told.is_none();
        let carried: Vec<&OutgoingRow> = carried_rows(part).collect();
        match carried.as_slice() {
            // The list of files may be what is too big: first that alone, then the file.
            [_] if is_ours && turn == Turn::First && self.room.members_max > 0 => {
                self.room.members_max = 0;
                Ok(())
            }
            // GNU remsync knows no volumes.
            [] | [_] if is_ours && !self.in_volumes => {
                self.in_volumes = true;
                Ok(())
            }
            [] => Err(Failure::new(format!(
                "the list of files alone makes a mail of {}",
                size_words(mail_bytes)
            ))
            .hinted("the site's limit has to be raised, or the project split")),
            [only] => {
                let path = only.path.clone();
                self.leave_out(plan, path, mail_bytes);
                Ok(())
            }
            many => {
                let bytes: u64 = many.iter().map(|row| self.size(&row.path)).sum();
                let limit = self.limit_bytes.unwrap_or(PACKAGE_BYTES_MAX);
                let fitting = u128::from(bytes) * u128::from(limit) * 9 / 10;
                let fitting = fitting / u128::from(mail_bytes.max(1));
                let fitting = u64::try_from(fitting).unwrap_or(u64::MAX);
                // What was not packed to its end is larger still.
                let less = if is_whole { bytes / 10 * 9 } else { bytes / 2 };
                self.room.bytes_max = fitting.min(less);
                Ok(())
            }
        }
    }

    /// A file that is too big for any mail to the site: everything else goes.
    fn leave_out(&mut self, plan: &mut Outgoing, path: TreePath, mail_bytes: u64) {
        let limit = self.limit_bytes.unwrap_or(PACKAGE_BYTES_MAX);
        tell(format_args!(
            "remsync: {path}: too big for a mail to {}, which takes {}: left out.",
            self.note.to,
            size_words(limit)
        ));
        if let Some(told) = &mut self.told {
            classic::rest(&mut told.knowledge, [&path]);
        }
        for row in plan.rows.iter_mut().filter(|row| row.path == path) {
            row.with = With::Nothing;
        }
        let row = self.open.project.knowledge.rows.get(&path);
        if let Some(Content::File(signature)) = row.map(|row| row.version.content) {
            let signature = signature.to_string();
            self.note.left_out.retain(|left| left.path != path);
            self.note.left_out.push(LeftOut { path, signature, mail_bytes });
        }
    }

    /// Measures a package that is written, seals it where its receiver has that, and writes its
    /// letter.
    fn measure(
        &self,
        told: &Orders,
        file: &Path,
        is_part: bool,
    ) -> Result<(Unsent, Letter), Failure> {
        let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
        let (sha256, size_bytes) = sha256_of(File::open(file).map_err(at)?).map_err(at)?;
        let removes = told.rows.iter().filter(|row| matches!(row.act, Act::Remove { .. })).count();
        let unsent = Unsent {
            sha256,
            size_bytes,
            mail_bytes: 0,
            message_id: String::new(),
            in_reply_to: self.view.outbox.thread(&self.note.to)?.unwrap_or_default(),
            made_ms: self.view.session.now_ms,
            files: usize::try_from(told.members()).unwrap_or(usize::MAX),
            removes,
            is_part,
            sealed: self.wrapper.seal(file, &self.note.to, &sealed_beside(file))?,
            volumes: None,
        };
        self.weigh(told, unsent, self.in_volumes)
    }

    /// Seals a package of the outbox once more where what is there will not do: it is gone, or its
    /// receiver has another key now. Then it is another mail, and its volumes begin anew.
    fn seal_anew(&self, told: &Orders, path: &Path, unsent: Unsent) -> Result<Unsent, Failure> {
        let (to, out) = (&self.note.to, sealed_beside(path));
        if self.wrapper.is_sealed_so(unsent.sealed.as_ref(), to, &out) {
            return Ok(unsent);
        }
        let sealed = self.wrapper.seal(path, to, &out)?;
        let in_volumes = unsent.volumes.is_some();
        let unsent = Unsent { sealed, message_id: String::new(), volumes: None, ..unsent };
        Ok(self.weigh(told, unsent, in_volumes)?.0)
    }

    /// Enters the bytes of the mail with a package, its name, and into which volumes it is cut.
    fn weigh(
        &self,
        told: &Orders,
        mut unsent: Unsent,
        in_volumes: bool,
    ) -> Result<(Unsent, Letter), Failure> {
        let letter = self.letter(told, &unsent)?;
        unsent.message_id.clone_from(&letter.message_id);
        let signature = self.wrapper.signature_room(&self.note.to);
        let (_, carried_bytes) = unsent.carried();
        unsent.mail_bytes = mail::size_bytes(&letter, carried_bytes, signature.as_deref())?;
        let limit = self.limit_bytes.filter(|limit| in_volumes && unsent.mail_bytes > *limit);
        if let Some(limit) = limit {
            let here = &told.identity.here.address;
            volumes::cut(&mut unsent, &letter, here, signature.as_deref(), limit)?;
        }
        Ok((unsent, letter))
    }

    /// Writes the letter of a package: the same at every attempt.
    fn letter(&self, told: &Orders, unsent: &Unsent) -> Result<Letter, Failure> {
        let session = self.view.session;
        let from = match &session.settings.from {
            Some(from) => parse_address(from)?,
            None => told.identity.here.address.clone(),
        };
        let made_s = i64::try_from(unsent.made_ms / 1000).unwrap_or(i64::MAX);
        let date = Timestamp::from_second(made_s)?.to_zoned(TimeZone::system());
        let to = told.identity.remotes[told.visit].address.clone();
        // What is in a sealed mail is not to be told by its digest either.
        let (sha256, _) = unsent.carried();
        let message_id = match unsent.message_id.as_str() {
            "" => message_id(&sha256, made_s, &from),
            known => known.to_owned(),
        };
        Ok(Letter {
            to,
            title: told.identity.title.clone(),
            serial: told.serial,
            visit: told.visit,
            files: told.members(),
            date,
            message_id,
            sha256,
            sealed: unsent.sealed.is_some(),
            unattended: !session.may_ask(),
            in_reply_to: Some(unsent.in_reply_to.clone()),
            volume: None,
            from,
        })
    }

    /// A package could not be made or noted: that is said.
    fn fail(&mut self, mut report: Report, failure: &Failure) {
        fail(&mut report, failure);
        self.reports.push(report);
    }
}

fn fail(report: &mut Report, failure: &Failure) {
    report.fate = Fate::Failed;
    report.error = Some(failure.what.clone());
    report.hint.clone_from(&failure.hint);
}

fn carried_rows(outgoing: &Outgoing) -> impl Iterator<Item = &OutgoingRow> {
    outgoing.rows.iter().filter(|row| row.with == With::Contents)
}

fn count_carried(outgoing: &Outgoing) -> usize {
    carried_rows(outgoing).count()
}

#[allow(clippy::disallowed_methods, reason = "the folder that a person named")]
fn carrier(session: &Session) -> Result<Box<dyn Carrier>, Failure> {
    match &session.options.to {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
            Ok(Box::new(FolderCarrier { dir: dir.clone() }))
        }
        None => session.carrier(),
    }
}
