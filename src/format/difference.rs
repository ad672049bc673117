//! What differs between two texts, and what two edits of one text make together.
//!
//! Not a judge of versions: it is given bytes and knows no history. Invariant: a merge never
//! drops a line that one side added without the other having changed the same place; where both
//! changed one place, both stand in the result, between markers.

use std::ops::Range;
use std::time::Duration;

use similar::{
    ChangeTag, DiffTag, DiffableStr, MergeResolution, TextDiff, TextMerge, TextMergeConfig,
};

/// Bytes of a text that is compared or merged: it is held in memory, three times in a merge.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Lines of a text that is merged: of so many, all of them moved, it takes seconds.
pub const MERGE_LINES_MAX: usize = 100_000;
/// For how long the least difference is looked for; what is found then is right, and longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines around a change that a diff shows.
const CONTEXT_LINES: usize = 3;
/// Begins our side of a conflict.
const OURS: &str = "<<<<<<<";
/// Ends our side and begins the other.
const MIDDLE: &str = "=======";
/// Ends the other side.
const THEIRS: &str = ">>>>>>>";

/// Lines that one text has and another has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that only the new one has.
    pub added: usize,
    /// Lines that only the old one has.
    pub removed: usize,
}

/// What two edits make together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// One text that has both edits.
    Clean(Vec<u8>),
    /// Both edits, and in so many places markers around what only a person can join.
    Conflicted {
        /// The text.
        text: Vec<u8>,
        /// How many places.
        conflicts: usize,
    },
}

/// How the two sides are called in the markers of a conflict.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Our side.
    pub ours: &'a str,
    /// The other.
    pub theirs: &'a str,
}

/// Whether bytes are a text: what has a NUL byte is none.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0)
}

/// Whether bytes are a text that is not too long to be merged.
pub fn is_mergeable(bytes: &[u8]) -> bool {
    is_text(bytes) && bytes.iter().filter(|&&byte| byte == b'\n').count() <= MERGE_LINES_MAX
}

/// Counts the lines by which two texts differ.
pub fn counts(old: &[u8], new: &[u8]) -> Counts {
    let mut counts = Counts::default();
    for change in diff_of(old, new).iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => counts.added += 1,
            ChangeTag::Delete => counts.removed += 1,
            ChangeTag::Equal => {}
        }
    }
    counts
}

/// Returns the unified diff of two texts under these names, as `diff -u` prints it; nothing where
/// they are the same.
pub fn unified(old: &[u8], new: &[u8], old_name: &str, new_name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let diff = diff_of(old, new);
    // Writing into memory cannot fail.
    let _ = diff
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(old_name, new_name)
        .to_writer(&mut out);
    out
}

/// Merges two edits of `base`; without one, every place where the two differ is a conflict.
pub fn merge(base: Option<&[u8]>, ours: &[u8], theirs: &[u8], labels: Labels<'_>) -> Merged {
    let mut out = Joined::new(ours, labels);
    match base {
        Some(base) => merge_three(base, ours, theirs, &mut out),
        None => merge_two(ours, theirs, &mut out),
    }
    match out.conflicts {
        0 => Merged::Clean(out.text),
        conflicts => Merged::Conflicted { text: out.text, conflicts },
    }
}

/// Whether a text still has a marker of a conflict between two sides called so.
pub fn has_markers(text: &[u8], labels: Labels<'_>) -> bool {
    let marks = [format!("{OURS} {}", labels.ours), format!("{THEIRS} {}", labels.theirs)];
    let is_mark = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        marks.iter().any(|mark| mark.as_bytes() == line)
    };
    text.split(|&byte| byte == b'\n').any(is_mark)
}

fn merge_three(base: &[u8], ours: &[u8], theirs: &[u8], out: &mut Joined<'_>) {
    let merge: TextMerge<'_, '_, '_, [u8]> = TextMergeConfig::new().merge_lines(base, ours, theirs);
    for region in merge.regions() {
        let ours = || lines(region.ours_range(), |at| merge.ours_line(at));
        let theirs = || lines(region.theirs_range(), |at| merge.theirs_line(at));
        match region.resolution() {
            MergeResolution::Theirs => out.add(&theirs()),
            MergeResolution::Conflict => out.add_conflict(&ours(), &theirs()),
            _ => out.add(&ours()),
        }
    }
}

fn merge_two(ours: &[u8], theirs: &[u8], out: &mut Joined<'_>) {
    let diff = diff_of(ours, theirs);
    for op in diff.ops() {
        let ours = lines(op.old_range(), |at| diff.old_slice(at));
        match op.tag() {
            DiffTag::Equal => out.add(&ours),
            _ => out.add_conflict(&ours, &lines(op.new_range(), |at| diff.new_slice(at))),
        }
    }
}

