//! Together with GNU remsync 4 and with what was before it: packages of three sites byte by byte as
//! that program writes them, ours as it reads them, the oldest spellings, identity, and the way over
//! to format 2.0.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::terminal::Terminal;
use support::{Home, REMSYNC, World};

/// BSD `sum`, as five digits.
fn sum(bytes: impl AsRef<[u8]>) -> String {
    let sum =
        bytes.as_ref().iter().fold(0u16, |sum, &b| sum.rotate_right(1).wrapping_add(b.into()));
    format!("{sum:05}")
}

/// One tar entry as GNU tar 1.34 writes it.
fn entry(name: &str, kind: u8, mode: u32, bytes: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    write!(&mut block[100..107], "{mode:07o}").unwrap();
    write!(&mut block[108..115], "{:07o}", 1000).unwrap();
    write!(&mut block[116..123], "{:07o}", 1000).unwrap();
    write!(&mut block[124..135], "{:011o}", bytes.len()).unwrap();
    write!(&mut block[136..147], "{:011o}", 1_000_000_000).unwrap();
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar  \0");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    write!(&mut block[148..155], "{sum:06o}\0").unwrap();
    let mut out = block.to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn package(orders: &str, members: &[&[u8]]) -> Vec<u8> {
    let mut tar = entry(".remsync-work/", b'5', 0o700, b"");
    for (at, bytes) in members.iter().enumerate().rev() {
        tar.extend(entry(&format!(".remsync-work/{}", at + 1), b'0', 0o644, bytes));
    }
    tar.extend(entry(".remsync-work/orders", b'0', 0o644, orders.as_bytes()));
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

/// The program of 1994–2010 at one site, played by its rules: what it writes, and what it believes.
struct Gnu {
    here: &'static str,
    remotes: [&'static str; 2],
    tree: BTreeMap<&'static str, &'static str>,
    /// Registered files, and what it thinks that each remote has.
    beliefs: BTreeMap<&'static str, [String; 2]>,
}

/// Which sites are meant, and whether contents go.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Init,
    Contents,
}

impl Gnu {
    fn new(here: &'static str, remotes: [&'static str; 2]) -> Gnu {
        Gnu { here, remotes, tree: BTreeMap::new(), beliefs: BTreeMap::new() }
    }

    /// Broadcasts to both remotes, one after the other: the second package already tells what the
    /// first one did to its beliefs, as the original's do.
    fn broadcast(&mut self, mode: Mode) -> [Vec<u8>; 2] {
        self.beliefs.retain(|path, _| self.tree.contains_key(path));
        for path in self.tree.keys() {
            self.beliefs.entry(path).or_insert_with(|| ["-".into(), "-".into()]);
        }
        [0, 1].map(|visit| {
            let mut orders = format!(
                "format\tremsync 1.3\ntitle\tTest\nhere\t{here}@{here}.example ~/tree\n\
                 remote\t{b}@{b}.example ~/tree\nremote\t{d}@{d}.example ~/tree\n\
                 ignore\t(.*/)?core(\\..*)?\nignore\t.*~\nignore\t\\.remsync.*\nvisit\t{visit}\n\
                 copy\t0 1\n",
                here = self.here,
                b = self.remotes[0],
                d = self.remotes[1],
            );
            let mut members: Vec<&[u8]> = Vec::new();
            for (path, beliefs) in &mut self.beliefs {
                let text = self.tree[path];
                let ours = sum(text);
                orders += &format!("check\t{path} {ours} {} {}\n", beliefs[0], beliefs[1]);
                if beliefs[visit] != ours && mode == Mode::Contents {
                    members.push(text.as_bytes());
                    orders += &format!("update\t{path} {} {}\n", beliefs[visit], members.len());
                    beliefs[visit] = ours;
                }
            }
            package(&orders, &members)
        })
    }
}

fn classic_site(world: &World, name: &str, remotes: [&str; 2]) -> Home {
    let home = world.home(name);
    let mut words = vec!["init", "--format", "1.3", "--title", "Test", "--here", &home.address];
    let remotes = remotes.map(|remote| format!("{remote}@{remote}.example ~/tree"));
    remotes.iter().for_each(|remote| words.extend(["--remote", remote]));
    home.run(&words).done();
    // As the original has them: there is nothing to agree on.
    for _ in 0..11 {
        home.run(&["delete", "ignore", "[1]"]).done();
    }
    for ignore in ["(.*/)?core(\\..*)?", ".*~", "\\.remsync.*"] {
        home.run(&["ignore", ignore]).done();
    }
    home
}

/// The file lines of `.remsync`.
fn table(home: &Home) -> BTreeMap<String, Vec<String>> {
    let lines = home.text(".remsync");
    let files = lines.lines().filter_map(|line| line.strip_prefix('\t'));
    let words = files.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    words.map(|words| (words[0].clone(), words[1..].to_vec())).collect()
}

fn row(path: &str, beliefs: &[&str]) -> (String, Vec<String>) {
    (path.to_owned(), beliefs.iter().map(|&belief| belief.to_owned()).collect())
}

/// The tree without times: two files that were the same before have their own.
fn texts(home: &Home) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    home.files().into_iter().map(|(path, file)| (path, file.bytes)).collect()
}

