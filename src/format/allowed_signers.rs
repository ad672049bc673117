//! `allowed_signers`: who may sign for whom, in OpenSSH's own form (ssh-keygen(1), "ALLOWED
//! SIGNERS").
//!
//! A principal is the address of a site. Certificates are not taken: a line with `cert-authority`
//! lets nobody sign here, as it lets no plain key sign for ssh-keygen. Invariant: a line that
//! cannot be read whole trusts nobody.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::public_key::{KeyFault, PublicKey};
use crate::model::Address;
use crate::model::signer::Standing;

/// The lines of an `allowed_signers` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    /// Those that could be read.
    pub lines: Vec<Allowed>,
    /// Those that could not: number from 1, and why.
    pub faults: Vec<(usize, LineFault)>,
}

/// One line: a key, and whom it may sign for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Its number, from 1.
    pub number: usize,
    /// A list of patterns, with commas.
    pub principals: String,
    /// The key.
    pub key: PublicKey,
    /// The key signs certificates, and nothing else.
    pub is_authority: bool,
    /// What it may sign for, as a list of patterns; `None` is everything.
    pub namespaces: Option<String>,
    /// From when on it may sign, in ms since 1970.
    pub valid_after_ms: Option<i64>,
    /// Until when.
    pub valid_before_ms: Option<i64>,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// There is no key where one belongs.
    #[error("{0}")]
    Key(KeyFault),
    /// An option that is not known, or has no value it can have.
    #[error("the option \"{0}\" cannot be read")]
    Option(String),
    /// A quotation mark that is not closed, or principals without a key.
    #[error("it is no list of principals, options and a key")]
    Shape,
    /// The two times leave none between them.
    #[error("valid-after is not before valid-before")]
    Times,
}

/// Reads a file; times without a `Z` are in `zone`.
pub fn parse(text: &str, zone: &TimeZone) -> AllowedSigners {
    let mut signers = AllowedSigners::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line, zone) {
            Ok(allowed) => signers.lines.push(Allowed { number, ..allowed }),
            Err(fault) => signers.faults.push((number, fault)),
        }
    }
    signers
}

/// Returns the line that trusts `key` to sign packages of `address`, and nothing else.
pub fn line(address: &Address, key: &PublicKey) -> String {
    format!("{address} namespaces=\"{}\" {}", super::sshsig::NAMESPACE, key.line())
}

/// Whether an address can stand in a line as itself: a pattern would trust more than is meant.
pub fn is_plain(address: &Address) -> bool {
    !address.as_str().contains(['*', '?', '!', ',', '"', '#', '\\'])
}

/// Whether `text` fits a list of patterns, as ssh_config(5) has it: `*` and `?`, a leading `!`
/// takes away.
pub fn fits(patterns: &str, text: &str) -> bool {
    let mut is_in = false;
    for pattern in patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits_one(pattern.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => is_in |= fits_one(pattern.as_bytes(), text.as_bytes()),
        }
    }
    is_in
}

impl AllowedSigners {
    /// Says where `key` stands as a signer for `origin` in a namespace, its signature taken to
    /// hold. Where several lines have it, the best counts.
    pub fn standing(
        &self,
        key: &PublicKey,
        origin: &str,
        namespace: &str,
        now_ms: i64,
    ) -> Standing {
        let of_key = self.lines.iter().filter(|line| line.key == *key && !line.is_authority);
        let standings = of_key.map(|line| line.standing(origin, namespace, now_ms));
        standings.max().unwrap_or_else(|| Standing::Unknown(key.fingerprint()))
    }

    /// Returns the lines whose keys may sign for `address`.
    pub fn of<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = &'a Allowed> {
        self.lines
            .iter()
            .filter(|line| !line.is_authority && fits(&line.principals, address.as_str()))
    }
}

impl Allowed {
    fn standing(&self, origin: &str, namespace: &str, now_ms: i64) -> Standing {
        let key = self.key.fingerprint();
        if self.namespaces.as_ref().is_some_and(|list| !fits(list, namespace)) {
            return Standing::Unknown(key);
        }
        if !fits(&self.principals, origin) {
            let (of, origin) = (self.principals.clone(), origin.to_owned());
            return Standing::WrongSigner { key, of, origin };
        }
        // As ssh-keygen has it, both ends belong to the time.
        if self.valid_after_ms.is_some_and(|after| now_ms < after) {
            return Standing::NotYet { key };
        }
        if self.valid_before_ms.is_some_and(|before| now_ms > before) {
            return Standing::Expired { key };
        }
        Standing::Good { key }
    }
}

