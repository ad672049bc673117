//! What a person does first: settings for mail, `find-mailer`, a mail to oneself; and that no
//! password is ever seen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is at a loss")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::smtp::{Act, At, Plan, Server, base64, certificates};
use support::trust::at_terminal;
use support::{DELIVER, Home, REMSYNC, World};

const PASSWORD: &str = "hunter2-s3cret";

/// What a program printed, both streams, and its exit status.
fn say(command: &mut Command) -> (String, i32) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let told = base64(&format!("\0ana\0{PASSWORD}"));
    for secret in [PASSWORD, &base64(PASSWORD), &told] {
        assert!(!text.contains(secret), "{command:?} shows a password:\n{text}");
    }
    (text, output.status.code().unwrap_or(-1))
}

fn remsync(home: &Home, words: &[&str]) -> Command {
    let mut command = home.command(REMSYNC);
    command.args(words).env("RUST_LOG", "trace").env("PATH", "/usr/bin:/bin");
    command
}

fn settings(home: &Home, text: &str, mode: u32) {
    let file = home.top.join("config.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

fn private(path: PathBuf, text: &str, mode: u32) -> PathBuf {
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn lines(text: &str) -> Vec<(bool, &str)> {
    let line = |line: &'_ str| -> Option<(bool, String)> {
        let ok = line.strip_prefix("ok      ").map(|rest| (true, rest.to_owned()));
        ok.or_else(|| line.strip_prefix("not ok  ").map(|rest| (false, rest.to_owned())))
    };
    text.lines()
        .filter(|text| line(text).is_some())
        .map(|text| (text.starts_with("ok"), text[8..].split(' ').next().unwrap()))
        .collect()
}

#[test]
fn a_password_comes_from_where_it_is_said() {
    let world = World::new();
    let home = world.home("ana");
    let other = world.home("bo");
    home.init(&[&other]).done();
    home.write("file", "text");
    let server = Server::start(Plan { login: Some(("ana", PASSWORD)), ..Plan::default() });
    let place = format!("127.0.0.1:{}", server.port);
    let file = private(home.top.join("pw"), &format!("{PASSWORD}\n"), 0o600);
    let url = format!("[mail]\ntransport = \"smtp://{place}\"\nuser = \"ana\"\n");
    let command = format!("[\"sh\", \"-c\", \"cat {}; echo more\"]", file.display());
    for (name, text, variable) in [
        ("variable", url.clone(), true),
        ("url", format!("[mail]\ntransport = \"smtp://ana:{PASSWORD}@{place}\"\n"), false),
        ("file", format!("{url}password_file = {file:?}\n"), false),
        ("below home", format!("{url}password_file = \"~/pw\"\n"), false),
        ("command", format!("{url}password_command = \"cat {}\"\n", file.display()), false),
        ("command with a shell", format!("{url}password_command = {command}\n"), false),
    ] {
        settings(&home, &text, 0o600);
        let before = server.story().mails.len();
        let mut command = remsync(&home, &["broadcast", "bo@bo.example", "-v"]);
        if variable {
            command.env("REMSYNC_SMTP_PASSWORD", PASSWORD);
        }
        let (text, status) = say(&mut command);
        assert_eq!(status, 0, "{name}: {text}");
        assert_eq!(server.story().mails.len(), before + 1, "{name}: {text}");
        let mail = server.story().mails.last().cloned().unwrap();
        assert_eq!((mail.from.as_str(), mail.to.as_str()), ("ana@ana.example", "bo@bo.example"));
    }
    assert_eq!(server.count("AUTH PLAIN "), 6);
}

#[test]
fn a_password_is_asked_for_where_none_is_set() {
    let world = World::new();
    let home = world.home("ana");
    let server = Server::start(Plan { login: Some(("ana", PASSWORD)), ..Plan::default() });
    let place = format!("127.0.0.1:{}", server.port);
    settings(&home, &format!("[mail]\ntransport = \"smtp://{place}\"\nuser = \"ana\"\n"), 0o644);
    let question = format!("Password of ana at {place}: ");
    let typed = format!("{PASSWORD}\n");
    let (told, _) = at_terminal(&home, &["find-mailer"], &question, &typed);
    assert!(told.contains("\nok      server"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    assert_eq!(server.count("AUTH PLAIN "), 1);
}

#[test]
fn settings_that_cannot_be_used_say_what_to_do() {
    let world = World::new();
    let home = world.home("ana");
    let other = world.home("bo");
    home.init(&[&other]).done();
    let server = Server::start(Plan { login: Some(("ana", "other")), ..Plan::default() });
    let place = format!("127.0.0.1:{}", server.port);
    let with_password = format!("[mail]\ntransport = \"smtp://ana:{PASSWORD}@{place}\"\n");
    let shared = private(home.top.join("shared"), PASSWORD, 0o644);
    let plain = format!("[mail]\ntransport = \"smtp://{place}\"\n");
    for (text, mode, words) in [
        (with_password.clone(), 0o644, &["others may read", "chmod 600"][..]),
        (with_password.clone(), 0o640, &["others may read", "chmod 600"]),
        (with_password, 0o600, &["AUTH was answered with 535", "look at the user and the pass"]),
        (format!("{plain}user = \"ana\"\n"), 0o644, &["no password for ana", "password_file"]),
        (
            format!("{plain}password_file = {shared:?}\n"),
            0o644,
            &["a password (password_file), and no user", "\"user\""],
        ),
        (
            format!("{plain}user = \"ana\"\npassword_file = {shared:?}\n"),
            0o644,
            &["others may read", "chmod 600"],
        ),
        (
            format!("{plain}user = \"ana\"\npassword_command = \"sh -c exit\"\n"),
            0o644,
            &["no password in its first line"],
        ),
        (
            format!("{plain}user = \"ana\"\npassword = \"{PASSWORD}\"\n"),
            0o600,
            &["unknown field `password`", "password_file"],
        ),
        (format!("[mail]\ntransport = \"smtp://ana:{PASSWORD}/x@{place}\"\n"), 0o600, &["%2F"]),
    ] {
        settings(&home, &text, mode);
        for verb in [&["broadcast", "bo@bo.example"][..], &["find-mailer"]] {
            let (said, status) = say(&mut remsync(&home, verb));
            assert_eq!(status, 2, "{text}{said}");
            for word in words {
                assert!(said.contains(word), "{text}{verb:?}: no {word:?} in\n{said}");
            }
        }
    }
    assert_eq!(server.story().mails.len(), 0);
    // The filter has nothing to do with it: mail goes on coming in.
    settings(&home, &format!("[mail]\ntransport = \"smtp://ana:{PASSWORD}@h\"\n"), 0o644);
    assert_eq!(home.command(DELIVER).status().unwrap().code(), Some(0));
}

#[test]
fn what_is_found_is_a_line_each() {
    let world = World::new();
    let home = world.home("ana");
    home.init(&[]).done();
    let certificates = certificates(&["localhost"]);
    let server = Server::start(Plan {
        offers: vec!["SIZE 25000000"],
        login: Some(("ana", PASSWORD)),
        starttls: true,
        tls: Some(certificates.server),
        ..Plan::default()
    });
    let ca = private(home.top.join("ca.pem"), &certificates.ca_pem, 0o644);
    let url = format!("smtp://ana:{PASSWORD}@localhost:{}?tls=required", server.port);
    settings(&home, &format!("[mail]\ntransport = \"{url}\"\nca_file = {ca:?}\n"), 0o600);
    let (text, status) = say(&mut remsync(&home, &["find-mailer"]));
    assert_eq!(status, 0, "{text}");
    let names = ["settings", "transport", "login", "server", "size", "from", "queue", "filter"];
    assert_eq!(lines(&text), names.map(|name| (true, name)), "{text}");
    for word in ["over TLS", "25000000 bytes", "password from the transport", "ana@ana.example"] {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
    assert_eq!((server.count("MAIL"), server.count("QUIT")), (0, 1));
    // The same in JSON, by the variable and without the CA.
    let mut command = home.command(REMSYNC);
    settings(&home, "", 0o600);
    command.args(["find-mailer", "--json"]).env("REMSYNC_TRANSPORT", url);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], false);
    assert_eq!(document["transport"], format!("smtp://localhost:{}", server.port));
    let facts = document["facts"].as_array().unwrap();
    let fact = facts.iter().find(|fact| fact["name"] == "server").unwrap();
    assert_eq!(fact["ok"], false);
    assert!(fact["hint"].as_str().unwrap().contains("ca_file"), "{fact}");
}

#[test]
fn a_mailer_that_is_not_there_and_a_queue_that_is_not_ours_are_found() {
    let world = World::new();
    let home = world.home("ana");
    let plain = private(home.top.join("plain"), "", 0o644);
    settings(&home, &format!("[mail]\ntransport = \"sendmail:{}\"\n", plain.display()), 0o644);
    let queue = private(home.top.join("queue"), "no folder", 0o644);
    let (text, status) =
        say(&mut remsync(&home, &["find-mailer", "--queue", queue.to_str().unwrap()]));
    assert_eq!(status, 2, "{text}");
    let found = lines(&text);
    assert!(found.contains(&(false, "mailer")) && found.contains(&(false, "queue")), "{text}");
    // With that, nothing is sent.
    let (text, status) = say(&mut remsync(&home, &["find-mailer", "--self-test", "ana@x.example"]));
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("not sent: first mend"), "{text}");
    for (words, complaint) in [
        (&["find-mailer", "a@x"][..], "nothing to send"),
        (&["find-mailer", "--wait", "3"], "nothing to send"),
        (&["find-mailer", "--self-test", "--wait", "x"], "number of seconds"),
        (&["find-mailer", "--self-test"], "no address"),
    ] {
        let (text, status) = say(&mut remsync(&home, words));
        assert_eq!(status, 2, "{text}");
        assert!(text.contains(complaint), "{words:?}: {text}");
    }
}

/// A mailer that gives every mail to the filter of `home`, after `seconds`.
fn round_trip(home: &Home, seconds: f32) {
    let mailer = home.top.join("mailer");
    let script = format!(
        "#!/bin/sh\ncat > \"$0.mail\"\n(sleep {seconds}; exec {DELIVER} < \"$0.mail\") >/dev/null 2>&1 &\n"
    );
    private(mailer.clone(), &script, 0o755);
    settings(home, &format!("[mail]\ntransport = \"sendmail:{}\"\n", mailer.display()), 0o644);
}

fn queue_is_empty(home: &Home) -> bool {
    home.json(&["queue", "list"]).0.as_array().unwrap().is_empty()
}

#[test]
fn a_mail_to_oneself_goes_all_the_way_round() {
    let world = World::new();
    let home = world.home("ana");
    home.init(&[]).done();
    round_trip(&home, 0.5);
    let (text, status) = say(&mut remsync(&home, &["find-mailer", "--self-test"]));
    assert_eq!(status, 0, "{text}");
    assert_eq!(lines(&text)[lines(&text).len() - 2..], [(true, "sent"), (true, "returned")]);
    let mail = fs::read_to_string(home.top.join("mailer.mail")).unwrap();
    assert!(mail.contains("To: <ana@ana.example>\n"), "{mail}");
    assert!(queue_is_empty(&home), "the test's package is left in the queue");
    let (document, status) = home.json(&["find-mailer", "--self-test", "me@x.example"]);
    assert_eq!((status, &document["self_test"]["sent"]), (0, &true.into()), "{document:#}");
    let took = document["self_test"]["returned_ms"].as_u64().unwrap();
    assert!((300..60_000).contains(&took), "{document:#}");
    assert_eq!(document["self_test"]["to"], "me@x.example");
    assert!(
        !home
            .top
            .join(".local/state/remsync")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("self-test") })
    );
    let (text, status) = say(&mut remsync(&home, &["-n", "find-mailer", "--self-test"]));
    assert_eq!((status, text.contains("would be sent")), (0, true), "{text}");
}

