//! The rules of format 1.3: their tables row by row, and a small world of bad mail that tells
//! whether anything was replaced by what does not descend from it.

use std::collections::BTreeMap;

use super::*;
use crate::model::project::{Format, Identity};
use crate::model::{Address, Site};
use crate::rules::learn::Route;

const SELF: [u8; 32] = [7; 32];

fn sum(sum: u16) -> Content {
    Content::File(Signature::Sum(sum))
}

fn holds(sum: u16) -> Belief {
    Belief::Holds(Signature::Sum(sum))
}

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

/// A tree in memory; what is put there has the sum of its version.
#[derive(Default)]
struct Tree {
    files: BTreeMap<TreePath, Content>,
    is_twin: bool,
}

impl Hands for Tree {
    fn place_of(&mut self, _: &TreePath) -> Place {
        Place::Inside
    }
    fn look(&mut self, path: &TreePath) -> Look {
        let mut files = self.files.iter().filter(|(_, content)| **content != Content::Absent);
        if files.any(|(other, _)| other.is_below(path) || path.is_below(other)) {
            return Look::Barred;
        }
        Look::Is(self.files.get(path).copied().unwrap_or(Content::Absent))
    }
    fn same_bytes(&mut self, _: &TreePath, _: Source) -> bool {
        !self.is_twin
    }
    fn put(&mut self, path: &TreePath, version: &Version, _: Source, expected: Content) -> Put {
        if self.look(path) != Look::Is(expected) {
            return Put::Changed;
        }
        self.files.insert(path.clone(), version.content);
        Put::Done
    }
}

/// A project with the remotes 0 (the originator of what comes) and 1.
struct Site3 {
    knowledge: Knowledge,
    tree: Tree,
}

impl Site3 {
    /// One file `f`, in step with both by their own word.
    fn new(here: u16, beliefs: [Belief; 2]) -> Site3 {
        let mut site = Site3 { knowledge: Knowledge::new(2), tree: Tree::default() };
        site.file("f", here, beliefs);
        site
    }

    fn file(&mut self, name: &str, here: u16, beliefs: [Belief; 2]) {
        self.tree.files.insert(path(name), sum(here));
        see(&mut self.knowledge, &path(name), sum(here));
        for (cell, belief) in self.row(name).cells.iter_mut().zip(beliefs) {
            believe_word(cell, belief);
        }
    }

    fn row(&mut self, name: &str) -> &mut Row {
        self.knowledge.rows.get_mut(&path(name)).unwrap()
    }

    fn beliefs(&mut self, name: &str) -> [Belief; 2] {
        [self.row(name).cells[0].belief, self.row(name).cells[1].belief]
    }

    /// Reads a package of remote 0, which is to us and to remote 1.
    fn read(&mut self, package: u8, rows: Vec<OrderRow>) -> Receipt {
        let orders = package_orders(rows);
        let route = Route { from: 0, copy: vec![None, Some(1)] };
        let circumstances = Visit {
            orders: &orders,
            route: &route,
            package: [package; 32],
            deletions: Default::default(),
            now_ms: 1,
        };
        visit(&mut self.knowledge, &mut self.tree, &circumstances)
    }

    fn answer(&mut self, choice: Choice) -> Answered {
        let question = self.knowledge.questions.first().unwrap().clone();
        let shown = self.knowledge.rows.get(&question.path).map(|row| row.version);
        let given =
            Answer { question: &question, choice, shown, deletions: Default::default(), now_ms: 1 };
        answer(&mut self.knowledge, &mut self.tree, &given, &mut Receipt::default())
    }
}

fn package_orders(rows: Vec<OrderRow>) -> Orders {
    let site = |name: &str| Site { address: Address::new(name).unwrap(), directory: None };
    let identity = Identity {
        format: Format::V1_3,
        title: "t".into(),
        here: site("a@a"),
        remotes: vec![site("b@b"), site("d@d")],
        scans: Vec::new(),
        hosts: Vec::new(),
        ignores: Vec::new(),
    };
    Orders {
        is_oldest: false,
        identity,
        visit: 0,
        copy: vec![0, 1],
        serial: 0,
        since: None,
        seen: None,
        want_all: false,
        wants: Vec::new(),
        rows,
    }
}

