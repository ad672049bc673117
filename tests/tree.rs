//! The tree on disk: what is found, what is put in place, and what others do meanwhile.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use remsync::edge::kept::Kept;
use remsync::edge::tree::{
    Arrival, Kind, Look, Moment, PlaceFault, Placed, Root, Scan, Staging, Unknown,
};
use remsync::model::project::Format::{self, V1_3, V2_0};
use remsync::model::{Content, Signature, TreePath};
use rustix::fs::{CWD, RenameFlags};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// When all arriving files were modified.
const TIME: (i64, u32) = (1_234_567_890, 123_456_789);

/// A tree and a place outside of it.
struct World {
    _folder: TempDir,
    top: PathBuf,
    outside: PathBuf,
}

impl World {
    fn new() -> World {
        let folder = TempDir::new().unwrap();
        let (top, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        fs::create_dir(&top).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "outside").unwrap();
        World { _folder: folder, top, outside }
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        self.top.join(OsStr::from_bytes(path))
    }

    fn write(&self, path: &[u8], bytes: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn read(&self, path: &[u8]) -> Vec<u8> {
        fs::read(self.at(path)).unwrap()
    }

    fn root(&self) -> Root {
        Root::open(&self.top).unwrap()
    }

    /// All that lies outside: names and contents.
    fn outside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all: Vec<_> = files(&self.outside);
        all.sort();
        all
    }

    /// The contents of all files in the store, and of what is on the way into it.
    fn kept(&self) -> BTreeSet<Vec<u8>> {
        let all = files(&self.top.join(".remsync.d/kept"));
        all.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(_, bytes)| bytes).collect()
    }

    /// The contents of all staged files.
    fn staged(&self) -> Vec<Vec<u8>> {
        files(&self.top.join(".remsync.d/stage")).into_iter().map(|(_, bytes)| bytes).collect()
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entry = |path: PathBuf| {
        let kind = path.symlink_metadata().map(|m| m.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => files(&path),
            Ok(kind) if kind.is_file() => vec![(path.clone(), fs::read(&path).unwrap())],
            _ => Vec::new(),
        }
    };
    entries.flat_map(|found| entry(found.unwrap().path())).collect()
}

fn path(bytes: &[u8]) -> TreePath {
    TreePath::new(bytes).unwrap()
}

fn sha(bytes: &[u8]) -> Signature {
    Signature::Sha256 { digest: Sha256::digest(bytes).into(), executable: false }
}

fn holds(bytes: &[u8]) -> Content {
    Content::File(sha(bytes))
}

fn stage(staging: &Staging, name: &str, bytes: &[u8]) {
    staging.create(name).unwrap().write_all(bytes).unwrap();
}

/// Stages `bytes` and puts them in place.
fn place(
    root: &Root,
    at: &[u8],
    bytes: &[u8],
    executable: bool,
    expected: &Content,
) -> Result<Placed, PlaceFault> {
    let staging = root.stage().unwrap();
    let kept = Kept::open(root).unwrap();
    stage(&staging, "1", bytes);
    let arrival = Arrival {
        staged: staging.staged("1"),
        executable,
        mtime_s: TIME.0,
        mtime_ns: TIME.1,
        mode: None,
    };
    let placed = root.place(&path(at), &arrival, expected, V2_0, &kept);
    if placed.is_err() {
        let mut still = Vec::new();
        staging.open("1").unwrap().read_to_end(&mut still).unwrap();
        assert_eq!(still, bytes, "after a fault the staged file is still staged");
    }
    root.sync_touched().unwrap();
    placed
}

fn remove(root: &Root, at: &[u8], expected: &Content) -> Result<Placed, PlaceFault> {
    let kept = Kept::open(root).unwrap();
    let removed = root.remove(&path(at), expected, V2_0, &kept);
    root.sync_touched().unwrap();
    removed
}

fn scan(root: &Root, format: Format) -> Scan {
    root.scan(format, &|_, _| Ok(true)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn changed(result: Result<Placed, PlaceFault>) -> Content {
    match result {
        Err(PlaceFault::Changed(content)) => content,
        other => panic!("not a change: {other:?}"),
    }
}

fn in_the_way(result: Result<Placed, PlaceFault>) -> Unknown {
    match result {
        Err(PlaceFault::InTheWay(unknown)) => unknown,
        other => panic!("nothing in the way: {other:?}"),
    }
}

/// Names that careless programs stumble over.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "two words",
        " leading and trailing ",
        "100%",
        "%41",
        "new\nline",
        "tab\t",
        "-rf",
        "--",
        "*",
        "[a]",
        "$(x)",
        "`x`",
        "\"'",
        "\\",
        "é",
        "e\u{301}",
        "\u{202e}txt",
        "日本",
        ".hidden",
        "...",
        "-d/-f",
        "a b/c d/e f",
        "~",
        "#x#",
        "\x1b[2J",
        "\x7f",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"\xff\xfe".to_vec());
    names.push(b"caf\xe9/\x80".to_vec());
    names.push(vec![b'n'; 255]);
    names.push([b"d/".repeat(100), b"deep".to_vec()].concat());
    names
}

