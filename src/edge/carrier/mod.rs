//! What takes a package to a site.
//!
//! A carrier does not know what a package says. Invariant: what it answers `Ok` for is durably in
//! other hands (a maildir, a folder, a mail system's queue, an SMTP server); until then beliefs
//! must not change. One carrier lives for a whole broadcast, so that SMTP is one connection.

mod cargo;
mod failure;
mod folder;
mod maildir;
mod put;
mod secret;
mod sendmail;
mod smtp;
mod transport;

use std::path::{Path, PathBuf};

pub use self::failure::{Failure, Lasts};
pub use self::folder::FolderCarrier;
pub use self::maildir::MaildirCarrier;
pub use self::secret::PasswordSources;
pub use self::sendmail::{MAILER_SILENCE, SendmailCarrier};
pub use self::smtp::{SmtpCarrier, Timeouts};
pub use self::transport::{SmtpServer, TlsUse, Transport, TransportFault, parse_transport};
use crate::format::mail::Letter;
use crate::format::mail::post::Post;
use crate::format::settings::Secret;

/// Takes packages to sites.
pub trait Carrier {
    /// Hands over one package, and its signature if there is one; returns the bytes handed over.
    ///
    /// # Errors
    /// A [`Failure`]: nothing was handed over, or it is not known to have been.
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure>;

    /// Hands over a mail that is no package: `message` is all of it, `post` says from whom to whom.
    ///
    /// # Errors
    /// A [`Failure`], as for [`Carrier::send`].
    fn post(&mut self, post: &Post, message: Vec<u8>) -> Result<u64, Failure>;
}

/// What an SMTP server asks of whoever sends, as the settings have it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// User and password for AUTH.
    pub login: Option<(String, Secret)>,
    /// Certificates that are trusted beside those of the system, PEM.
    pub ca_file: Option<PathBuf>,
}

/// What was found of a transport without sending anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In words.
    pub what: String,
    /// Bytes of the largest mail that is taken, where that was said.
    pub limit_bytes: Option<u64>,
}

/// Returns the carrier of a transport.
pub fn open(transport: &Transport, access: Access) -> Box<dyn Carrier> {
    match transport {
        Transport::Maildir(dir) => Box::new(MaildirCarrier { dir: dir.clone() }),
        Transport::Sendmail(program) => Box::new(SendmailCarrier::new(program.clone())),
        Transport::Smtp(server) => Box::new(SmtpCarrier::new(server.clone(), access)),
    }
}

/// Looks whether a transport is there, and sends nothing: the maildirs' folder, the program, or
/// the server, to which it connects with TLS and AUTH and takes its leave.
///
/// # Errors
/// What is missing, as sending would find it.
pub fn probe(transport: &Transport, access: Access) -> Result<Found, Failure> {
    match transport {
        Transport::Maildir(dir) if dir.is_dir() => {
            Ok(Found { what: format!("{} is there", dir.display()), limit_bytes: None })
        }
        Transport::Maildir(dir) => {
            let what = format!("{}: there is no such folder", dir.display());
            Err(Failure::later(what).hinted("the first broadcast makes it"))
        }
        Transport::Sendmail(program) => {
            let program = SendmailCarrier::new(program.clone()).find()?;
            Ok(Found { what: format!("{} can be run", program.display()), limit_bytes: None })
        }
        Transport::Smtp(server) => SmtpCarrier::new(server.clone(), access).probe(),
    }
}

/// What the tests of several carriers need.
#[cfg(test)]
mod testing {
    use std::fs;

    use super::*;
    use crate::format::mail;
    use crate::model::Address;

    pub fn letter(to: &str) -> Letter {
        let from = Address::new("ana@ship.example").unwrap();
        Letter {
            message_id: mail::message_id(&[7; 32], 1_790_000_000, &from),
            from,
            to: Address::new(to).unwrap(),
            title: "notes".into(),
            serial: 42,
            visit: 0,
            files: 1,
            date: "2026-11-22T10:00:00+01:00[+01:00]".parse().unwrap(),
            sha256: [7; 32],
            sealed: false,
            unattended: false,
            in_reply_to: None,
            volume: None,
        }
    }

    /// A folder with a package in it.
    pub fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        fs::write(&package, b"the package").unwrap();
        (dir, package)
    }

    pub fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
