//! Files of our own that are written anew, and the folders that they are in.
//!
//! Not what is in them. Invariant: nothing is written through a link, whoever put one where a file or
//! folder of ours belongs: an archive that was unpacked over a project, or what another program
//! checked out.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How often a name is made free that another process takes at the same time.
const TRIES: u32 = 10;

/// Makes a file for its owner alone; what has its name goes first.
///
/// # Errors
/// It cannot be made, or a folder has its name.
pub fn create(path: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // O_EXCL: not even a link that leads nowhere is followed.
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Holds that a folder is one, and no link to another.
///
/// # Errors
/// It is something else, or not there.
pub fn check_folder(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        return Ok(());
    }
    let what = if found.is_symlink() { "a link, which is not followed" } else { "no folder" };
    Err(io::Error::new(io::ErrorKind::NotADirectory, what))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_made_anew_and_nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("outside"), "precious").unwrap();
        fs::write(at("file"), "old").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o666)).unwrap();
        symlink(at("outside"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::hard_link(at("outside"), at("second")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["new", "file", "link", "dangling", "second"] {
            io::Write::write_all(&mut create(&at(name)).unwrap(), b"ours").unwrap();
            assert_eq!(fs::read(at(name)).unwrap(), b"ours", "{name}");
            let found = fs::symlink_metadata(at(name)).unwrap();
            assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{name}");
        }
        assert!(create(&at("folder")).is_err());
        assert_eq!(fs::read(at("outside")).unwrap(), b"precious");
        assert!(!at("nowhere").exists());

        symlink(at("folder"), at("to-folder")).unwrap();
        for (name, is_one) in
            [("folder", true), ("to-folder", false), ("file", false), ("gone", false)]
        {
            assert_eq!(check_folder(&at(name)).is_ok(), is_one, "{name}");
        }
    }
}
