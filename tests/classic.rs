//! Format 1.3 end to end: the real programs among themselves, and with packages as the program of
//! 1994–2010 makes them, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::{Home, Ran, World};

// ---- Reading and making what 1.3 has.

/// BSD `sum`, as five digits.
fn sum(bytes: impl AsRef<[u8]>) -> String {
    let sum =
        bytes.as_ref().iter().fold(0u16, |sum, &b| sum.rotate_right(1).wrapping_add(b.into()));
    format!("{sum:05}")
}

fn init(home: &Home, remotes: &[&Home]) -> Ran {
    let mut words = vec!["init", "--format", "1.3", "--title", "Test", "--here", &home.address];
    for remote in remotes {
        words.extend(["--remote", &remote.address]);
    }
    home.run(&words)
}

/// The file lines of `.remsync`: name and beliefs.
fn table(home: &Home) -> BTreeMap<String, Vec<String>> {
    let lines = home.text(".remsync");
    let files = lines.lines().filter_map(|line| line.strip_prefix('\t'));
    let words = files.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    words.map(|words| (words[0].clone(), words[1..].to_vec())).collect()
}

/// The beliefs on one file; nothing where it is not listed.
fn beliefs(home: &Home, path: &str) -> Vec<String> {
    table(home).remove(path).unwrap_or_default()
}

/// Makes both trees projects of each other, and the second like the first.
fn pair(world: &World, files: &[(&str, &str)]) -> (Home, Home) {
    let (a, b) = (world.home("a"), world.home("b"));
    for (path, text) in files {
        a.write(path, text);
    }
    init(&a, &[&b]).done();
    init(&b, &[&a]).done();
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    assert_eq!(a.files(), b.files());
    (a, b)
}

/// Lets the one send and the other receive; returns how the latter ended.
fn pass(from: &Home, to: &Home) -> i32 {
    assert!(from.run(&["broadcast"]).status() <= 1);
    to.receive()
}

/// Lets the one send; the mail is lost.
fn lose(from: &Home, to: &Home) {
    assert!(from.run(&["broadcast"]).status() <= 1);
    let mails = to.mails();
    assert!(!mails.is_empty(), "there is something to lose");
    mails.iter().for_each(|mail| fs::remove_file(mail).unwrap());
}

/// Nobody has anything to say.
fn assert_silent(homes: &[&Home]) {
    for home in homes {
        home.run(&["broadcast"]).done();
    }
    for home in homes {
        assert!(home.mails().is_empty(), "nothing changed sends nothing: {}", home.address);
    }
}

/// Leaves open what the sites differ on beside files: all stays as it is here.
fn agree(home: &Home) {
    home.run(&["resolve", "--all", "keep"]).done();
}

fn questions(home: &Home) -> Vec<(String, String)> {
    let (pending, _) = home.json(&["pending"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    pending["questions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| (text(&q["path"]), text(&q["why"])))
        .collect()
}

fn asked(path: &str, why: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), why.to_owned())]
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
    block[265..271].copy_from_slice(b"spirou");
    block[297..303].copy_from_slice(b"spirou");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    write!(&mut block[148..155], "{sum:06o}\0").unwrap();
    let mut out = block.to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// A package: the folder, the orders after their files (a folder has any order), 10 KiB records.
fn gnu_package(orders: &str, members: &[&[u8]]) -> Vec<u8> {
    let mut tar = entry(".remsync-work/", b'5', 0o700, b"");
    for (at, bytes) in members.iter().enumerate().rev() {
        tar.extend(entry(&format!(".remsync-work/{}", at + 1), b'0', 0o600, bytes));
    }
    tar.extend(entry(".remsync-work/orders", b'0', 0o644, orders.as_bytes()));
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

/// What the real program at `a` writes above its rows, with the remotes b and d.
fn gnu_head(visit: usize) -> String {
    format!(
        "format\tremsync 1.3\ntitle\tTest\nhere\ta@a.example ~/a\nremote\tb@b.example ~/b\n\
         remote\td@d.example ~/d\nignore\t.*~\nignore\t\\.remsync.*\nvisit\t{visit}\ncopy\t0 1\n"
    )
}

fn process(world: &World, home: &Home, name: &str, package: &[u8]) -> (serde_json::Value, i32) {
    let file: PathBuf = world.path().join(name);
    fs::write(&file, package).unwrap();
    home.json(&["process", "--batch", file.to_str().unwrap()])
}

/// The orders in a package that we made.
fn orders_of(package: &[u8]) -> String {
    let mut tar = Vec::new();
    GzDecoder::new(package).read_to_end(&mut tar).unwrap();
    let at = tar.windows(20).position(|w| w == b".remsync-work/orders").unwrap();
    let size = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
    let size = usize::from_str_radix(size, 8).unwrap();
    String::from_utf8(tar[at + 512..at + 512 + size].to_vec()).unwrap()
}

/// Broadcasts into a folder; returns the orders for each address.
fn broadcast_to(world: &World, home: &Home, words: &[&str]) -> BTreeMap<String, String> {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let stick = world.path().join(format!("stick{count}"));
    let ran = home.run(&[&["broadcast", "--to", stick.to_str().unwrap()], words].concat());
    assert!(ran.status() <= 1, "{}", ran.story());
    let mut orders = BTreeMap::new();
    for file in fs::read_dir(&stick).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sig") {
            continue;
        }
        let text = orders_of(&fs::read(path).unwrap());
        let remotes: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("remote\t")).collect();
        let visit = text.lines().find_map(|l| l.strip_prefix("visit\t")).unwrap();
        let to = remotes[visit.parse::<usize>().unwrap()].split(' ').next().unwrap();
        assert_readable_by_the_original(to, &text);
        orders.insert(to.to_owned(), text);
    }
    orders
}

