//! Packages that come in parts: volumes, and shell archives of the 1990s, through the real filter.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use remsync::format::package::{Level, Writer};
use remsync::format::volume::{Place, Volume, header};
use remsync::model::Address;
use support::archive::{gzip, noise, orders_head, package as archive, raw, sha256, update};
use support::coding::{base64, uuencode};
use support::{DELIVER, Home, World};

// ---- what is sent

/// A sound package of about so many bytes, from a to b.
fn package(len: usize) -> Vec<u8> {
    package_from("a@a.example", len)
}

fn package_from(here: &str, len: usize) -> Vec<u8> {
    let content = noise(len as u64 + 1, len);
    let head = orders_head("Test", &format!("{here} -"), "b@b.example -", 1_700_000_000_001);
    let mut writer = Writer::new(Vec::new(), Level::Stored);
    let orders = head + &update("file", &content, 1);
    writer.orders(orders.as_bytes(), 1_700_000_000).unwrap();
    writer.member(1, content.len() as u64, false, 1_700_000_000, 0, &mut &content[..]).unwrap();
    writer.finish().unwrap()
}

/// The volumes of a package, cut into so many.
fn volumes(package: &[u8], count: u32) -> Vec<Vec<u8>> {
    let each = package.len().div_ceil(count as usize);
    let volume = |(at, bytes): (usize, &[u8])| {
        let place = Place {
            number: at as u32 + 1,
            count,
            offset: (at * each) as u64,
            length_bytes: bytes.len() as u64,
        };
        volume_of(package, place, bytes)
    };
    package.chunks(each).enumerate().map(volume).collect()
}

/// A volume as its header and these bytes, be they the package's or not.
fn volume_of(package: &[u8], place: Place, bytes: &[u8]) -> Vec<u8> {
    let digest = |bytes| remsync::format::digest::sha256_of(bytes).unwrap().0;
    let volume = Volume {
        here: Address::new("a@a.example").unwrap(),
        whole: digest(package),
        total_bytes: package.len() as u64,
        place,
        sha256: digest(bytes),
    };
    [header(&volume), bytes.to_vec()].concat()
}

/// The mode that shar gives.
fn as_shar_does(name: &str, bytes: &[u8]) -> String {
    uuencode(name, bytes).replacen("begin 644 ", "begin 600 ", 1)
}

/// A mail with these attachments, whatever they are.
fn mail_from(from: &str, attachments: &[&[u8]]) -> Vec<u8> {
    let mut text = format!(
        "From: {from}\nTo: b@b.example\nSubject: [remsync] Test\nMessage-ID: <1@x>\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_b\"\n\n\
         --=_b\n\nA volume.\n"
    );
    for attachment in attachments {
        text += "--=_b\nContent-Type: application/octet-stream; name=\"a.txt\"\n\
                 Content-Transfer-Encoding: base64\n\n";
        text += &base64(attachment, 76);
    }
    (text + "--=_b--\n").into_bytes()
}

fn mail(attachment: &[u8]) -> Vec<u8> {
    mail_from("a@a.example", &[attachment])
}

/// A mail in so many fragments, as RFC 2046 section 5.2.2 cuts it; all say how many they are, or
/// only the last.
fn fragments(id: &str, mail: &[u8], count: usize, all_say: bool) -> Vec<Vec<u8>> {
    let lines: Vec<&[u8]> = mail.split_inclusive(|byte| *byte == b'\n').collect();
    let chunks: Vec<&[&[u8]]> = lines.chunks(lines.len().div_ceil(count)).collect();
    let fragment = |(at, lines): (usize, &&[&[u8]])| {
        let number = at + 1;
        let total = match all_say || number == chunks.len() {
            true => format!("; total={}", chunks.len()),
            false => String::new(),
        };
        let head = format!(
            "From: a@a.example\nTo: b@b.example\nSubject: our files ({number})\nMIME-Version: 1.0\n\
             Content-Type: message/partial; id=\"{id}\";\n number={number}{total}\n\n"
        );
        [head.into_bytes(), lines.concat()].concat()
    };
    chunks.iter().enumerate().map(fragment).collect()
}

// ---- shell archives, in the shapes that sharutils writes

/// How a shell archive is written.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// The lines are those of 4.15, or of the 1990s.
    modern: bool,
    /// `-F`: a prefix before every line.
    forced: bool,
    /// `-z`: packed once more.
    packed: bool,
    /// No pipes, as `mailshar` asks for.
    unpiped: bool,
    /// Lines of uuencode in each part; 0: one part.
    lines: usize,
}