fn tell(name: &str, told: Content, columns: [Belief; 2]) -> OrderRow {
    OrderRow {
        path: path(name),
        version: live(told),
        history: History::new(),
        columns: columns.to_vec(),
        act: Act::Tell,
    }
}

fn update(name: &str, told: u16, columns: [Belief; 2]) -> OrderRow {
    let act = Act::Update { expected: columns[0], member: 1 };
    OrderRow { act, ..tell(name, sum(told), columns) }
}

#[test]
fn the_table_of_decide() {
    let unknown = Belief::Unknown;
    let table = [
        ("not here, not expected", unknown, Content::Absent, Verdict::Create),
        ("not here, known not to be", Belief::Absent, Content::Absent, Verdict::Create),
        ("it has disappeared", holds(1), Content::Absent, Verdict::Ask(Why::DeletedHere)),
        ("contested, not here", Belief::Contested, Content::Absent, Verdict::Ask(Why::DeletedHere)),
        ("as expected", holds(1), sum(1), Verdict::Replace),
        ("there already", unknown, sum(2), Verdict::Redundant),
        ("there already, otherwise expected", holds(1), sum(2), Verdict::Redundant),
        ("there already, contested", Belief::Contested, sum(2), Verdict::Redundant),
        ("local changes", holds(1), sum(3), Verdict::Ask(Why::Conflict)),
        ("unexpected preexisting file", unknown, sum(3), Verdict::Ask(Why::Conflict)),
        ("preexisting, thought absent", Belief::Absent, sum(3), Verdict::Ask(Why::Conflict)),
        ("contested", Belief::Contested, sum(3), Verdict::Ask(Why::Conflict)),
        ("666 is no sum", Belief::Contested, sum(666), Verdict::Ask(Why::Conflict)),
    ];
    for (name, expected, here, want) in table {
        assert_eq!(decide(expected, here, sum(2)), want, "{name}");
    }
}

/// The columns of the other receivers: gnu's table, with the repairs.
#[test]
fn the_table_of_learn() {
    let (unknown, contested) = (Belief::Unknown, Belief::Contested);
    let table = [
        ("as we thought", holds(1), holds(1), holds(2)),
        ("we knew nothing", holds(1), unknown, holds(2)),
        ("we knew that it has none", holds(1), Belief::Absent, holds(2)),
        ("nobody knew", unknown, unknown, holds(2)),
        ("it had none for both", unknown, Belief::Absent, holds(2)),
        ("it has the new one already", holds(1), holds(2), holds(2)),
        ("we know more", unknown, holds(1), holds(1)),
        ("contradiction", holds(1), holds(3), contested),
        ("contested for both", contested, contested, holds(2)),
        ("contested for it", contested, holds(3), contested),
        ("contested for us", holds(1), contested, contested),
    ];
    for (name, column, believed, want) in table {
        let mut site = Site3::new(1, [holds(1), believed]);
        site.row("f").cells[1].belief = believed;
        for _ in 0..2 {
            site.read(1, vec![update("f", 2, [holds(1), column])]);
            assert_eq!(site.beliefs("f"), [holds(2), want], "{name}");
        }
        assert_eq!(site.tree.files[&path("f")], sum(2), "{name}");
    }
}