#[test]
fn odd_names_are_placed_found_and_removed() {
    let world = World::new();
    let root = world.root();
    let names = odd_names();
    for name in &names {
        assert_eq!(place(&root, name, name, false, &Content::Absent).unwrap(), Placed::Created);
    }
    let found = scan(&root, V2_0);
    assert_eq!(found.files.len(), names.len());
    assert_eq!((found.unknown.len(), found.root_is_empty), (0, false));
    for name in &names {
        let file = found.files[&path(name)];
        assert_eq!(file.signature, sha(name), "{:?}", path(name));
        assert_eq!((file.mtime_s, file.mtime_ns), TIME);
        assert_eq!(file.size_bytes, name.len() as u64);
        assert_eq!(root.look(&path(name), V2_0), Look::File(file));
        let (mut file, stat) = root.open_file(&path(name)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!((&bytes, stat.size_bytes), (name, name.len() as u64));
    }
    for name in &names {
        assert!(matches!(remove(&root, name, &holds(name)).unwrap(), Placed::Removed { .. }));
        assert_eq!(root.look(&path(name), V2_0), Look::Absent);
    }
    let left = scan(&root, V2_0);
    assert_eq!((left.files.len(), left.empty_folders, left.root_is_empty), (0, 0, true));
    assert_eq!(world.kept().len(), names.len(), "all are kept");
}

#[test]
fn empty_files_times_and_the_executable_bit() {
    let world = World::new();
    let root = world.root();
    place(&root, b"empty", b"", false, &Content::Absent).unwrap();
    assert_eq!(root.look(&path(b"empty"), V2_0).content(), Ok(holds(b"")));
    assert_eq!(root.look(&path(b"empty"), V1_3).content(), Ok(Content::File(Signature::Sum(0))));

    let program =
        Content::File(Signature::Sha256 { digest: Sha256::digest(b"x").into(), executable: true });
    place(&root, b"program", b"x", true, &Content::Absent).unwrap();
    assert_eq!(root.look(&path(b"program"), V2_0).content(), Ok(program));
    assert!(root.open_file(&path(b"program")).unwrap().1.executable);
    // `chmod` alone is another content.
    assert_eq!(changed(place(&root, b"program", b"y", false, &holds(b"x"))), program);
    place(&root, b"program", b"x", false, &program).unwrap();
    assert_eq!(root.look(&path(b"program"), V2_0).content(), Ok(holds(b"x")));
    let before_1970 = -1;
    let staging = root.stage().unwrap();
    let kept = Kept::open(&root).unwrap();
    stage(&staging, "old", b"old");
    let arrival = Arrival {
        staged: staging.staged("old"),
        executable: false,
        mtime_s: before_1970,
        mtime_ns: 5,
        mode: None,
    };
    root.place(&path(b"old"), &arrival, &Content::Absent, V2_0, &kept).unwrap();
    let stat = root.open_file(&path(b"old")).unwrap().1;
    assert_eq!((stat.mtime_s, stat.mtime_ns), (before_1970, 5));
}

#[test]
fn permissions_are_the_users() {
    let world = World::new();
    let root = world.root();
    // What the umask leaves, asked of the system.
    fs::write(world.at(b"mine"), "").unwrap();
    let umasked = mode(&world.at(b"mine"));
    place(&root, b"sub/new", b"1", false, &Content::Absent).unwrap();
    assert_eq!(mode(&world.at(b"sub/new")), umasked & 0o644);
    fs::create_dir(world.at(b"folder")).unwrap();
    assert_eq!(mode(&world.at(b"sub")), mode(&world.at(b"folder")));
    let table = [
        (0o600, false, 0o600),
        (0o600, true, 0o700),
        (0o640, true, 0o750),
        (0o755, false, 0o644),
        (0o4755, true, 0o755),
        (0o777, true, 0o775),
        (0o666, false, 0o664),
        (0o400, false, 0o400),
    ];
    for (old, executable, want) in table {
        fs::write(world.at(b"f"), "old").unwrap();
        fs::set_permissions(world.at(b"f"), Permissions::from_mode(old)).unwrap();
        let there = root.look(&path(b"f"), V2_0).content().unwrap();
        place(&root, b"f", b"new", executable, &there).unwrap();
        let got = mode(&world.at(b"f"));
        assert_eq!(got, want, "{old:o} {executable}: {got:o}, not {want:o}");
        fs::remove_file(world.at(b"f")).unwrap();
    }
    assert_eq!(mode(&world.at(b".remsync.d")), 0o700);
}

#[test]
fn links_are_never_followed() {
    let world = World::new();
    let root = world.root();
    world.write(b"dir/f", b"inside");
    symlink(&world.outside, world.at(b"out")).unwrap();
    symlink(world.outside.join("secret"), world.at(b"secret")).unwrap();
    symlink("dir", world.at(b"in")).unwrap();
    symlink("nowhere", world.at(b"dangling")).unwrap();
    let before = world.outside();

    let found = scan(&root, V2_0);
    assert_eq!(found.files.paths().map(|path| path.to_string()).collect::<Vec<_>>(), ["dir/f"]);
    assert_eq!((found.links, found.unknown.len()), (4, 0));
    for (name, unknown) in [
        (&b"out"[..], Unknown::Link),
        (b"secret", Unknown::Link),
        (b"dangling", Unknown::Link),
        (b"out/secret", Unknown::ParentLink),
        (b"out/missing", Unknown::ParentLink),
        (b"in/f", Unknown::ParentLink),
    ] {
        let shown = path(name);
        assert_eq!(root.look(&shown, V2_0), Look::NotKnown(unknown.clone()), "{shown}");
        assert!(root.open_file(&shown).is_err(), "{shown}");
        for expected in [Content::Absent, holds(b"outside"), holds(b"inside")] {
            let placed = place(&root, name, b"evil", false, &expected);
            assert_eq!(in_the_way(placed), unknown, "{shown}");
            assert_eq!(in_the_way(remove(&root, name, &expected)), unknown, "{shown}");
        }
    }
    assert_eq!(world.outside(), before);
    assert_eq!(fs::read_link(world.at(b"out")).unwrap(), world.outside);
}

#[test]
fn our_own_folder_is_not_followed_either() {
    let world = World::new();
    symlink(&world.outside, world.at(b".remsync.d")).unwrap();
    let before = world.outside();
    let root = world.root();
    assert!(root.stage().is_err());
    assert!(Kept::open(&root).is_err());
    assert_eq!(world.outside(), before);
}

#[test]
fn special_files_are_counted_and_not_opened() {
    let world = World::new();
    let root = world.root();
    let fifo = world.at(b"fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _listener = UnixListener::bind(world.at(b"socket")).unwrap();
    let found = scan(&root, V2_0);
    assert_eq!((found.specials, found.files.len(), found.unknown.len()), (2, 0, 0));
    for name in [&b"fifo"[..], b"socket"] {
        assert_eq!(root.look(&path(name), V2_0), Look::NotKnown(Unknown::Special));
        assert_eq!(in_the_way(place(&root, name, b"x", false, &Content::Absent)), Unknown::Special);
        assert_eq!(in_the_way(remove(&root, name, &Content::Absent)), Unknown::Special);
    }
    let below = root.look(&path(b"fifo/x"), V2_0);
    assert_eq!(below, Look::NotKnown(Unknown::ParentNotFolder));
    assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn a_scan_asks_counts_and_tells_what_it_could_not_judge() {
    let world = World::new();
    world.write(b"a/1", b"1");
    world.write(b"a/2", b"2");
    world.write(b"b/3", b"3");
    world.write(b"bad", b"");
    world.write(b".remsync", b"ours");
    world.write(b"a/.REMSYNC.bak", b"ours");
    fs::create_dir_all(world.at(b"empty/emptier")).unwrap();
    let root = world.root();
    root.stage().unwrap();
    let asked = Mutex::new(Vec::new());
    let found = root
        .scan(V2_0, &|name, kind| {
            asked.lock().unwrap().push((String::from_utf8(name.to_vec()).unwrap(), kind));
            match name {
                b"bad" => Err("cannot judge".to_owned()),
                name => Ok(name != b"b" && name != b"a/2"),
            }
        })
        .unwrap();
    let mut asked = asked.into_inner().unwrap();
    asked.sort();
    let (folder, file) = (Kind::Folder, Kind::File);
    let want = [
        ("a", folder),
        ("a/1", file),
        ("a/2", file),
        ("b", folder),
        ("bad", file),
        ("empty", folder),
        ("empty/emptier", folder),
    ];
    assert_eq!(asked, want.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(found.files.paths().map(|path| path.to_string()).collect::<Vec<_>>(), ["a/1"]);
    assert_eq!(found.unknown, [(b"bad".to_vec(), "cannot judge".to_owned())]);
    assert_eq!(found.empty_folders, 1, "a folder with an empty folder in it is not empty");
    assert_eq!(scan(&root, V2_0), scan(&root, V2_0));
    assert_eq!(scan(&root, V1_3).files[&path(b"a/1")].signature, Signature::Sum(u16::from(b'1')));
}

#[test]
fn too_deep_is_unknown_not_absent() {
    let world = World::new();
    let deepest = [b"d/".repeat(255), b"f".to_vec()].concat();
    world.write(&deepest, b"x");
    world.write(&[b"d/".repeat(256), b"f".to_vec()].concat(), b"y");
    let found = scan(&world.root(), V2_0);
    assert_eq!(found.files.paths().collect::<Vec<_>>(), [path(&deepest)]);
    assert_eq!(found.unknown.len(), 1);
    assert_eq!(found.unknown[0].0, [b"d/".repeat(255), b"d".to_vec()].concat());
}

#[test]
fn absent_is_only_what_a_listing_lacks() {
    let world = World::new();
    world.write(b"file", b"x");
    world.write(b"dir/x", b"x");
    let root = world.root();
    let table = [
        (&b"missing"[..], Look::Absent),
        (b"missing/deeper/x", Look::Absent),
        (b"dir/missing", Look::Absent),
        (b"dir", Look::NotKnown(Unknown::Folder)),
        (b"file/x", Look::NotKnown(Unknown::ParentNotFolder)),
        (b"file/x/y", Look::NotKnown(Unknown::ParentNotFolder)),
    ];
    for (name, want) in table {
        assert_eq!(root.look(&path(name), V2_0), want, "{}", path(name));
    }
    fs::remove_dir_all(&world.top).unwrap();
    assert!(matches!(root.look(&path(b"file"), V2_0), Look::NotKnown(Unknown::Unreadable(_))));
    assert!(matches!(root.look(&path(b"dir/x"), V2_0), Look::NotKnown(Unknown::Unreadable(_))));
    assert!(root.scan(V2_0, &|_, _| Ok(true)).is_err(), "a tree that is gone is not empty");
    assert!(Root::open(&world.top).is_err());
}

/// Runs this very test again in another process, given as the start of its command.
fn again(test: &str, before: &[&str], folder: &Path) -> std::process::ExitStatus {
    let (program, args) = before.split_first().unwrap();
    Command::new(program)
        .args(args)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("REMSYNC_TEST_FOLDER", folder)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn given_folder() -> Option<PathBuf> {
    std::env::var_os("REMSYNC_TEST_FOLDER").map(PathBuf::from)
}

#[test]
fn unreadable_is_unknown_not_absent() {
    if let Some(folder) = given_folder() {
        return look_at_unreadable(&folder);
    }
    let world = World::new();
    world.write(b"closed/f", b"x");
    world.write(b"blind/f", b"x");
    world.write(b"locked", b"x");
    world.write(b"open/f", b"x");
    let set = |name: &[u8], mode| {
        fs::set_permissions(world.at(name), Permissions::from_mode(mode)).unwrap();
    };
    set(b"closed", 0o000);
    set(b"blind", 0o111);
    set(b"locked", 0o000);
    if File::open(world.at(b"locked")).is_err() {
        look_at_unreadable(&world.top);
    } else {
        // The superuser may read all: somebody else has to look.
        fs::set_permissions(world.top.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        assert!(again("unreadable_is_unknown_not_absent", &nobody, &world.top).success());
    }
    set(b"closed", 0o755);
    set(b"blind", 0o755);
}

fn look_at_unreadable(top: &Path) {
    let root = Root::open(top).unwrap();
    let found = scan(&root, V2_0);
    assert_eq!(found.files.paths().map(|path| path.to_string()).collect::<Vec<_>>(), ["open/f"]);
    let unknown: Vec<_> = found.unknown.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(unknown, [&b"blind"[..], b"closed", b"locked"]);
    assert!(!found.root_is_empty);
    for name in [&b"closed/f"[..], b"closed/missing", b"blind/f", b"blind/missing", b"locked"] {
        let look = root.look(&path(name), V2_0);
        assert!(matches!(look, Look::NotKnown(Unknown::Unreadable(_))), "{look:?}");
    }
}

#[test]
fn another_device_is_not_entered() {
    const NAME: &str = "another_device_is_not_entered";
    if let Some(folder) = given_folder() {
        let root = Root::open(&folder).unwrap();
        fs::write(folder.join("mount/f"), "x").unwrap();
        let found = scan(&root, V2_0);
        assert_eq!(found.unknown.len(), 1);
        assert_eq!(found.unknown[0].0, b"mount");
        for name in [&b"mount/f"[..], b"mount/missing"] {
            let look = root.look(&path(name), V2_0);
            assert_eq!(look, Look::NotKnown(Unknown::OtherDevice));
            let placed = place(&root, name, b"y", false, &Content::Absent);
            assert_eq!(in_the_way(placed), Unknown::OtherDevice);
        }
        // Proof that it was looked at, and not skipped.
        fs::write(folder.join("looked"), "").unwrap();
        return;
    }
    let world = World::new();
    fs::create_dir(world.at(b"mount")).unwrap();
    let script = "mount -t tmpfs none \"$REMSYNC_TEST_FOLDER/mount\" && exec \"$@\"";
    let status = again(NAME, &["unshare", "-m", "sh", "-c", script, "sh"], &world.top);
    match status.code() {
        Some(0) => assert!(world.at(b"looked").exists()),
        Some(101) => panic!("it failed inside"),
        _ if rustix::process::geteuid().is_root() => panic!("nothing can be mounted: {status}"),
        _ => println!("skipped: only root may mount"),
    }
}

#[test]
fn what_is_there_is_compared_before_anything_is_done() {
    for swaps in [true, false] {
        let world = World::new();
        let mut root = world.root();
        if !swaps {
            root.without_swaps();
        }
        world.write(b"f", b"mine");
        let checked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&checked);
        root.set_hook(move |moment| {
            count.fetch_add(u32::from(moment == Moment::Checked), Ordering::Relaxed);
        });
        assert_eq!(changed(place(&root, b"f", b"new", false, &Content::Absent)), holds(b"mine"));
        assert_eq!(changed(place(&root, b"f", b"new", false, &holds(b"old"))), holds(b"mine"));
        assert_eq!(changed(place(&root, b"g", b"new", false, &holds(b"old"))), Content::Absent);
        assert_eq!(changed(place(&root, b"d/g", b"new", false, &holds(b"x"))), Content::Absent);
        assert_eq!(changed(remove(&root, b"f", &holds(b"old"))), holds(b"mine"));
        assert_eq!(changed(remove(&root, b"f", &Content::Absent)), holds(b"mine"));
        assert_eq!(changed(remove(&root, b"g", &holds(b"old"))), Content::Absent);
        assert_eq!(remove(&root, b"g", &Content::Absent).unwrap(), Placed::NothingThere);
        assert_eq!(remove(&root, b"d/g", &Content::Absent).unwrap(), Placed::NothingThere);
        assert_eq!(world.read(b"f"), b"mine");
        assert!(!world.at(b"d").exists() && world.kept().is_empty());
        assert_eq!(checked.load(Ordering::Relaxed), 0, "nothing was even tried");

        let replaced = place(&root, b"f", b"new", false, &holds(b"mine")).unwrap();
        assert_eq!(replaced, Placed::Replaced(sha(b"mine")));
        assert_eq!(world.read(b"f"), b"new");
        let removed = remove(&root, b"f", &holds(b"new")).unwrap();
        assert_eq!(removed, Placed::Removed { displaced: sha(b"new"), folders: 0 });
        assert_eq!(world.kept(), BTreeSet::from([b"mine".to_vec(), b"new".to_vec()]));
        assert!(world.staged().is_empty());
    }
}

#[test]
fn files_and_folders_are_in_each_others_way() {
    let world = World::new();
    let root = world.root();
    world.write(b"folder/x", b"x");
    world.write(b"file", b"x");
    for expected in [Content::Absent, holds(b"x")] {
        let placed = place(&root, b"folder", b"new", false, &expected);
        assert_eq!(in_the_way(placed), Unknown::Folder);
        assert_eq!(in_the_way(remove(&root, b"folder", &expected)), Unknown::Folder);
        let placed = place(&root, b"file/below", b"new", false, &expected);
        assert_eq!(in_the_way(placed), Unknown::ParentNotFolder);
    }
    // Once the way is free, one becomes the other.
    remove(&root, b"file", &holds(b"x")).unwrap();
    place(&root, b"file/below", b"new", false, &Content::Absent).unwrap();
    remove(&root, b"folder/x", &holds(b"x")).unwrap();
    place(&root, b"folder", b"new", false, &Content::Absent).unwrap();
    let found = scan(&root, V2_0);
    let names: Vec<_> = found.files.paths().map(|path| path.to_string()).collect();
    assert_eq!(names, ["file/below", "folder"]);
}

#[test]
fn only_folders_that_a_removal_empties_go() {
    let world = World::new();
    let root = world.root();
    world.write(b"a/b/c/f", b"x");
    world.write(b"k/l/f", b"x");
    fs::create_dir_all(world.at(b"k/mine")).unwrap();
    fs::create_dir_all(world.at(b"mine")).unwrap();
    let removed = remove(&root, b"a/b/c/f", &holds(b"x")).unwrap();
    assert_eq!(removed, Placed::Removed { displaced: sha(b"x"), folders: 3 });
    let removed = remove(&root, b"k/l/f", &holds(b"x")).unwrap();
    assert_eq!(removed, Placed::Removed { displaced: sha(b"x"), folders: 1 });
    assert!(!world.at(b"a").exists() && !world.at(b"k/l").exists());
    assert!(world.at(b"k/mine").is_dir() && world.at(b"mine").is_dir());
}

#[test]
fn folders_made_for_nothing_go_again() {
    let world = World::new();
    fs::create_dir(world.at(b"mine")).unwrap();
    let mut root = world.root();
    let at = world.at(b"mine/new/deep/f");
    root.set_hook(move |moment| {
        if moment == Moment::Checked {
            fs::write(&at, "theirs").unwrap();
            fs::remove_file(&at).unwrap();
            fs::create_dir(&at).unwrap();
        }
    });
    let placed = place(&root, b"mine/new/deep/f", b"x", false, &Content::Absent);
    assert_eq!(in_the_way(placed), Unknown::Folder);
    assert!(world.at(b"mine/new/deep/f").is_dir(), "what somebody made there stays");
    fs::remove_dir_all(world.at(b"mine/new")).unwrap();

    let mut root = world.root();
    let at = world.at(b"mine/new/deep/f");
    root.set_hook(move |moment| match moment {
        Moment::Resolved => fs::write(&at, "theirs").unwrap(),
        Moment::Checked | Moment::Swapped => {}
    });
    let placed = place(&root, b"mine/new/deep/f", b"x", false, &Content::Absent);
    assert_eq!(changed(placed), holds(b"theirs"));
    fs::remove_dir_all(world.at(b"mine/new")).unwrap();

    // A fault after the folders were made, with nobody else about.
    let root = world.root();
    let staging = root.stage().unwrap();
    let kept = Kept::open(&root).unwrap();
    let staged = staging.staged("missing");
    let arrival =
        Arrival { staged, executable: false, mtime_s: TIME.0, mtime_ns: TIME.1, mode: None };
    let at = path(b"mine/new/deep/f");
    assert!(root.place(&at, &arrival, &Content::Absent, V2_0, &kept).is_err());
    assert!(world.at(b"mine").is_dir() && !world.at(b"mine/new").exists());

    fs::write(world.at(b"mine/file"), "").unwrap();
    let placed = place(&root, b"mine/file/x/y", b"x", false, &Content::Absent);
    assert_eq!(in_the_way(placed), Unknown::ParentNotFolder);
    assert_eq!(files(&world.at(b"mine")).len(), 1);
}

/// What somebody does to `f` between the look and the swap, and what must come of it.
struct Meddling {
    name: &'static str,
    act: fn(&Path),
    want: Result<Content, Unknown>,
}

fn meddlings() -> Vec<Meddling> {
    fn replace(at: &Path, make: impl Fn(&Path)) {
        fs::remove_file(at).unwrap();
        make(at);
    }
    vec![
        Meddling {
            name: "edited in place",
            act: |at| fs::write(at, "edited").unwrap(),
            want: Ok(holds(b"edited")),
        },
        Meddling {
            name: "edited by renaming",
            act: |at| {
                let new = at.with_extension("tmp");
                fs::write(&new, "edited").unwrap();
                fs::rename(new, at).unwrap();
            },
            want: Ok(holds(b"edited")),
        },
        Meddling {
            name: "made executable",
            act: |at| fs::set_permissions(at, Permissions::from_mode(0o755)).unwrap(),
            want: Ok(Content::File(Signature::Sha256 {
                digest: Sha256::digest(b"old").into(),
                executable: true,
            })),
        },
        Meddling {
            name: "removed",
            act: |at| fs::remove_file(at).unwrap(),
            want: Ok(Content::Absent),
        },
        Meddling {
            name: "now a folder",
            act: |at| replace(at, |at| fs::create_dir_all(at.join("sub")).unwrap()),
            want: Err(Unknown::Folder),
        },
        Meddling {
            name: "now a link",
            act: |at| replace(at, |at| symlink("/etc/passwd", at).unwrap()),
            want: Err(Unknown::Link),
        },
    ]
}

#[test]
fn what_changes_between_look_and_swap_is_put_back() {
    for swaps in [true, false] {
        for removing in [false, true] {
            for Meddling { name, act, want } in meddlings() {
                let world = World::new();
                world.write(b"d/f", b"old");
                let mut root = world.root();
                if !swaps {
                    root.without_swaps();
                }
                let at = world.at(b"d/f");
                root.set_hook(move |moment| {
                    if moment == Moment::Checked {
                        act(&at);
                    }
                });
                let result = match removing {
                    true => remove(&root, b"d/f", &holds(b"old")),
                    false => place(&root, b"d/f", b"new", false, &holds(b"old")),
                };
                let case = format!("{name}, swaps {swaps}, removing {removing}");
                match (result, &want) {
                    (Err(PlaceFault::Changed(got)), Ok(want)) => assert_eq!(got, *want, "{case}"),
                    (Err(PlaceFault::InTheWay(got)), Err(want)) => assert_eq!(got, *want, "{case}"),
                    (got, _) => panic!("{case}: {got:?}"),
                }
                let look = world.root().look(&path(b"d/f"), V2_0);
                assert_eq!(look.content(), want, "{case}: it is as they left it");
                assert!(world.kept().is_empty(), "{case}: nothing was displaced");
                if name == "now a folder" {
                    assert!(world.at(b"d/f/sub").is_dir(), "{case}");
                }
            }
        }
    }
}

#[test]
fn what_appears_before_a_new_file_is_left_alone() {
    for swaps in [true, false] {
        let world = World::new();
        let mut root = world.root();
        if !swaps {
            root.without_swaps();
        }
        let at = world.at(b"f");
        root.set_hook(move |moment| {
            if moment == Moment::Checked {
                fs::write(&at, "theirs").unwrap();
            }
        });
        assert_eq!(changed(place(&root, b"f", b"new", false, &Content::Absent)), holds(b"theirs"));
        assert_eq!(world.read(b"f"), b"theirs");
    }
}

/// Somebody edits before the swap, and again before it is undone.
#[test]
fn nothing_is_lost_when_somebody_edits_all_the_time() {
    for (name, second) in [("in place", false), ("by renaming", true)] {
        let world = World::new();
        world.write(b"f", b"old");
        let mut root = world.root();
        let at = world.at(b"f");
        root.set_hook(move |moment| match moment {
            Moment::Resolved => {}
            Moment::Checked => fs::write(&at, "first edit").unwrap(),
            Moment::Swapped if second => {
                fs::write(at.with_extension("tmp"), "second edit").unwrap();
                fs::rename(at.with_extension("tmp"), &at).unwrap();
            }
            Moment::Swapped => fs::write(&at, "second edit").unwrap(),
        });
        let staging = root.stage().unwrap();
        let kept = Kept::open(&root).unwrap();
        stage(&staging, "1", b"new");
        let arrival = Arrival {
            staged: staging.staged("1"),
            executable: false,
            mtime_s: TIME.0,
            mtime_ns: TIME.1,
            mode: None,
        };
        let placed = root.place(&path(b"f"), &arrival, &holds(b"old"), V2_0, &kept);
        assert!(placed.is_err(), "{name}");
        let mut all = world.kept();
        all.insert(world.read(b"f"));
        let want = BTreeSet::from([b"first edit".to_vec(), b"second edit".to_vec()]);
        assert_eq!(all, want, "{name}");
    }
}

#[test]
fn a_folder_swapped_for_a_link_leads_nowhere() {
    for moment in [Moment::Resolved, Moment::Checked] {
        let world = World::new();
        world.write(b"d/f", b"old");
        let mut root = world.root();
        let (folder, aside, outside) = (world.at(b"d"), world.at(b"aside"), world.outside.clone());
        root.set_hook(move |now| {
            if now == moment {
                fs::rename(&folder, &aside).unwrap();
                symlink(&outside, &folder).unwrap();
            }
        });
        let before = world.outside();
        place(&root, b"d/f", b"new", false, &holds(b"old")).unwrap();
        assert_eq!(world.outside(), before);
        assert_eq!(world.read(b"aside/f"), b"new", "the folder that was looked at has it");
        assert_eq!(in_the_way(remove(&world.root(), b"d/f", &holds(b"new"))), Unknown::ParentLink);
    }
}

/// rsync's race test with a fixed budget: another thread swaps a folder for a link all the time.
#[test]
fn two_thousand_places_under_a_swapping_folder() {
    const PLACES: u32 = 2_000;
    let world = World::new();
    // So that no removal empties it, and there is always something to swap.
    world.write(b"d/keep", b"");
    symlink(&world.outside, world.at(b"link")).unwrap();
    let before = world.outside();
    let stop = AtomicBool::new(false);
    let swapped = AtomicU32::new(0);
    let mut outcomes = [0; 3];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (d, link) = (world.at(b"d"), world.at(b"link"));
                rustix::fs::renameat_with(CWD, d, CWD, link, RenameFlags::EXCHANGE).unwrap();
                swapped.fetch_add(1, Ordering::Relaxed);
            }
        });
        let root = world.root();
        let staging = root.stage().unwrap();
        let kept = Kept::open(&root).unwrap();
        for i in 0..PLACES {
            let (name, bytes) = (i.to_string(), i.to_string().into_bytes());
            stage(&staging, &name, &bytes);
            let arrival = Arrival {
                staged: staging.staged(&name),
                executable: false,
                mtime_s: TIME.0,
                mtime_ns: TIME.1,
                mode: None,
            };
            let at = match i % 3 {
                0 => path(b"d/same"),
                1 => path(b"d/sub/same"),
                _ => path(format!("d/{}", i % 50).as_bytes()),
            };
            let Ok(there) = root.look(&at, V2_0).content() else {
                outcomes[2] += 1;
                continue;
            };
            match root.place(&at, &arrival, &there, V2_0, &kept) {
                Ok(_) => outcomes[0] += 1,
                Err(PlaceFault::Changed(_)) => outcomes[1] += 1,
                Err(_) => outcomes[2] += 1,
            }
            if i % 7 == 0 {
                let _ = root.remove(&at, &holds(&bytes), V2_0, &kept);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("placed, changed, in the way: {outcomes:?}; {swapped:?} swaps");
    assert_eq!(world.outside(), before);
    assert!(outcomes[0] > 0 && outcomes[2] > 0, "the race was not run: {outcomes:?}");
}

#[test]
fn kept_versions_by_content() {
    let world = World::new();
    let root = world.root();
    let mut expected = Content::Absent;
    for bytes in [&b"one"[..], b"two", b"one", b"two", b"three"] {
        place(&root, b"f", bytes, false, &expected).unwrap();
        expected = holds(bytes);
    }
    assert_eq!(world.kept(), BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
    let kept = Kept::open(&root).unwrap();
    let mut bytes = Vec::new();
    kept.open_version(&sha(b"one")).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"one");
    let program = Signature::Sha256 { digest: Sha256::digest(b"two").into(), executable: true };
    assert!(kept.open_version(&program).unwrap().is_some(), "the bit is left aside");
    assert!(kept.open_version(&sha(b"three")).unwrap().is_none());
    // Somebody who had it open writes to it.
    let hex = sha(b"one").to_string();
    let (shard, rest) = hex.split_at(2);
    fs::write(world.at(b".remsync.d/kept").join(shard).join(rest), "tampered").unwrap();
    assert!(kept.open_version(&sha(b"one")).is_err());
    // Kept again, it is whole again.
    place(&root, b"f", b"one", false, &holds(b"three")).unwrap();
    remove(&root, b"f", &holds(b"one")).unwrap();
    assert!(kept.open_version(&sha(b"one")).unwrap().is_some());
}

#[test]
fn two_versions_of_one_sum_are_both_kept() {
    let world = World::new();
    let root = world.root();
    let kept = Kept::open(&root).unwrap();
    let sum = Content::File(Signature::Sum(2));
    for bytes in [&[2, 1][..], &[0, 2]] {
        world.write(b"f", bytes);
        assert_eq!(root.look(&path(b"f"), V1_3).content(), Ok(sum));
        root.remove(&path(b"f"), &sum, V1_3, &kept).unwrap();
    }
    assert_eq!(world.kept(), BTreeSet::from([vec![2, 1], vec![0, 2]]));
    let mut bytes = Vec::new();
    let version = kept.open_version(&Signature::Sum(2)).unwrap();
    version.unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, [0, 2], "the one kept last");
    assert!(kept.open_version(&Signature::Sum(3)).unwrap().is_none());
}

#[test]
fn a_file_of_several_names_is_copied_into_the_store() {
    for swaps in [true, false] {
        let world = World::new();
        world.write(b"f", b"shared");
        fs::hard_link(world.at(b"f"), world.outside.join("other")).unwrap();
        let mut root = world.root();
        if !swaps {
            root.without_swaps();
        }
        place(&root, b"f", b"new", false, &holds(b"shared")).unwrap();
        fs::write(world.outside.join("other"), "edited outside").unwrap();
        assert_eq!(world.kept(), BTreeSet::from([b"shared".to_vec()]));
    }
}

#[test]
fn stagings_are_private_and_go() {
    let world = World::new();
    let root = world.root();
    let one = root.stage().unwrap();
    stage(&one, "1", b"of one");
    let two = root.stage().unwrap();
    stage(&two, "1", b"of two");
    assert_eq!(world.staged().len(), 2, "a living run's files are not cleaned away");
    assert!(one.create("1").is_err(), "a name is made once");
    for name in ["", ".", "..", "a/b", ".x", "a\0"] {
        assert!(one.create(name).is_err(), "{name:?}");
    }
    let file = files(&world.at(b".remsync.d/stage")).remove(0).0;
    assert_eq!(mode(&file), 0o600);
    drop(one);
    drop(two);
    assert_eq!(fs::read_dir(world.at(b".remsync.d/stage")).unwrap().count(), 0);
}

/// A run killed right after the swap: what was displaced is found by the next.
#[test]
fn what_a_killed_run_displaced_is_rescued() {
    const NAME: &str = "what_a_killed_run_displaced_is_rescued";
    if let Some(folder) = given_folder() {
        let mut root = Root::open(&folder).unwrap();
        root.set_hook(|moment| {
            if moment == Moment::Swapped {
                std::process::exit(99);
            }
        });
        if folder.join("remove").exists() {
            let _ = remove(&root, b"f", &holds(b"old"));
        }
        let _ = place(&root, b"f", b"new", false, &holds(b"old"));
        unreachable!("it was to be killed");
    }
    for removing in [false, true] {
        let world = World::new();
        world.write(b"f", b"old");
        if removing {
            world.write(b"remove", b"");
        }
        let status = again(NAME, &["env"], &world.top);
        assert_eq!(status.code(), Some(99));
        assert_eq!(world.at(b"f").exists(), !removing);
        let root = world.root();
        let kept = Kept::open(&root).unwrap();
        assert!(kept.open_version(&sha(b"old")).unwrap().is_some());
        drop(root.stage().unwrap());
        assert!(world.staged().is_empty(), "what it had staged is gone");
        drop(kept);
        assert_eq!(fs::read_dir(world.at(b".remsync.d/kept/in")).unwrap().count(), 0);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_known() {
    let world = World::new();
    world.write(b"log", &vec![0; 4 << 20]);
    let root = world.root();
    let stop = AtomicBool::new(false);
    let is_seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::OpenOptions::new().append(true).open(world.at(b"log")).unwrap();
            while !stop.load(Ordering::Relaxed) {
                log.write_all(b"more\n").unwrap();
            }
        });
        // On a busy machine the writer may rest for as long as one look takes.
        let mut looks = (0..100).map(|_| root.look(&path(b"log"), V2_0));
        let is_seen = looks.any(|look| look == Look::NotKnown(Unknown::Changing));
        stop.store(true, Ordering::Relaxed);
        is_seen
    });
    assert!(is_seen);
}