const MODERN: Shape =
    Shape { modern: true, forced: false, packed: false, unpiped: false, lines: 0 };
/// What `mailshar` asks for.
const MAILED: Shape = Shape { forced: true, unpiped: true, ..MODERN };

fn shar(package: &[u8], shape: Shape) -> Vec<String> {
    let Shape { modern, forced, packed, unpiped, lines } = shape;
    let (name, lock) = (".remsync.tar.gz", if modern { "_sh19394" } else { "_sh00123" });
    let encoded = match packed {
        true => as_shar_does(&format!("{lock}/gzi"), &gzip(package)),
        false => as_shar_does(name, package),
    };
    let all: Vec<&str> = encoded.split_inclusive('\n').collect();
    let chunks: Vec<&[&str]> = all.chunks(if lines == 0 { all.len() } else { lines }).collect();
    let (last, folder) = (chunks.len(), if modern { "${lock_dir}" } else { lock });
    let mut parts = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let number = at + 1;
        let mut part =
            String::from("---- Cut Here and feed the following to sh ----\n\n#!/bin/sh\n");
        if number == 1 {
            part += "# This is a shell archive (produced by GNU sharutils).\n# To extract the files from \
                     this archive, save it to some FILE, remove\n# everything before the '#!/bin/sh' \
                     line above, then type 'sh FILE'.\n#\n";
            if last > 1 {
                part += "# This is part 1 of a multipart archive.\n\n# Do not concatenate these parts, \
                         unpack them in order with '/bin/sh'.\n";
            }
        } else if modern {
            part += &format!(
                "# This is 'part.{number:02}' (part {number} of a multipart archive).\n# Do not \
                 concatenate these parts, unpack them in order with '/bin/sh'.\n# File '{name}' is \
                 being continued...\n#\n"
            );
        } else {
            part += &format!(
                "# This is part {number:02} of a multipart archive\n# Do not concatenate these parts, \
                 unpack them in order with /bin/sh\n# file {name} continued\n#\n"
            );
        }
        part += &match modern {
            true => format!("lock_dir={lock}\nMD5SUM=${{MD5SUM-md5sum}}\n"),
            false if number == 1 => {
                format!("if mkdir {lock}; then\n  $echo 'x -' 'creating lock directory'\nfi\n")
            }
            false => format!(
                "if test ! -r {lock}/seq; then\n  echo 'Please unpack part 1 first!'\n  exit 1\nfi\n"
            ),
        };
        if number == 1 {
            part += &format!("# ============= {name} ==============\nif test -f '{name}'\nthen\n");
        }
        let to = match (unpiped || last > 1, number) {
            (false, _) => "| uudecode &&".to_owned(),
            (true, 1) => format!("> {folder}/uue &&"),
            (true, _) => format!(">> {folder}/uue &&"),
        };
        part += &format!("  sed 's/^X//' << 'SHAR_EOF' {to}\n");
        for line in *chunk {
            part += &if forced { format!("X{line}") } else { (*line).to_owned() };
        }
        part += "SHAR_EOF\n :\nif test $? -ne 0\nthen ${echo} \"restore failed\"\nfi\n";
        if number < last {
            part += &format!(
                "${{echo}} End of archive part {number}\n: > {folder}/continued\necho {} > {folder}/seq\n",
                number + 1
            );
        } else {
            part += &format!(
                "uudecode {folder}/uue &&\n  then (\n       ${{MD5SUM}} -c >/dev/null 2>&1\n       ) << \
                 \\SHAR_EOF\n8fa77cc4f545d0b77768c6e14e264d5c  {name}\nSHAR_EOF\n"
            );
        }
        parts.push(part + "exit 0\n");
    }
    parts
}

/// The mails that `mail-files` made of them.
fn shar_mails(from: &str, parts: &[String]) -> Vec<Vec<u8>> {
    let mail = |(at, part): (usize, &String)| {
        let count = match parts.len() {
            1 => String::new(),
            n => format!(" ({}/{n})", at + 1),
        };
        format!("From: {from}\nTo: b@b.example\nSubject: shar{count}: .remsync.tar.gz\n\n{part}")
            .into_bytes()
    };
    parts.iter().enumerate().map(mail).collect()
}

// ---- where it arrives

/// A home that knows a, or nobody.
struct Site {
    _world: World,
    home: Home,
}

impl Site {
    fn knowing_a() -> Site {
        let world = World::new();
        let (a, b) = (world.home("a"), world.home("b"));
        b.init(&[&a]).done();
        Site { _world: world, home: b }
    }

