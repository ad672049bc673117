//! What a package teaches and what it says: the sentences on beliefs, serials and wants, one by one.

use remsync::model::knowledge::Sent;
use remsync::rules::learn::NotForUs;
use remsync::rules::plan::{OutgoingRow, withdraw};

use super::*;

/// A package tells of `f`, and for whom else it is: the route's other remotes.
fn hears(knowledge: &mut Knowledge, orders: &Orders, others: &[usize]) {
    let copy = others.iter().map(|other| Some(*other)).collect();
    take_in(knowledge, orders, &Route { from: 0, copy }, 1_000);
}

#[test]
fn what_is_wanted_is_due_again_but_not_what_crossed_it() {
    let ours = version("2a").ancestor();
    let word = || Word { version: version("2a"), history: History::new(), serial: 5 };
    let sent = |serial, at_ms| Some(Sent { version: ours, serial, at_ms });
    // When it wants, what it has seen of ours; then what is left of word, sent and heard.
    for (name, serial, seen, left) in [
        ("it lost it after our sending", 6, 100, (false, false, false)),
        ("our sending is on its way", 6, 99, (false, true, false)),
        ("an old mail", 4, 100, (true, false, true)),
    ] {
        let mut knowledge = knowing("2a: 1o");
        let cell =
            Cell { word: Some(word()), sent: sent(100, 1), heard: sent(0, 1), ..Cell::default() };
        knowledge.rows.get_mut(&f()).unwrap().cells[0] = cell;
        knowledge.remotes[0].issued = vec![99, 100];
        let mut told = orders(serial, Some(0), Some(seen), &[]);
        told.wants = vec![f()];
        learn(&mut knowledge, &told);
        let cell = &knowledge.rows[&f()].cells[0];
        let after = (cell.word.is_some(), cell.sent.is_some(), cell.heard.is_some());
        assert_eq!(after, left, "{name}");
    }
    // What is not known here cannot be sent: an inventory says so. Not for an old mail.
    for (heard, refused, is_owed) in [(0, false, true), (0, true, true), (9, false, false)] {
        let mut knowledge = Knowledge::new(1);
        if refused {
            choose(
                &mut knowledge,
                &f(),
                Lineage::new(&version("1a"), &History::new()),
                Choice::Keep,
                1,
            );
        }
        knowledge.remotes[0].heard = heard;
        let mut told = orders(6, Some(0), None, &[]);
        told.wants = vec![f()];
        learn(&mut knowledge, &told);
        assert_eq!(knowledge.remotes[0].wants_all, is_owed, "{heard} {refused}");
    }
    let mut knowledge = Knowledge::new(1);
    let all = Orders { want_all: true, ..orders(6, Some(0), None, &[]) };
    learn(&mut knowledge, &all);
    assert!(knowledge.remotes[0].wants_all);
    knowledge.remotes[0] = Correspondence { heard: 7, ..Correspondence::default() };
    learn(&mut knowledge, &all);
    assert!(!knowledge.remotes[0].wants_all, "an older package");
}

#[test]
fn what_was_sent_to_others_is_hearsay_and_no_more() {
    for (name, act, is_heard) in [
        ("told", Act::Tell, false),
        ("sent", Act::Update { expected: Belief::Unknown, member: 1 }, true),
        ("removed", Act::Remove { expected: Belief::Unknown }, true),
    ] {
        let mut knowledge = Knowledge::new(3);
        knowledge.rows.insert(f(), row("1a", 3));
        let mut told = orders(10, None, None, &[("f", "2b: 1a")]);
        told.rows[0].act = act;
        hears(&mut knowledge, &told, &[0, 2]);
        let cells = &knowledge.rows[&f()].cells;
        let heard: Vec<bool> = cells.iter().map(|cell| cell.heard.is_some()).collect();
        assert_eq!(heard, [false, false, is_heard], "{name}");
        let words: Vec<bool> = cells.iter().map(|cell| cell.word.is_some()).collect();
        assert_eq!(words, [true, false, false], "{name}: its own word, and nobody else's");
    }
}