#[test]
fn the_guard() {
    let table = [
        // here, what a last said, what was sent to it since, what a says: the belief after
        ("in step", 1, holds(1), None, 1, holds(1)),
        ("its package was lost", 1, holds(1), None, 2, Belief::Contested),
        ("our edit waits", 3, holds(1), None, 1, holds(1)),
        ("ours has not arrived", 3, holds(1), Some(3), 1, holds(1)),
        ("ours crossed a lost one", 3, holds(1), Some(3), 2, Belief::Contested),
        ("ours arrived", 3, holds(1), Some(3), 3, holds(3)),
        ("contested stays so", 1, Belief::Contested, None, 2, Belief::Contested),
        ("contested, ours sent", 1, Belief::Contested, Some(1), 2, Belief::Contested),
        ("contested, ours taken", 1, Belief::Contested, Some(1), 1, holds(1)),
    ];
    for (name, here, word, sent, told, want) in table {
        let mut site = Site3::new(here, [word, holds(9)]);
        if let Some(sent) = sent {
            believe_sent(&mut site.row("f").cells[0], live(sum(sent)), 5, 1);
        }
        for package in 0..2 {
            let package = site.read(package, vec![tell("f", sum(told), [holds(told), holds(9)])]);
            assert!(package.questions.is_empty(), "{name}");
            assert_eq!(site.beliefs("f")[0], want, "{name}");
        }
        assert_eq!(site.tree.files[&path("f")], sum(here), "{name}: nothing is touched");
    }
    // The whole row: what a third site has of it is as doubtful.
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.read(1, vec![tell("f", sum(2), [holds(2), holds(2)])]);
    assert_eq!(site.beliefs("f"), [Belief::Contested; 2]);
}

#[test]
fn inventories() {
    let unknown = Belief::Unknown;
    let table = [
        ("everything is new to it", vec![tell("f", sum(1), [unknown; 2])], true),
        (
            "one of two",
            vec![tell("f", sum(1), [holds(1), unknown]), tell("g", sum(2), [holds(1); 2])],
            true,
        ),
        ("in step", vec![tell("f", sum(1), [holds(1), unknown])], false),
        ("with contents", vec![update("f", 1, [unknown; 2])], false),
        ("a row that rests", vec![tell("f", Content::Absent, [unknown; 2])], false),
        ("nothing", vec![], false),
    ];
    for (name, rows, want) in table {
        assert_eq!(is_inventory(&package_orders(rows)), want, "{name}");
    }
    let mut site = Site3::new(1, [Belief::Unknown, Belief::Unknown]);
    site.read(1, vec![tell("f", sum(2), [Belief::Unknown; 2])]);
    assert_eq!(site.beliefs("f"), [holds(2), Belief::Unknown], "only a's own word");
}

#[test]
fn missing_files() {
    let other = || tell("other", sum(5), [holds(5), holds(5)]);
    // what is here, listed by a, what a is believed to have; the question, the belief after
    let table = [
        ("deleted there", true, holds(1), Some(Why::Deletion), holds(1)),
        ("and changed here", true, holds(3), Some(Why::DeletedThere), holds(3)),
        ("only sent there", false, holds(1), None, Belief::Absent),
        ("never there", false, Belief::Unknown, None, Belief::Unknown),
        ("known to be gone", true, Belief::Absent, None, Belief::Absent),
    ];
    for (name, listed, belief, why, after) in table {
        let mut site = Site3::new(1, [belief, Belief::Unknown]);
        site.row("f").cells[0].listed = listed;
        let receipt = site.read(1, vec![other()]);
        let asked: Vec<Why> = receipt.questions.iter().map(|(_, why)| *why).collect();
        assert_eq!(asked, Vec::from_iter(why), "{name}");
        assert_eq!(site.beliefs("f")[0], after, "{name}");
        assert_eq!(site.tree.files[&path("f")], sum(1), "{name}: never unattended");
    }
    let mut site = Site3::new(1, [holds(1), Belief::Unknown]);
    assert!(site.read(1, vec![]).questions.is_empty(), "no check at all says nothing");
    site.read(2, vec![other()]);
    assert_eq!(site.answer(Choice::Keep), Answered::Done);
    assert_eq!(site.beliefs("f")[0], Belief::Absent, "it is sent back, expecting nothing");
    assert!(site.read(3, vec![other()]).questions.is_empty(), "and not asked again");
}

