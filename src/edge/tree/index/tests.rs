//! The index as it is written and read back, what damages it, and what it must not tell.

use super::*;
use crate::edge::settled::GRAIN_S;
use std::fs;

const FILE: FileType = FileType::RegularFile;
const WISH: Wish = [3; 16];

/// Whether name `n` of a folder is wanted.
fn answer(n: u64) -> Option<bool> {
    [None, Some(true), Some(false)][(n % 3) as usize]
}

fn marks(inode: u64) -> Marks {
    Marks { inode, size_bytes: 3, executable: true, mtime: (5, 6), ctime: (7, 8) }
}

fn signature(n: u64) -> Signature {
    Signature::Sha256 { digest: [n as u8; 32], executable: true }
}

fn stamps(inode: u64) -> Stamps {
    Stamps { inode, mtime: (5, 6), ctime: (7, 8) }
}

fn tree() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".remsync.d")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// The names of folder `inode`, with what they are.
fn names(inode: u64) -> Vec<(Vec<u8>, FileType)> {
    let mut names = vec![
        (b"a file".to_vec(), FILE),
        (b"folder".to_vec(), FileType::Directory),
        (b"link".to_vec(), FileType::Symlink),
        (b"pipe".to_vec(), FileType::Unknown),
        (b"\xff not text".to_vec(), FILE),
        (vec![b'x'; 255], FILE),
    ];
    names.extend((0..inode).map(|n| (format!("y {n:05}").into_bytes(), FILE)));
    names
}

/// Writes an index of 20 folders, where every file but the first of each is known.
fn write(root: &Root) {
    let mut index = NewIndex::begin(root).unwrap();
    for inode in (1..=20).rev() {
        let mut record = Record::new(&stamps(inode), WISH);
        let mut news = Vec::new();
        for (n, (name, kind)) in (0..).zip(names(inode)) {
            record.push(&name, kind, answer(n.into()), None);
            if kind == FILE && n > 0 {
                let n64 = u64::from(n);
                news.push((n, Some((marks(inode + n64), signature(n64)))));
            }
        }
        index.add(&record, &news).unwrap();
    }
    index.finish().unwrap();
}

/// Checks that what the index knows of all folders is what was written; returns of how many it knows.
fn check(root: &Root, what: &str) -> usize {
    let Some(index) = Index::open(root) else { return 0 };
    let mut count = 0;
    for inode in 1..=20 {
        let Some(record) = index.folder(&stamps(inode)) else { continue };
        count += 1;
        assert_eq!(record.stamps(), Some(stamps(inode)), "{what}");
        let told: Vec<_> =
            record.entries().map(|entry| (record.name(&entry).to_vec(), entry.kind)).collect();
        assert_eq!(told, names(inode), "{what}");
        assert_eq!(record.wish(), Some(WISH), "{what}");
        for (n, entry) in (0..).zip(record.entries()) {
            assert_eq!(entry.is_wanted, answer(n), "{what}: {inode} {n}");
            let known = entry.known.and_then(|at| known(record.bytes(), at, &marks(inode + n)));
            let is_known = entry.kind == FILE && n > 0;
            assert_eq!(known, is_known.then(|| signature(n)), "{what}: {inode} {n}");
        }
    }
    count
}

#[test]
fn what_is_written_is_found_in_any_order() {
    let (dir, root) = tree();
    assert!(Index::open(&root).is_none());
    write(&root);
    assert_eq!(check(&root, "sound"), 20);
    let index = Index::open(&root).unwrap();
    assert_eq!(index.folders(), 20);
    assert!(index.folder(&stamps(21)).is_none());
    let left = fs::read_dir(dir.path().join(".remsync.d")).unwrap().count();
    assert_eq!(left, 1, "no draft is left");
}

#[test]
fn each_mark_counts() {
    let mut known_bytes = Record::new(&stamps(1), WISH);
    let mut bytes = Vec::new();
    marks(1).write(&mut bytes);
    bytes.extend([9; 32]);
    known_bytes.push_raw(b"name", (FILE, None), Some(&bytes));
    let at = known_bytes.entries().next().unwrap().known.unwrap();
    let same = marks(1);
    for other in [
        Marks { inode: 2, ..same },
        Marks { size_bytes: 4, ..same },
        Marks { executable: false, ..same },
        Marks { mtime: (5, 7), ..same },
        Marks { mtime: (4, 6), ..same },
        Marks { ctime: (7, 9), ..same },
        Marks { ctime: (8, 8), ..same },
    ] {
        assert_eq!(known(known_bytes.bytes(), at, &other), None, "{other:?}");
    }
    assert!(known(known_bytes.bytes(), at, &same).is_some());
}

