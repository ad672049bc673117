//! The outbox on a real disk: what is put, found, counted and forgotten.

use super::*;
use crate::model::limits::PATH_BYTES_MAX;

const NOW: u64 = 1_800_000_000_000;

fn address(name: &str) -> Address {
    Address::new(name).unwrap()
}

fn unsent(bytes: &[u8]) -> Unsent {
    Unsent {
        sha256: Sha256::digest(bytes).into(),
        size_bytes: bytes.len() as u64,
        mail_bytes: 2_000,
        message_id: "<remsync.0.1@x>".into(),
        in_reply_to: "remsync.1.1@y".into(),
        made_ms: NOW,
        files: 3,
        removes: 1,
        is_part: false,
        sealed: None,
        volumes: None,
    }
}

fn note(to: &str, bytes: &[u8]) -> Note {
    Note { package: Some(unsent(bytes)), serial: 7, ..Note::new(&address(to)) }
}

fn outbox() -> (tempfile::TempDir, Outbox) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(dir.path());
    (dir, outbox)
}

fn put(outbox: &Outbox, note: &Note, bytes: &[u8]) {
    let draft = outbox.draft().unwrap();
    fs::write(&draft, bytes).unwrap();
    outbox.put(note, Some(&draft)).unwrap();
}

#[test]
fn what_is_put_is_found_and_goes() {
    let (dir, outbox) = outbox();
    assert_eq!(outbox.notes().unwrap(), []);
    assert!(!dir.path().join(FOLDER).exists(), "nothing is made for looking");
    let path = |length: usize| TreePath::new(&vec![b'x'; length]).unwrap();
    let left = |path| LeftOut { path, signature: "1f".into(), mail_bytes: 9 };
    let full = Note {
        state: NoteState::Refused,
        status: "5.3.4".into(),
        reason: "552 100% too\tbig\r\n\u{9b}x %41".into(),
        attempts: u32::MAX,
        unanswered: 6,
        first_ms: 1,
        last_ms: NOW,
        next_ms: u64::MAX,
        limit_bytes: Some(1 << 20),
        carrier: "0f".into(),
        asked_bytes: 4,
        approved_bytes: 5,
        left_out: vec![
            left(TreePath::new(b"two words\n\xff%").unwrap()),
            left(path(255)),
            left(TreePath::new(&b"abc/".repeat(PATH_BYTES_MAX / 4)[..1_019]).unwrap()),
        ],
        ..note("b@b", b"one")
    };
    put(&outbox, &full, b"one");
    assert_eq!(outbox.find(&full.to).unwrap(), Some(full.clone()));
    assert_eq!(outbox.limit(&full.to, NOW).unwrap(), Some(1 << 20));
    let second = note("a@a", b"two");
    put(&outbox, &second, b"two");
    assert_eq!(outbox.notes().unwrap(), [second.clone(), full.clone()], "by site");
    assert_eq!(fs::read(outbox.package_path(&full).unwrap()).unwrap(), b"one");
    // Another takes its place, and its bytes go.
    let old = outbox.package_path(&full).unwrap();
    put(&outbox, &note("b@b", b"three"), b"three");
    assert!(!old.exists());
    assert_eq!(outbox.notes().unwrap().len(), 2);
    outbox.remove(&full.to).unwrap();
    outbox.remove(&full.to).unwrap();
    assert_eq!(outbox.notes().unwrap(), [second]);
    assert_eq!(outbox.limit(&full.to, NOW).unwrap(), Some(1 << 20), "what was learnt stays");
    assert_eq!(outbox.names().unwrap().len(), 3, "a note, its bytes, the limits");
}

#[test]
fn threads_are_kept_by_site_and_outlive_the_notes() {
    let (_dir, outbox) = outbox();
    let thread = |to: &str| outbox.thread(&address(to)).unwrap();
    assert_eq!(thread("b@x.example"), None);
    let last = |id: &str| [(address("b@x.example"), id.to_owned())].into();
    outbox.put_threads(&last("remsync.1.1@b")).unwrap();
    outbox.put_threads(&[(address("c@x.example"), "other@c".to_owned())].into()).unwrap();
    outbox.put_threads(&last("remsync.2.1@b")).unwrap();
    put(&outbox, &note("b@x.example", b"PK"), b"PK");
    outbox.remove(&address("b@x.example")).unwrap();
    assert_eq!(thread("b@x.example").as_deref(), Some("remsync.2.1@b"));
    assert_eq!(thread("c@x.example").as_deref(), Some("other@c"));
    assert_eq!(thread("d@x.example"), None);
}

