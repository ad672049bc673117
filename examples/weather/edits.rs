//! What people do to a tree, and what of it truly happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::counts::{Counts, Kind};
use super::prng::Prng;
use super::site::{Node, Tree};
use super::truth::{Here, Truth, What};

/// The names that people use: some are folders at one site and files at another.
pub const NAMES: [&str; 12] = [
    "a",
    "b",
    "c",
    "d/x",
    "d/y",
    "d/e/z",
    "t",
    "t/u",
    "t/v/w",
    "two words",
    "100%",
    "na\u{ef}ve/\u{65e5}",
];

/// How people are in one world.
#[derive(Clone, Copy, Debug)]
pub struct People {
    /// Names that they use, of [`NAMES`].
    pub names: usize,
    /// Whether they make files of folders, folders of files, and links of both.
    pub types: bool,
    /// Whether they rename and swap.
    pub renames: bool,
    /// Whether they make things executable.
    pub executables: bool,
    /// Bytes of what they write, at most.
    pub bytes_max: usize,
}

/// One site's tree as people see it, and what they did there.
pub struct Desk<'a> {
    /// The top of the tree.
    pub tree: &'a Path,
    /// A folder for what is written before it is renamed into the tree.
    pub beside: &'a Path,
    /// A folder outside all trees, to which links point.
    pub outside: &'a Path,
    /// What the tree holds, by what is known to have happened.
    pub here: &'a mut BTreeMap<String, Here>,
    /// Files that the site's program has seen since they were made.
    pub noted: &'a mut BTreeSet<String>,
    /// Files that were deleted before any program had seen them: nobody can hear of that.
    pub unheard: &'a mut BTreeSet<String>,
    /// What happened anywhere.
    pub truth: &'a mut Truth,
    /// What is counted.
    pub counts: &'a mut Counts,
    /// How people are.
    pub people: People,
}

