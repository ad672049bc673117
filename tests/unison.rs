//! The same edits given to remsync, by mail, and to Unison, which sees both trees at once. Where
//! both can act they have to do the same: the same files are conflicts, and all others end equal.
//!
//! Unison is the reference because it decides from the same three things, without mail in between:
//! what each side has, and what both had. Where the two differ, a rule of ours says so
//! ([`Difference`]), and each case is seen to be that rule; any other difference fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails so"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::twins::Random;
use support::{Home, World, tree_value};

/// Edits on each side in a round, at most.
const EDITS_MAX: usize = 24;
/// Broadcasts and receipts until nobody has anything to say, at most.
const MAILS_MAX: usize = 8;

/// Rounds of answers until nothing is asked, at most.
const ANSWERS_MAX: usize = 8;

/// A file as both programs compare it: bytes, and whether its owner may execute it.
type Value = (Vec<u8>, bool);
/// The files of a tree.
type Files = BTreeMap<String, Value>;
/// The paths that are asked about.
type Paths = BTreeSet<String>;

/// Why the two programs do not ask the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// Folders do not travel, and each file is judged by itself. Unison judges a folder that went on
    /// one side, or became a file, as a whole.
    Folder,
    /// A folder in the place of a file, or the reverse, is not known to be a deletion: it waits until
    /// a person clears the way. Unison takes it for one change.
    Kind,
    /// What a site told in between is a version. A return to old contents is then a new one, and who
    /// goes on from the very version that the other made too is in no conflict with it. Unison sees
    /// neither.
    Between,
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    edits: usize,
    /// Files changed on one side alone, and carried over unasked.
    carried: usize,
    /// Files changed alike on both sides.
    alike: usize,
    conflicts: usize,
    /// Deletions that waited for a word.
    held: usize,
    differences: BTreeMap<Difference, usize>,
}

#[test]
fn the_same_files_are_conflicts_and_all_others_end_equal() {
    let tally = Pair::new("apply", false, 3).run(7);
    assert!(tally.edits > 60 && tally.carried > 20 && tally.conflicts > 3, "{tally:?}");
    assert_eq!(tally.held, 0, "{tally:?}");
}

#[test]
fn the_deletions_that_wait_are_those_that_unison_carries_out() {
    let tally = Pair::new("ask", false, 1).run(7);
    assert!(tally.edits > 60 && tally.carried > 20 && tally.held > 3, "{tally:?}");
}

#[test]
fn files_that_become_folders_wait_and_lose_nothing() {
    let tally = Pair::new("apply", true, 4).run(3);
    assert!(tally.differences.contains_key(&Difference::Kind), "{tally:?}");
}

/// Two sites with mail between them, and two folders with Unison between them; each site has a
/// folder with the same files.
struct Pair {
    world: World,
    sites: [Home; 2],
    folders: [PathBuf; 2],
    /// What both folders had when they last were alike, file by file: all that Unison remembers.
    agreed: Files,
    /// For each site, what it told of files since both were alike.
    told: [BTreeMap<String, Vec<Option<Value>>>; 2],
    /// Whether files become folders, and folders files.
    changes_kinds: bool,
    random: Random,
    tally: Tally,
}

