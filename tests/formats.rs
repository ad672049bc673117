//! The laws of the text formats: what is printed is read back the same, and what was printed is
//! printed again to the byte. The golden files are what other programs and later versions meet.
//!
//! `REMSYNC_BLESS=1 cargo test --test formats` writes the golden files anew: look at the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails so"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use remsync::format::{journal, ledger, orders, percent, project};
use remsync::model::knowledge::{
    Cell, Correspondence, Knowledge, Question, Received, Row, Sent, Why, Word,
};
use remsync::model::limits::{GENERATION_MAX, SERIAL_MAX};
use remsync::model::orders::{Act, OrderRow, Orders};
use remsync::model::project::{Format, Identity, Project};
use remsync::model::{
    Address, Ancestor, Belief, Content, History, Prefix, Signature, Site, TreePath, Version,
};

// ------------------------------------------------------------------------------- golden files

fn golden(name: &str, printed: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("REMSYNC_BLESS").is_some() {
        std::fs::write(&path, printed).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        kept == printed,
        "{name} differs\n--- kept\n{}\n--- printed\n{}",
        String::from_utf8_lossy(&kept),
        String::from_utf8_lossy(printed)
    );
    kept
}

fn path(bytes: &[u8]) -> TreePath {
    TreePath::new(bytes).unwrap()
}

fn site(address: &str, directory: Option<&str>) -> Site {
    let directory = directory.map(|directory| directory.as_bytes().into());
    Site { address: Address::new(address).unwrap(), directory }
}

fn file(byte: u8, executable: bool) -> Signature {
    let mut digest = [0; 32];
    for (at, place) in (0u8..).zip(&mut digest) {
        *place = byte.wrapping_add(at);
    }
    Signature::Sha256 { digest, executable }
}

fn version(generation: u64, byte: u8) -> Version {
    Version { generation, content: Content::File(file(byte, false)) }
}

fn deleted(generation: u64) -> Version {
    Version { generation, content: Content::Absent }
}

fn history(versions: &[Version]) -> History {
    versions.iter().map(Version::ancestor).collect()
}

fn identity(format: Format) -> Identity {
    let (scans, ignores): (&[&[u8]], &[&[u8]]) = match format {
        Format::V1_3 => (&[b"docs", b"src/*.c"], &[br".*~", br"\.remsync.*"]),
        Format::V2_0 => (&[b"my docs", b"src/*.c"], &[br"!.*\.(c|h)", br"100%"]),
    };
    Identity {
        format,
        title: "Projet d'été, 100 %".to_owned(),
        here: site("spirou@spirou.champignac.land", Some("~/spirou-copy")),
        remotes: vec![
            site("fantasio@fantasio.champignac.land", Some("~/fantasio-copy")),
            site("zorglub@zorg.land", None),
        ],
        scans: scans.iter().map(|scan| scan.to_vec()).collect(),
        hosts: Vec::new(),
        ignores: ignores.iter().map(|ignore| ignore.to_vec()).collect(),
    }
}

