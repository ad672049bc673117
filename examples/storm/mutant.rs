//! Rules broken on purpose: the storm that does not notice one of them is worth nothing.
//!
//! Each is broken from outside, by tampering with what goes into a rule or comes out of it, so that
//! the program itself has no switch that makes it unsafe.

macro_rules! mutants {
    ($($variant:ident $name:literal $words:literal)*) => {
        /// One broken rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant { $(#[doc = $words] $variant),* }
        /// Every mutant, with its name and what it breaks.
        pub const MUTANTS: &[(Mutant, &str, &str)] = &[$((Mutant::$variant, $name, $words)),*];
    };
}

mutants! {
    Ties "ties" "the guard of ties is left out: what arrives wins"
    Generations "generations" "versions are bare signatures"
    OlderSerial "older-serial" "an older serial replaces a newer one"
    HearsayStops "hearsay-stops" "hearsay stops a sending for good, even one that is asked for"
    TombstonesEarly "tombstones-early" "tombstones are forgotten after a day"
    BeliefsEarly "beliefs-early" "what is sent is believed to be there"
    NoResend "no-resend" "what was sent once is never sent again, even if it is asked for"
    DiskUnseen "disk-unseen" "the row is not brought up to date with the disk"
    PutBlind "put-blind" "what is replaced is not compared in that moment"
    ChoicesUntold "choices-untold" "a history that changed is not listed"
    ChoicesForgotten "choices-forgotten" "a version not chosen does not join the history"
    GapsIgnored "gaps-ignored" "a package counts as taken in whatever it builds on"
    FailedSeen "failed-seen" "a package that could not be applied is acknowledged and dropped"
    HiddenIsGone "hidden-is-gone" "a file that cannot be looked at is deleted"
    UnlistedIsGone "unlisted-is-gone" "a row that is not listed is a deletion"
    StaleReplaces "stale-replaces" "an ancestor replaces what descends from it"
    WantsUnheard "wants-unheard" "what is asked for is not sent again"
    BackwardsUnseen "backwards-unseen" "nobody is ever told all again"
    ReturnedIsSeen "returned-is-seen" "word that a mail came back counts as word that it was taken in"
    ReturnedRewinds "returned-rewinds" "a package that came back counts as never numbered"
    DeliveredIsWord "delivered-is-word" "a report of delivery counts as the site's own word"
    DeletionsUnasked "deletions-unasked" "deletions are applied where they are to wait"
    SensitiveUnasked "sensitive-unasked" "names that other programs obey are like all others"
    BeliefsFirst "beliefs-first" "beliefs are on the disk before the files, and power fails between"
    HistoryShort "history-short" "a history keeps the newest ancestor only"
    BitUnseen "bit-unseen" "the executable bit is in no signature"
    EditsUnseen "edits-unseen" "an edit that keeps size and time is not seen by a scan"
    TombstonesUntold "tombstones-untold" "a deletion is told to nobody"
    HearsayIsWord "hearsay-is-word" "what a third site says counts as a site's own word"
    AnswersNever "answers-never" "no acknowledgement is ever owed"
    AnswersAlways "answers-always" "every package is owed an acknowledgement"
    LearntUnanswered "learnt-unanswered" "what is asked about is learnt before anybody answers"
    LateDropped "late-dropped" "mail that is overtaken on its way is dropped"
    ChangedPacked "changed-packed" "bytes are packed that are not those that were hashed"
    TreeGoneTold "tree-gone-told" "a tree that is not there is told as deleted"
    TreeGoneApplied "tree-gone-applied" "what arrives is applied to a tree that is not there"
    IntentUntold "intent-untold" "what a killed processing put in place is what somebody wrote there"
    SerialAgain "serial-again" "a serial is one more than the last, where the clock is behind"
    Unfrozen "unfrozen" "a broadcast of format 1.3 is written from beliefs that change with it"
}

/// Rules that only a disk can break, or more files than a storm has, and the test that fails without
/// each: file and name.
pub const ON_DISK: &[(&str, &str, &str)] = &[
    (
        "a package that deletes most files waits",
        "desk",
        "many_deletions_at_once_wait_whatever_the_policy",
    ),
    (
        "contents are durable before names, names before beliefs",
        "stops",
        "process_stopped_anywhere",
    ),
    ("a queue entry retires after the beliefs", "crash", "process_killed_anywhere_ends_the_same"),
    ("what waits in the outbox is sent once", "stops", "broadcast_stopped_anywhere"),
    ("mail is acknowledged once it is in the queue", "stops", "the_filter_stopped_anywhere"),
    ("a hash before a swap", "tree", "what_is_there_is_compared_before_anything_is_done"),
    ("a hash after it", "tree", "what_changes_between_look_and_swap_is_put_back"),
    ("a new file takes no other's place", "tree", "what_appears_before_a_new_file_is_left_alone"),
    ("no link is followed", "tree", "a_folder_swapped_for_a_link_leads_nowhere"),
    ("what is displaced is kept", "tree", "kept_versions_by_content"),
    ("what a killed run displaced is kept", "tree", "what_a_killed_run_displaced_is_rescued"),
    ("only what a listing lacks is deleted", "deletions", "what_is_not_known_is_no_deletion"),
    ("a tree that is gone deletes nothing", "exchange", "most_files_gone_stops_a_broadcast"),
    ("nor is anything applied to it", "desk", "nothing_is_applied_to_a_tree_that_is_not_there"),
    ("a full disk changes nothing", "regress", "a_full_disk_was_told_without_saying_which"),
];

impl Mutant {
    /// Returns the mutant of that name.
    pub fn named(name: &str) -> Option<Mutant> {
        MUTANTS.iter().find(|(_, its, _)| *its == name).map(|(mutant, _, _)| *mutant)
    }
}