fn parse_line(line: &str, zone: &TimeZone) -> Result<Allowed, LineFault> {
    let (principals, rest) = first_word(line).ok_or(LineFault::Shape)?;
    let (options, key) = match PublicKey::parse(rest) {
        Ok(key) => (String::new(), key),
        Err(fault) => {
            let (options, rest) = first_word(rest).ok_or(LineFault::Shape)?;
            // Without options the fault of the key is the one to tell.
            let is_option = |word: &str| word.contains('=') || word == "cert-authority";
            let has_options = options.split(',').next().is_some_and(is_option);
            let key = PublicKey::parse(rest).map_err(|inner| match has_options {
                true => LineFault::Key(inner),
                false => LineFault::Key(fault),
            })?;
            (options, key)
        }
    };
    let principals = principals.trim_matches('"').to_owned();
    let mut allowed = Allowed {
        number: 0,
        principals,
        key,
        is_authority: false,
        namespaces: None,
        valid_after_ms: None,
        valid_before_ms: None,
    };
    for option in split_options(&options) {
        allowed.set(option, zone)?;
    }
    match (allowed.valid_after_ms, allowed.valid_before_ms) {
        (Some(after), Some(before)) if after >= before => Err(LineFault::Times),
        _ => Ok(allowed),
    }
}

impl Allowed {
    fn set(&mut self, option: &str, zone: &TimeZone) -> Result<(), LineFault> {
        let fault = || LineFault::Option(option.to_owned());
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let quoted = |value: Option<&str>| {
            let inside = value?.strip_prefix('"')?.strip_suffix('"')?;
            (!inside.is_empty() && !inside.contains('"')).then(|| inside.to_owned())
        };
        let time = |value| quoted(value).and_then(|text| time_ms(&text, zone));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("cert-authority", None) => self.is_authority = true,
            ("namespaces", value) if self.namespaces.is_none() => {
                self.namespaces = Some(quoted(value).ok_or_else(fault)?);
            }
            ("valid-after", value) if self.valid_after_ms.is_none() => {
                self.valid_after_ms = Some(time(value).ok_or_else(fault)?);
            }
            ("valid-before", value) if self.valid_before_ms.is_none() => {
                self.valid_before_ms = Some(time(value).ok_or_else(fault)?);
            }
            _ => return Err(fault()),
        }
        Ok(())
    }
}

/// Splits the first word off; blanks within quotation marks are a part of it.
fn first_word(text: &str) -> Option<(String, &str)> {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => {
                let (word, rest) = text.split_at(at);
                return Some((word.to_owned(), rest.trim_start()));
            }
            _ => {}
        }
    }
    None
}

fn split_options(options: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let between = |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    options.split(between).filter(|option| !option.is_empty()).collect()
}

/// Reads `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in `zone` unless a `Z` follows.
fn time_ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, &TimeZone::UTC),
        None => (text, zone),
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let field = |from: usize, to: usize| digits.get(from..to).unwrap_or("0").parse::<i8>().ok();
    let year: i16 = digits.get(..4)?.parse().ok()?;
    let date = Date::new(year, field(4, 6)?, field(6, 8)?).ok()?;
    let seconds = if digits.len() == 14 { field(12, 14)? } else { 0 };
    let (hours, minutes) =
        if digits.len() >= 12 { (field(8, 10)?, field(10, 12)?) } else { (0, 0) };
    let time = Time::new(hours, minutes, seconds, 0).ok()?;
    let zoned = zone.to_zoned(DateTime::from_parts(date, time)).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// Goes back to the last `*` where what follows it does not fit: no pattern takes longer than its