impl Desk<'_> {
    /// Does something; returns what, in a few words.
    pub fn edit(&mut self, tree: &Tree, rng: &mut Prng) -> String {
        self.counts.add(Kind::Edits);
        let files: Vec<&String> =
            tree.iter().filter(|(_, node)| is_file(node)).map(|(path, _)| path).collect();
        let any =
            |rng: &mut Prng| (!files.is_empty()).then(|| files[rng.below(files.len())].as_str());
        let name = NAMES[rng.below(self.people.names.min(NAMES.len()))];
        match rng.below(20) {
            0..=5 => self.write(tree, name, rng),
            6 | 7 => match any(rng) {
                Some(path) => self.write(tree, path, rng),
                None => self.write(tree, name, rng),
            },
            8 => any(rng).map_or_else(nothing, |path| self.same_size(tree, path)),
            9..=11 => any(rng).map_or_else(nothing, |path| self.delete(tree, path, rng)),
            12 | 13 if self.people.renames => {
                any(rng).map_or_else(nothing, |path| self.rename(tree, path, name))
            }
            14 if self.people.renames => match (any(rng), any(rng)) {
                (Some(one), Some(other)) if one != other => self.swap(tree, one, other),
                _ => nothing(),
            },
            15 if self.people.renames => self.rename_folder(tree, rng),
            16 if self.people.executables => {
                any(rng).map_or_else(nothing, |path| self.toggle(tree, path))
            }
            17 | 18 if self.people.types => self.change_type(tree, name, rng),
            19 => self.make_empty_folder(rng),
            _ => self.write(tree, name, rng),
        }
    }

    /// Takes out of the way whatever keeps `path` from being a file: links, folders, files above.
    pub fn make_way(&mut self, tree: &Tree, path: &str) -> String {
        let in_way = |other: &&String| {
            path.starts_with(&format!("{other}/")) || other.starts_with(&format!("{path}/"))
        };
        let all: Vec<&String> = tree.keys().filter(in_way).collect();
        for other in &all {
            self.take_away(tree, other);
        }
        let _ = fs::remove_dir_all(self.tree.join(path));
        format!("makes way for {path}: {all:?}")
    }

    /// Removes every symbolic link.
    pub fn remove_links(&mut self, tree: &Tree) {
        for (path, node) in tree {
            if let Node::Link(_) = node {
                let _ = fs::remove_file(self.tree.join(path));
            }
        }
    }

    fn write(&mut self, tree: &Tree, path: &str, rng: &mut Prng) -> String {
        if !self.is_reachable(tree, path) {
            return nothing();
        }
        self.counts.add(Kind::Writes);
        let bytes = self.new_bytes(path, rng.below(self.people.bytes_max.max(1)), rng);
        let file = self.tree.join(path);
        let _ = fs::create_dir_all(file.parent().unwrap_or(self.tree));
        self.gives_up(tree, path);
        let executable = executable_at(tree, path);
        // As editors do: some write in place, some put a new file there.
        let is_in_place = rng.chance(500);
        if is_in_place {
            write_in_place(&file, &bytes);
        } else {
            let beside = self.beside.join("editor~");
            write_in_place(&beside, &bytes);
            set_executable(&beside, executable);
            let _ = fs::rename(beside, &file);
        }
        self.happens(tree, path, Some((bytes.as_slice(), executable)));
        format!("writes {path}{}", if is_in_place { " in place" } else { "" })
    }

    /// Writes as many bytes as there were, and sets the time back.
    fn same_size(&mut self, tree: &Tree, path: &str) -> String {
        let Some(Node::File { bytes: old, executable }) = tree.get(path) else { return nothing() };
        let file = self.tree.join(path);
        let Ok(time) = fs::metadata(&file).and_then(|metadata| metadata.modified()) else {
            return nothing();
        };
        let mut bytes = self.new_bytes(path, 0, &mut Prng::new(0, 0));
        if bytes.len() > old.len() {
            return nothing();
        }
        bytes.resize(old.len(), b'.');
        self.counts.add(Kind::SameSize);
        self.gives_up(tree, path);
        write_in_place(&file, &bytes);
        set_time(&file, time);
        self.happens(tree, path, Some((bytes.as_slice(), *executable)));
        format!("writes {path}, same size and time")
    }

    fn delete(&mut self, tree: &Tree, path: &str, rng: &mut Prng) -> String {
        self.counts.add(Kind::Deletions);
        self.take_away(tree, path);
        if rng.chance(500)
            && let Some(folder) =
                self.tree.join(path).parent().filter(|folder| *folder != self.tree)
        {
            let _ = fs::remove_dir(folder);
        }
        format!("deletes {path}")
    }

    fn rename(&mut self, tree: &Tree, from: &str, to: &str) -> String {
        let Some(Node::File { bytes, executable }) = tree.get(from) else { return nothing() };
        let is_within = to.starts_with(&format!("{from}/"));
        if from == to || is_within || !self.is_reachable(tree, to) {
            return nothing();
        }
        self.counts.add(Kind::Renames);
        let target = self.tree.join(to);
        let _ = fs::create_dir_all(target.parent().unwrap_or(self.tree));
        if fs::rename(self.tree.join(from), target).is_err() {
            return nothing();
        }
        self.gives_up(tree, from);
        self.gives_up(tree, to);
        self.happens(tree, from, None);
        self.happens(tree, to, Some((bytes.as_slice(), *executable)));
        format!("renames {from} to {to}")
    }

    fn swap(&mut self, tree: &Tree, one: &str, other: &str) -> String {
        let (
            Some(Node::File { bytes: a, executable: x }),
            Some(Node::File { bytes: b, executable: y }),
        ) = (tree.get(one), tree.get(other))
        else {
            return nothing();
        };
        self.counts.add(Kind::Swaps);
        let beside = self.beside.join("swapped~");
        let _ = fs::rename(self.tree.join(one), &beside);
        let _ = fs::rename(self.tree.join(other), self.tree.join(one));
        let _ = fs::rename(beside, self.tree.join(other));
        self.gives_up(tree, one);
        self.gives_up(tree, other);
        self.happens(tree, one, Some((b.as_slice(), *y)));
        self.happens(tree, other, Some((a.as_slice(), *x)));
        format!("swaps {one} and {other}")
    }

    fn rename_folder(&mut self, tree: &Tree, rng: &mut Prng) -> String {
        let (from, to) = [("d", "f"), ("f", "d"), ("d/e", "e"), ("e", "d/e")][rng.below(4)];
        let (source, target) = (self.tree.join(from), self.tree.join(to));
        let is_folder = fs::symlink_metadata(&source).is_ok_and(|metadata| metadata.is_dir());
        let is_parent = target.parent().is_some_and(Path::is_dir);
        if !is_folder || !is_parent || fs::symlink_metadata(&target).is_ok() {
            return nothing();
        }
        if fs::rename(source, target).is_err() {
            return nothing();
        }
        self.counts.add(Kind::RenamedFolders);
        for (path, node) in tree {
            let Some(rest) = path.strip_prefix(&format!("{from}/")) else { continue };
            let Node::File { bytes, executable } = node else { continue };
            self.gives_up(tree, path);
            self.happens(tree, path, None);
            self.happens(tree, &format!("{to}/{rest}"), Some((bytes.as_slice(), *executable)));
        }
        format!("renames the folder {from} to {to}")
    }

    fn toggle(&mut self, tree: &Tree, path: &str) -> String {
        let Some(Node::File { bytes, executable }) = tree.get(path) else { return nothing() };
        self.counts.add(Kind::Toggles);
        set_executable(&self.tree.join(path), !executable);
        self.happens(tree, path, Some((bytes.as_slice(), !executable)));
        format!("toggles {path}")
    }

    fn change_type(&mut self, tree: &Tree, name: &str, rng: &mut Prng) -> String {
        self.counts.add(Kind::TypeChanges);
        let place = match rng.below(3) {
            // A folder that is a part of other names.
            0 => name.split('/').next().unwrap_or(name),
            _ => name,
        };
        let path = self.tree.join(place);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                let _ = fs::remove_file(path);
                return format!("removes the link {place}");
            }
            Ok(metadata) if metadata.is_dir() => {
                for other in tree.keys().filter(|other| other.starts_with(&format!("{place}/"))) {
                    self.take_away(tree, other);
                }
                let _ = fs::remove_dir_all(&path);
            }
            Ok(_) => self.take_away(tree, place),
            Err(_) => {
                if !self.is_reachable(tree, place) {
                    return nothing();
                }
                let _ = fs::create_dir_all(path.parent().unwrap_or(self.tree));
            }
        }
        let targets = [self.outside.join("secret"), self.outside.to_owned(), PathBuf::from("a")];
        match rng.below(4) {
            0 => {
                let below = format!("{place}/{}", ["u", "e", "new"][rng.below(3)]);
                let _ = fs::create_dir_all(&path);
                let bytes = self.new_bytes(&below, 20, rng);
                write_in_place(&self.tree.join(&below), &bytes);
                self.happens(tree, &below, Some((bytes.as_slice(), false)));
                format!("makes {place} a folder with {below}")
            }
            1 => {
                let bytes = self.new_bytes(place, 20, rng);
                write_in_place(&path, &bytes);
                self.happens(tree, place, Some((bytes.as_slice(), false)));
                format!("makes {place} a file")
            }
            which => {
                let target = &targets[rng.below(targets.len())];
                let _ = symlink(target, &path);
                let shown = target.file_name().unwrap_or_default().to_string_lossy();
                let _ = which;
                format!("makes {place} a link to {shown}")
            }
        }
    }

    fn make_empty_folder(&mut self, rng: &mut Prng) -> String {
        let name = ["empty", "d/empty", "d/e"][rng.below(3)];
        let path = self.tree.join(name);
        let is_parent = path.parent().is_some_and(|parent| {
            fs::symlink_metadata(parent).is_ok_and(|metadata| metadata.is_dir())
        });
        if !is_parent || fs::symlink_metadata(&path).is_ok() {
            return nothing();
        }
        self.counts.add(Kind::EmptyFolders);
        let _ = fs::create_dir(path);
        format!("makes the folder {name}")
    }

    /// Removes a file or link.
    fn take_away(&mut self, tree: &Tree, path: &str) {
        let _ = fs::remove_file(self.tree.join(path));
        if matches!(tree.get(path), Some(Node::File { .. })) {
            self.gives_up(tree, path);
            self.happens(tree, path, None);
        }
    }

    /// Notes that what a path holds is overwritten or deleted by its owner.
    fn gives_up(&mut self, tree: &Tree, path: &str) {
        if let Some(Node::File { bytes, .. }) = tree.get(path)
            && let Some(content) = self.truth.known(bytes)
        {
            self.truth.given_up(content);
        }
    }

    /// Notes what a path holds now, upon what was there.
    fn happens(&mut self, tree: &Tree, path: &str, now: Option<(&[u8], bool)>) {
        let mut past = self.here.get(path).cloned().unwrap_or_default();
        past.extend(seen(self.truth, tree, path));
        let what = now.map(|(bytes, executable)| (self.truth.content(bytes), executable));
        if what.is_none() && !self.noted.contains(path) {
            self.unheard.insert(path.to_owned());
        }
        if what.is_some() && !tree.contains_key(path) {
            self.noted.remove(path);
        }
        let event = self.truth.happen(path, what, &past);
        self.here.insert(path.to_owned(), BTreeSet::from([event]));
    }

    /// Whether a file can be made there: what is above it are folders, or nothing.
    fn is_reachable(&self, tree: &Tree, path: &str) -> bool {
        let is_blocked =
            |at: usize| matches!(tree.get(&path[..at]), Some(Node::File { .. } | Node::Link(_)));
        let above = path.match_indices('/').any(|(at, _)| is_blocked(at));
        let metadata = fs::symlink_metadata(self.tree.join(path));
        !above && metadata.map_or(true, |metadata| metadata.is_file())
    }

    /// Returns bytes that nobody wrote before.
    fn new_bytes(&self, path: &str, more: usize, rng: &mut Prng) -> Vec<u8> {
        let mut bytes = format!("{:06} for {path}\n", self.truth.count()).into_bytes();
        if more > 1_000 {
            // What does not pack, so that there are volumes.
            bytes.extend((0..more / 8).flat_map(|_| rng.bits().to_le_bytes()));
        } else {
            bytes
                .extend((0..more / 8).flat_map(|_| format!("{:07}\n", rng.below(99)).into_bytes()));
        }
        while self.truth.has_sum_of(&bytes) {
            bytes.push(b'.');
        }
        bytes
    }
}

