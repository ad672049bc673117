//! Hosts that are reached by SSH: the system's own `ssh`, and what we speak over it.
//!
//! ssh itself knows keys, agents, `~/.ssh/config`, jump hosts and `known_hosts`; none of it is done
//! again here. Nothing of ours has to be on the other side. Invariant: no name from anywhere reaches
//! a shell there: commands are constants, names go to their standard input or through SFTP.

mod aside;
mod askpass;
mod fetch;
mod left;
mod line;
mod observe;
mod scp;
mod sftp;
mod stage;
mod sums;
mod walk;

pub use aside::{
    Aside, CHANGED, Displaced, Keeping, Kept, keep_all, prune_kept, put_aside, release, swap,
};
pub use askpass::answer_if_asked;
pub use fetch::{Fetched, fetch};
pub use left::Note;
pub use line::{Line, SshFault, Terms};
pub use observe::{Observation, digests, observe};
pub use scp::{below, copy_by_scp};
pub use sftp::{Sftp, Stop};
pub use stage::{Each, Job, Manner, Staged, create, discard, replace, stage, verifier, verify};
pub use sums::{Asker, Sums, Tool, sums};
pub use walk::{Walked, absolute, look_at, make_folders, set_marks, try_folders, walk};

/// Returns a name on a host below a folder there.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if name.first() == Some(&b'/') || folder.is_empty() {
        return name.to_vec();
    }
    let between: &[u8] = if folder.ends_with(b"/") { b"" } else { b"/" };
    [folder, between, name].concat()
}

/// Returns the folder that a name on a host is in, and the rest of it.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (b"/", path.get(1..).unwrap_or_default()),
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b".", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_a_host() {
        for (folder, name, whole) in [
            (&b"/a"[..], &b"b/c"[..], &b"/a/b/c"[..]),
            (b"/", b"b", b"/b"),
            (b"/a", b"/b", b"/b"),
            (b"", b"b", b"b"),
        ] {
            assert_eq!(join(folder, name), whole);
        }
        for (path, folder, name) in [
            (&b"/a/b"[..], &b"/a"[..], &b"b"[..]),
            (b"/a", b"/", b"a"),
            (b"a", b".", b"a"),
            (b"a/b", b"a", b"b"),
        ] {
            assert_eq!(split(path), (folder, name));
        }
    }
}