fn project_2_0() -> Project {
    let mut knowledge = Knowledge::new(2);
    knowledge.clock = 1_700_000_000_123;
    knowledge.forgotten = 4;
    knowledge.remotes[0] = Correspondence {
        last: 1_700_000_000_123,
        last_weighty: 1_700_000_000_100,
        last_weighty_ms: 1_700_000_000_101,
        seen: 1_700_000_000_050,
        issued: vec![1_700_000_000_090, 1_700_000_000_123],
        heard: 17,
        heard_ms: 1_700_000_000_060,
        inventory: 11,
        taken: 16,
        gaps: vec![(12, 15), (13, 17)],
        received: vec![
            Received { serial: 15, mark: [0; 8] },
            Received { serial: 17, mark: *b"\x01\x23\x45\x67\x89\xab\xcd\xef" },
        ],
        wants_all: true,
        owes: true,
        asked_all_ms: 1_700_000_000_070,
    };
    let word = |version, history, serial| Some(Word { version, history, serial });
    let sent =
        |version: Version, serial, at_ms| Some(Sent { version: version.ancestor(), serial, at_ms });
    let plain = Row {
        version: version(1, 0x10),
        history: History::new(),
        changed: 1,
        deleted_ms: 0,
        cells: vec![
            Cell { word: word(version(1, 0x10), History::new(), 16), ..Cell::default() },
            Cell::default(),
        ],
    };
    let edited = Row {
        version: version(3, 0x30),
        history: history(&[version(1, 0x10), deleted(2)]),
        changed: 1_700_000_000_124,
        deleted_ms: 0,
        cells: vec![
            Cell {
                word: word(deleted(2), history(&[version(1, 0x10)]), 17),
                sent: sent(version(3, 0x30), 1_700_000_000_123, 1_700_000_000_125),
                ..Cell::default()
            },
            Cell {
                heard: sent(version(1, 0x10), 0, 1_700_000_000_002),
                asked_ms: 1_700_000_000_003,
                ..Cell::default()
            },
        ],
    };
    let gone = Row {
        version: deleted(2),
        history: history(&[version(1, 0x40)]),
        changed: 9,
        deleted_ms: 1_700_000_000_000,
        cells: vec![Cell::default(); 2],
    };
    let executable = Version { generation: 1, content: Content::File(file(0x50, true)) };
    let tool = Row { version: executable, changed: 2, ..Row::first(Content::Absent, 2, 0) };
    knowledge.rows.insert(path(b"README"), plain);
    knowledge.rows.insert(path(b"docs/old plan"), gone);
    knowledge.rows.insert(path("docs/été".as_bytes()), edited);
    knowledge.rows.insert(path(b"latin-1/\xe9t\xe9"), tool);
    let question = |name: &[u8], why, member| Question {
        path: path(name),
        version: version(4, 0x60),
        history: history(&[version(1, 0x10)]),
        remote: 1,
        package: [0xab; 32],
        member,
        why,
        at_ms: 1_700_000_000_200,
    };
    knowledge.questions = [
        question("docs/été".as_bytes(), Why::Conflict, Some(1)),
        question(b"README", Why::DeletedThere, None),
    ]
    .into_iter()
    .collect();
    knowledge.settled.insert(([0xcd; 32], path(b"docs/old plan")));
    Project { identity: identity(Format::V2_0), knowledge }
}

fn project_1_3() -> Project {
    let mut knowledge = Knowledge::new(2);
    let cell = |belief, listed| Cell { belief, listed, ..Cell::default() };
    let row = |cells: [Cell; 2]| Row {
        version: deleted(0),
        history: History::new(),
        changed: 0,
        deleted_ms: 0,
        cells: cells.into(),
    };
    let sum = |sum| Belief::Holds(Signature::Sum(sum));
    let rows: [(&[u8], Row); 3] = [
        (b"empty", row([cell(sum(0), true), cell(Belief::Unknown, false)])),
        (b"file1", row([cell(Belief::Absent, true), cell(Belief::Contested, true)])),
        (b"sub/file3", row([cell(sum(8302), false), cell(sum(57445), false)])),
    ];
    knowledge.rows.extend(rows.map(|(name, row)| (path(name), row)));
    Project { identity: identity(Format::V1_3), knowledge }
}