/// What was said of a file before it was here is known when it comes, and forgotten with an inventory
/// that does not say it.
#[test]
fn words_on_what_is_not_here() {
    let mut knowledge = Knowledge::new(2);
    hears(&mut knowledge, &orders(10, None, None, &[("f", "1a")]), &[]);
    let mut other = knowledge.clone();
    observe(&mut knowledge, &f(), content(B), 1);
    let word = knowledge.rows[&f()].cells[0].word.as_ref().map(|word| word.version);
    assert_eq!((word, knowledge.lacking.len()), (Some(version("1a")), 0));
    hears(&mut other, &orders(11, None, None, &[]), &[]);
    assert!(other.lacking.is_empty());
}

#[test]
fn only_what_has_rows_or_wants_is_owed_an_answer() {
    let with_wants = |serial| Orders { wants: vec![f()], ..orders(serial, Some(0), None, &[]) };
    for (name, told, is_owed) in [
        ("rows", orders(10, None, None, &[("f", "1a")]), true),
        ("wants", with_wants(10), true),
        ("neither", orders(10, None, None, &[]), false),
        ("an old one", orders(4, None, None, &[("f", "1a")]), false),
    ] {
        let mut knowledge = knowing("1a");
        knowledge.remotes[0].taken = 5;
        learn(&mut knowledge, &told);
        assert_eq!(knowledge.remotes[0].owes, is_owed, "{name}");
    }
}

/// The sentences on what goes out, one by one: what is known, and the package for the remote.
#[test]
fn what_goes_to_a_remote() {
    let word = |text: &str| {
        let (version, history) = lineage(text);
        Some(Word { version, history, serial: 5 })
    };
    let sent =
        |text: &str, serial, at_ms| Some(Sent { version: version(text).ancestor(), serial, at_ms });
    let now_ms = RESEND_AFTER_MS * 9;
    let late = now_ms - RESEND_AFTER_MS;
    // In step: all is told and acknowledged, and the remote has what is here.
    let in_step = || {
        let mut knowledge = knowing("2a: 1o");
        knowledge.rows.get_mut(&f()).unwrap().cells[0].word = word("2a: 1o");
        knowledge.remotes[0] =
            Correspondence { last: 5, seen: 5, heard: 3, taken: 3, ..Correspondence::default() };
        knowledge
    };
    let none: Option<&str> = None;
    type Line<'a> = (&'a str, Box<dyn Fn(&mut Knowledge)>, Option<&'a str>);
    let table: [Line; 29] = [
        ("nothing to say", Box::new(|_| ()), none),
        ("an answer is owed", Box::new(|k| k.remotes[0].owes = true), Some("since 5")),
        ("all is wanted", Box::new(|k| k.remotes[0].wants_all = true), Some("since - f")),
        ("nothing was ever seen", Box::new(|k| k.remotes[0].seen = 0), none),
        ("it changed since", Box::new(|k| of(k).changed = 6), Some("since 5 f")),
        (
            "it changed, and was told",
            Box::new(|k| {
                of(k).changed = 6;
                k.remotes[0].last = 6;
            }),
            none,
        ),
        (
            "it was refused",
            Box::new(|k| {
                of(k).version.generation = 0;
                of(k).changed = 6;
            }),
            none,
        ),
        (
            "another version there",
            Box::new(move |k| of(k).cells[0].word = word("1o")),
            Some("since 5 f+"),
        ),
        (
            "a newer one there",
            Box::new(move |k| of(k).cells[0].word = word("3b: 2a")),
            Some("since 5 want f"),
        ),
        (
            "one that is neither",
            Box::new(move |k| of(k).cells[0].word = word("2b: 1o")),
            Some("since 5 f+ want f"),
        ),
        ("deleted there", Box::new(move |k| of(k).cells[0].word = word("3-: 2a")), none),
        ("no word", Box::new(|k| of(k).cells[0].word = None), Some("since 5 f+")),
        (
            "it is on its way",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].sent = sent("2a", 6, late + 1);
            }),
            none,
        ),
        (
            "for too long",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].sent = sent("2a", 6, late);
            }),
            Some("since 5 f+"),
        ),
        (
            "it was taken in",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].sent = sent("2a", 5, 1);
            }),
            none,
        ),
        (
            "another is on its way",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].sent = sent("1o", 6, late + 1);
            }),
            Some("since 5 f+"),
        ),
        (
            "a third site sent it",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].heard = sent("2a", 0, late + 1);
            }),
            none,
        ),
        (
            "long ago",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].heard = sent("2a", 0, late);
            }),
            Some("since 5 f+"),
        ),
        (
            "asked for just now",
            Box::new(move |k| {
                of(k).cells[0].word = word("3b: 2a");
                of(k).cells[0].asked_ms = late + 1;
            }),
            none,
        ),
        (
            "asked for long ago",
            Box::new(move |k| {
                of(k).cells[0].word = word("3b: 2a");
                of(k).cells[0].asked_ms = late;
            }),
            Some("since 5 want f"),
        ),
        (
            "it waits for a person",
            Box::new(move |k| {
                of(k).cells[0].word = word("3b: 2a");
                ask(k, question("3b: 2a", 1));
            }),
            none,
        ),
        (
            "what covers it does",
            Box::new(move |k| {
                of(k).cells[0].word = word("3b: 2a");
                ask(k, question("4c: 2a 3b", 1));
            }),
            none,
        ),
        ("a gap", Box::new(|k| k.remotes[0].gaps = vec![(7, 8)]), Some("since 5 want *")),
        (
            "a gap, asked about",
            Box::new(move |k| {
                k.remotes[0].gaps = vec![(7, 8)];
                k.remotes[0].asked_all_ms = late + 1;
            }),
            none,
        ),
        (
            "clocks were set back since",
            Box::new(move |k| {
                of(k).cells[0].word = None;
                of(k).cells[0].sent = sent("2a", 6, now_ms + RESEND_AFTER_MS);
            }),
            Some("since 5 f+"),
        ),
        (
            "told long ago, and never acknowledged",
            Box::new(move |k| unconfirmed(k, 4, late)),
            Some("since 4 f"),
        ),
        ("told just now", Box::new(move |k| unconfirmed(k, 4, late + 1)), none),
        ("nothing is left to be told", Box::new(move |k| unconfirmed(k, 5, late)), none),
        (
            "only spoken of",
            Box::new(move |k| {
                let g = TreePath::new(b"g").unwrap();
                k.lacking.insert(g, vec![Cell { word: word("1-"), ..Cell::default() }]);
            }),
            none,
        ),
    ];
    let request = Request { named: Named::Everybody, ..by_name(now_ms) };
    for (name, change, expected) in table {
        let mut knowledge = in_step();
        change(&mut knowledge);
        let outgoing = plan(&knowledge, 0, &request, &|_| false);
        assert_eq!(outgoing.as_ref().map(told).as_deref(), expected, "{name}");
        // What rests is neither sent nor asked for; named or not, it is told.
        let resting = plan(&knowledge, 0, &Request { named: Named::ByName, ..request }, &|_| true);
        let resting = told(&resting.unwrap());
        assert!(!resting.contains('+') && !resting.contains("want f"), "{name}: {resting}");
        // An inventory says the same, and carries nothing.
        let list = plan(&knowledge, 0, &Request { what: What::Inventory, ..request }, &|_| false);
        assert_eq!(list.as_ref().map(told), expected.map(|it| it.replace('+', "")), "{name}");
    }
}