#[test]
fn a_mail_that_does_not_come_back_is_looked_for() {
    let world = World::new();
    let home = world.home("ana");
    home.init(&[]).done();
    let mailer = private(home.top.join("hole"), "#!/bin/sh\ncat >/dev/null\n", 0o755);
    settings(&home, &format!("[mail]\ntransport = \"sendmail:{}\"\n", mailer.display()), 0o644);
    let began = Instant::now();
    let (text, status) = say(&mut remsync(&home, &["find-mailer", "--self-test", "--wait", "1"]));
    assert_eq!(status, 2, "{text}");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(lines(&text).last(), Some(&(false, "returned")), "{text}");
    for word in ["mailq", "recipe", "deliver.log", "not in the queue after 1 s"] {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
    // One that the server refuses is not waited for.
    let acts = vec![(At::Rcpt, 0, Act::Say("550 5.1.1 who?"))];
    let server = Server::start(Plan { acts, ..Plan::default() });
    settings(&home, &format!("[mail]\ntransport = \"smtp://127.0.0.1:{}\"\n", server.port), 0o644);
    let (text, status) = say(&mut remsync(&home, &["find-mailer", "--self-test"]));
    assert_eq!((status, lines(&text).last()), (2, Some(&(false, "sent"))), "{text}");
    assert!(text.contains("550 5.1.1 who?"), "{text}");
}

#[test]
fn from_a_maildir_nobody_delivers() {
    let world = World::new();
    let home = world.home("ana");
    home.init(&[]).done();
    let (text, status) = say(&mut remsync(&home, &["find-mailer", "--self-test"]));
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("nobody delivers"), "{text}");
    assert_eq!(home.deliver_all(), 1);
    assert_eq!(home.json(&["queue"]).0[0]["title"], "remsync self-test");
}

