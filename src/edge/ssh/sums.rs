//! Sums of many files of a host in one round: by the host's own programs.
//!
//! The command is a constant; the names go to its standard input, so that no shell sees them.
//! Invariant: a sum is only returned for the very name that it was asked for.

use crate::model::limits::HOST_ANSWER_BYTES_MAX;

use super::line::{Line, Running, SshFault};
use super::sftp::Stop;

/// Which sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `cksum`: whether a copy arrived whole. It takes far less time than a digest.
    Cksum,
    /// The same, and then `sync`: what arrived is brought to the disk, all of it at once. One by one,
    /// as SFTP can, every file waits for the disk by itself.
    CksumAndSync,
    /// `sha256sum`, or `shasum` or `sha256`: what a file is.
    Sha256,
}

/// What a host said of files, in the order of the names; `None` is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Of [`Tool::Cksum`] and [`Tool::CksumAndSync`].
    Cksums {
        /// Sums and sizes.
        sums: Vec<Option<(u32, u64)>>,
        /// Whether all of it was brought to the disk.
        is_on_disk: bool,
    },
    /// Digests.
    Digests(Vec<Option<[u8; 32]>>),
    /// No command can be run there, or it has no such program.
    NotAllowed,
}

/// What is printed first, so that what a login script says, or a server that only knows SFTP, is
/// not taken for an answer.
const MARK: &[u8] = b"remsync: sums follow\n";

/// What is printed last, when all is on the disk.
const SYNCED: &[u8] = b"remsync: it is on the disk\n";

const CKSUM: &str = "exec sh -c 'command -v cksum >/dev/null && command -v xargs >/dev/null && \
                     echo \"remsync: sums follow\" && exec xargs -0 cksum'";
/// `sync` is given the folders, each of which stands for the file system that it is on; one that knows
/// no names brings everything.
const CKSUM_AND_SYNC: &str = concat!(
    r#"exec sh -c 'command -v cksum >/dev/null && command -v xargs >/dev/null && "#,
    r#"echo "remsync: sums follow" && xargs -0 sh -c "cksum \"\$@\"; "#,
    r#"last=; for f do d=\${f%/*}; "#,
    r#"[ \"\$d\" = \"\$last\" ] || { printf \"%s\\0\" \"\${d:-/}\"; last=\$d; }; done | "#,
    r#"{ xargs -0 sync -f || sync; } 2>/dev/null" sh && echo "remsync: it is on the disk"'"#,
);
const SHA256: &str = "exec sh -c 'if command -v sha256sum >/dev/null; then s=sha256sum; elif \
                      command -v shasum >/dev/null; then s=\"shasum -a 256\"; else exit 1; fi; \
                      command -v xargs >/dev/null && echo \"remsync: sums follow\" && \
                      exec xargs -0 $s'";

/// Asks the host at the other end of `line` for the sums of files, by their absolute names.
///
/// # Errors
/// ssh cannot be run, or more comes than there is to say, [`HOST_ANSWER_BYTES_MAX`] at most. A host
/// that allows no command is no error.
pub fn sums(line: &Line, paths: &[&[u8]], tool: Tool, stop: &Stop) -> Result<Sums, SshFault> {
    if paths.is_empty() {
        return Ok(parse(&[], paths, tool));
    }
    Asker::start(line, tool)?.ask(paths, stop)
}

/// The program at the other end, before it was told any name: to start it takes as long as a login,
/// and can be done while files are on their way.
pub struct Asker {
    running: Running,
    tool: Tool,
}

impl Asker {
    /// Starts the program.
    ///
    /// # Errors
    /// ssh cannot be run.
    pub fn start(line: &Line, tool: Tool) -> Result<Asker, SshFault> {
        let words = match tool {
            Tool::Cksum => CKSUM,
            Tool::CksumAndSync => CKSUM_AND_SYNC,
            Tool::Sha256 => SHA256,
        };
        Ok(Asker { running: line.start_command(words)?, tool })
    }

    /// Asks for the sums of files, by their absolute names.
    ///
    /// # Errors
    /// As [`sums`].
    pub fn ask(self, paths: &[&[u8]], stop: &Stop) -> Result<Sums, SshFault> {
        ask(self.running, paths, self.tool, stop)
    }
}

fn ask(mut running: Running, paths: &[&[u8]], tool: Tool, stop: &Stop) -> Result<Sums, SshFault> {
    // Without names the program would read its standard input.
    if paths.is_empty() {
        return Ok(parse(&[], paths, tool));
    }
    let most = answer_bytes_max(paths);
    let answer = running.answer(paths, b"\0", most + 1, stop)?;
    if answer.len() as u64 > most {
        return Err(SshFault::Bound(format!("it said over {most} bytes")));
    }
    let start = memchr::memmem::find(&answer, MARK).map(|at| at + MARK.len());
    match start.and_then(|start| answer.get(start..)) {
        Some(lines) => Ok(parse(lines, paths, tool)),
        None => Ok(Sums::NotAllowed),
    }
}

