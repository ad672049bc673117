//! Defects that a hostile tester found, each named for what was wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{DELIVER, Home, REMSYNC, SmallDisk, World};

/// A package from a to b, made by hand: these lines, then a row that puts one byte at `f`.
fn package(lines: &str) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let bytes = b"x";
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let orders = format!(
        "format\tremsync 2.0\ntitle\tTest\nhere\ta@a.example -\nremote\tb@b.example -\nvisit\t0\n\
         copy\t0\n{lines}check\tf {digest} ?\nupdate\tf ? 1\n"
    );
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in [("orders", orders.as_bytes()), ("1", bytes)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        tar.append_data(&mut header, format!(".remsync-work/{name}"), bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Broadcasts one new file as a package in a folder; returns its path.
fn as_file(world: &World, from: &Home, name: &str) -> std::path::PathBuf {
    from.write(name, name);
    let folder = world.path().join(format!("stick-{name}"));
    from.run(&["broadcast", "--to", folder.to_str().unwrap()]).done();
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

fn has_control(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

#[test]
fn a_title_with_bidirectional_controls_reached_the_terminal() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "f");
    a.run(&[
        "init",
        "--title",
        "x\u{202e}y",
        "--here",
        "a\u{202e}@a.example",
        "--remote",
        "b@b.example",
    ])
    .done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let processed = b.run(&["process"]);
    assert!(!has_control(&processed.stderr()), "{}", processed.story());
    let id = b.first_entry();
    for words in [
        vec!["queue"],
        vec!["queue", "show", &id],
        vec!["pending"],
        vec!["queue", "--json"],
        vec!["accept", &id, "."],
        vec!["status"],
        vec!["status", "--json"],
    ] {
        let ran = b.run(&words);
        let shown = String::from_utf8(ran.output.stdout.clone()).unwrap() + &ran.stderr();
        assert!(!has_control(&shown), "{words:?}: {shown:?}");
    }
    let (status, _) = b.json(&["status"]);
    assert_eq!(status["title"], "x\u{202e}y", "JSON escapes it as JSON does");
}

#[test]
fn the_prompt_ended_at_a_name_that_is_not_utf_8() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.init(&[&b]).done();
    let mut child = a
        .command(REMSYNC)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"create ignore \xff.*\nlist remote\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("b@b.example"), "{output:?}");
    assert!(a.run(&["list", "ignore"]).done().contains("\\xff.*"));
}

#[test]
fn an_ignore_was_listed_with_its_backslashes_doubled() {
    let world = World::new();
    let a = world.home("a");
    a.init(&[]).done();
    a.run(&["create", "ignore", "x\\.y"]).done();
    assert!(a.run(&["list", "ignore"]).done().contains("] x\\.y\n"));
}

#[test]
fn json_was_asked_for_and_text_or_nothing_came() {
    let world = World::new();
    let (a, b) = world.pair();
    let ignored = |home: &Home| home.json(&["list"]).0["ignores"].to_string().contains("none-such");
    let (created, _) = a.json(&["create", "ignore", "none-such"]);
    assert!(created["ignores"].to_string().contains("none-such") && ignored(&a));
    a.json(&["delete", "ignore", "none-such"]);
    assert!(!ignored(&a));
    a.write("f", "f");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    b.json(&["process"]);
    assert_eq!(b.json(&["list", "files"]).0["files"][0]["path"], "f");
    let id = b.first_entry();
    assert_eq!(b.json(&["queue", "drop", &id]).0["id"], id.as_str());
}

#[test]
fn a_refused_entry_was_listed_as_from_nobody() {
    let world = World::new();
    let (_a, b) = world.pair();
    let file = world.path().join("p.tar.gz");
    fs::write(&file, package("serial\t0\n")).unwrap();
    b.run(&["process", file.to_str().unwrap()]).with(2);
    let listed = b.run(&["queue"]).done();
    assert!(listed.contains("serial") && !listed.contains("\"\" from"), "{listed}");
}

#[test]
fn a_full_disk_was_told_without_saying_which() {
    let world = World::new();
    let (a, b) = world.pair();
    let noise: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    a.write("noise", &noise);
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let kept = world.path().join("kept");
    fs::rename(&b.tree, &kept).unwrap();
    fs::create_dir(&b.tree).unwrap();
    let Some(disk) = SmallDisk::mount(&b.tree) else { return };
    let copied =
        Command::new("cp").arg("-a").arg(kept.join(".")).arg(&b.tree).status().unwrap().success();
    let ran = b.run(&["process", "--batch"]);
    let (told, status) = (ran.stderr(), ran.status());
    let is_clean = b.files().is_empty();
    drop(disk);
    assert!(copied && is_clean && status == 2, "{told}");
    assert!(told.contains(b.tree.to_str().unwrap()) && told.contains("No space left"), "{told}");
}

// ---- what held up, and has to go on holding up -------------------------------------------------

#[test]
fn three_sites_in_a_line_keep_in_step() {
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.home(name));
    for name in ["f", "g", "h"] {
        a.write(name, name);
    }
    a.init(&[&b]).done();
    b.init(&[&a, &c]).done();
    c.init(&[&b]).done();
    rounds(&[&a, &b, &c]);
    assert!(a.files() == b.files() && b.files() == c.files());
    a.write("f", "edited at a");
    c.write("g", "edited at c");
    rounds(&[&a, &b, &c]);
    assert_eq!((c.text("f").as_str(), a.text("g").as_str()), ("edited at a", "edited at c"));
    a.write("h", "of a");
    c.write("h", "of c");
    rounds(&[&a, &b, &c]);
    b.run(&["resolve", "h", "take"]).done();
    rounds(&[&a, &b, &c]);
    assert!(a.files() == b.files() && b.files() == c.files(), "one answer was enough");
    for home in [&a, &b, &c] {
        // The ends of the line do not know each other, and need not.
        home.run(&["resolve", "--all", "keep"]).done();
        assert_eq!(home.json(&["status"]).1, 0);
    }
}

