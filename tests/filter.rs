//! The filter as mail systems run it: the real program, real shapes of mail, its exit status.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use remsync::edge::queue::{EntryState, Queue};
use remsync::format::package::{Level, Writer};
use support::archive::{self, noise, orders_head, raw, sha256, update};
use support::coding::{base64, quoted_printable, uuencode};

/// A place of its own for one test: home, queue, and nothing in the environment.
struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Ground {
        Ground { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn queue_dir(&self) -> PathBuf {
        self.path("queue")
    }

    fn queue(&self) -> Queue {
        Queue::open(&self.queue_dir()).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remsync-deliver"));
        command.env_clear().env("HOME", self.dir.path()).current_dir("/");
        command.env("REMSYNC_QUEUE", self.queue_dir()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn deliver_with(&self, arguments: &[&str], mail: &[u8]) -> Output {
        feed(self.command(arguments).spawn().unwrap(), mail)
    }

    /// Delivers a mail, which has to be answered with `status` and in silence.
    fn deliver(&self, mail: &[u8], status: i32) {
        let out = self.deliver_with(&["--if-package"], mail);
        let head = String::from_utf8_lossy(&mail[..mail.len().min(600)]).into_owned();
        assert_eq!(out.status.code(), Some(status), "{out:?}\n{head}\n{}", self.log());
        assert_silent(&out);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.queue_dir().join("deliver.log")).unwrap_or_default()
    }

    /// Digests of what waits, as the bytes in `new/` give them.
    fn waiting(&self) -> Vec<String> {
        let mut digests: Vec<String> = fs::read_dir(self.queue_dir().join("new"))
            .unwrap()
            .map(|name| sha256(&fs::read(name.unwrap().path()).unwrap()))
            .collect();
        digests.sort();
        digests
    }

    fn states(&self) -> Vec<(EntryState, String)> {
        let entries = self.queue().list().unwrap();
        entries.into_iter().map(|entry| (entry.state, entry.reason)).collect()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.queue_dir().join("tmp")).unwrap().count()
    }
}

fn feed(mut child: Child, mail: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    let mail = mail.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&mail));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().expect("the filter reads its input to the end");
    out
}

fn assert_silent(out: &Output) {
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
}

fn assert_trouble(out: &Output, word: &str) {
    let line = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    assert!(out.stdout.is_empty(), "{out:?}");
    assert!(line.starts_with("remsync-deliver: ") && line.contains(word), "{line}");
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
}

fn orders(title: &str, content: &[u8]) -> String {
    let head = orders_head(title, "ann@a.example ~/a", "bob@b.example ~/b", 1_700_000_000_001);
    head + &update("file", content, 1)
}

/// A sound package; another title is another package.
fn package(title: &str) -> Vec<u8> {
    package_of(title, &noise(title.len() as u64, 700))
}

fn package_of(title: &str, content: &[u8]) -> Vec<u8> {
    write_package(&orders(title, content), content)
}

fn write_package(orders: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Level::Stored);
    writer.orders(orders.as_bytes(), 1_700_000_000).unwrap();
    writer.member(1, content.len() as u64, false, 1_700_000_000, 0, &mut &content[..]).unwrap();
    writer.finish().unwrap()
}

/// An archive of other people, made with the same tools.
fn other_archive(len: usize) -> Vec<u8> {
    archive::package(&[raw("holidays/beach.jpg", &noise(9, len))])
}

const HEAD: &str = "From: Ann <ann@a.example>\nTo: bob@b.example\nSubject: [remsync] T\n\
                    Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <1@a.example>\nMIME-Version: 1.0\n";

/// A mail of two parts, the second as `fields` say.
fn attached(boundary: &str, fields: &str, body: &str) -> String {
    format!(
        "{HEAD}Content-Type: multipart/mixed;\n\tboundary=\"{boundary}\"\n\n\
         This is a multi-part message in MIME format.\n\n--{boundary}\n\
         Content-Type: text/plain; charset=utf-8\n\nA package of remsync.\n\n--{boundary}\n\
         {fields}\n\n{body}\n--{boundary}--\n"
    )
}

const BASE64: &str = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64";