fn process(home: &Home, package: &[u8]) -> (serde_json::Value, i32) {
    let file = home.top.join("package");
    fs::write(&file, package).unwrap();
    home.json(&["process", "--batch", file.to_str().unwrap()])
}

fn questions(home: &Home) -> Vec<(String, String)> {
    let (pending, _) = home.json(&["pending"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let questions = pending["questions"].as_array().unwrap().iter();
    questions.map(|q| (text(&q["path"]), text(&q["why"]))).collect()
}

/// The original at a; two of ours. New, changed, deleted, and `mode init`.
#[test]
fn three_sites_one_of_them_the_original() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    let d = classic_site(&world, "d", ["a", "b"]);
    let mut a = Gnu::new("a", ["b", "d"]);

    // mode init: b has one of the files already, d none.
    a.tree = [("f", "one\n"), ("g", "two\n")].into();
    b.write("f", "one\n");
    let [to_b, to_d] = a.broadcast(Mode::Init);
    let (done, status) = process(&b, &to_b);
    assert_eq!(status, 0, "{done}");
    assert_eq!(process(&d, &to_d).1, 0);
    assert_eq!(table(&b), [row("f", &["57445", "-"])].into());
    assert_eq!((table(&d), d.files().len()), (BTreeMap::new(), 0));

    // New: the second receiver is told that the first got all of it.
    let [to_b, to_d] = a.broadcast(Mode::Contents);
    let (done, status) = process(&b, &to_b);
    assert_eq!(status, 0, "{done}");
    let entry = &done["entries"][0];
    assert_eq!((entry["created"].as_u64(), entry["redundant"].as_u64()), (Some(1), Some(1)));
    assert_eq!(process(&d, &to_d).1, 0);
    let both = [row("f", &["57445", "57445"]), row("g", &["49261", "49261"])];
    assert_eq!(table(&b), both.clone().into());
    assert_eq!(table(&d), both.into());
    assert_eq!(texts(&b), texts(&d));

    // Changed.
    a.tree.insert("f", "three\n");
    let [to_b, to_d] = a.broadcast(Mode::Contents);
    let (done, status) = process(&b, &to_b);
    assert_eq!((status, done["entries"][0]["replaced"].as_u64()), (0, Some(1)), "{done}");
    assert_eq!(process(&d, &to_d).1, 0);
    assert_eq!((b.text("f"), d.text("f")), ("three\n".into(), "three\n".into()));
    assert_eq!(table(&b)["f"], ["08302", "08302"]);
    // The original contradicts itself to the second (its beliefs are written one by one): contested,
    // so that whoever sends it to b next asks there.
    assert_eq!(table(&d)["f"], ["08302", "666"]);

    // Changed at a and at b: asked, and what arrived is kept until somebody says.
    a.tree.insert("g", "of a\n");
    b.write("g", "of b\n");
    let [to_b, _] = a.broadcast(Mode::Contents);
    assert_eq!(process(&b, &to_b).1, 1);
    assert_eq!(questions(&b), [("g".to_owned(), "conflict".to_owned())]);
    b.run(&["resolve", "g", "keep"]).done();
    assert_eq!(table(&b)["g"][0], sum("of a\n"), "so that ours goes there next");

    // Deleted: by not being listed.
    a.tree.remove("f");
    let [to_b, _] = a.broadcast(Mode::Contents);
    assert_eq!(process(&b, &to_b).1, 1);
    assert_eq!(questions(&b), [("f".to_owned(), "deletion".to_owned())]);
    assert!(b.read("f").is_some(), "nothing is deleted unasked");
    b.run(&["resolve", "f", "take"]).done();
    assert!(b.read("f").is_none());
    assert!(!table(&b).contains_key("f"), "{:?}", table(&b));
}

/// Every rule of the original's reader that is not about lines: they are in `tests/classic.rs`.
#[test]
fn our_archives_are_as_the_original_expects() {
    let world = World::new();
    let a = classic_site(&world, "a", ["b", "d"]);
    a.write("f", "one\n");
    a.write("sub/g", "two\n");
    let stick = world.path().join("stick");
    a.run(&["broadcast", "--to", stick.to_str().unwrap()]).done();
    let packages = fs::read_dir(&stick).unwrap().map(|file| file.unwrap().path());
    let packages: Vec<_> =
        packages.filter(|path| path.extension().is_some_and(|end| end == "gz")).collect();
    assert_eq!(packages.len(), 2);
    for path in packages {
        let mut tar = Vec::new();
        GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut tar).unwrap();
        let mut names = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            let kind = header.entry_type();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            match name.as_str() {
                ".remsync-work/" => {
                    assert!(kind.is_dir() && header.mode().unwrap() & 0o7777 == 0o700);
                }
                _ => assert!(kind.is_file() && header.mode().unwrap() & 0o7022 == 0, "{name}"),
            }
            if name == ".remsync-work/orders" {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let is_plain = |line: &str| !line.is_empty() && !line.starts_with('#');
                assert!(text.lines().all(is_plain) && text.ends_with('\n'), "{text}");
            }
            names.push(name);
        }
        assert_eq!(names[0], ".remsync-work/", "{names:?}");
        names.sort();
        let want = ["", "1", "2", "orders"].map(|name| format!(".remsync-work/{name}"));
        assert_eq!(names, want);
    }
}