/// The rows of orders.
fn rows(orders: &str) -> Vec<&str> {
    orders.lines().filter(|l| l.starts_with("check\t") || l.starts_with("update\t")).collect()
}

// ---- Among ourselves.

#[test]
fn two_sites_keep_a_tree_in_step() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "one\n"), ("sub/g", "two\n"), ("empty", "")]);
    assert_eq!(beliefs(&a, "f"), ["57445"]);
    assert_eq!(beliefs(&b, "f"), ["57445"]);
    assert_eq!(beliefs(&b, "empty"), ["00000"]);
    assert_silent(&[&a, &b]);

    b.write("f", "three\n");
    let (status, _) = b.json(&["status"]);
    assert_eq!(status["files"][1]["state"], "due", "{status}");
    assert_eq!(pass(&b, &a), 0);
    assert_eq!(a.text("f"), "three\n");
    assert_eq!((beliefs(&a, "f"), beliefs(&b, "f")), (vec!["08302".into()], vec!["08302".into()]));
    assert_silent(&[&a, &b]);
    let (status, code) = a.json(&["status"]);
    assert_eq!(code, 0);
    let files = status["files"].as_array().unwrap();
    assert!(files.len() == 3 && files.iter().all(|f| f["state"] == "in step"), "{status}");
}

#[test]
fn a_first_package_is_accepted() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "one\n");
    init(&a, &[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    assert_eq!(a.files(), b.files());
    assert!(b.text(".remsync").contains("format\tremsync 1.3\n"));
    assert_silent(&[&a, &b]);
}

/// §9.1, scenario 2: both receivers read the beliefs of before the broadcast.
#[test]
fn every_receiver_of_a_broadcast_learns_the_same() {
    let world = World::new();
    let (a, b, d) = (world.home("a"), world.home("b"), world.home("d"));
    a.write("f", "v1\n");
    init(&a, &[&b, &d]).done();
    init(&b, &[&a, &d]).done();
    init(&d, &[&a, &b]).done();
    a.run(&["broadcast"]).done();
    assert_eq!((b.receive(), d.receive()), (0, 0));
    assert_eq!(beliefs(&b, "f"), ["00064", "00064"], "b knows that d got the new file too");
    assert_eq!(beliefs(&d, "f"), ["00064", "00064"]);

    a.write("f", "v2\n");
    a.write("g", "new\n");
    let sent = broadcast_to(&world, &a, &[]);
    let v2 = sum("v2\n");
    let want = [
        format!("check\tf {v2} 00064 00064"),
        "update\tf 00064 1".into(),
        "check\tg 32876 - -".into(),
        "update\tg - 2".into(),
    ];
    assert_eq!(rows(&sent["b@b.example"]), want);
    assert_eq!(rows(&sent["d@d.example"]), want, "the columns are frozen");
    assert_eq!(beliefs(&a, "g"), ["32876", "32876"]);
    for stick in ["stick"] {
        for file in fs::read_dir(world.path()).unwrap() {
            let folder = file.unwrap().path();
            if !folder.file_name().unwrap().to_str().unwrap().starts_with(stick) {
                continue;
            }
            for package in fs::read_dir(folder).unwrap() {
                let package = package.unwrap().path();
                let text = orders_of(&fs::read(&package).unwrap());
                let to = if text.contains("visit\t0\n") { &b } else { &d };
                to.run(&["process", package.to_str().unwrap()]).done();
            }
        }
    }
    for home in [&b, &d] {
        assert_eq!(home.text("f"), "v2\n");
        assert_eq!(beliefs(home, "f"), [v2.clone(), v2.clone()]);
        assert_eq!(beliefs(home, "g"), ["32876", "32876"]);
    }
    assert_silent(&[&a, &b, &d]);
}

#[test]
fn a_conflict_is_held_and_answered_keep() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "base\n"), ("g", "one\n")]);
    a.write("f", "of a\n");
    a.write("g", "two\n");
    b.write("f", "of b\n");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!((b.text("f"), b.text("g")), ("of b\n".into(), "two\n".into()));
    assert_eq!(questions(&b), asked("f", "conflict"));
    assert_eq!(beliefs(&b, "f"), [sum("base\n")], "a row is learnt when it is settled");
    assert_eq!(b.run(&["process", "--batch"]).status(), 1, "still held");

    b.run(&["resolve", "f", "keep"]).done();
    assert_eq!(b.text("f"), "of b\n");
    assert_eq!(beliefs(&b, "f"), [sum("of a\n")]);
    let (queue, _) = b.json(&["queue", "list"]);
    assert!(queue.as_array().unwrap().iter().all(|entry| entry["state"] == "done"), "{queue}");
    assert_eq!(pass(&b, &a), 0, "what was merged goes back without a question");
    assert_eq!(a.text("f"), "of b\n");
    assert_silent(&[&a, &b]);
}

#[test]
fn a_conflict_is_held_and_answered_take() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "base\n")]);
    a.write("f", "of a\n");
    b.write("f", "of b\n");
    assert_eq!(pass(&a, &b), 1);
    b.run(&["resolve", "f", "take"]).done();
    assert_eq!(b.text("f"), "of a\n");
    assert_silent(&[&a, &b]);
    assert!(questions(&b).is_empty());
}

