//! Listings: what was found for each of many files, ascending by the bytes of their paths.
//!
//! A map in two pieces of memory, however many files there are: a million of them must fit beside
//! what else a small machine does. Not for changing: what is found is added at the end.
//! Invariant: paths are checked as [`TreePath`]s are, ascend, and stand there once each.

use std::ops::Index;

use super::path::{PathFault, TreePath};

/// What was found for each file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    paths: Vec<u8>,
    /// Where the path ends, and what was found.
    entries: Vec<(usize, T)>,
}

impl<T> Default for Listing<T> {
    fn default() -> Listing<T> {
        Listing { paths: Vec::new(), entries: Vec::new() }
    }
}

impl<T> Listing<T> {
    /// Adds a file after all others; `false` where it does not come after them, and is not added.
    ///
    /// # Errors
    /// The first [`PathFault`] found.
    pub fn push(&mut self, path: &[u8], found: T) -> Result<bool, PathFault> {
        TreePath::check(path)?;
        if !self.is_empty() && path <= self.path(self.len() - 1) {
            return Ok(false);
        }
        self.paths.extend_from_slice(path);
        self.entries.push((self.paths.len(), found));
        Ok(true)
    }

    /// Returns how many files there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the path of file `at`, and nothing where there is none.
    pub fn path(&self, at: usize) -> &[u8] {
        let end = self.entries.get(at).map_or(0, |(end, _)| *end);
        let start =
            at.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |(end, _)| *end);
        self.paths.get(start..end).unwrap_or_default()
    }

    /// Returns what was found for file `at`.
    pub fn found(&self, at: usize) -> Option<&T> {
        self.entries.get(at).map(|(_, found)| found)
    }

    /// Returns what was found for file `at`, to change it.
    pub fn found_mut(&mut self, at: usize) -> Option<&mut T> {
        self.entries.get_mut(at).map(|(_, found)| found)
    }

    /// Returns where `path` is, or where it would be.
    ///
    /// # Errors
    /// It is not there.
    pub fn search(&self, path: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.path(middle).cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Returns what was found for `path`.
    pub fn get(&self, path: &TreePath) -> Option<&T> {
        self.search(path.as_bytes()).ok().and_then(|at| self.found(at))
    }

    /// Whether there is a file `path`.
    pub fn contains(&self, path: &TreePath) -> bool {
        self.search(path.as_bytes()).is_ok()
    }

    /// Returns the files and what was found for them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        (0..self.len()).filter_map(|at| Some((self.path(at), self.found(at)?)))
    }

    /// Returns the paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = TreePath> + '_ {
        (0..self.len()).map(|at| TreePath::from_checked(self.path(at)))
    }

    /// Leaves only the files for which `keeps` says so, asked with their places.
    pub fn retain(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        let (mut at, mut start, mut to) = (0, 0, 0);
        let paths = &mut self.paths;
        self.entries.retain_mut(|(end, _)| {
            let path = start..*end;
            start = *end;
            let is_kept = keeps(at);
            at += 1;
            if is_kept {
                let length = path.len();
                paths.copy_within(path, to);
                to += length;
                *end = to;
            }
            is_kept
        });
        paths.truncate(to);
    }
}

impl<T> Index<&TreePath> for Listing<T> {
    type Output = T;

    /// As for any map: of what is not there there is nothing to return.
    fn index(&self, path: &TreePath) -> &T {
        match self.get(path) {
            Some(found) => found,
            None => panic!("{path} is not in the listing"),
        }
    }
}

/// In any order; of one path the first counts.
impl<T> FromIterator<(TreePath, T)> for Listing<T> {
    fn from_iter<I: IntoIterator<Item = (TreePath, T)>>(files: I) -> Listing<T> {
        let mut files: Vec<(TreePath, T)> = files.into_iter().collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut listing = Listing::default();
        for (path, found) in files {
            // A path is checked; one that stands there is not added again.
            let _ = listing.push(path.as_bytes(), found);
        }
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> TreePath {
        TreePath::new(name.as_bytes()).unwrap()
    }

    fn listing(names: &[&str]) -> Listing<usize> {
        names.iter().enumerate().map(|(at, name)| (path(name), at)).collect()
    }

    #[test]
    fn what_is_put_in_is_found() {
        let names = ["a", "a.b", "a/b", "a/b/c", "b", "zz"];
        let listing = listing(&names);
        assert_eq!(listing.paths().map(|p| p.to_string()).collect::<Vec<_>>(), names);
        for (at, name) in names.iter().enumerate() {
            assert_eq!(listing.get(&path(name)), Some(&at), "{name}");
            assert_eq!(listing.search(name.as_bytes()), Ok(at));
        }
        for (name, place) in [("A", 0), ("a/c", 4), ("bb", 5), ("zzz", 6)] {
            assert_eq!(listing.search(name.as_bytes()), Err(place), "{name}");
            assert!(!listing.contains(&path(name)));
        }
        assert!(Listing::<u8>::default().is_empty());
    }

    #[test]
    fn what_does_not_ascend_or_is_no_path_is_not_added() {
        let mut listing = listing(&["b"]);
        assert_eq!(listing.push(b"a", 1), Ok(false));
        assert_eq!(listing.push(b"b", 1), Ok(false));
        assert_eq!(listing.push(b"../c", 1), Err(PathFault::DotPart));
        assert_eq!(listing.push(b"c", 1), Ok(true));
        assert_eq!(listing.len(), 2);
    }

    #[test]
    fn what_is_left_keeps_its_names() {
        let names = ["a", "bb", "ccc", "dddd", "e"];
        for kept in 0..32_u32 {
            let mut listing = listing(&names);
            listing.retain(|at| kept & 1 << at != 0);
            let left: Vec<_> = (0..5).filter(|at| kept & 1 << at != 0).collect();
            assert_eq!(listing.len(), left.len());
            for at in left {
                assert_eq!(listing.get(&path(names[at])), Some(&at), "{kept}");
            }
        }
    }
}
