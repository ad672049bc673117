//! Why a carrier did not take a mail: for how long that lasts, and in whose words.
//!
//! It decides nothing about the mail itself; whoever sends asks [`Failure::lasts`] whether to try
//! again. Invariant: what it says is one line, bounded, escaped, and holds no secret.

use std::io;
use std::path::Path;

use crate::model::path::escaped;

/// Bytes of the other side's words that are repeated; a reply of several lines fits.
const WORDS_BYTES_MAX: usize = 600;

/// What to do about a limit of size.
pub(super) const SMALLER: &str =
    "\"size_max_bytes\" under [mail] in the settings keeps mails below what is taken";

/// For how long a failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// The same mail may be taken later.
    Later,
    /// The same mail will never be taken.
    Never,
}

/// Why a carrier did not accept a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// For how long.
    pub lasts: Lasts,
    /// A code in the world's own words: an enhanced status (`5.3.4`, RFC 3463), else the three
    /// digits of an SMTP reply (`552`), else sysexits (`EX_NOUSER (67)`), else empty.
    pub status: String,
    /// What happened, where, and the words of the other side; one line.
    pub what: String,
    /// What to do; empty where there is no advice.
    pub hint: String,
    /// Bytes of the largest mail that the other side takes, where it said so.
    pub limit_bytes: Option<u64>,
}

impl Failure {
    /// Returns a failure that may be over later.
    pub fn later(what: impl Into<String>) -> Failure {
        Failure::new(Lasts::Later, what.into())
    }

    /// Returns a failure that stays.
    pub fn never(what: impl Into<String>) -> Failure {
        Failure::new(Lasts::Never, what.into())
    }

    /// Returns what trouble with the file at `path` means: a name that cannot be stays so.
    pub fn of_file(path: &Path, error: &io::Error) -> Failure {
        let what = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => Failure::never(what),
            _ => Failure::later(what),
        }
    }

    /// Adds the code.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<String>) -> Failure {
        self.status = status.into();
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Failure {
        self.hint = hint.into();
        self
    }

    /// Adds the size of the largest mail that is taken.
    #[must_use]
    pub fn with_limit(mut self, limit_bytes: Option<u64>) -> Failure {
        self.limit_bytes = limit_bytes;
        self
    }

    fn new(lasts: Lasts, what: String) -> Failure {
        Failure { lasts, status: String::new(), what, hint: String::new(), limit_bytes: None }
    }
}

/// Returns a stranger's words as one line: lines joined by `; `, escaped, and cut past a bound,
/// which shows.
pub(super) fn one_line(words: &[u8]) -> String {
    let lines = words.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).map(escaped).collect();
    let mut line = lines.join("; ");
    if line.len() > WORDS_BYTES_MAX {
        let mut end = WORDS_BYTES_MAX;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line += " …";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_words_are_one_line() {
        for (words, line) in [
            (&b""[..], ""),
            (b"one", "one"),
            (b"one\r\n\r\n  two \n", "one; two"),
            (b"a\x1b[2Jb\xff", "a\\x1b[2Jb\\xff"),
        ] {
            assert_eq!(one_line(words), line);
        }
        let at_the_bound = "x".repeat(WORDS_BYTES_MAX);
        assert_eq!(one_line(at_the_bound.as_bytes()), at_the_bound);
        let past = "é".repeat(WORDS_BYTES_MAX);
        assert_eq!(one_line(past.as_bytes()), format!("{} …", "é".repeat(WORDS_BYTES_MAX / 2)));
    }
}
