//! What happened, counted.

macro_rules! counts {
    ($($name:ident $words:literal)*) => {
        /// A thing that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $words] $name),* }
        /// Every kind, with the words for it.
        pub const KINDS: &[(Kind, &str)] = &[$((Kind::$name, $words)),*];
    };
}

counts! {
    Steps "steps"
    Runs "runs of a program"
    Edits "edits by people"
    Writes "… writes"
    SameSize "… of the same size, with the old time"
    Deletions "… deletions"
    Renames "… renames of files"
    RenamedFolders "… renames of folders"
    Swaps "… two files swapped"
    Toggles "… executable bits"
    TypeChanges "… file, folder and link changed into each other"
    EmptyFolders "… empty folders"
    MidEdits "… while a program ran"
    Broadcasts "broadcasts"
    Mails "mails"
    Volumes "… that are parts of a package"
    Lost "… lost"
    LostVolumes "… of these, parts of a package"
    Doubled "… doubled"
    Shuffled "… out of turn"
    Cut "… cut short"
    Flipped "… with a bit flipped"
    Forged "… of a stranger who says that he takes part"
    Returned "words that a mail came back"
    Processed "runs of process"
    Killed "programs killed"
    Blackouts "power failures"
    NamesGone "… names that were not synced, and lost"
    WritesGone "… writes that were not synced, and lost in whole or in part"
    Failures "calls that failed: disk full, no permission, disk broken"
    Stops "programs stopped while people edited"
    Skews "runs with a wrong clock"
    RolledBack "states taken from a backup"
    StatesLost "states lost"
    Undone "undos"
    Placed "files changed by a program"
    Removed "files removed by a program"
    Questions "questions"
    Answers "answers"
    Unfree "questions for which something has to make way"
    Resting "paths where a folder is in a file's place at some site, at the end"
    Rounds "rounds until it was quiet"
}

/// How often each thing happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; KINDS.len()])
    }
}

impl Counts {
    /// Counts one.
    pub fn add(&mut self, kind: Kind) {
        self.add_many(kind, 1);
    }

    /// Counts several.
    pub fn add_many(&mut self, kind: Kind, many: usize) {
        self.0[kind as usize] += many as u64;
    }

    /// Returns how often.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds another world's.
    pub fn join(&mut self, other: &Counts) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}
