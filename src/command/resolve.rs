//! `resolve`: a person's word on what waits.
//!
//! Which questions are meant, and carrying the answers out, for `process` at a terminal too. What
//! a merge is made of is in `merge`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::edge::queue::Queue;
use crate::edge::runs::RunLog;
use crate::edge::state::State;
use crate::edge::tree;
use crate::model::knowledge::{Question, Row};
use crate::model::limits::{PACKAGE_BYTES_MAX, PATH_PART_BYTES_MAX};
use crate::model::path::escaped;
use crate::model::project::{Format, Project};
use crate::model::run::{Event, Kind};
use crate::model::verdict::{Choice, Place};
use crate::model::version::{Content, Version};
use crate::model::{Signature, TreePath};
use crate::rules::classic;
use crate::rules::intent::chosen;
use crate::rules::observe::{Look, observe};
use crate::rules::reconcile::{Difference, Point};
use crate::rules::select::Selection;
use crate::rules::settle::ask_again;
use crate::rules::visit::{self, Answered, Hands, Put, Receipt, Source};

use super::grammar::Decision;
use super::ground::{Ground, look_at_disk, place_of};
use super::hands::{DiskHands, finish_removals};
use super::identity;
use super::keep::{keep_bases, tidy_up};
use super::merge::{End, merge};
use super::misnamed;
use super::open::OpenProject;
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell, tell_failure};
use super::process::{packages_asked_about, packages_left_to_person, retire_settled};
use super::session::Session;
use super::sides::{Arrivals, Desk};
use super::words::{address_of, label};

/// Answers made durable at once.
const BATCH: usize = 256;
/// The same for merges, whose texts are in memory: so many always find room there.
const MERGE_BATCH: usize = 16;
/// Names tried for a version that is put beside another.
const NAMES_MAX: u32 = 1_000;

/// Answers the questions that are named: files, `FILE:NUMBER`, wildcards, or by `--all` and
/// `--from`.
///
/// # Errors
/// Nothing is named, or the project cannot be opened.
pub fn resolve(
    session: &Session,
    words: &[OsString],
    decision: Decision,
) -> Result<Outcome, Failure> {
    let (from, is_all) = (session.options.from_site.as_deref(), session.options.all);
    if words.is_empty() && from.is_none() && !is_all {
        return Err(Failure::new("resolve takes files, or --all, or --from ADDRESS")
            .hinted("\"remsync pending\" lists what waits"));
    }
    let queue = session.queue()?;
    let _lock = queue.lock()?;
    let mut open = OpenProject::open(session, &session.project_directory()?)?;
    let runs = open.runs(Kind::Resolve, session.now_ms);
    let mut asked = packages_asked_about(&open);
    asked.extend(packages_left_to_person(&queue, &open)?);
    let misnamed = misnamed::questions(session, &queue, open.state.dir(), &open.project.identity)?;
    let (mut differences, words) = identity::named(&open, misnamed, words)?;
    if is_all && decision == Decision::Keep {
        // To leave all as it is here is safe; to take over what is meant one by one is not.
        differences = identity::open_differences(open.state.dir(), &open.project.identity)?;
    }
    let mut outcome = Outcome::Done;
    let names = differences.iter().filter(|difference| is_name(difference)).count();
    let points_before = identity::open_differences(open.state.dir(), &open.project.identity)?.len();
    for difference in differences.iter().filter(|_| !session.options.dry_run) {
        if let Err(failure) = identity::settle(session, &mut open, difference, decision) {
            tell_failure(&failure);
            outcome = outcome.and(Outcome::Failed);
        } else if is_name(difference) {
            tell("  \"remsync process\" takes the package now.");
        }
    }
    let chosen = select(&open.project, &words, from, is_all)?;
    for word in &chosen.missed {
        tell(format_args!("remsync: {word}: nothing is asked about it."));
        outcome = outcome.and(Outcome::Failed);
    }
    let given = give(&open.project, &chosen.questions, decision, &mut outcome);
    let before = open.project.knowledge.questions.len();
    if !session.options.dry_run {
        finish_removals(&open.ground, &runs)?;
        carry_out(session, &queue, &mut open, &runs, &given)?;
        runs.end()?;
        retire_settled(&queue, &mut open, &asked)?;
        open.state.finish(&open.project)?;
        tidy_up(session, &open);
    }
    let files_left = open.project.knowledge.questions.len();
    let points_left = identity::open_differences(open.state.dir(), &open.project.identity)?.len();
    let left = files_left + points_left;
    let settled = (before + points_before + names).saturating_sub(left);
    if session.options.json {
        answer_json(&json!({ "settled": settled, "left": left }));
    } else if !session.options.quiet {
        let settled = counted(settled, "question", "questions");
        let wait = if left == 1 { "waits" } else { "wait" };
        answer(format_args!("{settled} settled, {left} {wait} for you"));
    }
    Ok(outcome.and(if left > 0 { Outcome::Waits } else { Outcome::Done }))
}

