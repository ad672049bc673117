//! The observer: what a host has of a tree, by looking.
//!
//! Names, kinds and modes come through SFTP, digests from the host's own program; where no command
//! may be run there the files are read. Invariant: only what was looked at to its end is known.

use std::collections::BTreeMap;

use crate::format::sftp::Kind;
use crate::model::{Signature, TreePath};

use super::fetch::fetch;
use super::line::{Line, SshFault};
use super::sftp::Sftp;
use super::sums::{Sums, Tool, sums};
use super::walk::{absolute, walk};
use super::{Stop, join};

/// What a host has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The top folder, absolute.
    pub top: Vec<u8>,
    /// Whether it is there.
    pub is_there: bool,
    /// Its files.
    pub files: BTreeMap<TreePath, Signature>,
    /// What else has a name that a file or a folder of the tree may have.
    pub others: BTreeMap<Vec<u8>, Kind>,
    /// What could not be looked at, and why; of a folder, nothing below it is known either.
    pub unknown: Vec<(Vec<u8>, String)>,
}

impl Observation {
    /// Says why nothing can be told of a file that was not found, if so: what its name, or one above
    /// it, is there.
    pub fn blocks(&self, path: &TreePath) -> Option<(Vec<u8>, String)> {
        let said = |name: &[u8], what: &str| Some((name.to_vec(), what.to_owned()));
        let what = |name: &[u8], is_above: bool| match self.others.get(name) {
            Some(Kind::Link) => Some("a symbolic link is there"),
            Some(Kind::Special) => Some("something that is no file is there"),
            Some(Kind::Folder) if !is_above => Some("a folder is there"),
            Some(Kind::File) if is_above => Some("a file is there"),
            _ => None,
        };
        if let Some(what) = what(path.as_bytes(), false) {
            return said(path.as_bytes(), what);
        }
        path.folders().find_map(|folder| {
            let is_file = self.files.contains_key(&folder).then_some("a file is there");
            said(folder.as_bytes(), is_file.or_else(|| what(folder.as_bytes(), true))?)
        })
    }
}

/// Whether a name is wanted.
pub type Wants<'w> = dyn FnMut(&[u8], Kind) -> bool + 'w;

/// Looks at all that is wanted below `directory`, as a person named it.
///
/// # Errors
/// The host is not reached, or the folder cannot be listed. One that is not there is none.
pub fn observe(
    line: &Line,
    directory: &[u8],
    wants: &mut Wants<'_>,
    stop: &Stop,
) -> Result<Observation, SshFault> {
    let mut sftp = Sftp::open(line, stop)?;
    let top = absolute(&mut sftp, directory)?;
    let Some(walked) = walk(&mut sftp, &top, wants)? else {
        return Ok(Observation { top, ..Observation::default() });
    };
    let mut unknown = walked.unknown;
    let mut others = walked.others;
    others.extend(walked.folders.into_iter().map(|name| (name, Kind::Folder)));
    let mut found = Vec::new();
    for (name, attributes) in walked.files {
        match TreePath::new(&name) {
            Ok(path) => found.push((path, attributes.mode.is_some_and(|mode| mode & 0o100 != 0))),
            Err(fault) => unknown.push((name, fault.to_string())),
        }
    }
    let paths: Vec<Vec<u8>> = found.iter().map(|(path, _)| join(&top, path.as_bytes())).collect();
    let digests = digests(line, &mut sftp, &paths)?;
    let mut files = BTreeMap::new();
    for ((path, executable), digest) in found.into_iter().zip(digests) {
        match digest {
            Ok(digest) => {
                files.insert(path, Signature::Sha256 { digest, executable });
            }
            Err(why) => unknown.push((path.as_bytes().to_vec(), why)),
        }
    }
    unknown.sort();
    Ok(Observation { top, is_there: true, files, others, unknown })
}

/// Returns the digests of files of a host; why not, for those that cannot be read.
///
/// # Errors
/// The connection ended.
pub fn digests(
    line: &Line,
    sftp: &mut Sftp,
    paths: &[Vec<u8>],
) -> Result<Vec<Result<[u8; 32], String>>, SshFault> {
    let names: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
    let said = match sums(line, &names, Tool::Sha256, sftp.stop())? {
        Sums::Digests(said) => said,
        _ => vec![None; names.len()],
    };
    // What the program did not say is read: a name that it writes in its own way, a file that
    // is not readable, or all of them.
    let silent: Vec<usize> = (0..names.len()).filter(|&at| said[at].is_none()).collect();
    let again: Vec<&[u8]> = silent.iter().map(|&at| names[at]).collect();
    let mut read = fetch(sftp, &again, &mut |_| Ok(None), &mut |_| {})?.into_iter();
    if sftp.is_stopped() {
        return Err(SshFault::Stopped);
    }
    let digest = |said: Option<[u8; 32]>| match said {
        Some(digest) => Ok(digest),
        None => match read.next() {
            Some(read) => read.map(|read| read.sha256),
            None => Err("not read".to_owned()),
        },
    };
    Ok(said.into_iter().map(digest).collect())
}
