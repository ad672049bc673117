//! The outbox, with the real programs and a mailer that answers as it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use support::{Home, World, program};

/// A home whose mailer is a script: it answers with the number in `answer`, keeps every mail that
/// it was given in `given/`, and delivers what it answers 0 for.
struct Site {
    home: Home,
}

impl Site {
    fn new(world: &World, name: &str) -> Site {
        let home = world.home(name);
        let top = home.top.display();
        let post = world.path().join("post");
        fs::create_dir(home.top.join("given")).unwrap();
        let script = format!(
            "#!/bin/sh\nfor to; do :; done\nn=$(ls '{top}/given' | wc -l)\n\
             mail='{top}/given/'$(printf %04d $n)\n\
             cat > \"$mail\" || exit 75\n. '{top}/before'\nread code < '{top}/answer'\n\
             if [ \"$code\" = 0 ]; then\n  new='{post}'/$to/new\n  mkdir -p \"$new\"\n  \
             cp \"$mail\" \"$new/$(date +%s%N)\"\nfi\n. '{top}/after'\n\
             [ \"$code\" = 0 ] || echo 'not today' >&2\nexit $code\n",
            post = post.display(),
        );
        program(&home.top, "mailer", &script);
        let site = Site { home };
        site.answers(0);
        site.hooks("", "");
        site.settings("");
        site
    }

    fn answers(&self, code: u8) {
        fs::write(self.home.top.join("answer"), format!("{code}\n")).unwrap();
    }

    /// What the mailer does before it answers, and after it delivered.
    fn hooks(&self, before: &str, after: &str) {
        fs::write(self.home.top.join("before"), before).unwrap();
        fs::write(self.home.top.join("after"), after).unwrap();
    }

    fn settings(&self, mail: &str) {
        let text = format!(
            "[mail]\ntransport = \"sendmail:{}\"\n{mail}[trust]\nunsigned = \"accept\"\n",
            self.home.top.join("mailer").display()
        );
        fs::write(self.home.top.join("config.toml"), text).unwrap();
    }