const OLDEST: &str = "# a package of 1994\nversion\t1.2\n\nfrom a@a.example B@b.example d@d.example\n\
                      sum f 57445\nif f 00064 1\nsum\tg\t49261\nsum new 08302\nif new - \
                      .remsync-work/2\n";

#[test]
fn a_package_of_before_format_1_3() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    for (path, text) in [("f", "v1\n"), ("g", "two\n"), ("mine", "x\n")] {
        b.write(path, text);
    }
    let oldest = package(OLDEST, &[b"one\n", b"three\n"]);
    let file = world.path().join("remsync.tar.gz");
    fs::write(&file, &oldest).unwrap();
    let words = ["process", file.to_str().unwrap()];
    // Elsewhere it is not known which project is meant.
    let mut elsewhere = b.command(REMSYNC);
    let ran = elsewhere.args(words).current_dir(&b.top).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(
        said.contains("it is of before format 1.3 and names no project; \"remsync pro"),
        "{said}"
    );
    assert_eq!(b.text("f"), "v1\n");

    let told = b.run(&words).done();
    assert_eq!(told, "1 package: 1 replaced, 1 created\n");
    assert_eq!((b.text("f"), b.text("new")), ("one\n".into(), "three\n".into()));
    let want = [
        row("f", &["57445", "57445"]),
        row("g", &["49261", "49261"]),
        row("mine", &["-", "-"]),
        row("new", &["08302", "08302"]),
    ];
    b.run(&["broadcast", "--dry-run"]).done();
    let mut known = table(&b);
    known.entry("mine".into()).or_insert_with(|| vec!["-".into(), "-".into()]);
    assert_eq!(known, want.into());

    // A file that is listed no more was deleted there; and what does not fit is a question.
    let second = "version 1.2\nfrom a@a.example b@b.example\nsum g 00064\nif g 00070 1\n";
    assert_eq!(process(&b, &package(second, &[b"v1\n"])).1, 1);
    let want = [("f", "deletion"), ("g", "conflict"), ("new", "deletion")];
    let mut asked = questions(&b);
    asked.sort();
    assert_eq!(asked, want.map(|(path, why)| (path.to_owned(), why.to_owned())));

    // For somebody else.
    let other = OLDEST.replace("B@b.example", "c@c.example");
    let (done, status) = process(&b, &package(&other, &[b"one\n", b"three\n"]));
    assert_eq!((done["entries"][0]["outcome"].as_str(), status), (Some("held"), 1), "{done}");
}