#[test]
fn a_broadcast_over_smtp_arrives() {
    let world = World::new();
    let (ana, bo) = (world.home("ana"), world.home("bo"));
    ana.init(&[&bo]).done();
    ana.write("a file", "its text");
    let server = Server::start(Plan::default());
    settings(&ana, &format!("[mail]\ntransport = \"smtp://127.0.0.1:{}\"\n", server.port), 0o644);
    ana.run(&["broadcast"]).done();
    let mail = world.path().join("mail");
    fs::write(&mail, &server.story().mails[0].bytes).unwrap();
    bo.deliver(Path::new(&mail)).done();
    let id = bo.first_entry();
    bo.run(&["accept", &id, "."]).done();
    assert_eq!(bo.text("a file"), "its text");
}

#[test]
fn memory_does_not_grow_with_the_package() {
    let world = World::new();
    let (ana, bo) = (world.home("ana"), world.home("bo"));
    ana.init(&[&bo]).done();
    // Something that does not pack: a mail of 41 MB.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    ana.write("noise", noise.take(30 << 17).flatten().collect::<Vec<u8>>());
    let certificates = certificates(&["localhost"]);
    let ca = private(ana.top.join("ca.pem"), &certificates.ca_pem, 0o644);
    let tls = Some(certificates.server);
    let server = Server::start(Plan { wrapped: true, tls, sink: true, ..Plan::default() });
    let hole = private(ana.top.join("hole"), "#!/bin/sh\ncat >/dev/null\n", 0o755);
    for (transport, file) in [
        (format!("smtps://localhost:{}", server.port), "one"),
        (format!("sendmail:{}", hole.display()), "two"),
    ] {
        settings(&ana, &format!("[mail]\ntransport = \"{transport}\"\nca_file = {ca:?}\n"), 0o600);
        let text = fs::read(ana.tree.join("noise")).unwrap();
        // New contents, so that they are due again.
        ana.write("noise", [file.as_bytes(), &text].concat());
        let mut child = ana.command(REMSYNC).args(["-q", "broadcast"]).spawn().unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_kib(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{transport}");
        assert!((1..32 << 10).contains(&peak), "{transport}: {peak} KiB");
    }
    assert!(server.story().mails[0].size > 41_000_000);
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_limit_that_the_server_names_makes_smaller_mails() {
    let world = World::new();
    let (ana, bo) = (world.home("ana"), world.home("bo"));
    ana.init(&[&bo]).done();
    for name in ["one", "two", "three"] {
        // Digests do not pack.
        let text =
            (0..9_000).map(|n| base64(&format!("{n} {name} {}", n * 7919))).collect::<String>();
        ana.write(name, text);
    }
    let server = Server::start(Plan { offers: vec!["SIZE 100000"], ..Plan::default() });
    settings(&ana, &format!("[mail]\ntransport = \"smtp://127.0.0.1:{}\"\n", server.port), 0o644);
    let first = ana.run(&["broadcast"]);
    assert!(first.stderr().contains("the server takes 100000"), "{}", first.story());
    assert_eq!(server.count("MAIL"), 0);
    ana.run(&["broadcast"]).done();
    let story = server.story();
    assert!(story.mails.len() > 1, "{} mails", story.mails.len());
    assert!(story.mails.iter().all(|mail| mail.size <= 100_000));
    // Each broadcast is one connection.
    assert_eq!(story.connections, 2);
}
