//! Shell archives, as `mailshar` made them: written for any POSIX shell to unpack, and never run here.
//!
//! Each file is written into a folder of the archive's own, compared by `cksum`, which every system
//! has, and by `sha256sum` where there is one, and only then put in its place. What is no plain text
//! is encoded as by uuencode; where there is no uudecode, awk and printf undo it. Parts are unpacked
//! in their order, and say so otherwise. Invariant: no name or content ends a quote or a document.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::cksum::Cksum;
use super::digest::hex;

/// A file that goes into an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path, relative, parts separated by `/`.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether its owner may execute it.
    pub is_executable: bool,
}

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Texts as they are, what is none encoded: `-M`.
    Mixed,
    /// Texts as they are, and nothing else: `-T`.
    Text,
    /// All encoded: `-B`.
    Encoded,
    /// All packed and encoded: `-z`, `-Z`, `-j`.
    Packed(Packing),
}

/// By what all is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `gzip`: `-z`.
    Gzip,
    /// `compress`, which `gzip` reads too: `-Z`.
    Compress,
    /// `bzip2`: `-j`.
    Bzip2,
}

/// Packs the bytes of one file.
pub type Pack<'a> = &'a dyn Fn(Packing, &[u8]) -> io::Result<Vec<u8>>;

/// Why an archive cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// A name that would not be unpacked where it belongs.
    #[error("{0}: this name cannot be in a shell archive")]
    Name(String),
    /// It is to be a text and is none.
    #[error("{0}: this is no plain text")]
    NoText(String),
    /// What should have packed it did not.
    #[error("{0}: it cannot be packed: {1}")]
    Packing(String, String),
}

/// Bytes of a part that are no file's.
const FRAME_BYTES: usize = 4 << 10;
/// Bytes of a line of a text: mail systems take 998.
const LINE_BYTES_MAX: usize = 900;
/// Bytes that a line of uuencode holds.
const UU_BYTES: usize = 45;

impl Packing {
    /// Returns the program that undoes it.
    fn unpacker(self) -> &'static str {
        match self {
            Packing::Gzip | Packing::Compress => "gzip -d",
            Packing::Bzip2 => "bzip2 -d",
        }
    }
}

/// Returns the parts of an archive, each of at most about `part_bytes`; where all is packed, by `pack`.
///
/// # Errors
/// An [`ArchiveFault`].
pub fn write(
    members: &[Member],
    mode: Mode,
    part_bytes: usize,
    pack: Pack<'_>,
) -> Result<Vec<Vec<u8>>, ArchiveFault> {
    let room = part_bytes.saturating_sub(FRAME_BYTES).max(FRAME_BYTES);
    let mut bodies = Bodies { room, done: Vec::new(), body: Vec::new(), at: String::new() };
    for member in members {
        check_name(&member.name)?;
        push_member(member, mode, &mut bodies, pack)?;
    }
    let mut parts = bodies.done;
    parts.push(bodies.body);
    let folder = folder_name(members);
    let count = parts.len();
    let frame = |(at, body): (usize, &Vec<u8>)| framed(body, &folder, at + 1, count);
    Ok(parts.iter().enumerate().map(frame).collect())
}

/// The bodies of the parts, as far as they are written.
struct Bodies {
    room: usize,
    done: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// The file that is being written.
    at: String,
}

impl Bodies {
    fn line(&mut self, line: &str) {
        self.body.extend_from_slice(line.as_bytes());
        self.body.push(b'\n');
    }

    /// Begins the next part where this one has no room for another file.
    fn begin_file(&mut self, name: &str) {
        let least = 2 * name.len() + 500;
        if !self.body.is_empty() && self.body.len() + least > self.room {
            self.done.push(std::mem::take(&mut self.body));
        }
        self.at = name.to_owned();
    }

    /// Writes a line of a document, in the next part where this one is full.
    fn document_line(&mut self, line: &[u8], reopen: &str) {
        if self.body.len() + line.len() + 2 > self.room {
            self.line("SHAR_EOF");
            self.done.push(std::mem::take(&mut self.body));
            let at = format!("# File '{}' is being continued...", self.at);
            self.line(&at);
            self.line(reopen);
        }
        self.body.push(b'X');
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
    }
}