/// Whether a package waits for the answer.
fn is_name(difference: &Difference) -> bool {
    matches!(difference.point, Point::Title(_) | Point::Here(_))
}

/// A person's answer to one question.
pub struct Given {
    /// The question.
    pub question: Question,
    /// What was decided.
    pub decision: Decision,
    /// The version of ours that the person was shown; `None` where there was no row.
    pub shown: Option<Version>,
}

/// The questions that words name.
pub struct Chosen<'p> {
    /// Which, in the order of the list.
    pub questions: Vec<&'p Question>,
    /// Words that name none, fit for a terminal.
    pub missed: Vec<String>,
}

/// Returns the questions that `words` name: a file, `FILE:NUMBER` where several are on it, or shell
/// wildcards on the whole path; one without a slash is also one on a file's own name. Only those
/// about versions `from` that site, if one is named. Without words all of those, or with `is_all`
/// every one.
///
/// # Errors
/// A wildcard that cannot be read, or a site that is no remote.
pub fn select<'p>(
    project: &'p Project,
    words: &[OsString],
    from: Option<&str>,
    is_all: bool,
) -> Result<Chosen<'p>, Failure> {
    let remote = match from {
        None => None,
        Some(from) => Some(remote_named(project, from)?),
    };
    let questions: Vec<&Question> = project.knowledge.questions.iter().collect();
    let mut on_file: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (at, question) in questions.iter().enumerate() {
        on_file.entry(question.path.as_bytes()).or_default().push(at);
    }
    let is_from = |question: &Question| remote.is_none_or(|remote| question.remote == remote);
    let mut named = BTreeSet::new();
    let mut missed = Vec::new();
    for word in words {
        let fits = fitting(&questions, &on_file, word.as_bytes())?;
        let fits = fits.into_iter();
        let mut found =
            fits.filter(|at| questions.get(*at).is_some_and(|it| is_from(it))).peekable();
        if found.peek().is_none() {
            missed.push(escaped(word.as_bytes()));
        }
        named.extend(found);
    }
    let is_every = is_all || words.is_empty() && remote.is_some();
    let is_chosen = |at: usize| is_every || named.contains(&at);
    let chosen = questions.into_iter().enumerate().filter(|(at, _)| is_chosen(*at));
    let questions = chosen.map(|(_, question)| question).filter(|it| is_from(it)).collect();
    Ok(Chosen { questions, missed })
}

/// Returns the remote of this address, or of this number from 1.
fn remote_named(project: &Project, word: &str) -> Result<usize, Failure> {
    let remotes = &project.identity.remotes;
    let lower = word.to_lowercase();
    let by_number = word.parse::<usize>().ok().filter(|n| (1..=remotes.len()).contains(n));
    let by_address = remotes.iter().position(|site| site.address.as_str() == lower);
    by_address.or(by_number.map(|number| number - 1)).ok_or_else(|| {
        Failure::new(format!("\"{word}\" is no remote of this project"))
            .hinted("\"remsync list remote\" lists them")
    })
}

