//! The old companions: `mail-files`, `mailshar`, and what the scripts of 1992 did, by their names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mail_parser::{MessageParser, MimeHeaders};
use support::{Home, REMSYNC, World};

/// What `DIR/ADDRESS/new` of the post has, in the order of their numbers.
fn mails(world: &World, address: &str) -> Vec<Vec<u8>> {
    let new = world.path().join("post").join(address).join("new");
    let Ok(entries) = fs::read_dir(new) else { return Vec::new() };
    let mut mails: Vec<Vec<u8>> =
        entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    mails.sort_by_key(|mail| number(&subject(mail)));
    mails
}

/// Which of several mails this is, by its subject.
fn number(subject: &str) -> usize {
    let after = subject.split_once('(').map(|(_, after)| after);
    after.and_then(|after| after.split_once('/')?.0.parse().ok()).unwrap_or(0)
}

fn subject(mail: &[u8]) -> String {
    MessageParser::default().parse(mail).unwrap().subject().unwrap().to_owned()
}

fn body(mail: &[u8]) -> Vec<u8> {
    let at = mail.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    // As a mailer puts it into a file.
    String::from_utf8(mail[at..].to_vec()).unwrap().replace("\r\n", "\n").into_bytes()
}

fn site(world: &World) -> Home {
    let a = world.home("a");
    let config = a.top.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("[mail]\n", "[mail]\nfrom = \"ann@a.example\"\n")).unwrap();
    a
}

