//! The run history, `.remsync.d/runs`: what each command did to the tree (remsync.5).
//!
//! Only ever appended to, by the lexical rules of the other texts, 2.0's percent-encoding in
//! either format. Invariant: what a crash tore off the end is dropped; all else that cannot be
//! read is a fault.
//!
//! ```text
//! run      NUMBER COMMAND TIME [UNDONE]
//! again    TIME
//! package  DIGEST ADDRESS
//! file     PATH BEFORE MODE MTIME AFTER DIGEST|-
//! void     PATH
//! held     PATH WHY ADDRESS
//! answer   PATH WORD ADDRESS
//! end      NUMBER
//! ```

use std::io::Write;

use super::percent;
use super::statement::{self, Lines, Statement, TextFault, Words};
use crate::model::project::Format;
use crate::model::run::{Before, Change, Event, Kind, Run};
use crate::model::{Content, TreePath};

/// The highest number of a run, and the latest time in ms: exact wherever a number is a double.
const NUMBER_MAX: u64 = 1 << 53;

/// Appends the line that begins run `number`.
pub fn push_run(out: &mut Vec<u8>, number: u64, kind: Kind, at_ms: u64, of: Option<u64>) {
    let mut words = vec![number.to_string(), kind.name().to_owned(), at_ms.to_string()];
    words.extend(of.map(|of| of.to_string()));
    push_line(out, "run", &words.join(" ").into_bytes());
}

/// Appends the line that goes on with a run that was killed.
pub fn push_again(out: &mut Vec<u8>, at_ms: u64) {
    push_line(out, "again", at_ms.to_string().as_bytes());
}

/// Appends the line that ends run `number`.
pub fn push_end(out: &mut Vec<u8>, number: u64) {
    push_line(out, "end", number.to_string().as_bytes());
}

/// Appends what happened.
pub fn push_event(out: &mut Vec<u8>, event: &Event) {
    let mut rest = Vec::new();
    let keyword = match event {
        Event::Package { package, from } => {
            statement::push_hex(&mut rest, package);
            push_name(&mut rest, from.as_bytes());
            "package"
        }
        Event::Change(change) => {
            push_change(&mut rest, change);
            "file"
        }
        Event::Void(path) => {
            percent::encode(path.as_bytes(), &mut rest);
            "void"
        }
        Event::Held { path, why, from } => {
            percent::encode(path.as_bytes(), &mut rest);
            push_name(&mut rest, why.as_bytes());
            push_name(&mut rest, from.as_bytes());
            "held"
        }
        Event::Answer { path, answer, from } => {
            percent::encode(path.as_bytes(), &mut rest);
            push_name(&mut rest, answer.as_bytes());
            push_name(&mut rest, from.as_bytes());
            "answer"
        }
    };
    push_line(out, keyword, &rest);
}

/// Writes whole runs, as they were appended.
pub fn print(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in runs {
        push_run(&mut out, run.number, run.kind, run.began_ms, run.of);
        run.again_ms.iter().for_each(|at_ms| push_again(&mut out, *at_ms));
        run.events.iter().for_each(|event| push_event(&mut out, event));
        if run.is_ended {
            push_end(&mut out, run.number);
        }
    }
    out
}

/// Reads the history `bytes`, which people call `file`.
///
/// # Errors
/// The first line that cannot be read; what a crash tore off the end is dropped.
pub fn parse(bytes: &[u8], file: &str) -> Result<Vec<Run>, TextFault> {
    let mut lines = Lines::new(bytes.get(..whole(bytes)).unwrap_or_default(), file);
    let mut runs: Vec<Run> = Vec::new();
    while let Some(line) = lines.next_statement()? {
        if line.keyword == b"run" {
            runs.push(take_run(&line)?);
            continue;
        }
        let run = runs.last_mut().filter(|run| !run.is_ended);
        let run = run.ok_or_else(|| line.fault("not within a run"))?;
        take_line(&line, run)?;
    }
    Ok(runs)
}

