//! The corpus: what other people's programs do to a mail must not cost a package, and no mail may
//! bring forth one that is not there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "support/archive.rs"]
#[allow(dead_code, reason = "each test binary uses its own part of it")]
mod archive;
#[path = "corpus/mod.rs"]
mod corpus;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use corpus::{Case, Expected, cases};
use mailparse::ParsedMail;
use remsync::edge::queue::{EntryState, Judgement, Queue, judge};
use remsync::format::message::{self, Kind, Part, Parts};

use archive::sha256;

/// What the filter made of a mail: packages that wait, reasons of what it refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    waiting: BTreeSet<String>,
    refused: Vec<String>,
}

/// Runs the real program.
fn deliver(mail: &[u8]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_remsync-deliver"))
        .env_clear()
        .env("HOME", dir.path())
        .env("REMSYNC_QUEUE", dir.path().join("queue"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(mail).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
    let mut outcome = Outcome::default();
    for entry in Queue::open(&dir.path().join("queue")).unwrap().list().unwrap() {
        match entry.state {
            EntryState::New => {
                let bytes = fs::read(entry.path.unwrap()).unwrap();
                assert!(outcome.waiting.insert(sha256(&bytes)));
            }
            _ => outcome.refused.push(entry.reason),
        }
    }
    outcome
}

/// Whether it is what has to come; `Err` tells what came.
fn compare(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let is_right = match &case.expected {
        Expected::Packages(packages) => outcome.waiting == digests(packages),
        Expected::Refused(word) => {
            outcome.waiting.is_empty()
                && outcome.refused.len() == 1
                && outcome.refused.iter().all(|reason| reason.contains(word))
        }
        Expected::Nothing => *outcome == Outcome::default(),
    };
    if is_right { Ok(()) } else { Err(format!("{outcome:?}")) }
}

fn digests(packages: &[Vec<u8>]) -> BTreeSet<String> {
    packages.iter().map(|package| sha256(package)).collect()
}

fn may_come(case: &Case) -> BTreeSet<String> {
    match &case.expected {
        Expected::Packages(packages) => digests(packages),
        Expected::Refused(_) | Expected::Nothing => BTreeSet::new(),
    }
}

#[test]
fn every_mail_is_read_as_it_has_to_be() {
    let cases = cases();
    let (mut right, mut mails, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        let forms = [("LF", Some(case.mail.clone())), ("CR LF", case.crlf())];
        for (form, mail) in forms.iter().filter_map(|(form, mail)| Some((form, mail.as_ref()?))) {
            mails += 1;
            match compare(case, &deliver(mail)) {
                Ok(()) => right += 1,
                Err(came) => wrong.push(format!("{} {form}, {}: {came}", case.name, case.by)),
            }
        }
    }
    println!("{} cases, {mails} mails, {right} right", cases.len());
    assert!(wrong.is_empty(), "{} of {mails} right; wrong:\n{}", right, wrong.join("\n"));
    assert!(cases.len() >= 200, "{}", cases.len());
}

#[test]
fn names_are_told_apart_and_nothing_is_left_to_chance() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    for (case, again) in cases.iter().zip(corpus::cases()) {
        assert!(case.mail == again.mail, "{}", case.name);
        assert!(!case.by.is_empty());
    }
}

/// Keeps the bytes of each part, in memory.
#[derive(Default)]
struct Kept(Vec<(Part, Vec<u8>)>);

impl Parts for Kept {
    fn begin(&mut self, part: &Part) -> io::Result<()> {
        self.0.push((part.clone(), Vec::new()));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Digests of the sound packages in a mail, without the program and the queue.
fn packages_in(mail: &[u8]) -> BTreeSet<String> {
    let mut kept = Kept::default();
    message::read(&mut &mail[..], &mut kept).unwrap();
    let packages = kept.0.into_iter().filter(|(part, _)| part.kind == Kind::Gzip && !part.returned);
    packages.filter_map(|(_, bytes)| sound(&bytes)).collect()
}

/// The digest of what counts of these bytes, where they are a sound package.
fn sound(bytes: &[u8]) -> Option<String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    match judge(&file).unwrap() {
        (Judgement::Sound { .. }, end) => Some(sha256(&bytes[..usize::try_from(end).unwrap()])),
        _ => None,
    }
}

#[test]
fn a_mail_cut_anywhere_brings_no_package_that_is_not_there() {
    const STEP: usize = 97;
    /// Of longer mails only the beginning and the end are cut so finely.
    const FINE_BYTES: usize = 8 << 10;
    let mut cuts = 0;
    for case in cases() {
        let may_come = may_come(&case);
        for mail in [Some(case.mail.clone()), case.crlf()].into_iter().flatten() {
            let is_fine = |at: usize| at < FINE_BYTES || at + FINE_BYTES > mail.len();
            for at in (0..mail.len()).step_by(STEP).filter(|at| is_fine(*at)) {
                cuts += 1;
                let came = packages_in(&mail[..at]);
                assert!(came.is_subset(&may_come), "{} cut at {at}: {came:?}", case.name);
            }
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 20_000, "{cuts}");
}

#[test]
fn nothing_that_another_reader_finds_is_lost() {
    let (mut found, mut by_policy) = (0, 0);
    for case in cases() {
        let ours = packages_in(&case.mail);
        for digest in second_opinion(&case.mail, 0) {
            if case.policy && !ours.contains(&digest) {
                by_policy += 1;
                continue;
            }
            assert!(ours.contains(&digest), "{}, {}: another reader finds it", case.name, case.by);
            found += 1;
        }
    }
    println!("{found} packages found by mailparse too, {by_policy} left by policy");
    assert!(found > 100 && by_policy > 0, "{found} {by_policy}");
}

/// Digests of the sound packages that `mailparse` finds.
fn second_opinion(mail: &[u8], depth: usize) -> BTreeSet<String> {
    match mailparse::parse_mail(mail) {
        Ok(parsed) if depth < 5 => opinion_of(&parsed, depth),
        _ => BTreeSet::new(),
    }
}

fn opinion_of(part: &ParsedMail, depth: usize) -> BTreeSet<String> {
    let mut digests = BTreeSet::new();
    if let Ok(body) = part.get_body_raw() {
        if part.ctype.mimetype == "message/rfc822" {
            digests.extend(second_opinion(&body, depth + 1));
        } else {
            digests.extend(sound(&body));
        }
    }
    digests.extend(part.subparts.iter().flat_map(|part| opinion_of(part, depth)));
    digests
}