    fn of_strangers() -> Site {
        let world = World::new();
        let home = world.home("b");
        Site { _world: world, home }
    }

    fn queue(&self) -> PathBuf {
        self.home.top.join(".local/state/remsync/queue")
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.home.command(DELIVER);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Delivers a mail; returns the exit status. Nothing may be said.
    fn deliver_with(&self, arguments: &[&str], mail: &[u8]) -> i32 {
        let mut child = self.spawn(arguments);
        child.stdin.take().unwrap().write_all(mail).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}\n{}", self.log());
        out.status.code().unwrap_or(-1)
    }

    fn deliver(&self, mail: &[u8]) {
        assert_eq!(self.deliver_with(&[], mail), 0, "{}", self.log());
    }

    fn log(&self) -> String {
        let state = self.queue();
        fs::read_to_string(state.with_file_name("deliver.log")).unwrap_or_default()
    }

    /// State and reason of each entry and set, as `queue list` has them.
    fn states(&self) -> Vec<(String, String)> {
        let (entries, status) = self.home.json(&["queue", "list"]);
        assert_eq!(status, 0);
        let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| (text(entry, "state"), text(entry, "reason"))).collect()
    }

    /// Holds that there is one entry, this package, and no part any more.
    fn holds_only(&self, package: &[u8]) {
        assert_eq!(self.states(), [("new".to_owned(), String::new())], "{}", self.log());
        let new: Vec<_> = fs::read_dir(self.queue().join("new")).unwrap().collect();
        assert_eq!(new.len(), 1);
        let bytes = fs::read(new[0].as_ref().unwrap().path()).unwrap();
        assert!(bytes == package, "{} bytes of {}", bytes.len(), package.len());
    }

    /// Files of parts on the disk.
    fn part_files(&self) -> usize {
        let Ok(sets) = fs::read_dir(self.queue().join("parts")) else { return 0 };
        let folders = sets.map(|set| set.unwrap().path()).filter(|path| path.is_dir());
        let is_part = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            ["volume.", "piece.", "fragment."].iter().any(|kind| name.starts_with(kind))
        };
        folders
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .filter(|file| is_part(&file.as_ref().unwrap().path()))
            .count()
    }
}

fn waiting(reason: &str) -> (String, String) {
    ("waiting".to_owned(), reason.to_owned())
}

// ---- volumes

#[test]
fn volumes_come_in_any_order_and_doubled() {
    let package = package(100_000);
    let volumes = volumes(&package, 3);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let site = Site::knowing_a();
        for (step, at) in order.iter().enumerate() {
            site.deliver(&mail(&volumes[*at]));
            if step == 1 {
                let missing = order[2] + 1;
                assert_eq!(site.states(), [waiting(&format!("2 of 3 parts, waits for {missing}"))]);
            }
            if step < 2 {
                site.deliver(&mail(&volumes[*at]));
                assert_eq!(site.part_files(), step + 1, "{order:?}");
            }
        }
        site.holds_only(&package);
        // Late ones begin nothing new.
        site.deliver(&mail(&volumes[0]));
        site.holds_only(&package);
        assert_eq!(site.part_files(), 0);
    }
}

#[test]
fn what_came_in_volumes_is_processed_like_any_other() {
    let world = World::new();
    let (a, b) = world.pair();
    let content = noise(5, 200_000);
    a.write("large", &content);
    a.run(&["broadcast"]).done();
    let sent = fs::read(&b.mails()[0]).unwrap();
    let sent = mail_parser::MessageParser::new().parse(&sent).unwrap();
    let package = sent.attachment(0).unwrap().contents();
    let site = Site { _world: world, home: b };
    let volumes = volumes(package, 4);
    for volume in &volumes[1..] {
        site.deliver(&mail(volume));
        // A set is no entry: there is nothing to process.
        site.home.run(&["process", "--batch"]).done();
        assert_eq!(site.home.read("large"), None);
    }
    site.deliver(&mail(&volumes[0]));
    site.home.run(&["process", "--batch"]).done();
    assert!(site.home.read("large").unwrap() == content);
    site.deliver(&mail(&volumes[2]));
    assert_eq!(site.part_files(), 0, "it was taken in before");
}