#[test]
fn what_is_in_the_way_is_no_file() {
    let in_the_way = |name: &str, files: &[(&str, u16)]| {
        // Of a file in the way the originator knows nothing.
        let believed = if name == "f" { holds(1) } else { Belief::Unknown };
        let mut site = Site3::new(1, [believed, holds(1)]);
        site.tree.files = files.iter().map(|(name, content)| (path(name), sum(*content))).collect();
        let columns = if name == "f" { [holds(1); 2] } else { [Belief::Unknown; 2] };
        let receipt =
            site.read(1, vec![update(name, 2, columns), tell("other", sum(5), [holds(5); 2])]);
        (site, receipt.questions)
    };
    let (mut site, asked) = in_the_way("f", &[("f/x", 9)]);
    assert_eq!(asked, [(path("f"), Why::InTheWay)]);
    assert!(!is_untold(site.row("f")), "nobody said yet that it is deleted");
    assert_eq!(site.answer(Choice::Take), Answered::InTheWay);
    assert_eq!(site.answer(Choice::Keep), Answered::Done);
    assert!(is_untold(site.row("f")), "a person did");
    assert_eq!(site.beliefs("f")[0], holds(2));
    // What was moved out of the way is gone.
    let (mut site, asked) = in_the_way("f/x", &[]);
    assert_eq!((asked.len(), site.tree.files[&path("f/x")]), (0, sum(2)));
    assert!(is_untold(site.row("f")));
    // What is asked about goes with the file there, where there is none here.
    let (mut site, asked) = in_the_way("f/x", &[("f", 1)]);
    assert_eq!(asked, [(path("f/x"), Why::InTheWay)]);
    site.read(2, vec![tell("f", sum(1), [holds(1); 2])]);
    assert!(site.knowledge.questions.is_empty());
    // What is gone there, and no file here, is gone.
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.tree.files = [(path("f/x"), sum(9))].into();
    assert!(site.read(1, vec![tell("other", sum(5), [holds(5); 2])]).questions.is_empty());
    assert!(is_untold(site.row("f")));
    assert_eq!(site.beliefs("f")[0], Belief::Absent);
}

/// A row that rests is listed, or it would count as deleted; it says what the receiver has already.
#[test]
fn a_row_that_rests_says_nothing() {
    let mut site = Site3::new(1, [holds(3), holds(4)]);
    rest(&mut site.knowledge, [&path("f")]);
    let outgoing = Outgoing {
        remote: 0,
        serial: 1,
        since: None,
        seen: None,
        want_all: false,
        wants: Vec::new(),
        rows: vec![OutgoingRow { path: path("f"), with: With::Nothing }],
    };
    let identity = package_orders(vec![]).identity;
    let told = &orders(&identity, &site.knowledge, &outgoing, &[0, 1]).rows;
    assert_eq!(*told, [tell("f", sum(3), [holds(3), Belief::Unknown])]);
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.read(1, vec![tell("f", Content::Absent, [Belief::Unknown; 2])]);
    assert_eq!(site.beliefs("f"), [holds(1), holds(1)]);
}

/// It has one file of ours, so it had the other that went with it.
#[test]
fn what_went_with_what_is_there_was_there() {
    for (serial, asked) in [(9, 1), (8, 0)] {
        let mut site = Site3::new(1, [Belief::Unknown; 2]);
        site.file("g", 2, [Belief::Unknown; 2]);
        for (name, content, serial) in [("f", 1, 9), ("g", 2, serial)] {
            believe_sent(&mut site.row(name).cells[0], live(sum(content)), serial, 1);
        }
        let receipt = site.read(1, vec![tell("f", sum(1), [holds(1); 2])]);
        assert_eq!(receipt.questions.len(), asked, "g went with {serial}");
    }
}