/// Mails that hold `package`, in the shapes of many senders.
fn shapes(package: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let body = base64(package, 76);
    let mixed = |fields: &str| attached("=_b1", fields, &body);
    let unpadded = body.replace('=', "");
    let nested = attached("in", BASE64, &body);
    let cte =
        |value: &str| format!("Content-Type: application/gzip\nContent-Transfer-Encoding: {value}");
    let mut binary =
        attached("bin", "Content-Type: application/gzip\nContent-Transfer-Encoding: binary", "@@")
            .into_bytes();
    let at = binary.windows(2).position(|w| w == b"@@").unwrap();
    binary.splice(at..at + 2, package.iter().copied());
    let texts = vec![
        (
            "remsync",
            mixed(
                "Content-Type: application/gzip; name=\"remsync.tar.gz\"\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
            ),
        ),
        (
            "mutt",
            attached(
                "ikeVEW9yuYc//A+q",
                "Content-Type: application/gzip\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
                &body,
            ),
        ),
        (
            "thunderbird",
            attached(
                "------------0a1B2c3D4e5F",
                "Content-Type: application/x-gzip; name=\".remsync.tar.gz\"\nContent-Disposition: attachment; filename*0=\".remsync.\";\n filename*1=\"tar.gz\"\nContent-Transfer-Encoding: base64",
                &body,
            ),
        ),
        (
            "outlook",
            attached(
                "----=_NextPart_000_0007_01D0.ABC",
                "Content-Type: application/octet-stream;\n\tname=\"=?iso-8859-1?Q?=2Eremsync=2Etar=2Egz?=\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=\"remsync.tar.gz\"",
                &body,
            ),
        ),
        (
            "gmail",
            attached(
                "000000000000a1b2c305f1",
                "Content-Type: application/x-gzip; name=\".remsync.tar.gz\"\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-ID: <f_l1>\nX-Attachment-Id: f_l1",
                &body,
            ),
        ),
        (
            "apple",
            attached(
                "Apple-Mail=_7F-11",
                "Content-Disposition: inline;\n\tfilename=.remsync.tar.gz\nContent-Type: application/x-gzip;\n\tx-unix-mode=0644;\n\tname=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
                &body,
            ),
        ),
        ("single part", format!("{HEAD}{BASE64}\n\n{body}")),
        ("no MIME-Version", format!("From: a@x\n{BASE64}\n\n{body}")),
        (
            "text label",
            mixed("Content-Type: text/plain; name=x.txt\nContent-Transfer-Encoding: base64"),
        ),
        ("shouting", mixed("CONTENT-TYPE: APPLICATION/GZIP\nCONTENT-TRANSFER-ENCODING:\n\tBASE64")),
        ("cte blanks", mixed(&cte("base64  \t"))),
        ("cte comment", mixed(&cte("(b) base64 (as always)"))),
        ("cte quoted", mixed(&cte("\"base64\";"))),
        ("cte lost", mixed("Content-Type: application/gzip")),
        ("cte unknown", mixed(&cte("x-who-knows"))),
        (
            "name lies",
            mixed(
                "Content-Type: image/jpeg; name=\"../../etc/passwd\"\nContent-Transfer-Encoding: base64",
            ),
        ),
        ("ragged", attached("r", BASE64, &base64(package, 12).replace('\n', " \n"))),
        (
            "odd columns",
            attached(
                "r",
                BASE64,
                &body
                    .replace('\n', "")
                    .as_bytes()
                    .chunks(61)
                    .map(|l| String::from_utf8_lossy(l) + "\n")
                    .collect::<String>(),
            ),
        ),
        ("one line", attached("r", BASE64, &body.replace('\n', ""))),
        ("indented, blank lines", attached("r", BASE64, &body.replace('\n', "\n\n  "))),
        ("stray marks", attached("r", BASE64, &body.replace('\n', "\n*!"))),
        ("no padding", attached("r", BASE64, &unpadded)),
        (
            "padded chunks",
            attached("r", BASE64, &package.chunks(100).map(|c| base64(c, 76)).collect::<String>()),
        ),
        (
            "list footer in the part",
            attached("r", BASE64, &format!("{body}_______________\nThe list: unsubscribe here\n")),
        ),
        ("footer, no padding", attached("r", BASE64, &format!("{unpadded}\n-- \nlist footer\n"))),
        ("trailing zeros", attached("r", BASE64, &base64(&[package, &[0; 700]].concat(), 76))),
        ("trailing text", attached("r", BASE64, &base64(&[package, b"\r\nfooter"].concat(), 76))),
        ("no final boundary", mixed(BASE64).replace("\n--=_b1--\n", "\n")),
        ("truncated after the part", mixed(BASE64).replace("--=_b1--\n", "--=_")),
        ("text after the end", mixed(BASE64) + "\nepilogue\n--=_b1\nnot a part\n"),
        ("boundary missing", mixed(BASE64).replace(";\n\tboundary=\"=_b1\"", "")),
        (
            "boundary announced wrongly",
            mixed(BASE64).replace("boundary=\"=_b1\"", "boundary=\"other\""),
        ),
        ("boundary unquoted", mixed(BASE64).replace("\"=_b1\"", "=_b1")),
        (
            "boundary in pieces",
            mixed(BASE64).replace("boundary=\"=_b1\"", "boundary*0=\"=_\";\n\tboundary*1=b1"),
        ),
        ("boundary with blanks behind", mixed(BASE64).replace("--=_b1\n", "--=_b1 \t\n")),
        (
            "boundary's prefix in the text",
            mixed(BASE64).replace("A package", "--=_b\n--=_b12\nx --=_b1\nA package"),
        ),
        (
            "content type twice",
            mixed(BASE64)
                .replace("MIME-Version: 1.0\n", "MIME-Version: 1.0\nContent-Type: text/plain\n"),
        ),
        (
            "content type comment",
            mixed(BASE64).replace("multipart/mixed;", "multipart/mixed (a; \"b) ;"),
        ),
        (
            "alternative in mixed",
            attached(
                "o",
                "Content-Type: multipart/alternative; boundary=in",
                &nested[nested.find("--in").unwrap()..],
            ),
        ),
        (
            "nested, no inner end",
            attached(
                "o",
                "Content-Type: multipart/mixed; boundary=in",
                &nested[nested.find("--in").unwrap()..].replace("--in--", ""),
            ),
        ),
        ("forwarded", attached("o", "Content-Type: message/rfc822", &nested)),
        (
            "forwarded in base64",
            attached(
                "o",
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64",
                &base64(nested.as_bytes(), 76),
            ),
        ),
        ("forwarded twice in base64", {
            let once = attached(
                "p",
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64",
                &base64(nested.as_bytes(), 76),
            );
            attached(
                "o",
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64",
                &base64(once.as_bytes(), 76),
            )
        }),
        (
            "digest",
            attached(
                "o",
                "Content-Type: multipart/digest; boundary=d",
                &format!("--d\n\n{nested}\n--d--\n"),
            ),
        ),
        (
            "quoted-printable",
            attached(
                "q",
                "Content-Type: application/gzip\nContent-Transfer-Encoding: quoted-printable",
                &quoted_printable(package),
            ),
        ),
        (
            "x-uuencode",
            attached(
                "u",
                "Content-Type: application/octet-stream\nContent-Transfer-Encoding: x-uuencode",
                &uuencode("a.gz", package),
            ),
        ),
        (
            "uuencode in the body",
            format!(
                "From: a@x\n\nHello, here it is:\n\n{}\nBye\n",
                uuencode(".remsync.tar.gz", package)
            ),
        ),
        (
            "uuencode, blanks lost",
            format!(
                "From: a@x\n\n{}",
                uuencode("x", package)
                    .replace('`', " ")
                    .lines()
                    .map(|l| l.trim_end().to_owned() + "\n")
                    .collect::<String>()
            ),
        ),
        (
            "From line",
            format!("From ann@a.example Sat Nov 21 10:00:00 2026\n>From x y z\n{}", mixed(BASE64)),
        ),
        ("blank lines above", format!("\n\n{}", mixed(BASE64))),
        (
            "no blank line before the body",
            mixed(BASE64).replace("boundary=\"=_b1\"\n\n", "boundary=\"=_b1\"\n"),
        ),
        (
            "many Received",
            format!(
                "{}{}",
                "Received: from a by b; now\n\tand then\n".repeat(2_000),
                mixed(BASE64)
            ),
        ),
        ("large header", format!("X-Spam: {}\n{}", "y".repeat(300_000), mixed(BASE64))),
        ("auto-generated", format!("Auto-Submitted: auto-generated\n{}", mixed(BASE64))),
    ];
    let mut shapes: Vec<_> =
        texts.iter().map(|(name, text)| (*name, text.clone().into_bytes())).collect();
    shapes.push(("nul and 8-bit", [b"X-A: \0\xff\xe9\n", texts[0].1.as_bytes()].concat()));
    shapes.push(("binary", binary));
    shapes
}