/// length times that of the text.
fn fits_one(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                None => return false,
                Some((after, at)) => {
                    star = Some((after, at + 1));
                    (p, t) = (after, at + 1);
                }
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::sshsig::NAMESPACE;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQUNgQAb+dCdWHIu3zmT5i5g31jWyGkNXRXNBOHlQTY";
    /// 2026-11-22 00:00 UTC.
    const NOW_MS: i64 = 1_795_305_600_000;

    fn key(text: &str) -> PublicKey {
        PublicKey::parse(text).unwrap()
    }

    fn standing(line: &str, origin: &str) -> Standing {
        let signers = parse(line, &TimeZone::UTC);
        assert_eq!(signers.faults, [], "{line}");
        signers.standing(&key(KEY), origin, NAMESPACE, NOW_MS)
    }

    #[test]
    fn who_may_sign_for_whom() {
        let print = || key(KEY).fingerprint();
        let good = || Standing::Good { key: print() };
        let unknown = || Standing::Unknown(print());
        let wrong =
            |of: &str| Standing::WrongSigner { key: print(), of: of.into(), origin: "a@x".into() };
        for (line, expected) in [
            (format!("a@x {KEY}"), good()),
            (format!("a@x {KEY} a comment, \"with\" marks"), good()),
            (format!("\"a@x\" {KEY}"), good()),
            (format!("b@x,a@x\tnamespaces=\"remsync\"\t{KEY}"), good()),
            (format!("*@x namespaces=\"git,rem*\" {KEY}"), good()),
            (format!("*@x,!a@x {KEY}"), wrong("*@x,!a@x")),
            (format!("A@x {KEY}"), wrong("A@x")),
            (format!("b@x {KEY}"), wrong("b@x")),
            (format!("a@x {OTHER}"), unknown()),
            (format!("# a@x {KEY}"), unknown()),
            (format!("a@x cert-authority {KEY}"), unknown()),
            (format!("a@x namespaces=\"git\" {KEY}"), unknown()),
            (format!("a@x namespaces=\"remsync-package\" {KEY}"), unknown()),
            (format!("a@x valid-before=\"20261122\" {KEY}"), good()),
            (
                format!("a@x valid-before=\"20261121235959Z\" {KEY}"),
                Standing::Expired { key: print() },
            ),
            (format!("a@x valid-after=\"20261122\" {KEY}"), good()),
            (format!("a@x valid-after=\"202611220001\" {KEY}"), Standing::NotYet { key: print() }),
            (format!("a@x VALID-AFTER=\"20250101\",valid-before=\"20270101\" {KEY}"), good()),
            // The best of several lines.
            (format!("b@x {KEY}\na@x valid-before=\"20200101\" {KEY}\na@x {KEY}"), good()),
        ] {
            assert_eq!(standing(&line, "a@x"), expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_trusts_nobody() {
        let option = |text: &str| LineFault::Option(text.into());
        for (line, fault) in [
            ("a@x".to_owned(), LineFault::Shape),
            (format!("\"a@x {KEY}"), LineFault::Shape),
            (format!("a@x ssh-ed25519 {}", &KEY[20..]), LineFault::Key(KeyFault::NotAKey)),
            (format!("a@x namespace=\"remsync\" {KEY}"), option("namespace=\"remsync\"")),
            (format!("a@x namespaces=remsync {KEY}"), option("namespaces=remsync")),
            (format!("a@x namespaces=\"\" {KEY}"), option("namespaces=\"\"")),
            (format!("a@x namespaces=\"a\",namespaces=\"b\" {KEY}"), option("namespaces=\"b\"")),
            (format!("a@x valid-before=\"2026\" {KEY}"), option("valid-before=\"2026\"")),
            (format!("a@x valid-before=\"20261322\" {KEY}"), option("valid-before=\"20261322\"")),
            (format!("a@x no-touch {KEY}"), option("no-touch")),
            (
                format!("a@x valid-after=\"20270101\",valid-before=\"20260101\" {KEY}"),
                LineFault::Times,
            ),
        ] {
            let signers = parse(&format!("\n{line}\n"), &TimeZone::UTC);
            assert_eq!(signers.faults, [(2, fault)], "{line}");
            assert_eq!(signers.lines, [], "{line}");
        }
    }

    #[test]
    fn what_we_write_is_read_back_and_trusts_one_address() {
        let address = Address::new("ann@ship.example").unwrap();
        let written = line(&address, &key(KEY));
        let signers = parse(&written, &TimeZone::UTC);
        assert_eq!(signers.of(&address).count(), 1);
        assert!(signers.standing(&key(KEY), "ann@ship.example", NAMESPACE, 0).is_good());
        assert!(!signers.standing(&key(KEY), "ann@ship.example", "git", 0).is_good());
        for (text, plain) in [("a@x", true), ("a*@x", false), ("a,b@x", false), ("!a@x", false)] {
            assert_eq!(is_plain(&Address::new(text).unwrap()), plain, "{text}");
        }
    }

    #[test]
    fn patterns() {
        for (patterns, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", false),
            (",b", "", false),
            ("", "a", false),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("?", "é", false),
            ("x,a?c", "abc", true),
            ("!abc,*", "abc", false),
            ("*,!abc", "abc", false),
            ("!abc", "abd", false),
        ] {
            assert_eq!(fits(patterns, text), expected, "{patterns} {text}");
        }
        let slow = "*a".repeat(300);
        assert!(!fits(&slow, &"a".repeat(250)));
    }
}