    fn given(&self) -> Vec<String> {
        let names = fs::read_dir(self.home.top.join("given")).unwrap();
        let mut paths: Vec<PathBuf> = names.map(|name| name.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    fn outbox(&self) -> Vec<Value> {
        let (list, status) = self.home.json(&["queue", "list", "--out"]);
        assert_eq!(status, 0, "{list}");
        list.as_array().unwrap().clone()
    }

    fn only(&self) -> Value {
        let mut outbox = self.outbox();
        assert_eq!(outbox.len(), 1, "{outbox:?}");
        outbox.remove(0)
    }

    /// Where the first remote stands.
    fn standing(&self) -> Value {
        self.home.json(&["status"]).0["sites"][0].clone()
    }

    /// Broadcasts by a clock; returns the exit status and all that it said.
    fn by_clock(&self) -> (i32, String) {
        let ran = self.home.run(&["broadcast", "--batch", "-q"]);
        (ran.status(), String::from_utf8_lossy(&ran.output.stdout).into_owned() + &ran.stderr())
    }

    /// Lets every pause be over.
    fn wait(&self) {
        for name in fs::read_dir(self.home.tree.join(".remsync.d/outbox")).unwrap() {
            let path = name.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "note") {
                let text = fs::read_to_string(&path).unwrap();
                let line = |line: &str| match line.starts_with("next\t") {
                    true => "next\t1\n".to_owned(),
                    false => format!("{line}\n"),
                };
                fs::write(path, text.lines().map(line).collect::<String>()).unwrap();
            }
        }
    }

    fn init(&self, remotes: &[&Home], format: &str) {
        let mut words =
            vec!["init", "--title", "Test", "--here", &self.home.address, "--format", format];
        for remote in remotes {
            words.extend(["--remote", &remote.address]);
        }
        self.home.run(&words).done();
    }
}

fn header(mail: &str, name: &str) -> String {
    let line = mail.lines().find(|line| line.starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {mail}")).to_owned()
}

fn entries(home: &Home) -> usize {
    home.json(&["queue", "list"]).0.as_array().unwrap().len()
}

/// A site with a mailer and one with a maildir, whose trees are one project in step.
fn pair(world: &World, format: &str) -> (Site, Home) {
    let (a, b) = (Site::new(world, "a"), world.home("b"));
    a.home.write("base", "base\n");
    a.init(&[&b], format);
    a.home.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    for _ in 0..3 {
        b.run(&["broadcast"]).done();
        a.home.receive();
        a.home.run(&["broadcast"]).done();
        b.receive();
    }
    fs::remove_dir_all(a.home.top.join("given")).unwrap();
    fs::create_dir(a.home.top.join("given")).unwrap();
    (a, b)
}

fn bytes(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn refused_then_accepted_is_one_entry() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, b) = pair(&world, format);
        let known = entries(&b);
        assert_eq!(a.standing()["state"], if format == "2.0" { "in step" } else { "sent" });
        a.home.write("f", "one\n");
        assert_eq!(a.standing()["state"], "due");
        a.answers(75);
        let (sent, status) = a.home.json(&["broadcast"]);
        let site = &sent["sites"][0];
        assert_eq!((status, &site["sent"], &site["state"]), (2, &false.into(), &"waiting".into()));
        assert_eq!(site["status"], "EX_TEMPFAIL (75)", "{sent}");
        let waiting = a.only();
        for (key, value) in [
            ("state", Value::from("waiting")),
            ("to", "b@b.example".into()),
            ("attempts", 1.into()),
            ("status", "EX_TEMPFAIL (75)".into()),
            ("reason", "sendmail: not today".into()),
            ("project", a.home.tree.to_str().into()),
        ] {
            assert_eq!(waiting[key], value, "{waiting}");
        }
        assert_eq!(waiting["next"].as_u64().unwrap() - waiting["last"].as_u64().unwrap(), 300_000);
        let package = fs::read(waiting["path"].as_str().unwrap()).unwrap();
        assert_eq!(waiting["size"].as_u64(), Some(package.len() as u64));
        let standing = a.standing();
        assert_eq!((&standing["state"], &standing["due"]), (&"waiting".into(), &1.into()));
        assert_eq!(standing["reason"], "sendmail: not today");
        let shown = a.home.run(&["status"]).done();
        assert!(shown.contains("waits in the outbox (EX_TEMPFAIL (75)): sendmail: not today"));

        // By the clock nothing is tried before its time, and nothing is said; still it is not well.
        assert_eq!(a.by_clock(), (2, String::new()));
        assert_eq!(a.given().len(), 1);
        // Who types the command means now.
        a.answers(0);
        a.home.run(&["broadcast"]).done();
        let given = a.given();
        assert_eq!(given.len(), 2);
        assert_eq!(given[0], given[1], "it is the very same mail");
        assert!(a.outbox().is_empty());
        assert_eq!(a.standing()["state"], "sent");
        assert!(a.standing()["sent_since"].is_u64());
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(a.given().len(), 2, "what was sent is sent once");
        b.deliver_all();
        assert_eq!(entries(&b), known + 1);
        assert_eq!(b.receive(), 0);
        assert_eq!(b.text("f"), "one\n");
        b.run(&["broadcast", "a@a.example"]).done();
        a.home.receive();
        assert_eq!(a.standing()["state"], "in step");
        assert!(
            a.home.run(&["status"]).done().contains("b@b.example  in step; last word just now")
        );
    }
}

#[test]
fn a_mail_answers_the_last_one_processed_and_a_retry_answers_the_same() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, b) = (Site::new(&world, "a"), Site::new(&world, "b"));
        let last = |site: &Site| site.given().last().unwrap().clone();
        let id = |mail: &str| header(mail, "Message-ID").replace("Message-ID: ", "");
        let answered = |mail: &str| {
            let answer = header(mail, "In-Reply-To").replace("In-Reply-To: ", "");
            assert_eq!(header(mail, "References"), format!("References: {answer}"));
            answer
        };
        a.home.write("f", "one\n");
        a.init(&[&b.home], format);
        a.home.run(&["broadcast"]).done();
        let first = last(&a);
        assert!(!first.contains("In-Reply-To"), "{first}");
        b.home.deliver_all();
        b.home.run(&["accept", &b.home.first_entry(), "."]).done();
        b.home.write("f", "two\n");
        b.home.run(&["broadcast"]).done();
        assert_eq!(answered(&last(&b)), id(&first), "accepted");
        let second = last(&b);

        a.home.receive();
        a.home.write("f", "three\n");
        a.answers(75);
        a.home.run(&["broadcast"]).with(2);
        assert_eq!(answered(&last(&a)), id(&second), "processed");
        // Whatever is heard meanwhile: what is tried again is the same mail.
        let refused = last(&a);
        let threads = a.home.tree.join(".remsync.d/outbox/threads");
        fs::write(threads, "b@b.example\tother@b.example\n").unwrap();
        a.answers(0);
        a.home.run(&["broadcast"]).done();
        assert_eq!(last(&a), refused);
        a.home.write("h", "five\n");
        a.home.run(&["broadcast"]).done();
        assert_eq!(answered(&last(&a)), "<other@b.example>");
    }
}