fn diff_of<'t>(old: &'t [u8], new: &'t [u8]) -> TextDiff<'t, 't, [u8]> {
    TextDiff::configure().timeout(PATIENCE).diff_lines(old, new)
}

/// Returns the lines of a range together.
fn lines<'t>(range: Range<usize>, line: impl Fn(usize) -> Option<&'t [u8]>) -> Vec<u8> {
    range.filter_map(line).collect::<Vec<_>>().concat()
}

/// A merged text as it grows.
struct Joined<'a> {
    text: Vec<u8>,
    conflicts: usize,
    labels: Labels<'a>,
    /// How a line ends that we add: as our side's first does.
    end: &'static [u8],
}

impl<'a> Joined<'a> {
    fn new(ours: &[u8], labels: Labels<'a>) -> Joined<'a> {
        let first = ours.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        let end: &[u8] = if first.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
        Joined { text: Vec::new(), conflicts: 0, labels, end }
    }

    fn add(&mut self, lines: &[u8]) {
        self.text.extend_from_slice(lines);
    }

    fn add_conflict(&mut self, ours: &[u8], theirs: &[u8]) {
        self.conflicts += 1;
        self.mark(OURS, self.labels.ours);
        self.add(ours);
        self.mark(MIDDLE, "");
        self.add(theirs);
        self.mark(THEIRS, self.labels.theirs);
    }

    /// Adds a marker on a line of its own.
    fn mark(&mut self, mark: &str, label: &str) {
        if !self.text.is_empty() && !self.text.ends_with_newline() {
            self.add(self.end);
        }
        self.add(mark.as_bytes());
        if !label.is_empty() {
            self.add(b" ");
            self.add(label.as_bytes());
        }
        self.add(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Labels<'_> = Labels { ours: "here", theirs: "from a@x" };

    fn merged(base: Option<&str>, ours: &str, theirs: &str) -> (String, usize) {
        match merge(base.map(str::as_bytes), ours.as_bytes(), theirs.as_bytes(), LABELS) {
            Merged::Clean(text) => (String::from_utf8(text).unwrap(), 0),
            Merged::Conflicted { text, conflicts } => (String::from_utf8(text).unwrap(), conflicts),
        }
    }

    /// Name, base, ours, theirs, what they make, and with how many conflicts.
    type Case =
        (&'static str, Option<&'static str>, &'static str, &'static str, &'static str, usize);

    #[test]
    fn merges() {
        let table: &[Case] = &[
            ("apart", Some("1\n2\n3\n4\n"), "A\n2\n3\n4\n", "1\n2\n3\nB\n", "A\n2\n3\nB\n", 0),
            ("only theirs", Some("1\n2\n"), "1\n2\n", "1\n2\n3\n", "1\n2\n3\n", 0),
            ("only ours", Some("1\n2\n"), "1\n", "1\n2\n", "1\n", 0),
            ("the same edit", Some("1\n2\n"), "1\nX\n", "1\nX\n", "1\nX\n", 0),
            (
                "the same place",
                Some("1\n2\n3\n"),
                "1\nA\n3\n",
                "1\nB\n3\n",
                "1\n<<<<<<< here\nA\n=======\nB\n>>>>>>> from a@x\n3\n",
                1,
            ),
            (
                "ours deleted lines, theirs changed others",
                Some("1\n2\n3\n4\n5\n6\n"),
                "1\n4\n5\n6\n",
                "1\n2\n3\n4\n5\nX\n",
                "1\n4\n5\nX\n",
                0,
            ),
            (
                "ours deleted what theirs changed",
                Some("1\n2\n3\n4\n5\n"),
                "1\n5\n",
                "1\n2\nX\n4\n5\n",
                "1\n<<<<<<< here\n=======\n2\nX\n4\n>>>>>>> from a@x\n5\n",
                1,
            ),
            ("both deleted", Some("1\n2\n3\n"), "1\n", "1\n", "1\n", 0),
            (
                "CRLF throughout",
                Some("1\r\n2\r\n3\r\n4\r\n"),
                "A\r\n2\r\n3\r\n4\r\n",
                "1\r\n2\r\n3\r\nB\r\n",
                "A\r\n2\r\n3\r\nB\r\n",
                0,
            ),
            (
                "CRLF, and a conflict",
                Some("1\r\n"),
                "A\r\n",
                "B\r\n",
                "<<<<<<< here\r\nA\r\n=======\r\nB\r\n>>>>>>> from a@x\r\n",
                1,
            ),
            ("no newline at the end, apart", Some("1\n2\n3"), "A\n2\n3", "1\n2\n3", "A\n2\n3", 0),
            (
                "no newline at the end, and a conflict",
                Some("1\n2"),
                "1\nA",
                "1\nB",
                "1\n<<<<<<< here\nA\n=======\nB\n>>>>>>> from a@x\n",
                1,
            ),
            ("theirs gained the newline", Some("1\n2"), "1\n2", "1\n2\n", "1\n2\n", 0),
            ("an empty base, one side", Some(""), "", "1\n", "1\n", 0),
            (
                "an empty base, both sides",
                Some(""),
                "A\n",
                "B\n",
                "<<<<<<< here\nA\n=======\nB\n>>>>>>> from a@x\n",
                1,
            ),
            ("all empty", Some(""), "", "", "", 0),
            ("emptied by one", Some("1\n"), "", "1\n", "", 0),
            ("no base, the same", None, "1\n2\n", "1\n2\n", "1\n2\n", 0),
            (
                "no base, an addition",
                None,
                "1\n2\n",
                "1\nX\n2\n",
                "1\n<<<<<<< here\n=======\nX\n>>>>>>> from a@x\n2\n",
                1,
            ),
            (
                "no base, two places",
                None,
                "1\n2\n3\n",
                "A\n2\nB\n",
                "<<<<<<< here\n1\n=======\nA\n>>>>>>> from a@x\n2\n\
                 <<<<<<< here\n3\n=======\nB\n>>>>>>> from a@x\n",
                2,
            ),
        ];
        for (name, base, ours, theirs, text, conflicts) in table {
            assert_eq!(merged(*base, ours, theirs), ((*text).to_owned(), *conflicts), "{name}");
            // Which side is ours decides only the order between markers.
            let (swapped, other_conflicts) = merged(*base, theirs, ours);
            assert_eq!(other_conflicts, *conflicts, "{name}, swapped");
            assert!(*conflicts > 0 || swapped == *text, "{name}, swapped: {swapped}");
        }
    }

    #[test]
    fn merging_again_changes_nothing() {
        let (base, ours, theirs) = ("1\n2\n3\n4\n", "A\n2\n3\n4\n", "1\n2\n3\nB\n");
        let (once, _) = merged(Some(base), ours, theirs);
        assert_eq!(merged(Some(base), &once, theirs), (once.clone(), 0));
        assert_eq!(merged(Some(base), ours, &once), (once, 0));
    }

    #[test]
    fn bytes_that_are_no_utf8_go_through() {
        let merged = merge(Some(b"\xff\n2\n3\n"), b"\xff\n2\n\xfe\n", b"\xfd\n2\n3\n", LABELS);
        assert_eq!(merged, Merged::Clean(b"\xfd\n2\n\xfe\n".to_vec()));
    }

    #[test]
    fn markers_are_found_again() {
        for (text, has) in [
            ("1\n<<<<<<< here\n", true),
            ("1\r\n>>>>>>> from a@x\r\n", true),
            (">>>>>>> from a@x", true),
            ("<<<<<<< somewhere else\n=======\n", false),
            ("a <<<<<<< here\n", false),
            ("", false),
        ] {
            assert_eq!(has_markers(text.as_bytes(), LABELS), has, "{text:?}");
        }
    }

    #[test]
    fn diffs_and_counts() {
        let (old, new) = (b"1\n2\n3\n".as_slice(), b"1\nX\n3".as_slice());
        let shown = String::from_utf8(unified(old, new, "f (here)", "f (from a@x)")).unwrap();
        let expected = "--- f (here)\n+++ f (from a@x)\n@@ -1,3 +1,3 @@\n 1\n-2\n-3\n+X\n+3\n\
                        \\ No newline at end of file\n";
        assert_eq!(shown, expected);
        assert_eq!(counts(old, new), Counts { added: 2, removed: 2 });
        assert_eq!(unified(old, old, "a", "b"), b"");
        assert_eq!(counts(old, old), Counts::default());
    }

    #[test]
    fn what_has_a_nul_is_no_text() {
        assert!(is_text(b"") && is_text(b"\xff\r\n"));
        assert!(!is_text(b"a\0b"));
        assert!(is_mergeable(&b"\n".repeat(MERGE_LINES_MAX)));
        assert!(!is_mergeable(&b"\n".repeat(MERGE_LINES_MAX + 1)) && !is_mergeable(b"\0"));
    }

    #[test]
    fn the_worst_texts_do_not_take_for_ever() {
        // Every line in another place at each side.
        let shuffled = |lines: u64, step: u64| {
            let lines = (0..lines).map(|n| format!("{}\n", n * step % lines));
            lines.collect::<String>().into_bytes()
        };
        let began = std::time::Instant::now();
        let merged =
            merge(Some(&shuffled(9_001, 1)), &shuffled(9_001, 7), &shuffled(9_001, 11), LABELS);
        assert!(matches!(merged, Merged::Conflicted { .. }));
        let (old, new) = (shuffled(300_007, 1), shuffled(300_007, 11));
        let counts = counts(&old, &new);
        assert_eq!(counts.added, counts.removed);
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
}
