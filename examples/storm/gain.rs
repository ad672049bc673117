//! What histories gain: the same people, edits and mail under the rules of format 2.0 and under those
//! of format 1.3, and how often each asks.
//!
//! In fair weather only. No mail is lost, doubled or forged and no state is lost, for 1.3 sends
//! nothing again and would stop there; but mail is late and out of turn, as it always is. From one
//! seed both rules get the same sites, links, edits, times of broadcast and of processing and delays.
//! Deletions wait for a person, as they do unless told otherwise; they are counted apart. Whoever is
//! asked takes the version that was written later, so that people agree. What truly happened is kept
//! apart from what the sites know, as in the storm.

use std::collections::BTreeMap;

use remsync::model::knowledge::{Knowledge, Question, Why};
use remsync::model::orders::{OrderRow, Orders};
use remsync::model::project::{Format, Identity};
use remsync::model::verdict::{Choice, Deletions, Place};
use remsync::model::version::Content;
use remsync::model::{Belief, Signature, TreePath, Version};
use remsync::rules::classic;
use remsync::rules::learn::route;
use remsync::rules::observe::{self, Look};
use remsync::rules::plan::{self, Named as Whom, RESEND_AFTER_MS, Request, What};
use remsync::rules::visit::{self, Answer, Answered, Hands, Put, Receipt, Source, Visit};

use super::mutant::Mutant;
use super::prng::{Prng, mix};
use super::world::{HOUR_MS, MINUTE_MS, digest_of, identity, package_of};

/// Rounds of mail after which a network that is not silent is counted as one that never is.
const ROUNDS_MAX: usize = 60;
/// Writes of one run, at most: each is a bit of a past.
const WRITES_MAX: usize = 120;
/// Steps that a mail may be late, at most.
const DELAY_MAX: usize = 24;

/// What was counted under one set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes and deletions by people.
    pub edits: u64,
    /// Packages sent.
    pub packages: u64,
    /// Questions, but for deletions that wait.
    pub questions: u64,
    /// Those of them where one version descended from the other.
    pub needless: u64,
    /// Deletions that waited.
    pub deletions: u64,
    /// Files replaced, unasked, by what does not descend from them.
    pub losses: u64,
    /// Runs that ended with unlike trees.
    pub unlike: u64,
    /// Runs that did not fall silent.
    pub restless: u64,
    /// Broadcasts whose receivers were told different beliefs.
    pub two_tales: u64,
    /// Runs whose trees were one only after everybody had spoken once more.
    pub late: u64,
}

impl Tally {
    /// Returns how many that is for each thousand edits.
    pub fn per_thousand(&self, many: u64) -> f64 {
        many as f64 * 1_000.0 / self.edits.max(1) as f64
    }
}

/// Runs the seeds under both rules: 2.0, then 1.3.
pub fn gain(first: u64, seeds: u64, sites_max: usize) -> [Tally; 2] {
    let mut both = [Tally::default(); 2];
    for seed in (0..seeds).map(|number| first.wrapping_add(number)) {
        for (tally, format) in both.iter_mut().zip([Format::V2_0, Format::V1_3]) {
            Fair::new(seed, sites_max, format, Fancy::default()).run(tally);
        }
    }
    both
}

/// What a run is to be beside fair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fancy {
    /// The rule that is broken on purpose.
    pub mutant: Option<Mutant>,
    /// Who knows whom, and what is deleted, so that format 1.3 ends well.
    pub mesh: Option<Mesh>,
}

/// A network that ends well in format 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// Any links; nothing is deleted.
    OfFiles,
    /// Links without a circle, and a file that all have from the first and never delete; others are.
    Tree,
}

/// What a site truly has for a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// The write that is there; `None` where nothing ever was.
    event: Option<u8>,
    /// Whether that left a file.
    is_file: bool,
    /// The writes that it was written over, or chosen against.
    past: u128,
}

impl State {
    fn closed(&self) -> u128 {
        self.past | self.event.map_or(0, |event| 1 << event)
    }