#[test]
fn a_mail_that_was_taken_in_truth_is_known_when_it_comes_twice() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    let known = entries(&b);
    a.home.write("f", "one\n");
    // It delivers, and says that it did not.
    a.hooks("", "code=75");
    a.home.run(&["broadcast"]).with(2);
    a.hooks("", "");
    a.wait();
    assert_eq!(a.by_clock(), (0, String::new()));
    assert_eq!(b.deliver_all(), 2);
    assert_eq!(entries(&b), known + 1);
    assert_eq!(b.receive(), 0);
    let given = a.given();
    for name in ["Message-ID", "Date", "X-Remsync-Sha256", "X-Remsync-Serial"] {
        assert_eq!(header(&given[0], name), header(&given[1], name));
    }
}

#[test]
fn what_got_there_all_the_same_is_not_sent_again() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    a.home.write("f", "one\n");
    a.hooks("", "code=75");
    a.home.run(&["broadcast"]).with(2);
    a.hooks("", "");
    assert_eq!(b.receive(), 0);
    b.run(&["broadcast"]).done();
    a.home.deliver_all();
    let processed = a.home.run(&["process", "--batch"]);
    assert!(!processed.stderr().contains("backup"), "{}", processed.story());
    assert_eq!(processed.status(), 0, "{}", processed.story());
    assert_eq!(a.standing()["state"], "in step");
    a.wait();
    let (status, said) = a.by_clock();
    assert_eq!((status, said.as_str()), (0, ""));
    assert!(a.outbox().is_empty());
    // At most an acknowledgement goes: nothing that was in the package.
    let files: Vec<String> = a.given()[1..].iter().map(|mail| header(mail, "Subject")).collect();
    assert!(files.iter().all(|subject| subject.ends_with(": 0 files")), "{files:?}");
}

#[test]
fn a_later_broadcast_takes_its_place() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, b) = pair(&world, format);
        let known = entries(&b);
        a.answers(75);
        a.home.write("f", "one\n");
        a.by_clock();
        let first = a.only();
        a.home.write("f", "two\n");
        a.home.write("g", "new\n");
        let (status, said) = a.by_clock();
        assert_eq!((status, said.as_str()), (2, ""), "the reason is the same: it was told");
        assert_eq!(a.given().len(), 2, "what is new is tried at once");
        let second = a.only();
        assert_ne!(first["sha256"], second["sha256"]);
        assert_eq!(second["attempts"], 2);
        assert_eq!(second["first"], first["first"], "the site waits since then");
        assert!(!PathBuf::from(first["path"].as_str().unwrap()).exists());
        assert_eq!(a.by_clock().0, 2);
        assert_eq!(a.given().len(), 2);
        a.answers(0);
        a.wait();
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(b.receive(), 0);
        assert_eq!((b.text("f"), b.text("g")), ("two\n".into(), "new\n".into()));
        assert_eq!(entries(&b), known + 1);
    }
}

#[test]
fn nothing_to_say_any_more_empties_the_outbox() {
    let world = World::new();
    let (a, _b) = pair(&world, "2.0");
    a.answers(75);
    a.home.run(&["broadcast", "b@b.example"]).with(2);
    assert_eq!(a.outbox().len(), 1);
    assert_eq!(a.by_clock().0, 0, "nobody named it this time, and it lacks nothing");
    assert!(a.outbox().is_empty());
}

#[test]
fn pauses_grow_and_a_new_reason_is_told() {
    let world = World::new();
    let (a, _b) = pair(&world, "2.0");
    a.home.write("f", "one\n");
    a.answers(75);
    let (status, said) = a.by_clock();
    assert_eq!(status, 2);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    let expected = "remsync: b@b.example: not sent (EX_TEMPFAIL (75)): sendmail: not today; next";
    assert!(lines[0].starts_with(expected), "{said}");
    for (attempts, minutes) in [(2, 10), (3, 20), (4, 40), (5, 80)] {
        a.wait();
        assert_eq!(a.by_clock(), (2, String::new()), "a reason is told once");
        let waiting = a.only();
        let pause = waiting["next"].as_u64().unwrap() - waiting["last"].as_u64().unwrap();
        assert_eq!((waiting["attempts"].as_u64(), pause), (Some(attempts), minutes * 60_000));
        assert_eq!(a.given().len() as u64, attempts);
    }
    a.answers(67);
    a.wait();
    let (status, said) = a.by_clock();
    assert_eq!(status, 2);
    assert!(said.contains("refused (EX_NOUSER (67)): sendmail: not today"), "{said}");
    assert!(said.contains("  hint: "), "{said}");
    let loud = a.home.run(&["broadcast", "--batch"]);
    assert!(loud.stderr().contains("EX_NOUSER"), "{}", loud.story());
    assert!(String::from_utf8_lossy(&loud.output.stdout).contains("1 package stays in the outbox"));
}