#[test]
fn a_note_has_bytes_or_is_none() {
    let (_dir, outbox) = outbox();
    let note = note("b@b", b"one");
    put(&outbox, &note, b"one");
    fs::remove_file(outbox.package_path(&note).unwrap()).unwrap();
    assert_eq!(outbox.find(&note.to).unwrap(), None);
    put(&outbox, &note, b"one");
    fs::write(outbox.note_path(&note.to), "to\tb@b\nstate\twai").unwrap();
    assert_eq!(outbox.find(&note.to).unwrap(), None, "a torn one is none");
    outbox.put(&Note::new(&address("c@c")), None).unwrap();
    assert!(!outbox.bytes_path(&Sha256::digest(b"one").into()).exists(), "and is swept");
}

#[test]
fn pauses_grow_and_end() {
    let minutes = |ms: u64| ms / MINUTE_MS;
    let pauses: Vec<u64> = (0..9).map(|attempts| minutes(pause_ms(attempts))).collect();
    assert_eq!(pauses, [0, 5, 10, 20, 40, 80, 160, 240, 240]);
    assert_eq!(minutes(pause_ms(u32::MAX)), 240);
    let pauses: Vec<u64> = (1..8).map(|n| minutes(returned_pause_ms(n)) / 60).collect();
    assert_eq!(pauses, [4, 8, 16, 32, 64, 96, 96]);
}

#[test]
fn whose_turn_it_is() {
    use super::Call::{Pressing, Typed, Unattended};
    use NoteState::{Delayed, Held, Refused, Waiting};
    let (later, past) = (NOW + 1, NOW);
    let table = [
        ("its pause is not over", Waiting, true, later, true, Unattended, Turn::NotYet),
        ("it is over", Waiting, true, past, true, Unattended, Turn::Again),
        ("the clock was wrong", Waiting, true, NOW * 2, true, Unattended, Turn::Again),
        ("a person is there", Waiting, true, later, true, Typed, Turn::Again),
        ("it is named", Waiting, true, later, true, Pressing, Turn::Again),
        ("there is something else to say", Waiting, true, later, false, Unattended, Turn::Anew),
        ("refused as it is", Refused, true, 0, true, Unattended, Turn::NotYet),
        ("refused, a person is there", Refused, true, 0, true, Typed, Turn::NotYet),
        ("refused, and named", Refused, true, 0, true, Pressing, Turn::Again),
        ("refused, and something else", Refused, true, later, false, Unattended, Turn::Anew),
        ("held", Held, true, 0, true, Unattended, Turn::Ask),
        ("held, and named", Held, true, 0, true, Pressing, Turn::Ask),
        ("held, and something else", Held, true, 0, false, Unattended, Turn::Anew),
        ("came back", Refused, false, later, false, Typed, Turn::NotYet),
        ("came back long ago", Refused, false, past, false, Unattended, Turn::Anew),
        ("came back, and named", Refused, false, later, false, Pressing, Turn::Anew),
        ("late", Delayed, false, later, false, Unattended, Turn::Anew),
        ("left out", Held, false, 0, false, Unattended, Turn::Anew),
    ];
    for (name, state, has_package, next_ms, stands, call, turn) in table {
        let package = has_package.then(|| unsent(b"x"));
        let note = Note { state, package, next_ms, ..note("b@b", b"x") };
        assert_eq!(note.turn(stands, call, NOW), turn, "{name}");
    }
}