fn orders_2_0() -> Orders {
    let row = |name: &[u8], version, history, columns: [Belief; 2], act| OrderRow {
        path: path(name),
        version,
        history,
        columns: columns.into(),
        act,
    };
    let holds = |byte| Belief::Holds(file(byte, false));
    let unknown = Belief::Unknown;
    let executable = Version { generation: 2, content: Content::File(file(0x50, true)) };
    Orders {
        is_oldest: false,
        identity: identity(Format::V2_0),
        visit: 1,
        copy: vec![0, 1],
        serial: 1_700_000_000_123,
        since: Some(1_700_000_000_001),
        seen: Some(42),
        want_all: true,
        wants: vec![path(b"README"), path("two words, été".as_bytes())],
        rows: vec![
            row(b"README", version(1, 0x10), History::new(), [holds(0x10), unknown], Act::Tell),
            row(
                b"bin/tool",
                executable,
                history(&[version(1, 0x40)]),
                [Belief::Absent, holds(0x40)],
                Act::Update { expected: holds(0x40), member: 1 },
            ),
            row(
                b"docs/50% done",
                version(2, 0x60),
                History::new(),
                [unknown, unknown],
                Act::Update { expected: unknown, member: 2 },
            ),
            row(
                b"docs/old plan",
                deleted(3),
                history(&[version(1, 0x70), version(2, 0x80)]),
                [Belief::Absent, holds(0x80)],
                Act::Remove { expected: holds(0x80) },
            ),
            row(
                "docs/été".as_bytes(),
                version(1, 0x90),
                History::new(),
                [Belief::Absent, Belief::Absent],
                Act::Update { expected: Belief::Absent, member: 3 },
            ),
        ],
    }
}

fn orders_1_3() -> Orders {
    let sum = |sum| Belief::Holds(Signature::Sum(sum));
    let row = |name: &[u8], sum, columns: [Belief; 2], act| OrderRow {
        path: path(name),
        version: Version { generation: 0, content: Content::File(Signature::Sum(sum)) },
        history: History::new(),
        columns: columns.into(),
        act,
    };
    Orders {
        is_oldest: false,
        identity: identity(Format::V1_3),
        visit: 0,
        copy: vec![0, 1],
        serial: 0,
        since: None,
        seen: None,
        want_all: false,
        wants: vec![],
        rows: vec![
            row(b"f", 32832, [sum(64), sum(64)], Act::Update { expected: sum(64), member: 1 }),
            row(
                b"g",
                32876,
                [Belief::Unknown, Belief::Contested],
                Act::Update { expected: Belief::Unknown, member: 2 },
            ),
            row(b"h", 0, [sum(0), sum(70)], Act::Tell),
        ],
    }
}

#[test]
fn golden_orders() {
    for (name, model) in [("orders-1.3", orders_1_3()), ("orders-2.0", orders_2_0())] {
        let kept = golden(name, &orders::print(&model));
        assert_eq!(orders::parse(&kept[..], name).unwrap(), model, "{name}");
    }
}

#[test]
fn golden_projects() {
    for (name, model) in [("remsync-1.3", project_1_3()), ("remsync-2.0", project_2_0())] {
        let kept = golden(name, &project::print(&model));
        let read = project::parse(&kept, name).unwrap();
        assert_eq!(read.identity, model.identity, "{name}");
        assert_eq!(read.knowledge.rows.len(), model.knowledge.rows.len(), "{name}");
    }
}

#[test]
fn golden_ledgers() {
    for (name, model) in [("ledger-1.3", project_1_3()), ("ledger-2.0", project_2_0())] {
        let kept = golden(name, &ledger::print(&model));
        let mut read = project::parse(&project::print(&model), name).unwrap();
        ledger::parse_into(&mut read, &kept[..], name).unwrap();
        assert_eq!(read, model, "{name}");
    }
}

#[test]
fn golden_journal() {
    let model = project_2_0();
    let mut touched: BTreeSet<TreePath> = model.knowledge.rows.keys().cloned().collect();
    touched.insert(path(b"forgotten"));
    let mut bytes = journal::transaction(&model, &BTreeSet::new(), 1);
    bytes.extend(journal::transaction(&model, &touched, 2));
    let kept = golden("journal", &bytes);
    let mut read = project::parse(&project::print(&model), "t").unwrap();
    read.knowledge.rows.insert(path(b"forgotten"), Row::first(Content::Absent, 2, 0));
    let replayed = journal::replay(&mut read, &kept, "journal").unwrap();
    assert_eq!((replayed.transactions, replayed.is_torn), (2, false));
    assert_eq!(read, model);
}