/// Files that mail would spoil, and some that it would not.
fn samples(home: &Home) -> Vec<(&'static str, Vec<u8>)> {
    let noise: Vec<u8> =
        (0..150_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let files = vec![
        ("plain.txt", b"one\nFrom here\n.\nSHAR_EOF\nXmas\n".to_vec()),
        ("empty", Vec::new()),
        ("no end", b"no line feed".to_vec()),
        ("latin", b"caf\xe9\r\n".to_vec()),
        ("it's", "na\u{ef}ve \u{65e5}\n".as_bytes().to_vec()),
        ("folder/deep/noise.bin", noise),
        ("folder/run", b"#!/bin/sh\necho hello\n".to_vec()),
        ("zeros", vec![0; 5_000]),
    ];
    for (name, bytes) in &files {
        home.write(name, bytes);
    }
    let run = home.tree.join("folder/run");
    fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
    files
}

// ---- mailshar

/// Runs a part with a shell, with nothing but what POSIX has; returns status and what was said.
fn unpack(shell: &[&str], path: &Path, part: &Path, folder: &Path, more: &[&str]) -> (i32, String) {
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg(part)
        .args(more)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

/// A folder with the few programs that an archive may use.
fn tools(world: &World, name: &str, tools: &[&str]) -> PathBuf {
    let bin = world.path().join(name);
    fs::create_dir(&bin).unwrap();
    for tool in tools {
        let found = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(tool));
        let found = found.into_iter().find(|path| path.exists()).expect(tool);
        symlink(found, bin.join(tool)).unwrap();
    }
    bin
}

const POSIX: [&str; 11] =
    ["sed", "cat", "mkdir", "rm", "mv", "chmod", "cksum", "awk", "gzip", "bzip2", "sh"];

#[test]
fn any_posix_shell_unpacks_what_mailshar_sends() {
    let world = World::new();
    let a = site(&world);
    let files = samples(&a);
    let bare = tools(&world, "bare", &POSIX);
    let rich = tools(&world, "rich", &[&POSIX[..], &["uudecode", "sha256sum"]].concat());
    let mut number = 0;
    for (at, mode) in ["-z", "-B", "-M", "-Z", "-j"].into_iter().enumerate() {
        let to = format!("bo{at}@b.example");
        let mut words = vec!["mailshar", mode, "-s", "60", "-S", "some files", &to];
        words.extend(files.iter().map(|(name, _)| *name));
        let mut command = a.command(REMSYNC);
        let ran = command.args(&words).env("PATH", "/usr/bin:/bin").output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        let told = String::from_utf8(ran.stdout).unwrap();
        let mails = mails(&world, &to);
        assert!(mails.len() > 2, "{mode}");
        assert_eq!(told, format!("{to}: {} mails sent\n", mails.len()));
        assert!(mails.iter().all(|mail| mail.len() <= 64 << 10), "parts keep their size");
        assert_eq!(subject(&mails[0]), format!("shar (1/{}): some files", mails.len()));
        let shells = [
            (&["/bin/sh"][..], &bare),
            (&["/bin/bash"], &rich),
            (&["/bin/bash", "--posix"], &bare),
        ];
        // Only what unpacks it is another with the last ones.
        let shells = if at < 3 { &shells[..] } else { &shells[1..2] };
        for &(shell, path) in shells {
            number += 1;
            let folder = world.path().join(format!("unpacked{number}"));
            fs::create_dir(&folder).unwrap();
            for (at, mail) in mails.iter().enumerate() {
                let part = world.path().join(format!("part{number}.{at}"));
                fs::write(&part, body(mail)).unwrap();
                let (status, said) = unpack(shell, path, &part, &folder, &[]);
                assert_eq!(status, 0, "{mode} {shell:?} part {at}: {said}");
            }
            let mut left: Vec<_> =
                fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
            left.retain(|name| name.to_str().unwrap().starts_with("_sh"));
            assert!(left.is_empty(), "{left:?}");
            for (name, bytes) in &files {
                let unpacked = fs::read(folder.join(name)).unwrap();
                assert!(unpacked == *bytes, "{mode} {shell:?} {name}");
            }
            let mode_of_run = fs::metadata(folder.join("folder/run")).unwrap().permissions().mode();
            assert_eq!(mode_of_run & 0o777, 0o755);
        }
    }
}

#[test]
fn an_archive_that_was_damaged_or_comes_in_disorder_says_so() {
    let world = World::new();
    let a = site(&world);
    samples(&a);
    let bare = tools(&world, "bare", &POSIX);
    let folder = world.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    let sh = ["/bin/sh"];
    let part = |text: &[u8]| {
        let part = world.path().join("part");
        fs::write(&part, text).unwrap();
        part
    };
    a.run(&["mailshar", "-M", "bo@b.example", "plain.txt"]).done();
    let script = body(&mails(&world, "bo@b.example")[0]);
    let damaged = String::from_utf8(script.clone()).unwrap().replace("Xone", "Xtwo");
    let (status, said) = unpack(&sh, &bare, &part(damaged.as_bytes()), &folder, &[]);
    assert!(status != 0 && said.contains("plain.txt: damaged: its sum is not"), "{said}");
    assert!(!folder.join("plain.txt").exists());
    assert_eq!(unpack(&sh, &bare, &part(&script), &folder, &[]).0, 0);
    fs::write(folder.join("plain.txt"), "mine\n").unwrap();
    let (status, said) = unpack(&sh, &bare, &part(&script), &folder, &[]);
    assert!(status != 0 && said.contains("plain.txt: is there, and stays"), "{said}");
    assert_eq!(fs::read_to_string(folder.join("plain.txt")).unwrap(), "mine\n");
    assert_eq!(unpack(&sh, &bare, &part(&script), &folder, &["-c"]).0, 0);
    assert!(fs::read_to_string(folder.join("plain.txt")).unwrap().starts_with("one\n"));

    a.run(&["mailshar", "-s", "40", "dan@d.example", "folder"]).done();
    let mails = mails(&world, "dan@d.example");
    let (status, said) = unpack(&sh, &bare, &part(&body(&mails[1])), &folder, &[]);
    assert!(status != 0 && said.contains("part 1 has to be unpacked before part 2"), "{said}");
}

/// As in 1995: the package goes as shell archives, and the filter takes it out of them.
#[test]
fn a_package_by_mailshar_gets_through_the_filter() {
    let world = World::new();
    let (a, b) = (site(&world), world.home("b"));
    samples(&a);
    let words = ["init", "--format", "1.3", "--title", "Test", "--here", &a.address];
    a.run(&[&words[..], &["--remote", &b.address]].concat()).done();
    let stick = world.path().join("stick");
    a.run(&["broadcast", "--to", stick.to_str().unwrap()]).with(1);
    let package = fs::read_dir(&stick).unwrap().map(|f| f.unwrap().path());
    let package = package.into_iter().find(|p| p.extension().is_some_and(|e| e == "gz")).unwrap();
    fs::rename(package, a.tree.join(".remsync.tar.gz")).unwrap();
    a.run(&["mailshar", &b.address, ".remsync.tar.gz"]).done();
    assert!(b.mails().len() > 2);
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    assert_eq!(b.read("folder/deep/noise.bin"), a.read("folder/deep/noise.bin"));
}

#[test]
fn what_mailshar_refuses() {
    let world = World::new();
    let a = site(&world);
    samples(&a);
    for (words, what, hint) in [
        (&["mailshar"][..], "takes a destination and files", "mailshar [-S"),
        (&["mailshar", "bo@b.example"], "takes a destination and files", "mailshar [-S"),
        (&["mailshar", "-j", "bo@b.example", "zeros"], "bzip2: No such file", "-z packs"),
        (&["mailshar", "-Z", "bo@b.example", "zeros"], "compress: No such file", "-z packs"),
        (&["mailshar", "-s", "x", "bo@b.example", "zeros"], "number of kilobytes", "-s 60"),
        (&["mailshar", "-T", "bo@b.example", "zeros"], "no plain text", "-M encodes"),
        (&["mailshar", "-q", "bo@b.example", "zeros"], "-q", "remsync(1)"),
        (&["mailshar", "bo@b.example", "nothing"], "nothing: No such file", ""),
        (&["mailshar", "no address", "zeros"], "an address with", "name@place"),
        (
            &["mail-files", "bo@b.example", "text", "zeros"],
            "a destination, a type",
            "mail-files [-x]",
        ),
    ] {
        // No program of others is found.
        let ran = a.command(REMSYNC).args(words).env("PATH", "/nowhere").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains(what) && said.contains(hint), "{said}");
    }
    assert!(mails(&world, "bo@b.example").is_empty());
    a.run(&["--dry-run", "mailshar", "bo@b.example", "zeros"]).done();
    assert!(mails(&world, "bo@b.example").is_empty());
}