/// Returns how many bytes the whole lines take; what follows a crash tore off. No line holds a zero:
/// those are what a disk has in the place of what it was not given in time.
pub fn whole(bytes: &[u8]) -> usize {
    let sound = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    sound.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

/// Returns the number of the last run in the end of a history, and whether it came to its end;
/// `None` if no run begins there.
pub fn last_run(end: &[u8], file: &str) -> Option<Run> {
    const MARK: &[u8] = b"run\t";
    let is_start = |at: &usize| end.get(..*at).is_some_and(|above| above.ends_with(b"\n"));
    let at = (0..end.len()).rev().find(|at| {
        end.get(*at..).is_some_and(|rest| rest.starts_with(MARK)) && (*at == 0 || is_start(at))
    })?;
    parse(end.get(at..)?, file).ok()?.pop()
}

fn push_line(out: &mut Vec<u8>, keyword: &str, rest: &[u8]) {
    out.extend_from_slice(keyword.as_bytes());
    out.push(b'\t');
    out.extend_from_slice(rest);
    out.push(b'\n');
}

fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b' ');
    match name {
        // A parameter is never empty.
        b"" => out.push(b'-'),
        name => percent::encode(name, out),
    }
}

fn push_change(out: &mut Vec<u8>, change: &Change) {
    let Before { content, mode, mtime_s, mtime_ns } = change.before;
    percent::encode(change.path.as_bytes(), out);
    out.push(b' ');
    statement::push_content(out, &content);
    // Writing into memory cannot fail.
    let _ = write!(out, " {mode:04o} {mtime_s}.{mtime_ns:09} ");
    statement::push_content(out, &change.after);
    out.push(b' ');
    match &change.package {
        None => out.push(b'-'),
        Some(package) => statement::push_hex(out, package),
    }
}

fn take_run(line: &Statement<'_>) -> Result<Run, TextFault> {
    let mut words = line.words()?;
    let number = words.number("number of a run", 1, NUMBER_MAX)?;
    let name = words.need("command")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name().as_bytes() == name);
    let kind = kind.ok_or_else(|| line.fault("no command that a run can be of"))?;
    let began_ms = words.number("time", 0, NUMBER_MAX)?;
    let of = match words.next_word()? {
        None => None,
        Some(word) => Some(line.check(statement::number(word, 1, NUMBER_MAX))?),
    };
    words.end()?;
    Ok(Run { number, kind, of, began_ms, again_ms: vec![], is_ended: false, events: vec![] })
}

fn take_line(line: &Statement<'_>, run: &mut Run) -> Result<(), TextFault> {
    let mut words = line.words()?;
    match line.keyword {
        b"again" => run.again_ms.push(words.number("time", 0, NUMBER_MAX)?),
        b"end" => {
            words.number("number of a run", run.number, run.number)?;
            run.is_ended = true;
        }
        b"package" => {
            let package = digest(line, words.need("digest")?)?;
            let from = text(line, &mut words, "address")?;
            run.events.push(Event::Package { package, from });
        }
        b"file" => run.events.push(Event::Change(take_change(line, &mut words)?)),
        b"void" => run.events.push(Event::Void(take_path(line, &mut words)?)),
        b"held" => {
            let path = take_path(line, &mut words)?;
            let why = text(line, &mut words, "reason")?;
            let from = text(line, &mut words, "address")?;
            run.events.push(Event::Held { path, why, from });
        }
        b"answer" => {
            let path = take_path(line, &mut words)?;
            let answer = text(line, &mut words, "answer")?;
            let from = text(line, &mut words, "address")?;
            run.events.push(Event::Answer { path, answer, from });
        }
        _ => return Err(line.fault("an unknown keyword")),
    }
    words.end()
}

fn take_change(line: &Statement<'_>, words: &mut Words<'_, '_>) -> Result<Change, TextFault> {
    let path = take_path(line, words)?;
    let content = take_content(line, words)?;
    let mode = words.need("mode")?;
    let mode = std::str::from_utf8(mode).ok().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let mode = mode.filter(|mode| *mode <= 0o777).ok_or_else(|| line.fault("no mode"))?;
    let (mtime_s, mtime_ns) =
        mtime(words.need("time")?).ok_or_else(|| line.fault("no time of a file"))?;
    let after = take_content(line, words)?;
    let package = match words.need("package")? {
        b"-" => None,
        word => Some(digest(line, word)?),
    };
    Ok(Change { path, before: Before { content, mode, mtime_s, mtime_ns }, after, package })
}

fn take_path(line: &Statement<'_>, words: &mut Words<'_, '_>) -> Result<TreePath, TextFault> {
    line.check(statement::path(Format::V2_0, words.need("path")?))
}

fn take_content(line: &Statement<'_>, words: &mut Words<'_, '_>) -> Result<Content, TextFault> {
    line.check(statement::content(Format::V2_0, words.need("signature")?))
}

fn digest(line: &Statement<'_>, word: &[u8]) -> Result<[u8; 32], TextFault> {
    statement::hex(word).ok_or_else(|| line.fault("no digest"))
}