    /// Whether this descends from `other`, or is it.
    fn covers(&self, other: &State) -> bool {
        other.event.is_none_or(|event| self.closed() >> event & 1 == 1)
    }

    fn content(&self, format: Format) -> Content {
        let Some(event) = self.event.filter(|_| self.is_file) else { return Content::Absent };
        Content::File(match format {
            // Two edits with one sum are 1.3's own weakness; they are not what is compared here.
            Format::V1_3 => Signature::Sum(1_000 + u16::from(event)),
            Format::V2_0 => {
                Signature::Sha256 { digest: digest_of(usize::from(event) + 1), executable: false }
            }
        })
    }
}

struct Site {
    identity: Identity,
    knowledge: Knowledge,
    disk: Vec<State>,
    /// Packages on their way here, with the step at which they arrive.
    mail: Vec<(usize, usize)>,
}

struct Package {
    orders: Orders,
    /// For each path what the sender truly had.
    states: Vec<State>,
}

/// One run under one set of rules.
pub(super) struct Fair {
    seed: u64,
    format: Format,
    fancy: Fancy,
    /// Whether what goes out goes to all, whatever there is to say.
    is_named: bool,
    sites: Vec<Site>,
    paths: Vec<TreePath>,
    packages: Vec<Package>,
    /// For each path and write all that it was written over or that anybody chose it over.
    over: Vec<BTreeMap<u8, u128>>,
    events: u8,
    now_ms: u64,
}

/// Returns the number of a path.
fn index(path: &TreePath) -> usize {
    path.as_bytes().first().map_or(0, |byte| usize::from(byte - b'a'))
}

impl Fair {
    pub fn new(seed: u64, sites_max: usize, format: Format, fancy: Fancy) -> Fair {
        let mut rng = Prng::new(seed, 0);
        let count = 2 + rng.below(sites_max.max(2) - 1);
        let mut links = vec![Vec::new(); count];
        let more = 200 * rng.below(6) as u32;
        for site in 1..count {
            let sure = rng.below(site);
            for other in 0..site {
                if other == sure || rng.chance(more) && fancy.mesh != Some(Mesh::Tree) {
                    links[site].push(other);
                    links[other].push(site);
                }
            }
        }
        let paths = 1 + rng.below(6) as u8;
        let paths: Vec<TreePath> =
            (0..paths).filter_map(|at| TreePath::new(&[b'a' + at]).ok()).collect();
        let mut disk = vec![State::default(); paths.len()];
        if fancy.mesh == Some(Mesh::Tree) {
            disk[0] = State { event: Some(0), is_file: true, past: 0 };
        }
        let site = |at: usize| Site {
            identity: identity(format, at, &links[at]),
            knowledge: Knowledge::new(links[at].len()),
            disk: disk.clone(),
            mail: Vec::new(),
        };
        let sites = (0..count).map(site).collect();
        let now_ms = 1_000_000 * MINUTE_MS;
        let (packages, over) = (Vec::new(), vec![BTreeMap::new(); paths.len()]);
        let is_named = false;
        Fair { seed, format, fancy, is_named, sites, paths, packages, over, events: 0, now_ms }
    }

    /// Notes what a state is over, for good.
    fn note(&mut self, path: usize, state: &State) {
        if let Some(event) = state.event {
            *self.over[path].entry(event).or_default() |= state.past;
        }
    }

    /// Whether somebody wrote or chose one state over the other, maybe by others between.
    fn is_over(&self, path: usize, new: &State, old: &State) -> bool {
        let mut reached = new.closed();
        loop {
            let more = self.over[path].iter().filter(|(event, _)| reached >> **event & 1 == 1);
            let more = more.fold(reached, |all, (_, over)| all | over);
            if more == reached {
                return old.event.is_none_or(|event| reached >> event & 1 == 1);
            }
            reached = more;
        }
    }