#[test]
fn what_is_refused_for_good_waits_for_a_word_or_something_new() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    a.home.write("f", "one\n");
    a.answers(67);
    a.home.run(&["broadcast"]).with(2);
    assert_eq!(a.only()["state"], "refused");
    assert_eq!(a.standing()["state"], "refused");
    a.home.run(&["status"]).with(1);
    a.wait();
    a.by_clock();
    a.home.run(&["broadcast"]).with(2);
    assert_eq!(a.given().len(), 1, "the same is not tried again by itself");
    a.home.run(&["broadcast", "b@b.example"]).with(2);
    assert_eq!(a.given().len(), 2, "it was named");
    let id = a.only()["id"].as_str().unwrap().to_owned();
    let said = a.home.run(&["queue", "retry", &id]).done();
    assert!(said.contains("due now; the next broadcast sends it"), "{said}");
    a.by_clock();
    assert_eq!(a.given().len(), 3, "a person said so");
    a.home.write("g", "new\n");
    a.by_clock();
    assert_eq!(a.given().len(), 4, "something else is one attempt");
    a.by_clock();
    assert_eq!(a.given().len(), 4);
    a.answers(0);
    // Another carrier is something else too.
    let post = format!("maildir:{}", world.path().join("post").display());
    let mut command = a.home.command(support::REMSYNC);
    command.env("REMSYNC_TRANSPORT", post).args(["broadcast", "--batch"]);
    assert!(command.output().unwrap().status.success());
    assert!(a.outbox().is_empty());
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("g"), "new\n");
}

#[test]
fn a_large_broadcast_waits_for_a_word() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, b) = pair(&world, format);
        a.settings("ask_above_bytes = 20_000\n");
        a.home.write("f", bytes(1, 30_000));
        let (status, said) = a.by_clock();
        assert_eq!(status, 1);
        let held = a.only();
        let id = held["id"].as_str().unwrap();
        assert!(said.contains("remsync: b@b.example: held: 4"), "{said}");
        assert!(said.contains(&format!("\"remsync queue retry {id}\"")), "{said}");
        assert_eq!((&held["state"], a.given().len()), (&"held".into(), 0));
        assert_eq!(a.by_clock(), (1, String::new()), "it is told once");
        assert_eq!(a.standing()["state"], "waits for you");
        a.home.run(&["status"]).with(1);
        assert!(a.home.run(&["pending"]).with(1).contains(&format!("outbox {id}")));
        a.home.run(&["broadcast", "b@b.example"]).with(1);
        assert_eq!(a.given().len(), 0, "naming a site is no yes");
        a.home.run(&["queue", "retry", id]).done();
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(b.receive(), 0);
        assert_eq!(b.files(), a.home.files());
        // A word is good for one time.
        a.home.write("f", bytes(2, 30_000));
        assert_eq!(a.by_clock().0, 1);
        // And for what is no larger than what it was said of.
        let id = a.only()["id"].as_str().unwrap().to_owned();
        a.home.run(&["queue", "retry", &id]).done();
        a.home.write("f", bytes(3, 60_000));
        assert_eq!(a.by_clock().0, 1);
        let id = a.only()["id"].as_str().unwrap().to_owned();
        a.home.run(&["queue", "retry", &id]).done();
        a.home.write("f", bytes(4, 59_000));
        assert_eq!(a.by_clock().0, 0);
        assert_eq!(b.receive(), 0);
        assert_eq!(b.files(), a.home.files());
    }
}

#[test]
fn at_a_terminal_a_large_broadcast_is_asked_about() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    a.settings("ask_above_bytes = 20_000\n");
    a.home.write("f", bytes(1, 30_000));
    // script(1) of bsdutils gives the program a terminal.
    let asked = |answer: &str| {
        let typed = world.path().join("typed");
        fs::write(&typed, answer).unwrap();
        let mut command = a.home.command("script");
        command.env("PATH", "/usr/bin:/bin").stdin(fs::File::open(typed).unwrap());
        let line = format!("{} broadcast", support::REMSYNC);
        let output = command.args(["-qec", &line, "/dev/null"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(" of mail, 1 file: send it? [y/N]"), "{said}");
        output.status.code().unwrap()
    };
    assert_eq!(asked("\n"), 1, "the safe answer is no");
    assert_eq!((a.only()["state"].as_str(), a.given().len()), (Some("held"), 0));
    assert_eq!(asked("y\n"), 0, "what is held is asked about again");
    assert_eq!((a.outbox().len(), a.given().len()), (0, 1));
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
}