/// Package 6 told of `f`, and of ours the remote has only seen this one.
fn unconfirmed(knowledge: &mut Knowledge, seen: u64, at_ms: u64) {
    of(knowledge).changed = 5;
    let with = &mut knowledge.remotes[0];
    (with.seen, with.last, with.last_weighty, with.last_weighty_ms) = (seen, 6, 6, at_ms);
}

#[test]
fn what_a_carrier_took_is_noted_and_taken_back() {
    let told = |since| orders(20, since, None, &[("f", "1a")]);
    let noted = |since| {
        let mut knowledge = knowing("1a");
        knowledge.remotes[0] = Correspondence {
            last: 30,
            owes: true,
            wants_all: true,
            heard: 1,
            ..Correspondence::default()
        };
        accepted(&mut knowledge, 0, &told(since), 9);
        knowledge
    };
    for (since, wants_all) in [(None, false), (Some(4), true)] {
        let knowledge = noted(since);
        let with = &knowledge.remotes[0];
        assert_eq!((with.wants_all, with.owes), (wants_all, false), "an inventory is one");
        assert_eq!((with.last, with.issued.as_slice()), (30, [20].as_slice()), "a late one");
    }
    // It acknowledged, as far as anything did; unless something later did so again.
    for (last, owes) in [(20, true), (30, false)] {
        let mut knowledge = noted(Some(4));
        knowledge.remotes[0].last = last;
        take_back(&mut knowledge, 0, 20);
        assert_eq!(knowledge.remotes[0].owes, owes);
    }
    let mut knowledge = noted(None);
    issue(&mut knowledge, 0, 21);
    withdraw(&mut knowledge, 0, 20);
    assert_eq!(knowledge.remotes[0].issued, [21], "what never went is not remembered");
}