fn push_member(
    member: &Member,
    mode: Mode,
    bodies: &mut Bodies,
    pack: Pack<'_>,
) -> Result<(), ArchiveFault> {
    let is_text = is_text(&member.bytes);
    if mode == Mode::Text && !is_text {
        return Err(ArchiveFault::NoText(member.name.clone()));
    }
    let name = quoted(&member.name);
    bodies.begin_file(&member.name);
    bodies.line(&format!("# ============= {} ==============", member.name));
    if matches!(mode, Mode::Mixed | Mode::Text) && is_text {
        bodies.line("sed 's/^X//' << 'SHAR_EOF' > ${lock_dir}/new || fail 'it cannot be written'");
        for line in member.bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            bodies.document_line(line, "sed 's/^X//' << 'SHAR_EOF' >> ${lock_dir}/new || exit 1");
        }
        bodies.line("SHAR_EOF");
    } else {
        let fault =
            |error: io::Error| ArchiveFault::Packing(member.name.clone(), error.to_string());
        let packed = match mode {
            Mode::Packed(packing) => pack(packing, &member.bytes).map_err(fault)?,
            _ => member.bytes.clone(),
        };
        bodies.line("sed 's/^X//' << 'SHAR_EOF' > ${lock_dir}/uue || fail 'it cannot be written'");
        let reopen = "sed 's/^X//' << 'SHAR_EOF' >> ${lock_dir}/uue || exit 1";
        bodies.document_line(b"begin 600 file", reopen);
        let mut line = Vec::new();
        for chunk in packed.chunks(UU_BYTES) {
            uu_encode(chunk, &mut line);
            bodies.document_line(&line, reopen);
        }
        bodies.document_line(b"`", reopen);
        bodies.document_line(b"end", reopen);
        bodies.line("SHAR_EOF");
        let unpack = match mode {
            Mode::Packed(packing) => format!("| {} ", packing.unpacker()),
            _ => String::new(),
        };
        bodies.line(&format!("decode < ${{lock_dir}}/uue {unpack}> ${{lock_dir}}/new"));
        bodies.line("rm -f ${lock_dir}/uue");
    }
    let mode = if member.is_executable { "755" } else { "644" };
    bodies.line(&format!(
        "put {name} {} {} {} {mode}",
        Cksum::of(&member.bytes),
        member.bytes.len(),
        hex(&Sha256::digest(&member.bytes))
    ));
    Ok(())
}