#[test]
fn mails_are_no_larger_than_the_carrier_takes() {
    // In 2.0 what is too large goes in volumes.
    for format in ["1.3"] {
        let world = World::new();
        let (a, b) = pair(&world, format);
        a.settings("size_max_bytes = 100_000\n");
        for n in 0..10 {
            a.home.write(format!("f{n}"), bytes(n + 1, 30_000));
        }
        a.home.write("large", bytes(99, 200_000));
        a.home.write("dense", vec![b'x'; 1_000_000]);
        a.home.remove("base");
        let ran = a.home.run(&["broadcast", "--batch"]);
        assert_eq!(ran.status(), 1, "{}", ran.story());
        assert!(
            ran.stderr().contains("large: too big for a mail to b@b.example"),
            "{}",
            ran.story()
        );
        let given = a.given();
        assert!((5..9).contains(&given.len()), "{} mails", given.len());
        assert!(given.iter().all(|mail| mail.len() <= 100_000));
        let held = a.only();
        assert_eq!((&held["state"], &held["left_out"][0]), (&"held".into(), &"large".into()));
        assert!(held["sha256"].is_null());
        let standing = a.standing();
        assert_eq!(standing["state"], "waits for you");
        assert!(standing["reason"].as_str().unwrap().contains("large"), "{standing}");
        b.receive();
        b.run(&["resolve", "base", "take"]).done();
        for name in (0..10).map(|n| format!("f{n}")).chain(["dense".to_owned()]) {
            assert!(b.read(&name) == a.home.read(&name), "{format}: {name}");
        }
        assert!(b.read("large").is_none());
        // What was left out is not packed again for nothing.
        assert_eq!(a.by_clock(), (1, String::new()));
        assert_eq!(a.given().len(), given.len());
        b.run(&["broadcast"]).done();
        a.home.receive();
        a.by_clock();
        let settled = a.given().len();
        a.by_clock();
        assert_eq!(a.given().len(), settled);
        // A higher limit lets it go, and so does a smaller file; a stick never minded.
        let stick = world.path().join("stick");
        a.home.run(&["-n", "broadcast", "--to", stick.to_str().unwrap()]).done();
        a.settings("size_max_bytes = 400_000\n");
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(b.receive(), 0);
        assert_eq!(b.files(), a.home.files(), "{format}");
        assert!(a.outbox().is_empty());
    }
}

/// A site whose mails have at most 100,000 bytes, with a file that makes one of 400,000.
fn with_a_large_file(world: &World) -> (Site, Home) {
    let (a, b) = pair(world, "2.0");
    a.settings("size_max_bytes = 100_000\n");
    a.home.write("large", bytes(99, 290_000));
    (a, b)
}

/// Numbers of the volumes that the mailer was given, as the subjects have them.
fn volumes(given: &[String]) -> Vec<String> {
    let volume = |mail: &String| {
        let subject = header(mail, "Subject");
        let (_, after) = subject.split_once("(volume ")?;
        Some(after.trim_end_matches(')').to_owned())
    };
    given.iter().filter_map(volume).collect()
}

#[test]
fn what_is_too_large_for_a_mail_goes_in_volumes() {
    let world = World::new();
    let (a, b) = with_a_large_file(&world);
    for n in 0..10 {
        a.home.write(format!("f{n}"), bytes(n + 1, 30_000));
    }
    a.home.write("dense", vec![b'x'; 1_000_000]);
    a.home.remove("base");
    let ran = a.home.run(&["broadcast", "--batch"]);
    assert!(String::from_utf8_lossy(&ran.output.stdout).contains("1 file sent in 5 volumes"));
    ran.done();
    let given = a.given();
    assert!(given.iter().all(|mail| mail.len() <= 100_000));
    assert_eq!(volumes(&given), ["1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5"]);
    assert!(a.outbox().is_empty());
    b.receive();
    b.run(&["resolve", "base", "take"]).done();
    assert_eq!(b.files(), a.home.files());
    b.run(&["broadcast"]).done();
    a.home.receive();
    assert_eq!(a.by_clock(), (0, String::new()));
    assert_eq!(a.standing()["state"], "in step");
    // The last package of all, and none of it twice.
    a.home.write("large", bytes(98, 200_000));
    a.home.run(&["broadcast"]).done();
    assert_eq!(volumes(&a.given()).len(), 5 + 3);
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
}

