//! A world for the tests: homes with a tree and a queue each, and a post office between them.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test fails so")]

pub mod archive;
pub mod browser;
pub mod coding;
pub mod smtp;
pub mod sshd;
pub mod strace;
pub mod terminal;
pub mod trust;
pub mod twins;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The real programs.
pub const REMSYNC: &str = env!("CARGO_BIN_EXE_remsync");
pub const DELIVER: &str = env!("CARGO_BIN_EXE_remsync-deliver");

/// Names that programs trip over.
pub const ODD_NAMES: [&[u8]; 9] = [
    b"plain",
    b"two words",
    b"100%",
    b"new\nline",
    b"-dash",
    "na\u{ef}ve \u{65e5}".as_bytes(),
    b"\xff\xfe bytes",
    b"tab\there",
    b"%20",
];

/// Several homes and the mail between them.
pub struct World {
    top: tempfile::TempDir,
}

/// One site: a home folder, a tree in it, its own settings and queue.
pub struct Home {
    pub top: PathBuf,
    pub tree: PathBuf,
    pub address: String,
    post: PathBuf,
}

/// What a program did; has to be looked at.
#[must_use = "look at the status, the output or both"]
pub struct Ran {
    pub output: Output,
    command: String,
    tree: PathBuf,
}

impl World {
    pub fn new() -> World {
        World { top: tempfile::Builder::new().prefix("rs").tempdir().unwrap() }
    }

    /// As [`World::new`], on a disk that is none where there is one: for thousands of runs.
    pub fn in_memory() -> World {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        World { top: tempfile::Builder::new().prefix("rs").tempdir_in(folder).unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.top.path()
    }

    /// Makes a home whose mail goes through the maildir transport.
    pub fn home(&self, name: &str) -> Home {
        let top = self.top.path().join(name);
        let tree = top.join("tree");
        fs::create_dir_all(&tree).unwrap();
        let post = self.top.path().join("post");
        fs::create_dir_all(&post).unwrap();
        let settings = format!(
            "[mail]\ntransport = \"maildir:{}\"\n[trust]\nunsigned = \"accept\"\n",
            post.display()
        );
        fs::write(top.join("config.toml"), settings).unwrap();
        Home { top, tree, address: format!("{name}@{name}.example"), post }
    }

    /// Makes a home that trusts by signatures alone, with a key of its own: settings as they are
    /// where nobody changed them.
    pub fn home_with_key(&self, name: &str) -> Home {
        let home = self.home(name);
        let transport = format!("[mail]\ntransport = \"maildir:{}\"\n", home.post.display());
        fs::write(home.top.join("config.toml"), transport).unwrap();
        home.run(&["key", "new"]).done();
        home
    }

    /// Two homes whose empty trees are one project in `format`.
    pub fn pair_in(&self, format: &str) -> (Home, Home) {
        let (a, b) = (self.home("a"), self.home("b"));
        for (home, other) in [(&a, &b), (&b, &a)] {
            let words = ["init", "--format", format, "--title", "Test", "--here", &home.address];
            home.run(&[&words[..], &["--remote", &other.address]].concat()).done();
        }
        (a, b)
    }

    /// Two homes whose trees are one project, the first package accepted and acknowledged.
    pub fn pair(&self) -> (Home, Home) {
        let (a, b) = (self.home("a"), self.home("b"));
        a.init(&[&b]).done();
        a.run(&["broadcast", "b@b.example"]).done();
        b.deliver_all();
        let id = b.first_entry();
        b.run(&["accept", &id, "."]).done();
        (a, b)
    }
}

impl Home {
    /// Makes the tree a project with these remotes.
    pub fn init(&self, remotes: &[&Home]) -> Ran {
        let mut words = vec!["init", "--title", "Test", "--here", &self.address];
        for remote in remotes {
            words.extend(["--remote", &remote.address]);
        }
        self.run(&words)
    }

    /// Adds lines to the settings.
    pub fn set(&self, lines: &str) {
        let file = self.top.join("config.toml");
        let text = fs::read_to_string(&file).unwrap() + lines;
        fs::write(file, text).unwrap();
    }

