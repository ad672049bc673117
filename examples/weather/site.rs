//! One site: a home with a tree, a queue and settings of its own, and the programs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::record::RECORDED;
use super::strace::{self, Fault, Point};

/// The programs that are run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `remsync`.
    pub remsync: PathBuf,
    /// `remsync-deliver`.
    pub deliver: PathBuf,
    /// What makes a program see another time (libfaketime).
    pub clock: PathBuf,
}

impl Programs {
    /// Returns those in a folder.
    ///
    /// # Errors
    /// One of them is missing, with what to do.
    pub fn within(folder: &Path) -> Result<Programs, String> {
        let named = |name: &str| {
            // They run in other folders than this program does.
            let program = std::path::absolute(folder.join(name))
                .map_err(|error| format!("{}: {error}", folder.display()))?;
            match program.is_file() {
                true => Ok(program),
                false => Err(format!("{}: build it first: cargo build", program.display())),
            }
        };
        Ok(Programs {
            remsync: named("remsync")?,
            deliver: named("remsync-deliver")?,
            clock: clock()?,
        })
    }
}

/// Finds libfaketime.
pub fn clock() -> Result<PathBuf, String> {
    let libraries = fs::read_dir("/usr/lib").map_err(|error| error.to_string())?;
    let below = libraries.flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let mut found = below.filter(|path| path.is_file());
    found.next().ok_or("the Debian package faketime is missing".to_owned())
}

/// What is somewhere in a tree.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link, and where it points.
    Link(PathBuf),
    /// A folder with nothing in it.
    EmptyFolder,
}

/// A tree, without what is the program's own.
pub type Tree = BTreeMap<String, Node>;

/// One site.
pub struct Site {
    /// Its home.
    pub top: PathBuf,
    /// Its tree.
    pub tree: PathBuf,
    /// Its address.
    pub address: String,
    /// The sites that it knows.
    pub links: Vec<usize>,
    /// By how many days its clock is wrong.
    pub skew_days: i64,
    /// Whether its state was lost or rolled back.
    pub is_lossy: bool,
}

/// What a program did.
pub struct Ran {
    /// Its exit status; -1 if it was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether what was to happen to it did.
    pub is_reached: bool,
}

/// What happens to a program while it runs.
pub enum Trouble<'a> {
    /// Nothing.
    None,
    /// A fault at a point.
    Fault(Point, Fault),
    /// It is killed at a point, if there is one, and its calls are recorded in this file.
    Recorded(Option<Point>, &'a Path),
    /// It is stopped after this call, and somebody does something meanwhile.
    Stop(Point, &'a mut dyn FnMut()),
}

impl Site {
    /// Makes a site's folders, below `folder`.
    pub fn create(folder: &Path, number: usize, settings: &str) -> Site {
        let top = folder.join(format!("s{number}"));
        let tree = top.join("tree");
        fs::create_dir_all(&tree).expect("a folder in the world's");
        fs::write(top.join("config.toml"), settings).expect("a file in the world's folder");
        let address = format!("s{number}@s{number}.example");
        Site { top, tree, address, links: Vec::new(), skew_days: 0, is_lossy: false }
    }

    /// Returns a command in this home, with nothing else of the environment.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        programs: &Programs,
        program: &Path,
        words: &[S],
    ) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &self.top)
            .env("REMSYNC_CONFIG", self.top.join("config.toml"))
            .env("TZ", "UTC")
            .current_dir(&self.tree)
            .args(words);
        if self.skew_days != 0 {
            command
                .env("LD_PRELOAD", &programs.clock)
                .env("FAKETIME", format!("{:+}d", self.skew_days))
                .env("NO_FAKE_STAT", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// Runs a command, with some trouble; a clock that is wrong spares it that.
    pub fn run(&self, command: &mut Command, stdin: Option<&Path>, trouble: Trouble<'_>) -> Ran {
        let log = self.top.join("strace.log");
        let traced = match trouble {
            Trouble::Fault(point, fault) if self.skew_days == 0 => {
                strace::run_to(command, stdin, &log, &point, fault)
            }
            Trouble::Recorded(point, log) if self.skew_days == 0 => {
                strace::run_recorded(command, stdin, log, RECORDED, point.as_ref())
            }
            Trouble::Stop(point, meanwhile) if self.skew_days == 0 => {
                strace::run_stopped(command, stdin, &log, &point, meanwhile)
            }
            _ => return run_alone(command, stdin),
        };
        Ran {
            code: traced.code(),
            stdout: traced.stdout,
            stderr: traced.stderr,
            is_reached: traced.is_reached,
        }
    }

    /// Reads the tree.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![self.tree.clone()];
        while let Some(folder) = folders.pop() {
            let mut is_empty = true;
            for path in entries(&folder) {
                is_empty = false;
                let name = path.strip_prefix(&self.tree).expect("below it").to_string_lossy();
                if name.starts_with(".remsync") {
                    continue;
                }
                match node(&path) {
                    Some(node) => drop(tree.insert(name.into_owned(), node)),
                    None => folders.push(path),
                }
            }
            if is_empty && folder != self.tree {
                let name = folder.strip_prefix(&self.tree).expect("below it").to_string_lossy();
                tree.insert(name.into_owned(), Node::EmptyFolder);
            }
        }
        tree
    }

    /// Returns the contents of all kept versions, those that lie aside included.
    pub fn kept(&self) -> BTreeSet<Vec<u8>> {
        let mut kept = BTreeSet::new();
        let mut folders = vec![self.tree.join(".remsync.d/kept")];
        while let Some(folder) = folders.pop() {
            for path in entries(&folder) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(kept.insert(fs::read(path).unwrap_or_default())),
                }
            }
        }
        kept
    }

    /// Returns the packages in the queue, and what each of them is.
    pub fn queued(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut queued = BTreeMap::new();
        for folder in ["new", "parts", "notices", "refused", "held"] {
            for path in entries(&self.top.join(".local/state/remsync/queue").join(folder)) {
                let inner = if path.is_dir() { entries(&path) } else { vec![path] };
                // What is counted there is counted again where it is not right.
                let is_count = |file: &Path| file.file_name().is_some_and(|it| it == "tally");
                for file in inner.into_iter().filter(|it| it.is_file() && !is_count(it)) {
                    let bytes = fs::read(&file).unwrap_or_default();
                    queued.insert(file, bytes);
                }
            }
        }
        queued
    }

    /// Changes the settings.
    pub fn set(&self, from: &str, to: &str) {
        let file = self.top.join("config.toml");
        let settings = fs::read_to_string(&file).expect("the settings");
        fs::write(file, settings.replace(from, to)).expect("the settings");
    }
}

/// Returns what is in a folder, sorted; nothing if there is no folder.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Returns what a path is; `None` for a folder.
fn node(path: &Path) -> Option<Node> {
    let metadata = fs::symlink_metadata(path).expect("what was listed");
    if metadata.is_dir() {
        return None;
    }
    if metadata.is_symlink() {
        return Some(Node::Link(fs::read_link(path).expect("a link")));
    }
    let executable = metadata.permissions().mode() & 0o100 != 0;
    Some(Node::File { bytes: fs::read(path).expect("a file"), executable })
}

fn run_alone(command: &mut Command, stdin: Option<&Path>) -> Ran {
    let stdin = stdin.map(|file| fs::File::open(file).expect("a mail"));
    command.stdin(stdin.map_or(Stdio::null(), Stdio::from));
    let output = command.output().expect("a program that runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        is_reached: false,
    }
}