#[test]
fn volumes_are_joined_by_hand_as_the_manual_says() {
    let manual = include_str!("../man/remsync-package.5");
    let line = manual.lines().find(|line| line.contains("tail -n +7")).unwrap();
    let command = line.trim_start_matches("$ ");
    let dir = tempfile::tempdir().unwrap();
    let package = package(30_000);
    let volumes = volumes(&package, 12);
    for (at, volume) in volumes.iter().enumerate() {
        fs::write(dir.path().join(format!("remsync.tar.gz.{:02}of12", at + 1)), volume).unwrap();
    }
    let ran = Command::new("sh").args(["-c", command]).current_dir(dir.path()).status().unwrap();
    assert!(ran.success());
    assert!(fs::read(dir.path().join("remsync.tar.gz")).unwrap() == package);
    assert!(String::from_utf8_lossy(&volumes[0]).contains(&sha256(&package)));
}

#[test]
fn a_damaged_volume_is_refused_and_mended() {
    let package = package(50_000);
    let volumes = volumes(&package, 3);
    let flipped = {
        let mut bytes = volumes[1].clone();
        let at = bytes.len() - 10;
        bytes[at] ^= 1;
        bytes
    };
    let cut = &volumes[1][..volumes[1].len() - 1];
    for (damaged, why) in
        [(&flipped[..], "volume 2 of 3 is damaged"), (cut, "volume 2 of 3 is cut short")]
    {
        let site = Site::knowing_a();
        site.deliver(&mail(&volumes[0]));
        assert_eq!(site.deliver_with(&["--if-package"], &mail(damaged)), 0);
        site.deliver(&mail(&volumes[2]));
        let states = site.states();
        assert_eq!(states[1], waiting("2 of 3 parts, waits for 2"));
        assert!(states[0].0 == "refused" && states[0].1.starts_with(why), "{states:?}");
        site.deliver(&mail(&volumes[1]));
        let states = site.states();
        assert_eq!((states.len(), states[1].0.as_str()), (2, "new"), "{states:?}");
    }
    // What a mail system hung on behind does no harm.
    let site = Site::knowing_a();
    let longer = [&volumes[1][..], b"\n-- \nA footer\n"].concat();
    for volume in [&volumes[0], &longer, &volumes[2]] {
        site.deliver(&mail(volume));
    }
    site.holds_only(&package);
}

#[test]
fn a_volume_that_lies_spoils_nothing_for_good() {
    let package = package(50_000);
    let volumes = volumes(&package, 2);
    let site = Site::knowing_a();
    let place = Place { number: 2, count: 2, offset: 25_000, length_bytes: 10 };
    let half = package.len().div_ceil(2);
    let length = package.len() - half;
    let place = Place { offset: half as u64, length_bytes: length as u64, ..place };
    // Sound by itself, and not of this package.
    site.deliver(&mail(&volume_of(&package, place, &vec![0; length])));
    site.deliver(&mail(&volumes[0]));
    let states = site.states();
    assert_eq!((states.len(), states[0].0.as_str()), (1, "waiting"), "{states:?}");
    assert!(states[0].1.contains("their digest is not"), "{states:?}");
    site.deliver(&mail(&volumes[1]));
    site.holds_only(&package);
}

#[test]
fn two_sets_and_a_new_cut_keep_apart() {
    let (one, two) = (package(30_000), package(40_000));
    let (of_one, of_two) = (volumes(&one, 2), volumes(&two, 2));
    let site = Site::knowing_a();
    site.deliver(&mail_from("a@a.example", &[&of_one[0], &of_two[1]]));
    assert_eq!(site.states().len(), 2);
    // The rest of one is cut anew: what counts is the place of the bytes.
    for volume in &volumes(&one, 5)[1..] {
        site.deliver(&mail(volume));
    }
    site.deliver(&mail(&of_two[0]));
    let states = site.states();
    assert_eq!(states.len(), 2, "{states:?}");
    assert!(states.iter().all(|(state, _)| state == "new"), "{states:?}");
    assert_eq!(site.part_files(), 0);
}

#[test]
fn signatures_wait_with_the_volumes() {
    let package = package(1_000);
    let volumes = volumes(&package, 2);
    let signature = b"-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n";
    let site = Site::knowing_a();
    site.deliver(&mail_from("a@a.example", &[&volumes[0], signature]));
    site.deliver(&mail(&volumes[1]));
    let (entries, _) = site.home.json(&["queue", "list"]);
    assert_eq!(entries[0]["signatures"], 1, "{entries}");
}