    /// Trusts another home's key.
    pub fn trust(&self, other: &Home) {
        let key = other.top.join("id_ed25519.pub");
        self.run(&["key", "trust", &other.address, key.to_str().unwrap()]).done();
    }

    /// A command with this home's environment and nothing else.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &self.top)
            .env("REMSYNC_CONFIG", self.top.join("config.toml"))
            .env("TZ", "UTC")
            .current_dir(&self.tree)
            .stdin(Stdio::null());
        command
    }

    /// Runs `remsync`.
    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        let mut command = self.command(REMSYNC);
        command.args(words);
        let shown = format!("{command:?}");
        Ran { output: command.output().unwrap(), command: shown, tree: self.tree.clone() }
    }

    /// Runs `remsync … --json` and returns the document with the exit status.
    pub fn json(&self, words: &[&str]) -> (serde_json::Value, i32) {
        let ran = self.run(&[words, &["--json"]].concat());
        let status = ran.status();
        let document = serde_json::from_slice(&ran.output.stdout);
        (document.unwrap_or_else(|error| panic!("{error}\n{}", ran.story())), status)
    }

    /// Gives one mail to the filter.
    pub fn deliver(&self, mail: &Path) -> Ran {
        let mut command = self.command(DELIVER);
        command.stdin(fs::File::open(mail).unwrap());
        let shown = format!("{command:?} < {}", mail.display());
        Ran { output: command.output().unwrap(), command: shown, tree: self.tree.clone() }
    }

    /// Returns the mails that wait for this home, oldest first.
    pub fn mails(&self) -> Vec<PathBuf> {
        let new = self.post.join(&self.address).join("new");
        let mut mails: Vec<PathBuf> = match fs::read_dir(new) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        mails.sort();
        mails
    }

    /// Gives every waiting mail to the filter, and puts it away; returns how many there were.
    pub fn deliver_all(&self) -> usize {
        let mails = self.mails();
        for mail in &mails {
            let ran = self.deliver(mail);
            assert_eq!(ran.status(), 0, "{}", ran.story());
            let away = self.post.join(&self.address).join("cur");
            fs::create_dir_all(&away).unwrap();
            fs::rename(mail, away.join(mail.file_name().unwrap())).unwrap();
        }
        mails.len()
    }

    /// Delivers and processes in batch; returns the exit status.
    pub fn receive(&self) -> i32 {
        self.deliver_all();
        self.run(&["process", "--batch"]).status()
    }

    pub fn first_entry(&self) -> String {
        let (entries, _) = self.json(&["queue", "list"]);
        entries[0]["id"].as_str().expect("an entry").to_owned()
    }

    pub fn write(&self, path: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) {
        let file = self.tree.join(path.as_ref());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.tree.join(path)).ok()
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path).expect(path)).unwrap()
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.tree.join(path)).unwrap();
    }

    /// Returns the tree as a value, the project's own files left out.
    pub fn files(&self) -> BTreeMap<OsString, FileValue> {
        tree_value(&self.tree)
    }
}

/// Makes the homes one project, each a remote of every other, with the files of the first.
pub fn start(homes: &[&Home]) {
    let (first, others) = homes.split_first().unwrap();
    first.init(others).done();
    first.run(&["broadcast"]).done();
    for home in others {
        home.deliver_all();
        let id = home.first_entry();
        home.run(&["accept", &id, "."]).done();
        for other in others.iter().filter(|other| other.address != home.address) {
            home.run(&["create", "remote", &other.address, "-"]).done();
        }
    }
    settle(homes);
    for home in others {
        assert_eq!(home.files(), first.files());
    }
}

/// Lets everybody broadcast and process until nothing is sent.
pub fn settle(homes: &[&Home]) {
    for _ in 0..12 {
        homes.iter().for_each(|home| drop(home.run(&["broadcast"]).done()));
        let sent: usize = homes.iter().map(|home| home.mails().len()).sum();
        for home in homes {
            let status = home.receive();
            assert!(status <= 1, "{}: {status}", home.address);
        }
        if sent == 0 {
            return;
        }
    }
    panic!("the sites do not fall silent");
}

