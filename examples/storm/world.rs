//! The world of one run: sites with trees in memory, mail in the air, and what truly happened.
//!
//! The sites run the program's own rules over their knowledge; the truth beside it is kept by exact
//! events and never read from a history. Each step has its own stream of chance.

use std::collections::BTreeMap;

use remsync::model::knowledge::{Intent, Knowledge, Question};
use remsync::model::orders::{Act, OrderRow, Orders};
use remsync::model::project::{Format, Identity};
use remsync::model::verdict::{Deletions, Place};
use remsync::model::version::Content;
use remsync::model::{Address, Signature, Site as Named, TreePath, Version};

use super::counts::{Counts, Kind};
use super::mutant::Mutant;
use super::notice::Told;
use super::prng::{Prng, mix};
use super::truth::{State, Truth};
use super::weather::{Step, Weather};

/// A minute, an hour and a day, in ms.
pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: &'static str,
    /// Where, and how it came to light.
    pub detail: String,
}

/// One site.
#[derive(Clone)]
pub struct Site {
    pub identity: Identity,
    pub knowledge: Knowledge,
    /// For each path what is on the disk.
    pub disk: Vec<State>,
    /// For each path the event that the row stands for.
    pub row: Vec<State>,
    /// Whether the disk holds an edit that no scan has seen.
    pub is_unscanned: Vec<bool>,
    /// Whether a person refused a file where no row was.
    pub is_refused: Vec<bool>,
    /// What keeps a path from being looked at.
    pub veil: Vec<Option<Place>>,
    /// Whether a path is on a disk that is not mounted.
    pub is_gone: Vec<bool>,
    /// Where the path lies.
    pub place: Vec<Place>,
    pub inbox: Vec<usize>,
    /// For each remote the package that no carrier accepted, or that nobody noted it did.
    pub outbox: BTreeMap<usize, usize>,
    pub deletions: Deletions,
    /// How wrong its clock is, in ms.
    pub skew_ms: i64,
    pub backup: Option<Box<Backup>>,
    /// For each open question what it is truly about: path and contents.
    pub asked: BTreeMap<(usize, Content), State>,
    /// The paths that had rows when the last rule began.
    pub known: Vec<TreePath>,
    /// A question as a person saw it earlier.
    pub on_screen: Option<(Question, Option<Version>)>,
    /// What runs meant to put in place that were killed.
    pub interrupted: Vec<Interrupted>,
}

/// A run that was killed between the files and the beliefs.
#[derive(Clone)]
pub struct Interrupted {
    pub intent: Intent,
    /// What each file of it truly is.
    pub truth: BTreeMap<TreePath, State>,
    /// The tree as it left it.
    pub disk: Vec<State>,
}

/// What a backup holds.
#[derive(Clone)]
pub struct Backup {
    pub knowledge: Knowledge,
    pub disk: Vec<State>,
    pub row: Vec<State>,
    pub is_unscanned: Vec<bool>,
    pub asked: BTreeMap<(usize, Content), State>,
    /// What was refused then.
    pub is_refused: Vec<bool>,
    pub outbox: BTreeMap<usize, usize>,
    pub interrupted: Vec<Interrupted>,
}

/// One package, with what its rows truly are.
#[derive(Clone)]
pub struct Package {
    pub orders: Orders,
    pub from: usize,
    pub to: usize,
    /// For each row.
    pub truth: Vec<State>,
}

/// A mail in the air: a package on its way.
#[derive(Clone, Copy, Debug)]
pub struct Mail {
    pub package: usize,
}

#[derive(Clone)]
pub struct World<'a> {
    pub seed: u64,
    pub weather: &'a Weather,
    pub mutant: Option<Mutant>,
    pub sites: Vec<Site>,
    pub paths: Vec<TreePath>,
    pub truths: Vec<Truth>,
    pub packages: Vec<Package>,
    pub air: Vec<Mail>,
    pub late: Vec<Mail>,
    /// What is told of mails, and not heard yet.
    pub told: Vec<Told>,
    pub now_ms: u64,
    pub is_calm: bool,
    /// People have had enough: whoever is asked takes what arrived.
    pub is_agreed: bool,
    pub counts: Counts,
    pub broken: Option<Broken>,
    pub trace: Option<Vec<String>>,
    /// For each path whether a person chose a file in the calm.
    pub is_chosen: Vec<bool>,
    next_content: u64,
}

/// Returns the number of a path.
pub fn index(path: &TreePath) -> usize {
    path.as_bytes().first().map_or(0, |byte| usize::from(byte - b'a'))
}