#[test]
fn oldest_orders_that_are_refused() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    let sum = "sum f 57445\n";
    for (name, orders) in [
        ("version", OLDEST.replace("1.2", "2.0")),
        ("no version", OLDEST.replace("version\t1.2\n", "")),
        ("no from", OLDEST.replace("from a@a.example B@b.example d@d.example\n", "")),
        ("from nobody", OLDEST.replace(" B@b.example d@d.example", "")),
        ("from twice", OLDEST.replace("\n\n", "\nfrom a@a.example b@b.example\n")),
        ("a site twice", OLDEST.replace("d@d", "b@b")),
        ("sum twice", OLDEST.replace(sum, &sum.repeat(2))),
        ("if without sum", OLDEST.replace(sum, "")),
        ("a word too many", OLDEST.replace(sum, "sum f 57445 x\n")),
        ("abbreviated", OLDEST.replace(sum, "s f 57445\n")),
        ("up", OLDEST.replace(" f ", " ../f ")),
        ("no such member", OLDEST.replace("00064 1", "00064 3")),
        ("another sum", OLDEST.replace("08302", "08303")),
    ] {
        let (done, status) = process(&b, &package(&orders, &[b"one\n", b"three\n"]));
        let outcome = done["entries"][0]["outcome"].as_str();
        assert_eq!((outcome, status), (Some("refused"), 2), "{name}: {done}");
        assert!(b.files().is_empty(), "{name}");
    }
}

// ---- Who takes part, and which files.

/// What `pending` lists of it: how each is called, and what is proposed.
fn differences(home: &Home) -> Vec<(String, String)> {
    let (pending, _) = home.json(&["pending"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let listed = pending["identity"].as_array().unwrap().iter();
    listed.map(|one| (text(&one["question"]), text(&one["proposed"]))).collect()
}

fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().map(|(name, answer)| ((*name).to_owned(), (*answer).to_owned())).collect()
}

#[test]
fn identity_is_asked_and_holds_no_row() {
    let world = World::new();
    let b = world.home("b");
    let words = ["init", "--format", "1.3", "--title", "Test", "--here", "b@b.example"];
    b.run(&[&words[..], &["--remote", "a@a.example ~/a", "--remote", "e@e.example"]].concat())
        .done();
    for _ in 0..11 {
        b.run(&["delete", "ignore", "1"]).done();
    }
    b.run(&["ignore", "own"]).done();
    let mut a = Gnu::new("a", ["b", "d"]);
    a.tree = [("f", "one\n")].into();
    let [to_b, _] = a.broadcast(Mode::Contents);
    let (done, status) = process(&b, &to_b);
    assert_eq!((done["entries"][0]["outcome"].as_str(), status), (Some("done"), 1), "{done}");
    assert_eq!(b.text("f"), "one\n", "rows are not held up");
    let want = [
        ("ignore:own", "keep"),
        ("remote:e@e.example", "keep"),
        ("home:a@a.example", "take"),
        ("ignore:(.*/)?core(\\..*)?", "take"),
        ("ignore:.*~", "take"),
        ("ignore:\\.remsync.*", "take"),
        ("remote:d@d.example", "take"),
    ];
    assert_eq!(differences(&b), named(&want));
    let told = b.run(&["pending"]).with(1);
    assert!(
        told.contains("remote:d@d.example: there and not here (from a@a.example, arrived "),
        "{told}"
    );
    assert!(told.contains("  take: a remote here too, folder ~/tree; keep: no remote\n"), "{told}");
    assert_eq!(b.run(&["status"]).status(), 1);
    assert!(!b.run(&["list", "remote"]).done().contains("d@d"), "nothing changes before");

    b.run(&["resolve", "remote:d@d.example", "home:a@a.example", "take"]).with(1);
    b.run(&["resolve", "remote:e@e.example", "keep"]).with(1);
    let merged = b.run(&["resolve", "ignore:.*~", "merge"]);
    assert!(merged.stderr().contains("hint: \"pending\" says"), "{}", merged.story());
    let remotes = b.run(&["list", "remote"]).done();
    assert_eq!(
        remotes,
        "remote  [1] a@a.example ~/tree\nremote  [2] e@e.example -\nremote  [3] d@d.example ~/tree\n"
    );
    b.run(&["resolve", "--all", "keep"]).done();
    assert_eq!(differences(&b), []);
    // The same package again, or the next, asks nothing that was answered.
    let [to_b, _] = a.broadcast(Mode::Contents);
    assert_eq!(process(&b, &to_b).1, 0);
}

/// An expression from outside is used only when a person took it, and only if it can be.
#[test]
fn expressions_that_come_in_packages() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    let head = "format\tremsync 1.3\ntitle\tTest\nhere\ta@a.example ~/tree\nremote\tb@b.example \
                ~/tree\nremote\td@d.example ~/tree\nscan\t../x\nignore\t(.*/)?core(\\..*)?\n\
                ignore\t.*~\nignore\t\\.remsync.*\nignore\t.*\nignore\ta++\nvisit\t0\ncopy\t0\n";
    let orders = format!("{head}check\tf 57445 -\nupdate\tf - 1\n");
    assert_eq!(process(&b, &package(&orders, &[b"one\n"])).1, 1);
    assert_eq!(b.text("f"), "one\n", "theirs say nothing here");
    let want = [("ignore:.*", "take"), ("ignore:a++", "take"), ("scan:../x", "take")];
    assert_eq!(differences(&b), named(&want));
    for name in ["ignore:a++", "scan:../x"] {
        let ran = b.run(&["resolve", name, "take"]);
        assert_eq!(ran.status(), 2, "{}", ran.story());
        assert!(ran.stderr().contains("  hint: "), "{}", ran.story());
    }
    assert!(!b.run(&["list"]).done().contains("a++"));
    b.run(&["resolve", "ignore:.*", "take"]).with(1);
    assert!(b.run(&["list", "ignore"]).done().contains("] .*\n"));
}