/// Returns the places of the open questions that one word names.
fn fitting(
    questions: &[&Question],
    on_file: &BTreeMap<&[u8], Vec<usize>>,
    word: &[u8],
) -> Result<Vec<usize>, Failure> {
    let word = word.strip_prefix(b"./").unwrap_or(word);
    let on = |name: &[u8]| -> Vec<usize> { on_file.get(name).cloned().unwrap_or_default() };
    let exact = on(word);
    if !exact.is_empty() {
        return Ok(exact);
    }
    if let Some(at) = word.iter().rposition(|&byte| byte == b':')
        && let Some(number) = std::str::from_utf8(&word[at + 1..]).ok()
        && let Ok(number) = number.parse::<usize>()
        && let Some(question) =
            number.checked_sub(1).and_then(|at_file| on(&word[..at]).get(at_file).copied())
    {
        return Ok(vec![question]);
    }
    let pattern = Selection::compile(&[word.to_vec()], &[])?;
    let is_name = !word.contains(&b'/');
    let fits = |path: &TreePath| {
        let own_name = path.parts().next_back().and_then(|name| TreePath::new(name).ok());
        let is_inside = |path: &TreePath| pattern.place(path) == Ok(Place::Inside);
        is_inside(path) || is_name && own_name.is_some_and(|name| is_inside(&name))
    };
    let all = questions.iter().enumerate();
    Ok(all.filter(|(_, open)| fits(&open.path)).map(|(at, _)| at).collect())
}

/// Gives each question the decision, with what the person saw of ours; of several on one file only
/// one can be taken.
fn give(
    project: &Project,
    questions: &[&Question],
    decision: Decision,
    outcome: &mut Outcome,
) -> Vec<Given> {
    let mut on_file: BTreeMap<&TreePath, usize> = BTreeMap::new();
    for question in questions {
        *on_file.entry(&question.path).or_default() += 1;
    }
    let mut given = Vec::new();
    let mut told = BTreeSet::new();
    for question in questions {
        let path = &question.path;
        if decision == Decision::Take && on_file.get(path).is_some_and(|count| *count > 1) {
            if told.insert(path) {
                tell(format_args!("remsync: {path}: several versions wait: which?"));
                tell(format_args!(
                    "  hint: \"remsync resolve {path}:1 take\"; see \"remsync diff\""
                ));
                *outcome = outcome.and(Outcome::Failed);
            }
            continue;
        }
        let shown = project.knowledge.rows.get(path).map(|row| row.version);
        given.push(Given { question: (*question).clone(), decision, shown });
    }
    // As in a package: what goes makes way for what comes, and the deepest first.
    let (mut gone, there): (Vec<Given>, Vec<Given>) =
        given.into_iter().partition(|given| given.question.version.content == Content::Absent);
    gone.sort_by(|a, b| b.question.path.cmp(&a.question.path));
    gone.extend(there);
    gone
}

/// Carries out answers, durably, and tells what kept one from being done. Many are made durable
/// together: one that is lost in a crash is asked again, and finds its file in place.
pub fn carry_out(
    session: &Session,
    queue: &Queue,
    open: &mut OpenProject,
    runs: &RunLog,
    given: &[Given],
) -> Result<Receipt, Failure> {
    let is_merge = |given: &Given| given.decision == Decision::Merge;
    let batch = if given.iter().any(is_merge) { MERGE_BATCH } else { BATCH };
    let mut receipt = Receipt::default();
    for batch in given.chunks(batch) {
        let merged = batch.iter().filter(|given| is_merge(given)).map(|given| &given.question);
        if open.project.identity.format == Format::V2_0 {
            let taken = batch.iter().filter(|given| given.decision == Decision::Take);
            let taken = taken.map(|given| &given.question);
            open.state.intend(chosen(&open.project.knowledge, taken))?;
        }
        let mut answering = Answering {
            session,
            state: &open.state,
            ground: &open.ground,
            project: &mut open.project,
            runs,
            arrivals: Arrivals::read(queue, merged, PACKAGE_BYTES_MAX),
            hands: DiskHands::new(&open.ground, queue, runs)?,
            receipt: &mut receipt,
        };
        for given in batch {
            // The answer before may have settled this one too.
            if answering.project.knowledge.questions.contains(&given.question) {
                answering.answer(given)?;
            }
        }
        runs.sync()?;
        open.ground.root.sync_touched()?;
        let touched = std::mem::take(&mut receipt.touched);
        open.state.commit(&open.project, &touched)?;
        open.state.settle_intent(|path| touched.contains(path))?;
        keep_bases(session, open, &touched);
    }
    Ok(receipt)
}