// ---- mail-files

#[test]
fn mail_files_attaches_them_to_as_many_mails_as_fit() {
    let world = World::new();
    let a = site(&world);
    let files = samples(&a);
    let mut words = vec!["mail-files", "bo@b.example", "notes", "from the ship"];
    words.extend(files.iter().map(|(name, _)| *name));
    assert_eq!(a.run(&words).done(), "bo@b.example: 1 mail sent\n");
    let sent = mails(&world, "bo@b.example");
    assert_eq!(subject(&sent[0]), "notes: from the ship");
    let message = MessageParser::default().parse(&sent[0]).unwrap();
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("ann@a.example"));
    let attached: Vec<(String, Vec<u8>)> = message
        .attachments()
        .map(|part| (part.attachment_name().unwrap().to_owned(), part.contents().to_vec()))
        .collect();
    assert_eq!(attached.len(), files.len());
    for (name, bytes) in &files {
        let own = name.rsplit('/').next().unwrap();
        let found = attached.iter().find(|(attached, _)| attached == own).expect(name);
        let as_sent =
            |bytes: &[u8]| bytes.iter().copied().filter(|b| *b != b'\r').collect::<Vec<u8>>();
        match *name {
            // A text's line ends are the mail's.
            "plain.txt" | "folder/run" | "it's" => assert_eq!(as_sent(&found.1), *bytes, "{name}"),
            _ => assert!(found.1 == *bytes, "{name}"),
        }
    }

    // Within a size; what never fits is told.
    let list = a.top.join("friends");
    fs::write(&list, "# all of them\ncat@c.example\n\nDan@d.example\n").unwrap();
    let list = list.to_str().unwrap();
    let ran = a.run(&[
        "mail-files",
        "-s",
        "10",
        "-x",
        list,
        "notes",
        "small",
        "zeros",
        "latin",
        "plain.txt",
        "folder/deep/noise.bin",
        "missing",
        "zeros",
    ]);
    assert_eq!(ran.status(), 2, "{}", ran.story());
    let said = ran.stderr();
    assert!(said.contains("noise.bin: too big for one mail: left out"), "{said}");
    assert!(said.contains("missing: No such file"), "{said}");
    for address in ["cat@c.example", "dan@d.example"] {
        let subjects: Vec<String> = mails(&world, address).iter().map(|m| subject(m)).collect();
        assert_eq!(subjects, ["notes (1/2): small", "notes (2/2): small"], "{address}");
    }
}

