//! Tree paths: a file's name inside a project, checked once, at the door.
//!
//! Not a disk path: only `edge::tree` turns one into that, beneath a root it holds open.
//! Invariant: relative, no empty, `.` or `..` part, no NUL, no part that begins `.remsync` in any
//! case, within the limits of length and depth.

use std::fmt;

use super::limits::{PATH_BYTES_MAX, PATH_DEPTH_MAX, PATH_PART_BYTES_MAX};

/// A checked relative path, as bytes: names need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

/// Why some bytes are no tree path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing at all.
    Empty,
    /// It begins with a slash.
    Absolute,
    /// Two slashes in a row, or one at the end.
    EmptyPart,
    /// A part is `.` or `..`.
    DotPart,
    /// A part begins with `.remsync`, in any case: those files are the program's own.
    Reserved,
    /// A NUL byte.
    Nul,
    /// A part of more than [`PATH_PART_BYTES_MAX`] bytes.
    PartTooLong,
    /// More than [`PATH_BYTES_MAX`] bytes.
    TooLong,
    /// More than [`PATH_DEPTH_MAX`] parts.
    TooDeep,
}

impl TreePath {
    /// Checks `bytes` and keeps them.
    ///
    /// # Errors
    /// The first [`PathFault`] found.
    pub fn new(bytes: &[u8]) -> Result<TreePath, PathFault> {
        TreePath::check(bytes)?;
        Ok(TreePath(bytes.into()))
    }

    /// Checks `bytes` as [`TreePath::new`] does, and keeps nothing.
    ///
    /// # Errors
    /// The first [`PathFault`] found.
    pub fn check(bytes: &[u8]) -> Result<(), PathFault> {
        if bytes.is_empty() {
            return Err(PathFault::Empty);
        }
        if bytes.len() > PATH_BYTES_MAX {
            return Err(PathFault::TooLong);
        }
        if bytes.first() == Some(&b'/') {
            return Err(PathFault::Absolute);
        }
        if bytes.contains(&0) {
            return Err(PathFault::Nul);
        }
        let mut depth = 0;
        for part in bytes.split(|&b| b == b'/') {
            depth += 1;
            if part.is_empty() {
                return Err(PathFault::EmptyPart);
            }
            if part == b"." || part == b".." {
                return Err(PathFault::DotPart);
            }
            if part.len() > PATH_PART_BYTES_MAX {
                return Err(PathFault::PartTooLong);
            }
            if is_reserved_part(part) {
                return Err(PathFault::Reserved);
            }
        }
        if depth > PATH_DEPTH_MAX {
            return Err(PathFault::TooDeep);
        }
        Ok(())
    }

    /// Keeps what was checked before.
    pub(super) fn from_checked(bytes: &[u8]) -> TreePath {
        TreePath(bytes.into())
    }

    /// Returns the bytes, parts separated by single slashes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the parts in order, never empty.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// Returns every folder above this path, nearest first; none for a file at the top.
    pub fn folders(&self) -> impl Iterator<Item = TreePath> + '_ {
        let bytes = &self.0;
        (0..bytes.len()).rev().filter(|&i| bytes[i] == b'/').map(|i| TreePath(bytes[..i].into()))
    }

    /// Whether `self` lies below the folder `other`.
    pub fn is_below(&self, other: &TreePath) -> bool {
        self.0.len() > other.0.len()
            && self.0.starts_with(&other.0)
            && self.0[other.0.len()] == b'/'
    }
}

/// Whether a part of a path is the program's own: it begins `.remsync`, in any case, and however a
/// careless file system would fold it.
pub fn is_reserved_part(part: &[u8]) -> bool {
    const RESERVED: &str = ".remsync";
    let begins_so = |head: &[u8]| head.eq_ignore_ascii_case(RESERVED.as_bytes());
    part.first() == Some(&b'.') && part.get(..RESERVED.len()).is_some_and(begins_so)
        || !part.is_ascii() && folded(part).starts_with(RESERVED)
}

/// Returns a part of a path as the most careless file system reads it, as far as a name in ASCII can
/// tell: case folded, composed, with what cannot be seen left out (what became of git,
/// CVE-2014-9390).
///
/// The whole of Unicode is not needed for that: folding and composing make an ASCII character of
/// just these others (`CaseFolding.txt`, `UnicodeData.txt`: long s, the kelvin sign, ligatures).
pub fn folded(part: &[u8]) -> String {
    let mut out = String::with_capacity(part.len());
    for c in String::from_utf8_lossy(part).chars() {
        match c {
            '\u{17f}' => out.push('s'),
            '\u{212a}' => out.push('k'),
            '\u{df}' | '\u{1e9e}' => out.push_str("ss"),
            '\u{fb00}' => out.push_str("ff"),
            '\u{fb01}' => out.push_str("fi"),
            '\u{fb02}' => out.push_str("fl"),
            '\u{fb03}' => out.push_str("ffi"),
            '\u{fb04}' => out.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => out.push_str("st"),
            // Full-width forms: some file systems compose for compatibility too.
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
                out.push(ascii.to_ascii_lowercase());
            }
            c if is_ignorable(c) => {}
            c => out.push(c.to_ascii_lowercase()),
        }
    }
    // Others drop dots and spaces at the end.
    out.truncate(out.trim_end_matches(['.', ' ']).len());
    out
}

