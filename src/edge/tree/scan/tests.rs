//! Scans beside an index that lies, and what makes them look for themselves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::*;
use crate::edge::tree::index::{Record, Stamps};
use crate::model::Signature;

const LIE: Signature = Signature::Sha256 { digest: [7; 32], executable: false };
/// As what is believed: changed long enough before it was looked at.
const SETTLED: Duration = Duration::from_millis(3_100);

fn scan(root: &Root) -> Scan {
    root.scan(Format::V2_0, &|_, _| Ok(true)).unwrap()
}

/// Scans as if for the first time.
fn scan_anew(root: &Root, top: &Path) -> Scan {
    let _ = fs::remove_file(top.join(".remsync.d/index"));
    scan(root)
}

fn names_of(scan: &Scan) -> Vec<String> {
    scan.files.iter().map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
}

fn stamps(folder: &Path) -> Stamps {
    Stamps::of(&rustix::fs::stat(folder).unwrap())
}

fn times(at: &Path) -> SystemTime {
    fs::metadata(at).unwrap().modified().unwrap()
}

/// Sets the modification time back, as `touch -d` does: of a folder too.
fn put_back(at: &Path, time: SystemTime) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = Timespec {
        tv_sec: since.as_secs().try_into().unwrap(),
        tv_nsec: since.subsec_nanos().into(),
    };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, AtFlags::empty()).unwrap();
}

/// Writes an index by which every file of these folders holds [`LIE`], and `hidden` is not there.
fn write_lies(root: &Root, top: &Path, folders: &[&str]) {
    let mut index = NewIndex::begin(root).unwrap();
    for folder in folders {
        let folder = top.join(folder);
        let fd = rustix::fs::open(&folder, rustix::fs::OFlags::RDONLY, 0.into()).unwrap();
        let mut record = Record::new(&stamps(&folder), Wish::default());
        let mut news = Vec::new();
        for (name, kind) in names(fd.as_fd()).unwrap() {
            if name == b"hidden" {
                continue;
            }
            let at = folder.join(String::from_utf8(name.clone()).unwrap());
            if kind == FileType::RegularFile {
                let marks = Marks::of(&rustix::fs::stat(&at).unwrap());
                news.push((record.entries().count().try_into().unwrap(), Some((marks, LIE))));
            }
            record.push(&name, kind, None, None);
        }
        index.add(&record, &news).unwrap();
    }
    index.finish().unwrap();
}

