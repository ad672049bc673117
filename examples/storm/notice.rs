//! Word of mails: that a lost one came back, late or twice; that one was delivered; and what
//! somebody forges.

use remsync::rules::plan::take_back;

use super::counts::Kind;
use super::prng::Prng;
use super::tamper;
use super::world::World;

/// What a mail system says of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It came back.
    Returned(usize),
    /// It was delivered.
    Delivered(usize),
}

/// Notices that are forged once all is silent.
const FORGED_IN_THE_CALM: usize = 3;

impl World<'_> {
    /// Something may be told of a package; it is heard later.
    pub fn tell(&mut self, told: Told) {
        let (Told::Returned(package) | Told::Delivered(package)) = told;
        let probability = match told {
            Told::Returned(_) => self.weather.returned,
            Told::Delivered(_) => self.weather.reported,
        };
        if Prng::new(!self.seed, package as u64).chance(probability) {
            self.told.push(told);
        }
    }

    /// Hears one of the words that are on their way, or a forged one.
    pub fn hear(&mut self, rng: &mut Prng) {
        if !self.packages.is_empty() && rng.chance(self.weather.forged) {
            let package = rng.below(self.packages.len());
            self.counts.add(Kind::ReturnedForged);
            self.came_back(package);
        }
        if self.told.is_empty() || rng.chance(500) {
            return;
        }
        let at = rng.below(self.told.len());
        let told = self.told[at];
        // The program was killed before it let go of it, or it is said once more.
        if rng.chance(300) {
            self.counts.add(Kind::ReturnedAgain);
        } else {
            self.told.swap_remove(at);
        }
        self.heard(told);
    }

    /// Hears much of what is on its way; the rest never comes.
    pub fn hear_all(&mut self, rng: &mut Prng) {
        for told in std::mem::take(&mut self.told) {
            if rng.chance(500) && self.broken.is_none() {
                self.heard(told);
            }
        }
    }

    /// When all is said and silent, a forged notice makes one sending more at most, an acknowledgement
    /// aside, and silence again.
    pub fn forge_in_the_calm(&mut self, rng: &mut Prng) {
        for _ in 0..FORGED_IN_THE_CALM.min(self.packages.len()) {
            let forged = rng.below(self.packages.len());
            self.counts.add(Kind::ReturnedForged);
            self.came_back(forged);
            let before = self.packages.len();
            self.fall_silent(rng);
            let (from, to) = (self.packages[forged].from, self.packages[forged].to);
            let sent = self.packages[before..].iter();
            let sent = sent.filter(|package| (package.from, package.to) == (from, to));
            let many = sent.clone().count();
            let weighty = sent.filter(|package| package.orders.is_weighty()).count();
            // A deletion that the other has forgotten is news there, and its answer is acknowledged.
            let acknowledged = usize::from(self.truths.iter().any(|truth| truth.is_forgotten));
            if weighty > 1 || many > 1 + acknowledged {
                let detail = format!("p{forged}: {many} from s{from} to s{to}");
                self.breaks("a forged notice makes more than one sending", detail);
            }
            if self.broken.is_some() {
                return;
            }
        }
    }

    fn heard(&mut self, told: Told) {
        match told {
            Told::Returned(package) => {
                self.counts.add(Kind::Returned);
                self.came_back(package);
            }
            Told::Delivered(package) => {
                self.counts.add(Kind::Reported);
                let Some((at, remote, serial)) = self.sent_by(package) else { return };
                let knowledge = &mut self.sites[at].knowledge;
                tamper::after_delivery(self.mutant, knowledge, remote, serial);
            }
        }
    }

    /// A site hears that a package of its own did not arrive.
    fn came_back(&mut self, package: usize) {
        let Some((at, remote, serial)) = self.sent_by(package) else { return };
        let knowledge = &mut self.sites[at].knowledge;
        let files = take_back(knowledge, remote, serial);
        tamper::after_return(self.mutant, knowledge, remote, serial);
        self.counts.add_many(Kind::TakenBack, files.len());
        self.say(|_| format!("s{at} hears that p{package} came back: {files:?} are due again"));
    }

    /// Returns who sent a package, to which of its remotes, and its number.
    fn sent_by(&self, package: usize) -> Option<(usize, usize, u64)> {
        let package = &self.packages[package];
        let remotes = 0..self.sites[package.from].identity.remotes.len();
        let is_it = |remote: &usize| self.site_of(package.from, *remote) == package.to;
        remotes.into_iter().find(is_it).map(|remote| (package.from, remote, package.orders.serial))
    }
}
