//! The settings file, `config.toml`: what a person sets once for this account.
//!
//! It reads no environment and no disk; a key that nobody knows is an error, for a misspelt
//! `unsigned` must not pass for a decision.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::model::Host;

/// A text that may hold a password: it is never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

/// What to do with a package that no trusted key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// It waits for a person.
    Hold,
    /// It is asked about where a person is there, and waits where none is.
    Ask,
    /// It is taken as if it were signed.
    Accept,
}

/// What to do with deletions that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deletions {
    /// They wait for a person.
    Ask,
    /// They are carried out, into the store of kept versions.
    Apply,
}

/// What is set for one project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    /// `dir`: its folder.
    pub dir: PathBuf,
    /// `unsigned`, in the place of the one in `[trust]`.
    pub unsigned: Unsigned,
}

/// The settings; `None` is a key that is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[mail] transport`: `sendmail`, `sendmail:PATH`, `smtp://…`, `smtps://…`, `maildir:DIR`.
    pub transport: Option<Secret>,
    /// `[mail] from`: the author of our mails.
    pub from: Option<String>,
    /// `[mail] user`: the user for AUTH, where the transport names none.
    pub user: Option<String>,
    /// `[mail] password_file`: its first line is the password for AUTH.
    pub password_file: Option<PathBuf>,
    /// `[mail] password_command`: a program and its arguments; the first line that it prints is
    /// the password for AUTH.
    pub password_command: Option<Vec<String>>,
    /// `[mail] ca_file`: certificates that are trusted beside those of the system, PEM.
    pub ca_file: Option<PathBuf>,
    /// `[mail] size_max_bytes`: the largest mail that our carrier takes, encoded.
    pub size_max_bytes: Option<u64>,
    /// `[queue] dir`.
    pub queue_dir: Option<PathBuf>,
    /// `resend_after`: when what nobody acknowledged is sent again.
    pub resend_after_seconds: Option<u64>,
    /// `ask_above_bytes`: a broadcast above it is asked about first.
    pub ask_above_bytes: Option<u64>,
    /// `[ssh] config`: passed to ssh as `-F`.
    pub ssh_config: Option<PathBuf>,
    /// `[[host]]`: how hosts without keys are let in to.
    pub hosts: Vec<HostSettings>,
    /// `[trust] unsigned`; not set is [`Unsigned::Hold`].
    pub unsigned: Option<Unsigned>,
    /// `[[project]]`: what is set for one project.
    pub projects: Vec<ProjectSettings>,
    /// `[trust] allowed_signers`: who may sign for whom.
    pub allowed_signers: Option<PathBuf>,
    /// `[trust] revoked_keys`: keys that are never trusted.
    pub revoked_keys: Option<PathBuf>,
    /// `[trust] sign_key`: the key that signs; a public one is asked of the agent.
    pub sign_key: Option<PathBuf>,
    /// `[trust] passphrase_file`: its first line opens our keys.
    pub passphrase_file: Option<PathBuf>,
    /// `[trust] passphrase_command`: the same, printed by a program.
    pub passphrase_command: Option<Vec<String>>,
    /// `[trust] seal_keys`: to whom packages are sealed.
    pub seal_keys: Option<PathBuf>,
    /// `[trust] open_keys`: keys that open what is sealed to us, beside the one that signs.
    pub open_keys: Vec<PathBuf>,
    /// `[policy] deletions`; not set is [`Deletions::Ask`].
    pub deletions: Option<Deletions>,
    /// `[keep] days`: for how long displaced versions and the run history are kept.
    pub keep_days: Option<u64>,
    /// `[keep] max_bytes`: how much of them.
    pub keep_max_bytes: Option<u64>,
    /// `[keep] base_max_bytes`: how much of the copies that merges need.
    pub base_max_bytes: Option<u64>,
}

impl Settings {
    /// Returns what is done in a project's folder with a package that no trusted key signed.
    pub fn unsigned_in(&self, dir: &Path) -> Unsigned {
        let of_project = self.projects.iter().find(|project| project.dir == dir);
        of_project.map(|project| project.unsigned).or(self.unsigned).unwrap_or(Unsigned::Hold)
    }
}

