//! Questions: how they arise, are judged anew, and are answered.
//!
//! The same question is never listed twice, a newer version of the same side takes the older
//! one's place, and what the table has come to answer is withdrawn.

use crate::model::knowledge::{Cell, Knowledge, Question, Row, Why, Word};
use crate::model::verdict::{Choice, Deletions, Place, Verdict};
use crate::model::version::{Content, History, Version};
use crate::model::{Questions, TreePath};

use super::brake;
use super::decide::{self, Lineage, adopt, create, decide, join, judge, overrule, trim_beside};

impl<'a> From<&'a Question> for Lineage<'a> {
    fn from(question: &'a Question) -> Lineage<'a> {
        Lineage::new(&question.version, &question.history)
    }
}

/// Lists a question, unless it is listed already or an open one covers it.
///
/// Returns whether it is listed now (and so its package has to be held). As with rows, the
/// histories are joined wherever one of two versions covers the other.
pub fn ask(knowledge: &mut Knowledge, mut question: Question) -> bool {
    // The same contents first: what they are together is held against the others. Then what covers
    // it, with it, is held against the rest: what only it would cover is not dropped for it.
    let mut is_listed = false;
    while let Some(mut open) = take_covering(&mut knowledge.questions, &question) {
        join_question(&mut open, &question);
        question = open;
        is_listed = true;
    }
    let path = question.path.clone();
    knowledge.questions.retain_on(&path, |open| {
        let is_older = decide(Some((&*open).into()), (&question).into()) == Verdict::Replace;
        if is_older {
            question.history.join(&open.history);
            question.history.remove(&question.version.ancestor());
        }
        !is_older
    });
    trim_beside(&mut question.history, knowledge.rows.get(&path));
    knowledge.questions.push(question);
    !is_listed
}

/// Takes off an open question that is about the same contents, else one that `question` is older
/// than.
fn take_covering(open: &mut Questions, question: &Question) -> Option<Question> {
    let is_same = |open: &Question| open.version.content == question.version.content;
    let is_newer = |open: &Question| {
        let verdict = decide(Some(open.into()), question.into());
        matches!(verdict, Verdict::Redundant | Verdict::Stale)
    };
    let path = &question.path;
    open.take(path, is_same).or_else(|| open.take(path, is_newer))
}

/// Joins what a remote tells of its version into the open questions about the same contents, which
/// are here: somebody may have chosen meanwhile. Whether one of them learnt anything.
pub fn hear(knowledge: &mut Knowledge, path: &TreePath, told: Lineage) -> bool {
    let mut is_news = false;
    knowledge.questions.retain_on(path, |open| {
        if open.version.content == told.version.content {
            let before = open.clone();
            let (version, history) = (*told.version, told.history.clone());
            join_question(open, &Question { version, history, ..before.clone() });
            trim_beside(&mut open.history, knowledge.rows.get(path));
            is_news |= *open != before;
        }
        true
    });
    is_news
}

/// What arrived is what an open question is about, or older: the question is about both, else what
/// only one of them descends from would be asked about beside it.
fn join_question(open: &mut Question, question: &Question) {
    let is_same = open.version.content == question.version.content;
    let mut older = question.version;
    if is_same && question.version.generation > open.version.generation {
        older = std::mem::replace(&mut open.version, question.version);
    }
    open.history.insert(older.ancestor());
    open.history.join(&question.history);
    open.history.remove(&open.version.ancestor());
    if is_same && open.lacks_contents() {
        let Question { remote, package, member, .. } = *question;
        (open.remote, open.package, open.member) = (remote, package, member);
    }
}

/// The package that a question is about is not here any more, as after a backup was restored: its
/// contents are asked for again, and the question waits for them.
///
/// What it is about is the remote's own word of then; whatever that said since counts more.
pub fn ask_again(knowledge: &mut Knowledge, question: &Question) {
    knowledge.questions.retain_on(&question.path, |open| {
        if open == question {
            open.member = None;
        }
        true
    });
    let remotes = knowledge.remotes.len();
    let cells = match knowledge.rows.get_mut(&question.path) {
        Some(row) => &mut row.cells,
        None => {
            let lacking = knowledge.lacking.entry(question.path.clone());
            lacking.or_insert_with(|| vec![Cell::default(); remotes])
        }
    };
    if let Some(cell) = cells.get_mut(question.remote) {
        let (version, history) = (question.version, question.history.clone());
        cell.word.get_or_insert(Word { version, history, serial: 0 });
        cell.asked_ms = 0;
    }
}