impl Pair {
    /// Makes the trees alike; `seed` draws the edits, unless `REMSYNC_SEED` is set.
    fn new(deletions: &str, changes_kinds: bool, seed: u64) -> Pair {
        let world = World::in_memory();
        let sites = [world.home("a"), world.home("b")];
        let folders = ["c", "d"].map(|name| world.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        for name in names() {
            for tree in [&sites[0].tree, &folders[0], &folders[1]] {
                write(tree, &name, &format!("{name}, as it was at first\n"));
            }
        }
        let [a, b] = &sites;
        sites.iter().for_each(|s| s.set(&format!("[policy]\ndeletions = \"{deletions}\"\n")));
        a.init(&[b]).done();
        a.run(&["broadcast"]).done();
        b.deliver_all();
        b.run(&["accept", &b.first_entry(), "."]).done();
        let agreed = files(&folders[0]);
        let (random, tally) = (Random::from(seed), Tally::default());
        println!("REMSYNC_SEED={}", random.seed);
        let told = Default::default();
        let pair = Pair { world, sites, folders, agreed, told, changes_kinds, random, tally };
        assert_eq!((pair.exchange(), pair.unison()), Default::default());
        pair
    }

    fn run(mut self, rounds: usize) -> Tally {
        for round in 0..rounds {
            self.edit(round);
            let asked = self.exchange();
            let before = [files(&self.folders[0]), files(&self.folders[1])];
            let conflicts = self.unison();
            self.compare(&before, &asked, &conflicts);
            self.answer(&asked, &conflicts);
        }
        println!("{:?}", self.tally);
        self.tally
    }

    /// Edits both sites and both folders, alike.
    fn edit(&mut self, round: usize) {
        let mut edited = Vec::new();
        for side in [0, 1] {
            for n in 0..self.random.number(EDITS_MAX + 1) {
                let name = self.name(&edited);
                let other = self.name(&edited);
                let text = format!("round {round}, side {side}, edit {n}\n");
                let kind = self.random.number(if self.changes_kinds { 26 } else { 23 });
                // Where most files go at once, remsync would wait for a person.
                let here = files(&self.folders[side]).len();
                let kind = if here * 10 < self.agreed.len() * 8 { 0 } else { kind };
                for tree in [&self.sites[side].tree, &self.folders[side]] {
                    change(tree, kind, &name, &other, &text, round, &self.agreed);
                }
                edited.extend([name, other]);
                self.tally.edits += 1;
                if !self.changes_kinds && self.random.number(16) == 0 {
                    self.tells(side);
                    assert!(self.sites[side].run(&["broadcast"]).status() <= 1);
                }
            }
            assert_eq!(files(&self.sites[side].tree), files(&self.folders[side]));
        }
    }

    /// Returns a name; often one that has just been edited.
    fn name(&mut self, edited: &[String]) -> String {
        if !edited.is_empty() && self.random.number(3) == 0 {
            return edited[self.random.number(edited.len())].clone();
        }
        let names = names();
        names[self.random.number(names.len())].clone()
    }

    /// Lets mail go round until nobody has anything to say; returns what each file is asked about
    /// for, at any of the two.
    fn exchange(&self) -> BTreeMap<String, String> {
        for _ in 0..MAILS_MAX {
            self.sites.iter().for_each(|site| assert!(site.run(&["broadcast"]).status() <= 1));
            if self.sites.iter().all(|site| site.mails().is_empty()) {
                return self.sites.iter().flat_map(questions).collect();
            }
            self.sites.iter().for_each(|site| assert!(site.receive() <= 1));
        }
        panic!("the sites do not fall silent");
    }

    /// Runs Unison over both folders; returns the paths that it calls conflicts.
    fn unison(&self) -> Paths {
        let ran = Command::new("unison")
            .args(&self.folders)
            .args(["-ui", "text", "-batch", "-confirmbigdel=false", "-perms", "0o100"])
            // Else it may miss an edit of the same size in the same second.
            .args(["-fastcheck", "false", "-log=false", "-dumbtty", "-contactquietly"])
            .env("UNISON", self.world.path().join("archives"))
            .env("HOME", self.world.path())
            .output()
            .expect("unison is installed");
        let told = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code().is_some_and(|code| code <= 1), "{told}");
        let skipped = told.lines().filter_map(|line| line.strip_prefix("  skipped: "));
        skipped.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Holds what both programs did and asked against each other. `before` is what was in the
    /// folders.
    fn compare(&mut self, before: &[Files; 2], asked: &BTreeMap<String, String>, theirs: &Paths) {
        let is_held = |path: &&String| asked[*path] == "deletion";
        let held: Paths = asked.keys().filter(is_held).cloned().collect();
        let ours: Paths = asked.keys().filter(|path| !is_held(path)).cloned().collect();
        let story = self.story(before, asked, theirs);
        let mut paths: Paths = before[0].keys().chain(before[1].keys()).cloned().collect();
        let told = self.told.iter().flat_map(BTreeMap::keys);
        paths.extend(self.agreed.keys().chain(told).cloned());
        // What is a file in one tree and a folder in another.
        let kinds: Paths = paths.iter().filter(|path| is_folder(path, &paths)).cloned().collect();
        assert!(self.changes_kinds || kinds.is_empty(), "{story}");
        let whole: Paths = theirs.difference(&paths).cloned().collect();
        let is_below = |path: &String, tops: &Paths| tops.iter().any(|top| is_in(path, top));
        let after = self.trees();
        let agreed_all = self.agreed.clone();
        for path in &paths {
            let agreed = agreed_all.get(path);
            let [here, there] = [before[0].get(path), before[1].get(path)];
            if is_below(path, &kinds) {
                // Nothing is decided, or what both could agree on; what was written is still there.
                self.count(Difference::Kind);
                assert!([here, there].contains(&after[0].get(path)), "{path}: {story}");
                assert!([here, there].contains(&after[1].get(path)), "{path}: {story}");
                continue;
            }
            let is_conflict = here != there && here != agreed && there != agreed;
            let is_theirs = theirs.contains(path);
            let is_between = self.is_between(path, [here, there], agreed);
            if is_below(path, &whole) {
                let is_explained = is_between || self.changes_kinds && ours.contains(path);
                assert!(ours.contains(path) == is_conflict || is_explained, "{path}: {story}");
                self.count(Difference::Folder);
            } else if ours.contains(path) != is_theirs {
                assert!(is_between, "{path}: {story}");
                self.count(Difference::Between);
            } else {
                assert_eq!(is_theirs, is_conflict, "{path}: {story}");
            }
            if is_between && is_conflict && !ours.contains(path) {
                // Whichever of the two it is, unless it is a deletion that waits.
                let is_one = [here, there].contains(&after[0].get(path));
                let is_same = after[0].get(path) == after[1].get(path);
                assert!(is_one && (is_same || held.contains(path)), "{path}: {story}");
                continue;
            }
            if ours.contains(path) {
                self.tally.conflicts += 1;
                continue;
            }
            let end = if here == agreed { there } else { here };
            if held.contains(path) {
                assert!(end.is_none(), "{path}: {story}");
                self.tally.held += 1;
                continue;
            }
            let of_unison = if is_below(path, &whole) { 2 } else { 4 };
            for tree in &after[..of_unison] {
                assert_eq!(tree.get(path), end, "{path}: {story}");
            }
            match (here == agreed, there == agreed) {
                (true, true) => {}
                (false, false) => self.tally.alike += 1,
                _ => self.tally.carried += 1,
            }
        }
        let known: Paths = after.iter().flat_map(Files::keys).cloned().collect();
        assert!(known.is_subset(&paths), "nothing is invented: {story}");
    }

    /// Whether a site told, in between, what it ended with no more, and what was agreed on or is
    /// the other's too.
    fn is_between(&self, path: &str, ends: [Option<&Value>; 2], agreed: Option<&Value>) -> bool {
        let all = |side: usize| {
            let told = self.told[side].get(path).into_iter().flatten().map(Option::as_ref);
            told.chain([ends[side]]).filter(|value| *value != agreed).collect::<Vec<_>>()
        };
        let [here, there] = [all(0), all(1)];
        let is_return =
            |side: usize, all: &[Option<&Value>]| ends[side] == agreed && !all.is_empty();
        let is_same = ends[0] != ends[1] && here.iter().any(|value| there.contains(value));
        is_return(0, &here) || is_return(1, &there) || is_same
    }

    fn count(&mut self, difference: Difference) {
        *self.tally.differences.entry(difference).or_default() += 1;
    }

    /// Answers most of what is asked at one of the sites, and gives Unison's folders what that came
    /// to; the rest stays open, and is edited further.
    fn answer(&mut self, asked: &BTreeMap<String, String>, theirs: &Paths) {
        let mut open = Paths::new();
        for (path, why) in asked {
            if why == "conflict" && theirs.contains(path) && self.random.number(4) == 0 {
                open.insert(path.clone());
            }
        }
        let mut answered = Paths::new();
        for _ in 0..ANSWERS_MAX {
            let mut left = self.exchange();
            left.retain(|path, _| !open.contains(path));
            if left.is_empty() {
                break;
            }
            // That a deletion was chosen at one site is a deletion at the other, and waits there.
            let is_again =
                |(path, why): (&String, &String)| answered.contains(path) && why != "deletion";
            assert!(
                self.changes_kinds || !left.iter().any(is_again),
                "an answer settles a question: {answered:?} {left:?}"
            );
            let left = left.into_keys().collect();
            answered = self.answer_once(&left);
        }
        assert_eq!(self.exchange().into_keys().collect::<Paths>(), open);
        let [a, b, c, d] = self.trees();
        let paths: Paths = [&a, &b, &c, &d].into_iter().flat_map(Files::keys).cloned().collect();
        // What goes makes way for what comes.
        for is_gone in [true, false] {
            for path in paths.iter().filter(|path| !open.contains(*path)) {
                assert_eq!(a.get(path), b.get(path), "{path}");
                for folder in &self.folders {
                    match a.get(path) {
                        None if is_gone => remove(folder, path, true),
                        Some((bytes, is_program)) if !is_gone => {
                            write(folder, path, std::str::from_utf8(bytes).unwrap());
                            set_program(&folder.join(path), *is_program);
                        }
                        _ => {}
                    }
                }
            }
        }
        // Folders that only it knows of may be left.
        let mut left = self.unison();
        left.retain(|path| !self.folders.iter().any(|folder| folder.join(path).is_dir()));
        assert_eq!(left, open, "Unison has no other open conflicts");
        let [_, _, c, d] = self.trees();
        let agreed = c.keys().chain(d.keys()).chain(self.agreed.keys());
        let agreed: Paths = agreed.cloned().collect();
        for path in agreed.iter().filter(|path| c.get(*path) == d.get(*path)) {
            match c.get(path) {
                Some(value) => self.agreed.insert(path.clone(), value.clone()),
                None => self.agreed.remove(path),
            };
        }
        for side in [0, 1] {
            self.tells(side);
            self.told[side].retain(|path, _| open.contains(path));
        }
    }

    /// Notes what a site tells now.
    fn tells(&mut self, side: usize) {
        let tree = files(&self.sites[side].tree);
        for path in tree.keys().chain(self.agreed.keys()) {
            if tree.get(path) != self.agreed.get(path) {
                let told = self.told[side].entry(path.clone()).or_default();
                told.push(tree.get(path).cloned());
            }
        }
    }

    /// Answers each of these questions at one of the sites; returns those of two versions.
    fn answer_once(&mut self, paths: &Paths) -> Paths {
        let asked = [questions(&self.sites[0]), questions(&self.sites[1])];
        let mut words: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
        let mut answered = Paths::new();
        for path in paths {
            let first = self.random.number(2);
            let side = if asked[first].contains_key(path) { first } else { 1 - first };
            let word = ["keep", "take"][self.random.number(2)];
            match asked[side][path].as_str() {
                "in-the-way" => clear_the_way(&self.sites[side].tree, path),
                "deletion" => words.entry((side, "take")).or_default().push(path),
                _ => {
                    words.entry((side, word)).or_default().push(path);
                    answered.insert(path.clone());
                }
            }
        }
        for ((side, word), paths) in words {
            let ran = self.sites[side].run(&[&["resolve"], paths.as_slice(), &[word]].concat());
            assert!(ran.status() <= 1, "{}", ran.story());
        }
        answered
    }

    /// Returns the trees of both sites and both folders of Unison.
    fn trees(&self) -> [Files; 4] {
        let [a, b] = &self.sites;
        [&a.tree, &b.tree, &self.folders[0], &self.folders[1]].map(|tree| files(tree))
    }

    /// All that a person needs to see what happened.
    fn story(
        &self,
        before: &[Files; 2],
        asked: &BTreeMap<String, String>,
        theirs: &Paths,
    ) -> String {
        let mut lines = vec![format!("REMSYNC_SEED={}", self.random.seed)];
        let trees = self.trees();
        let all =
            [&self.agreed, &before[0], &before[1], &trees[0], &trees[1], &trees[2], &trees[3]];
        let paths: Paths = all.into_iter().flat_map(Files::keys).cloned().collect();
        for path in paths {
            let values = all.map(|files| files.get(&path));
            if values.iter().any(|value| *value != values[0]) {
                let shown = values.map(|value| {
                    value.map_or("-".into(), |(bytes, x)| {
                        format!("{:?}{}", String::from_utf8_lossy(bytes), if *x { "x" } else { "" })
                    })
                });
                lines.push(format!("{path} (agreed, here, there, a, b, c, d): {shown:#?}"));
            }
        }
        lines.push(format!("remsync asks {asked:?}\nUnison asks {theirs:?}"));
        lines.join("\n")
    }
}

/// Every name that files of these tests have.
fn names() -> Vec<String> {
    let folders = ["", "one/", "two/", "two/deep/", "three/"];
    folders.iter().flat_map(|folder| (0..8).map(move |n| format!("{folder}f{n}"))).collect()
}

/// Makes one edit of a tree; which one, `kind` says.
fn change(
    tree: &Path,
    kind: usize,
    name: &str,
    other: &str,
    text: &str,
    round: usize,
    agreed: &Files,
) {
    let file = tree.join(name);
    match kind {
        0..8 => write(tree, name, text),
        // The same on both sides, if it comes to that.
        8..11 => write(tree, name, &format!("round {round}, on any side\n")),
        // A person's empty folder stays or goes.
        11..15 => remove(tree, name, kind.is_multiple_of(2)),
        15..18 if file.is_file() => set_program(&file, !is_program(&file)),
        18..20 if file.is_file() && !tree.join(other).exists() => {
            let text = fs::read_to_string(&file).unwrap();
            remove(tree, name, true);
            write(tree, other, &text);
        }
        20..22 => match agreed.get(name) {
            None => remove(tree, name, true),
            Some((bytes, _)) => write(tree, name, std::str::from_utf8(bytes).unwrap()),
        },
        // A whole folder goes.
        22 => {
            let Some((folder, _)) = name.rsplit_once('/') else { return };
            if folder != "two" && tree.join(folder).is_dir() {
                fs::remove_dir_all(tree.join(folder)).unwrap();
            }
        }
        // A file becomes a folder.
        23 | 24 if file.is_file() => {
            fs::remove_file(&file).unwrap();
            write(tree, &format!("{name}/inner"), text);
        }
        // A folder becomes a file.
        25 => {
            let Some((folder, _)) = name.rsplit_once('/') else { return };
            if folder != "two" && tree.join(folder).is_dir() {
                fs::remove_dir_all(tree.join(folder)).unwrap();
                write(tree, folder, text);
            }
        }
        _ => {}
    }
}

/// Writes a file, where no other file's folder would have to be and no folder with files is.
fn write(tree: &Path, name: &str, text: &str) {
    let file = tree.join(name);
    let above = file.ancestors().skip(1).take_while(|folder| *folder != tree);
    if above.into_iter().any(Path::is_file) || file.is_dir() && !files(&file).is_empty() {
        return;
    }
    if file.is_dir() {
        fs::remove_dir_all(&file).unwrap();
    }
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Removes a file, perhaps with the folders that it leaves empty.
fn remove(tree: &Path, name: &str, with_folders: bool) {
    let file = tree.join(name);
    if !file.is_file() {
        return;
    }
    fs::remove_file(&file).unwrap();
    for folder in file.ancestors().skip(1).take_while(|folder| *folder != tree) {
        if !with_folders || fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).unwrap().permissions().mode() & 0o100 != 0
}

fn set_program(file: &Path, is_program: bool) {
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// Reads a tree, the project's own files left out.
fn files(tree: &Path) -> Files {
    let value = tree_value(tree).into_iter();
    value.map(|(path, it)| (path.into_string().unwrap(), (it.bytes, it.executable))).collect()
}

/// Returns each file that waits for an answer at a site, and why.
fn questions(site: &Home) -> BTreeMap<String, String> {
    let (pending, _) = site.json(&["pending"]);
    let questions = pending["questions"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    questions.map(|question| (text(&question["path"]), text(&question["why"]))).collect()
}

/// What a person does where something is in the way of a file.
fn clear_the_way(tree: &Path, name: &str) {
    let file = tree.join(name);
    if file.is_dir() {
        return fs::remove_dir_all(file).unwrap();
    }
    let above = file.ancestors().skip(1).take_while(|folder| *folder != tree);
    above.filter(|above| above.is_file()).for_each(|above| fs::remove_file(above).unwrap());
}

/// Whether one of these paths is below `path`.
fn is_folder(path: &str, paths: &Paths) -> bool {
    paths.iter().any(|other| other != path && is_in(other, path))
}

/// Whether `path` is `folder` or below it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