#[test]
fn a_lost_mail_heals() {
    let world = World::new();
    let (a, b) = world.pair();
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    fs::write(a.top.join("config.toml"), format!("resend_after = \"1s\"\n{settings}")).unwrap();
    a.write("f", "lost once");
    a.run(&["broadcast"]).done();
    b.mails().iter().for_each(|mail| fs::remove_file(mail).unwrap());
    a.run(&["broadcast"]).done();
    assert!(b.mails().is_empty(), "too early");
    std::thread::sleep(Duration::from_millis(1_100));
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("f"), "lost once");
}

#[test]
fn a_state_folder_that_is_gone_loses_nothing() {
    let world = World::new();
    let (a, b) = world.pair();
    for name in ["f", "g", "h"] {
        a.write(name, name);
    }
    rounds(&[&a, &b]);
    fs::remove_dir_all(b.tree.join(".remsync.d")).unwrap();
    b.write("g", "edited at b");
    b.run(&["broadcast", "a@a.example"]).done();
    a.deliver_all();
    let told = a.run(&["process", "--batch"]);
    assert!(told.stderr().contains("lost its state"), "{}", told.story());
    a.run(&["broadcast", "b@b.example"]).done();
    rounds(&[&a, &b]);
    assert_eq!(a.text("g"), "edited at b");
    assert!(a.files() == b.files() && a.files().len() == 3);
}

#[test]
fn a_folder_that_became_a_link_to_outside_is_not_followed() {
    let world = World::new();
    let (a, b) = world.pair();
    a.write("d/x", "one");
    rounds(&[&a, &b]);
    a.write("d/x", "two");
    a.write("d/new", "new");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let outside = world.path().join("outside");
    fs::rename(b.tree.join("d"), &outside).unwrap();
    symlink(&outside, b.tree.join("d")).unwrap();
    assert_eq!(b.run(&["process", "--batch"]).status(), 1);
    let _ = b.run(&["resolve", "d/x", "d/new", "take"]).status();
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "one");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    b.run(&["broadcast", "a@a.example"]).done();
    assert_eq!(a.receive(), 0, "it is not told as a deletion");
    assert_eq!(a.files().len(), 2);
}

#[test]
fn a_broadcast_killed_anywhere_is_made_good_by_the_next() {
    let world = World::new();
    let (a, b) = world.pair();
    for n in 0..20 {
        a.write(format!("f{n}"), "0");
    }
    let start = Instant::now();
    rounds(&[&a, &b]);
    let took = start.elapsed() / 8;
    for round in 1..=25_u32 {
        for n in 0..5 {
            a.write(format!("f{}", (round * 3 + n) % 20), round.to_string());
        }
        let mut command = a.command(REMSYNC);
        let mut child =
            command.arg("b").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took * round / 25);
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 2 == 0 {
            let _ = b.receive();
        }
        a.run(&["broadcast"]).done();
        assert_eq!(b.receive(), 0);
        assert!(a.files() == b.files(), "round {round}");
    }
}