#[test]
fn a_set_is_shown_and_dropped() {
    let site = Site::knowing_a();
    let package = package(1_000);
    site.deliver(&mail(&volumes(&package, 3)[1]));
    let (entries, _) = site.home.json(&["queue", "list"]);
    let entry = &entries[0];
    assert_eq!(entry["sha256"], sha256(&package));
    assert_eq!(entry["origin"], "a@a.example");
    assert_eq!(entry["message_id"], "1@x");
    let id = entry["id"].as_str().unwrap();
    assert_eq!(site.home.json(&["queue", "show", id]).0, *entry);
    let shown = site.home.run(&["queue", "show", id]).done();
    assert!(shown.contains("state       waiting"), "{shown}");
    let listed = site.home.run(&["queue"]).done();
    assert!(listed.contains("waiting  from a@a.example: 1 of 3 parts, waits for 1, 3"), "{listed}");
    let retried = site.home.run(&["queue", "retry", id]);
    assert!(retried.stderr().contains("waits for 1, 3"), "{}", retried.story());
    assert_eq!(retried.status(), 2);
    let processed = site.home.run(&["process", id]);
    assert!(processed.stderr().contains("waits for 1, 3"), "{}", processed.story());
    site.home.run(&["queue", "drop", id]).done();
    assert_eq!((site.states().len(), site.part_files()), (0, 0));
}

#[test]
fn volumes_come_as_files_too() {
    let world = World::new();
    let (a, b) = world.pair();
    let content = noise(6, 100_000);
    a.write("large", &content);
    a.run(&["broadcast", "--to", "."]).done();
    let of_tree = |name: &std::ffi::OsString| name.to_str().unwrap().ends_with(".tar.gz");
    let name = a.files().into_keys().find(of_tree).unwrap();
    let volumes = volumes(&a.read(name.to_str().unwrap()).unwrap(), 3);
    let site = Site { _world: world, home: b };
    let stick = site.home.top.join("remsync.tar.gz.1of3");
    fs::write(&stick, &volumes[0]).unwrap();
    let ran = site.home.run(&["process", stick.to_str().unwrap()]);
    assert!(ran.stderr().contains("1 of 3 parts, waits for 2, 3"), "{}", ran.story());
    assert_eq!(ran.status(), 1);
    // One that is still being written is left for later; one that is damaged is refused.
    let dropped = site.queue().join("new/remsync.tar.gz.2of3");
    fs::write(&dropped, &volumes[1][..1_000]).unwrap();
    assert_eq!(site.states().last(), Some(&waiting("1 of 3 parts, waits for 2, 3")));
    fs::write(&dropped, &volumes[1]).unwrap();
    assert_eq!(site.states().last(), Some(&waiting("2 of 3 parts, waits for 3")));
    assert!(!dropped.exists());
    let mut damaged = volumes[2].clone();
    damaged[1_000] ^= 1;
    fs::write(&stick, &damaged).unwrap();
    let ran = site.home.run(&["process", stick.to_str().unwrap()]);
    assert!(ran.stderr().contains("refused: volume 3 of 3 is damaged"), "{}", ran.story());
    assert_eq!(ran.status(), 2);
    fs::write(&stick, &volumes[2]).unwrap();
    site.home.run(&["process", stick.to_str().unwrap()]).done();
    assert!(site.home.read("large").unwrap() == content);
}

#[test]
fn a_returned_volume_is_none_that_comes() {
    let site = Site::knowing_a();
    let volume = mail(&volumes(&package(1_000), 2)[0]);
    let report = format!(
        "From: mailer-daemon@x\nContent-Type: multipart/report; boundary=r\n\n--r\n\
         Content-Type: message/rfc822\n\n{}\n--r--\n",
        String::from_utf8(volume).unwrap()
    );
    assert_eq!(site.deliver_with(&["--if-package"], report.as_bytes()), 1);
    assert_eq!(site.states().len(), 0);
}

#[test]
fn twenty_deliveries_at_once_make_one_entry() {
    let package = package(400_000);
    let volumes = volumes(&package, 10);
    let site = Site::knowing_a();
    let children: Vec<Child> = (0..20)
        .map(|n| {
            let mut child = site.spawn(&[]);
            let (mut stdin, mail) = (child.stdin.take().unwrap(), mail(&volumes[n % 10]));
            thread::spawn(move || stdin.write_all(&mail));
            child
        })
        .collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{out:?}\n{}", site.log());
    }
    site.holds_only(&package);
    assert_eq!(site.part_files(), 0);
}

