//! Hosts: where an SSH server listens, and as whom we come.
//!
//! Not whether it is there or who it is: ssh finds that out. Invariant: neither name nor user can be
//! taken for an option by ssh, or for several words by anybody.

use std::fmt;

use super::limits::ADDRESS_BYTES_MAX;

/// How an address of a host begins where others may be meant.
const SCHEME: &str = "ssh://";

/// An SSH server and an account there; what is not said is as ssh's own settings have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

/// A place that holds a copy of the tree where nothing of ours is: we look ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSite {
    /// The server.
    pub host: Host,
    /// The top directory there: absolute, or below the account's home. Bytes, for a name need not
    /// be UTF-8.
    pub directory: Box<[u8]>,
}

/// Why some text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// There is no name.
    Empty,
    /// Name or user begins with `-`: ssh would take it for an option.
    LeadingDash,
    /// A character that no name or user may hold.
    Character(char),
    /// More than [`ADDRESS_BYTES_MAX`] bytes.
    TooLong,
    /// The port is no number from 1 to 65535.
    Port,
    /// Numbers and dots that are no IP address.
    Number,
    /// A password, in the place of a user.
    Password,
    /// A folder follows: it is said apart.
    Folder,
}

impl Host {
    /// Checks the parts.
    ///
    /// # Errors
    /// The first [`HostFault`] found.
    pub fn new(user: Option<&str>, name: &str, port: Option<u16>) -> Result<Host, HostFault> {
        let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        for text in [Some(name), user].into_iter().flatten() {
            check(text)?;
        }
        if name.contains('@') {
            return Err(HostFault::Character('@'));
        }
        let is_numbers = name.contains('.') && name.chars().all(|c| c.is_ascii_digit() || c == '.');
        if is_numbers && !is_ipv4(name) {
            return Err(HostFault::Number);
        }
        if port == Some(0) {
            return Err(HostFault::Port);
        }
        Ok(Host { user: user.map(str::to_owned), name: name.to_lowercase(), port })
    }

    /// Whether `text` means a host and not a mail address.
    pub fn is_url(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads `ssh://[USER@]HOST[:PORT]`.
    ///
    /// # Errors
    /// The first [`HostFault`] found.
    pub fn from_url(text: &str) -> Result<Host, HostFault> {
        let rest = if Host::is_url(text) { &text[SCHEME.len()..] } else { text };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(HostFault::Password),
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if place.contains('/') {
            return Err(HostFault::Folder);
        }
        let (name, port) = split_port(place)?;
        Host::new(user, name, port)
    }

    /// Returns the account, if one is named.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the host's name or IP address, without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the host as [`Host::from_url`] reads it.
    pub fn url(&self) -> String {
        format!("{SCHEME}{self}")
    }
}

/// As people write it: `user@host:port`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.name.contains(':') {
            true => write!(f, "[{}]", self.name)?,
            false => f.write_str(&self.name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostFault::Empty => f.write_str("it names no host"),
            HostFault::LeadingDash => f.write_str("a host or user that begins with \"-\""),
            HostFault::Character(c) => write!(f, "a host or user with {c:?} in it"),
            HostFault::TooLong => write!(f, "a host or user over {ADDRESS_BYTES_MAX} bytes"),
            HostFault::Port => f.write_str("a port is a number from 1 to 65535"),
            HostFault::Number => f.write_str("numbers that are no IP address"),
            HostFault::Password => f.write_str("a password has no place in an address"),
            HostFault::Folder => f.write_str("the folder follows the host after a space"),
        }
    }
}

impl std::error::Error for HostFault {}

fn check(text: &str) -> Result<(), HostFault> {
    if text.is_empty() {
        return Err(HostFault::Empty);
    }
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(HostFault::TooLong);
    }
    if text.starts_with('-') {
        return Err(HostFault::LeadingDash);
    }
    // ssh expands "%" in some of its settings, and hands names to ProxyCommand's shell.
    let is_wrong = |c: &char| {
        c.is_control() || c.is_whitespace() || "/\\\"'`$&;|<>(){}*?!#%,[]^~".contains(*c)
    };
    text.chars().find(is_wrong).map_or(Ok(()), |c| Err(HostFault::Character(c)))
}

/// Four numbers from 0 to 255, without leading zeros, which some programs take for octal.
fn is_ipv4(name: &str) -> bool {
    let is_part =
        |part: &str| part.parse::<u8>().is_ok() && (part == "0" || !part.starts_with('0'));
    name.split('.').count() == 4 && name.split('.').all(is_part)
}

/// Takes a port off; an IPv6 address with one stands in brackets.
fn split_port(place: &str) -> Result<(&str, Option<u16>), HostFault> {
    let (name, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or(HostFault::Character('['))?;
            match after.strip_prefix(':') {
                Some(port) => (name, port),
                None if after.is_empty() => return Ok((name, None)),
                None => return Err(HostFault::Character(']')),
            }
        }
        None => match place.rsplit_once(':') {
            Some((name, _)) if name.contains(':') => return Ok((place, None)),
            Some((name, port)) => (name, port),
            None => return Ok((place, None)),
        },
    };
    let digits = port.chars().all(|c| c.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0);
    Ok((name, Some(port.ok_or(HostFault::Port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts() {
        let long = "h".repeat(ADDRESS_BYTES_MAX);
        let too_long = "h".repeat(ADDRESS_BYTES_MAX + 1);
        let table: &[(&str, Result<&str, HostFault>)] = &[
            ("ssh://ana@www.example:22", Ok("ana@www.example:22")),
            ("SSH://Ana@WWW.example", Ok("Ana@www.example")),
            ("10.0.0.7", Ok("10.0.0.7")),
            ("ssh://::1", Ok("[::1]")),
            ("ssh://ana@[fe80::1]:2222", Ok("ana@[fe80::1]:2222")),
            ("ana@corp@host", Ok("ana@corp@host")),
            ("host/", Ok("host")),
            (&long, Ok(&long)),
            (&too_long, Err(HostFault::TooLong)),
            ("", Err(HostFault::Empty)),
            ("ssh://", Err(HostFault::Empty)),
            ("@host", Err(HostFault::Empty)),
            ("-oProxyCommand=x", Err(HostFault::LeadingDash)),
            ("-l@host", Err(HostFault::LeadingDash)),
            ("a b", Err(HostFault::Character(' '))),
            ("host;x", Err(HostFault::Character(';'))),
            ("$(x)", Err(HostFault::Character('$'))),
            ("host:0", Err(HostFault::Port)),
            ("host:65535", Ok("host:65535")),
            ("host:65536", Err(HostFault::Port)),
            ("host:+22", Err(HostFault::Port)),
            ("[::1", Err(HostFault::Character('['))),
            ("999.1.1.1", Err(HostFault::Number)),
            ("1.2.3", Err(HostFault::Number)),
            ("ana:secret@host", Err(HostFault::Password)),
            ("host/folder", Err(HostFault::Folder)),
        ];
        for (text, expected) in table {
            let read = Host::from_url(text);
            let shown = read.as_ref().map(Host::to_string).map_err(|fault| *fault);
            assert_eq!(shown, expected.map(str::to_owned), "{text}");
            if let Ok(host) = read {
                assert_eq!(Host::from_url(&host.url()), Ok(host), "{text}");
            }
        }
    }
}