#[test]
fn what_a_held_package_told_is_not_learnt_again() {
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.file("g", 3, [holds(1), holds(1)]);
    site.file("h", 4, [holds(4), holds(4)]);
    // It asks about g, tells of f, and lists h no more.
    let held = vec![tell("f", sum(2), [Belief::Unknown; 2]), update("g", 2, [holds(1); 2])];
    assert_eq!(site.read(7, held.clone()).questions.len(), 2);
    assert_eq!(site.beliefs("f")[0], holds(2));
    let newer = [("f", 5), ("g", 2), ("h", 5)];
    site.read(8, newer.map(|(name, told)| tell(name, sum(told), [Belief::Unknown; 2])).into());
    assert_eq!(site.read(7, held).questions.len(), 1, "g alone is asked about still");
    assert_eq!([site.beliefs("f")[0], site.beliefs("h")[0]], [holds(5); 2]);
}

#[test]
fn a_question_that_its_site_has_answered_is_withdrawn() {
    for (told, is_open) in [(3, false), (2, true)] {
        let mut site = Site3::new(3, [holds(1), holds(1)]);
        assert_eq!(site.read(1, vec![update("f", 2, [holds(1); 2])]).questions.len(), 1);
        site.read(2, vec![tell("f", sum(told), [holds(3); 2])]);
        assert_eq!(!site.knowledge.questions.is_empty(), is_open, "{told}");
    }
}

#[test]
fn a_package_is_settled_once() {
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.file("g", 3, [holds(1), holds(1)]);
    let rows = vec![update("f", 2, [holds(1); 2]), update("g", 2, [holds(1); 2])];
    assert_eq!(site.read(7, rows.clone()).questions, [(path("g"), Why::Conflict)]);
    // Put back by a person, who need not have been asked.
    site.tree.files.insert(path("f"), sum(1));
    let again = site.read(7, rows.clone());
    assert_eq!((again.replaced, again.questions.len()), (0, 1));
    assert_eq!(site.tree.files[&path("f")], sum(1));
    assert_eq!(site.knowledge.questions.len(), 1, "the same question is not listed twice");
    assert_eq!(site.answer(Choice::Take), Answered::Done);
    site.tree.files.insert(path("g"), sum(1));
    assert_eq!(site.read(7, rows).replaced, 0);
    assert!(forget_settled(&mut site.knowledge, &|package| *package != SELF));
    assert!(site.knowledge.settled.is_empty());
}

#[test]
fn twins_are_asked_and_kept_apart() {
    for (choice, want) in [(Choice::Keep, Belief::Contested), (Choice::Take, holds(2))] {
        let mut site = Site3::new(2, [holds(1), holds(1)]);
        site.tree.is_twin = true;
        let receipt = site.read(1, vec![update("f", 2, [holds(1); 2])]);
        assert_eq!((receipt.redundant, receipt.questions.len()), (0, 1));
        assert_eq!(site.answer(choice), Answered::Done);
        assert_eq!(site.beliefs("f")[0], want, "{choice:?}");
    }
}

#[test]
fn what_changed_since_it_was_shown_is_not_overwritten() {
    let mut site = Site3::new(3, [holds(1), holds(1)]);
    site.read(1, vec![update("f", 2, [holds(1); 2])]);
    site.tree.files.insert(path("f"), sum(4));
    assert_eq!(site.answer(Choice::Take), Answered::ChangedMeanwhile);
    assert_eq!(site.answer(Choice::Take), Answered::Done, "seen now");
    assert_eq!(site.tree.files[&path("f")], sum(2));
}