#[test]
fn volumes_go_on_from_where_they_stopped() {
    let world = World::new();
    let (a, b) = with_a_large_file(&world);
    // The list goes ahead in a mail of its own; the third volume is not taken.
    a.hooks("[ $n = 3 ] && code=75 && exit 75", "");
    let ran = a.home.run(&["broadcast", "--batch"]);
    assert!(ran.stderr().contains("2 of 5 volumes were taken"), "{}", ran.story());
    assert_eq!(ran.status(), 2);
    let waiting = a.only();
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&"waiting".into(), &1.into()));
    let shown = a.home.run(&["queue", "show", waiting["id"].as_str().unwrap()]).done();
    assert!(shown.contains("volumes     2 sent, "), "{shown}");
    assert_eq!(a.by_clock().0, 2);
    assert_eq!(a.given().len(), 4, "the pause holds for volumes too");
    // Whatever else happens meanwhile: the volumes go on, and the news follows them.
    b.deliver_all();
    b.run(&["process", "--batch"]).done();
    b.write("news", "of b\n");
    b.run(&["broadcast"]).done();
    a.home.receive();
    a.home.write("more", "of a\n");
    a.hooks("", "");
    a.wait();
    assert_eq!(a.by_clock(), (0, String::new()));
    assert_eq!(volumes(&a.given()), ["1 of 5", "2 of 5", "3 of 5", "3 of 5", "4 of 5", "5 of 5"]);
    let given = a.given();
    assert!(given[3] == given[4], "the very same mail");
    assert!(a.outbox().is_empty());
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
    // Another version takes the place of what only began to go.
    a.hooks("[ $n = 9 ] && code=75 && exit 75", "");
    a.home.write("large", bytes(97, 290_000));
    a.home.run(&["broadcast", "--batch"]).with(2);
    a.home.write("large", "small now\n");
    a.hooks("", "");
    a.wait();
    assert_eq!(a.by_clock(), (0, String::new()));
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
}

#[test]
fn the_rest_is_cut_anew_where_the_limit_has_changed() {
    let world = World::new();
    let (a, b) = with_a_large_file(&world);
    a.hooks("[ $n = 3 ] && code=75 && exit 75", "");
    a.home.run(&["broadcast", "--batch"]).with(2);
    a.hooks("", "");
    // Smaller ones from here on, and at last larger ones than before.
    for (limit, hook) in [(70_000, "[ $n = 5 ] && code=75 && exit 75"), (300_000, "")] {
        let before = a.given().len();
        a.settings(&format!("size_max_bytes = {limit}\n"));
        a.hooks(hook, "");
        a.wait();
        let status = a.by_clock().0;
        assert_eq!(status == 0, hook.is_empty(), "{limit}");
        assert!(a.given()[before..].iter().all(|mail| mail.len() <= limit), "{limit}");
    }
    let sent = volumes(&a.given());
    assert_eq!(
        sent,
        ["1 of 5", "2 of 5", "3 of 5", "3 of 6", "4 of 6", "4 of 6", "5 of 6", "6 of 6"]
    );
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
    assert!(a.outbox().is_empty());
}

#[test]
fn killed_between_two_volumes_ends_the_same() {
    for at in [1, 3, 5] {
        let world = World::new();
        let (a, b) = with_a_large_file(&world);
        a.hooks("", &format!("[ $n = {at} ] && kill -9 $PPID"));
        assert_eq!(a.home.run(&["broadcast", "--batch"]).status(), -1);
        a.hooks("", "");
        a.wait();
        assert_eq!(a.by_clock(), (0, String::new()), "{at}");
        let sent = volumes(&a.given());
        assert_eq!(sent.len(), 6, "one goes twice: {sent:?}");
        assert!(a.outbox().is_empty());
        assert_eq!(b.receive(), 0);
        assert_eq!(b.files(), a.home.files());
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(volumes(&a.given()).len(), 6);
    }
}

#[test]
fn a_part_that_fails_keeps_those_that_follow() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, b) = pair(&world, format);
        let known = entries(&b);
        a.settings("size_max_bytes = 100_000\n");
        for n in 0..6 {
            a.home.write(format!("f{n}"), bytes(n + 1, 30_000));
        }
        // The second mail is not taken.
        a.hooks("[ $n = 1 ] && code=75 && exit 75", "");
        a.home.run(&["broadcast", "--batch"]).with(2);
        assert_eq!(a.given().len(), 2);
        let waiting = a.only();
        assert_eq!(waiting["attempts"], 1);
        assert_eq!(a.by_clock().0, 2);
        assert_eq!(a.given().len(), 2, "{format}: the pause holds for a part, and what follows it");
        assert_eq!(a.only()["sha256"], waiting["sha256"]);
        a.hooks("", "");
        a.wait();
        assert_eq!(a.by_clock(), (0, String::new()));
        let given = a.given();
        assert_eq!(given[1], given[2], "{format}: the very same mail");
        assert!(a.outbox().is_empty());
        assert_eq!(b.receive(), 0);
        assert_eq!(b.files(), a.home.files(), "{format}");
        assert_eq!(entries(&b), known + given.len() - 1);
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(a.given().len(), given.len(), "nothing goes twice");
    }
}

