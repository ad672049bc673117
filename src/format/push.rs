//! What `push` is told: `config.ini`, `connection_info.json`, and a mapper file for each host.
//!
//! It reads no disk. A fault of one host stands in that host's place: the others are not to suffer
//! from it.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::settings::Secret;
use crate::model::Host;
use crate::model::limits::HOSTS_MAX;

/// Hosts at a time, unless `number_of_connections` says otherwise.
const CONNECTIONS: usize = 2;
/// Minutes between two pushes, unless `synctime` says otherwise.
const SYNC_MINUTES: u64 = 60;

/// `config.ini`: a missing key has its default. Paths are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushSettings {
    /// `number_of_connections`: hosts at a time.
    pub connections: usize,
    /// `log_path`: the folder of the logs.
    pub log_path: PathBuf,
    /// `address_mapper_path`: the folder of the mapper files.
    pub mapper_path: PathBuf,
    /// `connection_info_path`: the file of the hosts.
    pub connections_path: PathBuf,
    /// `autosync`, `synctime`: minutes after which all is done again.
    pub again_after_minutes: Option<u64>,
    /// Keys that nobody knows.
    pub unknown: Vec<String>,
}

/// One entry of `connection_info.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `ip_address` as it stands there; it names the mapper file too.
    pub address: String,
    /// The host, or what is wrong with its entry.
    pub host: Result<Host, String>,
    /// `passkey`; none, or an empty one, means keys.
    pub passkey: Option<Secret>,
}

/// One entry of a mapper file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mapping {
    /// A file or folder here.
    pub src: String,
    /// What it is called there.
    pub dest: String,
}

/// Why one of the files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct PushFault {
    /// The file, as it was named.
    pub file: String,
    /// What is wrong, with its line where there is one.
    pub what: String,
}

/// Reads `config.ini`, named `file`.
///
/// # Errors
/// A line that is none, or a value that cannot be.
pub fn parse_settings(text: &str, file: &str) -> Result<PushSettings, PushFault> {
    let mut settings = PushSettings {
        connections: CONNECTIONS,
        log_path: "../logs/".into(),
        mapper_path: "path_mapper/".into(),
        connections_path: "connection_info.json".into(),
        again_after_minutes: None,
        unknown: Vec::new(),
    };
    let (mut is_again, mut minutes) = (false, SYNC_MINUTES);
    for (line, key, value) in ini_lines(text, file)? {
        let fault = |what: &str| PushFault {
            file: file.to_owned(),
            what: format!("line {line}: {key}: \"{value}\" is {what}"),
        };
        match key.as_str() {
            "number_of_connections" => {
                let number = value.parse().ok().filter(|n| (1..=HOSTS_MAX).contains(n));
                settings.connections = number.ok_or_else(|| fault("no number from 1 on"))?;
            }
            "log_path" => settings.log_path = value.into(),
            "address_mapper_path" => settings.mapper_path = value.into(),
            "connection_info_path" => settings.connections_path = value.into(),
            "autosync" => is_again = truth(&value).ok_or_else(|| fault("neither yes nor no"))?,
            "synctime" => {
                let number = value.parse().ok().filter(|n| (1..=525_600).contains(n));
                minutes = number.ok_or_else(|| fault("no number of minutes from 1 on"))?;
            }
            _ => settings.unknown.push(key),
        }
    }
    settings.again_after_minutes = is_again.then_some(minutes);
    Ok(settings)
}

/// Reads `connection_info.json`, named `file`: a list of hosts.
///
/// # Errors
/// It is no such list, or has more than [`HOSTS_MAX`] hosts. What is wrong with one entry is said in
/// its place.
pub fn parse_connections(text: &[u8], file: &str) -> Result<Vec<Connection>, PushFault> {
    let fault = |what: String| PushFault { file: file.to_owned(), what };
    let entries: Vec<Value> = serde_json::from_slice(text).map_err(|e| fault(json_fault(&e)))?;
    if entries.len() > HOSTS_MAX {
        return Err(fault(format!("over {HOSTS_MAX} hosts")));
    }
    Ok(entries.iter().zip(1..).map(|(entry, number)| connection(entry, number)).collect())
}