fn text(line: &Statement<'_>, words: &mut Words<'_, '_>, name: &str) -> Result<String, TextFault> {
    let bytes = line.check(statement::bytes(Format::V2_0, words.need(name)?))?;
    String::from_utf8(bytes).map_err(|_| line.fault("not UTF-8"))
}

/// Reads `SECONDS.NANOSECONDS`, the latter nine digits.
fn mtime(word: &[u8]) -> Option<(i64, u32)> {
    let (seconds, nanoseconds) = std::str::from_utf8(word).ok()?.split_once('.')?;
    let is_nine = nanoseconds.len() == 9 && nanoseconds.bytes().all(|b| b.is_ascii_digit());
    is_nine.then_some(())?;
    Some((seconds.parse().ok()?, nanoseconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    fn runs() -> Vec<Run> {
        let path = |name: &[u8]| TreePath::new(name).unwrap();
        let file = |digit, executable| {
            Content::File(Signature::Sha256 { digest: [digit; 32], executable })
        };
        let before =
            |content, mode, mtime_s| Before { content, mode, mtime_s, mtime_ns: 5_000_000 };
        let from = "a@a.example".to_owned();
        vec![
            Run {
                number: 7,
                kind: Kind::Process,
                of: None,
                began_ms: 1_000,
                again_ms: vec![2_000, 3_000],
                is_ended: true,
                events: vec![
                    Event::Package { package: [9; 32], from: from.clone() },
                    Event::Change(Change {
                        path: path(b"two words\xff"),
                        before: before(file(1, true), 0o755, -5),
                        after: file(2, false),
                        package: Some([9; 32]),
                    }),
                    Event::Void(path(b"two words\xff")),
                    Event::Change(Change {
                        path: path(b"new"),
                        before: Before::NOTHING,
                        after: file(3, false),
                        package: None,
                    }),
                    Event::Held { path: path(b"g"), why: "conflict".into(), from: from.clone() },
                ],
            },
            Run {
                number: 8,
                kind: Kind::Undo,
                of: Some(7),
                began_ms: 4_000,
                again_ms: vec![],
                is_ended: false,
                events: vec![Event::Answer { path: path(b"g"), answer: "both".into(), from }],
            },
        ]
    }

    #[test]
    fn what_is_printed_is_read() {
        let text = print(&runs());
        assert_eq!(parse(&text, "runs"), Ok(runs()), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn what_a_crash_tore_off_is_dropped() {
        let text = print(&runs());
        let mut seen = 0;
        for length in 0..text.len() {
            let read = parse(&text[..length], "runs");
            let read = read.unwrap_or_else(|fault| panic!("{length}: {fault}"));
            let events: usize = read.iter().map(|run| run.events.len()).sum();
            assert!(events >= seen, "{length}");
            seen = events;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn the_last_run_is_found_in_the_end_of_a_history() {
        let text = print(&runs());
        for from in [0, 1, 200] {
            let last = last_run(&text[from..], "runs").unwrap();
            assert_eq!((last.number, last.of, last.is_ended), (8, Some(7), false), "{from}");
        }
        assert_eq!(last_run(b"", "runs"), None);
        assert_eq!(last_run(b"end\t7\nprun\t8", "runs"), None);
        let first = &text[..text.len() - print(&runs()[1..]).len()];
        assert_eq!(last_run(first, "runs").map(|run| (run.number, run.is_ended)), Some((7, true)));
    }

    #[test]
    fn faults_name_the_line() {
        for (text, line) in [
            ("end\t1\n", 1),
            ("run\t1 process 5\nend\t1\nvoid\tf\n", 3),
            ("run\t1 process 5\nend\t2\n", 2),
            ("run\t1 dance 5\n", 1),
            ("run\t0 process 5\n", 1),
            ("run\t1 process 5 6 7\n", 1),
            ("run\t1 process 5\nvoid\t../f\n", 2),
            ("run\t1 process 5\nvoid\tf g\n", 2),
            ("run\t1 process 5\nfile\tf - 0000 0.0 - -\n", 2),
            ("run\t1 process 5\nfile\tf - 1000 0.000000000 - -\n", 2),
            ("run\t1 process 5\nfile\tf 12345 0644 0.000000000 - -\n", 2),
            ("run\t1 process 5\nwhat\tf\n", 2),
        ] {
            let fault = parse(text.as_bytes(), "runs").unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault}");
        }
    }
}
