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
}

impl Mutant {
    /// Returns the mutant of that name.
    pub fn named(name: &str) -> Option<Mutant> {
        MUTANTS.iter().find(|(_, its, _)| *its == name).map(|(mutant, _, _)| *mutant)
    }
}