/// Returns the events that what a tree shows at a path may be.
pub fn seen(truth: &Truth, tree: &Tree, path: &str) -> Here {
    match what_at(truth, tree, path) {
        Some(what @ Some(_)) => truth.at(path, what),
        _ => Here::new(),
    }
}

/// Returns what a tree shows at a path, as a file; `None` if nobody wrote it.
pub fn what_at(truth: &Truth, tree: &Tree, path: &str) -> Option<What> {
    match tree.get(path) {
        Some(Node::File { bytes, executable }) => {
            truth.known(bytes).map(|content| Some((content, *executable)))
        }
        Some(Node::Link(_) | Node::EmptyFolder) | None => Some(None),
    }
}

fn is_file(node: &Node) -> bool {
    matches!(node, Node::File { .. })
}

fn executable_at(tree: &Tree, path: &str) -> bool {
    matches!(tree.get(path), Some(Node::File { executable: true, .. }))
}

fn nothing() -> String {
    "does nothing".to_owned()
}

fn write_in_place(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn set_executable(file: &Path, executable: bool) {
    let mode = if executable { 0o755 } else { 0o644 };
    let _ = fs::set_permissions(file, fs::Permissions::from_mode(mode));
}

fn set_time(file: &Path, time: SystemTime) {
    if let Ok(file) = fs::File::options().write(true).open(file) {
        let _ = file.set_modified(time);
    }
}