#[test]
fn killed_at_any_time_it_comes_to_the_same() {
    let package = package(300_000);
    let mails: Vec<Vec<u8>> = volumes(&package, 3).iter().map(|volume| mail(volume)).collect();
    let mut pieces = shar_mails("a@a.example", &shar(&package, Shape { lines: 2_500, ..MAILED }));
    let fragments = fragments("<1@a>", &mail_from("a@a.example", &[&package]), 3, true);
    let mut killed = 0;
    for round in 0..50_u64 {
        let site = Site::knowing_a();
        let mails = match round % 5 {
            4 => &mut pieces,
            3 => &mut fragments.clone(),
            _ => &mut mails.clone(),
        };
        let wait = noise(round, mails.len());
        for (mail, wait) in mails.iter().zip(&wait) {
            let mut child = site.spawn(&[]);
            let (mut stdin, mail) = (child.stdin.take().unwrap(), mail.clone());
            let writer = thread::spawn(move || stdin.write_all(&mail));
            thread::sleep(Duration::from_micros(u64::from(*wait) * 150));
            child.kill().unwrap();
            killed += usize::from(child.wait().unwrap().code().is_none());
            let _ = writer.join().unwrap();
        }
        // As mail systems do: again, until it is taken.
        mails.iter().for_each(|mail| site.deliver(mail));
        site.holds_only(&package);
        assert_eq!(site.part_files(), 0, "round {round}");
    }
    assert!(killed > 30, "{killed} were killed: the times are wrong for this machine");
}

#[test]
fn a_crash_after_the_last_part_is_made_good_by_a_listing() {
    let package = package(10_000);
    let volumes = volumes(&package, 2);
    let site = Site::knowing_a();
    site.deliver(&mail(&volumes[0]));
    // As a delivery leaves it that was killed before it joined them.
    let set = site.queue().join("parts").join(sha256(&package));
    let digest = &sha256(&volumes[1])[..16];
    let (half, total) = (package.len().div_ceil(2), package.len());
    let name = format!("volume.{half}.{}.{total}.2.2.{digest}", total - half);
    fs::write(set.join(name), &volumes[1]).unwrap();
    site.holds_only(&package);
    assert_eq!(site.part_files(), 0);
}

// ---- fragments

#[test]
fn a_mail_in_fragments_is_joined_from_any_order() {
    let package = package(30_000);
    // What mail systems that split take from the first mail stands outside: nothing but this is inside.
    let text = mail(&package);
    let inside = text.split(|byte| *byte == b'\n').skip(2).collect::<Vec<_>>().join(&b'\n');
    for (order, all_say) in [([0, 1, 2], true), ([2, 1, 0], false), ([1, 2, 0], false)] {
        let site = Site::knowing_a();
        let fragments = fragments("<1@a>", &inside, 3, all_say);
        for (step, at) in order.iter().enumerate() {
            // None but the mail that is joined says that it is ours.
            let status = if step < 2 { 1 } else { 0 };
            assert_eq!(site.deliver_with(&["--if-package"], &fragments[*at]), status, "{order:?}");
            if step == 1 && (all_say || order[..2].contains(&2)) {
                let missing = order[2] + 1;
                assert_eq!(site.states(), [waiting(&format!("2 of 3 parts, waits for {missing}"))]);
            }
            if step < 2 {
                site.deliver(&fragments[*at]);
                assert_eq!(site.part_files(), step + 1, "{order:?}");
            }
        }
        site.holds_only(&package);
        let entry = site.home.json(&["queue", "list"]).0[0].clone();
        assert_eq!(entry["from"], "a@a.example", "of the first fragment");
        // Late ones begin nothing new.
        site.deliver(&fragments[0]);
        site.holds_only(&package);
        assert_eq!(site.part_files(), 0);
    }
}

#[test]
fn fragments_of_several_mails_keep_apart_and_what_is_in_them_is_read_as_ever() {
    let (one, two) = (package(3_000), package(4_000));
    let volumes = volumes(&two, 2);
    let site = Site::knowing_a();
    let ours = fragments("<1@a>", &mail_from("a@a.example", &[&one, &volumes[0]]), 2, true);
    let others = fragments("<2@a>", &mail_from("a@a.example", &[b"no package of ours"]), 2, true);
    let within = fragments("<4@a>", &fragments("<3@a>", &mail(&volumes[1]), 2, true)[1], 2, true);
    site.deliver(&fragments("<3@a>", &mail(&volumes[1]), 2, true)[0]);
    for mails in [&ours, &others, &within] {
        site.deliver(&mails[0]);
    }
    assert_eq!(site.part_files(), 4);
    site.deliver(&others[1]);
    assert_eq!(site.part_files(), 3, "{}", site.log());
    site.deliver(&ours[1]);
    assert_eq!(site.part_files(), 3, "its fragment went, its volume came: {}", site.log());
    // Fragments of a fragment of a mail with the other volume.
    site.deliver(&within[1]);
    assert_eq!(site.part_files(), 0, "{}", site.log());
    let states: Vec<String> = site.states().into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["new", "new"]);
}

