//! `mailshar`: files as shell archives by mail, for whoever has a shell and nothing else.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use crate::edge::program;
use crate::format::mail::post::Body;
use crate::format::shell_archive::{self, ArchiveFault, Member, Mode, Packing};

use super::help::usage;
use super::mail_files::{Sender, Typed, destinations};
use super::outcome::{Failure, Outcome};
use super::session::Session;

/// Bytes of a part, unless `-s` says otherwise: what every mail system of the nineties took.
const PART_BYTES: u64 = 60 << 10;
/// Bytes of all files of one call: they are in memory.
const BYTES_MAX: u64 = 256 << 20;
/// What is packed already.
const PACKED: [&str; 13] =
    ["arc", "bz2", "exz", "gif", "gz", "jpg", "tgz", "xz", "z", "zip", "zoo", "zst", "age"];

/// Mails files as a shell archive, in as many parts as its size asks for.
///
/// # Errors
/// What was typed cannot be, a file cannot be read, or nothing can be sent at all.
pub fn run(session: &Session, words: &[OsString]) -> Result<Outcome, Failure> {
    let typed = Typed::parse(words)?;
    let (destination, files) = match typed.words.split_first() {
        Some((destination, files)) if !files.is_empty() => (destination, files),
        _ => {
            return Err(
                Failure::new("mailshar takes a destination and files").hinted(usage("mailshar"))
            );
        }
    };
    let destinations = destinations(destination)?;
    let mut members = Vec::new();
    for file in files {
        let path = Path::new(file);
        collect(path, &name_of(path)?, &mut members)?;
    }
    let mode = match typed.mode {
        Some('M') => Mode::Mixed,
        Some('T') => Mode::Text,
        Some('B') => Mode::Encoded,
        Some('Z') => Mode::Packed(Packing::Compress),
        Some('j') => Mode::Packed(Packing::Bzip2),
        None if members.iter().any(|member| is_packed(&member.name)) => Mode::Mixed,
        Some(_) | None => Mode::Packed(Packing::Gzip),
    };
    let part_bytes = typed.size_bytes.unwrap_or(PART_BYTES);
    let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
    let parts = shell_archive::write(&members, mode, part_bytes, &pack).map_err(|fault| {
        let hint = match &fault {
            ArchiveFault::Name(_) => "rename it, or put it into a tar file",
            ArchiveFault::NoText(_) => "-M encodes what is no text",
            ArchiveFault::Packing(..) => "-z packs with gzip, and needs no program for that",
        };
        Failure::new(&fault).hinted(hint)
    })?;
    let names: Vec<String> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    let subject = match &typed.subject {
        Some(subject) => subject.to_string_lossy().into_owned(),
        None => names.join(" "),
    };
    let subject = format!("shar: {subject}");
    let bodies: Vec<Body> = parts.into_iter().map(Body::Text).collect();
    let sender = Sender { session, kind_and_subject: &subject, is_traced: typed.is_traced };
    sender.send(&destinations, &bodies)
}

/// Returns the name that a file has in the archive: as it was typed where that is below here, else
/// its own.
fn name_of(path: &Path) -> Result<String, Failure> {
    let is_below = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    let name = match path.components().all(is_below) {
        true => path.strip_prefix(".").unwrap_or(path).as_os_str(),
        false => path.file_name().unwrap_or_default(),
    };
    let fault = || Failure::new(format!("{}: this name is not UTF-8", path.display()));
    Ok(name.to_str().ok_or_else(fault)?.trim_end_matches('/').to_owned())
}

/// Reads a file, or all that is below a folder.
fn collect(path: &Path, name: &str, members: &mut Vec<Member>) -> Result<(), Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let found = fs::metadata(path).map_err(at)?;
    if found.is_dir() {
        let mut entries: Vec<_> =
            path.read_dir().map_err(at)?.collect::<Result<_, _>>().map_err(at)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let is_link = entry.file_type().map_err(at)?.is_symlink();
            let own = entry.file_name();
            let own = own.to_str().ok_or_else(|| {
                Failure::new(format!("{}: this name is not UTF-8", entry.path().display()))
            })?;
            if !is_link {
                let below = if name.is_empty() { own.to_owned() } else { format!("{name}/{own}") };
                collect(&entry.path(), &below, members)?;
            }
        }
        return Ok(());
    }
    let total: u64 = members.iter().map(|member| member.bytes.len() as u64).sum();
    if !found.is_file() || total + found.len() > BYTES_MAX {
        let why = if found.is_file() {
            format!("over {BYTES_MAX} bytes of files")
        } else {
            "no plain file".into()
        };
        return Err(Failure::new(format!("{}: {why}", path.display())));
    }
    let bytes = fs::read(path).map_err(at)?;
    let is_executable = found.permissions().mode() & 0o100 != 0;
    members.push(Member { name: name.to_owned(), bytes, is_executable });
    Ok(())
}

/// Packs one file: what only few systems still have is a program of this one.
fn pack(packing: Packing, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match packing {
        Packing::Gzip => shell_archive::gzip(bytes),
        // Without -f it packs nothing that would not become smaller.
        Packing::Compress => program::filter("compress", &["-c", "-f"], bytes),
        Packing::Bzip2 => program::filter("bzip2", &["-c"], bytes),
    }
}

fn is_packed(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| PACKED.contains(&ending.as_str()))
}
