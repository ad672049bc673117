//! What happened, counted.

counts! {
    Steps "steps"
    Writes "writes by people"
    Deletions "deletions"
    Reverts "returns to old contents"
    Toggles "toggles of the executable bit"
    Recreations "files created again"
    Coincidences "writes of contents that others write too"
    Broadcasts "broadcasts"
    Packages "packages sent"
    Lost "mails lost"
    Doubled "mails doubled"
    Reordered "mails out of turn"
    Delayed "mails delayed for long"
    Replayed "old mails replayed"
    Returned "words that a lost mail came back"
    ReturnedAgain "… said again"
    ReturnedForged "… forged"
    TakenBack "files due again for it"
    Reported "words that a mail was delivered"
    NotAccepted "sendings that the carrier did not accept"
    TriedAgain "packages of the outbox tried again"
    KilledSending "killed after the carrier accepted"
    Visits "packages processed"
    Replaced "files replaced in silence"
    Created "files created in silence"
    Removed "files removed in silence"
    Races "edits in the moment of a replacement"
    DiskFaults "writes that failed"
    Killed "killed between the files and the beliefs"
    KilledAnswering "answers killed when the file was in place"
    Veiled "paths hidden for a while"
    RestoredState "states rolled back"
    RestoredAll "states and trees rolled back"
    StatesLost "states lost"
    Years "years passed"
    Skews "clocks set wrong"
    Forgotten "tombstones forgotten"
    TreesGone "trees that were not there for a while"
    DrasticHeld "broadcasts held back, for most files were gone"
    Questions "questions"
    QuestionsOfPlace "… held by place or policy"
    Withdrawn "questions withdrawn without an answer"
    Answers "answers"
    Kept "… keep"
    Taken "… take"
    Merged "… merge"
    AnswersLate "answers to what had changed meanwhile"
    Opposed "paths on which people chose oppositely"
    AfterOpposed "false questions after opposite choices"
    QuestionsCalm "questions once the weather is calm and all answer"
    AfterOpposedCalm "… false ones after opposite choices"
    AfterLoss "false questions after a state was lost or rolled back"
    AfterForgotten "false questions after a spent tombstone was forgotten"
    FilesBackAfterLoss "forgotten deletions undone after a loss elsewhere"
}

/// How often each thing happened, and how long it took until all were silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    each: Each,
    /// The most rounds with mail that a run needed to fall silent.
    pub rounds_max: u64,
    /// The seed of that run.
    pub rounds_max_seed: u64,
}

impl Counts {
    /// Counts one.
    pub fn add(&mut self, kind: Kind) {
        self.each.add(kind);
    }

    /// Counts several.
    pub fn add_many(&mut self, kind: Kind, many: usize) {
        self.each.add_many(kind, many);
    }

    /// Returns how often.
    pub fn of(&self, kind: Kind) -> u64 {
        self.each.of(kind)
    }

    /// Notes how many rounds a run needed.
    pub fn rounds(&mut self, rounds: u64, seed: u64) {
        if rounds > self.rounds_max {
            (self.rounds_max, self.rounds_max_seed) = (rounds, seed);
        }
    }

    /// Adds another run's.
    pub fn join(&mut self, other: &Counts) {
        self.each.join(&other.each);
        if (other.rounds_max, u64::MAX - other.rounds_max_seed)
            > (self.rounds_max, u64::MAX - self.rounds_max_seed)
        {
            (self.rounds_max, self.rounds_max_seed) = (other.rounds_max, other.rounds_max_seed);
        }
    }
}