/// Both choose what is their own, both choose the other's: the trees end up the same, or somebody
/// is asked; they never trade places for ever.
#[test]
fn opposite_answers_do_not_trade_places() {
    for choice in ["keep", "take"] {
        let world = World::new();
        let (a, b) = pair(&world, &[("f", "base\n")]);
        a.write("f", "of a\n");
        b.write("f", "of b\n");
        a.run(&["broadcast"]).done();
        b.run(&["broadcast"]).done();
        assert_eq!((a.receive(), b.receive()), (1, 1));
        a.run(&["resolve", "f", choice]).done();
        b.run(&["resolve", "f", choice]).done();
        for round in 0..6 {
            a.write("other", format!("{round}"));
            a.run(&["broadcast"]).done();
            b.write("another", format!("{round}"));
            b.run(&["broadcast"]).done();
            a.receive();
            b.receive();
        }
        let is_asked = !questions(&a).is_empty() || !questions(&b).is_empty();
        assert!(a.text("f") == b.text("f") || is_asked, "{choice}");
    }
}

#[test]
fn a_deletion_by_absence_is_asked_and_travels() {
    let world = World::new();
    let (a, b) =
        pair(&world, &[("keep", "1"), ("one", "2"), ("two", "3"), ("folder/x", "4"), ("z", "5")]);
    b.write("new here", "x");
    b.write("newhere", "x");
    a.remove("one");
    a.remove("two");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!(questions(&b), [asked("one", "deletion"), asked("two", "deletion")].concat());
    assert!(b.read("one").is_some(), "never applied in batch");
    b.run(&["resolve", "one", "take"]).with(1);
    b.run(&["resolve", "two", "keep"]).done();
    assert!(b.read("one").is_none() && b.read("two").is_some());
    assert_eq!((beliefs(&b, "one"), beliefs(&b, "two")), (vec![], vec!["-".to_owned()]));

    let sent = broadcast_to(&world, &b, &[]);
    let text = &sent["a@a.example"];
    assert!(text.contains(&format!("check\ttwo {} -\nupdate\ttwo - ", sum("3"))), "{text}");
    assert!(!text.contains("check\tone "), "{text}");
    let stick = fs::read_dir(world.path()).unwrap().map(|f| f.unwrap().path());
    let stick = stick.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("stick"));
    let package = fs::read_dir(stick.last().unwrap()).unwrap().next().unwrap().unwrap().path();
    a.run(&["process", package.to_str().unwrap()]).done();
    assert_eq!(a.text("two"), "3", "a refused deletion brings the file back");
    assert!(a.read("one").is_none());
    b.remove("new here");
    assert_silent(&[&a, &b]);
}

/// An accepted deletion goes on to a third site, which is asked in its turn.
#[test]
fn a_deletion_travels_to_a_third_site() {
    let world = World::new();
    let (a, b, d) = (world.home("a"), world.home("b"), world.home("d"));
    for name in ["f", "g", "h"] {
        a.write(name, name);
    }
    init(&a, &[&b]).done();
    init(&b, &[&a, &d]).done();
    init(&d, &[&b]).done();
    assert_eq!((pass(&a, &b), pass(&b, &d)), (1, 1), "the one knows d, the other a");
    d.run(&["broadcast", "b@b.example"]).done();
    b.run(&["broadcast", "a@a.example"]).done();
    assert_eq!((b.receive(), a.receive()), (1, 1));
    [&a, &b, &d].into_iter().for_each(agree);
    a.remove("f");
    assert_eq!(pass(&a, &b), 1);
    b.run(&["resolve", "f", "take"]).done();
    assert_eq!(pass(&b, &d), 1);
    assert_eq!(questions(&d), asked("f", "deletion"));
    d.run(&["resolve", "f", "take"]).done();
    for _ in 0..3 {
        for home in [&a, &b, &d] {
            home.run(&["broadcast"]).done();
            assert_eq!(home.receive(), 0);
        }
    }
    assert_silent(&[&a, &b, &d]);
    assert!(d.read("f").is_none());
}

#[test]
fn what_was_taken_in_and_is_gone_is_a_deletion() {
    let world = World::new();
    // b never said a word before, but has what came with them.
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1")]);
    b.remove("g");
    assert_eq!(pass(&b, &a), 1);
    assert_eq!(questions(&a), asked("g", "deletion"));
}

#[test]
fn what_was_only_sent_there_is_no_deletion() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1")]);
    // a package of a's that does not know of b's new file crosses it
    b.write("new", "n");
    lose(&b, &a);
    assert_eq!(beliefs(&b, "new"), [sum("n")], "believed to have arrived");
    a.write("f", "2");
    assert_eq!(pass(&a, &b), 0, "nothing is asked");
    assert_eq!(beliefs(&b, "new"), ["-"]);
    assert_eq!(pass(&b, &a), 0);
    assert_eq!(a.text("new"), "n", "a lost creation heals");
    assert_silent(&[&a, &b]);
}

#[test]
fn changed_here_and_deleted_there() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1"), ("h", "1")]);
    b.write("f", "edited");
    a.remove("f");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!(questions(&b), asked("f", "deleted-there"));
    b.run(&["resolve", "f", "keep"]).done();
    assert_eq!(pass(&b, &a), 0);
    assert_eq!(a.text("f"), "edited");

    a.write("g", "edited");
    b.remove("g");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!(questions(&b), asked("g", "deleted-here"));
    b.run(&["resolve", "g", "take"]).done();
    assert_eq!(b.text("g"), "edited");
    assert_silent(&[&a, &b]);
}