#[test]
fn what_came_back_is_believed_as_before() {
    let plan_for = |knowledge: &Knowledge| {
        let named = Named::Everybody;
        let request = Request { now_ms: 1000, resend_after_ms: 0, what: What::Contents, named };
        plan(knowledge, 0, &request, &|_| false)
    };
    let accept = |knowledge: &mut Knowledge, plan: &Outgoing| {
        let told = orders(&package_orders(Vec::new()).identity, knowledge, plan, &[0, 1]);
        accepted(knowledge, plan.remote, plan.serial, &told, 1000)
    };
    for before in [holds(1), Belief::Absent, Belief::Unknown] {
        let mut site = Site3::new(3, [before, holds(3)]);
        let outgoing = plan_for(&site.knowledge).unwrap();
        accept(&mut site.knowledge, &outgoing);
        assert_eq!(site.beliefs("f"), [holds(3), holds(3)]);
        assert_eq!(plan_for(&site.knowledge), None, "on its way");
        assert!(take_back(&mut site.knowledge, 0, outgoing.serial + 1).is_empty());
        assert!(take_back(&mut site.knowledge, 1, outgoing.serial).is_empty());
        assert_eq!(plan_for(&site.knowledge), None, "another's");
        assert_eq!(take_back(&mut site.knowledge, 0, outgoing.serial), [path("f")].into());
        assert_eq!(site.beliefs("f"), [before, holds(3)]);
        let again = plan_for(&site.knowledge).unwrap();
        accept(&mut site.knowledge, &again);
        assert!(take_back(&mut site.knowledge, 0, outgoing.serial).is_empty(), "said twice");
        assert_eq!(plan_for(&site.knowledge), None);
    }
    // What the site itself said since stays.
    let mut site = Site3::new(3, [holds(1), holds(3)]);
    let outgoing = plan_for(&site.knowledge).unwrap();
    accept(&mut site.knowledge, &outgoing);
    site.read(1, vec![tell("f", sum(3), [holds(3), holds(3)])]);
    assert!(take_back(&mut site.knowledge, 0, outgoing.serial).is_empty());
    assert_eq!(site.beliefs("f")[0], holds(3));
    // A deletion is told by what is not listed, and its row is gone: one more package tells it.
    let mut site = Site3::new(1, [holds(1), Belief::Unknown]);
    site.file("g", 1, [holds(1), holds(1)]);
    site.tree.files.remove(&path("f"));
    see(&mut site.knowledge, &path("f"), Content::Absent);
    let outgoing = plan_for(&site.knowledge).unwrap();
    for remote in [0, 1] {
        accept(&mut site.knowledge, &Outgoing { remote, ..outgoing.clone() });
    }
    assert_eq!((site.knowledge.rows.len(), plan_for(&site.knowledge)), (1, None));
    let serial = site.knowledge.remotes[0].last;
    take_back(&mut site.knowledge, 0, serial);
    assert!(plan_for(&site.knowledge).is_some());
}

#[test]
fn a_tombstone_lives_until_all_were_told() {
    let mut site = Site3::new(1, [holds(1), holds(1)]);
    site.file("g", 1, [holds(1), holds(1)]);
    site.tree.files.remove(&path("f"));
    see(&mut site.knowledge, &path("f"), Content::Absent);
    let plan_for = |knowledge: &Knowledge, remote| {
        let request = Request {
            now_ms: 1000,
            resend_after_ms: 0,
            what: What::Contents,
            named: Named::Everybody,
        };
        plan(knowledge, remote, &request, &|_| false)
    };
    let first = plan_for(&site.knowledge, 0).unwrap();
    assert_eq!(first.rows, [OutgoingRow { path: path("g"), with: With::Nothing }]);
    let identity = package_orders(vec![]).identity;
    let accept = |knowledge: &mut Knowledge, plan: &Outgoing| {
        let told = orders(&identity, knowledge, plan, &[0, 1]);
        accepted(knowledge, plan.remote, plan.serial, &told, 1)
    };
    assert!(accept(&mut site.knowledge, &first).is_empty(), "remote 1 does not know yet");
    assert!(plan_for(&site.knowledge, 0).is_none());
    let second = plan_for(&site.knowledge, 1).unwrap();
    assert_eq!(Vec::from_iter(accept(&mut site.knowledge, &second)), [path("f")]);
    assert_eq!(site.knowledge.rows.len(), 1);
    assert!(plan_for(&site.knowledge, 1).is_none(), "nothing changed sends nothing");
}

/// Sites under lossy, doubled, reordered mail, and what each content truly descends from.
struct Weather {
    sites: Vec<(Knowledge, Tree)>,
    mail: Vec<(usize, [u8; 32], Orders)>,
    descends: BTreeMap<u16, BTreeSet<u16>>,
    /// What a site once had of a file, deleted since or not.
    had: BTreeMap<(usize, TreePath), BTreeSet<u16>>,
    state: u64,
    now_ms: u64,
}