/// An index that lies shows which files are read: those whose inode says anything else.
#[test]
fn what_the_index_knows_is_not_read_and_what_changed_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at(".remsync.d")).unwrap();
    let names = ["chmod", "edited", "grown", "put/there", "renamed", "same", "touched"];
    fs::create_dir(at("put")).unwrap();
    for name in names {
        fs::write(at(name), "text").unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    std::thread::sleep(SETTLED);
    write_lies(&root, dir.path(), &["", "put"]);
    assert!(scan(&root).files.iter().all(|(_, found)| found.signature == LIE));

    // The same size and modification time, as cp -p and some editors leave it.
    let time = times(&at("edited"));
    fs::write(at("edited"), "TEXT").unwrap();
    put_back(&at("edited"), time);
    fs::write(at("new"), "TEXT").unwrap();
    put_back(&at("new"), times(&at("put/there")));
    fs::rename(at("new"), at("put/there")).unwrap();
    fs::write(at("grown"), "texts").unwrap();
    put_back(&at("touched"), time + Duration::from_secs(1));
    fs::set_permissions(at("chmod"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(at("renamed"), at("moved")).unwrap();
    let read: Vec<String> = scan(&root)
        .files
        .iter()
        .filter(|(_, found)| found.signature != LIE)
        .map(|(path, _)| String::from_utf8_lossy(path).into_owned())
        .collect();
    assert_eq!(read, ["chmod", "edited", "grown", "moved", "put/there", "touched"]);
    // Nor is it asked for the other format, whose signatures it does not have.
    let sums = root.scan(Format::V1_3, &|_, _| Ok(true)).unwrap().files;
    assert!(sums.iter().all(|(_, found)| matches!(found.signature, Signature::Sum(_))));
}

/// An index that hides a file shows in which folders the names are read: those whose inode says
/// anything else.
#[test]
fn names_are_read_where_the_folder_changed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at(".remsync.d")).unwrap();
    let folders = [
        "added", "linked", "mode", "moved", "removed", "renamed", "replaced", "same", "swapped",
        "touched",
    ];
    for folder in folders {
        fs::create_dir(at(folder)).unwrap();
        for name in ["a", "b", "hidden"] {
            fs::write(at(folder).join(name), "text").unwrap();
        }
    }
    fs::write(at("spare"), "other").unwrap();
    let root = Root::open(dir.path()).unwrap();
    std::thread::sleep(SETTLED);
    write_lies(&root, dir.path(), &folders);
    if !Index::open(&root).unwrap().knows_names() {
        assert_eq!(scan(&root).files.len(), 31, "each folder is listed");
        return;
    }
    let hidden = |scan: &Scan| -> Vec<String> {
        let ends: Vec<String> = names_of(scan);
        ends.iter().filter_map(|name| Some(name.strip_suffix("/hidden")?.to_owned())).collect()
    };
    assert_eq!(hidden(&scan(&root)), [""; 0], "no names are read");

    let back = |folder: &str, act: &dyn Fn(PathBuf)| {
        let time = times(&at(folder));
        act(at(folder));
        put_back(&at(folder), time);
    };
    back("added", &|folder| fs::write(folder.join("new"), "text").unwrap());
    back("removed", &|folder| fs::remove_file(folder.join("a")).unwrap());
    back("renamed", &|folder| fs::rename(folder.join("a"), folder.join("c")).unwrap());
    back("replaced", &|folder| fs::rename(at("spare"), folder.join("a")).unwrap());
    back("touched", &|_| {});
    fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::rename(at("moved"), at("there")).unwrap();
    // Another folder of the same names and time.
    let time = times(&at("swapped"));
    fs::rename(at("swapped"), at("aside")).unwrap();
    fs::create_dir(at("swapped")).unwrap();
    for name in ["a", "b", "hidden"] {
        fs::rename(at("aside").join(name), at("swapped").join(name)).unwrap();
    }
    put_back(&at("swapped"), time);
    // The same folder, elsewhere, and a link to it in its place.
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    fs::rename(at("linked"), outside.path().join("linked")).unwrap();
    symlink(outside.path().join("linked"), at("linked")).unwrap();

    let seen = scan(&root);
    let listed = ["added", "mode", "removed", "renamed", "replaced", "swapped", "there", "touched"];
    assert_eq!(hidden(&seen), listed, "all but what did not change");
    let names = names_of(&seen);
    let has = |name: &str| names.iter().any(|known| known == name);
    assert!(has("added/new") && has("renamed/c") && has("same/a") && has("there/a"));
    assert!(!has("removed/a") && !has("renamed/a") && !has("moved/a") && !has("linked/a"));
    assert_eq!((seen.links, seen.empty_folders), (1, 1));
    let path = crate::model::TreePath::new(b"replaced/a").unwrap();
    assert_ne!(seen.files[&path].signature, LIE, "it is read");
    // The lies are gone with the index.
    let truth = scan_anew(&root, dir.path());
    assert_eq!(truth.files.len(), seen.files.len() + 1);
    assert!(truth.files.iter().all(|(_, found)| found.signature != LIE));
}