#[test]
fn a_deletion_that_was_answered_on_the_disk_is_withdrawn() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1"), ("h", "1")]);
    a.remove("f");
    a.write("g", "2");
    b.write("g", "3");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!(questions(&b).len(), 2);
    b.remove("f");
    b.write("g", "2");
    assert_eq!(b.run(&["process", "--batch"]).status(), 0);
    assert!(questions(&b).is_empty());
    let (queue, _) = b.json(&["queue", "list"]);
    assert!(queue.as_array().unwrap().iter().all(|entry| entry["state"] == "done"), "{queue}");
}

#[test]
fn the_same_package_twice_and_the_newer_first() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1")]);
    let mut mails = Vec::new();
    for text in ["2", "3"] {
        a.write("f", text);
        a.run(&["broadcast"]).done();
        let kept = world.path().join(format!("mail{text}"));
        fs::rename(b.mails().pop().unwrap(), &kept).unwrap();
        mails.push(kept);
    }
    b.deliver(&mails[1]).done();
    assert_eq!(b.run(&["process", "--batch"]).status(), 1, "the newer first is a question");
    assert_eq!(b.text("f"), "1");
    b.run(&["resolve", "f", "take"]).done();
    assert_eq!(b.text("f"), "3");
    b.deliver(&mails[0]).done();
    assert_eq!(b.run(&["process", "--batch"]).status(), 1, "and so is the older after it");
    assert_eq!(b.text("f"), "3");
    b.run(&["resolve", "f", "keep"]).done();
    for _ in 0..2 {
        b.deliver(&mails[0]).done();
        b.deliver(&mails[1]).done();
        b.run(&["process", "--batch"]).done();
        assert_eq!(b.text("f"), "3");
    }
    for _ in 0..3 {
        pass(&b, &a);
        pass(&a, &b);
    }
    assert_eq!((a.text("f"), b.text("f")), ("3".into(), "3".into()));
    assert_silent(&[&a, &b]);
}

/// The same orders and files in another archive: the digest does not know it, the rules do.
#[test]
fn a_package_packed_anew_is_redundant() {
    let world = World::new();
    let b = world.home("b");
    let a = world.home("a");
    b.write("f", "v1\n");
    init(&b, &[&a]).done();
    let orders = gnu_head(0) + &format!("check\tf {} 00064 -\nupdate\tf 00064 1\n", sum("v2\n"));
    let package = gnu_package(&orders, &[b"v2\n"]);
    let (done, status) = process(&world, &b, "p1", &package);
    assert_eq!((done["entries"][0]["replaced"].as_u64(), status), (Some(1), 1), "{done}");
    agree(&b);
    let (again, status) = process(&world, &b, "p1", &package);
    assert_eq!((again["entries"][0]["outcome"].as_str(), status), (Some("done"), 0), "{again}");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    let mut tar = Vec::new();
    GzDecoder::new(&package[..]).read_to_end(&mut tar).unwrap();
    gzip.write_all(&tar).unwrap();
    let (again, status) = process(&world, &b, "p2", &gzip.finish().unwrap());
    assert_eq!((again["entries"][0]["redundant"].as_u64(), status), (Some(1), 0), "{again}");
    assert_eq!(b.text("f"), "v2\n");
}

#[test]
fn names_that_cannot_be_written_are_left_out_and_told() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("plain", "1");
    a.write("two words", "2");
    a.write("tab\there", "3");
    init(&a, &[&b]).done();
    init(&b, &[&a]).done();
    let ran = a.run(&["broadcast"]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    assert!(
        ran.stderr().contains("two words: format 1.3 cannot write this name"),
        "{}",
        ran.story()
    );
    assert!(ran.stderr().contains("tab\\there: format 1.3"), "{}", ran.story());
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files().len(), 1);
    assert_eq!(table(&a).into_keys().collect::<Vec<_>>(), ["plain"]);
    assert_eq!(a.run(&["status"]).status(), 1);
}

#[test]
fn a_carrier_that_fails_is_not_believed() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1\n"), ("g", "1\n"), ("h", "1\n")]);
    a.write("f", "2\n");
    a.remove("g");
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    fs::write(a.top.join("blocked"), "a file, no folder").unwrap();
    let broken = format!("[mail]\ntransport = \"maildir:{}\"\n", a.top.join("blocked/x").display());
    fs::write(a.top.join("config.toml"), broken).unwrap();
    for _ in 0..2 {
        let (sent, status) = a.json(&["broadcast"]);
        assert_eq!(status, 2, "{sent}");
        assert_eq!(beliefs(&a, "f"), [sum("1\n")]);
    }
    fs::write(a.top.join("config.toml"), settings).unwrap();
    assert_eq!(pass(&a, &b), 1, "the deletion was not forgotten either");
    assert_eq!(b.text("f"), "2\n");
    assert_eq!(questions(&b), asked("g", "deletion"));
}