/// Returns what a home is asked, as `resolve` names it.
pub fn questions(home: &Home) -> Vec<String> {
    let (document, _) = home.json(&["pending"]);
    let questions = document["questions"].as_array().unwrap().iter();
    questions.map(|question| question["question"].as_str().unwrap().to_owned()).collect()
}

/// A file as two trees are compared: bytes, executable bit, time in ns.
#[derive(Clone, PartialEq, Eq)]
pub struct FileValue {
    pub bytes: Vec<u8>,
    pub executable: bool,
    pub mtime_ns: i128,
}

impl std::fmt::Debug for FileValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(40)]);
        write!(f, "{text:?} x={} mtime={}", self.executable, self.mtime_ns)
    }
}

/// Reads a tree as a value, `.remsync…` left out; links and the like are shown as text.
pub fn tree_value(top: &Path) -> BTreeMap<OsString, FileValue> {
    let mut files = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().as_bytes().starts_with(b".remsync") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                format!("special {:?}", metadata.file_type()).into_bytes()
            };
            let value = FileValue {
                bytes,
                executable: metadata.permissions().mode() & 0o100 != 0,
                mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000
                    + i128::from(metadata.mtime_nsec()),
            };
            files.insert(path.strip_prefix(top).unwrap().as_os_str().to_owned(), value);
        }
    }
    files
}

/// Makes a program of a script, in a folder that is made too.
pub fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// A disk of a megabyte at a folder, until it is dropped.
pub struct SmallDisk<'f>(&'f Path);

impl SmallDisk<'_> {
    /// Mounts it; `None` for whoever may not, which root may.
    #[allow(clippy::print_stderr, reason = "what is not tried is said")]
    pub fn mount(folder: &Path) -> Option<SmallDisk<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            assert!(!rustix::process::geteuid().is_root(), "nothing can be mounted");
            eprintln!("skipped: only root may mount");
            return None;
        }
        Some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0).status();
        let is_done = unmounted.is_ok_and(|status| status.success());
        assert!(is_done || std::thread::panicking(), "it cannot be unmounted");
    }
}

/// Everything below these places, the project's own files left out: names, kinds and modes; of what is
/// no folder also sizes, times, targets of links, contents.
pub fn fingerprint(places: &[&Path]) -> String {
    let listed = Command::new("find")
        .args(places)
        .args(["-name", ".remsync*", "-prune", "-o", "-type", "d", "-printf", "%p %y %m\n"])
        .args(["-o", "-printf", "%p %y %m %s %T@ %l\n"])
        .output()
        .unwrap();
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines.extend(places.iter().map(|place| format!("{:?}", tree_value(place))));
    lines.join("\n")
}

/// The files below a folder that hold these words.
pub fn files_with(folder: &Path, words: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let holds = |bytes: Vec<u8>| bytes.windows(words.len()).any(|w| w == words.as_bytes());
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && fs::read(&path).is_ok_and(holds) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

impl Ran {
    /// Returns the exit status; -1 for a signal.
    pub fn status(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// Holds that it ended with 0.
    pub fn done(self) -> String {
        self.with(0)
    }

    /// Holds that it ended with `status`; returns what it printed.
    pub fn with(self, status: i32) -> String {
        assert_eq!(self.status(), status, "{}", self.story());
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// All that a person needs to see what happened.
    pub fn story(&self) -> String {
        let files: Vec<_> = tree_value(&self.tree).into_keys().collect();
        format!(
            "{}\nended with {:?}\n--- stdout\n{}\n--- stderr\n{}\n--- tree {}\n{files:?}",
            self.command,
            self.output.status,
            String::from_utf8_lossy(&self.output.stdout),
            String::from_utf8_lossy(&self.output.stderr),
            self.tree.display(),
        )
    }
}