/// Returns how much can be said of so many names, each escaped, and of the day by a login script.
fn answer_bytes_max(paths: &[&[u8]]) -> u64 {
    const LINE: u64 = 100;
    const GREETING: u64 = 1 << 20;
    let lines = paths.iter().map(|path| 2 * path.len() as u64 + LINE);
    lines.sum::<u64>().saturating_add(GREETING).min(HOST_ANSWER_BYTES_MAX)
}

/// Reads what the programs print: a line for each name, in order, and none for those that could not
/// be read.
fn parse(mut lines: &[u8], paths: &[&[u8]], tool: Tool) -> Sums {
    match tool {
        Tool::Cksum | Tool::CksumAndSync => {
            let sums = paths.iter().map(|path| take(&mut lines, path, |l| cksum_line(l, path)));
            Sums::Cksums { sums: sums.collect(), is_on_disk: lines.ends_with(SYNCED) }
        }
        Tool::Sha256 => Sums::Digests(
            paths.iter().map(|path| take(&mut lines, path, |l| digest_line(l, path))).collect(),
        ),
    }
}

/// Takes the line of one name if it is the next one.
fn take<'l, T>(
    lines: &mut &'l [u8],
    _path: &[u8],
    read: impl Fn(&'l [u8]) -> Option<(T, &'l [u8])>,
) -> Option<T> {
    let (value, rest) = read(lines)?;
    *lines = rest;
    Some(value)
}

/// `3015617425 6 /name`: the name is not escaped.
fn cksum_line<'l>(line: &'l [u8], path: &[u8]) -> Option<((u32, u64), &'l [u8])> {
    let (sum, rest) = number(line)?;
    let (size_bytes, rest) = number(rest)?;
    let rest = rest.strip_prefix(path)?.strip_prefix(b"\n")?;
    Some(((u32::try_from(sum).ok()?, size_bytes), rest))
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest.strip_prefix(b" ")?))
}

/// `HEX  /name`, or `\HEX  /name` with a name in which `\`, LF and CR are escaped.
fn digest_line<'l>(line: &'l [u8], path: &[u8]) -> Option<([u8; 32], &'l [u8])> {
    let (is_escaped, line) = match line.strip_prefix(b"\\") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (hex, rest) = line.split_at_checked(64)?;
    let digest = digest_of(hex)?;
    // Two spaces for text, a space and a star for binary.
    let rest = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    if is_escaped {
        // No line end is in it; some versions escape CR, and some do not.
        let end = memchr::memchr(b'\n', rest)?;
        let (name, rest) = rest.split_at_checked(end)?;
        return (unescaped(name)? == path).then_some((digest, rest.get(1..)?));
    }
    Some((digest, rest.strip_prefix(path)?.strip_prefix(b"\n")?))
}

fn digest_of(hex: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// Returns the name that coreutils wrote so, in one line.
fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_programs() {
        let paths: [&[u8]; 5] = [b"/a", b"/gone", b"/new\nline", b"/b\\c", b"/last"];
        let hex = "ab".repeat(32);
        let text = format!("{hex}  /a\n\\{hex}  /new\\nline\n\\{hex}  /b\\\\c\n{hex} */last\n");
        let digest = Some([0xab; 32]);
        let expected = Sums::Digests(vec![digest, None, digest, digest, digest]);
        assert_eq!(parse(text.as_bytes(), &paths, Tool::Sha256), expected);
        // A CR, escaped or not.
        let paths: [&[u8]; 3] = [b"/a\\\r", b"/a\\\r", b"/last"];
        let text = format!("\\{hex}  /a\\\\\\r\n\\{hex}  /a\\\\\r\n{hex}  /last\n");
        let expected = Sums::Digests(vec![digest; 3]);
        assert_eq!(parse(text.as_bytes(), &paths, Tool::Sha256), expected);
        for name in ["/a\\", "/a\\x", "/b"] {
            let text = format!("\\{hex}  {name}\n");
            let none = Sums::Digests(vec![None]);
            assert_eq!(parse(text.as_bytes(), &[b"/a"], Tool::Sha256), none, "{name}");
        }
        let paths: [&[u8]; 5] = [b"/a", b"/gone", b"/new\nline", b"/b\\c", b"/last"];
        let text = "7 3 /a\n8 4 /new\nline\n9 5 /b\\c\n10 6 /other\n";
        let sums = vec![Some((7, 3)), None, Some((8, 4)), Some((9, 5)), None];
        for (end, is_on_disk) in [("", false), ("remsync: it is on the disk\n", true)] {
            let text = format!("{text}{end}");
            let expected = Sums::Cksums { sums: sums.clone(), is_on_disk };
            assert_eq!(parse(text.as_bytes(), &paths, Tool::CksumAndSync), expected);
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let paths: [&[u8]; 1] = [b"/a"];
        for text in ["", "x", "7", "7 3 /ab\n", "-1 3 /a\n", "99999999999 1 /a\n", "7 3 /a"] {
            let none = Sums::Cksums { sums: vec![None], is_on_disk: false };
            assert_eq!(parse(text.as_bytes(), &paths, Tool::Cksum), none);
            assert_eq!(parse(text.as_bytes(), &paths, Tool::Sha256), Sums::Digests(vec![None]));
        }
    }
}
