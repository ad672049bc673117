//! Packages made by somebody who means harm, byte by byte: refused whole, with a reason, and the
//! tree and all around it stay as they were.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::archive::{Raw, orders_head, package, pax, raw, sha256, update};
use support::{Home, World, fingerprint};

/// A numbered file or the orders.
fn file(name: &str, bytes: &[u8]) -> Raw {
    raw(&format!(".remsync-work/{name}"), bytes)
}

/// Orders from a to b, with these rows.
fn orders(rows: &str) -> Raw {
    let head = orders_head("Test", "a@a.example ~/tree", "b@b.example -", 1);
    file("orders", (head + rows).as_bytes())
}

struct Field {
    world: World,
    b: Home,
    outside: PathBuf,
}

impl Field {
    fn new() -> Field {
        let world = World::new();
        let (a, b) = (world.home("a"), world.home("b"));
        b.write("kept", "as it was\n");
        b.init(&[&a]).done();
        let outside = world.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "precious\n").unwrap();
        Field { world, b, outside }
    }

    /// Processes a package; returns its outcome, reason and the exit status.
    fn process(&self, package: &[u8]) -> (String, String, i32) {
        let file = self.world.path().join("package.tar.gz");
        fs::write(&file, package).unwrap();
        let (document, status) = self.b.json(&["process", file.to_str().unwrap()]);
        let entry = &document["entries"][0];
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (text("outcome"), text("reason"), status)
    }

    /// All that is in the world but the queue and the project's own files.
    fn fingerprint(&self) -> String {
        let project = fs::read_to_string(self.b.tree.join(".remsync")).unwrap();
        fingerprint(&[&self.b.tree, &self.outside]) + &project
    }
}

#[test]
fn a_sound_package_made_by_hand_is_applied() {
    let field = Field::new();
    let tar = [orders(&update("f", b"by hand\n", 1)), file("1", b"by hand\n")];
    let (outcome, reason, status) = field.process(&package(&tar));
    assert_eq!((outcome.as_str(), status), ("done", 0), "{reason}");
    assert_eq!(field.b.text("f"), "by hand\n");
}

#[test]
fn hostile_packages_are_refused_whole() {
    let field = Field::new();
    let good = b"good\n";
    let with = |rows: &str, rest: &[Raw]| package(&[&[orders(rows)], rest].concat());
    let one = update("f", good, 1);
    let member = |kind: u8, link: &str| Raw { kind, link: link.into(), ..file("1", b"") };
    let path = |path: &str| with(&update(path, good, 1), &[file("1", good)]);
    let outside = field.outside.join("precious").display().to_string();
    let bomb = vec![0u8; 64 << 20];
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("up and out", path("../x")),
        ("up in the middle", path("a/../../x")),
        ("absolute", path(&outside)),
        ("our own file", path(".remsync")),
        ("our own folder, shouted", path(".REMSYNC.d/journal")),
        ("dot", path("./x")),
        ("double slash", path("a//x")),
        ("nul", path("a%00b")),
        ("raw control character", path("a\u{1}b")),
        ("symbolic link as member", with(&one, &[member(b'2', &outside)])),
        ("hard link as member", with(&one, &[member(b'1', &outside)])),
        ("character device", with(&one, &[member(b'3', "")])),
        ("block device", with(&one, &[member(b'4', "")])),
        ("named pipe", with(&one, &[member(b'6', "")])),
        ("folder as member", with(&one, &[member(b'5', "")])),
        ("two orders", with(&one, &[orders(""), file("1", good)])),
        ("a gap", with(&update("f", good, 2), &[file("2", good)])),
        ("member twice", with(&one, &[file("1", good), file("1", good)])),
        ("one too many", with(&one, &[file("1", good), file("2", good)])),
        ("one missing", with(&one, &[])),
        ("number with a zero", with(&one, &[file("01", good)])),
        ("another name", with(&one, &[file("1", good), file("x", good)])),
        ("outside the folder", with(&one, &[file("1", good), raw("../evil", b"")])),
        ("contents that are not the signature's", with(&one, &[file("1", b"evil\n")])),
        ("pax size that disagrees", with(&one, &[pax(&[("size", "1")]), file("1", good)])),
        ("pax path elsewhere", with(&one, &[pax(&[("path", "../../x")]), file("1", good)])),
        ("a bomb", with(&update("f", &bomb, 1), &[file("1", &bomb)])),
        ("size of 8 GiB", with(&one, &[Raw { size: b"77777777777".into(), ..file("1", b"") }])),
        (
            "sorted wrongly",
            with(
                &format!("{}{}", update("g", good, 1), update("f", good, 2)),
                &[file("1", good), file("2", good)],
            ),
        ),
        ("unknown keyword", with(&format!("exec\trm\n{one}"), &[file("1", good)])),
        ("cut short", {
            let mut cut = with(&one, &[file("1", good)]);
            cut.truncate(cut.len() - 9);
            cut
        }),
    ];
    let before = field.fingerprint();
    for (name, package) in table {
        let (outcome, reason, status) = field.process(&package);
        assert_eq!((outcome.as_str(), status), ("refused", 2), "{name}: {reason}");
        assert!(!reason.is_empty(), "{name}: a reason");
        assert_eq!(field.fingerprint(), before, "{name} touched something");
        assert!(
            !field.world.path().join("x").exists() && !field.world.path().join("evil").exists()
        );
    }
    let (queue, _) = field.b.json(&["queue", "list"]);
    for entry in queue.as_array().unwrap() {
        assert_eq!(entry["state"], "refused");
        assert!(!entry["reason"].as_str().unwrap().is_empty(), "{entry}");
        let is_new = entry["path"].as_str().is_some_and(|path| path.contains("/new/"));
        assert!(!is_new, "a refused package is never below new/: {entry}");
    }
}

