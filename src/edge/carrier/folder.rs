//! Packages as files in a folder: a USB stick, or something that another program carries on.

use std::io;
use std::path::{Path, PathBuf};

use super::Carrier;
use super::failure::Failure;
use super::put::{file_name, is_there, open_file, put, unique_name};
use crate::format::mail::Letter;
use crate::format::mail::post::Post;

/// How many names are tried where others are taken.
const NAMES_MAX: u32 = 1_000;

/// Puts each package as a file into a folder.
#[derive(Clone, Debug)]
pub struct FolderCarrier {
    /// The folder.
    pub dir: PathBuf,
}

impl Carrier for FolderCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let address = file_name(&letter.to)?;
        let source = open_file(package)?;
        for attempt in 0..NAMES_MAX {
            let attempt = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let stem = format!("{address}.{}{attempt}.remsync.tar.gz", letter.serial);
            let seal = if letter.sealed { ".age" } else { "" };
            let path = self.dir.join(format!("{stem}{seal}"));
            let signature_path = self.dir.join(format!("{stem}.sig{seal}"));
            if is_there(&path)? || is_there(&signature_path)? {
                continue;
            }
            // The signature is there first, so that whoever sees the package finds it.
            if let Some(signature) = signature {
                put(&self.temporary(), &signature_path, |to| io::copy(&mut &*signature, to))?;
            }
            return put(&self.temporary(), &path, |to| io::copy(&mut &source, to));
        }
        Err(Failure::never(format!(
            "{}: over {NAMES_MAX} packages for {address} have the same number",
            self.dir.display()
        )))
    }

    fn post(&mut self, _: &Post, _: Vec<u8>) -> Result<u64, Failure> {
        Err(Failure::never(format!("{}: it takes packages only", self.dir.display())))
    }
}

impl FolderCarrier {
    fn temporary(&self) -> PathBuf {
        self.dir.join(format!(".remsync.{}.tmp", unique_name()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::failure::Lasts;
    use super::super::testing::{letter, names, place};
    use super::*;

    #[test]
    fn a_folder_gets_packages_and_never_loses_one() {
        let (dir, package) = place();
        let stick = dir.path().join("stick");
        fs::create_dir(&stick).unwrap();
        let mut carrier = FolderCarrier { dir: stick.clone() };
        fs::write(stick.join("bo@b.42.remsync.tar.gz"), b"another").unwrap();
        assert_eq!(carrier.send(&letter("bo@b"), &package, Some(b"SIG")), Ok(11));
        assert_eq!(
            names(&stick),
            ["bo@b.42-1.remsync.tar.gz", "bo@b.42-1.remsync.tar.gz.sig", "bo@b.42.remsync.tar.gz"]
        );
        assert_eq!(fs::read(stick.join("bo@b.42.remsync.tar.gz")).unwrap(), b"another");
        assert_eq!(fs::read(stick.join("bo@b.42-1.remsync.tar.gz")).unwrap(), b"the package");
        let mut gone = FolderCarrier { dir: dir.path().join("gone") };
        let failure = gone.send(&letter("bo@b"), &package, None).unwrap_err();
        assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
    }
}