/// The row of `f`.
fn of(knowledge: &mut Knowledge) -> &mut Row {
    knowledge.rows.get_mut(&f()).unwrap()
}

/// Prints a plan: `since 5 f+ want g`; what is carried has a plus.
fn told(outgoing: &Outgoing) -> String {
    let since = outgoing.since.map_or("-".into(), |since| since.to_string());
    let row = |row: &OutgoingRow| {
        format!(" {}{}", row.path, if row.with == With::Contents { "+" } else { "" })
    };
    let rows: String = outgoing.rows.iter().map(row).collect();
    let all = if outgoing.want_all { " want *" } else { "" };
    let wants: String = outgoing.wants.iter().map(|path| format!(" want {path}")).collect();
    format!("since {since}{rows}{all}{wants}")
}

#[test]
fn a_package_s_own_lines() {
    // The serial is above all that was used, and a time; where the clock is behind, two times give two.
    let ahead = 1 << 32;
    let table = [
        (0, 50, 50),
        (49, 50, 50),
        (50, 50, 101),
        (99, 50, 150),
        (ahead, 65_536, ahead + 1),
        (ahead, 65_537, ahead + 2),
        (ahead, 131_071, ahead + 65_536),
    ];
    for (clock, now_ms, serial) in table {
        let knowledge = Knowledge { clock, ..Knowledge::new(1) };
        assert_eq!(next_serial(&knowledge, now_ms), serial);
    }
    // Seen is the highest that was read, what builds on something lost included.
    let mut knowledge = knowing("2a: 1o");
    for (gaps, seen) in [(vec![], Some(3)), (vec![(7, 8)], Some(8))] {
        knowledge.remotes[0] = Correspondence { taken: 3, gaps, ..Correspondence::default() };
        assert_eq!(plan(&knowledge, 0, &by_name(9), &|_| false).unwrap().seen, seen);
    }
    // A column is what that site last said itself; each row brings its history, sent or told.
    let mut knowledge = Knowledge::new(2);
    knowledge.rows.insert(f(), row("2a: 1o", 2));
    let sent = Some(Sent { version: version("2a").ancestor(), serial: 1, at_ms: 1 });
    of(&mut knowledge).cells[0] = Cell { sent, heard: sent, ..Cell::default() };
    of(&mut knowledge).cells[1].word =
        Some(Word { version: version("1-"), history: History::new(), serial: 1 });
    for with in [With::Nothing, With::Contents] {
        let mut outgoing = plan(&knowledge, 0, &by_name(9), &|_| false).unwrap();
        outgoing.rows = vec![OutgoingRow { path: f(), with }];
        let told = written(&identity("a@x", "b@x"), &knowledge, &outgoing, &[0, 1]);
        assert_eq!(told.rows[0].columns, [Belief::Unknown, Belief::Absent]);
        assert_eq!(told.rows[0].history, lineage("2a: 1o").1, "{with:?}");
    }
}

#[test]
fn a_package_that_is_not_for_this_project_has_a_reason() {
    let ours = identity("a@x", "b@x");
    type Change = fn(&mut Orders);
    let table: [(Change, Result<usize, NotForUs>); 6] = [
        (|_| (), Ok(0)),
        (
            |it| it.identity.remotes[0].address = Address::new("c@x").unwrap(),
            Err(NotForUs::Address),
        ),
        (|it| it.visit = 1, Err(NotForUs::Address)),
        (|it| it.identity.title = "T".into(), Err(NotForUs::Title)),
        (|it| it.identity.here.address = Address::new("c@x").unwrap(), Err(NotForUs::Originator)),
        (|it| it.identity.format = Format::V1_3, Err(NotForUs::Format)),
    ];
    for (change, expected) in table {
        let mut told = orders(1, None, None, &[]);
        change(&mut told);
        assert_eq!(route(&told, &ours).map(|route| route.from), expected);
    }
}