#[test]
fn fragments_that_cannot_be_joined_are_refused_or_left() {
    let text = mail(&package(3_000));
    let lone = |fields: &str, subject: &str| {
        let head = format!(
            "From: a@a.example\nSubject: {subject}\nMIME-Version: 1.0\n\
             Content-Type: message/partial; {fields}\n\n"
        );
        [head.as_bytes(), &text].concat()
    };
    for (fields, subject, parts, entries) in [
        ("id=x; number=1; total=2", "x", 1, 1),
        ("id=x; number=10000; total=10000", "x", 1, 1),
        // Too many, or numbers that cannot be.
        ("id=x; number=10001; total=10001", "x", 0, 0),
        ("id=x; number=3; total=2", "x", 0, 0),
        ("id=x; number=1; total=10001", "x", 0, 0),
        // It does not say of what.
        ("number=1; total=2", "[remsync] x", 0, 1),
        ("id=x; total=2", "[remsync] x", 0, 1),
    ] {
        let site = Site::of_strangers();
        site.deliver(&lone(fields, subject));
        assert_eq!(site.part_files(), parts, "{fields}: {}", site.log());
        assert_eq!(site.states().len(), entries, "{fields}: {}", site.log());
    }
}

// ---- shell archives

#[test]
fn shell_archives_of_many_shapes_are_read() {
    let package = package(20_000);
    for modern in [true, false] {
        for forced in [true, false] {
            for packed in [true, false] {
                for (unpiped, lines) in
                    [(false, 0), (true, 0), (true, 1_000), (true, 100), (true, 1)]
                {
                    // A part for each line takes a while: once is enough.
                    if lines == 1 && !(modern && forced && packed) {
                        continue;
                    }
                    let package = if lines == 1 { &package_of_one_line() } else { &package };
                    let shape = Shape { modern, forced, packed, unpiped, lines };
                    let site = Site::knowing_a();
                    let mails = shar_mails("a@a.example", &shar(package, shape));
                    for mail in mails.iter().rev() {
                        let status = site.deliver_with(&["--if-package"], mail);
                        assert_eq!(status, 0, "{shape:?}");
                    }
                    site.holds_only(package);
                    // And once more, for mail comes twice.
                    mails.iter().for_each(|mail| site.deliver(mail));
                    site.holds_only(package);
                    assert_eq!(site.part_files(), 0, "{shape:?}");
                }
            }
        }
    }
}

/// Some ten lines of uuencode.
fn package_of_one_line() -> Vec<u8> {
    package(1)
}

#[test]
fn parts_of_shell_archives_wait_and_are_counted() {
    let package = package(20_000);
    let parts = shar(&package, Shape { lines: 200, ..MAILED });
    assert_eq!(parts.len(), 3);
    let mails = shar_mails("a@a.example", &parts);
    let site = Site::knowing_a();
    site.deliver(&mails[1]);
    assert_eq!(site.states(), [waiting("1 of 3 parts, waits for 1, 3")]);
    // Another archive of the same sender, and the same one from somebody else, are others.
    let other = shar_mails("a@a.example", &[parts[0].replace("_sh19394", "_sh7")]);
    site.deliver(&other[0]);
    site.deliver(&shar_mails("c@c.example", &parts)[0]);
    assert_eq!(site.states().len(), 3);
    // A damaged part, and the same once more as it was.
    let damaged = String::from_utf8(mails[0].clone()).unwrap().replacen("XM", "XN", 1);
    site.deliver(damaged.as_bytes());
    site.deliver(&mails[2]);
    let damaged = site.states().into_iter().find(|(_, reason)| reason.starts_with("all 3 parts"));
    assert!(damaged.as_ref().unwrap().1.contains("damaged"), "{damaged:?}");
    site.deliver(&mails[0]);
    assert_eq!(site.states().iter().filter(|(state, _)| state == "new").count(), 1);
}