/// A batch of answers being carried out; each package is unpacked once.
struct Answering<'a> {
    session: &'a Session,
    state: &'a State,
    ground: &'a Ground,
    project: &'a mut Project,
    runs: &'a RunLog,
    arrivals: Arrivals,
    hands: DiskHands<'a>,
    receipt: &'a mut Receipt,
}

impl Answering<'_> {
    fn answer(&mut self, given: &Given) -> Result<(), Failure> {
        let Given { question, decision, .. } = given;
        let label = label(&self.project.knowledge, question);
        let from = address_of(self.project, question).to_owned();
        let answered = match decision {
            Decision::Keep => self.choose(given, Choice::Keep),
            Decision::Take => self.choose(given, Choice::Take),
            Decision::Both => self.both(given),
            Decision::Merge => self.join(given)?,
        };
        match answered {
            Answered::Done => {
                let (path, answer) = (question.path.clone(), decision.name().to_owned());
                self.runs.note(&Event::Answer { path, answer, from })?;
                if *decision == Decision::Keep && question.version.content == Content::Absent {
                    self.tell_kept(question);
                }
            }
            Answered::ChangedMeanwhile => tell(format_args!(
                "remsync: {label}: it changed meanwhile; look again and answer again."
            )),
            Answered::InTheWay => self.tell_in_the_way(&label, &question.path),
            Answered::Gone => self.tell_gone(&label, &from),
            Answered::Failed(why) => tell(format_args!("remsync: {label}: {why}.")),
        }
        Ok(())
    }

    /// Says what is in the way of an answer, and what frees it.
    fn tell_in_the_way(&self, label: &str, path: &TreePath) {
        let above = self.in_the_way_above(path);
        match (&above, self.ground.root.look(path, self.ground.format)) {
            (Some(above), _) => tell(format_args!("remsync: {label}: {above} is no folder.")),
            (None, tree::Look::NotKnown(what)) => {
                tell(format_args!("remsync: {label}: what is here is {what}."));
            }
            (None, _) => tell(format_args!("remsync: {label}: something was in the way.")),
        }
        tell(format_args!(
            "  hint: move \"{}\" away and answer again; \"keep\" leaves what is here.",
            above.as_ref().unwrap_or(path)
        ));
    }

    /// Returns what is no folder and would have to be one.
    fn in_the_way_above(&self, path: &TreePath) -> Option<TreePath> {
        let is_none = |folder: &TreePath| {
            matches!(self.look(folder), Look::Is(Content::File(_)) | Look::NotKnown(_))
        };
        path.folders().filter(is_none).last()
    }

    /// Says that the contents are gone, and how they come again.
    fn tell_gone(&self, label: &str, from: &str) {
        tell(format_args!("remsync: {label}: its package is not in the queue any more."));
        match self.project.identity.format {
            Format::V2_0 => tell(format_args!(
                "  hint: \"remsync broadcast\" asks {from} for it again, and the question waits until \
                 it comes; \"keep\" does not need it."
            )),
            Format::V1_3 => tell(format_args!(
                "  hint: \"remsync -i broadcast {from}\" tells what is here, and what that site sends \
                 next brings its own; \"keep\" does not need it."
            )),
        }
    }

    /// Says what refusing a deletion does at the others.
    fn tell_kept(&self, question: &Question) {
        let row = self.project.knowledge.rows.get(&question.path);
        if row.is_some_and(|row| row.version.content != Content::Absent) {
            tell(format_args!(
                "remsync: {}: it stays, and the next broadcast brings it back where it was deleted.",
                question.path
            ));
        }
    }

    /// Keeps or takes.
    fn choose(&mut self, given: &Given, choice: Choice) -> Answered {
        let answer = match self.project.identity.format {
            Format::V2_0 => visit::answer,
            Format::V1_3 => classic::answer,
        };
        let it = as_answer(self.session, given, choice);
        answer(&mut self.project.knowledge, &mut self.hands, &it, self.receipt)
    }

    /// Puts what arrived beside what is here, which is kept.
    fn both(&mut self, given: &Given) -> Answered {
        let question = &given.question;
        let Content::File(arrived) = question.version.content else {
            return Answered::Failed("it was deleted there: \"keep\" it or \"take\" that".into());
        };
        if self.ground.root.is_absent(&question.path) {
            return Answered::Failed("there is none here: \"take\" brings it back".into());
        }
        if self.in_the_way_above(&question.path).is_some() {
            return Answered::InTheWay;
        }
        let from = address_of(self.project, question).to_owned();
        let Some(beside) = self.beside(&question.path, &from, arrived) else {
            return Answered::Failed("no free name beside it was found".into());
        };
        let source = Source { package: question.package, member: question.member };
        if self.look(&beside) == Look::Is(Content::Absent) {
            match self.hands.put(&beside, &question.version, source, Content::Absent) {
                Put::Done => self.receipt.created += 1,
                Put::Changed => return Answered::ChangedMeanwhile,
                Put::InTheWay => return Answered::InTheWay,
                Put::Gone => return self.gone(question),
                Put::Failed(why) => return Answered::Failed(why),
            }
        }
        let travels = self.enter(&beside);
        let answered = self.choose(given, Choice::Keep);
        if answered == Answered::Done && !self.session.options.quiet {
            let note =
                if travels { "" } else { "; it does not travel: ignored, or outside the scans" };
            tell(format_args!("remsync: {}: the other one is {beside}{note}.", question.path));
        }
        answered
    }

    /// What a question is about is not here any more, and has to come again.
    fn gone(&mut self, question: &Question) -> Answered {
        if self.project.identity.format == Format::V2_0 {
            ask_again(&mut self.project.knowledge, question);
            self.receipt.touched.insert(question.path.clone());
        }
        Answered::Gone
    }

    /// Makes one version of both.
    fn join(&mut self, given: &Given) -> Result<Answered, Failure> {
        let question = &given.question;
        // What is merged is what is here now: a merge never loses what it did not know of.
        self.enter_if_changed(question);
        let shown = self.project.knowledge.rows.get(&question.path).map(|row| row.version);
        let given = &Given { question: question.clone(), decision: given.decision, shown };
        let source = Source { package: question.package, member: question.member };
        if question.version.content != Content::Absent && self.hands.is_gone(source) {
            return Ok(self.gone(question));
        }
        let desk = Desk::new(self.ground, &self.project.knowledge, &self.arrivals)?;
        let sides = desk.sides(question);
        let end = merge(self.session, self.state, self.project, question, &sides)?;
        let (bytes, executable) = match end {
            End::Same(choice) => return Ok(self.choose(given, choice)),
            End::Both(why) => {
                tell(format_args!("remsync: {}: {why}: both are kept.", question.path));
                return Ok(self.both(given));
            }
            End::Stays(why) => return Ok(Answered::Failed(why)),
            End::Made { bytes, executable } => (bytes, executable),
        };
        let (source, signature) = self.hands.hold_bytes(&bytes, executable, self.session.now_ms)?;
        let carry = match self.project.identity.format {
            Format::V2_0 => visit::merge,
            Format::V1_3 => classic::merge,
        };
        let it = as_answer(self.session, given, Choice::Keep);
        let (knowledge, merged) = (&mut self.project.knowledge, Content::File(signature));
        Ok(carry(knowledge, &mut self.hands, &it, merged, source, self.receipt))
    }

    /// Brings the row up to date before a merge; what is here may be a merge that was killed before
    /// it was noted.
    fn enter_if_changed(&mut self, question: &Question) {
        let row = self.project.knowledge.rows.get(&question.path);
        let known = row.map(|row| row.version.content);
        if let Look::Is(disk) = self.look(&question.path)
            && known.is_some_and(|known| known != disk)
            && disk != question.version.content
        {
            observe_in(self.project, &question.path, disk, self.session.now_ms);
            self.receipt.touched.insert(question.path.clone());
        }
    }

    /// Enters what is on the disk at a path as a version of ours; whether it belongs to the
    /// project.
    fn enter(&mut self, path: &TreePath) -> bool {
        let place = place_of(&self.ground.selection, path);
        let is_inside = matches!(place, Place::Inside | Place::Sensitive);
        if let (true, Look::Is(disk)) = (is_inside, self.look(path)) {
            observe_in(self.project, path, disk, self.session.now_ms);
            self.receipt.touched.insert(path.clone());
        }
        is_inside
    }

    /// Returns a name for a version from another site, beside the file: `name.from-ADDRESS.ext`,
    /// with a number if that is taken. One where just this version lies already is as good: an
    /// answer that was killed half way is given again.
    fn beside(&self, path: &TreePath, from: &str, arrived: Signature) -> Option<TreePath> {
        let knowledge = &self.project.knowledge;
        let is_file = |row: &Row| row.version.content != Content::Absent;
        (1..=NAMES_MAX).find_map(|number| {
            let name = TreePath::new(&name_beside(path.as_bytes(), from, number)?).ok()?;
            let is_known = knowledge.rows.get(&name).is_some_and(is_file)
                || knowledge.lacking.contains_key(&name);
            match self.look(&name) {
                Look::Is(Content::Absent) if !is_known => Some(name),
                // A sum is not enough to tell that it is the same.
                Look::Is(Content::File(there)) => {
                    (there == arrived && matches!(there, Signature::Sha256 { .. })).then_some(name)
                }
                _ => None,
            }
        })
    }

    fn look(&self, path: &TreePath) -> Look {
        look_at_disk(&self.ground.root, self.ground.format, path)
    }
}

