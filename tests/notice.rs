//! Mails that come back: the real programs, from the broadcast to the next one. What mail systems
//! write in all their shapes is in `src/format/report/tests.rs`; here is what follows from it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use support::archive::noise;
use support::{DELIVER, Home, World, program};

/// What the test does with a mail of ours that is on its way: it gets lost, and is told of.
struct Lost {
    header: String,
    whole: String,
}

impl Lost {
    /// Takes the one mail that waits for `home` out of its mailbox.
    fn on_the_way_to(home: &Home) -> Lost {
        let mails = home.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        let lost = Lost::read(&mails[0]);
        fs::remove_file(&mails[0]).unwrap();
        lost
    }

    fn read(path: &Path) -> Lost {
        let whole = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
        let header = whole.split_once("\n\n").unwrap().0.to_owned() + "\n";
        assert!(header.contains("X-Remsync-Sha256: "), "{header}");
        Lost { header, whole }
    }

    /// As Postfix reports it.
    fn report(&self, action: &str, status: &str, diagnostic: &str) -> String {
        format!(
            "Return-Path: <>\nFrom: MAILER-DAEMON@mx.a.example (Mail Delivery System)\n\
             Subject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\n\
             MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\
             \tboundary=\"AB/mx\"\n\nThis is a MIME-encapsulated message.\n\n--AB/mx\n\
             Content-Type: text/plain\n\nThis is the mail system at host mx.a.example.\n\n\
             --AB/mx\nContent-Type: message/delivery-status\n\n\
             Reporting-MTA: dns; mx.a.example\n\nFinal-Recipient: rfc822; b@b.example\n\
             Action: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n\n\
             --AB/mx\nContent-Type: message/rfc822\n\n{}\n--AB/mx--\n",
            self.whole
        )
    }

    fn unknown_user(&self) -> String {
        self.report("failed", "5.1.1", "550 5.1.1 <b@b.example>: User unknown")
    }

    /// As qmail writes it.
    fn letter(&self) -> String {
        format!(
            "From: MAILER-DAEMON@mx.a.example\nSubject: failure notice\n\n\
             Hi. This is the qmail-send program at mx.a.example.\n\
             I'm afraid I wasn't able to deliver your message to the following addresses.\n\
             This is a permanent error; I've given up. Sorry it didn't work out.\n\n\
             <b@b.example>:\nRemote host said: 550 5.1.1 User unknown\n\n\
             --- Below this line is a copy of the message.\n\n{}",
            self.whole
        )
    }
}

/// Feeds a mail to the filter of `home`; 1 says that it was none of ours.
fn feed(home: &Home, mail: &str) -> i32 {
    let output = feed_bytes(home, mail.as_bytes());
    assert!(output.stdout.is_empty(), "{output:?}");
    output.status.code().unwrap()
}

fn feed_bytes(home: &Home, mail: &[u8]) -> Output {
    let mut command = home.command(DELIVER);
    command.arg("--if-package").stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(mail).unwrap();
    child.wait_with_output().unwrap()
}

fn state(home: &Home, name: &str) -> PathBuf {
    home.top.join(".local/state/remsync").join(name)
}

/// Files of notices that wait.
fn waiting(home: &Home) -> usize {
    let names = fs::read_dir(state(home, "queue/notices")).into_iter().flatten();
    names.filter(|name| !name.as_ref().unwrap().path().to_string_lossy().ends_with(".done")).count()
}

fn log(home: &Home) -> String {
    fs::read_to_string(state(home, "deliver.log")).unwrap_or_default()
}

/// Sends to the other, by name: whatever pause a mail that came back made.
fn broadcast(home: &Home, to: &Home) -> String {
    home.run(&["broadcast", &to.address]).done()
}

/// In step, with nothing on its way; a mail from a to b waits.
fn about_to_lose() -> (World, Home, Home) {
    let world = World::new();
    let (a, b) = world.pair();
    in_step(&a, &b);
    a.write("note.txt", "the first\n");
    broadcast(&a, &b);
    (world, a, b)
}

