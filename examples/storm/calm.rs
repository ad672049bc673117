//! The weather calms: all trees must become one, but for open questions; then these are answered.

use remsync::rules::plan::{Named, RESEND_AFTER_MS, What};

use remsync::model::version::Content;

use super::counts::Kind;
use super::prng::Prng;
use super::truth::State;
use super::world::{HOUR_MS, World, index, package_of};

/// Rounds with mail after which a network that is not silent never will be.
pub const ROUNDS_MAX: u64 = 60;
/// Times that the open questions are answered everywhere before one site at a time answers.
const ANSWERS_AT_ONCE: usize = 4;
/// Times that they are answered at random before people agree to take what arrives.
const ANSWERS_AT_RANDOM: usize = 12;
/// Times that questions are answered at all.
const ANSWERS_MAX: usize = 40;

impl World<'_> {
    /// Calms the weather, and sees that everything ends well.
    pub fn calm_down(&mut self, rng: &mut Prng) {
        self.check_words();
        self.say(|_| "the weather calms".into());
        self.is_calm = true;
        for at in 0..self.sites.len() {
            self.sites[at].veil.fill(None);
        }
        // Some of what was delayed is never seen again.
        let late = std::mem::take(&mut self.late);
        for mail in late {
            if rng.chance(500) {
                self.air.push(mail);
            }
        }
        let gone = self.paths_gone();
        for at in 0..self.sites.len() {
            self.process_all(at, rng);
            let everybody: Vec<usize> = (0..self.sites[at].identity.remotes.len()).collect();
            self.broadcast(at, &everybody, Named::ByName, What::Contents, rng);
        }
        let rounds = self.fall_silent(rng);
        self.counts.rounds(rounds, self.seed);
        self.check_trees();
        self.answer_all(rng);
        self.check_gone(&gone);
        self.check_words();
    }

    fn process_all(&mut self, at: usize, rng: &mut Prng) {
        self.reconsider(at, rng);
        for package in std::mem::take(&mut self.sites[at].inbox) {
            if !self.visit(at, package, rng) {
                self.breaks("a package cannot be applied in calm weather", format!("p{package}"));
            }
        }
    }

    /// Rounds of mail until nobody has anything to say, days later either; how many.
    pub fn fall_silent(&mut self, rng: &mut Prng) -> u64 {
        let (mut rounds, mut silent) = (0, 0);
        while silent < 2 && self.broken.is_none() {
            while !self.air.is_empty() {
                let at = rng.below(self.air.len());
                let mail = self.air.swap_remove(at);
                self.arrive(mail);
            }
            let mut sent = 0;
            for at in 0..self.sites.len() {
                self.process_all(at, rng);
                let everybody: Vec<usize> = (0..self.sites[at].identity.remotes.len()).collect();
                sent += self.broadcast(at, &everybody, Named::Everybody, What::Contents, rng);
            }
            if sent > 0 {
                (rounds, silent) = (rounds + 1, 0);
                self.now_ms += HOUR_MS;
            } else {
                silent += 1;
                self.now_ms += RESEND_AFTER_MS + HOUR_MS;
                self.say(|_| "silence, days pass".into());
            }
            if rounds > ROUNDS_MAX {
                self.breaks("the network does not fall silent", format!("{rounds} rounds"));
            }
        }
        rounds
    }

    /// All trees are one, but for open questions.
    fn check_trees(&mut self) {
        for path in 0..self.paths.len() {
            let is_open = self.sites.iter().any(|site| {
                site.knowledge.questions.iter().any(|question| index(&question.path) == path)
            });
            let content = |at: usize| self.truths[path].content(&self.sites[at].disk[path]);
            let differing = (1..self.sites.len()).find(|at| content(*at) != content(0));
            // A person who refused a file that was never there keeps it out of that tree for good,
            // and out of what lies behind it.
            let is_refused = self.sites.iter().any(|site| site.is_refused[path]);
            if let Some(at) = differing.filter(|_| !is_open && !is_refused) {
                let (one, other) = (
                    self.shown(path, &self.sites[0].disk[path]),
                    self.shown(path, &self.sites[at].disk[path]),
                );
                self.breaks(
                    "trees differ, and nobody is asked",
                    format!("s0 has {one}, s{at} has {other}"),
                );
            }
        }
    }

    /// People answer, until there is nothing left to answer.
    fn answer_all(&mut self, rng: &mut Prng) {
        // In some runs everybody answers at once, and so oppositely; in others one site does.
        let at_once = if rng.chance(500) { ANSWERS_AT_ONCE } else { 0 };
        for times in 0..ANSWERS_MAX {
            if self.broken.is_some() {
                return;
            }
            let asked: Vec<usize> = (0..self.sites.len())
                .filter(|at| !self.sites[*at].knowledge.questions.is_empty())
                .collect();
            if asked.is_empty() {
                return;
            }
            self.is_agreed = times >= ANSWERS_AT_RANDOM;
            let only = asked[rng.below(asked.len())];
            for at in asked {
                if times >= at_once && at != only {
                    continue;
                }
                while let Some(question) = self.sites[at].knowledge.questions.first().cloned() {
                    let row = self.sites[at].knowledge.rows.get(&question.path);
                    let shown = row.map(|row| row.version);
                    let open = self.sites[at].knowledge.questions.len();
                    self.answer(at, &question, shown, rng);
                    if self.sites[at].knowledge.questions.len() >= open {
                        self.breaks("an answer settles nothing", format!("s{at} {question:?}"));
                        return;
                    }
                }
            }
            self.now_ms += HOUR_MS;
            self.fall_silent(rng);
            self.check_trees();
        }
        self.breaks("questions never end", format!("{ANSWERS_MAX} times"));
    }

    /// Returns for each path whether all that is left of it in the world is its deletion.
    fn paths_gone(&self) -> Vec<bool> {
        let mut live: Vec<Vec<State>> = vec![Vec::new(); self.paths.len()];
        for site in &self.sites {
            for (states, state) in live.iter_mut().zip(&site.disk) {
                states.push(*state);
            }
            for question in &site.knowledge.questions {
                let package = package_of(&question.package);
                live[index(&question.path)].extend(self.truth_of(package, &question.path));
            }
        }
        let waiting = self.sites.iter().flat_map(|site| site.inbox.iter().copied());
        let flying = self.air.iter().chain(&self.late).map(|mail| mail.package);
        for package in waiting.chain(flying) {
            let package = &self.packages[package];
            for (row, state) in package.orders.rows.iter().zip(&package.truth) {
                live[index(&row.path)].push(*state);
            }
        }
        (0..self.paths.len()).map(|path| self.is_gone(path, &live[path])).collect()
    }

    /// Whether a deletion is all that is newest. Choices may go round in a circle, of which nothing
    /// is newer than the rest.
    fn is_gone(&self, path: usize, live: &[State]) -> bool {
        let truth = &self.truths[path];
        let mut states: Vec<State> = Vec::new();
        for state in live.iter().filter(|state| state.event.is_some()) {
            if !states.contains(state) {
                states.push(*state);
            }
        }
        let count = states.len();
        let is_below = |new: &State, old: &State| {
            // Who deletes what another has deleted too stands with both: a file written over the
            // one deletion is above the other.
            let is_deletion = truth.content(old) == Content::Absent && new != old;
            new.descends_from(old) || is_deletion && truth.covers(old, new)
        };
        let mut descends: Vec<Vec<bool>> = states
            .iter()
            .map(|new| states.iter().map(|old| is_below(new, old)).collect())
            .collect();
        for by in 0..count {
            for new in 0..count {
                for old in 0..count {
                    descends[new][old] |= descends[new][by] && descends[by][old];
                }
            }
        }
        let is_over = |old: usize| (0..count).any(|new| descends[new][old] && !descends[old][new]);
        let mut newest = (0..count).filter(|state| !is_over(*state)).peekable();
        newest.peek().is_some()
            && newest.all(|state| truth.content(&states[state]) == Content::Absent)
    }

    /// Nothing deleted comes back, unless a person wanted it so.
    fn check_gone(&mut self, gone: &[bool]) {
        for path in (0..self.paths.len()).filter(|path| gone[*path]) {
            let back = (0..self.sites.len()).find(|at| {
                self.truths[path].content(&self.sites[*at].disk[path]) != Content::Absent
            });
            // Who comes back from a time before the deletion, when all others have forgotten it.
            let is_spent = self.truths[path].is_forgotten && self.truths[path].is_lossy;
            if back.is_some() && is_spent {
                self.counts.add(Kind::FilesBackAfterLoss);
                continue;
            }
            if let Some(at) = back.filter(|_| !self.is_chosen[path] && self.broken.is_none()) {
                let state = self.shown(path, &self.sites[at].disk[path]);
                self.breaks("what was deleted is there again", format!("s{at} has {state}"));
            }
        }
        let opposed = self.truths.iter().filter(|truth| truth.is_opposed).count();
        self.counts.add_many(Kind::Opposed, opposed);
    }
}