#[test]
fn identity_is_asked_at_a_terminal() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    b.run(&["remote", "e@e.example", ";", "delete", "remote", "d@d.example"]).done();
    let mut a = Gnu::new("a", ["b", "d"]);
    a.tree = [("f", "one\n")].into();
    let [to_b, _] = a.broadcast(Mode::Contents);
    let file = world.path().join("p");
    fs::write(&file, to_b).unwrap();
    let mut command = b.command(REMSYNC);
    command.args(["process", file.to_str().unwrap()]);
    let mut terminal = Terminal::start(command);
    terminal.answer("Delete it here? [y/N/later] ", "later");
    terminal.answer("Add d@d.example here? [Y/n/later] ", "");
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(1), "{seen}");
    assert!(seen.contains("remote:e@e.example: here and not there (from a@a.example"), "{seen}");
    assert!(b.run(&["list", "remote"]).done().contains("d@d.example ~/tree"));
    assert_eq!(differences(&b), named(&[("remote:e@e.example", "keep")]));
}

/// A package under another title or for another address waits, and says so; what is answered once
/// holds for the next.
#[test]
fn other_names_for_this_project_and_this_site() {
    let world = World::new();
    let b = classic_site(&world, "b", ["a", "d"]);
    let mut a = Gnu::new("a", ["b", "d"]);
    let renamed = |packed: &[u8], from: &str, to: &str| {
        let mut tar = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut tar).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let (mut orders, mut members) = (String::new(), BTreeMap::new());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let own = name.trim_start_matches(".remsync-work/");
            match own.parse::<u32>() {
                Ok(number) => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).unwrap();
                    members.insert(number, bytes);
                }
                Err(_) => drop(entry.read_to_string(&mut orders).unwrap()),
            }
        }
        let members: Vec<&[u8]> = members.values().map(Vec::as_slice).collect();
        package(&orders.replace(from, to), &members)
    };
    let next = |a: &mut Gnu, text: &'static str| {
        a.tree.insert("f", text);
        a.broadcast(Mode::Contents)[0].clone()
    };

    // The title: the folder is this one, so what the original did is proposed.
    let to_b = renamed(&next(&mut a, "one\n"), "title\tTest", "title\tNew name");
    let (done, status) = process(&b, &to_b);
    assert_eq!((done["entries"][0]["outcome"].as_str(), status), (Some("held"), 1), "{done}");
    let reason = done["entries"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("\"remsync resolve 'title:New name' take\""), "{reason}");
    assert_eq!(b.read("f"), None);
    assert_eq!(differences(&b), named(&[("title:New name", "take")]));
    let told = b.run(&["pending"]).with(1);
    assert!(told.contains("title:New name: another title, and a package"), "{told}");
    let said = b.run(&["resolve", "title:New name", "keep"]);
    assert!(
        said.stderr().contains("\"remsync process\" takes the package now"),
        "{}",
        said.story()
    );
    said.done();
    assert_eq!((b.run(&["process"]).status(), b.text("f")), (0, "one\n".into()));
    assert_eq!(b.run(&["title"]).done(), "title   Test\n");
    let to_b = renamed(&next(&mut a, "two\n"), "title\tTest", "title\tNew name");
    assert_eq!(process(&b, &to_b).1, 0);
    assert_eq!(b.text("f"), "two\n");

    // The address, answered at a terminal: what is there becomes ours.
    let to_b = renamed(&next(&mut a, "three\n"), "b@b.example", "bo@new.example");
    let file = world.path().join("p");
    fs::write(&file, to_b).unwrap();
    let mut command = b.command(REMSYNC);
    command.args(["process", file.to_str().unwrap()]);
    let mut terminal = Terminal::start(command);
    terminal.answer("Which? [Take/keep/later] ", "");
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("here:bo@new.example: another address"), "{seen}");
    assert_eq!(b.text("f"), "three\n");
    assert_eq!(b.run(&["list", "here"]).done(), "here    bo@new.example ~/tree\n");

    // Both at once, or from a stranger, is nobody's; and so is what goes to a remote of ours.
    for (from, to) in [
        ("b@b.example", "d@d.example"),
        ("here\ta@a.example", "here\tz@z.example"),
        (
            "title\tTest\nhere\ta@a.example ~/tree\nremote\tb@b.example",
            "title\tX\nhere\ta@a.example ~/tree\nremote\tx@x.example",
        ),
    ] {
        let to_b = renamed(&next(&mut a, "four\n"), from, to);
        assert_eq!(process(&b, &to_b).1, 1, "{from}");
        assert_eq!(differences(&b), []);
        assert_eq!(b.text("f"), "three\n");
    }
}