#[test]
fn orders_have_every_statement_of_2_0() {
    let text = String::from_utf8(orders::print(&orders_2_0())).unwrap();
    for keyword in [
        "format", "title", "here", "remote", "scan", "ignore", "visit", "copy", "serial", "since",
        "seen", "want", "check", "history", "update", "remove",
    ] {
        assert!(text.contains(&format!("{keyword}\t")), "{keyword}");
    }
}

// --------------------------------------------------------------------------------------- laws

/// Names with what is awkward in them: spaces, controls, `%`, UTF-8 and not.
fn any_path() -> impl Strategy<Value = TreePath> {
    let part = vec(
        prop_oneof![
            4 => prop::sample::select(&b"abcXYZ019.-_*#"[..]),
            1 => any::<u8>(),
            1 => prop::sample::select(&b" %\t\r\n\x7f\xc3\xa9"[..]),
        ],
        1..6,
    );
    vec(part, 1..4).prop_filter_map("no tree path", |parts| TreePath::new(&parts.join(&b'/')).ok())
}

fn path_of(format: Format) -> impl Strategy<Value = TreePath> {
    // `want *` wants everything, so a file of that name cannot be wanted alone.
    any_path().prop_filter("cannot be written", move |path| {
        orders::is_writable(format, path) && path.as_bytes() != b"*"
    })
}

fn any_signature(format: Format) -> BoxedStrategy<Signature> {
    match format {
        Format::V1_3 => any::<u16>().prop_map(Signature::Sum).boxed(),
        Format::V2_0 => (any::<[u8; 32]>(), any::<bool>())
            .prop_map(|(digest, executable)| Signature::Sha256 { digest, executable })
            .boxed(),
    }
}

fn any_content(format: Format) -> impl Strategy<Value = Content> {
    prop_oneof![1 => Just(Content::Absent), 3 => any_signature(format).prop_map(Content::File)]
}

/// Beliefs that the format can write: 1.3 has one sign for two, 2.0 none for contested.
fn any_belief(format: Format) -> impl Strategy<Value = Belief> {
    let third = match format {
        Format::V1_3 => Belief::Contested,
        Format::V2_0 => Belief::Absent,
    };
    prop_oneof![Just(Belief::Unknown), Just(third), any_signature(format).prop_map(Belief::Holds)]
}

fn any_history(generation: u64) -> impl Strategy<Value = History> {
    let prefix = (any::<[u8; 8]>(), any::<bool>())
        .prop_map(|(digits, executable)| Prefix { digits, executable });
    let ancestor = (1..=generation, option::of(prefix));
    vec(ancestor, 0..4).prop_map(|ancestors| {
        ancestors.into_iter().map(|(generation, prefix)| Ancestor { generation, prefix }).collect()
    })
}

fn any_version() -> impl Strategy<Value = (Version, History)> {
    let generation = prop_oneof![4 => 1..6u64, 1 => 1..=GENERATION_MAX];
    (generation, any_content(Format::V2_0)).prop_flat_map(|(generation, content)| {
        let version = Version { generation, content };
        let history = any_history(generation).prop_map(move |mut history| {
            history.remove(&version.ancestor());
            history
        });
        (Just(version), history)
    })
}

fn any_site(format: Format) -> impl Strategy<Value = Site> {
    let directory = any_path()
        .prop_filter("is not known", |path| path.as_bytes() != b"-")
        .prop_filter("cannot be written", move |path| orders::is_writable(format, path))
        .prop_map(|path| path.as_bytes().into());
    ("[a-z]{1,4}@[a-zé]{1,4}", option::of(directory)).prop_map(|(address, directory)| Site {
        address: Address::new(&address).unwrap(),
        directory,
    })
}

fn any_identity(format: Format) -> impl Strategy<Value = Identity> {
    let pattern = move || {
        vec(any::<u8>().prop_filter("no NUL", |&b| b != 0), 1..8).prop_filter(
            "cannot be written, or is upgraded",
            move |pattern| {
                let is_plain = !pattern.iter().any(|&b| b <= b' ' || b == 0x7f);
                (format == Format::V2_0 || is_plain) && pattern != br"\.remsync"
            },
        )
    };
    let title = "[ -~é€]{0,20}";
    let patterns = move || vec(pattern(), 0..3);
    (title, any_site(format), vec(any_site(format), 1..4), patterns(), patterns()).prop_map(
        move |(title, here, remotes, mut scans, mut ignores)| {
            scans.sort();
            ignores.sort();
            Identity { format, title, here, remotes, hosts: Vec::new(), scans, ignores }
        },
    )
}

fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::V1_3), Just(Format::V2_0)]
}

fn any_serial() -> impl Strategy<Value = u64> {
    prop_oneof![1..100u64, 1..=SERIAL_MAX]
}

fn any_rows(format: Format, columns: usize) -> impl Strategy<Value = Vec<OrderRow>> {
    let row = (
        any_version(),
        any_content(format),
        vec(any_belief(format), columns),
        any_belief(format),
        any::<bool>(),
    );
    btree_map(path_of(format), row, 0..8).prop_map(move |rows| {
        let mut members = 0;
        rows.into_iter()
            .map(|(path, ((mut version, mut history), content, columns, expected, is_act))| {
                if format == Format::V1_3 {
                    version = Version { generation: 0, content };
                    history = History::new();
                }
                let act = match version.content {
                    Content::File(_) if is_act => {
                        members += 1;
                        Act::Update { expected, member: members }
                    }
                    Content::Absent if is_act && format == Format::V2_0 => Act::Remove { expected },
                    _ => Act::Tell,
                };
                OrderRow { path, version, history, columns, act }
            })
            .collect()
    })
}

fn any_orders() -> impl Strategy<Value = Orders> {
    any_format().prop_flat_map(any_identity).prop_flat_map(|identity| {
        let format = identity.format;
        let remotes = identity.remotes.len();
        let all: Vec<usize> = (0..remotes).collect();
        let copy = prop::sample::subsequence(all, 1..=remotes);
        (Just(identity), copy).prop_flat_map(move |(identity, copy)| {
            (
                any_rows(format, copy.len()),
                prop::sample::select(copy.clone()),
                (any_serial(), option::of(any_serial()), option::of(any_serial())),
                any::<bool>(),
                btree_set(path_of(Format::V2_0), 0..3),
            )
                .prop_map(
                    move |(rows, visit, (serial, since, seen), want_all, wants)| {
                        let identity = identity.clone();
                        let copy = copy.clone();
                        match format {
                            Format::V1_3 => Orders {
                                is_oldest: false,
                                identity,
                                visit,
                                copy,
                                serial: 0,
                                since: None,
                                seen: None,
                                want_all: false,
                                wants: vec![],
                                rows,
                            },
                            Format::V2_0 => Orders {
                                is_oldest: false,
                                identity,
                                visit,
                                copy,
                                serial,
                                since,
                                seen,
                                want_all,
                                wants: wants.into_iter().collect(),
                                rows,
                            },
                        }
                    },
                )
        })
    })
}

fn any_cell(format: Format) -> BoxedStrategy<Cell> {
    let listed = any::<bool>();
    if format == Format::V1_3 {
        let belief = prop_oneof![3 => any_belief(format), 1 => Just(Belief::Absent)];
        // A sending on its way, and what was believed before it.
        let old = move || any_content(format).prop_map(|c| Version { generation: 0, content: c });
        let sent =
            option::of((old(), any::<u64>(), any::<u64>()).prop_map(|(version, serial, at_ms)| {
                Sent { version: version.ancestor(), serial, at_ms }
            }));
        let word = option::of(old().prop_map(|version| Word {
            version,
            history: History::new(),
            serial: 0,
        }));
        return (belief, listed, sent, word)
            .prop_map(|(belief, listed, sent, word)| Cell {
                belief,
                listed,
                sent,
                word,
                ..Cell::default()
            })
            .boxed();
    }
    let sent = || {
        option::of((any_version(), any::<u64>(), any::<u64>()).prop_map(
            |((version, _), serial, at_ms)| Sent { version: version.ancestor(), serial, at_ms },
        ))
    };
    let word =
        option::of((any_version(), any::<u64>()).prop_map(|((version, history), serial)| Word {
            version,
            history,
            serial,
        }));
    (word, sent(), sent(), any::<u64>(), any_belief(format), listed)
        .prop_map(|(word, sent, heard, asked_ms, belief, listed)| Cell {
            word,
            sent,
            heard,
            asked_ms,
            belief,
            listed,
        })
        .boxed()
}