#[test]
fn what_was_hashed_takes_the_place_of_what_was_known() {
    let (_dir, root) = tree();
    write(&root);
    let old = Index::open(&root).unwrap();
    let mut index = NewIndex::begin(&root).unwrap();
    let news = [(4, Some((marks(70), signature(7)))), (5, None)];
    index.add(&old.folder(&stamps(1)).unwrap(), &news).unwrap();
    index.finish().unwrap();
    let record = Index::open(&root).unwrap().folder(&stamps(1)).unwrap();
    let entries: Vec<Entry> = record.entries().collect();
    let of = |n: usize, marks: Marks| known(record.bytes(), entries[n].known?, &marks);
    assert_eq!(of(4, marks(70)), Some(signature(7)));
    assert_eq!(of(4, marks(5)), None);
    assert_eq!(entries[5].known, None, "it could not be hashed");
    assert_eq!(of(6, marks(7)), Some(signature(6)), "as before");
    assert_eq!(entries.len(), names(1).len());
}

/// A clock that was put back makes times that lie ahead: what has them is never believed.
#[test]
fn what_changed_just_now_is_not_believed() {
    let (_dir, root) = tree();
    let mut index = NewIndex::begin(&root).unwrap();
    let began = index.began_s;
    let cases = [
        (began, 0, false),
        (0, began, false),
        (0, began - GRAIN_S, false),
        (0, began - GRAIN_S - 1, true),
        (began + 100, 0, false),
        (0, began + 100_000, false),
        (-5, -7, true),
    ];
    for (inode, (mtime, ctime, _)) in (1..).zip(cases) {
        let mut record =
            Record::new(&Stamps { mtime: (mtime, 0), ctime: (ctime, 0), ..stamps(inode) }, WISH);
        record.push(b"name", FILE, None, None);
        let marks = Marks { mtime: (mtime, 0), ctime: (ctime, 0), ..marks(inode) };
        index.add(&record, &[(0, Some((marks, signature(1))))]).unwrap();
    }
    index.finish().unwrap();
    let index = Index::open(&root).unwrap();
    for (inode, (mtime, ctime, is_kept)) in (1..).zip(cases) {
        let then = Stamps { mtime: (mtime, 0), ctime: (ctime, 0), ..stamps(inode) };
        let record = index.folder(&then).unwrap();
        assert_eq!(record.stamps() == Some(then), is_kept, "folder {mtime} {ctime}");
        let is_known = record.entries().next().unwrap().known.is_some();
        assert_eq!(is_known, is_kept, "file {mtime} {ctime}");
    }
}

#[test]
fn damage_costs_time_and_nothing_else() {
    let (dir, root) = tree();
    write(&root);
    let path = dir.path().join(".remsync.d/index");
    let sound = fs::read(&path).unwrap();
    let mut missing = 0;
    for at in (0..sound.len()).step_by(97) {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        let longer = [&sound[..], &sound[..at]].concat();
        for (what, bytes) in [("flipped", &flipped[..]), ("cut", &sound[..at]), ("longer", &longer)]
        {
            fs::write(&path, bytes).unwrap();
            missing += 20 - check(&root, &format!("{what} at {at}"));
        }
    }
    assert!(missing > 0);
    // An older one is none.
    let old = [b"remsync index 3\n", &sound[MAGIC.len()..]].concat();
    fs::write(&path, old).unwrap();
    assert!(Index::open(&root).is_none());
}

/// What no file system has as a name never gets to be one here, be its checksum right.
#[test]
fn names_are_names() {
    for name in ["", ".", "..", "a/b", "../x", "a\0b"] {
        let mut record = Record::new(&stamps(1), WISH);
        record.push(b"before", FILE, None, None);
        record.push(name.as_bytes(), FILE, Some(true), None);
        assert!(!record.is_sound(), "{name:?}");
    }
    let mut record = Record::new(&stamps(1), WISH);
    assert!(record.is_sound(), "an empty folder");
    for name in ["...", ".a", "a b", "-"] {
        record.push(name.as_bytes(), FILE, Some(true), None);
    }
    assert!(record.is_sound());
    for cut in 1..8 {
        let bytes = record.bytes()[..record.bytes().len() - cut].to_vec();
        assert_eq!(Record { bytes }.is_sound(), cut == 5, "{cut}");
    }
}

/// Who is killed leaves his draft; the next but one takes it away.
#[test]
fn drafts_of_the_dead_are_swept() {
    let (dir, root) = tree();
    let at = |name: &str| dir.path().join(".remsync.d").join(name);
    let old = ["index.123", "sections.9"];
    let kept = ["index.12x", "index.", "index.1.2", "sections", "journal.7", "xindex.1"];
    for name in old.iter().chain(&kept) {
        fs::write(at(name), "").unwrap();
        let hours = std::time::Duration::from_secs(2 * 3_600);
        let file = fs::File::options().write(true).open(at(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - hours).unwrap();
    }
    fs::write(at("index.4"), "").unwrap();
    drop(NewIndex::begin(&root).unwrap());
    for name in old {
        assert!(!at(name).exists(), "{name}");
    }
    for name in kept.iter().chain(&["index.4"]) {
        assert!(at(name).exists(), "{name}");
    }
}
