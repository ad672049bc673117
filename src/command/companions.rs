//! The names that this program is called by where links of the old ones lead here, and what they
//! mean: `mail-files`, `mailshar`, `find-mailer`, and the scripts of 1992, `mailsync` and `resync`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::help::usage;
use super::mail_files::destinations;
use super::outcome::Failure;

/// Returns the command line that the program's name and its arguments stand for.
///
/// # Errors
/// What an old program did not take.
pub fn arguments(name: &OsStr, given: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    match name.to_str() {
        Some(name @ ("mail-files" | "mailshar" | "find-mailer")) => {
            Ok([vec![name.into()], given].concat())
        }
        Some("mailsync") => mailsync(given),
        Some("resync") => resync(given),
        _ => Ok(given),
    }
}

/// `mailsync [-i] [-n] [ADDRESS|LIST] [DIRECTORY]`.
fn mailsync(given: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let usage = usage("mailsync");
    let (mut options, words) = read(given, "in", usage)?;
    let (who, directory) = match words.as_slice() {
        [] => (None, None),
        [word] if Path::new(word).is_dir() => (None, Some(word)),
        [word] => (Some(word), None),
        [who, directory] => (Some(who), Some(directory)),
        _ => return Err(Failure::new("mailsync takes one address and one folder").hinted(usage)),
    };
    let sites = who.map_or(Ok(Vec::new()), |who| destinations(who))?;
    if let Some(directory) = directory {
        options.extend(["-C".into(), directory.clone()]);
    }
    options.push("broadcast".into());
    options.extend(sites.iter().map(|site| OsString::from(site.as_str())));
    Ok(options)
}

/// `resync [-n] FILE|DIRECTORY`; what it leaves for a person is listed behind.
fn resync(given: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let usage = usage("resync");
    let (mut options, words) = read(given, "n", usage)?;
    let [file] = words.as_slice() else {
        return Err(Failure::new("resync takes one package").hinted(usage));
    };
    options.extend(["process".into(), file.clone()]);
    options.extend([";".into(), "pending".into()]);
    Ok(options)
}

/// Splits options, of which there are those in `letters`, from the words.
fn read(
    given: Vec<OsString>,
    letters: &str,
    usage: &str,
) -> Result<(Vec<OsString>, Vec<OsString>), Failure> {
    use lexopt::Arg::{Short, Value};
    let fault = |error: lexopt::Error| Failure::new(error).hinted(usage);
    let (mut options, mut words) = (Vec::new(), Vec::new());
    let mut parser = lexopt::Parser::from_args(given);
    while let Some(argument) = parser.next().map_err(fault)? {
        match argument {
            Short(letter) if letters.contains(letter) => options.push(format!("-{letter}").into()),
            Value(word) => words.push(word),
            other => return Err(fault(other.unexpected())),
        }
    }
    Ok((options, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_and_what_they_mean() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        std::fs::write(&list, "# friends\nA@x.example\n\nb@x.example\n").unwrap();
        let (dir, list) = (folder.path().to_str().unwrap(), list.to_str().unwrap());
        let table: &[(&str, &[&str], &[&str])] = &[
            ("remsync", &["b"], &["b"]),
            ("mailshar", &["-s", "9", "a@x", "f"], &["mailshar", "-s", "9", "a@x", "f"]),
            ("mail-files", &["a@x"], &["mail-files", "a@x"]),
            ("find-mailer", &[], &["find-mailer"]),
            ("mailsync", &[], &["broadcast"]),
            ("mailsync", &["-in"], &["-i", "-n", "broadcast"]),
            ("mailsync", &[dir], &["-C", dir, "broadcast"]),
            ("mailsync", &["a@x", dir], &["-C", dir, "broadcast", "a@x"]),
            ("mailsync", &["-i", list], &["-i", "broadcast", "a@x.example", "b@x.example"]),
            ("resync", &["-n", list], &["-n", "process", list, ";", "pending"]),
            ("resync", &[dir], &["process", dir, ";", "pending"]),
        ];
        for (name, given, meant) in table {
            let given = given.iter().map(OsString::from).collect();
            let arguments = arguments(OsStr::new(name), given).unwrap();
            assert_eq!(arguments, *meant, "{name}");
        }
        let wrong: &[(&str, &[&str])] = &[
            ("mailsync", &["-z"]),
            ("mailsync", &["a@x", dir, "more"]),
            ("mailsync", &["no/address"]),
            ("resync", &[]),
            ("resync", &[dir, list]),
            ("resync", &["-i", list]),
        ];
        for (name, given) in wrong {
            let given = given.iter().map(OsString::from).collect();
            let failure = arguments(OsStr::new(name), given).unwrap_err();
            assert!(!failure.hint.is_empty(), "{name}: {failure:?}");
        }
    }
}