/// Scans for what one of three choices wants, which judge by the whole path; returns how often it was
/// asked too.
fn scan_by(root: &Root, rules: usize) -> (Scan, usize) {
    let asked = AtomicUsize::new(0);
    let wants = |path: &[u8], kind| {
        asked.fetch_add(1, Ordering::Relaxed);
        let sum: usize = path.iter().map(|byte| usize::from(*byte)).sum();
        match (sum + rules) % 7 {
            0 => Err("not to be told".to_owned()),
            1 => Ok(false),
            _ => Ok(kind == Kind::Folder || rules != 2 || !path.ends_with(b"0")),
        }
    };
    let follows_from = [b'0' + u8::try_from(rules).unwrap()];
    let wanted = Wanted { wants: &wants, follows_from: Some(&follows_from) };
    let (_, scan, _) = root.scan_along(Format::V2_0, (&wanted, &Seen::default()), |_| ()).unwrap();
    (scan, asked.into_inner())
}

/// What a scan with an index finds is what one without finds, whatever was done in between.
#[test]
fn an_index_changes_nothing_that_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = |folder: usize, file: usize| dir.path().join(format!("d{folder}/f{file}"));
    fs::create_dir(dir.path().join(".remsync.d")).unwrap();
    for folder in 0..24 {
        fs::create_dir(dir.path().join(format!("d{folder}"))).unwrap();
        for file in 0..10 {
            fs::write(at(folder, file), format!("{folder} {file}")).unwrap();
        }
    }
    let root = Root::open(dir.path()).unwrap();
    let first = scan_by(&root, 0).0;
    std::thread::sleep(SETTLED);
    assert_eq!(scan_by(&root, 0).0, first);
    let index = dir.path().join(".remsync.d/index");
    let settled = fs::read(&index).unwrap();
    // As dice that fall the same each time.
    let mut dice = 1_994_u64;
    let mut throw = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    for round in 0..60 {
        let (folder, other) = (throw(24), throw(24));
        let (file, name) = (at(folder, throw(10)), at(other, throw(12)));
        let parent = dir.path().join(format!("d{folder}"));
        let before = parent.exists().then(|| times(&parent));
        // Some fail, for what they were to be done to is gone: that is as good.
        let _ = match throw(9) {
            0 => fs::write(&file, "another"),
            1 => fs::remove_file(&file),
            2 => fs::rename(&file, &name),
            3 => fs::hard_link(&file, &name),
            4 => symlink("elsewhere", &name),
            5 => fs::create_dir_all(&name).and_then(|()| fs::write(name.join("below"), "x")),
            6 => fs::rename(&parent, dir.path().join(format!("d{other}/moved"))),
            7 => fs::set_permissions(&file, fs::Permissions::from_mode(0o700 + round % 8)),
            _ => fs::remove_dir_all(&parent),
        };
        if let Some(before) = before.filter(|_| round % 2 == 0 && parent.exists()) {
            put_back(&parent, before);
        }
        fs::write(&index, &settled).unwrap();
        let (rules, then) = (throw(3), throw(3));
        for rules in [rules, then] {
            let (with, _) = scan_by(&root, rules);
            let kept = fs::read(&index).unwrap();
            fs::remove_file(&index).unwrap();
            assert_eq!(with, scan_by(&root, rules).0, "round {round}, {rules}");
            fs::write(&index, kept).unwrap();
        }
    }
}