#[test]
fn a_month_without_a_carrier_leaves_one_package() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    // One that was accepted, and that nobody has confirmed yet.
    a.home.write("diary", "the day before\n");
    a.by_clock();
    a.answers(75);
    for day in 0..70 {
        a.home.write("diary", format!("day {day}\n"));
        a.by_clock();
        if day % 7 == 0 {
            a.by_clock();
        }
    }
    assert_eq!(a.given().len(), 71, "one attempt for each thing that is new");
    assert_eq!(a.only()["attempts"], 70);
    let names = fs::read_dir(a.home.tree.join(".remsync.d/outbox")).unwrap().count();
    assert_eq!(names, 3, "a note, its package, and the threads");
    assert_eq!(b.receive(), 0);
    b.run(&["broadcast"]).done();
    a.home.deliver_all();
    let processed = a.home.run(&["process", "--batch"]);
    assert!(!processed.stderr().contains("backup"), "{}", processed.story());
    a.answers(0);
    a.wait();
    assert_eq!(a.by_clock(), (0, String::new()));
    assert_eq!(b.deliver_all(), 1);
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("diary"), "day 69\n");
    b.run(&["broadcast"]).done();
    a.home.deliver_all();
    let processed = a.home.run(&["process", "--batch"]);
    assert!(!processed.stderr().contains("backup"), "{}", processed.story());
    assert_eq!(a.standing()["state"], "in step");
}

#[test]
fn one_site_in_trouble_does_not_stop_another() {
    let world = World::new();
    let (a, b, c) = (Site::new(&world, "a"), world.home("b"), world.home("c"));
    a.home.write("f", "one\n");
    a.init(&[&b, &c], "2.0");
    a.hooks("[ $to = b@b.example ] && exit 67", "");
    let (sent, status) = a.home.json(&["broadcast"]);
    assert_eq!(status, 2);
    assert_eq!(
        (&sent["sites"][0]["state"], &sent["sites"][1]["state"]),
        (&"refused".into(), &"sent".into())
    );
    assert_eq!(c.deliver_all(), 1);
    a.home.write("f", "two\n");
    a.hooks("", "");
    let (sent, status) = a.home.json(&["broadcast"]);
    assert_eq!((sent["sites"].as_array().unwrap().len(), status), (2, 0), "{sent}");
}

#[test]
fn entries_are_listed_shown_and_dropped() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    let plain = a.home.run(&["queue", "list", "--out"]).done();
    assert_eq!(plain, "the outbox is empty\n");
    a.home.write("f", "one\n");
    a.answers(75);
    a.home.run(&["broadcast"]).with(2);
    let waiting = a.only();
    let id = waiting["id"].as_str().unwrap();
    assert!(waiting["sha256"].as_str().unwrap().starts_with(id) && id.len() == 12);
    let plain = a.home.run(&["queue", "list", "--out"]).done();
    for word in [id, "waiting", "b@b.example", "tried 1 time", "not today (EX_TEMPFAIL (75))"] {
        assert!(plain.contains(word), "{plain}");
    }
    let shown = a.home.run(&["queue", "show", &id[..5]]).done();
    assert!(shown.contains("message-id  <remsync.") && shown.contains(".tar.gz"), "{shown}");
    // From anywhere else every project of the account is listed.
    let mut command = a.home.command(support::REMSYNC);
    let output =
        command.args(["queue", "--out", "--json"]).current_dir(&a.home.top).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    // What came and what is to go may be the same package: then it has to be said which is meant.
    let copy = a.home.top.join("package.tar.gz");
    fs::copy(waiting["path"].as_str().unwrap(), &copy).unwrap();
    let _ = a.home.run(&["process", copy.to_str().unwrap()]);
    let ran = a.home.run(&["queue", "drop", id]);
    assert_eq!(ran.status(), 2, "{}", ran.story());
    a.home.run(&["queue", "retry", id, "-n", "--out"]).done();
    let said = a.home.run(&["queue", "drop", id, "--out"]).done();
    assert!(said.contains("what it carried is due again"), "{said}");
    assert!(a.outbox().is_empty());
    assert_eq!(a.home.run(&["queue", "drop", id, "--out"]).status(), 2);
    assert_eq!(a.standing()["state"], "due");
    a.answers(0);
    a.home.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("f"), "one\n");
}

