//! What people type for a site or a project: addresses, folders, titles.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::limits::TITLE_BYTES_MAX;
use crate::model::project::Format;
use crate::model::{Address, Host, HostSite, Site};

use super::outcome::Failure;
use super::session::Session;

/// Checks a title: no control characters, bounded, not empty.
pub fn check_title(title: &str) -> Result<String, Failure> {
    if title.trim().is_empty() || title.chars().any(char::is_control) {
        return Err(Failure::new("a title is some text in one line, without control characters"));
    }
    if title.len() > TITLE_BYTES_MAX {
        return Err(Failure::new(format!("a title has at most {TITLE_BYTES_MAX} bytes")));
    }
    Ok(title.trim().to_owned())
}

/// Reads an address as a person types it.
pub fn parse_address(text: &str) -> Result<Address, Failure> {
    Address::new(text).map_err(|fault| {
        Failure::new(format!("\"{text}\": {fault}"))
            .hinted("an address is written as for mail: name@place.example")
    })
}

/// A site as a person names it: how it is reached tells what it is.
pub enum Remote {
    /// By mail: it has remsync.
    Mail(Site),
    /// By SSH: it has nothing of ours.
    Ssh(HostSite),
}

/// Reads `ADDRESS [DIR]`, where a `-` for the directory, or none, is not known; or
/// `ssh://[USER@]HOST[:PORT] DIR`.
pub fn parse_remote(text: &OsStr) -> Result<Remote, Failure> {
    let bytes = text.as_bytes();
    let (address, directory) = match bytes.iter().position(|&b| b == b' ') {
        Some(at) => (&bytes[..at], bytes[at + 1..].trim_ascii()),
        None => (bytes, &b"-"[..]),
    };
    let address =
        std::str::from_utf8(address).map_err(|_| Failure::new("an address that is not UTF-8"))?;
    if Host::is_url(address) {
        let host = Host::from_url(address)
            .map_err(|fault| Failure::new(format!("\"{address}\": {fault}")))?;
        if matches!(directory, b"" | b"-") || directory.contains(&0) {
            return Err(Failure::new(format!("{address}: a host needs a folder"))
                .hinted("ssh://USER@HOST:PORT DIR"));
        }
        return Ok(Remote::Ssh(HostSite { host, directory: directory.into() }));
    }
    let address = parse_address(address)?;
    let directory = match directory {
        b"" | b"-" => None,
        directory => Some(directory.into()),
    };
    Ok(Remote::Mail(Site { address, directory }))
}

/// Checks that a host can be a site of a project in `format`, and is none already.
pub fn check_new_host(format: Format, hosts: &[HostSite], site: &HostSite) -> Result<(), Failure> {
    if format == Format::V1_3 {
        return Err(Failure::new(format!("{}: format 1.3 cannot name it", site.host.url()))
            .hinted("hosts are sites in format 2.0"));
    }
    if hosts.iter().any(|known| known.host == site.host) {
        return Err(Failure::new(format!("{}: it is a remote already", site.host.url())));
    }
    Ok(())
}

/// Checks that a remote is neither here nor there already.
pub fn check_new_remote(here: &Address, remotes: &[Site], site: &Site) -> Result<(), Failure> {
    if site.address == *here {
        return Err(Failure::new(format!("{}: that is this site", site.address)));
    }
    if remotes.iter().any(|remote| remote.address == site.address) {
        return Err(Failure::new(format!("{}: it is a remote already", site.address)));
    }
    Ok(())
}

/// Writes a directory as people read it: `~` for what is below the home.
pub fn home_relative(session: &Session, directory: &Path) -> Box<[u8]> {
    let relative = session.places.home.as_ref().and_then(|home| directory.strip_prefix(home).ok());
    match relative {
        Some(rest) if rest.as_os_str().is_empty() => b"~".as_slice().into(),
        Some(rest) => {
            let mut shown = OsString::from("~/");
            shown.push(rest);
            shown.as_bytes().into()
        }
        None => directory.as_os_str().as_bytes().into(),
    }
}

/// Guesses the address of this site, as the programs of old did: who is logged in, where.
pub fn guessed_address(session: &Session) -> Option<String> {
    if let Some(from) = &session.settings.from {
        return Some(from.clone());
    }
    let user = session.places.user.as_ref()?;
    let host = rustix::system::uname();
    let host = host.nodename().to_str().ok()?;
    let address = format!("{user}@{host}").to_lowercase();
    (host.contains('.') && Address::new(&address).is_ok()).then_some(address)
}