/// Puts a body between what every part begins and ends with.
fn framed(body: &[u8], folder: &str, number: usize, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    let mut head =
        format!("#!/bin/sh\n# This is a shell archive (produced by remsync {version}).\n");
    if count > 1 {
        head += &format!("# This is part {number} of a multipart archive: there are {count}.\n");
        head += "# Unpack them in order, each by itself; do not put them together.\n";
    }
    head += HEAD;
    head += &format!("lock_dir={folder}\n");
    head += &match number {
        1 => "mkdir ${lock_dir} || fail \"${lock_dir}: is there: remove it if nobody else unpacks\"\n"
            .to_owned(),
        _ => format!(
            "[ \"$(cat ${{lock_dir}}/part 2> /dev/null)\" = {before} ] || \
             fail 'part {before} has to be unpacked before part {number}'\n",
            before = number - 1
        ),
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    let end = match number == count {
        true => "rm -rf ${lock_dir}\nexit ${status}\n".to_owned(),
        false => format!(
            "echo {number} > ${{lock_dir}}/part\necho 'part {number} of {count} is unpacked'\n\
             exit ${{status}}\n"
        ),
    };
    out.extend_from_slice(end.as_bytes());
    out
}

/// What every part can do; only what POSIX has.
const HEAD: &str = r##"# To unpack it, save it as a file, remove everything before the '#!/bin/sh' line
# above, and type 'sh FILE'. Files that are there stay, unless 'sh FILE -c' is typed.
#
status=0
force=$1
fail() { echo "$1" >&2; exit 1; }
decode() {
  if command -v uudecode > /dev/null 2>&1; then
    uudecode -o /dev/stdout
  else
    LC_ALL=C awk 'BEGIN {
        s = "`!\"#$%&" sprintf("%c", 39) "()*+,-./0123456789:;<=>?@"
        s = s "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
      }
      function v(c) { return c == " " ? 0 : index(s, c) - 1 }
      /^begin / { on = 1; next }
      /^end/ { exit }
      on {
        n = v(substr($0, 1, 1)); o = ""
        for (i = 2; n > 0; i += 4) {
          a = v(substr($0, i, 1)); b = v(substr($0, i + 1, 1))
          c = v(substr($0, i + 2, 1)); d = v(substr($0, i + 3, 1))
          o = o sprintf("\\%03o", a * 4 + int(b / 16))
          if (n > 1) o = o sprintf("\\%03o", b % 16 * 16 + int(c / 4))
          if (n > 2) o = o sprintf("\\%03o", c % 4 * 64 + d)
          n -= 3
        }
        if (o != "") print o
      }' | while IFS= read -r line; do printf "$line"; done
  fi
}
put() {
  set -- "$1" "$2" "$3" "$4" "$5" $(cksum < ${lock_dir}/new)
  if [ "$6 $7" != "$2 $3" ]; then
    echo "$1: damaged: its sum is not the one that it was sent with" >&2; status=1; return
  fi
  if command -v sha256sum > /dev/null 2>&1; then
    set -- "$1" "$4" "$5" $(sha256sum < ${lock_dir}/new)
    if [ "$4" != "$2" ]; then
      echo "$1: damaged: its digest is not the one that it was sent with" >&2; status=1; return
    fi
    set -- "$1" '' '' '' "$3"
  fi
  if [ -e "$1" ] && [ "$force" != -c ]; then
    echo "$1: is there, and stays" >&2; status=1; return
  fi
  case $1 in */*) mkdir -p "${1%/*}" || fail "$1: its folder cannot be made" ;; esac
  chmod "$5" ${lock_dir}/new && mv -f ${lock_dir}/new "$1" || fail "$1: it cannot be written"
  echo "x - $1"
}
"##;

fn check_name(name: &str) -> Result<(), ArchiveFault> {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with('-');
    let is_fine = name.split('/').all(is_part) && !name.chars().any(char::is_control);
    if is_fine { Ok(()) } else { Err(ArchiveFault::Name(name.escape_default().to_string())) }
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "'\\''"))
}

/// Whether mail leaves a text as it is: ASCII, whole lines that are not too long.
fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    let lines = bytes.split(|byte| *byte == b'\n');
    bytes.last().is_none_or(|last| *last == b'\n')
        && bytes.iter().all(is_plain)
        && lines.clone().all(|line| line.len() <= LINE_BYTES_MAX)
        // Blanks at the end of a line do not survive every mail system.
        && lines.clone().all(|line| !matches!(line.last(), Some(b' ' | b'\t')))
}

/// Returns the name of the folder that the parts of one archive share; `_sh` and digits, as ever.
fn folder_name(members: &[Member]) -> String {
    let mut digest = Sha256::new();
    for member in members {
        digest.update(&member.name);
        digest.update([0]);
        digest.update(&member.bytes);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("_sh{number:010}")
}

/// Packs as `gzip` does.
///
/// # Errors
/// None: writing into memory cannot fail.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Writes a line of uuencode.
fn uu_encode(chunk: &[u8], line: &mut Vec<u8>) {
    let digit = |bits: u32| match u8::try_from(bits & 63).unwrap_or_default() {
        0 => b'`',
        bits => bits + b' ',
    };
    line.clear();
    line.push(digit(u32::try_from(chunk.len()).unwrap_or_default()));
    for three in chunk.chunks(3) {
        let at = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        line.extend([18, 12, 6, 0].map(|shift| digit(bits >> shift)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, bytes: &[u8]) -> Member {
        Member { name: name.into(), bytes: bytes.to_vec(), is_executable: false }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/a", "../a", "a/../b", "./a", "-rf", "a\nb", "a//b"] {
            let written =
                write(&[member(name, b"x\n")], Mode::Mixed, 60 << 10, &|_, bytes| gzip(bytes));
            assert!(matches!(written, Err(ArchiveFault::Name(_))), "{name}");
        }
        assert!(
            write(&[member("it's", b"x\n")], Mode::Mixed, 60 << 10, &|_, bytes| gzip(bytes))
                .is_ok()
        );
        let written = write(&[member("a", b"\0")], Mode::Text, 60 << 10, &|_, bytes| gzip(bytes));
        assert_eq!(written, Err(ArchiveFault::NoText("a".into())));
    }

    #[test]
    fn parts_keep_their_size() {
        let bytes: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for part_bytes in [8 << 10, 60 << 10] {
            let parts =
                write(&[member("a", &bytes)], Mode::Encoded, part_bytes, &|_, bytes| gzip(bytes))
                    .unwrap();
            assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= part_bytes));
            let lines = parts.iter().flat_map(|part| part.split(|byte| *byte == b'\n'));
            assert!(lines.clone().all(|line| line.len() < 998 && line.is_ascii()));
        }
    }
}
