//! Whether the times of a file tell what it holds now from what it may hold later.
//!
//! What was written a moment ago may be written once more without its times moving: file systems
//! keep them only so fine. Such a file is what Git calls racily clean, and no cache believes it.

/// The coarsest times that file systems keep, in seconds (FAT).
pub const GRAIN_S: i64 = 2;

/// Whether what has these times, in seconds since 1970, gets others by any write after `now_s`, by the
/// clock of its file system. A clock that was put back leaves times that lie ahead: they tell nothing.
pub fn is_settled(mtime_s: i64, ctime_s: i64, now_s: i64) -> bool {
    mtime_s.max(ctime_s) < now_s - GRAIN_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_have_to_be_older_than_the_grain() {
        for (mtime_s, ctime_s, expected) in [
            (96, 97, true),
            (97, 97, true),
            (98, 97, false),
            (97, 98, false),
            (100, 0, false),
            (0, 1_000, false),
            (-5, -7, true),
        ] {
            assert_eq!(is_settled(mtime_s, ctime_s, 100), expected, "{mtime_s} {ctime_s}");
        }
    }
}