/// What was answered once is not asked again, until the folder has another path or other names, or
/// another choice asks.
#[test]
fn an_answer_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at(".remsync.d")).unwrap();
    for folder in 0..80 {
        fs::create_dir_all(at(&format!("d{folder}/e"))).unwrap();
        fs::create_dir_all(at(&format!("d{folder}/h0"))).unwrap();
        for name in ["f1", "e/f2"] {
            fs::write(at(&format!("d{folder}/{name}")), "text").unwrap();
        }
    }
    let root = Root::open(dir.path()).unwrap();
    std::thread::sleep(SETTLED);
    let scanned = |rules: usize, what: &str| {
        let found = scan_by(&root, rules);
        let index = fs::read(at(".remsync.d/index")).unwrap();
        fs::remove_file(at(".remsync.d/index")).unwrap();
        let (anew, all) = scan_by(&root, rules);
        assert_eq!(found.0, anew, "{what}");
        fs::write(at(".remsync.d/index"), index).unwrap();
        let untold = anew.unknown.len();
        assert!(untold > 10 && all > 200, "{what}: {untold} of {all}");
        (found.1, all, untold)
    };
    scan_by(&root, 0);
    // What could not be told is asked each time.
    let (asked, _, untold) = scanned(0, "once more");
    assert_eq!(asked, untold);
    let (asked, all, _) = scanned(1, "another choice");
    assert_eq!(asked, all);
    let (asked, _, untold) = scanned(1, "once more");
    assert_eq!(asked, untold, "the index is written anew for it");
    // The folder below has the same names, inode and times, and another path.
    fs::rename(at("d7"), at("moved")).unwrap();
    let (asked, _, untold) = scanned(1, "moved");
    assert!(asked > untold && asked < untold + 12, "{asked} {untold}");
    // A file is another question than a folder of the same name.
    scanned(2, "a third choice");
    for folder in 20..40 {
        let at = at(&format!("d{folder}/h0"));
        fs::remove_dir(&at).unwrap();
        fs::write(&at, "text").unwrap();
    }
    let (asked, _, untold) = scanned(2, "files for folders");
    assert!(asked >= untold + 10, "{asked} {untold}");
}

/// Whoever goes along sees each file as soon as he is past it, and what he leaves out is left out.
#[test]
fn a_scan_is_gone_along_with() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "a.b/c", "b/d/e", "b/d/f/g", "b/h", "b.i", "z"] {
        let at = dir.path().join(name);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, name).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    let whole = scan(&root);
    assert_eq!(names_of(&whole), ["a", "a.b/c", "b.i", "b/d/e", "b/d/f/g", "b/h", "z"]);
    let along = |along: &mut dyn FnMut(&mut Scanning<'_, '_, '_>)| {
        let wanted = Wanted { wants: &|_, _| Ok(true), follows_from: None };
        root.scan_along(Format::V2_0, (&wanted, &Seen::default()), |scanning| along(scanning))
            .unwrap()
    };
    let (_, seen, left_out) = along(&mut |_| {});
    assert_eq!((&seen, left_out), (&whole, 0));
    for (path, found, past) in [
        ("", 0, "a"),
        ("A", 0, "a"),
        ("a", 1, "a.b/c"),
        ("b/", 3, "b/d/e"),
        ("b/d/f/g", 5, "b/h"),
        ("y", 6, "z"),
    ] {
        let (_, seen, _) = along(&mut |scanning| {
            for path in ["", path, path] {
                scanning.go_past(path.as_bytes());
            }
            let files = scanning.files();
            let upto = files.search(path.as_bytes()).map_or_else(|at| at, |at| at + 1);
            assert_eq!(upto, found, "{path:?}");
            assert_eq!(files.path(files.len() - 1), past.as_bytes(), "and no further");
        });
        assert_eq!(seen, whole, "{path:?}");
    }
    let (_, seen, left_out) = along(&mut |scanning| {
        scanning.go_past(b"zz");
        assert!(!scanning.is_hashed(0), "there is no index");
        scanning.leave_out(5);
        scanning.leave_none_out();
        scanning.leave_out(4);
        scanning.leave_out(0);
        scanning.finish();
        assert!(scanning.is_hashed(0) && scanning.is_hashed(6));
        scanning.leave_out(6);
    });
    assert_eq!((names_of(&seen).join(" "), left_out), ("a.b/c b.i b/d/e b/h".to_owned(), 3));
    let (_, seen, left_out) = along(&mut |scanning| {
        scanning.go_past(b"a");
        // Gone before it is hashed, or hashed before it is gone: the same count is left out.
        scanning.leave_out(1);
        fs::remove_file(dir.path().join("z")).unwrap();
    });
    let left = names_of(&seen).join(" ");
    assert!(left == "a b.i b/d/e b/d/f/g b/h" || left == "a b.i b/d/e b/d/f/g b/h z", "{left}");
    assert_eq!(left_out, 1);
}
