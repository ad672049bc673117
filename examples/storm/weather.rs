//! What may go wrong in one run, and how often: drawn from the seed, so that some runs have every
//! fault and some have one kind only (swarm testing: Groce and others, ISSTA 2012).

use super::prng::Prng;

/// One kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A person changes a file.
    Write,
    /// A site scans and broadcasts.
    Broadcast,
    /// The mail brings something.
    Deliver,
    /// A site processes its queue.
    Process,
    /// A person answers a question.
    Answer,
    /// An old mail comes once more.
    Replay,
    /// A path cannot be looked at for a while, or can again.
    Veil,
    /// A backup is made.
    Backup,
    /// The state goes back to the backup, the tree does not.
    RestoreState,
    /// State and tree go back to the backup.
    RestoreAll,
    /// The state is lost.
    Lose,
    /// Processing is killed between the files and the beliefs.
    Kill,
    /// Days pass.
    Days,
    /// A year and more passes.
    Year,
    /// A clock is set wrong, or right.
    Skew,
}

/// The probabilities of one run, in thousandths, and its size.
#[derive(Clone, Debug)]
pub struct Weather {
    /// How many sites.
    pub sites: usize,
    /// How many paths.
    pub paths: usize,
    /// How many steps before it calms.
    pub steps: u64,
    /// A link beyond those that hold the graph together.
    pub links: u32,
    /// A mail is lost.
    pub loss: u32,
    /// A mail comes several times.
    pub double: u32,
    /// A mail comes out of turn.
    pub disorder: u32,
    /// A mail is delayed for long.
    pub delay: u32,
    /// The carrier does not accept.
    pub carrier: u32,
    /// The program is killed after the carrier accepted.
    pub killed_carrier: u32,
    /// A person edits the file in the very moment in which it is replaced.
    pub race: u32,
    /// A file cannot be written.
    pub disk: u32,
    /// A broadcast goes to some sites only, or without contents.
    pub partial: u32,
    /// A write makes contents that others make too.
    pub coincidence: u32,
    /// A write only toggles the executable bit.
    pub toggle: u32,
    /// A write brings old contents back.
    pub revert: u32,
    /// A write is a deletion.
    pub delete: u32,
    /// A path has a sensitive name for a site.
    pub sensitive: u32,
    /// A site applies deletions unasked.
    pub apply_deletions: u32,
    /// An answer takes what arrived.
    pub take: u32,
    /// An answer merges.
    pub merge: u32,
    /// An answer is to what was shown long ago.
    pub late_answer: u32,
    /// What happens, and how often.
    pub steps_drawn: Vec<(Step, u32)>,
    /// A mail that is lost is told of.
    pub returned: u32,
    /// A mail that is not lost is reported as delivered.
    pub reported: u32,
    /// After a step, somebody forges word that a mail did not arrive.
    pub forged: u32,
}

impl Weather {
    /// Draws the weather of one seed, for 2 to `sites_max` sites.
    pub fn draw(seed: u64, sites_max: usize) -> Weather {
        let mut rng = Prng::new(seed, u64::MAX);
        let sites = 2 + rng.below(sites_max.max(2) - 1);
        let only = rng.chance(250).then(|| rng.below(16));
        let mut number = 0;
        // One fault's probability: in a run of one kind only, that of the others is none.
        let mut fault = |rng: &mut Prng, most: u32| {
            number += 1;
            let is_on = only.map_or_else(|| rng.chance(500), |only| only == number - 1);
            let probability = 1 + rng.below(most as usize) as u32;
            if is_on { probability } else { 0 }
        };
        let loss = fault(&mut rng, 600);
        let double = fault(&mut rng, 400);
        let disorder = fault(&mut rng, 1000);
        let delay = fault(&mut rng, 300);
        let carrier = fault(&mut rng, 400);
        let killed_carrier = fault(&mut rng, 200);
        let race = fault(&mut rng, 200);
        let disk = fault(&mut rng, 300);
        let replay = fault(&mut rng, 80);
        let veil = fault(&mut rng, 60);
        let restore_state = fault(&mut rng, 25);
        let restore_all = fault(&mut rng, 25);
        let lose = fault(&mut rng, 20);
        let kill = fault(&mut rng, 60);
        let year = fault(&mut rng, 25);
        let skew = fault(&mut rng, 30);
        let answers = [0, 20, 60, 150][rng.below(4)];
        let steps_drawn = vec![
            (Step::Write, 60 + rng.below(150) as u32),
            (Step::Broadcast, 60 + rng.below(200) as u32),
            (Step::Deliver, 60 + rng.below(250) as u32),
            (Step::Process, 60 + rng.below(250) as u32),
            (Step::Answer, answers),
            (Step::Replay, replay),
            (Step::Veil, veil),
            (Step::Backup, if restore_state + restore_all > 0 { 25 } else { 0 }),
            (Step::RestoreState, restore_state),
            (Step::RestoreAll, restore_all),
            (Step::Lose, lose),
            (Step::Kill, kill),
            (Step::Days, rng.below(40) as u32),
            (Step::Year, year),
            (Step::Skew, skew),
        ];
        let some = |rng: &mut Prng, most: usize| {
            if rng.chance(500) { rng.below(most + 1) as u32 } else { 0 }
        };
        // A stream of its own: runs without notices are what they were before there were any.
        let mut rng_of_notices = Prng::new(seed, u64::MAX - 3);
        let mut notice = |most: usize| {
            let probability = 1 + rng_of_notices.below(most) as u32;
            if rng_of_notices.chance(500) { probability } else { 0 }
        };
        let (returned, reported, forged) = (notice(1000), notice(500), notice(150));
        Weather {
            returned,
            reported,
            forged,
            sites,
            paths: 1 + rng.below(3),
            steps: rng.between(15, 110),
            links: some(&mut rng, 800),
            loss,
            double,
            disorder,
            delay,
            carrier,
            killed_carrier,
            race,
            disk,
            partial: some(&mut rng, 300),
            coincidence: some(&mut rng, 400),
            toggle: some(&mut rng, 300),
            revert: some(&mut rng, 400),
            delete: some(&mut rng, 500),
            sensitive: some(&mut rng, 200),
            apply_deletions: [0, 500, 1000][rng.below(3)],
            take: 200 + rng.below(601) as u32,
            merge: some(&mut rng, 200),
            late_answer: some(&mut rng, 400),
            steps_drawn,
        }
    }

    /// Draws one kind of step.
    pub fn step(&self, rng: &mut Prng) -> Step {
        let total: u32 = self.steps_drawn.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.below(total as usize) as u32;
        for (step, weight) in &self.steps_drawn {
            if at < *weight {
                return *step;
            }
            at -= weight;
        }
        Step::Write
    }
}