/// Returns contents that a number stands for.
pub fn contents(number: u64, executable: bool) -> Content {
    let mut digest = [0; 32];
    for (at, chunk) in digest.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(number * 4 + at as u64 + 1).to_be_bytes());
    }
    Content::File(Signature::Sha256 { digest, executable })
}

/// Returns the digest that stands for a package.
pub fn digest_of(package: usize) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(package as u64).to_be_bytes());
    digest
}

/// Returns the package that a digest stands for.
pub fn package_of(digest: &[u8; 32]) -> usize {
    digest[..8].iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn address(site: usize) -> Address {
    Address::new(&format!("s{site}@storm")).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Returns what a site is called, and whom it knows.
pub(super) fn identity(format: Format, at: usize, links: &[usize]) -> Identity {
    let named = |site: usize| Named { address: address(site), directory: None };
    Identity {
        format,
        title: "storm".into(),
        here: named(at),
        remotes: links.iter().map(|other| named(*other)).collect(),
        scans: Vec::new(),
        hosts: Vec::new(),
        ignores: Vec::new(),
    }
}

/// Draws who knows whom: a tree that holds all together, and more links.
fn links(weather: &Weather, rng: &mut Prng) -> Vec<Vec<usize>> {
    let mut links = vec![Vec::new(); weather.sites];
    for site in 1..weather.sites {
        let other = rng.below(site);
        links[site].push(other);
        links[other].push(site);
    }
    for a in 0..weather.sites {
        for b in a + 1..weather.sites {
            if !links[a].contains(&b) && rng.chance(weather.links) {
                links[a].push(b);
                links[b].push(a);
            }
        }
    }
    links
}

impl Site {
    /// Whether there was a row for the path when the rule that runs now began.
    pub fn knowledge_has(&self, path: &TreePath) -> bool {
        self.known.contains(path)
    }
}

impl<'a> World<'a> {
    /// Returns the world at its beginning: trees of which no site knows anything yet.
    pub fn new(seed: u64, weather: &'a Weather, mutant: Option<Mutant>, traced: bool) -> World<'a> {
        let mut rng = Prng::new(seed, u64::MAX - 1);
        let paths: Vec<TreePath> =
            (0..weather.paths).filter_map(|at| TreePath::new(&[b'a' + at as u8]).ok()).collect();
        let links = links(weather, &mut rng);
        let sites =
            (0..weather.sites).map(|at| Site {
                identity: identity(Format::V2_0, at, &links[at]),
                knowledge: Knowledge::new(links[at].len()),
                disk: vec![State::default(); paths.len()],
                row: vec![State::default(); paths.len()],
                is_unscanned: vec![false; paths.len()],
                is_refused: vec![false; paths.len()],
                veil: vec![None; paths.len()],
                is_gone: vec![false; paths.len()],
                place: paths
                    .iter()
                    .map(|_| {
                        if rng.chance(weather.sensitive) { Place::Sensitive } else { Place::Inside }
                    })
                    .collect(),
                inbox: Vec::new(),
                outbox: BTreeMap::new(),
                deletions: if rng.chance(weather.apply_deletions) {
                    Deletions::Apply
                } else {
                    Deletions::Ask
                },
                skew_ms: 0,
                backup: None,
                asked: BTreeMap::new(),
                known: Vec::new(),
                on_screen: None,
                interrupted: Vec::new(),
            });
        let sites: Vec<Site> = sites.collect();
        let mut world = World {
            seed,
            weather,
            mutant,
            sites,
            truths: vec![Truth::default(); paths.len()],
            is_chosen: vec![false; paths.len()],
            paths,
            packages: Vec::new(),
            air: Vec::new(),
            late: Vec::new(),
            told: Vec::new(),
            now_ms: 1_000_000 * MINUTE_MS,
            is_calm: false,
            is_agreed: false,
            counts: Counts::default(),
            broken: None,
            trace: traced.then(Vec::new),
            next_content: 16,
        };
        for (at, site) in links.iter().enumerate() {
            world.say(|world| {
                let deletions = world.sites[at].deletions;
                format!(
                    "s{at} knows {site:?}, deletions {deletions:?}, {:?}",
                    world.sites[at].place
                )
            });
        }
        world
    }

    /// Writes a line of the trace, if there is one.
    pub fn say(&mut self, line: impl FnOnce(&World) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            self.trace.iter_mut().for_each(|lines| lines.push(line.clone()));
        }
    }

    /// Notes that an invariant does not hold; the first counts.
    pub fn breaks(&mut self, invariant: &'static str, detail: String) {
        self.say(|_| format!("BROKEN: {invariant}: {detail}"));
        if self.broken.is_none() {
            self.broken = Some(Broken { invariant, detail });
        }
    }

    /// Returns what a site's clock says.
    pub fn clock(&self, site: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.sites[site].skew_ms)
    }

    /// One step of the storm.
    pub fn step(&mut self, rng: &mut Prng) {
        self.now_ms += rng.between(1_000, HOUR_MS);
        self.counts.add(Kind::Steps);
        let site = rng.below(self.sites.len());
        match self.weather.step(rng) {
            Step::Write => {
                let path = rng.below(self.paths.len());
                self.write(site, path, rng);
            }
            Step::Broadcast => self.broadcast_somehow(site, rng),
            Step::Deliver => self.deliver(rng),
            Step::Process => self.process(site, rng),
            Step::Answer => self.answer_one(site, rng),
            Step::Replay => self.replay(rng),
            Step::Veil => self.toggle_veil(site, rng),
            Step::Backup => self.back_up(site),
            Step::RestoreState => self.restore_state(site),
            Step::RestoreAll => self.restore_all(site),
            Step::Lose => self.lose(site),
            Step::Kill => self.kill(site, rng),
            Step::Days => self.now_ms += rng.between(1, 4) * DAY_MS,
            Step::Year => {
                self.counts.add(Kind::Years);
                self.now_ms += rng.between(367, 500) * DAY_MS;
                self.say(|_| "a year passes".into());
            }
            Step::Skew => {
                self.counts.add(Kind::Skews);
                let days = rng.between(0, 20) as i64 - 10;
                self.sites[site].skew_ms = if rng.chance(300) { 0 } else { days * DAY_MS as i64 };
                self.say(|_| format!("s{site}'s clock is {days} days wrong"));
            }
        }
    }

    /// A person at a site changes a file.
    pub fn write(&mut self, site: usize, path: usize, rng: &mut Prng) {
        if self.truths[path].is_full() {
            return;
        }
        let here = self.truths[path].content(&self.sites[site].disk[path]);
        let weather = self.weather;
        let content = match here {
            Content::File(_) if rng.chance(weather.delete) => {
                self.counts.add(Kind::Deletions);
                Content::Absent
            }
            Content::File(Signature::Sha256 { digest, executable })
                if rng.chance(weather.toggle) =>
            {
                self.counts.add(Kind::Toggles);
                Content::File(Signature::Sha256 { digest, executable: !executable })
            }
            _ if rng.chance(weather.revert) => {
                let old = self.truths[path].contents();
                match old.get(rng.below(old.len())) {
                    Some(Content::Absent) | None => self.new_contents(rng),
                    Some(content) => {
                        self.counts.add(Kind::Reverts);
                        *content
                    }
                }
            }
            _ => self.new_contents(rng),
        };
        if here == Content::Absent && self.sites[site].disk[path].event.is_some() {
            self.counts.add(Kind::Recreations);
        }
        self.write_content(site, path, content);
    }

    fn new_contents(&mut self, rng: &mut Prng) -> Content {
        if rng.chance(self.weather.coincidence) {
            self.counts.add(Kind::Coincidences);
            return contents(rng.between(1, 2), rng.chance(self.weather.toggle));
        }
        self.next_content += 1;
        contents(self.next_content, rng.chance(self.weather.toggle / 2))
    }

    /// Returns contents that nobody wrote before: a merge.
    pub fn new_merge(&mut self) -> Content {
        self.next_content += 1;
        contents(self.next_content, false)
    }

    /// Puts these contents there, as a person's write.
    pub fn write_content(&mut self, site: usize, path: usize, content: Content) {
        let truth = &mut self.truths[path];
        let here = &mut self.sites[site];
        if truth.content(&here.disk[path]) == content {
            return;
        }
        self.counts.add(Kind::Writes);
        if truth.content(&here.row[path]) == content {
            // Back to what the last scan saw, before the next: nobody can know of it.
            here.disk[path] = here.row[path];
            here.is_unscanned[path] = false;
        } else {
            // What no scan saw is no version, and nothing descends from it; nor from what was put
            // there by a processing that was killed before it noted it.
            let past = here.row[path].closed();
            here.disk[path] = truth.write(content, past);
            here.is_unscanned[path] = true;
        }
        self.say(|world| {
            format!("s{site} writes {}", world.shown(path, &world.sites[site].disk[path]))
        });
    }

    /// Returns a state for the trace: path, event, contents, past.
    pub fn shown(&self, path: usize, state: &State) -> String {
        let content = match self.truths[path].content(state) {
            Content::Absent => "-".to_string(),
            Content::File(signature) => format!("{signature:?}"),
        };
        let past: Vec<u32> = (0..128).filter(|bit| state.past >> bit & 1 == 1).collect();
        let event = state.event.map_or("none".to_string(), |event| format!("e{event}"));
        format!("{} {event}={content} past {past:?}", self.paths[path])
    }

    /// Returns what a package's row truly is.
    pub fn truth_of(&self, package: usize, path: &TreePath) -> Option<State> {
        let package = self.packages.get(package)?;
        let at = package.orders.rows.binary_search_by(|row| row.path.cmp(path)).ok()?;
        package.truth.get(at).copied()
    }

    /// Returns what an open question is truly about.
    pub fn question_state(&self, at: usize, question: &Question) -> State {
        let key = (index(&question.path), question.version.content);
        let asked = self.sites[at].asked.get(&key).copied();
        let package = package_of(&question.package);
        asked.or_else(|| self.truth_of(package, &question.path)).unwrap_or_default()
    }

    fn deliver(&mut self, rng: &mut Prng) {
        if rng.chance(60) {
            self.air.append(&mut self.late);
        }
        for _ in 0..=rng.below(4) {
            if self.air.is_empty() {
                return;
            }
            let at = if rng.chance(self.weather.disorder) { rng.below(self.air.len()) } else { 0 };
            if at > 0 {
                self.counts.add(Kind::Reordered);
            }
            let mail = self.air.remove(at);
            self.arrive(mail);
        }
    }

    /// A mail is delivered into its site's queue: the same package twice is one entry.
    pub fn arrive(&mut self, mail: Mail) {
        let to = self.packages[mail.package].to;
        if !self.sites[to].inbox.contains(&mail.package) {
            self.sites[to].inbox.push(mail.package);
        }
    }

    /// A mail sets out: it may be lost, doubled or delayed.
    pub fn mail(&mut self, package: usize, rng: &mut Prng) {
        let weather = self.weather;
        let mail = Mail { package };
        if self.is_calm {
            return self.air.push(mail);
        }
        if rng.chance(weather.loss) {
            self.counts.add(Kind::Lost);
            self.tell(Told::Returned(package));
            return self.say(|_| format!("  p{package} is lost"));
        }
        self.tell(Told::Delivered(package));
        let copies = if rng.chance(weather.double) {
            self.counts.add(Kind::Doubled);
            2 + rng.below(3)
        } else {
            1
        };
        for _ in 0..copies {
            if rng.chance(weather.delay) {
                self.counts.add(Kind::Delayed);
                self.late.push(mail);
            } else {
                self.air.push(mail);
            }
        }
    }

    fn replay(&mut self, rng: &mut Prng) {
        if self.packages.is_empty() {
            return;
        }
        self.counts.add(Kind::Replayed);
        let package = rng.below(self.packages.len());
        self.say(|_| format!("p{package} comes again"));
        self.arrive(Mail { package });
    }

    fn toggle_veil(&mut self, site: usize, rng: &mut Prng) {
        let path = rng.below(self.paths.len());
        let veils = [Place::Ignored, Place::OutsideScan, Place::Blocked, Place::Unreadable];
        let veil = veils[rng.below(veils.len())];
        let here = &mut self.sites[site].veil[path];
        *here = if here.is_some() { None } else { Some(veil) };
        let now = *here;
        self.counts.add_many(Kind::Veiled, usize::from(now.is_some()));
        self.say(|_| format!("s{site}: path {path} is hidden: {now:?}"));
    }

    fn back_up(&mut self, at: usize) {
        let site = &mut self.sites[at];
        site.backup = Some(Box::new(Backup {
            knowledge: site.knowledge.clone(),
            disk: site.disk.clone(),
            row: site.row.clone(),
            is_unscanned: site.is_unscanned.clone(),
            asked: site.asked.clone(),
            is_refused: site.is_refused.clone(),
            outbox: site.outbox.clone(),
            interrupted: site.interrupted.clone(),
        }));
        self.say(|_| format!("s{at} makes a backup"));
    }

    /// The state goes back, the tree does not: what the tree holds beyond the old state is, as far
    /// as anybody can tell, a write of now.
    fn restore_state(&mut self, at: usize) {
        if self.truths.iter().any(Truth::is_full) {
            return;
        }
        let Some(backup) = self.sites[at].backup.take() else { return };
        self.counts.add(Kind::RestoredState);
        self.say(|_| format!("s{at}'s state goes back to the backup"));
        let site = &mut self.sites[at];
        site.knowledge = backup.knowledge;
        site.row = backup.row;
        site.asked = backup.asked;
        site.is_refused = backup.is_refused;
        site.on_screen = None;
        site.interrupted = backup.interrupted;
        self.rename_what_is_there(at);
    }

    fn lose(&mut self, at: usize) {
        if self.truths.iter().any(Truth::is_full) {
            return;
        }
        self.counts.add(Kind::StatesLost);
        self.say(|_| format!("s{at} loses its state"));
        let site = &mut self.sites[at];
        site.knowledge = Knowledge::new(site.identity.remotes.len());
        site.row.fill(State::default());
        site.asked.clear();
        site.is_refused.fill(false);
        site.on_screen = None;
        site.interrupted.clear();
        self.rename_what_is_there(at);
    }

    /// After a loss: what is on the disk is the row's event, or a new one on top of it.
    fn rename_what_is_there(&mut self, at: usize) {
        let site = &mut self.sites[at];
        for (path, truth) in self.truths.iter_mut().enumerate() {
            truth.is_lossy = true;
            let content = truth.content(&site.disk[path]);
            let row = site.row[path];
            site.is_unscanned[path] = content != truth.content(&row);
            site.disk[path] =
                if site.is_unscanned[path] { truth.write(content, row.closed()) } else { row };
        }
        for path in 0..self.paths.len() {
            self.say(|world| {
                format!("  there is {}", world.shown(path, &world.sites[at].disk[path]))
            });
        }
    }

    /// State and tree go back together.
    fn restore_all(&mut self, at: usize) {
        let Some(backup) = self.sites[at].backup.take() else { return };
        self.counts.add(Kind::RestoredAll);
        self.say(|_| format!("s{at}'s state and tree go back to the backup"));
        let site = &mut self.sites[at];
        site.knowledge = backup.knowledge;
        site.disk = backup.disk;
        site.row = backup.row;
        site.asked = backup.asked;
        site.is_refused = backup.is_refused;
        site.is_unscanned = backup.is_unscanned;
        site.outbox = backup.outbox;
        site.on_screen = None;
        site.interrupted = backup.interrupted;
        self.truths.iter_mut().for_each(|truth| truth.is_lossy = true);
    }

    /// Sees that every own word is what that remote said in that package.
    pub fn check_words(&mut self) {
        let mut said: BTreeMap<(usize, usize, u64), Vec<usize>> = BTreeMap::new();
        for (number, package) in self.packages.iter().enumerate() {
            let key = (package.from, package.to, package.orders.serial);
            said.entry(key).or_default().push(number);
        }
        let mut wrong = None;
        for (at, site) in self.sites.iter().enumerate() {
            let rows = site.knowledge.rows.iter().map(|(path, row)| (path, &row.cells));
            for (path, cells) in rows.chain(site.knowledge.lacking.iter()) {
                for (remote, cell) in cells.iter().enumerate() {
                    let Some(word) = &cell.word else { continue };
                    let from = self.site_of(at, remote);
                    let is_true = said.get(&(from, at, word.serial)).is_some_and(|packages| {
                        packages.iter().any(|package| {
                            self.packages[*package].orders.rows.iter().any(|row: &OrderRow| {
                                row.path == *path && row.version == word.version
                            })
                        })
                    });
                    if !is_true {
                        let word = format!("{} in {}", word.version, word.serial);
                        wrong = Some(format!("s{at} holds of s{from}, path {path}: {word}"));
                    }
                }
            }
        }
        if let Some(wrong) = wrong {
            self.breaks("an own word is ahead of truth", wrong);
        }
    }

    /// Returns the site that a remote's number stands for.
    pub fn site_of(&self, site: usize, remote: usize) -> usize {
        let address = &self.sites[site].identity.remotes[remote].address;
        let is_it = |other: &&Site| other.identity.here.address == *address;
        self.sites.iter().position(|other| is_it(&other)).unwrap_or(usize::MAX)
    }

    /// Whether a row brings what a receiver may apply: contents, or the word of a deletion.
    pub fn brings(row: &OrderRow) -> bool {
        row.act != Act::Tell || row.version.content == Content::Absent
    }
}