/// §9.1, scenario 1, and B6: an inventory teaches the receiver, and nothing else.
#[test]
fn an_inventory_carries_signatures_only() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for (path, text) in [("f", "one\n"), ("g", "two\n"), ("only-a", "three\n")] {
        a.write(path, text);
    }
    b.write("f", "one\n");
    b.write("g", "other\n");
    b.write("only-b", "x\n");
    init(&a, &[&b]).done();
    init(&b, &[&a]).done();
    let (sent, status) = a.json(&["-i", "broadcast"]);
    assert_eq!((sent["sites"][0]["updates"].as_u64(), status), (Some(0), 0), "{sent}");
    assert_eq!(beliefs(&a, "f"), ["-"], "nobody is believed to have got anything");
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files().len(), 3, "no file was touched");
    let table = table(&b);
    assert_eq!(
        (table["f"].clone(), table["g"].clone()),
        (vec!["57445".into()], vec!["49261".into()])
    );
    assert!(!table.contains_key("only-a"));

    // The other way too; then only what differs travels.
    b.json(&["-i", "broadcast"]);
    assert_eq!(a.receive(), 0);
    let sent = broadcast_to(&world, &a, &[]);
    let updates: Vec<&str> =
        rows(&sent["b@b.example"]).into_iter().filter(|l| l.starts_with("update")).collect();
    assert_eq!(updates, [&format!("update\tg {} 1", sum("other\n"))[..], "update\tonly-a - 2"]);
}

// ---- Mail that is lost, late or crosses.

/// The guard: a's package is lost, a thinks that b has it. b's old file must not undo a's change.
#[test]
fn a_lost_package_is_a_question_and_no_silent_overwrite() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1")]);
    a.write("f", "2");
    lose(&a, &b);
    a.write("g", "2");
    assert_eq!(pass(&a, &b), 0);
    assert_eq!(b.text("f"), "1");
    assert_eq!(beliefs(&b, "f"), ["666"]);
    let (status, _) = b.json(&["status"]);
    assert_eq!(status["files"][0]["state"], "apart", "{status}");
    assert_eq!(pass(&b, &a), 1);
    assert_eq!(a.text("f"), "2", "a's change is not undone");
    assert_eq!(questions(&a), asked("f", "conflict"));
    // a says the same again while its question is open: still contested.
    a.write("g", "3");
    assert_eq!(pass(&a, &b), 0);
    assert_eq!(beliefs(&b, "f"), ["666"]);

    a.run(&["resolve", "f", "keep"]).done();
    assert_eq!(pass(&a, &b), 0);
    assert_eq!(b.text("f"), "2");
    pass(&b, &a);
    pass(&a, &b);
    assert_silent(&[&a, &b]);
}

/// A remote that repeats what it said before has not got our mail: no contest, it is sent again.
#[test]
fn a_lost_package_heals_when_the_other_speaks() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1")]);
    b.write("f", "2");
    lose(&b, &a);
    a.write("g", "2");
    assert_eq!(pass(&a, &b), 0);
    assert_eq!(beliefs(&b, "f"), [sum("1")]);
    assert_eq!(pass(&b, &a), 0);
    assert_eq!(a.text("f"), "2");
    assert_silent(&[&a, &b]);
}

/// An edit here that was not sent yet is no reason to distrust the other's word.
#[test]
fn an_edit_that_waits_is_not_contested() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1"), ("h", "1")]);
    b.write("f", "2");
    b.remove("h");
    a.write("g", "2");
    assert_eq!(pass(&a, &b), 0);
    assert_eq!(beliefs(&b, "f"), [sum("1")]);
    assert_eq!(pass(&b, &a), 1);
    assert_eq!((a.text("f"), questions(&a)), ("2".into(), asked("h", "deletion")));
}

// ---- Held packages, crashes, the original program in between.

/// A held package that is read again does not undo what was done since.
#[test]
fn a_held_package_read_again_changes_nothing() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1"), ("h", "1"), ("i", "1")]);
    a.write("f", "2");
    a.write("g", "2");
    a.remove("h");
    b.write("f", "3");
    assert_eq!(pass(&a, &b), 1);
    assert_eq!(b.text("g"), "2");
    // Back to what the package expected: read anew, it would replace it again.
    b.write("g", "1");
    a.write("later", "1");
    assert_eq!(pass(&a, &b), 1);
    let (queue, _) = b.json(&["queue", "list"]);
    let held = queue.as_array().unwrap().iter().find(|entry| entry["state"] == "held").unwrap();
    let id = held["id"].as_str().unwrap().to_owned();
    let (again, status) = b.json(&["process", "--batch", &id]);
    assert_eq!(status, 1, "{again}");
    assert_eq!(b.text("g"), "1");
    let open: Vec<String> = questions(&b).into_iter().map(|(path, _)| path).collect();
    assert_eq!(open.len(), 2, "{open:?}: no question about what came later");
    b.run(&["resolve", "f", "h", "keep"]).done();
    assert!(!fs::read_to_string(b.tree.join(".remsync.d/ledger")).unwrap().contains("settled"));
    let (queue, _) = b.json(&["queue", "list"]);
    assert!(queue.as_array().unwrap().iter().all(|entry| entry["state"] == "done"), "{queue}");
}