impl Weather {
    fn new(seed: u64, count: usize) -> Weather {
        let site = |_| (Knowledge::new(count - 1), Tree::default());
        Weather {
            sites: (0..count).map(site).collect(),
            mail: Vec::new(),
            descends: BTreeMap::new(),
            had: BTreeMap::new(),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now_ms: 1000,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize % bound
    }

    /// The remote's place among the remotes of a site, which are all but itself.
    fn remote_of(site: usize, other: usize) -> usize {
        if other < site { other } else { other - 1 }
    }

    fn edit(&mut self, site: usize, name: &str) {
        let new = self.descends.len() as u16 + 1;
        self.sites[site].1.files.insert(path(name), sum(new));
        self.descends.insert(new, BTreeSet::new());
        self.have(site, &path(name), new);
    }

    /// A site has `new` now, after all that it had.
    fn have(&mut self, site: usize, path: &TreePath, new: u16) {
        let had = self.had.entry((site, path.clone())).or_default();
        let descends = self.descends.entry(new).or_default();
        descends.extend(had.iter().copied());
        descends.remove(&new);
        had.extend(descends.iter().copied());
        had.insert(new);
    }

    fn broadcast(&mut self, site: usize) {
        self.now_ms += 1;
        let request = Request {
            now_ms: self.now_ms,
            resend_after_ms: 0,
            what: What::Contents,
            named: Named::Everybody,
        };
        let (knowledge, tree) = &mut self.sites[site];
        let found = tree.files.iter().filter_map(|(p, c)| Some((p.clone(), *c.signature()?)));
        let found: Listing<Signature> = found.collect();
        let mut look = |_: &TreePath| Look::Is(Content::Absent);
        let differences = compare(knowledge, &found, &mut look);
        record(knowledge, &differences);
        let remotes = 0..knowledge.remotes.len();
        let plans: Vec<Outgoing> =
            remotes.filter_map(|remote| plan(knowledge, remote, &request, &|_| false)).collect();
        let copy: Vec<usize> = plans.iter().map(|plan| plan.remote).collect();
        let frozen = knowledge.clone();
        for plan in plans {
            let identity = package_orders(vec![]).identity;
            let orders = orders(&identity, &frozen, &plan, &copy);
            accepted(knowledge, plan.remote, plan.serial, &orders, self.now_ms);
            let to = if plan.remote < site { plan.remote } else { plan.remote + 1 };
            let mut package = [site as u8; 32];
            package[..8].copy_from_slice(&self.now_ms.to_be_bytes());
            package[8] = to as u8;
            self.mail.push((to, package, orders));
        }
    }

    /// Delivers one package; what is replaced without a word must be an ancestor.
    fn deliver(&mut self, at: usize) -> Result<(), String> {
        let (to, package, orders) = self.mail[at].clone();
        let from = usize::from(package[9]);
        let site_of = |remote: usize| if remote < from { remote } else { remote + 1 };
        let ours = |site: usize| (site != to).then(|| Self::remote_of(to, site));
        let copy = orders.copy.iter().map(|remote| ours(site_of(*remote))).collect();
        let route = Route { from: Self::remote_of(to, from), copy };
        let circumstances = Visit {
            orders: &orders,
            route: &route,
            package,
            deletions: Default::default(),
            now_ms: self.now_ms,
        };
        let before = self.sites[to].1.files.clone();
        let (knowledge, tree) = &mut self.sites[to];
        visit(knowledge, tree, &circumstances);
        let after = tree.files.clone();
        for (path, old) in &before {
            let (path, old) = (path.clone(), *old);
            let new = after.get(&path).copied().unwrap_or(Content::Absent);
            let (Content::File(Signature::Sum(old)), true) = (old, old != new) else {
                continue;
            };
            let is_heir = match new {
                Content::File(Signature::Sum(new)) => self.descends[&new].contains(&old),
                _ => false,
            };
            if !is_heir {
                return Err(format!("{path} at {to}: {old} was lost to {new} from {from}"));
            }
        }
        for (path, new) in after {
            if let Content::File(Signature::Sum(new)) = new
                && before.get(&path) != Some(&sum(new))
            {
                self.have(to, &path, new);
            }
        }
        Ok(())
    }

    /// Answers one question; a choice makes what stays an heir of what goes.
    fn answer(&mut self, site: usize, choice: Choice) {
        let (knowledge, tree) = &mut self.sites[site];
        let Some(question) = knowledge.questions.first().cloned() else { return };
        let here = tree.files.get(&question.path).copied().unwrap_or(Content::Absent);
        let shown = knowledge.rows.get(&question.path).map(|row| row.version);
        let given = Answer {
            question: &question,
            choice,
            shown,
            deletions: Default::default(),
            now_ms: self.now_ms,
        };
        answer(knowledge, tree, &given, &mut Receipt::default());
        let (stays, goes) = match choice {
            Choice::Keep => (here, question.version.content),
            Choice::Take => (question.version.content, here),
        };
        if let Content::File(Signature::Sum(goes)) = goes {
            let had = self.had.entry((site, question.path.clone())).or_default();
            had.extend(self.descends[&goes].iter().copied());
            had.insert(goes);
        }
        if let Content::File(Signature::Sum(stays)) = stays {
            self.have(site, &question.path, stays);
        }
    }

    fn storm(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            let site = self.below(self.sites.len());
            let name = ["f", "g", "h"][self.below(3)];
            match self.below(12) {
                0..3 => self.edit(site, name),
                3 if self.below(3) == 0 => drop(self.sites[site].1.files.remove(&path(name))),
                4..7 => self.broadcast(site),
                7..10 if !self.mail.is_empty() => {
                    let at = self.below(self.mail.len());
                    self.deliver(at)?;
                    if self.below(5) > 0 {
                        self.mail.remove(at);
                    }
                }
                10 if !self.mail.is_empty() => {
                    let at = self.below(self.mail.len());
                    self.mail.remove(at);
                }
                _ => {
                    let choice = [Choice::Keep, Choice::Take][self.below(2)];
                    self.answer(site, choice);
                }
            }
        }
        Ok(())
    }