fn crlf(mail: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(mail).replace('\n', "\r\n").into_bytes()
}

#[test]
fn every_shape_is_found() {
    let package = package("T");
    for (name, mail) in shapes(&package) {
        let is_text = std::str::from_utf8(&mail).is_ok();
        for mail in [Some(mail.clone()), is_text.then(|| crlf(&mail))].into_iter().flatten() {
            let ground = Ground::new();
            ground.deliver(&mail, 0);
            assert_eq!(ground.waiting(), [sha256(&package)], "{name}: {}", ground.log());
            assert_eq!(ground.leftovers(), 0, "{name}");
        }
    }
}

#[test]
fn mixed_line_ends() {
    let package = package("T");
    let mail = String::from_utf8(shapes(&package)[0].1.clone()).unwrap();
    let mixed: String = mail
        .lines()
        .enumerate()
        .map(|(n, line)| format!("{line}{}", ["\n", "\r\n", "\r\r\n"][n % 3]))
        .collect();
    let ground = Ground::new();
    ground.deliver(mixed.as_bytes(), 0);
    assert_eq!(ground.waiting(), [sha256(&package)]);
}

#[test]
fn a_queued_package_is_described() {
    let ground = Ground::new();
    ground.deliver(&shapes(&package("Été"))[0].1, 0);
    let entries = ground.queue().list().unwrap();
    let entry = &entries[0];
    assert_eq!((entry.title.as_str(), entry.origin.as_str()), ("Été", "ann@a.example"));
    assert_eq!((entry.visit.as_str(), entry.serial), ("bob@b.example", 1_700_000_000_001));
    assert_eq!((entry.from.as_str(), entry.message_id.as_str()), ("ann@a.example", "1@a.example"));
    assert_eq!(entry.id, sha256(&package("Été"))[..12]);
    assert_eq!(entry.state, EntryState::New);
    for (path, mode) in [("", 0o700), ("new", 0o700), ("meta", 0o700)] {
        assert_eq!(fs::metadata(ground.queue_dir().join(path)).unwrap().mode() & 0o777, mode);
    }
    assert_eq!(fs::metadata(entry.path.as_ref().unwrap()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn the_same_package_twice_is_one_entry() {
    let ground = Ground::new();
    let package = package("T");
    for (_, mail) in shapes(&package).into_iter().take(4) {
        ground.deliver(&mail, 0);
    }
    assert_eq!(ground.waiting(), [sha256(&package)]);
    let queue = ground.queue();
    queue.retire(&queue.list().unwrap()[0]).unwrap();
    ground.deliver(&shapes(&package)[0].1, 0);
    assert!(ground.waiting().is_empty());
    assert_eq!(ground.states(), [(EntryState::Done, String::new())]);
}

#[test]
fn two_packages_in_one_mail() {
    let ground = Ground::new();
    let (one, two) = (package("one"), package("second"));
    let mail = attached("m", BASE64, &base64(&one, 76));
    let mail =
        mail.replace("\n--m--\n", &format!("\n--m\n{BASE64}\n\n{}\n--m--\n", base64(&two, 76)));
    ground.deliver(mail.as_bytes(), 0);
    let mut both = [sha256(&one), sha256(&two)];
    both.sort();
    assert_eq!(ground.waiting(), both);
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    let package = package("T");
    let body = base64(&package, 76);
    let quoted: String = body.lines().map(|line| format!("> {line}\n")).collect();
    let mails = [
        ("empty", String::new()),
        ("no header", "hello\n".to_owned()),
        ("plain", format!("{HEAD}\nSee .remsync.tar.gz and begin 644 x\nbegin 644\n")),
        ("other archive", attached("m", BASE64, &base64(&other_archive(700), 76))),
        (
            "other archive, named as ours",
            attached(
                "m",
                &format!("{BASE64}\nContent-Disposition: attachment; filename=\".remsync.tar.gz\""),
                &base64(&other_archive(700), 76),
            ),
        ),
        ("large other archive", attached("m", BASE64, &base64(&other_archive(3 << 20), 76))),
        ("a gzip of no tar", attached("m", BASE64, "H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==\n")),
        ("quoted", format!("{HEAD}\nAnn wrote:\n{quoted}")),
        ("cut after the magic", attached("m", BASE64, "H4sI\n").replace("[remsync]", "")),
    ];
    for (name, mail) in mails {
        for mail in [mail.clone().into_bytes(), crlf(mail.as_bytes())] {
            let ground = Ground::new();
            ground.deliver(&mail, 1);
            assert!(ground.waiting().is_empty() && ground.states().is_empty(), "{name}");
            assert_eq!(ground.leftovers(), 0, "{name}");
            let out = ground.deliver_with(&[], &mail);
            assert_eq!(out.status.code(), Some(0), "{name}: {out:?}");
            assert_silent(&out);
        }
    }
}

#[test]
fn bounces_are_no_packages() {
    let ours = attached("in", BASE64, &base64(&package("T"), 76));
    let ours = format!("X-Remsync-Sha256: {}\n{ours}", sha256(&package("T")));
    let report = attached("r", "Content-Type: message/rfc822", &ours).replacen(
        "multipart/mixed",
        "multipart/report; report-type=delivery-status",
        1,
    );
    let mails = [
        ("report", report.clone()),
        (
            "null return path",
            format!("Return-Path: <>\n{}", attached("r", "Content-Type: message/rfc822", &ours)),
        ),
        (
            "failed recipients",
            format!(
                "X-Failed-Recipients: bob@b\n{}",
                attached("r", "Content-Type: message/rfc822", &ours)
            ),
        ),
        (
            "automatic reply",
            format!(
                "Auto-Submitted: auto-replied\n{}",
                attached("r", "Content-Type: message/rfc822", &ours)
            ),
        ),
        ("forwarded report", attached("f", "Content-Type: message/rfc822", &report)),
        (
            "report in base64",
            report
                .replace(&ours, &base64(ours.as_bytes(), 76))
                .replace("message/rfc822", "message/rfc822\nContent-Transfer-Encoding: base64"),
        ),
    ];
    for (name, mail) in mails {
        let ground = Ground::new();
        ground.deliver(mail.as_bytes(), 1);
        assert!(ground.waiting().is_empty() && ground.states().is_empty(), "{name}");
        assert!(ground.log().contains(&sha256(&package("T"))), "{name}: {}", ground.log());
    }
}

#[test]
fn what_is_not_sound_is_kept_as_refused() {
    let good = package("T");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let content = b"abc";
    let traversal = orders("T", content).replace("file", "../file");
    let wrong = orders("T", b"other");
    let cases = [
        ("flipped", flipped),
        ("truncated", good[..good.len() - 9].to_vec()),
        ("traversal", write_package(&traversal, content)),
        ("digest", write_package(&wrong, content)),
        ("orders", write_package("format\tremsync 2.0\nfoo\tbar\n", content)),
    ];
    for (name, package) in cases {
        let ground = Ground::new();
        let mail = attached("m", BASE64, &base64(&package, 76));
        ground.deliver(mail.as_bytes(), 0);
        ground.deliver(mail.as_bytes(), 0);
        assert!(ground.waiting().is_empty(), "{name}");
        let states = ground.states();
        assert_eq!(states.len(), 1, "{name}: {states:?}");
        assert_eq!(states[0].0, EntryState::Refused, "{name}");
        assert!(!states[0].1.is_empty(), "{name}");
        let kept: Vec<_> = fs::read_dir(ground.queue_dir().join("refused")).unwrap().collect();
        assert_eq!(kept.len(), 1, "{name}");
    }
}

#[test]
fn sealed_packages_are_queued_unjudged() {
    let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    let binary = base64(b"age-encryption.org/v1\n-> ssh-ed25519 x\n--- x\n\0\x01", 76);
    for (fields, body) in [("Content-Type: text/plain", armored), (BASE64, binary.as_str())] {
        let ground = Ground::new();
        let mail = attached("m", fields, body);
        let signature = format!(
            "\n--m\n{BASE64}\nContent-Disposition: attachment; filename=\".remsync.tar.gz.sig.age\"\n\n{}\n--m--\n",
            base64(b"age-encryption.org/v1\nthe signature", 76)
        );
        ground.deliver(mail.replace("\n--m--\n", &signature).as_bytes(), 0);
        let entries = ground.queue().list().unwrap();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].sealed && entries[0].state == EntryState::New);
        assert_eq!(entries[0].signatures.len(), 1);
        assert!(entries[0].path.as_ref().unwrap().to_str().unwrap().ends_with(".tar.gz.age"));
    }
}

#[test]
fn signatures_are_kept_with_the_package() {
    let ground = Ground::new();
    let package = package("T");
    let signed = |n: usize| {
        let signature =
            format!("-----BEGIN SSH SIGNATURE-----\n{n:04}\n-----END SSH SIGNATURE-----\n");
        let part = format!("\n--m\n{BASE64}\n\n{}\n--m--\n", base64(signature.as_bytes(), 76));
        attached("m", BASE64, &base64(&package, 76)).replace("\n--m--\n", &part)
    };
    ground.deliver(signed(1).as_bytes(), 0);
    ground.deliver(signed(1).as_bytes(), 0);
    let queue = ground.queue();
    let entry = queue.list().unwrap().remove(0);
    assert_eq!(entry.signatures.len(), 1);
    assert!(fs::read_to_string(&entry.signatures[0]).unwrap().contains("0001"));
    queue.hold(&entry, "nobody here knows the key").unwrap();
    ground.deliver(signed(1).as_bytes(), 0);
    assert_eq!(ground.states()[0].0, EntryState::Held);
    ground.deliver(signed(2).as_bytes(), 0);
    assert_eq!(ground.states(), [(EntryState::New, String::new())]);
    for n in 3..12 {
        ground.deliver(signed(n).as_bytes(), 0);
    }
    assert_eq!(queue.list().unwrap()[0].signatures.len(), 8);
}

#[test]
fn trouble_of_ours_is_75() {
    let mail = &shapes(&package("T"))[0].1;
    let big = [mail.as_slice(), &noise(1, 1 << 20)].concat();
    let ground = Ground::new();
    assert_trouble(&ground.deliver_with(&["--quiet"], &big), "--quiet");
    assert_trouble(&ground.deliver_with(&["mail"], &big), "mail");
    assert_trouble(&ground.deliver_with(&["--queue"], &big), "--queue");
    assert_trouble(&ground.deliver_with(&["--queue", "/proc/nowhere"], &big), "/proc");
    fs::write(ground.path("file"), "").unwrap();
    let below_file = ground.path("file/queue");
    assert_trouble(&ground.deliver_with(&["--queue", below_file.to_str().unwrap()], &big), "file");
    fs::write(ground.path("c.toml"), "[mail]\nfoo = 1\n").unwrap();
    let mut wrong_setting = ground.command(&[]);
    wrong_setting.env("REMSYNC_CONFIG", ground.path("c.toml"));
    assert_trouble(&feed(wrong_setting.spawn().unwrap(), &big), "c.toml:2:");
    assert!(!ground.queue_dir().exists());
    ground.deliver(mail, 0);
    let new = ground.queue_dir().join("new");
    fs::remove_dir_all(&new).unwrap();
    fs::write(&new, "").unwrap();
    assert_trouble(&ground.deliver_with(&["--passthrough"], &big), "new");
}

#[test]
fn a_full_queue_keeps_strangers_out_and_friends_waiting() {
    let ground = Ground::new();
    let mail = &shapes(&package("T"))[0].1;
    drop(ground.queue());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let fill = |unknown: u64, says: u64, proved: u64| {
        let counts = format!("{unknown} 0 {says} 0 {proved} 0 0 0");
        let tally = format!("tally {counts} {}\n", now.as_millis());
        fs::write(ground.queue_dir().join("tally"), tally).unwrap();
    };
    fill(10_000, 0, 0);
    ground.deliver(mail, 0);
    assert!(ground.waiting().is_empty());
    assert!(ground.log().contains("not kept"), "{}", ground.log());
    let project = ground.path("project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join(".remsync"), "format\tremsync 2.0\nremote\tann@a.example ~/a\n")
        .unwrap();
    fs::create_dir_all(ground.path(".local/state/remsync")).unwrap();
    let register = ground.path(".local/state/remsync/projects");
    fs::write(register, format!("{}\n", project.display())).unwrap();
    // An address proves nothing: what no key that we trust signed has half the room, and waits.
    fill(10_000, 40_000, 0);
    assert_trouble(&ground.deliver_with(&[], mail), "full");
    fill(10_000, 39_999, 50_000);
    ground.deliver(mail, 0);
    assert_eq!(ground.waiting().len(), 1);
    let again = ground.waiting().remove(0);
    ground.queue().remove(&ground.queue().find(&again).unwrap()).unwrap();
    // Where the settings take an address for a proof, it has all of it.
    fs::create_dir_all(ground.path(".config/remsync")).unwrap();
    let settings = "[trust]\nunsigned = \"accept\"\n";
    fs::write(ground.path(".config/remsync/config.toml"), settings).unwrap();
    fill(10_000, 40_000, 50_000);
    assert_trouble(&ground.deliver_with(&[], mail), "full");
    assert!(ground.waiting().is_empty());
    fill(10_000, 40_000, 49_999);
    ground.deliver(mail, 0);
    assert_eq!(ground.waiting().len(), 1);
}

#[test]
fn passing_through_changes_no_byte() {
    let package = package("T");
    for (name, mail) in shapes(&package).into_iter().take(3) {
        for mail in [mail.clone(), crlf(&mail)] {
            let ground = Ground::new();
            let out = ground.deliver_with(&["--passthrough"], &mail);
            assert_eq!(out.status.code(), Some(0), "{name}: {out:?}");
            assert!(out.stdout == mail && out.stderr.is_empty(), "{name}");
            assert_eq!(ground.waiting(), [sha256(&package)]);
            assert_eq!(ground.leftovers(), 0);
        }
    }
    let ground = Ground::new();
    let noise = noise(3, 3 << 20);
    assert_eq!(ground.deliver_with(&["--passthrough"], &noise).stdout, noise);
    let mut full = ground.command(&["--passthrough"]);
    full.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let out = feed(full.spawn().unwrap(), &shapes(&package)[0].1);
    assert_trouble(&out, "standard output");
    assert_eq!(ground.waiting(), [sha256(&package)]);
}

#[test]
fn help_and_version() {
    let ground = Ground::new();
    let help = ground.command(&["--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for option in ["--queue", "--if-package", "--passthrough", "--version", "75"] {
        assert!(text.contains(option), "{text}");
    }
    let version = ground.command(&["--version"]).output().unwrap();
    assert_eq!(version.status.code(), Some(0));
    let expected = format!("remsync-deliver {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected.as_bytes());
}

#[test]
fn twenty_at_once() {
    let ground = Ground::new();
    let mails: Vec<Vec<u8>> = (0..10)
        .map(|n| attached("m", BASE64, &base64(&package(&"x".repeat(n + 1)), 76)).into_bytes())
        .collect();
    thread::scope(|scope| {
        for n in 0..20 {
            let (ground, mail) = (&ground, &mails[n % 10]);
            scope.spawn(move || ground.deliver(mail, 0));
        }
    });
    assert_eq!(ground.waiting().len(), 10);
    assert_eq!(ground.queue().list().unwrap().len(), 10);
    assert_eq!(ground.leftovers(), 0);
}

#[test]
fn a_full_queue_costs_no_more_than_an_empty_one() {
    const ENTRIES: usize = 4_000;
    let (empty, full) = (Ground::new(), Ground::new());
    for ground in [&empty, &full] {
        drop(ground.queue());
        ground.deliver(&shapes(&package("first"))[0].1, 0);
    }
    let note = fs::read_dir(full.queue_dir().join("meta")).unwrap().next().unwrap().unwrap();
    for n in 0..ENTRIES {
        let digest = sha256(&n.to_be_bytes());
        fs::copy(note.path(), full.queue_dir().join("meta").join(&digest)).unwrap();
        let bytes = full.queue_dir().join("new").join(format!("{digest}.tar.gz"));
        fs::write(bytes, "bytes").unwrap();
    }
    // By turns, so that whatever else the machine does falls on both.
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..15 {
        let mail = &shapes(&package(&format!("number {n}")))[0].1;
        for (ground, times) in [&empty, &full].into_iter().zip(&mut times) {
            let began = Instant::now();
            ground.deliver(mail, 0);
            times.push(began.elapsed());
        }
    }
    let [empty, full] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    assert!(full < empty * 2 + Duration::from_millis(20), "{full:?} where {empty:?} was enough");
}

#[test]
fn memory_is_bounded() {
    let large = package_of("large", &noise(5, 30 << 20));
    let content = b"abc";
    let mut long = orders("long", content);
    for n in 0..150_000 {
        long += &format!("check\tg{n:07} {} ?\n", "0".repeat(64));
    }
    for package in [large, write_package(&long, content)] {
        let ground = Ground::new();
        let mail = attached("m", BASE64, &base64(&package, 76));
        let peak = peak_while_delivering(&ground, &mail);
        assert!((1..16 << 10).contains(&peak), "{peak} KiB for {} bytes", package.len());
        assert_eq!(ground.waiting(), [sha256(&package)]);
        assert!(!ground.queue().list().unwrap()[0].title.is_empty());
    }
}

#[test]
fn no_header_costs_memory() {
    const BYTES: usize = (1 << 20) - 200;
    let fields = "a:b\n".repeat(BYTES / 4);
    let types = "Content-Type: a/b\n".repeat(BYTES / 18);
    let addresses = format!("From: {}\n", "a@b,".repeat(BYTES / 4));
    let marks = format!("Content-Type: multipart/mixed{}\n", ";".repeat(BYTES));
    let names = format!("Content-Disposition: a{}\n", "; filename*0=a".repeat(BYTES / 14));
    let words = format!("Subject: {}\n", "=?utf-8?q?a?= ".repeat(BYTES / 14));
    let boundaries: String = (0..60)
        .map(|n| {
            let boundary = format!("{n}-{}", "b".repeat(BYTES / 4));
            format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\n")
        })
        .collect();
    let mails = [&fields, &types, &addresses, &marks, &names, &words].map(|header| {
        let nested = format!("{header}Content-Type: message/rfc822\n\n").repeat(3);
        format!("{nested}{header}{BASE64}\n\n{}", base64(&package("T"), 76))
    });
    for mail in mails.iter().chain([&boundaries]) {
        let ground = Ground::new();
        let peak = peak_while_delivering(&ground, mail);
        let head: String = mail.chars().take(40).collect();
        assert!((1..16 << 10).contains(&peak), "{peak} KiB for {head:?}");
    }
}

fn peak_while_delivering(ground: &Ground, mail: &str) -> u64 {
    let mut child = ground.command(&[]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(mail.as_bytes()).unwrap();
    let mut peak = peak_kib(child.id());
    drop(stdin);
    // The judging comes after the last byte: it is watched until the end.
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()));
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    peak
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn killed_in_the_middle_leaves_nothing_half() {
    let package = package_of("killed", &noise(6, 2 << 20));
    let mail = attached("m", BASE64, &base64(&package, 76));
    let ground = Ground::new();
    for step in 0..12 {
        let mut child = ground.command(&[]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let upto = if step < 6 { mail.len() * step / 6 } else { mail.len() };
        stdin.write_all(&mail.as_bytes()[..upto]).unwrap();
        if step >= 6 {
            drop(stdin);
            thread::sleep(Duration::from_millis(15 * (step as u64 - 6)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if ground.queue_dir().join("new").exists() {
            let waiting = ground.waiting();
            assert!(waiting.is_empty() || waiting == [sha256(&package)], "half a file in new/");
        }
    }
    ground.deliver(mail.as_bytes(), 0);
    assert_eq!(ground.waiting(), [sha256(&package)]);
    assert_eq!(ground.states(), [(EntryState::New, String::new())]);
}

#[test]
fn little_is_needed() {
    let ground = Ground::new();
    let mail = &shapes(&package("T"))[0].1;
    let mut bare = Command::new(env!("CARGO_BIN_EXE_remsync-deliver"));
    bare.env_clear().current_dir("/proc").args(["--queue", ground.queue_dir().to_str().unwrap()]);
    bare.env("XDG_STATE_HOME", "/nowhere").env("XDG_CONFIG_HOME", "/nowhere");
    bare.env("RUST_LOG", "trace").env("TMPDIR", "/nowhere").env("TZ", "Nowhere");
    bare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let out = feed(bare.spawn().unwrap(), mail);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_silent(&out);
    assert_eq!(ground.waiting().len(), 1);
    // And the default place, from HOME alone.
    let mut default = ground.command(&[]);
    default.env_remove("REMSYNC_QUEUE");
    assert_eq!(feed(default.spawn().unwrap(), mail).status.code(), Some(0));
    assert!(ground.path(".local/state/remsync/deliver.log").exists());
    assert_eq!(fs::read_dir(ground.path(".local/state/remsync/queue/new")).unwrap().count(), 1);
}

#[test]
fn dropped_files_are_adopted() {
    let ground = Ground::new();
    let queue = ground.queue();
    let new = ground.queue_dir().join("new");
    let (one, two) = (package("one"), package("second"));
    fs::write(new.join(".remsync.tar.gz"), &one).unwrap();
    fs::write(new.join("a name"), &two).unwrap();
    fs::write(new.join("a name.sig"), "-----BEGIN SSH SIGNATURE-----\n").unwrap();
    fs::write(new.join("again"), &two).unwrap();
    fs::write(new.join("half"), &package("half")[..300]).unwrap();
    fs::write(new.join("notes.txt"), "hello").unwrap();
    fs::write(ground.path("elsewhere"), package("elsewhere")).unwrap();
    symlink(ground.path("elsewhere"), new.join("link")).unwrap();
    fs::hard_link(ground.path("elsewhere"), new.join("hard")).unwrap();
    fs::create_dir(new.join("dir")).unwrap();
    fs::set_permissions(new.join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
    let listing = queue.listing().unwrap();
    let by_title: BTreeMap<&str, &_> =
        listing.entries.iter().map(|entry| (entry.title.as_str(), entry)).collect();
    assert_eq!(by_title.keys().copied().collect::<Vec<_>>(), ["one", "second"]);
    assert_eq!(by_title["second"].signatures.len(), 1);
    let mut strays: Vec<_> = listing
        .strays
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    strays.sort();
    assert_eq!(strays, ["dir", "half", "hard", "link", "notes.txt"]);
    // The other half comes, and a signature after its package.
    fs::write(new.join("half"), package("half")).unwrap();
    fs::write(new.join(".remsync.tar.gz.sig"), "-----BEGIN SSH SIGNATURE-----\n").unwrap();
    let listing = queue.listing().unwrap();
    assert_eq!(listing.entries.len(), 3);
    assert_eq!(listing.strays.len(), 4);
    let one = listing.entries.iter().find(|entry| entry.title == "one").unwrap();
    assert_eq!(one.signatures.len(), 1);
    let _: &Path = one.path.as_deref().unwrap();
}
