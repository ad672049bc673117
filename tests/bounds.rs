//! Bounds that no other table holds: at each of them all is as ever, one past it the rest is not taken
//! and that is said. Those of packages are in `hostile_packages`, those of the queue and of the parts
//! of a mail beside their code.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod support;

use std::io;

use remsync::format::message::{self, Part, Parts, Past, Words};
use remsync::format::package::{Bound, PackageFault, Sink, read};
use remsync::model::Address;
use remsync::model::knowledge::Knowledge;
use remsync::model::limits::{
    ADDRESS_BYTES_MAX, ISSUED_MAX, MIME_WRAPS_MAX, REPORT_PART_BYTES_MAX, SIGNATURES_MAX,
    TAR_RECORDS_BYTES_MAX,
};
use remsync::rules::plan::issue;
use support::archive::{gzip, noise, orders_head, package, pax, raw, tar, update};
use support::coding::base64;
use support::{DELIVER, World};

/// Counts what it is given.
#[derive(Default)]
struct Counted {
    parts: usize,
    heard: usize,
}

impl Parts for Counted {
    fn words(&mut self, words: Words<'_>) {
        if let Words::Text(text) = words {
            self.heard += text.len();
        }
    }
    fn begin(&mut self, _: &Part) -> io::Result<()> {
        self.parts += 1;
        Ok(())
    }
    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn mails_within_mails_are_read_so_deep() {
    let wrapped = |wraps: usize| {
        let mut mail =
            "Content-Transfer-Encoding: base64\n\nH4sIAAAAAAAAAAMAAAAAAAAAAAA=\n".to_owned();
        for _ in 0..wraps {
            let body = base64(mail.as_bytes(), 76);
            mail = format!(
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{body}"
            );
        }
        mail
    };
    for (wraps, past, found) in
        [(MIME_WRAPS_MAX, None, 1), (MIME_WRAPS_MAX + 1, Some(Past::Wraps), 0)]
    {
        let mut counted = Counted::default();
        let envelope = message::read(&mut wrapped(wraps).as_bytes(), &mut counted).unwrap();
        assert_eq!((envelope.past, counted.parts), (past, found), "{wraps}");
    }
}

#[test]
fn so_much_of_a_text_is_heard() {
    for (bytes, heard) in [
        (REPORT_PART_BYTES_MAX, REPORT_PART_BYTES_MAX),
        (REPORT_PART_BYTES_MAX + 1, REPORT_PART_BYTES_MAX),
    ] {
        let text = "just words, and more words of them\n".repeat(bytes / 35 + 1);
        let mail = format!("From: a@a.example\n\n{}", &text[..bytes]);
        let mut counted = Counted::default();
        message::read(&mut mail.as_bytes(), &mut counted).unwrap();
        assert_eq!(counted.heard, heard, "{bytes}");
    }
}

#[test]
fn so_many_signatures_are_kept_beside_an_entry() {
    let content = noise(1, 100);
    let head = orders_head("Test", "a@a.example -", "b@b.example -", 7);
    let orders = head + &update("f", &content, 1);
    let package = package(&[
        raw(".remsync-work/orders", orders.as_bytes()),
        raw(".remsync-work/1", &content),
    ]);
    for (count, kept) in [(SIGNATURES_MAX, SIGNATURES_MAX), (SIGNATURES_MAX + 1, SIGNATURES_MAX)] {
        let world = World::new();
        let home = world.home("b");
        let mut mail = String::from("Content-Type: multipart/mixed; boundary=x\n\n");
        mail += "--x\nContent-Transfer-Encoding: base64\n\n";
        mail += &base64(&package, 76);
        for n in 0..count {
            mail += &format!(
                "--x\n\n-----BEGIN SSH SIGNATURE-----\n{n}\n-----END SSH SIGNATURE-----\n"
            );
        }
        let path = home.top.join("mail");
        std::fs::write(&path, mail + "--x--\n").unwrap();
        let delivered = home.command(DELIVER).stdin(std::fs::File::open(path).unwrap()).status();
        assert!(delivered.unwrap().success());
        let (entries, _) = home.json(&["queue", "list"]);
        assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
        let digest = entries[0]["sha256"].as_str().unwrap();
        let sigs = home.top.join(".local/state/remsync/queue/sigs").join(digest);
        let signatures = std::fs::read_dir(sigs).unwrap().count();
        assert_eq!(signatures, kept, "{count}");
    }
}

struct Nothing;

impl Sink for Nothing {
    fn member(&mut self, _: u32) -> io::Result<Box<dyn io::Write + '_>> {
        Ok(Box::new(io::sink()))
    }
}

#[test]
fn so_many_bytes_of_records_stand_before_a_member() {
    let orders = orders_head("Test", "a@a.example -", "b@b.example -", 7);
    for (bytes, is_past) in [(TAR_RECORDS_BYTES_MAX, false), (TAR_RECORDS_BYTES_MAX + 1, true)] {
        // "LENGTH comment=...\n", in which the length counts itself: seven digits of it.
        let value = "x".repeat(usize::try_from(bytes).unwrap() - "1048576 comment=\n".len());
        let records = pax(&[("comment", &value)]);
        assert_eq!(records.data.len() as u64, bytes);
        let archive = tar(&[records, raw(".remsync-work/orders", orders.as_bytes())]);
        match read(&gzip(&archive)[..], &mut Nothing) {
            Err(PackageFault::Bound { bound: Bound::RecordsBytes, .. }) => assert!(is_past),
            other => assert!(!is_past && other.is_ok(), "{bytes}: {other:?}"),
        }
    }
}

#[test]
fn addresses_are_so_long() {
    for (bytes, is_one) in [(ADDRESS_BYTES_MAX, true), (ADDRESS_BYTES_MAX + 1, false)] {
        let address = format!("{}@a.example", "x".repeat(bytes - "@a.example".len()));
        assert_eq!(Address::new(&address).is_ok(), is_one, "{bytes}");
    }
}

#[test]
fn so_many_serials_of_ours_are_remembered() {
    let mut knowledge = Knowledge::new(1);
    for serial in 1..=ISSUED_MAX as u64 {
        issue(&mut knowledge, 0, serial);
    }
    assert_eq!(knowledge.remotes[0].issued.len(), ISSUED_MAX);
    assert_eq!(knowledge.remotes[0].issued[0], 1);
    issue(&mut knowledge, 0, ISSUED_MAX as u64 + 1);
    assert_eq!(knowledge.remotes[0].issued.len(), ISSUED_MAX);
    assert_eq!(knowledge.remotes[0].issued[0], 2, "the oldest goes");
}
