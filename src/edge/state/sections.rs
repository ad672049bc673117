//! The sections of the base, kept beside it: `.remsync.d/sections`.
//!
//! A cache, as the index of the scan is: without it, or where it is damaged or of another base, a
//! reading takes longer and finds the same. Invariant: it counts only for files of the same inode,
//! size and times, and where those were old enough when the files were read that a later write must
//! have moved them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{PRIVATE, private};
use crate::edge::private::{check_folder, create};
use crate::edge::settled::is_settled;
use crate::format::sections::Sections;

const NAME: &str = "sections";
/// More than a hundred million files have.
const BYTES_MAX: u64 = 64 << 20;

/// What says that two looks at the base saw the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    text: String,
    /// When one of its files was last changed, in seconds since 1970.
    changed_s: i64,
}

impl Key {
    /// Returns that of the base in these files; `None` where they cannot be looked at.
    pub fn of(files: [&File; 2]) -> Option<Key> {
        let mut key = Key { text: String::new(), changed_s: 0 };
        for file in files {
            let found = file.metadata().ok()?;
            let (mtime, ctime) = (found.mtime(), found.ctime());
            let (mtime_ns, ctime_ns) = (found.mtime_nsec(), found.ctime_nsec());
            let (device, inode, bytes) = (found.dev(), found.ino(), found.len());
            key.text += &format!(
                "{}{device}:{inode}:{bytes}:{mtime}.{mtime_ns:09}:{ctime}.{ctime_ns:09}",
                if key.text.is_empty() { "" } else { " " },
            );
            key.changed_s = key.changed_s.max(mtime).max(ctime);
        }
        Some(key)
    }
}

/// Returns the sections of the base in the project in `dir`, if they are known.
pub(super) fn known(dir: &Path, key: &Key) -> Option<Sections> {
    let path = private(dir, NAME);
    let length = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?.len();
    (length <= BYTES_MAX).then_some(())?;
    Sections::parse(&fs::read(path).ok()?, &key.text)
}

/// The file in which sections are to be kept of a base that is to be read.
pub(super) struct New {
    path: PathBuf,
    file: File,
    key: Key,
}

impl New {
    /// Begins it, before the base is read; `None` where none can be kept, or what `key` says might be
    /// true of what comes after it too.
    pub fn begin(dir: &Path, key: Key) -> Option<New> {
        check_folder(&dir.join(PRIVATE)).ok()?;
        let path = private(dir, &format!("{NAME}.{}", std::process::id()));
        let file = create(&path).ok()?;
        let new = New { path, file, key };
        // By the clock of the file system, as the times of the base are.
        let now_s = new.file.metadata().ok()?.mtime();
        is_settled(new.key.changed_s, new.key.changed_s, now_s).then_some(new)
    }

    /// Keeps the sections, if that can be: a disk that is full keeps nobody from reading.
    pub fn finish(mut self, sections: &Sections) {
        let text = sections.print(&self.key.text);
        let name = self.path.with_file_name(NAME);
        // Not synced: what a crash leaves of it has another checksum.
        let _ = self.file.write_all(&text).and_then(|()| fs::rename(&self.path, name));
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // Renamed by now, or given up.
        let _ = fs::remove_file(&self.path);
    }
}