fn in_step(a: &Home, b: &Home) {
    for _ in 0..4 {
        for home in [a, b] {
            home.run(&["broadcast"]).done();
        }
        let came: usize = [a, b].iter().map(|home| home.deliver_all()).sum();
        for home in [a, b] {
            home.run(&["process", "--batch"]).done();
        }
        if came == 0 {
            return;
        }
    }
    panic!("mail goes to and fro");
}

fn standing(home: &Home, path: &str, of: &Home) -> String {
    let (document, _) = home.json(&["status"]);
    let files = document["files"].as_array().unwrap().clone();
    let file = files.into_iter().find(|file| file["path"] == path).expect(path);
    file["sites"][&of.address]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_mail_that_came_back_goes_out_again() {
    let letters: [fn(&Lost) -> String; 4] = [
        Lost::unknown_user,
        Lost::letter,
        |lost| lost.unknown_user().replace('\n', "\r\n"),
        |lost| lost.letter().replace('\n', "\r\n"),
    ];
    for letter in letters {
        let (_world, a, b) = about_to_lose();
        let lost = Lost::on_the_way_to(&b);
        assert_eq!(standing(&a, "note.txt", &b), "sent");
        assert_eq!(feed(&a, &letter(&lost)), 0, "{}", log(&a));
        assert_eq!(waiting(&a), 1);
        assert!(log(&a).contains("b@b.example failed: queued: 5.1.1"), "{}", log(&a));
        assert!(a.run(&["queue"]).done().lines().all(|line| !line.contains("new")));
        let ran = a.run(&["process", "--batch"]);
        let talk = ran.stderr();
        ran.done();
        assert!(talk.starts_with("remsync: b@b.example: the mail of "), "{talk}");
        for word in ["came back, says mx.a.example", "User unknown", "1 file goes out again"] {
            assert!(talk.contains(word), "{word}: {talk}");
        }
        assert_eq!(talk.lines().count(), 1, "{talk}");
        assert_eq!(waiting(&a), 0);
        assert_eq!(standing(&a, "note.txt", &b), "due");
        assert!(broadcast(&a, &b).contains("1 file sent"));
        assert_eq!(b.receive(), 0);
        assert_eq!(b.text("note.txt"), "the first\n");
        in_step(&a, &b);
    }
}

#[test]
fn status_says_why_and_the_next_broadcast_waits_a_while() {
    let (_world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    feed(&a, &lost.unknown_user());
    a.run(&["process", "--batch"]).done();
    let shown = String::from_utf8(a.run(&["status"]).output.stdout).unwrap();
    assert!(shown.contains("550 5.1.1 <b@b.example>: User unknown"), "{shown}");
    let (document, _) = a.json(&["status"]);
    let site = &document["sites"][0];
    assert_eq!((&site["status"], &site["address"]), (&"5.1.1".into(), &"b@b.example".into()));
    // Whoever is told that a site does not exist need not be told every half an hour.
    let _ = a.run(&["broadcast"]);
    assert!(b.mails().is_empty());
    assert!(broadcast(&a, &b).contains("1 file sent"));
    assert_eq!(b.receive(), 0);
    in_step(&a, &b);
    let (document, _) = a.json(&["status"]);
    assert!(document["sites"][0]["reason"].is_null(), "{document}");
}

#[test]
fn a_limit_that_was_told_is_obeyed() {
    let (_world, a, b) = about_to_lose();
    Lost::on_the_way_to(&b);
    a.write("large", noise(3, 200_000));
    broadcast(&a, &b);
    let lost = Lost::on_the_way_to(&b);
    let told = "552 5.3.4 message size exceeds limit 100000";
    feed(&a, &lost.report("failed", "5.3.4", told));
    a.run(&["process", "--batch"]).done();
    let ran = a.run(&["broadcast", &b.address]);
    let story = ran.story();
    assert!(story.contains("large"), "{story}");
    // What fits goes; what does not is said, and is not tried in vain.
    let mails = b.mails();
    assert!(!mails.is_empty(), "{story}");
    for mail in mails {
        assert!(fs::metadata(&mail).unwrap().len() <= 100_000, "{story}");
    }
}

#[test]
fn json_names_what_came_back() {
    let (_world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    feed(&a, &lost.unknown_user());
    feed(&a, &lost.report("delayed", "4.4.1", "connection timed out"));
    let before = (standing(&a, "note.txt", &b), waiting(&a));
    a.run(&["-n", "process"]).done();
    assert_eq!((standing(&a, "note.txt", &b), waiting(&a)), before, "-n changes nothing");
    let (document, status) = a.json(&["process"]);
    assert_eq!(status, 0);
    let notices = document["notices"].as_array().unwrap();
    assert_eq!(notices.len(), 2, "{document}");
    let kinds: Vec<&str> = notices.iter().map(|n| n["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["failed", "delayed"]);
    assert_eq!(notices[0]["address"], "b@b.example");
    assert_eq!(notices[0]["status"], "5.1.1");
    assert_eq!(notices[0]["reason"], "550 5.1.1 <b@b.example>: User unknown");
    let (document, _) = a.json(&["process"]);
    assert_eq!(document["notices"].as_array().unwrap().len(), 0, "taken once");
}

#[test]
fn a_delay_is_told_and_changes_nothing() {
    let (_world, a, b) = about_to_lose();
    let mail = Lost::read(&b.mails()[0]);
    let delay = mail.report("delayed", "4.4.1", "connect to mx.b.example: timed out");
    assert_eq!(feed(&a, &delay), 0);
    let ran = a.run(&["process", "--batch"]);
    let talk = ran.stderr();
    ran.done();
    assert!(talk.contains(" is late, says mx.a.example: 4.4.1 connect to"), "{talk}");
    assert_eq!(standing(&a, "note.txt", &b), "sent");
    assert_eq!(a.run(&["broadcast"]).done(), "nothing to send\n");
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("note.txt"), "the first\n");
    in_step(&a, &b);
}

#[test]
fn what_is_said_twice_counts_once() {
    let (_world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    // The same again, in other words, by another, before it was taken and after.
    let ways = [lost.unknown_user(), lost.letter(), lost.report("failed", "5.0.0", "550 no")];
    for way in &ways {
        assert_eq!(feed(&a, way), 0);
    }
    assert_eq!(waiting(&a), 1);
    a.run(&["process", "--batch"]).done();
    assert!(broadcast(&a, &b).contains("1 file sent"));
    for way in &ways {
        assert_eq!(feed(&a, way), 0, "it is ours still: not for the inbox");
    }
    assert_eq!(waiting(&a), 0);
    assert_eq!(a.run(&["process", "--batch"]).stderr(), "");
    assert_eq!(standing(&a, "note.txt", &b), "sent");
    // What was sent the second time may come back too.
    let again = Lost::on_the_way_to(&b);
    assert_eq!(feed(&a, &again.unknown_user()), 0);
    a.run(&["process", "--batch"]).done();
    assert_eq!(standing(&a, "note.txt", &b), "due");
}

#[test]
fn what_others_sent_and_what_no_failure_is_stays_alone() {
    let (_world, a, b) = about_to_lose();
    let mail = Lost::read(&b.mails()[0]);
    let digest = mail.header.split_once("X-Remsync-Sha256: ").unwrap().1;
    let digest = &digest[..64];
    let id = mail.header.split_once("Message-ID: <").unwrap().1.split_once('>').unwrap().0;
    let other = mail.unknown_user().replace(digest, &"ab".repeat(32));
    let other = other.replace(&digest[..12], "abababababab");
    let vacation = format!(
        "Return-Path: <>\nFrom: b@b.example\nAuto-Submitted: auto-replied (vacation)\n\
         In-Reply-To: <{id}>\nSubject: Auto: away\n\nMail could not be delivered to my desk.\n"
    );
    let answer = format!("From: b@b.example\nIn-Reply-To: <{id}>\n\nDelivery failed? No.\n");
    for (name, letter, words) in [
        ("another's mail", other, "not sent from here: ignored"),
        ("a success", mail.report("relayed", "2.0.0", "250 ok"), "a report of success to"),
        ("a vacation", vacation, "an automatic answer to"),
        ("a person's answer", answer, "no package"),
    ] {
        assert_eq!(feed(&a, &letter), 1, "{name}");
        let log = log(&a);
        assert!(log.lines().last().unwrap().contains(words), "{name}: {log}");
    }
    assert_eq!(waiting(&a), 0);
    // What is ours is ours alone: the other's account knows nothing of it.
    assert_eq!(feed(&b, &mail.unknown_user()), 1);
    a.run(&["process", "--batch"]).done();
    assert_eq!(standing(&a, "note.txt", &b), "sent");
}

#[test]
fn a_forged_notice_costs_one_sending() {
    let (_world, a, b) = about_to_lose();
    let mail = Lost::read(&b.mails()[0]);
    // It arrives and is taken in; then somebody says that it did not.
    assert_eq!(b.receive(), 0);
    assert_eq!(feed(&a, &mail.unknown_user()), 0);
    assert_eq!(feed(&a, &mail.report("failed", "5.3.4", "552 5.3.4 size limit 1")), 0);
    a.run(&["process", "--batch"]).done();
    assert!(broadcast(&a, &b).contains("1 file sent"));
    b.deliver_all();
    let (document, _) = b.json(&["process"]);
    assert_eq!(document["entries"][0]["redundant"], 1, "{document}");
    in_step(&a, &b);
    // Once the site has itself acknowledged it, it costs none.
    a.write("note.txt", "the second\n");
    broadcast(&a, &b);
    let mail = Lost::read(&b.mails()[0]);
    in_step(&a, &b);
    assert_eq!(feed(&a, &mail.unknown_user()), 0);
    let ran = a.run(&["process", "--batch"]);
    assert!(ran.stderr().contains("the site has taken it in"), "{}", ran.story());
    assert_eq!(a.run(&["broadcast"]).done(), "nothing to send\n");
    assert_eq!(b.text("note.txt"), "the second\n");
}

#[test]
fn in_the_old_format_too_and_deletions_with_it() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    let words = ["init", "--title", "Test", "--here", &a.address, "--remote", &b.address];
    a.run(&[&words[..], &["--format", "1.3"]].concat()).done();
    for name in ["one", "two", "three"] {
        a.write(name, name);
    }
    a.run(&["broadcast"]).done();
    let lost = Lost::on_the_way_to(&b);
    assert_eq!(a.run(&["broadcast"]).done(), "nothing to send\n");
    assert_eq!(feed(&a, &lost.unknown_user()), 0);
    let ran = a.run(&["process", "--batch"]);
    assert!(ran.stderr().contains("3 files go out again"), "{}", ran.story());
    assert!(broadcast(&a, &b).contains("3 files sent"));
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    assert_eq!(b.text("two"), "two");
    a.remove("one");
    a.run(&["broadcast"]).done();
    let lost = Lost::on_the_way_to(&b);
    assert_eq!(feed(&a, &lost.letter()), 0);
    a.run(&["process", "--batch"]).done();
    broadcast(&a, &b);
    b.deliver_all();
    b.run(&["process", "--batch"]).with(1);
    assert!(b.run(&["pending"]).with(1).contains("one: deleted there"));
}

#[test]
fn what_sendmail_took_may_come_back() {
    let world = World::new();
    let (a, b) = world.pair();
    in_step(&a, &b);
    let kept = a.top.join("kept.eml");
    let mailer = program(&a.top, "mailer", &format!("#!/bin/sh\ncat > '{}'\n", kept.display()));
    let transport = format!("sendmail:{}", mailer.display());
    a.write("note.txt", "by sendmail\n");
    let mut command = a.command(support::REMSYNC);
    command.args(["broadcast"]).env("REMSYNC_TRANSPORT", transport);
    assert!(command.output().unwrap().status.success());
    let lost = Lost::read(&kept);
    assert_eq!(feed(&a, &lost.unknown_user()), 0);
    a.run(&["process", "--batch"]).done();
    assert!(broadcast(&a, &b).contains("1 file sent"));
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("note.txt"), "by sendmail\n");
}

#[test]
fn a_notice_of_a_project_that_is_gone_is_dropped() {
    let (_world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    feed(&a, &lost.unknown_user());
    // Not mounted: it waits.
    let away = a.top.join("away");
    fs::rename(&a.tree, &away).unwrap();
    let elsewhere = |words: &[&str]| {
        let mut command = a.command(support::REMSYNC);
        command.current_dir(&a.top).args(words);
        command.output().unwrap()
    };
    let _ = elsewhere(&["process", "--batch"]);
    assert_eq!(waiting(&a), 1);
    fs::write(state(&a, "projects"), "").unwrap();
    let output = elsewhere(&["process", "--batch"]);
    assert_eq!(waiting(&a), 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("dropped"), "{output:?}");
    // A site that is no remote any more.
    fs::rename(&away, &a.tree).unwrap();
    a.write("more", "x");
    broadcast(&a, &b);
    let lost = Lost::on_the_way_to(&b);
    feed(&a, &lost.unknown_user());
    a.run(&["delete", "remote", &b.address]).done();
    let ran = a.run(&["process", "--batch"]);
    assert!(ran.stderr().contains("dropped"), "{}", ran.story());
    assert_eq!(waiting(&a), 0);
}

#[test]
fn trouble_of_ours_keeps_the_mail_and_a_stick_is_no_mail() {
    let (world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    // A log that is no file; one torn in the middle of a line is read as far as it goes.
    let sent = state(&a, "sent");
    let lines = fs::read(&sent).unwrap();
    fs::remove_file(&sent).unwrap();
    fs::create_dir(&sent).unwrap();
    let output = feed_bytes(&a, lost.unknown_user().as_bytes());
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    // And the broadcast goes on without it.
    a.write("more", "x");
    let ran = a.run(&["broadcast", &b.address]);
    assert!(ran.stderr().contains("should this mail come back"), "{}", ran.story());
    ran.done();
    fs::remove_dir(&sent).unwrap();
    fs::write(&sent, [b"torn\n\t\n".as_slice(), &lines, b"177"].concat()).unwrap();
    assert_eq!(feed(&a, &lost.unknown_user()), 0);
    let stick = world.path().join("stick");
    let before = fs::read(&sent).unwrap();
    a.run(&["broadcast", &b.address, "--to", stick.to_str().unwrap()]).done();
    assert_eq!(fs::read(&sent).unwrap(), before);
}

#[test]
fn a_size_is_learnt_where_it_is_said() {
    for (diagnostic, limit) in [
        ("552 5.3.4 message size exceeds limit 100000", "limit\t100000\n"),
        ("552 5.3.4 too large", "limit\t"),
        ("552 5.2.2 mailbox full, limit 100000", "limit\t\n"),
        ("552 5.3.4 limit 10", "limit\t"),
    ] {
        let (_world, a, b) = about_to_lose();
        Lost::on_the_way_to(&b);
        a.write("large", noise(3, 200_000));
        broadcast(&a, &b);
        let lost = Lost::on_the_way_to(&b);
        let status = if diagnostic.contains("5.2.2") { "5.2.2" } else { "5.3.4" };
        assert_eq!(feed(&a, &lost.report("failed", status, diagnostic)), 0);
        let names = fs::read_dir(state(&a, "queue/notices")).unwrap();
        let notice = fs::read_to_string(names.last().unwrap().unwrap().path()).unwrap();
        assert!(notice.contains(limit), "{diagnostic}: {notice}");
        let size = |name: &str| -> Option<u64> {
            notice.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        if limit == "limit\t" {
            assert_eq!(size("limit"), Some(size("size").unwrap() - 1), "{notice}");
        }
    }
}

#[test]
fn a_huge_bounce_takes_little_memory() {
    let (_world, a, b) = about_to_lose();
    let lost = Lost::on_the_way_to(&b);
    let letter = lost.letter();
    let report = lost.unknown_user();
    for mail in [report, letter] {
        let (head, tail) = mail.split_once("\nContent-Transfer-Encoding: base64\n\n").unwrap();
        let mut command = a.command(DELIVER);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(format!("{head}\nContent-Transfer-Encoding: base64\n\n").as_bytes())
            .unwrap();
        let line = "QUJD".repeat(19) + "\n";
        let block = line.repeat(1 << 10);
        for _ in 0..1_300 {
            stdin.write_all(block.as_bytes()).unwrap();
        }
        stdin.write_all(tail.as_bytes()).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert!(peak_kib < 16 << 10, "{peak_kib} KiB for 100 MB");
    }
    assert_eq!(waiting(&a), 1, "{}", log(&a));
}