/// Of two projects of the same people, what is for the one is no question at the other.
#[test]
fn two_projects_of_the_same_people() {
    let world = World::new();
    let (a, b) = world.pair();
    let second = b.top.join("second");
    fs::create_dir(&second).unwrap();
    let words = ["-C", second.to_str().unwrap(), "init", "--title", "Second", "--here"];
    b.run(&[&words[..], &[&b.address, "--remote", &a.address]].concat()).done();
    a.write("f", "one\n");
    a.run(&["title", "Renamed"]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let (held, status) = b.json(&["-C", second.to_str().unwrap(), "process", "--batch"]);
    assert_eq!(status, 1, "{held}");
    assert_eq!(b.run(&["process", "--batch"]).status(), 1);
    // In 2.0 all is to stay as it is.
    assert_eq!(differences(&b), named(&[("title:Renamed", "keep")]));
    b.run(&["resolve", "title:Renamed", "take"]).done();
    b.run(&["process", "--batch"]).done();
    assert_eq!(
        (b.text("f"), b.run(&["title"]).done()),
        ("one\n".into(), "title   Renamed\n".into())
    );
    assert_eq!(
        fs::read_dir(&second).unwrap().filter(|f| f.as_ref().unwrap().file_name() == "f").count(),
        0
    );
    a.write("f", "two\n");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    assert_eq!(b.run(&["-C", second.to_str().unwrap(), "process", "--batch"]).status(), 0);
    assert_eq!(b.run(&["process", "--batch"]).status(), 0);
}

/// In 2.0 nothing is proposed, and nobody is asked to forget what the other never had.
#[test]
fn identity_in_format_2_0() {
    let world = World::new();
    let (a, b, d) = (world.home("a"), world.home("b"), world.home("d"));
    a.init(&[&b, &d]).done();
    b.init(&[&a]).done();
    b.run(&["scan", "doc"]).done();
    a.run(&["broadcast", "b@b.example"]).done();
    assert_eq!(b.receive(), 1);
    assert_eq!(differences(&b), named(&[("remote:d@d.example", "keep")]));
    // It was only left out: when it is dropped there it is asked about here.
    b.run(&["resolve", "remote:d@d.example", "take"]).done();
    a.run(&["delete", "remote", "d@d.example"]).done();
    a.run(&["broadcast", "b@b.example"]).done();
    assert_eq!(b.receive(), 1);
    let pending = b.run(&["pending"]).with(1);
    assert!(pending.contains("remote:d@d.example: here and not there"), "{pending}");
    b.run(&["resolve", "remote:d@d.example", "keep"]).done();
    assert_eq!(b.receive(), 0);
}

// ---- From 1.3 to 2.0.

#[test]
fn a_project_goes_over_to_2_0() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for (path, text) in [("f", "one\n"), ("sub/g", "two\n"), ("two words", "x\n")] {
        a.write(path, text);
    }
    for (home, other) in [(&a, &b), (&b, &a)] {
        let words = ["init", "--format", "1.3", "--title", "Test", "--here"];
        home.run(&[&words[..], &[&home.address, "--remote", &other.address]].concat()).done();
    }
    a.run(&["broadcast"]).with(1);
    assert_eq!(b.receive(), 0);
    assert!(b.read("two words").is_none(), "1.3 cannot name it");

    // What only 1.3 can say has to be said before.
    a.remove("sub/g");
    a.run(&["status"]).with(1);
    a.write("sub/g", "two\n");
    let ran = a.run(&["upgrade"]);
    assert!(ran.stderr().contains("Every other site has to run \"remsync upgrade\" too."));
    assert!(ran.stderr().contains("GNU remsync cannot read 2.0 at all"));
    assert!(ran.done().ends_with("speaks remsync 2.0 now: 3 files\n"));
    assert!(a.text(".remsync").contains("format\tremsync 2.0\n"));
    assert!(a.text(".remsync.bak").contains("format\tremsync 1.3\n"));
    assert_eq!(a.run(&["upgrade"]).status(), 2, "once");

    // Until the other follows, each holds what the other sends, and says the remedy.
    a.run(&["broadcast", "-i"]).done();
    b.deliver_all();
    let (held, status) = b.json(&["process", "--batch"]);
    assert_eq!(status, 1);
    let reason = held["entries"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("\"remsync upgrade\" makes it speak that too"), "{reason}");
    b.run(&["upgrade"]).done();
    assert_eq!(b.run(&["process", "--batch"]).status(), 0, "what was held is taken now");
    b.run(&["-i", "broadcast"]).done();
    assert_eq!(a.receive(), 0);
    let (status, _) = a.json(&["status"]);
    let state = |path: &str| {
        let files = status["files"].as_array().unwrap();
        files.iter().find(|f| f["path"] == path).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state("f").as_str(), state("sub/g").as_str()), ("in step", "in step"), "{status}");
    let sent = a.run(&["broadcast"]).done();
    assert_eq!(sent, "b@b.example: 1 file sent\n", "only what 1.3 could not name");
    assert_eq!(b.receive(), 0);
    assert_eq!(texts(&a), texts(&b));
}