impl Secret {
    /// Returns the text, for whoever needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// `[[host]]`: what is set for one host that SSH reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// `url`: the host, as the project names it.
    pub host: Host,
    /// `password_file`: its first line is the password.
    pub password_file: Option<PathBuf>,
    /// `password_command`: a program and its arguments; the first line that it prints is.
    pub password_command: Option<Vec<String>>,
}

/// Why a settings file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct SettingsFault {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads the text of the settings file named `file`.
///
/// # Errors
/// The first [`SettingsFault`]: no TOML, an unknown key, a value of the wrong kind, a key set in
/// two places.
pub fn parse(text: &str, file: &str) -> Result<Settings, SettingsFault> {
    let fault = |at: Option<usize>, what: &str| SettingsFault {
        file: file.to_owned(),
        line: line_of(text, at.unwrap_or(0)),
        what: without_value(what.trim()).replace('\n', "; "),
    };
    let raw: Raw = toml::from_str(text)
        .map_err(|error| fault(error.span().map(|span| span.start), error.message()))?;
    let Raw { mail, queue, ssh, trust, policy, keep, .. } = raw;
    let once = |name: &str, twice: bool| match twice {
        true => Err(fault(text.rfind(name), &format!("{name} is set twice"))),
        false => Ok(()),
    };
    once("resend_after", raw.resend_after.is_some() && mail.resend_after.is_some())?;
    once("ask_above_bytes", raw.ask_above_bytes.is_some() && mail.ask_above_bytes.is_some())?;
    let both = mail.password_file.is_some() && mail.password_command.is_some();
    if both {
        let at = text.find("password_command");
        return Err(fault(at, "password_file and password_command: one of them is enough"));
    }
    let program = |name: &str, words: Option<Words>| match words.map(Words::into_words) {
        Some(words) if words.is_empty() => {
            Err(fault(text.find(name), &format!("{name} names no program")))
        }
        words => Ok(words),
    };
    let password_command = program("password_command", mail.password_command)?;
    let passphrase_command = program("passphrase_command", trust.passphrase_command)?;
    let mut hosts = Vec::new();
    for one in raw.host {
        let at = text.find(&format!("\"{}\"", one.url));
        if !Host::is_url(&one.url) {
            return Err(fault(at, "a host is written ssh://USER@HOST:PORT"));
        }
        let host = Host::from_url(&one.url).map_err(|why| fault(at, &why.to_string()))?;
        let password_command = program("password_command", one.password_command)?;
        if one.password_file.is_some() && password_command.is_some() {
            return Err(fault(at, "password_file and password_command: one of them is enough"));
        }
        hosts.push(HostSettings { host, password_file: one.password_file, password_command });
    }
    Ok(Settings {
        hosts,
        transport: mail.transport,
        from: mail.from,
        user: mail.user,
        password_file: mail.password_file,
        password_command,
        ca_file: mail.ca_file,
        size_max_bytes: mail.size_max_bytes,
        queue_dir: queue.dir,
        resend_after_seconds: raw.resend_after.or(mail.resend_after).map(|span| span.seconds),
        ask_above_bytes: raw.ask_above_bytes.or(mail.ask_above_bytes),
        ssh_config: ssh.config,
        unsigned: trust.unsigned,
        projects: raw.project,
        allowed_signers: trust.allowed_signers,
        revoked_keys: trust.revoked_keys,
        sign_key: trust.sign_key,
        passphrase_file: trust.passphrase_file,
        passphrase_command,
        seal_keys: trust.seal_keys,
        open_keys: trust.open_keys,
        deletions: policy.deletions,
        keep_days: keep.days,
        keep_max_bytes: keep.max_bytes,
        base_max_bytes: keep.base_max_bytes,
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    resend_after: Option<Span>,
    ask_above_bytes: Option<u64>,
    mail: RawMail,
    queue: RawQueue,
    ssh: RawSsh,
    trust: RawTrust,
    policy: RawPolicy,
    keep: RawKeep,
    project: Vec<ProjectSettings>,
    host: Vec<RawHost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    url: String,
    password_file: Option<PathBuf>,
    password_command: Option<Words>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMail {
    transport: Option<Secret>,
    from: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_command: Option<Words>,
    ca_file: Option<PathBuf>,
    size_max_bytes: Option<u64>,
    resend_after: Option<Span>,
    ask_above_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawQueue {
    dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSsh {
    config: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTrust {
    unsigned: Option<Unsigned>,
    allowed_signers: Option<PathBuf>,
    revoked_keys: Option<PathBuf>,
    sign_key: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    passphrase_command: Option<Words>,
    seal_keys: Option<PathBuf>,
    open_keys: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    deletions: Option<Deletions>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawKeep {
    days: Option<u64>,
    max_bytes: Option<u64>,
    base_max_bytes: Option<u64>,
}

/// A program and its arguments: an array, or a text that is split at white space and not otherwise.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a program is text, or an array of it and its arguments")]
enum Words {
    Text(String),
    Array(Vec<String>),
}

impl Words {
    fn into_words(self) -> Vec<String> {
        match self {
            Words::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Words::Array(words) => words,
        }
    }
}

/// A length of time: seconds, or a number with `s`, `m`, `h`, `d` or `w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SpanText")]
struct Span {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a length of time is seconds, or text such as \"3d\" or \"12h\"")]
enum SpanText {
    Seconds(u64),
    Text(String),
}

impl TryFrom<SpanText> for Span {
    type Error = String;

    fn try_from(text: SpanText) -> Result<Span, String> {
        match text {
            SpanText::Seconds(seconds) => Ok(Span { seconds }),
            SpanText::Text(text) => span_seconds(&text)
                .map(|seconds| Span { seconds })
                .ok_or_else(|| format!("{text:?} is no length of time: write \"3d\" or \"12h\"")),
        }
    }
}

/// Returns the seconds of a length of time: a number, alone or with `s`, `m`, `h`, `d` or `w`.
pub fn span_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_seconds = match unit.trim() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_seconds)
}

/// Takes a value that stands under the wrong key out of what is said of it: it may be a password.
fn without_value(what: &str) -> String {
    match (what.find("string \""), what.rfind("\", expected")) {
        (Some(begin), Some(end)) if begin < end => {
            let (before, after) = (what.get(..begin + 6), what.get(end + 1..));
            format!("{}{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => what.to_owned(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let text = r#"
resend_after = "3d"
[mail]
transport = "sendmail"
from = "a@x"
user = "ana"
password_command = "pass show  mail"
ca_file = "/ca.pem"
size_max_bytes = 10_000_000
ask_above_bytes = 7
[queue]
dir = "/q"
[ssh]
config = "/s"
[[host]]
url = "ssh://ana@host:2222"
password_command = "pass host"
[trust]
unsigned = "ask"
allowed_signers = "/a"
revoked_keys = "/r"
sign_key = "/k"
passphrase_file = "/p"
passphrase_command = ["pass", "show"]
seal_keys = "/e"
open_keys = ["/o"]
[policy]
deletions = "apply"
[keep]
days = 30
max_bytes = 5
base_max_bytes = 0
[[project]]
dir = "/old"
unsigned = "accept"
[[project]]
dir = "/new"
unsigned = "hold"
"#;
        let settings = parse(text, "config.toml").unwrap();
        let expected = Settings {
            transport: Some("sendmail".into()),
            from: Some("a@x".into()),
            user: Some("ana".into()),
            password_file: None,
            password_command: Some(vec!["pass".into(), "show".into(), "mail".into()]),
            ca_file: Some("/ca.pem".into()),
            size_max_bytes: Some(10_000_000),
            queue_dir: Some("/q".into()),
            resend_after_seconds: Some(3 * 86_400),
            ask_above_bytes: Some(7),
            ssh_config: Some("/s".into()),
            hosts: vec![HostSettings {
                host: Host::from_url("ssh://ana@host:2222").unwrap(),
                password_file: None,
                password_command: Some(vec!["pass".into(), "host".into()]),
            }],
            unsigned: Some(Unsigned::Ask),
            projects: [("/old", Unsigned::Accept), ("/new", Unsigned::Hold)]
                .map(|(dir, unsigned)| ProjectSettings { dir: dir.into(), unsigned })
                .to_vec(),
            allowed_signers: Some("/a".into()),
            revoked_keys: Some("/r".into()),
            sign_key: Some("/k".into()),
            passphrase_file: Some("/p".into()),
            passphrase_command: Some(vec!["pass".into(), "show".into()]),
            seal_keys: Some("/e".into()),
            open_keys: vec!["/o".into()],
            deletions: Some(Deletions::Apply),
            keep_days: Some(30),
            keep_max_bytes: Some(5),
            base_max_bytes: Some(0),
        };
        assert_eq!(settings, expected);
        for (dir, unsigned) in
            [("/old", Unsigned::Accept), ("/new", Unsigned::Hold), ("/other", Unsigned::Ask)]
        {
            assert_eq!(settings.unsigned_in(Path::new(dir)), unsigned, "{dir}");
        }
        assert_eq!(Settings::default().unsigned_in(Path::new("/other")), Unsigned::Hold);
        assert_eq!(parse("", "f"), Ok(Settings::default()));
    }

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("\"90\"", Some(90)),
            ("\"12h\"", Some(43_200)),
            ("\"3d\"", Some(259_200)),
            ("\"3 d\"", Some(259_200)),
            ("\"2w\"", Some(1_209_600)),
            ("\"3y\"", None),
            ("\"d\"", None),
            ("\"\"", None),
            ("-1", None),
            ("1.5", None),
            ("\"99999999999999999999d\"", None),
            ("\"18446744073709551615w\"", None),
        ] {
            let parsed = parse(&format!("[mail]\nresend_after = {text}"), "f").ok();
            assert_eq!(
                parsed.and_then(|settings| settings.resend_after_seconds),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn faults_name_the_line() {
        for (text, line, word) in [
            ("[mail]\nfoo = 1", 2, "foo"),
            ("[nail]", 1, "nail"),
            ("\n\n[trust]\nunsigned = \"yes\"", 4, "hold"),
            ("[mail", 1, ""),
            ("[mail]\nsize_max_bytes = \"x\"", 2, "u64"),
            ("resend_after = 1\n[mail]\nresend_after = 2", 3, "twice"),
            ("[mail]\nresend_after = \"x\"", 2, "length of time"),
            ("[mail]\npassword = \"hunter2\"", 2, "password_file"),
            (
                "[mail]\nsize_max_bytes = \"smtp://u:hunter2@h\"",
                2,
                "invalid type: string, expected",
            ),
            ("[mail]\npassword_file = \"/x\"\npassword_command = \"y\"", 3, "one of them"),
            ("[mail]\npassword_command = \" \"", 2, "no program"),
            ("[[host]]\nurl = \"host\"", 2, "ssh://"),
            (
                "[[host]]\nurl = \"ssh://h\"\npassword_file = \"/x\"\npassword_command = \"y\"",
                2,
                "one of them",
            ),
            ("[[host]]\nurl = \"ssh://h\"\npassword = \"hunter2\"", 3, "password_file"),
            ("[mail]\npassword_command = []", 2, "no program"),
            ("[mail]\npassword_command = 1", 2, "array"),
            ("[trust]\npassphrase_command = []", 2, "no program"),
            ("[[project]]\ndir = \"/a\"", 1, "unsigned"),
            ("[[project]]\ndir = \"/a\"\nunsigned = \"hold\"\ntitle = \"x\"", 4, "title"),
        ] {
            let fault = parse(text, "c.toml").unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault}");
            assert!(fault.to_string().starts_with("c.toml:"), "{fault}");
            assert!(fault.what.contains(word), "{text}: {fault}");
            assert!(!fault.to_string().contains('\n'), "{fault}");
            assert!(!format!("{fault} {fault:?}").contains("hunter"), "{fault}");
        }
    }

    #[test]
    fn a_program_s_arguments_are_words_or_an_array() {
        for (text, words) in [
            ("\"/a/b\"", vec!["/a/b"]),
            ("[\"sh\", \"-c\", \"a | b\"]", vec!["sh", "-c", "a | b"]),
            ("\"a 'b c'\"", vec!["a", "'b", "c'"]),
        ] {
            let settings = parse(&format!("[mail]\npassword_command = {text}"), "f").unwrap();
            assert_eq!(settings.password_command.unwrap(), words, "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let settings = parse("[mail]\ntransport = \"smtp://u:hunter2@h\"", "f").unwrap();
        assert!(!format!("{settings:?} {settings:#?}").contains("hunter"), "{settings:?}");
        assert_eq!(settings.transport.unwrap().expose(), "smtp://u:hunter2@h");
    }
}