/// Returns the open questions on `path` with what the table says of each now; `counts` is where the
/// path lies for what arrived, and what deletions do there.
pub fn judge_anew(
    knowledge: &Knowledge,
    path: &TreePath,
    counts: &dyn Fn(&Lineage) -> (Place, Deletions),
) -> Vec<(Question, Verdict)> {
    let here = knowledge.rows.get(path).map(Lineage::of);
    let open = knowledge.questions.on(path);
    let judged = |question: &Question| {
        let arrived = question.into();
        let (place, deletions) = counts(&arrived);
        // What the brake held waits for a person, whatever the policy.
        let deletions = if question.why == Why::ManyDeletions { Deletions::Ask } else { deletions };
        match judge(here, arrived, place, deletions) {
            Verdict::Ask(Why::Deletion) => Verdict::Ask(brake::sticky(question.why)),
            verdict => verdict,
        }
    };
    open.map(|question| (question.clone(), judged(question))).collect()
}

/// Strikes a question off the list.
pub fn withdraw(knowledge: &mut Knowledge, question: &Question) {
    knowledge.questions.retain_on(&question.path, |open| open != question);
}

/// Records a settled verdict in the row; the file itself, if it was to change, has changed.
pub fn settle(
    knowledge: &mut Knowledge,
    path: &TreePath,
    arrived: Lineage,
    settled: Settled,
    now_ms: u64,
) -> bool {
    let stamp = knowledge.stamp();
    let remotes = knowledge.remotes.len();
    match (knowledge.rows.get_mut(path), settled) {
        (None, settled) => {
            // A deletion of what is not known here is known, wanted or not: older mail must not bring
            // the file. What could not be seen, and was kept, is newer than it.
            let is_there =
                settled == Settled::Arrived || arrived.version.content == Content::Absent;
            let new = if is_there { create } else { refused };
            knowledge.insert_row(path.clone(), new(arrived, remotes, stamp, now_ms));
            true
        }
        (Some(row), Settled::Arrived) if row.version.content != arrived.version.content => {
            adopt(row, arrived, stamp, now_ms)
        }
        (Some(row), _) => join(row, arrived, stamp, now_ms),
    }
}

/// Records a person's choice between what is here and what arrived; the file itself, if it was to
/// change, has changed.
///
/// The version not chosen joins the history. Where the version chosen is an ancestor of the other
/// (a deletion undone, or somebody chose oppositely before), the choice is a return to old contents,
/// and that is a new version: else two people who chose oppositely would be asked for ever.
pub fn choose(
    knowledge: &mut Knowledge,
    path: &TreePath,
    arrived: Lineage,
    choice: Choice,
    now_ms: u64,
) -> bool {
    let stamp = knowledge.stamp();
    // A refusal stays one: it is told to nobody.
    if let Some(row) = knowledge.rows.get_mut(path).filter(|row| row.version.generation > 0) {
        let is_undone = match choice {
            Choice::Keep => arrived.history.has_since(&row.version),
            Choice::Take => row.history.has_since(arrived.version),
        };
        if is_undone && row.version.content != arrived.version.content {
            overrule(row, arrived, choice, stamp, now_ms);
            return true;
        }
    }
    settle(knowledge, path, arrived, choice.into(), now_ms)
}

/// Records that a person merged what is here with what arrived into `content`, which is there now.
pub fn merge(
    knowledge: &mut Knowledge,
    path: &TreePath,
    arrived: Lineage,
    content: Content,
    now_ms: u64,
) {
    let stamp = knowledge.stamp();
    if !knowledge.rows.contains_key(path) {
        let row = knowledge.first_row(content, stamp);
        knowledge.insert_row(path.clone(), row);
    }
    if let Some(row) = knowledge.rows.get_mut(path) {
        decide::merge(row, arrived, content, stamp, now_ms);
    }
}

/// Returns the row of a file that was refused where nothing was: generation 0, never told to
/// anybody, so that the same file is neither asked for nor asked about again.
fn refused(arrived: Lineage, remotes: usize, stamp: u64, now_ms: u64) -> Row {
    let nothing = Version { generation: 0, content: Content::Absent };
    let mut row = create(Lineage::new(&nothing, &History::new()), remotes, stamp, now_ms);
    row.history = arrived.history.clone();
    row.history.insert(arrived.version.ancestor());
    row.history.trim(&[arrived.version.ancestor()].into());
    row
}

/// Which of the two versions is here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// What arrived (replace, create, take).
    Arrived,
    /// What was here (redundant, stale, keep).
    Stays,
}

impl From<Choice> for Settled {
    fn from(choice: Choice) -> Settled {
        match choice {
            Choice::Keep => Settled::Stays,
            Choice::Take => Settled::Arrived,
        }
    }
}