    /// All mail arrives, and every question is answered: the first site keeps, others take.
    fn calm(&mut self) -> Result<bool, String> {
        for round in 0..60 {
            // Somebody has something to say each day.
            if round < 40 {
                self.edit(round % self.sites.len(), "daily");
            }
            for site in 0..self.sites.len() {
                self.broadcast(site);
                while !self.mail.is_empty() {
                    self.deliver(0)?;
                    self.mail.remove(0);
                }
                for site in 0..self.sites.len() {
                    while !self.sites[site].0.questions.is_empty() {
                        let choice = if site == 0 { Choice::Keep } else { Choice::Take };
                        self.answer(site, choice);
                    }
                }
            }
        }
        let files = |tree: &Tree| {
            let there = tree.files.iter().filter(|(_, c)| **c != Content::Absent);
            there.map(|(p, c)| (p.clone(), *c)).collect::<Vec<_>>()
        };
        let first = files(&self.sites[0].1);
        Ok(self.sites.iter().all(|(_, tree)| files(tree) == first))
    }
}

#[test]
fn bad_weather_loses_nothing_and_calm_mends() {
    let mut apart = Vec::new();
    let mut lost = Vec::new();
    for seed in 1..300 {
        let mut weather = Weather::new(seed, 2 + seed as usize % 2);
        let ended = weather.storm(200).and_then(|()| weather.calm());
        match ended {
            Ok(true) => {}
            Ok(false) => apart.push(seed),
            Err(why) => lost.push(format!("seed {seed}: {why}")),
        }
    }
    assert!(
        lost.is_empty() && apart.is_empty(),
        "{} lost {lost:#?}\n{} apart {apart:?}",
        lost.len(),
        apart.len()
    );
}