#[test]
fn a_stick_carries_what_no_mail_took() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    a.home.write("f", "one\n");
    a.answers(67);
    a.home.run(&["broadcast"]).with(2);
    let stick = world.path().join("stick");
    fs::write(&stick, "no folder").unwrap();
    a.home.run(&["broadcast", "--to", stick.to_str().unwrap()]).with(2);
    assert_eq!(a.only()["state"], "refused", "a stick that fails changes nothing");
    fs::remove_file(&stick).unwrap();
    a.home.run(&["broadcast", "--to", stick.to_str().unwrap()]).done();
    assert!(a.outbox().is_empty());
    let package = fs::read_dir(&stick).unwrap().next().unwrap().unwrap().path();
    b.run(&["process", package.to_str().unwrap()]).done();
    assert_eq!(b.text("f"), "one\n");
    assert_eq!(a.by_clock(), (0, String::new()));
}

#[test]
fn a_remote_that_is_none_any_more_leaves_nothing() {
    let world = World::new();
    let (a, _b) = pair(&world, "2.0");
    a.home.write("f", "one\n");
    a.answers(75);
    a.home.run(&["broadcast"]).with(2);
    a.home.run(&["delete", "remote", "b@b.example"]).done();
    a.home.run(&["broadcast"]).done();
    assert!(a.outbox().is_empty());
}

#[test]
fn killed_while_the_mailer_is_at_work_ends_the_same() {
    for format in ["2.0", "1.3"] {
        for (name, before, after) in [
            ("before it took the mail", "kill -9 $PPID; exit 75", ""),
            ("after it took the mail", "", "kill -9 $PPID"),
        ] {
            let world = World::new();
            let (a, b) = pair(&world, format);
            let known = entries(&b);
            a.home.write("f", "one\n");
            a.hooks(before, after);
            assert_eq!(a.by_clock().0, -1, "{name}");
            let waiting = a.only();
            assert_eq!(waiting["reason"], "remsync was ended before the carrier answered");
            assert_eq!(a.standing()["state"], "waiting");
            a.hooks("", "");
            assert_eq!(a.by_clock(), (0, String::new()), "{name}: it is due at once");
            let given = a.given();
            assert_eq!(given[0], given[1], "{name}");
            b.deliver_all();
            assert_eq!(entries(&b), known + 1, "{format}: {name}");
            assert_eq!(b.receive(), 0);
            assert_eq!(b.files(), a.home.files());
            assert!(a.outbox().is_empty());
            assert_eq!(a.standing()["state"], "sent");
        }
    }
}

#[test]
fn killed_before_the_note_went_sends_nothing_twice() {
    for format in ["2.0", "1.3"] {
        let world = World::new();
        let (a, _b) = pair(&world, format);
        let outbox = a.home.tree.join(".remsync.d/outbox");
        a.home.write("f", "one\n");
        a.answers(75);
        a.by_clock();
        let kept: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&outbox)
            .unwrap()
            .map(|name| name.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        a.answers(0);
        a.wait();
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!(a.given().len(), 2);
        for (path, bytes) in kept {
            fs::write(path, bytes).unwrap();
        }
        assert_eq!(
            a.standing()["state"],
            "sent",
            "a note of what is known to be sent says nothing"
        );
        assert_eq!(a.by_clock(), (0, String::new()));
        assert_eq!((a.given().len(), a.outbox().len()), (2, 0), "{format}");
    }
}

#[test]
fn a_limit_that_was_learnt_is_kept() {
    let world = World::new();
    let (a, b) = pair(&world, "2.0");
    let outbox = a.home.tree.join(".remsync.d/outbox");
    a.home.write("f", "one\n");
    a.answers(75);
    a.by_clock();
    let now_ms = a.only()["last"].as_u64().unwrap();
    fs::write(outbox.join("limits"), format!("b@b.example\t100000\t{now_ms}\n")).unwrap();
    for n in 0..5 {
        a.home.write(format!("f{n}"), bytes(n + 1, 30_000));
    }
    a.answers(0);
    a.by_clock();
    let given = a.given();
    assert!(given.len() >= 4 && given.iter().all(|mail| mail.len() <= 100_000));
    assert_eq!(b.receive(), 0);
    assert_eq!(b.files(), a.home.files());
}