/// Reads a mapper file, named `file`: a list of what goes where, or one entry alone.
///
/// # Errors
/// It is no such list, or names nothing.
pub fn parse_mappings(text: &[u8], file: &str) -> Result<Vec<Mapping>, PushFault> {
    let fault = |what: String| PushFault { file: file.to_owned(), what };
    let value: Value = serde_json::from_slice(text).map_err(|e| fault(json_fault(&e)))?;
    let entries = match value {
        Value::Array(entries) => entries,
        entry => vec![entry],
    };
    let mut mappings = Vec::new();
    for (entry, number) in entries.into_iter().zip(1..) {
        let mapping: Mapping = serde_json::from_value(entry)
            .map_err(|error| fault(format!("entry {number}: {error}")))?;
        for (key, text) in [("src", &mapping.src), ("dest", &mapping.dest)] {
            if text.is_empty() || text.contains('\0') {
                return Err(fault(format!("entry {number}: \"{key}\" names no file or folder")));
            }
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

/// Reads one host. Nothing of an entry is in what is said of it but its address and user.
fn connection(entry: &Value, number: usize) -> Connection {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::trim);
    let address = text("ip_address").unwrap_or_default().to_owned();
    let user = text("user").filter(|user| !user.is_empty());
    let port = match entry.get("port") {
        None => Ok(None),
        Some(port) => port
            .as_u64()
            .or_else(|| port.as_str()?.parse().ok())
            .and_then(|port| u16::try_from(port).ok())
            .map(Some)
            .ok_or_else(|| "\"port\" is no number from 1 to 65535".to_owned()),
    };
    let host = if address.is_empty() {
        Err(format!("entry {number} has no \"ip_address\""))
    } else {
        let host = port
            .and_then(|port| Host::new(user, &address, port).map_err(|fault| fault.to_string()));
        host.map_err(|what| format!("entry {number}: {what}"))
    };
    let passkey = text("passkey").filter(|text| !text.is_empty()).map(Secret::from);
    let is_said = |key: &str| entry.get(key).is_some_and(|value| !value.is_null());
    let host = match passkey {
        None if is_said("passkey") && text("passkey").is_none() => {
            Err(format!("entry {number}: \"passkey\" is no text"))
        }
        _ => host,
    };
    let shown = if address.is_empty() { format!("entry {number}") } else { address };
    Connection { address: shown, host, passkey }
}

/// Returns what serde says of a text, which never quotes it: it may hold a password.
fn json_fault(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "it is no list",
        _ => "it is no JSON",
    };
    format!("line {}: {what}", error.line())
}

/// Returns the lines of the default section, the keys in lower case: line, key, value.
///
/// As Python's configparser reads them, less interpolation: comments are lines of their own, a value
/// is all that follows `=` or `:`.
fn ini_lines(text: &str, file: &str) -> Result<Vec<(usize, String, String)>, PushFault> {
    let mut is_default = true;
    let mut lines = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            is_default = section.trim().eq_ignore_ascii_case("DEFAULT");
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']) else {
            let what = format!("line {number}: neither [DEFAULT] nor \"key = value\"");
            return Err(PushFault { file: file.to_owned(), what });
        };
        if is_default {
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            lines.push((number, key.trim().to_lowercase(), value.to_owned()));
        }
    }
    Ok(lines)
}