#[test]
fn what_keeps_a_project_from_going_over() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for (home, other) in [(&a, &b), (&b, &a)] {
        let words = ["init", "--format", "1.3", "--title", "Test", "--here"];
        home.run(&[&words[..], &[&home.address, "--remote", &other.address]].concat()).done();
        home.write("f", &home.address);
    }
    a.write("g", "one\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    let ran = b.run(&["upgrade"]);
    assert!(
        ran.stderr().contains("1 file waits for an answer.\n  hint: \"pending\""),
        "{}",
        ran.story()
    );
    assert_eq!(ran.status(), 2);
    b.run(&["resolve", "f", "take"]).done();
    b.remove("g");
    b.run(&["process", "--batch"]).done();
    b.run(&["broadcast", "--dry-run"]).done();
    a.run(&["--dry-run", "upgrade"]).done();
    assert!(a.text(".remsync").contains("remsync 1.3"), "a dry run");
    let before = a.files();
    fs::rename(a.tree.join("f"), a.top.join("f")).unwrap();
    fs::rename(a.tree.join("g"), a.top.join("g")).unwrap();
    let ran = a.run(&["upgrade"]);
    assert!(ran.stderr().contains("an unmounted disk?"), "{}", ran.story());
    fs::rename(a.top.join("f"), a.tree.join("f")).unwrap();
    fs::rename(a.top.join("g"), a.tree.join("g")).unwrap();
    a.run(&["upgrade"]).done();
    assert_eq!(a.files(), before, "no file is touched");
}