/// What HFS+ leaves out when it compares names, and neighbours that nobody sees.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// For people: control characters, bidirectional controls and bytes that are not UTF-8 are shown
/// escaped, so that a name cannot drive a terminal.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escaped(&self.0))
    }
}

/// Returns `bytes` fit for a terminal: `\n`, `\x1b`, `\u{202e}` and the like spelled out.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if (c as u32) < 0x80 && c.is_control() => {
                    out.push_str(&format!("\\x{:02x}", c as u32));
                }
                c if c.is_control() || is_invisible(c) => {
                    out.push_str(&format!("\\u{{{:x}}}", c as u32));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Whether it is a bidirectional or zero-width control (Unicode Standard Annex 9 and neighbours).
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathFault::Empty => f.write_str("an empty path"),
            PathFault::Absolute => f.write_str("an absolute path"),
            PathFault::EmptyPart => f.write_str("a path with an empty part"),
            PathFault::DotPart => f.write_str("a path with a part \".\" or \"..\""),
            PathFault::Reserved => f.write_str("a path of remsync's own (\".remsync…\")"),
            PathFault::Nul => f.write_str("a path with a NUL byte"),
            PathFault::PartTooLong => {
                write!(f, "a path with a part over {PATH_PART_BYTES_MAX} bytes")
            }
            PathFault::TooLong => write!(f, "a path over {PATH_BYTES_MAX} bytes"),
            PathFault::TooDeep => write!(f, "a path deeper than {PATH_DEPTH_MAX} parts"),
        }
    }
}

impl std::error::Error for PathFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_paths() {
        let long_part = vec![b'a'; PATH_PART_BYTES_MAX];
        let too_long_part = vec![b'a'; PATH_PART_BYTES_MAX + 1];
        let mut longest = vec![b'a'; PATH_BYTES_MAX];
        (200..PATH_BYTES_MAX - 1).step_by(200).for_each(|i| longest[i] = b'/');
        let mut too_long = longest.clone();
        too_long.push(b'a');
        let deepest = vec!["a"; PATH_DEPTH_MAX].join("/");
        let too_deep = vec!["a"; PATH_DEPTH_MAX + 1].join("/");
        let table: &[(&str, &[u8], Option<PathFault>)] = &[
            ("plain", b"a/b c", None),
            ("dots that are names", b"..a/.b/...", None),
            ("not UTF-8", b"\xff\xfe", None),
            ("longest part", &long_part, None),
            ("longest", &longest, None),
            ("deepest", deepest.as_bytes(), None),
            ("empty", b"", Some(PathFault::Empty)),
            ("absolute", b"/a", Some(PathFault::Absolute)),
            ("double slash", b"a//b", Some(PathFault::EmptyPart)),
            ("final slash", b"a/", Some(PathFault::EmptyPart)),
            ("dot", b"a/./b", Some(PathFault::DotPart)),
            ("up", b"../b", Some(PathFault::DotPart)),
            ("ours", b".remsync", Some(PathFault::Reserved)),
            ("ours, shouted, deep", b"a/.REMSYNC.bak/b", Some(PathFault::Reserved)),
            ("ours, a long s", ".rem\u{17f}ync".as_bytes(), Some(PathFault::Reserved)),
            ("ours, unseen", ".rem\u{200c}sync.d/x".as_bytes(), Some(PathFault::Reserved)),
            ("ours, wide", ".\u{ff32}emsync".as_bytes(), Some(PathFault::Reserved)),
            ("not ours", ".re\u{301}msync".as_bytes(), None),
            ("nul", b"a\0b", Some(PathFault::Nul)),
            ("part too long", &too_long_part, Some(PathFault::PartTooLong)),
            ("too long", &too_long, Some(PathFault::TooLong)),
            ("too deep", too_deep.as_bytes(), Some(PathFault::TooDeep)),
        ];
        for (name, bytes, fault) in table {
            assert_eq!(TreePath::new(bytes).err(), *fault, "{name}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let shown = TreePath::new("a\nb\x1b[2J\u{202e}\u{9b}é\\".as_bytes()).unwrap().to_string();
        assert_eq!(shown, "a\\nb\\x1b[2J\\u{202e}\\u{9b}é\\\\");
        assert_eq!(TreePath::new(b"\xffx").unwrap().to_string(), "\\xffx");
    }

    #[test]
    fn folders_nearest_first() {
        let path = TreePath::new(b"a/b/c").unwrap();
        let names: Vec<String> = path.folders().map(|p| p.to_string()).collect();
        assert_eq!(names, ["a/b", "a"]);
        assert!(path.is_below(&TreePath::new(b"a").unwrap()));
        assert!(!TreePath::new(b"ab/c").unwrap().is_below(&TreePath::new(b"a").unwrap()));
    }
}