    pub fn run(mut self, tally: &mut Tally) {
        let mut rng = Prng::new(self.seed, 1);
        let steps = 40 + rng.below(160);
        let (edits, deletes) = (100 + rng.below(300) as u32, 20 * rng.below(10) as u32);
        let deletes = if self.fancy.mesh == Some(Mesh::OfFiles) { 0 } else { deletes };
        for step in 0..steps {
            // Each step has its own chance: what one set of rules does moves nothing in the other.
            let rng = &mut Prng::new(self.seed, 2 + step as u64);
            self.now_ms += rng.between(MINUTE_MS, HOUR_MS);
            let site = rng.below(self.sites.len());
            if rng.chance(edits) {
                let path = rng.below(self.paths.len());
                let deletes = rng.chance(deletes) && (path != 0 || self.fancy.mesh.is_none());
                self.edit(site, path, deletes, tally);
            } else if rng.chance(500) {
                self.broadcast(site, step, tally);
            } else {
                self.process(site, step, tally);
            }
        }
        self.end(steps, tally);
    }

    /// All mail arrives, all people answer, until nobody has anything to say.
    fn end(mut self, steps: usize, tally: &mut Tally) {
        let mut is_again = false;
        for round in 0..ROUNDS_MAX {
            let step = steps + (round + 1) * (DELAY_MAX + 1);
            self.now_ms += HOUR_MS;
            let mut sent = 0;
            for site in 0..self.sites.len() {
                self.process(site, step, tally);
                sent += self.broadcast(site, step, tally);
            }
            if sent == 0 && self.sites.iter().all(|site| site.mail.is_empty()) {
                let content = |site: &Site, path: usize| site.disk[path].content(self.format);
                let unlike = (0..self.paths.len()).any(|path| {
                    self.sites
                        .iter()
                        .any(|site| content(site, path) != content(&self.sites[0], path))
                });
                if unlike && self.fancy.mesh.is_some() && !is_again {
                    (is_again, self.is_named) = (true, true);
                    for site in 0..self.sites.len() {
                        self.broadcast(site, step, tally);
                    }
                    self.is_named = false;
                    continue;
                }
                tally.late += u64::from(is_again);
                tally.unlike += u64::from(unlike);
                return;
            }
        }
        tally.restless += 1;
    }

    /// A person changes a file, or deletes it if it is there.
    fn edit(&mut self, site: usize, path: usize, deletes: bool, tally: &mut Tally) {
        let here = &mut self.sites[site].disk[path];
        if usize::from(self.events) >= WRITES_MAX {
            return;
        }
        // A number is used up whether or not there was something to delete: edits have the same names
        // under both rules.
        self.events += 1;
        if !deletes || here.is_file {
            *here = State { event: Some(self.events), is_file: !deletes, past: here.closed() };
            let state = *here;
            self.note(path, &state);
            tally.edits += 1;
        }
    }

    /// Scans and broadcasts to everybody; how many packages went out.
    fn broadcast(&mut self, at: usize, step: usize, tally: &mut Tally) -> usize {
        self.scan(at);
        let site = &mut self.sites[at];
        let request = Request {
            now_ms: self.now_ms,
            resend_after_ms: RESEND_AFTER_MS,
            what: What::Contents,
            named: if self.is_named { Whom::ByName } else { Whom::Everybody },
        };
        let is_classic = self.format == Format::V1_3;
        let (plan, orders) = if is_classic {
            (classic::plan as Plans, classic::orders as Writes)
        } else {
            (plan::plan as Plans, plan::orders as Writes)
        };
        let remotes = 0..site.identity.remotes.len();
        let plans: Vec<plan::Outgoing> =
            remotes.filter_map(|to| plan(&site.knowledge, to, &request, &|_| false)).collect();
        let copy: Vec<usize> = plans.iter().map(|outgoing| outgoing.remote).collect();
        let frozen = site.knowledge.clone();
        let identity = site.identity.clone();
        let count = plans.len();
        let mut tales: BTreeMap<TreePath, Vec<Belief>> = BTreeMap::new();
        for outgoing in &plans {
            let is_frozen = self.fancy.mutant != Some(Mutant::Unfrozen);
            let from = if is_frozen { &frozen } else { &self.sites[at].knowledge };
            let orders = orders(&identity, from, outgoing, &copy);
            let is_other = |row: &OrderRow| {
                let told = tales.entry(row.path.clone()).or_insert_with(|| row.columns.clone());
                *told != row.columns
            };
            tally.two_tales += u64::from(orders.rows.iter().any(is_other));
            let knowledge = &mut self.sites[at].knowledge;
            if is_classic {
                classic::accepted(
                    knowledge,
                    outgoing.remote,
                    outgoing.serial,
                    &orders,
                    self.now_ms,
                );
            } else {
                plan::issue(knowledge, outgoing.remote, orders.serial);
                plan::accepted(knowledge, outgoing.remote, &orders, self.now_ms);
            }
            self.mail(at, outgoing.remote, step, orders);
            tally.packages += 1;
        }
        count
    }