#[test]
fn mails_that_come_back_grow_rare() {
    let (_dir, outbox) = outbox();
    let to = address("b@b");
    let of = |serial| (serial, "5.1.1", "no such user");
    for (attempts, serial, limit, pause_h) in
        // The second of 7 is another volume of the same package.
        [
            (1, 5, None, 4),
            (2, 6, None, 8),
            (2, 5, None, 8),
            (3, 7, Some(1 << 20), 0),
            (3, 7, None, 0),
        ]
    {
        let (serial, status, reason) = of(serial);
        outbox.returned(&to, serial, status, reason, limit, NOW).unwrap();
        let note = outbox.find(&to).unwrap().unwrap();
        assert_eq!((note.state, note.attempts), (NoteState::Refused, attempts));
        assert_eq!(note.next_ms, NOW + pause_h * HOUR_MS, "{serial}");
    }
    let came_back = outbox.find(&to).unwrap().unwrap();
    let rest = Note::new(&to).rest(Some(&came_back), 9).unwrap();
    assert_eq!((rest.state, rest.serial, rest.attempts), (NoteState::Delayed, 9, 3));
    let with = |seen| Correspondence { seen, ..Correspondence::default() };
    assert!(!rest.is_settled(&with(8), Format::V2_0));
    assert!(rest.is_settled(&with(9), Format::V2_0), "its own word shows that it got it");
    // What waits is not touched, but a limit is learnt.
    let waits = note("c@c", b"x");
    put(&outbox, &waits, b"x");
    outbox.returned(&waits.to, 6, "5.3.4", "too big", Some(1), NOW).unwrap();
    assert_eq!(outbox.find(&waits.to).unwrap(), Some(waits.clone()));
    let limit = |now_ms| outbox.limit(&waits.to, now_ms).unwrap();
    assert_eq!(limit(NOW), Some(MAIL_LIMIT_BYTES_MIN), "no limit is believed below what all take");
    assert_eq!(limit(NOW + LIMIT_KEPT_MS - 1), Some(MAIL_LIMIT_BYTES_MIN));
    assert_eq!(limit(NOW + LIMIT_KEPT_MS), None);
    outbox.delayed(&waits.to, 6, "4.0.0", "late", NOW).unwrap();
    assert_eq!(outbox.find(&waits.to).unwrap(), Some(waits));
    let third = address("d@d");
    outbox.delayed(&third, 6, "4.0.0", "late", NOW).unwrap();
    assert_eq!(outbox.find(&third).unwrap().unwrap().state, NoteState::Delayed);
}

#[test]
fn a_volume_that_comes_back_makes_all_go_again() {
    let (_dir, outbox) = outbox();
    let room_bytes = NonZeroU64::new(400).unwrap();
    let cut = |sent, sent_bytes| Some(Volumes { sent, sent_bytes, room_bytes });
    let mut waits = note("c@c", b"x");
    waits.package.as_mut().unwrap().volumes = cut(2, 800);
    put(&outbox, &waits, b"x");
    for (serial, expected) in [(waits.serial - 1, cut(2, 800)), (waits.serial, cut(0, 0))] {
        outbox.returned(&waits.to, serial, "5.3.4", "too big", None, NOW).unwrap();
        let found = outbox.find(&waits.to).unwrap().unwrap();
        assert_eq!(found.package.unwrap().volumes, expected, "{serial}");
    }
}

#[test]
fn what_got_there_is_settled() {
    let package = note("b@b", b"x");
    let came_back = Note { package: None, last_ms: 50, ..package.clone() };
    let held = Note { state: NoteState::Held, ..came_back.clone() };
    let with =
        |last, seen, heard_ms| Correspondence { last, seen, heard_ms, ..Correspondence::default() };
    let table = [
        ("nothing is known", with(6, 6, 50), [false, false, false], [false, false, false]),
        ("killed before the note went", with(7, 6, 0), [true, false, false], [true, false, false]),
        ("it says so itself", with(6, 7, 0), [true, true, false], [false, false, false]),
        ("it said something since", with(6, 6, 51), [false, false, false], [false, true, false]),
    ];
    for (name, with, ours, classic) in table {
        let settled = |format| [&package, &came_back, &held].map(|n| n.is_settled(&with, format));
        assert_eq!(settled(Format::V2_0), ours, "{name}");
        assert_eq!(settled(Format::V1_3), classic, "{name}");
    }
}

#[test]
fn reasons_are_the_same_but_for_numbers() {
    let of = |status: &str, reason: &str| Note {
        status: status.into(),
        reason: reason.into(),
        ..Note::new(&address("b@b"))
    };
    for (a, b, same) in [
        (("4.7.1", "wait 300 s"), ("4.7.1", "queue is full"), true),
        (("4.7.1", "wait"), ("4.3.0", "wait"), false),
        (("", "451 try in 287 seconds"), ("", "451 try in 12 seconds"), true),
        (("", "451 try later"), ("", "451 no"), false),
    ] {
        assert_eq!(of(a.0, a.1).is_same_reason(&of(b.0, b.1)), same, "{a:?} {b:?}");
    }
}