fn as_answer<'g>(session: &Session, given: &'g Given, choice: Choice) -> visit::Answer<'g> {
    visit::Answer {
        question: &given.question,
        choice,
        shown: given.shown,
        deletions: session.deletions(),
        now_ms: session.now_ms,
    }
}

/// Enters what is on the disk for one path, by the rules of the project's format.
pub fn observe_in(project: &mut Project, path: &TreePath, disk: Content, now_ms: u64) {
    match project.identity.format {
        Format::V2_0 => {
            observe(&mut project.knowledge, path, disk, now_ms);
        }
        Format::V1_3 => classic::observe(&mut project.knowledge, path, disk),
    }
}

/// Returns `folder/name.from-ADDRESS.ext`, or from the second on `folder/name.from-ADDRESS-2.ext`,
/// shortened from the end of `name` where a part of a path may not be so long.
fn name_beside(path: &[u8], from: &str, number: u32) -> Option<Vec<u8>> {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at_checked(start)?;
    // A name that begins with its only dot has no ending.
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|at| *at > 0);
    let (stem, ending) = name.split_at_checked(dot.unwrap_or(name.len()))?;
    let number = if number > 1 { format!("-{number}") } else { String::new() };
    let mark = format!(".from-{from}{number}");
    let (ending, stem) = match PATH_PART_BYTES_MAX.checked_sub(mark.len() + ending.len()) {
        Some(room) => (ending, shortened(stem, room)),
        None => (&b""[..], shortened(stem, PATH_PART_BYTES_MAX.checked_sub(mark.len())?)),
    };
    Some([folder, stem, mark.as_bytes(), ending].concat())
}