    fn mail(&mut self, at: usize, remote: usize, step: usize, orders: Orders) {
        let to = &self.sites[at].identity.remotes[remote].address;
        let to = self.sites.iter().position(|site| site.identity.here.address == *to).unwrap_or(0);
        let states = self.sites[at].disk.clone();
        self.packages.push(Package { orders, states });
        let stream = mix((step * 64 + at) as u64) ^ to as u64;
        let delay = Prng::new(!self.seed, stream).below(DELAY_MAX);
        self.sites[to].mail.push((step + 1 + delay, self.packages.len() - 1));
    }

    fn scan(&mut self, at: usize) {
        let site = &mut self.sites[at];
        let contents: BTreeMap<TreePath, Content> = self
            .paths
            .iter()
            .zip(&site.disk)
            .map(|(path, state)| (path.clone(), state.content(self.format)))
            .collect();
        let found = contents
            .iter()
            .filter_map(|(path, content)| Some((path.clone(), *content.signature()?)))
            .collect();
        let mut look =
            |path: &TreePath| Look::Is(contents.get(path).copied().unwrap_or(Content::Absent));
        if self.format == Format::V1_3 {
            let differences = classic::compare(&site.knowledge, &found, &mut look);
            classic::record(&mut site.knowledge, &differences);
        } else {
            let differences = observe::compare(&site.knowledge, &found, &mut look);
            observe::record(&mut site.knowledge, &differences, self.now_ms);
        }
    }

    /// Processes what has arrived by now, first come first, and answers what is asked.
    fn process(&mut self, at: usize, step: usize, tally: &mut Tally) {
        let mut arrived = std::mem::take(&mut self.sites[at].mail);
        arrived.sort_unstable();
        let later = arrived.split_off(arrived.partition_point(|(due, _)| *due <= step));
        self.sites[at].mail = later;
        for (_, package) in arrived {
            let before = self.sites[at].disk.clone();
            let orders = self.packages[package].orders.clone();
            let receipt = self.with_hands(at, tally, |knowledge, hands, format, now_ms| {
                let Ok(route) = route(&orders, &hands.identity) else { return Receipt::default() };
                let visit = Visit {
                    orders: &orders,
                    route: &route,
                    package: digest_of(package),
                    deletions: Deletions::Ask,
                    now_ms,
                };
                match format {
                    Format::V1_3 => classic::visit(knowledge, hands, &visit),
                    Format::V2_0 => visit::visit(knowledge, hands, &visit),
                }
            });
            self.count(package, &before, &receipt, tally);
            self.join_same(at, package);
            self.answer_all(at, tally);
        }
    }

    /// Counts what a package asks.
    fn count(&self, package: usize, before: &[State], receipt: &Receipt, tally: &mut Tally) {
        for (path, why) in &receipt.questions {
            if *why == Why::Deletion {
                tally.deletions += 1;
                continue;
            }
            let path = index(path);
            let (here, there) = (&before[path], &self.packages[package].states[path]);
            tally.questions += 1;
            tally.needless += u64::from(here.covers(there) || there.covers(here));
        }
    }

