//! Does one thing so many times, for `benches/instructions.sh` to count the processor's instructions.
//!
//! ```text
//! instructions decide|learn|orders|base64 COUNT
//! ```
#![allow(clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write;
use std::hint::black_box;
use std::io;
use std::process::ExitCode;

use remsync::format::mail::base64;
use remsync::format::message::{self, Part, Parts};
use remsync::format::{orders, project};
use remsync::model::knowledge::{Cell, Knowledge, Row};
use remsync::model::{Content, History, Signature, Version};
use remsync::rules::decide::{Lineage, decide};
use remsync::rules::learn::{route, take_in};

/// Rows that are learned at a time.
const ROWS: usize = 100;
/// Bytes in a line of base64.
const LINE_BYTES: usize = 57;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let count = words.get(1).and_then(|count| count.parse().ok());
    match (words.first().map(String::as_str), count) {
        (Some("decide"), Some(count)) => decide_often(count),
        (Some("learn"), Some(count)) => learn_often(count),
        (Some("orders"), Some(count)) => read_rows(count),
        (Some("base64"), Some(count)) => read_mail(count),
        _ => {
            eprintln!("usage: instructions decide|learn|orders|base64 COUNT");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Two versions of which the one that arrives descends from the other, eight generations long.
fn decide_often(count: usize) {
    let version = |generation: u64| {
        let digest = [u8::try_from(generation).unwrap(); 32];
        let content = Content::File(Signature::Sha256 { digest, executable: false });
        Version { generation, content }
    };
    let history = |to: u64| -> History { (1..to).map(|n| version(n).ancestor()).collect() };
    let (here, arrived) = ((version(7), history(7)), (version(8), history(8)));
    for _ in 0..count {
        let (here, arrived) = black_box((&here, &arrived));
        let here = Lineage::new(&here.0, &here.1);
        black_box(decide(Some(here), Lineage::new(&arrived.0, &arrived.1)));
    }
}

/// Orders that list so many files, each changed once.
fn text(rows: usize) -> String {
    let mut text = String::from(
        "format\tremsync 2.0\ntitle\tT\nhere\ta@x.example /a\nremote\tb@x.example /b\n\
         visit\t0\ncopy\t0\nserial\t5\n",
    );
    for row in 0..rows {
        let digest = format!("{row:064x}");
        writeln!(text, "check\tfolder/file-{row:06}.txt {digest} ?").unwrap();
        writeln!(text, "history\tfolder/file-{row:06}.txt 2 1:{:016x}", row * 3).unwrap();
    }
    text
}

fn read_rows(rows: usize) {
    let orders = orders::parse(text(rows).as_bytes(), "orders").unwrap();
    assert_eq!(black_box(orders).rows.len(), rows);
}

/// A package's rows, of files that are all known here, are taken in so many times.
fn learn_often(count: usize) {
    let orders = orders::parse(text(ROWS).as_bytes(), "orders").unwrap();
    let ours = "format\tremsync 2.0\ntitle\tT\nhere\tb@x.example /b\nremote\ta@x.example /a\n";
    let ours = project::parse(ours.as_bytes(), ".remsync").unwrap();
    let route = route(&orders, &ours.identity).unwrap();
    let mut knowledge = Knowledge::new(1);
    for order in &orders.rows {
        let (version, history) = (order.version, order.history.clone());
        let cells = vec![Cell::default()];
        let row = Row { version, history, changed: 1, deleted_ms: 0, cells };
        knowledge.rows.insert(order.path.clone(), row);
    }
    for _ in 0..count {
        black_box(take_in(&mut knowledge, black_box(&orders), &route, 1));
    }
    assert!(knowledge.rows.values().all(|row| row.cells[0].word.is_some()));
}

/// A mail with one attachment that begins as a package does, and is counted and dropped.
fn read_mail(lines: usize) {
    let mut line = [0x5a; LINE_BYTES];
    let further = format!("{}\n", base64(&line));
    line[..4].copy_from_slice(&[0x1f, 0x8b, 8, 0]);
    let first = base64(&line);
    let mail = format!(
        "From: a@x.example\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n\
         Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=x\n\n\
         {first}\n{}",
        further.repeat(lines - 1)
    );
    let mut counted = Counted(0);
    message::read(&mut mail.as_bytes(), &mut counted).unwrap();
    assert_eq!(black_box(counted).0, lines * LINE_BYTES);
}

struct Counted(usize);

impl Parts for Counted {
    fn begin(&mut self, _part: &Part) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len();
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}