#[test]
fn twenty_filters_while_process_runs_make_one_entry() {
    let world = World::new();
    let (a, b) = world.pair();
    for n in 0..50 {
        a.write(format!("f{n}"), "x");
    }
    a.run(&["broadcast"]).done();
    let mail = b.mails().pop().unwrap();
    let mut process = b.command(REMSYNC);
    let mut process = process
        .args(["process", "--batch"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let filters: Vec<_> = (0..20)
        .map(|_| b.command(DELIVER).stdin(fs::File::open(&mail).unwrap()).spawn().unwrap())
        .collect();
    for mut filter in filters {
        assert_eq!(filter.wait().unwrap().code(), Some(0));
    }
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert_eq!(b.run(&["process", "--batch"]).status(), 0);
    assert_eq!(b.files().len(), 50);
    assert_eq!(b.json(&["queue"]).0.as_array().unwrap().len(), 2);
}

/// Everybody sends, everybody takes in, until nothing is under way.
fn rounds(homes: &[&Home]) {
    for _ in 0..4 {
        homes.iter().for_each(|home| assert!(home.run(&["broadcast"]).status() <= 1));
        homes.iter().for_each(|home| assert!(home.receive() <= 1));
    }
}

#[test]
fn a_seen_from_the_far_future_mutes_a_site_for_ever() {
    let world = World::new();
    let (_a, b) = world.pair();
    let file = world.path().join("p.tar.gz");
    fs::write(&file, package(&format!("serial\t9007199254740991\nseen\t{}\n", 1_u64 << 53)))
        .unwrap();
    let _ = b.run(&["process", file.to_str().unwrap()]).status();
    // Somebody else takes part too: he has to be able to read what b writes from now on.
    let c = world.home("c");
    b.run(&["create", "remote", &c.address]).done();
    b.write("g", "g");
    b.run(&["broadcast"]).done();
    c.deliver_all();
    let (entries, _) = c.json(&["queue"]);
    assert_eq!(entries[0]["state"], "new", "{entries}");
}

#[test]
fn a_dry_run_of_a_file_fills_the_queue() {
    let world = World::new();
    let (a, b) = world.pair();
    let file = as_file(&world, &a, "f");
    let before = b.json(&["queue"]).0;
    b.run(&["-n", "process", file.to_str().unwrap()]).done();
    assert_eq!(b.json(&["queue"]).0, before);
}

#[test]
fn a_dry_run_has_an_outcome_of_its_own() {
    let world = World::new();
    let (a, b) = world.pair();
    a.write("f", "f");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let (document, _) = b.json(&["-n", "process"]);
    assert_eq!(document["entries"][0]["outcome"], "done", "{document}");
    assert_eq!(document["entries"][0]["created"], 1, "{document}");
}

#[test]
fn a_file_called_like_a_package_stops_the_queue() {
    let world = World::new();
    let (a, b) = world.pair();
    b.write("remsync.tar.gz", "the release of a program\n");
    a.write("f", "f");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let _ = b.run(&["process"]).status();
    assert_eq!(b.text("f"), "f");
    assert!(b.read("remsync.tar.gz").is_some());
}

#[test]
fn accept_makes_a_project_inside_another_through_a_link() {
    let world = World::new();
    let (_b, id, b) = stranger(&world);
    fs::create_dir(b.tree.join("sub")).unwrap();
    let link = b.top.join("link");
    symlink(b.tree.join("sub"), &link).unwrap();
    b.run(&["accept", &id, link.join("x").to_str().unwrap()]).with(2);
    assert!(!b.tree.join("sub/x").exists());
}

#[test]
fn an_accept_that_fails_leaves_folders_behind() {
    let world = World::new();
    let (a, b) = world.pair();
    a.run(&["broadcast", "b@b.example"]).done();
    b.deliver_all();
    let (entries, _) = b.json(&["queue"]);
    let new = entries.as_array().unwrap().iter().find(|entry| entry["state"] == "new").unwrap();
    let folder = b.top.join("fresh/folder");
    b.run(&["accept", new["id"].as_str().unwrap(), folder.to_str().unwrap()]).with(2);
    assert!(!b.top.join("fresh").exists());
}

#[test]
fn a_killed_accept_cannot_be_repeated() {
    let world = World::new();
    let (_c, id, b) = stranger(&world);
    // As SIGKILL leaves it: the private folder is made, `.remsync` is not yet.
    let folder = b.top.join("new");
    fs::create_dir_all(folder.join(".remsync.d")).unwrap();
    fs::write(folder.join(".remsync.d/lock"), "").unwrap();
    b.run(&["accept", &id, folder.to_str().unwrap()]).done();
}

#[test]
fn json_of_init_and_resolve_is_text() {
    let world = World::new();
    let a = world.home("a");
    a.json(&["init", "--title", "T", "--here", "a@a.example"]);
}

#[test]
fn json_of_a_broadcast_without_a_carrier_is_empty() {
    let world = World::new();
    let (a, _b) = world.pair();
    a.write("f", "f");
    let output = a
        .command(REMSYNC)
        .env("REMSYNC_TRANSPORT", "pigeon:post")
        .args(["broadcast", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["sites"][0]["error"].is_string(), "{document}");
}

#[test]
fn a_full_disk_under_standard_error_stops_nothing() {
    let world = World::new();
    let a = world.home("a");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    a.write("f", "f");
    a.run(&["init", "--title", "T", "--here", "a@a.example", "--remote", "b@b.example"]).done();
    a.write("bad\nname", "x");
    for (words, status) in [(&["queue", "drop", "none"][..], 2), (&["-v", "broadcast"], 0)] {
        let ran = a.command(REMSYNC).args(words).stderr(full()).output().unwrap();
        assert_eq!(ran.status.code(), Some(status), "{words:?}");
    }
    // But an answer that nobody gets is no answer.
    let ran = a.command(REMSYNC).arg("status").stdout(full()).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}

/// Two homes, and at b the first package of a project that b does not have, beside one it has.
fn stranger(world: &World) -> (Home, String, Home) {
    let (b, c) = (world.home("b"), world.home("c"));
    b.init(&[]).done();
    c.write("f", "f");
    c.run(&["init", "--title", "Other", "--here", "c@c.example", "--remote", "b@b.example"]).done();
    c.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    (c, id, b)
}
