//! Mail into maildirs: each message into `DIR/ADDRESS/new/`. No mail system is needed, and none
//! takes it on from there: something else has to deliver it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Carrier;
use super::cargo::open_cargo;
use super::failure::Failure;
use super::put::{create_folder, file_name, put, unique_name};
use crate::format::mail::post::Post;
use crate::format::mail::{self, Letter};
use crate::model::Address;

/// Puts each message into `DIR/ADDRESS/new/`.
#[derive(Clone, Debug)]
pub struct MaildirCarrier {
    /// The folder above the maildirs.
    pub dir: PathBuf,
}

impl Carrier for MaildirCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let (source, _) = open_cargo(letter, package)?;
        self.deliver(&letter.to, |to| {
            let mut to = BufWriter::with_capacity(64 << 10, to);
            let bytes = mail::write(letter, &mut BufReader::new(source), signature, &mut to)?;
            to.flush()?;
            Ok(bytes)
        })
    }

    fn post(&mut self, post: &Post, message: Vec<u8>) -> Result<u64, Failure> {
        self.deliver(&post.to, |to| to.write_all(&message).map(|()| message.len() as u64))
    }
}

impl MaildirCarrier {
    /// Puts into an address's maildir what `make` writes.
    fn deliver(
        &self,
        to: &Address,
        make: impl FnOnce(&mut File) -> io::Result<u64>,
    ) -> Result<u64, Failure> {
        let maildir = self.dir.join(file_name(to)?);
        for folder in ["tmp", "new", "cur"] {
            create_folder(&maildir.join(folder))?;
        }
        let name = unique_name();
        put(&maildir.join("tmp").join(&name), &maildir.join("new").join(&name), make)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::failure::Lasts;
    use super::super::testing::{letter, names, place};
    use super::*;

    #[test]
    fn a_maildir_gets_whole_messages_in_new() {
        let (dir, package) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        let bytes = carrier.send(&letter("bo@shore.example"), &package, None).unwrap();
        carrier.send(&letter("bo@shore.example"), &package, None).unwrap();
        let maildir = dir.path().join("mail/bo@shore.example");
        assert_eq!(names(&maildir), ["cur", "new", "tmp"]);
        assert_eq!(names(&maildir.join("tmp")), [""; 0]);
        let new = names(&maildir.join("new"));
        assert_eq!(new.len(), 2);
        let message = fs::read(maildir.join("new").join(&new[0])).unwrap();
        assert_eq!(message.len() as u64, bytes);
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains("dGhlIHBhY2thZ2U=\r\n"), "{text}");
    }

    #[test]
    fn no_address_leads_out_of_the_maildirs() {
        let (dir, package) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        for to in [".", "..", &"a".repeat(300)] {
            let failure = carrier.send(&letter(to), &package, None).unwrap_err();
            assert_eq!(failure.lasts, Lasts::Never, "{to}: {failure:?}");
        }
        assert!(!dir.path().join("tmp").exists());
    }

    #[test]
    fn a_package_that_cannot_be_read_leaves_nothing() {
        let (dir, _) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        let failure = carrier.send(&letter("bo@b"), dir.path(), None).unwrap_err();
        assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
        assert_eq!(names(&dir.path().join("mail/bo@b/tmp")), [""; 0]);
        assert_eq!(names(&dir.path().join("mail/bo@b/new")), [""; 0]);
    }
}