/// `.remsync` as the original writes it, without anything of ours beside it.
#[test]
fn a_project_of_the_original_is_taken_over() {
    let world = World::new();
    let b = world.home("b");
    b.write("f", "v1\n");
    b.write("gone", "x\n");
    let text = format!(
        "# This file is maintained automatically by program `remsync'.  DO NOT EDIT!\n\n\
         format\tremsync 1.3\ntitle\tTest\nhere\tb@b.example ~/tree\nremote\ta@a.example ~/a\n\
         remote\td@d.example ~/d\n\nignore\t.*~\nignore\t\\.remsync.*\n\tf 00064 00064\n\
         \tgone {} -\n\tnew -\n",
        sum("x\n")
    );
    b.write(".remsync", &text);
    b.write("new", "n\n");
    let (status, code) = b.json(&["status"]);
    assert_eq!(code, 0, "{status}");
    assert_eq!(status["files"].as_array().unwrap().len(), 3);
    let orders =
        gnu_head(0) + &format!("check\tf {} 00064 00064\nupdate\tf 00064 1\n", sum("v2\n"));
    let (done, code) = process(&world, &b, "p", &gnu_package(&orders, &[b"v2\n"]));
    assert_eq!(code, 0, "{done}");
    assert_eq!(b.text("f"), "v2\n");
    assert_eq!(beliefs(&b, "f"), [sum("v2\n"), sum("v2\n")]);
    assert_eq!(beliefs(&b, "gone"), ["-", "-"], "never listed by a itself: no deletion");
    assert!(b.read("gone").is_some());
}

#[test]
fn the_original_may_edit_in_between() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f", "1"), ("g", "1"), ("h", "1")]);
    // It took a package in: f is v9 at a, g is forgotten, k is new.
    b.write("f", "9");
    b.remove("g");
    b.write("k", "k");
    let text =
        b.text(".remsync").replace(&format!("\tf {}", sum("1")), &format!("\tf {}", sum("9")));
    let text = text.replace(&format!("\tg {}\n", sum("1")), "") + &format!("\tk {}\n", sum("k"));
    b.write(".remsync", text);
    let (status, _) = b.json(&["status"]);
    let names: Vec<&str> =
        status["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["f", "h", "k"]);
    assert!(
        status["files"].as_array().unwrap().iter().all(|f| f["state"] == "in step"),
        "{status}"
    );
    a.remove("h");
    a.write("f", "9");
    a.write("k", "k");
    pass(&a, &b);
    assert_eq!(b.text("f"), "9");
    assert_eq!(questions(&b), asked("h", "deletion"));
}

// ---- What rests is no deletion.

#[test]
fn what_is_ignored_or_unreadable_now_is_not_told_as_deleted() {
    let world = World::new();
    let (a, b) = pair(&world, &[("f.txt", "1"), ("g", "1"), ("h", "1"), ("i", "1")]);
    a.run(&["create", "ignore", ".*\\.txt"]).done();
    fs::remove_file(a.tree.join("g")).unwrap();
    fs::create_dir(a.tree.join("g")).unwrap();
    a.write("h", "2");
    let orders = broadcast_to(&world, &a, &[]);
    let text = &orders["b@b.example"];
    let one = sum("1");
    assert_eq!(
        rows(text),
        [
            format!("check\tf.txt {one} {one}"),
            format!("check\tg {one} {one}"),
            format!("check\th {} {one}", sum("2")),
            format!("update\th {one} 1"),
            format!("check\ti {one} {one}"),
        ]
    );
    a.write("h", "3");
    assert_eq!(pass(&a, &b), 1, "only that a package was lost on the way");
    assert_eq!(questions(&b), asked("h", "conflict"));
    assert_eq!(b.text("f.txt"), "1");
}

#[test]
fn most_files_gone_stops_a_broadcast() {
    let world = World::new();
    let (a, b) = pair(&world, &[("1", "1"), ("2", "1"), ("3", "1"), ("4", "1"), ("5", "1")]);
    for name in ["1", "2", "3"] {
        a.remove(name);
    }
    let ran = a.run(&["broadcast"]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    assert!(ran.stderr().contains("3 of 5 files are gone"), "{}", ran.story());
    assert!(b.mails().is_empty());
}

// ---- Sixteen bits.

/// Two different texts with one BSD sum.
fn twins() -> (String, String) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for n in 0.. {
        let text = format!("text {n}\n");
        if let Some(twin) = seen.insert(sum(&text), text.clone()) {
            return (twin, text);
        }
    }
    unreachable!()
}

#[test]
fn different_files_of_one_sum_are_never_dropped() {
    let (one, other) = twins();
    assert!(one != other && sum(&one) == sum(&other));
    for (choice, want) in [("keep", &one), ("take", &other)] {
        let world = World::new();
        let (a, b) = (world.home("a"), world.home("b"));
        a.write("f", &other);
        b.write("f", &one);
        init(&a, &[&b]).done();
        init(&b, &[&a]).done();
        assert_eq!(pass(&a, &b), 1, "a question, not \"redundant\"");
        assert_eq!(questions(&b), asked("f", "conflict"));
        assert_eq!(b.text("f"), one);
        assert_eq!(b.run(&["process", "--batch"]).status(), 1, "not withdrawn for its sum");
        b.run(&["resolve", "f", choice]).done();
        assert_eq!(b.text("f"), *want);
        if choice == "keep" {
            assert_eq!(beliefs(&b, "f"), ["666"]);
            assert_eq!(pass(&b, &a), 1, "the other has to be asked, too");
            assert_eq!(questions(&a), asked("f", "conflict"));
            a.run(&["resolve", "f", "take"]).done();
            assert_eq!(a.text("f"), one);
        }
        pass(&a, &b);
        assert_silent(&[&a, &b]);
    }
}

// ---- With the real program.