// ---- The old names

#[test]
fn links_of_the_old_names_act_as_those_programs() {
    let world = World::new();
    let (a, b) = world.pair();
    let bin = world.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["mailsync", "resync", "mailshar", "mail-files", "find-mailer"] {
        symlink(REMSYNC, bin.join(name)).unwrap();
    }
    let called = |home: &Home, name: &str, words: &[&str]| {
        let output = home.command(bin.join(name)).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), said)
    };
    a.write("f", "one\n");
    a.write("g", "one\n");
    let (status, said) = called(&a, "mailsync", &["-n"]);
    assert_eq!((status, b.mails().len()), (0, 0), "{said}");
    fs::write(a.top.join("list"), format!("{}\n", b.address)).unwrap();
    let list = a.top.join("list");
    let (status, said) = called(&a, "mailsync", &[list.to_str().unwrap(), "."]);
    assert_eq!((status, b.mails().len()), (0, 1), "{said}");
    assert_eq!(b.receive(), 0);

    // The losing version is kept, and deletions are a list to review.
    a.write("f", "two\n");
    a.remove("g");
    b.write("f", "of b\n");
    let stick = world.path().join("stick");
    a.run(&["broadcast", "--to", stick.to_str().unwrap()]).done();
    let package = fs::read_dir(&stick).unwrap().map(|f| f.unwrap().path());
    let package = package.into_iter().find(|p| p.extension().is_some_and(|e| e == "gz")).unwrap();
    let package = package.to_str().unwrap();
    let (_, said) = called(&b, "resync", &["-n", package]);
    assert!(said.contains("would be"), "{said}");
    let (status, said) = called(&b, "resync", &[package]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("f: changed here and there (from a@a.example"), "{said}");
    assert!(said.contains("g: deleted there (from a@a.example"), "{said}");
    assert_eq!((b.text("f"), b.read("g").is_some()), ("of b\n".into(), true));
    b.run(&["resolve", "f", "g", "take"]).done();
    assert_eq!(b.text("f"), "two\n");
    assert!(b.run(&["restore", "f"]).done().lines().count() > 1, "what was displaced is kept");

    let (status, said) = called(&a, "mailshar", &["-S", "s", "bo@x.example", "f"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(subject(&mails(&world, "bo@x.example")[0]), "shar: s");
    assert_eq!(called(&a, "mail-files", &["bo@x.example", "t", "s", "f"]).0, 0);
    assert!(called(&a, "find-mailer", &[]).1.contains("transport"));
    // As of old, by their first letters.
    for name in ["mailsync", "resync", "mailshar", "mail-files", "find-mailer"] {
        for word in ["--help", "--h"] {
            let (status, said) = called(&a, name, &[word]);
            assert!(status == 0 && said.starts_with(&format!("usage: {name} [")), "{said}");
        }
        let (status, said) = called(&a, name, &["--version"]);
        assert!(status == 0 && said.starts_with(&format!("{name}, of remsync ")), "{said}");
    }
    let (status, said) = called(&a, "resync", &["."]);
    assert!(status == 2 && said.contains("hint: "), "{said}");
}

// ---- Packages that were unpacked

/// Unpacks the only package in a folder.
fn unpacked(world: &World, stick: &Path, name: &str) -> PathBuf {
    let package = fs::read_dir(stick).unwrap().map(|f| f.unwrap().path());
    let package = package.into_iter().find(|p| p.extension().is_some_and(|e| e == "gz")).unwrap();
    let folder = world.path().join(name);
    fs::create_dir(&folder).unwrap();
    let tar = Command::new("tar").arg("xzf").arg(package).current_dir(&folder).status().unwrap();
    assert!(tar.success());
    fs::remove_dir_all(stick).unwrap();
    folder
}

#[test]
fn a_package_that_was_unpacked_is_processed() {
    let world = World::new();
    let (a, b) = world.pair();
    let stick = world.path().join("stick");
    let to = stick.to_str().unwrap();
    // So well packed that it has to be stored.
    a.write("zeros", vec![0; 40 << 20]);
    a.write("f", "one\n");
    a.run(&["broadcast", "--to", to]).done();
    let first = unpacked(&world, &stick, "first");
    fs::write(first.join(".remsync-work/orders~"), "what an editor leaves").unwrap();
    let first = first.to_str().unwrap();

    let (before, queue) = (b.files(), b.run(&["queue", "list"]).done());
    assert!(b.run(&["-n", "process", first]).done().contains("2 created"));
    assert_eq!((b.files(), b.run(&["queue", "list"]).done()), (before, queue), "a dry run");
    assert_eq!(b.run(&["process", first]).done(), "1 package: 2 created\n");
    assert_eq!((b.text("f"), b.read("zeros") == a.read("zeros")), ("one\n".into(), true));
    assert!(Path::new(first).join(".remsync-work/1").exists(), "it stays");
    let again = b.run(&["process", &format!("{first}/.remsync-work")]);
    assert!(again.stderr().contains("it was taken in before"), "{}", again.story());
    assert_eq!(again.status(), 0);

    // In the current folder, without a word.
    a.write("f", "two\n");
    a.run(&["broadcast", "--to", to]).done();
    let second = unpacked(&world, &stick, "second");
    fs::rename(second.join(".remsync-work"), b.tree.join(".remsync-work")).unwrap();
    assert_eq!(b.run(&["p"]).done(), "1 package: 1 replaced\n");
    assert_eq!(b.text("f"), "two\n");
    fs::remove_dir_all(b.tree.join(".remsync-work")).unwrap();

    // What is in it is held to every rule.
    a.write("f", "three\n");
    a.run(&["broadcast", "--to", to]).done();
    let third = unpacked(&world, &stick, "third");
    let work = third.join(".remsync-work");
    fs::write(work.join("notes"), "").unwrap();
    let ran = b.run(&["process", third.to_str().unwrap()]);
    assert!(ran.stderr().contains("notes: this is no file of a package"), "{}", ran.story());
    assert_eq!(ran.status(), 2);
    fs::remove_file(work.join("notes")).unwrap();
    fs::write(work.join("1"), "other\n").unwrap();
    let ran = b.run(&["process", third.to_str().unwrap()]);
    assert!(ran.stderr().contains("refused"), "{}", ran.story());
    assert_eq!((ran.status(), b.text("f")), (2, "two\n".into()));
    fs::remove_file(work.join("1")).unwrap();
    symlink(a.tree.join("f"), work.join("1")).unwrap();
    assert_eq!(b.run(&["process", third.to_str().unwrap()]).status(), 2, "no link is followed");
}

/// Nothing vouches for it: where signatures are asked for, it is held.
#[test]
fn a_package_that_was_unpacked_is_not_signed() {
    let world = World::new();
    let (a, b) = (world.home_with_key("a"), world.home_with_key("b"));
    a.init(&[&b]).done();
    b.init(&[&a]).done();
    a.trust(&b);
    b.trust(&a);
    a.write("f", "one\n");
    let stick = world.path().join("stick");
    a.run(&["broadcast", "--to", stick.to_str().unwrap()]).done();
    let folder = unpacked(&world, &stick, "folder");
    let ran = b.run(&["process", folder.to_str().unwrap()]);
    assert!(ran.stderr().contains("it is not signed"), "{}", ran.story());
    assert_eq!((ran.status(), b.read("f")), (1, None));
}
