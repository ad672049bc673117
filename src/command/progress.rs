//! A line that tells how far something long is, at a terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::words::size_words;

/// Milliseconds between two looks of the line.
const TICK_MS: u64 = 100;
/// Characters of the bar.
const BAR: usize = 24;

/// How long something takes before it is worth a line.
const LONG_MS: u64 = 1_000;

/// Does `work`; if that takes more than a second, shows `line` again and again meanwhile, at a
/// terminal and if it `is_wanted`, and takes it away at the end.
pub fn watched<T>(
    is_wanted: bool,
    line: impl Fn() -> String + Sync,
    work: impl FnOnce() -> T,
) -> T {
    if !is_wanted || !std::io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (working, worked) = mpsc::channel::<()>();
        scope.spawn(|| {
            let worked = worked;
            let mut wait_ms = LONG_MS;
            let lasts = |wait_ms| {
                worked.recv_timeout(Duration::from_millis(wait_ms))
                    == Err(RecvTimeoutError::Timeout)
            };
            while lasts(wait_ms) {
                show(&line());
                wait_ms = TICK_MS;
            }
            if wait_ms == TICK_MS {
                show("");
            }
        });
        let done = work();
        // So does breaking off: then it is dropped.
        drop(working);
        done
    })
}

/// How far it is. Many threads may tell it of bytes.
pub struct Progress {
    is_shown: bool,
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    shown_ms: AtomicU64,
    began: Instant,
}

impl Progress {
    /// Begins; `total_bytes` are to be moved. It is only shown at a terminal, and if it `is_wanted`.
    pub fn begin(total_bytes: u64, is_wanted: bool) -> Progress {
        Progress {
            is_shown: is_wanted && std::io::stderr().is_terminal(),
            total_bytes: AtomicU64::new(total_bytes),
            done_bytes: AtomicU64::new(0),
            shown_ms: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Notes that more bytes than was known are to be moved.
    pub fn expect(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that bytes were moved.
    pub fn add(&self, bytes: u64) {
        let done = self.done_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let shown_ms = self.shown_ms.load(Ordering::Relaxed);
        let is_due = self.is_shown && now_ms >= shown_ms.saturating_add(TICK_MS);
        let mine = Ordering::Relaxed;
        if is_due && self.shown_ms.compare_exchange(shown_ms, now_ms, mine, mine).is_ok() {
            show(&line(done, self.total_bytes.load(Ordering::Relaxed), now_ms));
        }
    }
}

fn show(line: &str) {
    // Whether the line is seen does not matter.
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
}

/// However it ends, the line does not stay.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            show("");
        }
    }
}

fn line(done: u64, total: u64, now_ms: u64) -> String {
    let total = total.max(done).max(1);
    let part = |of: u64| {
        let part = u128::from(done) * u128::from(of) / u128::from(total);
        usize::try_from(part).unwrap_or(0)
    };
    let bar = "#".repeat(part(BAR as u64));
    let rate = done.saturating_mul(1000) / now_ms.max(1);
    let (done, total, rate) = (size_words(done), size_words(total), size_words(rate));
    format!("[{bar:<BAR$}] {:3} %  {done} of {total}, {rate}/s", part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_at_both_ends() {
        assert!(line(0, 0, 0).contains("  0 %"), "{}", line(0, 0, 0));
        let whole = line(5_000_000, 5_000_000, 1_000);
        assert!(whole.contains("100 %") && whole.contains(&"#".repeat(BAR)), "{whole}");
        assert!(line(u64::MAX, 1, 1).contains("100 %"));
    }
}
