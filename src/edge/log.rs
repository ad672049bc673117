//! The filter's log: one line for each thing done, in a file.
//!
//! Mail systems quote what a filter prints to strangers, so nothing goes to standard error. A log
//! that cannot be written never fails a delivery.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Bytes of a log before it becomes `NAME.1` and a new one begins.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// A log file, or none where none could be opened.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<File>,
}

impl Log {
    /// Opens the log at `path`, to append to it; a failure is a log that keeps nothing.
    pub fn open(path: &Path) -> Log {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            let _ = fs::rename(path, path.with_extension("log.1"));
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .ok();
        Log { file }
    }

    /// Writes one line: the time in UTC, the process, `words` with what is not printable escaped.
    pub fn line(&self, words: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
        let line = format!("{now} remsync-deliver[{}] {}\n", std::process::id(), printable(words));
        // One write, so that lines of many deliveries at once do not mix.
        let _ = file.write_all(line.as_bytes());
    }
}

/// Escapes what could move a terminal's cursor or begin a line of its own.
pub fn printable(text: &str) -> String {
    let strange = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if strange(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deliver.log");
        Log::open(&path).line("a\nb \u{202e}c");
        Log::open(&path).line("second");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("a\\u{a}b \\u{202e}c"), "{text}");
    }

    #[test]
    fn no_log_is_no_trouble() {
        Log::open(Path::new("/nowhere/at/all")).line("x");
        Log::default().line("x");
    }

    #[test]
    fn a_full_log_is_turned_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deliver.log");
        File::create(&path).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
        Log::open(&path).line("new");
        assert!(dir.path().join("deliver.log.1").exists());
        assert!(fs::metadata(&path).unwrap().len() < 100);
    }
}