#[test]
fn packages_of_the_original_are_applied() {
    let world = World::new();
    let (a, d) = (world.home("a"), world.home("d"));
    let b = world.home("b");
    b.write("f", "v1\n");
    init(&b, &[&a, &d]).done();
    let first = gnu_head(0) + "check\tf 00064 00064 00064\n";
    let (done, status) = process(&world, &b, "first", &gnu_package(&first, &[]));
    assert_eq!((done["entries"][0]["outcome"].as_str(), status), (Some("done"), 1), "{done}");
    agree(&b);
    assert_eq!(beliefs(&b, "f"), ["00064", "00064"]);

    let v2 = sum("v2\n");
    let orders = gnu_head(0)
        + &format!(
            "check\tf {v2} 00064 00064\nupdate\tf 00064 1\ncheck\tsub/g 32876 - -\nupdate\tsub/g - 2\n"
        );
    let (done, status) = process(&world, &b, "second", &gnu_package(&orders, &[b"v2\n", b"new\n"]));
    assert_eq!(status, 0, "{done}");
    let entry = &done["entries"][0];
    assert_eq!((entry["replaced"].as_u64(), entry["created"].as_u64()), (Some(1), Some(1)));
    assert_eq!((b.text("f"), b.text("sub/g")), ("v2\n".into(), "new\n".into()));
    assert_eq!(beliefs(&b, "f"), [v2.clone(), v2.clone()]);
    assert_eq!(beliefs(&b, "sub/g"), ["32876", "32876"]);
    let seen = &b.files()[std::ffi::OsStr::new("f")];
    assert_eq!(seen.mtime_ns, 1_000_000_000_000_000_000, "the sender's time");
    assert!(fs::metadata(b.tree.join("f")).unwrap().permissions().mode() & 0o7022 == 0);
    assert!(fs::read_dir(&b.tree).unwrap().all(|f| f.unwrap().file_name() != ".remsync-work"));

    // As the second receiver reads it, whose package tells the first one's new belief already (B1).
    init(&d, &[&a, &b]).done();
    d.write("f", "v1\n");
    process(&world, &d, "first-d", &gnu_package(&first.replace("visit\t0", "visit\t1"), &[]));
    agree(&d);
    let orders = gnu_head(1)
        + &format!(
            "check\tf {v2} {v2} 00064\nupdate\tf 00064 1\ncheck\tg 32876 32876 -\nupdate\tg - 2\n"
        );
    let (done, status) =
        process(&world, &d, "second-d", &gnu_package(&orders, &[b"v2\n", b"new\n"]));
    assert_eq!(status, 0, "{done}");
    assert_eq!(beliefs(&d, "f"), [v2, "666".into()]);
    assert_eq!(beliefs(&d, "g"), ["32876", "32876"]);

    // In `mode init` there are checks and no updates.
    let orders = gnu_head(0) + "check\tf 08302 - -\ncheck\tsub/g 32876 - -\n";
    let (done, status) = process(&world, &b, "init", &gnu_package(&orders, &[]));
    assert_eq!(status, 0, "{done}");
    assert_eq!((b.text("f"), beliefs(&b, "f")[0].as_str()), ("v2\n".into(), "08302"));
}

#[test]
fn what_the_original_asks_is_asked() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    b.write("preexisting", "mine\n");
    b.write("changed", "mine\n");
    b.write("same", "v2\n");
    b.write("keep.o", "mine\n");
    init(&b, &[&a]).done();
    let v2 = sum("v2\n");
    let row = |path: &str, expected: &str, n: u32| {
        format!("check\t{path} {v2} {expected} -\nupdate\t{path} {expected} {n}\n")
    };
    let orders = gnu_head(0)
        + &row("changed", "00064", 1)
        + &row("disappeared", "00064", 2)
        + &row("ignored.o", "-", 3)
        + &row("new", "-", 4)
        + &row("preexisting", "-", 5)
        + &row("same", "00064", 6);
    let (done, status) = process(&world, &b, "p", &gnu_package(&orders, &[&b"v2\n"[..]; 6]));
    assert_eq!(status, 1, "{done}");
    assert_eq!(
        (done["entries"][0]["created"].as_u64(), done["entries"][0]["redundant"].as_u64()),
        (Some(1), Some(1))
    );
    let want = [
        asked("changed", "conflict"),
        asked("disappeared", "deleted-here"),
        asked("ignored.o", "ignored"),
        asked("preexisting", "conflict"),
    ];
    assert_eq!(questions(&b), want.concat());
    let resolved =
        b.run(&["resolve", "changed", "disappeared", "preexisting", "ignored.o", "take"]).with(1);
    assert!(resolved.starts_with("4 questions settled, 10 wait"), "who takes part: {resolved}");
    agree(&b);
    assert!(
        ["changed", "disappeared", "preexisting", "ignored.o"].iter().all(|p| b.text(p) == "v2\n")
    );
}