#[test]
fn more_members_than_the_bound_are_refused() {
    let field = Field::new();
    let count = 100_001;
    let rows: String = (1..=count).map(|n| update(&format!("f{n:06}"), b"", n)).collect();
    let mut tar = vec![orders(&rows)];
    tar.extend((1..=count).map(|n| file(&n.to_string(), b"")));
    let (outcome, reason, status) = field.process(&package(&tar));
    assert_eq!((outcome.as_str(), status), ("refused", 2), "{reason}");
    assert!(reason.contains("100000"), "the reason names the bound: {reason}");
}

#[test]
fn links_in_the_tree_are_never_followed() {
    let field = Field::new();
    symlink(&field.outside, field.b.tree.join("folder")).unwrap();
    symlink(field.outside.join("precious"), field.b.tree.join("file")).unwrap();
    let before = fs::read_dir(&field.outside).unwrap().count();
    let rows = [update("file", b"evil\n", 1), update("folder/new", b"evil\n", 2)].concat();
    let tar = [orders(&rows), file("1", b"evil\n"), file("2", b"evil\n")];
    let (outcome, reason, status) = field.process(&package(&tar));
    assert_eq!((outcome.as_str(), status), ("held", 1), "{reason}");
    field.b.run(&["resolve", "file", "folder/new", "take"]).with(1);
    assert_eq!(fs::read_to_string(field.outside.join("precious")).unwrap(), "precious\n");
    assert_eq!(fs::read_dir(&field.outside).unwrap().count(), before);
    assert!(fs::symlink_metadata(field.b.tree.join("file")).unwrap().is_symlink());
}

#[test]
fn sensitive_names_always_ask() {
    let field = Field::new();
    let rows: String = [".git/hooks/pre-commit", ".profile", "a/.SSH/authorized_keys"]
        .iter()
        .zip(1..)
        .map(|(path, n)| update(path, b"evil\n", n))
        .collect();
    let tar = [orders(&rows), file("1", b"evil\n"), file("2", b"evil\n"), file("3", b"evil\n")];
    let (outcome, reason, status) = field.process(&package(&tar));
    assert_eq!((outcome.as_str(), status), ("held", 1), "{reason}");
    assert_eq!(field.b.files().len(), 1, "nothing came in");
}

#[test]
fn mode_bits_beyond_the_executable_one_never_arrive() {
    use std::os::unix::fs::PermissionsExt;
    let field = Field::new();
    let rows = format!("check\tf {}x ?\nupdate\tf ? 1\n", sha256(b"run\n"));
    let tar = [orders(&rows), Raw { mode: "0007777", ..file("1", b"run\n") }];
    let (outcome, reason, _) = field.process(&package(&tar));
    assert_eq!(outcome, "done", "{reason}");
    let mode = fs::metadata(field.b.tree.join("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7022, 0, "{mode:o}");
    assert_eq!(mode & 0o100, 0o100, "{mode:o}");
}

#[test]
fn names_are_shown_escaped() {
    let field = Field::new();
    field.b.write("evil\x1b[2Jname\n", "x");
    let shown = field.b.run(&["status", "-v"]).done();
    assert!(shown.contains("evil\\x1b[2Jname\\n"), "{shown}");
    assert!(!shown.contains('\x1b'));
    let _: &Path = &field.outside;
}