fn any_correspondence() -> impl Strategy<Value = Correspondence> {
    let number = || prop_oneof![Just(0), any::<u64>()];
    (
        [number(), number(), number(), number(), number(), number(), number(), number(), number()],
        vec(any::<u64>(), 0..3),
        vec((any::<u64>(), any::<u64>()), 0..3),
        vec(any::<(u64, [u8; 8])>(), 0..3),
        any::<[bool; 2]>(),
    )
        .prop_map(|(n, issued, gaps, received, [wants_all, owes])| Correspondence {
            last: n[0],
            last_weighty: n[1],
            last_weighty_ms: n[2],
            seen: n[3],
            issued,
            heard: n[4],
            heard_ms: n[5],
            inventory: n[8],
            taken: n[6],
            gaps,
            received: received
                .into_iter()
                .map(|(serial, mark)| Received { serial, mark })
                .collect(),
            wants_all,
            owes,
            asked_all_ms: n[7],
        })
}

fn any_row(format: Format, remotes: usize) -> impl Strategy<Value = Row> {
    let cells = vec(any_cell(format), remotes);
    (any_version(), any::<u64>(), any::<u64>(), cells).prop_map(
        move |((version, history), changed, deleted_ms, mut cells)| {
            if format == Format::V1_3 {
                let history = History::new();
                return Row { version: deleted(0), history, changed: 0, deleted_ms: 0, cells };
            }
            // A word on our very version is not told twice.
            for word in cells.iter_mut().filter_map(|cell| cell.word.as_mut()) {
                if word.version == version {
                    word.history = History::new();
                }
            }
            Row { version, history, changed, deleted_ms, cells }
        },
    )
}

fn any_question(remotes: usize) -> impl Strategy<Value = Question> {
    let why = prop::sample::select(vec![
        Why::Conflict,
        Why::DeletedThere,
        Why::DeletedHere,
        Why::Deletion,
        Why::Ignored,
        Why::OutsideScan,
        Why::Sensitive,
        Why::InTheWay,
        Why::Unreadable,
    ]);
    let old = any_content(Format::V1_3)
        .prop_map(|content| (Version { generation: 0, content }, History::new()));
    let version = prop_oneof![3 => any_version(), 1 => old];
    let member = option::of(1..=100_000u32);
    (any_path(), version, 0..remotes, any::<[u8; 32]>(), member, why, any::<u64>()).prop_map(
        |(path, (version, history), remote, package, member, why, at_ms)| Question {
            path,
            version,
            history,
            remote,
            package,
            member,
            why,
            at_ms,
        },
    )
}