    /// What is here and there alike has both pasts.
    fn join_same(&mut self, at: usize, package: usize) {
        let package = &self.packages[package];
        for row in &package.orders.rows {
            let (path, disk) = (index(&row.path), &mut self.sites[at].disk);
            if disk[path].event == package.states[path].event {
                disk[path].past |= package.states[path].past;
            }
        }
    }

    /// The person here answers every question: what was written later is chosen.
    fn answer_all(&mut self, at: usize, tally: &mut Tally) {
        let mut rounds = 0;
        while let Some(question) = self.sites[at].knowledge.questions.first().cloned() {
            rounds += 1;
            assert!(rounds < 1_000, "seed {}: an answer settles nothing", self.seed);
            let path = index(&question.path);
            let arrived = self.state_of(&question);
            let here = self.sites[at].disk[path];
            let choice = if arrived.event > here.event { Choice::Take } else { Choice::Keep };
            let mut answered = Answered::Done;
            self.with_hands(at, tally, |knowledge, hands, format, now_ms| {
                hands.is_asked = true;
                let shown = knowledge.rows.get(&question.path).map(|row| row.version);
                let deletions = Deletions::Ask;
                let answer = Answer { question: &question, choice, shown, deletions, now_ms };
                let mut receipt = Receipt::default();
                answered = match format {
                    Format::V1_3 => classic::answer(knowledge, hands, &answer, &mut receipt),
                    Format::V2_0 => visit::answer(knowledge, hands, &answer, &mut receipt),
                };
                receipt
            });
            assert_eq!(answered, Answered::Done, "seed {}", self.seed);
            let state = &mut self.sites[at].disk[path];
            state.past |= here.closed() | arrived.closed();
            state.past &= !state.event.map_or(0, |event| 1 << event);
            let state = *state;
            self.note(path, &state);
        }
    }

    fn state_of(&self, question: &Question) -> State {
        self.packages[package_of(&question.package)].states[index(&question.path)]
    }

    fn with_hands(
        &mut self,
        at: usize,
        tally: &mut Tally,
        rule: impl FnOnce(&mut Knowledge, &mut Arms, Format, u64) -> Receipt,
    ) -> Receipt {
        let mut knowledge = std::mem::take(&mut self.sites[at].knowledge);
        let identity = self.sites[at].identity.clone();
        let (format, now_ms) = (self.format, self.now_ms);
        let mut hands = Arms { fair: self, at, identity, losses: 0, is_asked: false };
        let receipt = rule(&mut knowledge, &mut hands, format, now_ms);
        tally.losses += hands.losses;
        self.sites[at].knowledge = knowledge;
        receipt
    }
}

type Plans = fn(&Knowledge, usize, &Request, &dyn Fn(&TreePath) -> bool) -> Option<plan::Outgoing>;
type Writes = fn(&Identity, &Knowledge, &plan::Outgoing, &[usize]) -> Orders;

/// What reaches into a tree in memory.
struct Arms<'w> {
    fair: &'w mut Fair,
    at: usize,
    identity: Identity,
    losses: u64,
    is_asked: bool,
}

impl Hands for Arms<'_> {
    fn place_of(&mut self, _path: &TreePath) -> Place {
        Place::Inside
    }

    fn look(&mut self, path: &TreePath) -> Look {
        Look::Is(self.fair.sites[self.at].disk[index(path)].content(self.fair.format))
    }

    fn put(&mut self, path: &TreePath, version: &Version, from: Source, expected: Content) -> Put {
        let format = self.fair.format;
        let mut arrived = self.fair.packages[package_of(&from.package)].states[index(path)];
        assert_eq!(arrived.content(format), version.content, "what nobody wrote appears");
        let at = index(path);
        let here = self.fair.sites[self.at].disk[at];
        if here.content(format) != expected {
            return Put::Changed;
        }
        let is_silent = here.is_file && !self.is_asked;
        self.losses += u64::from(is_silent && !self.fair.is_over(at, &arrived, &here));
        arrived.past |= here.closed();
        arrived.past &= !arrived.event.map_or(0, |event| 1 << event);
        self.fair.sites[self.at].disk[at] = arrived;
        Put::Done
    }
}