#[test]
fn shell_archives_of_others_are_left_alone() {
    let site = Site::knowing_a();
    let shape = Shape { lines: 100, ..MAILED };
    let photos = archive(&[raw("holidays/beach.jpg", &noise(9, 20_000))]);
    let named = |parts: Vec<String>| -> Vec<String> {
        parts.iter().map(|part| part.replace(".remsync.tar.gz", "photos.tgz")).collect()
    };
    for bytes in [&photos[..], &noise(3, 20_000)] {
        for mail in shar_mails("a@a.example", &named(shar(bytes, shape))) {
            let mail = String::from_utf8(mail).unwrap().replace(".remsync.tar.gz", "photos");
            assert_eq!(site.deliver_with(&["--if-package"], mail.as_bytes()), 1, "{}", site.log());
        }
        // Only the pieces of what does not begin as a package are kept, in the hope of it.
        for (state, _) in site.states() {
            assert_eq!(state, "waiting");
        }
    }
    assert_eq!(fs::read_dir(site.queue().join("new")).unwrap().count(), 0);
}

#[test]
fn what_sharutils_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let package = package(100_000);
    fs::write(dir.path().join(".remsync.tar.gz"), &package).unwrap();
    for options in [
        &["-B"][..],
        &["-M"],
        &["-z"],
        &["-V", "-B"],
        &["-B", "-d", "ENDE"],
        &["-P", "-M", "-c", "-F", "-L", "60"],
        &["-P", "-z", "-c", "-F", "-L", "30"],
        &["-P", "-B", "-L", "30", "-a", "-n", "remsync"],
    ] {
        let parts = sharutils(dir.path(), options);
        let site = Site::knowing_a();
        for mail in shar_mails("a@a.example", &parts).iter().rev() {
            site.deliver(mail);
        }
        site.holds_only(&package);
    }
}

#[test]
fn what_sharutils_packed_in_other_ways_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join(".remsync.tar.gz");
    for packer in ["bzip2", "xz"] {
        for (pieces, state) in [(&[][..], "refused"), (&["-L", "30"], "waiting")] {
            fs::write(&name, package(100_000)).unwrap();
            let options = [&["-C", packer][..], pieces].concat();
            let site = Site::knowing_a();
            for mail in shar_mails("a@a.example", &sharutils(dir.path(), &options)) {
                site.deliver(&mail);
            }
            let states = site.states();
            assert_eq!(states.len(), 1, "{options:?}");
            assert_eq!(states[0].0, state, "{options:?}");
            let reason = format!("another kind ({packer})");
            assert!(states[0].1.contains(&reason), "{options:?}: {}", states[0].1);
        }
    }
    // What does not say that it is a package is other people's.
    fs::rename(&name, dir.path().join("photos")).unwrap();
    let site = Site::knowing_a();
    for part in sharutils_of(dir.path(), "photos", &["-C", "xz"]) {
        let mail = format!("From: a@a.example\nSubject: photos\n\n{part}");
        assert_eq!(site.deliver_with(&["--if-package"], mail.as_bytes()), 1, "{}", site.log());
    }
    assert_eq!(site.states(), []);
}

/// The parts of an archive of the package in this folder, by the real program.
fn sharutils(dir: &Path, options: &[&str]) -> Vec<String> {
    let parts = sharutils_of(dir, ".remsync.tar.gz", options);
    assert_eq!(parts.len() > 1, options.contains(&"-L"), "{options:?}");
    parts
}

fn sharutils_of(dir: &Path, name: &str, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("shar");
    command.current_dir(dir).arg("-q").args(options).args(["-o", "part", name]);
    let made = command.output().expect("sharutils");
    assert!(made.status.success(), "{made:?}");
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem == "part"))
        .collect();
    files.sort();
    let parts = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    parts
}

// ---- strangers

#[test]
fn strangers_share_a_small_room() {
    let site = Site::of_strangers();
    let package = package_from("c@c.example", 1_000);
    let volumes = volumes(&package, 2);
    site.deliver(&mail_from("c@c.example", &[&volumes[0]]));
    assert_eq!(site.states(), [waiting("1 of 2 parts, waits for 2")]);
    let tally = fs::read_to_string(site.queue().join("parts/tally")).unwrap();
    assert!(tally.starts_with("tally 1 "), "{tally}");
    site.deliver(&mail_from("c@c.example", &[&volumes[1]]));
    site.holds_only(&package);
    let site = Site::knowing_a();
    site.deliver(&mail_from("somebody@c.example", &[&volumes[0]]));
    let tally = fs::read_to_string(site.queue().join("parts/tally")).unwrap();
    assert!(tally.starts_with("tally 0 0 0 0 1 "), "it says that it is from a: {tally}");
}