#[test]
fn hostile_names_and_indices_are_refused_whole() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    init(&b, &[&a]).done();
    let good = format!("check\tf {} - -\nupdate\tf - 1\n", sum("x"));
    let table = [
        ("up", gnu_head(0) + &good.replace("\tf", "\t../f")),
        ("absolute", gnu_head(0) + &good.replace("\tf", "\t/tmp/f")),
        ("our own", gnu_head(0) + &good.replace("\tf", "\t.remsync")),
        ("visit", gnu_head(0).replace("visit\t0", "visit\t2") + &good),
        ("copy", gnu_head(0).replace("copy\t0 1", "copy\t1") + &good),
        ("columns", gnu_head(0) + &good.replace(" - -", " -")),
        ("blank line", gnu_head(0) + "\n" + &good),
        ("update without check", gnu_head(0) + "update\tf - 1\n"),
        ("2.0 keyword", gnu_head(0) + &good + "remove\tg -\n"),
        ("another sum", gnu_head(0) + &good.replace(&sum("x"), "00001")),
    ];
    for (name, orders) in table {
        let (done, status) = process(&world, &b, name, &gnu_package(&orders, &[b"x"]));
        assert_eq!(
            (done["entries"][0]["outcome"].as_str(), status),
            (Some("refused"), 2),
            "{name}: {done}"
        );
        assert!(b.files().is_empty(), "{name}");
    }
}

#[test]
fn a_package_of_the_other_format_is_held_with_the_remedy() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    a.init(&[&b]).done();
    init(&b, &[&a]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let (done, status) = b.json(&["process", "--batch"]);
    assert_eq!((done["entries"][0]["outcome"].as_str(), status), (Some("held"), 1), "{done}");
    let reason = done["entries"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("remsync 2.0") && reason.contains("remsync 1.3"), "{reason}");
    assert!(b.files().is_empty());
}

/// Every rule that the original's reader holds orders to.
#[test]
fn our_orders_are_what_the_original_reads() {
    let world = World::new();
    let (a, b, d) = (world.home("a"), world.home("b"), world.home("d"));
    for (path, text) in
        [("f", "one\n"), ("sub/g", ""), ("#x", "2"), ("-dash", "3"), ("q'uote", "4")]
    {
        a.write(path, text);
    }
    init(&a, &[&b, &d]).done();
    a.run(&["create", "ignore", ".*\\.tmp"]).done();
    let mut all = broadcast_to(&world, &a, &["b@b.example"]);
    a.write("f", "two\n");
    all.extend(
        broadcast_to(&world, &a, &["-i"]).into_iter().map(|(to, text)| (to + " init", text)),
    );
    all.extend(broadcast_to(&world, &a, &[]).into_iter().map(|(to, text)| (to + " 2", text)));
    assert_eq!(all.len(), 5);
    for (to, text) in &all {
        assert_readable_by_the_original(to, text);
        assert_eq!(to.ends_with("init"), !text.contains("\nupdate\t"), "{to}\n{text}");
    }
    assert!(all["b@b.example 2"].contains("copy\t0 1\n"));
    assert!(all["b@b.example"].contains("copy\t0\n"));
}

fn assert_readable_by_the_original(to: &str, text: &str) {
    let order = ["format", "title", "here", "remote", "scan", "ignore", "visit", "copy"];
    let (mut stage, mut remotes, mut copies, mut member) = (0, 0, 0, 0);
    let mut last: Option<(String, String)> = None;
    assert!(text.ends_with('\n') && !text.contains('\r'), "{to}");
    for line in text.lines() {
        let (keyword, rest) = line.split_once('\t').unwrap_or_else(|| panic!("{to}: {line:?}"));
        assert!(!keyword.is_empty() && !rest.is_empty() && !line.ends_with(' '), "{to}: {line:?}");
        let words: Vec<&str> = rest.split(' ').collect();
        if keyword != "title" {
            assert!(words.iter().all(|word| !word.is_empty() && !word.contains('\t')), "{line:?}");
        }
        if let Some(at) = order.iter().position(|known| *known == keyword) {
            assert!(at >= stage, "{to}: {line:?} is too late");
            stage = at;
        }
        let is_sum = |word: &str| word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit());
        let is_belief = |word: &str| word == "-" || word == "666" || is_sum(word);
        match keyword {
            "format" => assert_eq!(rest, "remsync 1.3"),
            "title" => assert_eq!(rest, "Test"),
            "here" => assert_eq!(words.len(), 2, "{line:?}"),
            "remote" => {
                assert_eq!(words.len(), 2, "{line:?}");
                remotes += 1;
            }
            "scan" | "ignore" => assert_eq!(words.len(), 1, "{line:?}"),
            "visit" => assert!(words.len() == 1 && rest.parse::<usize>().unwrap() < remotes),
            "copy" => {
                let sites: Vec<usize> = words.iter().map(|word| word.parse().unwrap()).collect();
                assert!(sites.is_sorted_by(|a, b| a < b) && sites.iter().all(|s| *s < remotes));
                copies = sites.len();
            }
            "check" => {
                assert_eq!((stage, words.len()), (7, 2 + copies), "{to}: {line:?}");
                assert!(words[1] == "-" || is_sum(words[1]), "{line:?}");
                assert!(words[2..].iter().all(|word| is_belief(word)), "{line:?}");
                assert!(last.as_ref().is_none_or(|(path, _)| path.as_str() < words[0]), "{line:?}");
                last = Some((words[0].to_owned(), words[1].to_owned()));
            }
            "update" => {
                member += 1;
                assert_eq!(words.len(), 3, "{line:?}");
                assert_eq!(last.as_ref().map(|(path, _)| path.as_str()), Some(words[0]));
                assert!(is_belief(words[1]), "{line:?}");
                assert_eq!(words[2], member.to_string(), "{line:?}");
            }
            _ => panic!("{to}: {line:?} is no line of the original's"),
        }
    }
    assert_eq!(stage, 7, "{to}: all is there");
}