fn truth(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_their_defaults() {
        let settings = parse_settings("", "config.ini").unwrap();
        assert_eq!(settings.connections, 2);
        assert_eq!(settings.log_path, PathBuf::from("../logs/"));
        assert_eq!(settings.mapper_path, PathBuf::from("path_mapper/"));
        assert_eq!(settings.connections_path, PathBuf::from("connection_info.json"));
        assert_eq!(settings.again_after_minutes, None);
        let text = "[DEFAULT]\r\nNumber_Of_Connections = 16\nlog_path: /l ogs\n\
                    # autosync = no\n; synctime = 1\nautosync = True\nsynctime=5\nx = %(y)s\n\
                    [other]\nnumber_of_connections = 3\n";
        let settings = parse_settings(text, "config.ini").unwrap();
        assert_eq!(settings.connections, 16);
        assert_eq!(settings.log_path, PathBuf::from("/l ogs"));
        assert_eq!(settings.again_after_minutes, Some(5));
        assert_eq!(settings.unknown, ["x"]);
    }

    #[test]
    fn settings_that_cannot_be() {
        for (text, word) in [
            ("number_of_connections = 0", "line 1: number_of_connections"),
            ("[DEFAULT]\nnumber_of_connections = two", "line 2"),
            ("autosync = perhaps", "neither yes nor no"),
            ("synctime = 0", "minutes"),
            ("nonsense", "key = value"),
        ] {
            let fault = parse_settings(text, "config.ini").unwrap_err().to_string();
            assert!(fault.starts_with("config.ini: ") && fault.contains(word), "{text}: {fault}");
        }
    }

    #[test]
    fn hosts_and_what_is_wrong_with_them() {
        let text = br#"[
            {"ip_address": "10.0.0.7", "user": "ana", "passkey": "hunter2"},
            {"ip_address": "www.example", "user": "ana", "passkey": "", "port": 2222},
            {"ip_address": "10.0.0.999", "user": "ana"},
            {"ip_address": "-oProxyCommand=x", "user": "ana"},
            {"user": "ana"},
            {"ip_address": "10.0.0.8", "port": 70000},
            {"ip_address": "10.0.0.9", "passkey": 7},
            7
        ]"#;
        let all = parse_connections(text, "c.json").unwrap();
        let shown: Vec<String> = all
            .iter()
            .map(|c| c.host.as_ref().map_or_else(Clone::clone, ToString::to_string))
            .collect();
        assert_eq!(shown[..2], ["ana@10.0.0.7", "ana@www.example:2222"]);
        let words = ["no IP address", "begins with", "ip_address", "port", "no text", "ip_address"];
        for (shown, word) in shown[2..].iter().zip(words) {
            assert!(shown.contains(word), "{shown}");
        }
        assert_eq!(all[0].passkey.as_ref().map(Secret::expose), Some("hunter2"));
        assert_eq!(all[1].passkey, None);
        assert!(!format!("{all:?}").contains("hunter"), "a secret is never shown");
        for text in ["{}", "[", "hunter2", "[{\"passkey\": \"hunter2\"]"] {
            let fault = parse_connections(text.as_bytes(), "c.json").unwrap_err().to_string();
            assert!(!fault.contains("hunter"), "{fault}");
        }
    }

    #[test]
    fn the_hosts_have_a_bound() {
        let entries = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert!(parse_connections(entries(HOSTS_MAX).as_bytes(), "c").is_ok());
        assert!(parse_connections(entries(HOSTS_MAX + 1).as_bytes(), "c").is_err());
    }

    #[test]
    fn mappings_are_a_list_or_one() {
        let one = br#"{"src": "a", "dest": "/b"}"#;
        let mapping = Mapping { src: "a".into(), dest: "/b".into() };
        assert_eq!(parse_mappings(one, "m"), Ok(vec![mapping.clone()]));
        let list = [b"[", &one[..], b"]"].concat();
        assert_eq!(parse_mappings(&list, "m"), Ok(vec![mapping]));
        for text in ["7", "[{}]", r#"[{"src": "", "dest": "b"}]"#, r#"[{"src": "a"}]"#, "["] {
            assert!(parse_mappings(text.as_bytes(), "m").is_err(), "{text}");
        }
    }
}
