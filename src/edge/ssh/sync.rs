//! Bringing many files of a host to its disk: all at once, by the host's own `sync`.
//!
//! One by one, as SFTP can, every file waits for the disk by itself, and thousands of small ones take
//! many times as long as to send them. Invariant: what is given here is on the disk when this returns,
//! as far as the host can say.

use std::collections::BTreeSet;

use memchr::memmem::find;

use crate::format::sftp::{Attributes, OPEN_READ, Reply, Request};

use super::line::{Line, SshFault};
use super::sftp::{Sftp, Stop};
use super::split;

/// What is printed when all is on the disk.
const MARK: &[u8] = b"remsync: it is on the disk\n";
/// Names of folders, behind a NUL each, to the file systems that they are on; a `sync` that knows no
/// names brings everything.
const SYNC: &str = "exec sh -c '{ xargs -0 sync -f || sync; } 2>/dev/null && \
                    echo \"remsync: it is on the disk\"'";
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Brings files to the disk, by their absolute names.
///
/// # Errors
/// The connection ended.
pub(super) fn sync_together(line: &Line, sftp: &mut Sftp, files: &[&[u8]]) -> Result<(), SshFault> {
    if files.is_empty() || is_synced_by_command(line, files)? {
        return Ok(());
    }
    // Where no command may be run, one by one after all.
    let attributes = Attributes::default();
    let open = |path| Request::Open { path, flags: OPEN_READ, attributes };
    for some in files.chunks(64) {
        let opened = sftp.ask_all(some.iter().map(|path| open(*path)))?;
        let handles: Vec<Vec<u8>> = opened
            .into_iter()
            .filter_map(|reply| if let Reply::Handle(handle) = reply { Some(handle) } else { None })
            .collect();
        if sftp.greeting().syncs {
            sftp.ask_all(handles.iter().map(|handle| Request::Sync(handle)))?;
        }
        sftp.ask_all(handles.iter().map(|handle| Request::Close(handle)))?;
    }
    Ok(())
}

fn is_synced_by_command(line: &Line, files: &[&[u8]]) -> Result<bool, SshFault> {
    let folders: BTreeSet<&[u8]> = files.iter().map(|file| split(file).0).collect();
    let mut running = line.start_command(SYNC)?;
    let folders: Vec<&[u8]> = folders.into_iter().collect();
    let answer = running.answer(&folders, b"\0", ANSWER_BYTES_MAX, &Stop::default())?;
    Ok(find(&answer, MARK).is_some())
}