/// Cuts bytes off the end, but none out of the middle of a character.
fn shortened(name: &[u8], bytes_max: usize) -> &[u8] {
    let mut end = name.len().min(bytes_max);
    while end < name.len() && end > 0 && name.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside() {
        let long = "n".repeat(250);
        let table: &[(&str, u32, String)] = &[
            ("a/chart.txt", 1, "a/chart.from-b@x.txt".into()),
            ("chart.tar.gz", 1, "chart.tar.from-b@x.gz".into()),
            ("chart", 2, "chart.from-b@x-2".into()),
            (".profile", 1, ".profile.from-b@x".into()),
            ("a.d/b", 1, "a.d/b.from-b@x".into()),
            (&format!("{long}.txt"), 1, format!("{}.from-b@x.txt", &long[..242])),
            (&format!("n.{long}"), 1, "n.from-b@x".into()),
        ];
        for (path, number, name) in table {
            let got = name_beside(path.as_bytes(), "b@x", *number).unwrap();
            assert!(got.rsplit(|b| *b == b'/').next().unwrap().len() <= PATH_PART_BYTES_MAX);
            assert_eq!(String::from_utf8(got).unwrap(), *name, "{path}");
        }
        let umlauts = "\u{e4}".repeat(125) + ".txt";
        let got = name_beside(umlauts.as_bytes(), "b@x", 1).unwrap();
        assert!(String::from_utf8(got).is_ok(), "no character is cut in two");
        assert_eq!(name_beside(b"f", &"a".repeat(320), 1), None);
    }
}