fn any_project() -> impl Strategy<Value = Project> {
    any_format().prop_flat_map(any_identity).prop_flat_map(|identity| {
        let format = identity.format;
        let remotes = identity.remotes.len();
        let rows = btree_map(path_of(format), any_row(format, remotes), 0..6);
        // Only format 2.0 asks for what it lacks.
        let count = if format == Format::V2_0 { 0..3 } else { 0..1 };
        let lacking = btree_map(any_path(), vec(any_cell(Format::V2_0), remotes), count);
        (
            (any::<u64>(), 0..=GENERATION_MAX),
            vec(any_correspondence(), remotes),
            (rows, lacking),
            vec(any_question(remotes), 0..3),
            btree_set((any::<[u8; 32]>(), any_path()), 0..3),
        )
            .prop_map(
                move |((clock, forgotten), remotes, (rows, mut lacking), questions, settled)| {
                    lacking.retain(|path, _| !rows.contains_key(path));
                    Project {
                        identity: identity.clone(),
                        knowledge: Knowledge {
                            clock,
                            forgotten,
                            remotes,
                            rows,
                            lacking,
                            questions: questions.into_iter().collect(),
                            settled,
                        },
                    }
                },
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_read_back(bytes in vec(any::<u8>(), 0..40)) {
        let mut text = Vec::new();
        percent::encode(&bytes, &mut text);
        prop_assert!(std::str::from_utf8(&text).is_ok());
        prop_assert!(!text.iter().any(|&b| b <= b' ' || b == 0x7f));
        prop_assert_eq!(percent::decode(&text), Ok(bytes));
    }

    #[test]
    fn a_name_has_one_spelling(text in vec(prop::sample::select(&b"%0123cC89aAfFeE \xc3\xa9x"[..]), 0..12)) {
        if let Ok(bytes) = percent::decode(&text) {
            let mut again = Vec::new();
            percent::encode(&bytes, &mut again);
            prop_assert_eq!(again, text);
        }
    }

    #[test]
    fn orders_are_read_back(model in any_orders()) {
        let text = orders::print(&model);
        let read = orders::parse(&text[..], "orders").unwrap();
        prop_assert_eq!(&read, &model);
        prop_assert_eq!(orders::print(&read), text);
    }

    #[test]
    fn a_line_lost_never_passes_unseen(model in any_orders(), at in any::<prop::sample::Index>()) {
        let text = orders::print(&model);
        let mut lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
        let at = at.index(lines.len());
        lines.remove(at);
        // Without a line orders may be sound, but never the same; but in 1.3 an empty title and
        // none are one.
        let is_empty_title = model.identity.title.is_empty();
        if let Ok(read) = orders::parse(&lines.concat()[..], "orders") && !is_empty_title {
            prop_assert_ne!(read, model);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(model in any_orders(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = orders::print(&model);
        let at = at.index(text.len());
        text[at] = byte;
        let _ = orders::parse(&text[..], "orders");
        let _ = project::parse(&text, ".remsync");
    }

    #[test]
    fn projects_are_read_back(model in any_project()) {
        let remsync = project::print(&model);
        let mut read = project::parse(&remsync, ".remsync").unwrap();
        prop_assert_eq!(&read.identity, &model.identity);
        let ledger = ledger::print(&model);
        ledger::parse_into(&mut read, &ledger[..], "ledger").unwrap();
        prop_assert_eq!(&read, &model);
        prop_assert_eq!(project::print(&read), remsync);
        prop_assert_eq!(ledger::print(&read), ledger);
    }

    #[test]
    fn a_cut_ledger_is_a_fault(model in any_project(), at in any::<prop::sample::Index>()) {
        let ledger = ledger::print(&model);
        let mut read = project::parse(&project::print(&model), ".remsync").unwrap();
        // The last newline may be missing: nothing is lost with it.
        let cut = at.index(ledger.len() - 1);
        // "end 12" cut to "end 1" is a fault by its count.
        prop_assert!(ledger::parse_into(&mut read, &ledger[..cut], "ledger").is_err());
    }

    #[test]
    fn replaying_twice_is_replaying_once(old in any_project(), seed in any::<u64>()) {
        // The new state differs from the old in every second row, and in what is no row.
        let mut new = old.clone();
        new.knowledge.clock = new.knowledge.clock.wrapping_add(1);
        let paths: Vec<TreePath> = new.knowledge.rows.keys().cloned().collect();
        let mut touched = BTreeSet::new();
        for (at, path) in paths.into_iter().enumerate() {
            match (seed >> (2 * at)) & 3 {
                0 => drop(new.knowledge.rows.remove(&path)),
                1 => new.knowledge.rows.get_mut(&path).unwrap().changed = 5,
                _ => continue,
            }
            touched.insert(path);
        }
        let bytes = journal::transaction(&new, &touched, 1);
        let mut read = old;
        journal::replay(&mut read, &bytes, "journal").unwrap();
        prop_assert_eq!(&read, &new);
        journal::replay(&mut read, &bytes, "journal").unwrap();
        prop_assert_eq!(&read, &new);
    }
}
