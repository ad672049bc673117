//! The first exchange of README.md, played: what stands there is what the programs print.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is at a loss")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who plays, with the addresses that README.md gives them.
const SITES: [(&str, &str); 2] = [("ship", "ship@sea.example"), ("port", "port@land.example")];

#[test]
fn the_first_exchange_is_as_it_is_told() {
    let world = tempfile::tempdir().unwrap();
    let top = world.path();
    for (site, _) in SITES {
        fs::create_dir_all(top.join(site)).unwrap();
    }
    fs::create_dir(top.join("ship/notes")).unwrap();
    fs::write(top.join("ship/notes/chart.txt"), "a rock at 48.1 N\n").unwrap();
    fs::write(top.join("ship/notes/monday.txt"), "Calm sea.\n").unwrap();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let steps = steps(&readme);
    assert_eq!(steps.len(), 14, "{steps:#?}");
    // The numbers of entries take the place of those that README.md shows.
    let (mut first, mut held) = (String::new(), String::new());
    for (number, (site, line, told)) in steps.iter().enumerate() {
        if number == 11 {
            both_edit_the_chart(top);
        }
        let line =
            line.replace(" fb3f", &format!(" {first}")).replace(" 2c8b", &format!(" {held}"));
        let said = play(top, site, &line);
        let id = |at: usize| said[0][at..at + 12].to_owned();
        match said.first() {
            Some(line) if line.contains(" new ") => first = id(0),
            Some(line) if line.contains(": held: ") => held = id("remsync: ".len()),
            _ => {}
        }
        assert_eq!(plain(&said), plain(told), "step {number}: {site}$ {line}");
        SITES.iter().for_each(|(site, address)| deliver(top, site, address));
    }
    assert_eq!(fs::read_to_string(top.join("ship/notes/chart.txt")).unwrap(), "no rock\n");
}

/// What the text tells in a sentence: both changed the same file.
fn both_edit_the_chart(top: &Path) {
    fs::write(top.join("ship/notes/chart.txt"), "a rock at 48.2 N\n").unwrap();
    fs::write(top.join("port/notes/chart.txt"), "no rock\n").unwrap();
    play(top, "port", "remsync b");
    SITES.iter().for_each(|(site, address)| deliver(top, site, address));
}

/// Returns site, command and what it prints, for each command of the first section.
fn steps(readme: &str) -> Vec<(String, String, Vec<String>)> {
    let section = readme.split("\n## ").find(|section| section.starts_with("A first exchange"));
    let mut steps: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut is_shown = false;
    for line in section.unwrap().lines() {
        if line.starts_with("```") {
            is_shown = line == "```console";
            continue;
        }
        match line.split_once("$ ") {
            _ if !is_shown => {}
            // Each command here is played in a shell of its own, in the folder it would be in.
            Some((_, "cd notes")) => {}
            Some((site, command)) => {
                let command = command.trim_start_matches("cd notes && ").to_owned();
                steps.push((site.to_owned(), command, Vec::new()));
            }
            None => steps.last_mut().unwrap().2.push(line.to_owned()),
        }
    }
    // An edit prints nothing; it belongs to the command after it.
    let edits = steps.iter().position(|(_, command, _)| command.starts_with("echo"));
    let edit = steps.remove(edits.unwrap());
    let next = steps.get_mut(edits.unwrap()).unwrap();
    next.1 = format!("{} && {}", edit.1, next.1);
    steps
}

/// Runs one command line of a site; returns what it says, both streams in their usual order.
fn play(top: &Path, site: &str, line: &str) -> Vec<String> {
    let notes = top.join(site).join("notes");
    let folder = if notes.is_dir() { notes } else { top.join(site) };
    let output = command(top, site, "sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.code() <= Some(1), "{site}$ {line}: {output:?}");
    let text = [output.stderr, output.stdout].concat();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn deliver(top: &Path, site: &str, address: &str) {
    let new = top.join("post").join(address).join("new");
    let Ok(mails) = fs::read_dir(&new) else { return };
    for mail in mails.flatten().map(|mail| mail.path()) {
        let filter = env!("CARGO_BIN_EXE_remsync-deliver");
        let input = fs::File::open(&mail).unwrap();
        let status = command(top, site, filter).stdin(input).status().unwrap();
        assert!(status.success(), "{status}");
        fs::remove_file(mail).unwrap();
    }
}

fn command(top: &Path, site: &str, program: &str) -> Command {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_remsync"));
    let path = format!("{}:/usr/bin:/bin", programs.parent().unwrap().display());
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", top.join(site))
        .env("REMSYNC_TRANSPORT", format!("maildir:{}", top.join("post").display()));
    command
}

/// Takes out what differs from run to run: numbers of entries, times, the home.
fn plain(lines: &[String]) -> Vec<String> {
    let is_entry = |word: &str| {
        let word = word.trim_end_matches([':', '"']);
        word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit())
    };
    let is_time = |word: &str| {
        let word = word.trim_end_matches([')', ',']);
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_digit() || "-:".contains(c))
            && word.contains(['-', ':'])
    };
    let is_print = |word: &str| word.trim_end_matches(['.', ',']).starts_with("SHA256:");
    let word = |word: &str| match word {
        word if is_print(word) => "SHA256".to_owned(),
        word if word.ends_with("/.config/remsync/id_ed25519:") => "KEY".to_owned(),
        word if is_entry(word) => "ENTRY".to_owned(),
        word if is_time(word) => "TIME".to_owned(),
        word if word.ends_with("/notes") => "HOME/notes".to_owned(),
        word => word.to_owned(),
    };
    // The words of a key: eight, and nothing else.
    let is_eight = |line: &str| {
        let plain = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
        line.split_whitespace().count() == 8 && line.split_whitespace().all(plain)
    };
    let line = |line: &String| match is_eight(line) {
        true => "EIGHT WORDS".to_owned(),
        false => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
    };
    lines.iter().map(line).collect()
}
