//! What sites do, by the program's own rules; what the rules did is held against the truth.

use std::collections::BTreeMap;

use remsync::model::knowledge::{Intent, Knowledge, Question, Row, Why};
use remsync::model::orders::{Act, OrderRow, Orders};
use remsync::model::project::Identity;
use remsync::model::verdict::{Choice, Deletions, Place, Verdict};
use remsync::model::version::{Content, History};
use remsync::model::{Listing, Signature, TreePath, Version};
use remsync::rules::decide::{Lineage, decide};
use remsync::rules::intent::{chosen, intended, recognise};
use remsync::rules::learn::route;
use remsync::rules::observe::{Look, compare, observe, record};
use remsync::rules::parts::{Extent, stands};
use remsync::rules::plan::{
    Named, Outgoing, RESEND_AFTER_MS, Request, What, accepted, forget_tombstones, issue, orders,
    plan, withdraw,
};
use remsync::rules::quiet::is_quiet;
use remsync::rules::visit::{
    Answer, Answered, Hands, Put, Receipt, Source, Visit, answer, reconsider, visit,
};

use super::counts::Kind;
use super::mutant::Mutant;
use super::prng::Prng;
use super::tamper;
use super::truth::State;
use super::world::{Interrupted, Package, Site, World, digest_of, index, package_of};

/// What reaches into a tree in memory.
struct Arms<'w, 'a> {
    world: &'w mut World<'a>,
    site: usize,
    rng: Prng,
    /// The version that a person takes, and the package it is in: the one change that is not silent.
    taken: Option<([u8; 32], Version)>,
    /// How many files may still be changed before the program is killed.
    lives: Option<usize>,
}

impl Hands for Arms<'_, '_> {
    fn place_of(&mut self, path: &TreePath) -> Place {
        tamper::place(self.world.mutant, self.world.sites[self.site].place[index(path)])
    }

    fn look(&mut self, path: &TreePath) -> Look {
        let path = index(path);
        if self.world.sites[self.site].is_gone[path] {
            return Look::Is(Content::Absent);
        }
        let content = self.world.sites[self.site].disk[path];
        let content = self.world.truths[path].content(&content);
        let site = &mut self.world.sites[self.site];
        match (site.veil[path], self.world.mutant) {
            (None, Some(Mutant::DiskUnseen)) => {
                Look::Is(self.world.truths[path].content(&site.row[path]))
            }
            (None, _) => {
                site.row[path] = site.disk[path];
                site.is_unscanned[path] = false;
                Look::Is(content)
            }
            (Some(_), Some(Mutant::HiddenIsGone)) => Look::Is(Content::Absent),
            (Some(veil), _) => Look::NotKnown(veil),
        }
    }

    fn put(&mut self, path: &TreePath, version: &Version, from: Source, expected: Content) -> Put {
        match &mut self.lives {
            Some(0) => return Put::Failed("killed".into()),
            Some(lives) => *lives -= 1,
            None => {}
        }
        let at = index(path);
        if self.world.sites[self.site].is_gone[at] {
            let detail = format!("s{}: {path} becomes {version}", self.site);
            self.world.breaks("something is applied to a tree that is not there", detail);
        }
        let is_stormy = !self.world.is_calm;
        if is_stormy && self.rng.chance(self.world.weather.disk) {
            self.world.counts.add(Kind::DiskFaults);
            return Put::Failed("no space".into());
        }
        if self.world.sites[self.site].veil[at].is_some() {
            return Put::InTheWay;
        }
        if is_stormy && self.rng.chance(self.world.weather.race) {
            self.world.counts.add(Kind::Races);
            self.world.write(self.site, at, &mut self.rng);
        }
        let is_blind = matches!(self.world.mutant, Some(Mutant::PutBlind | Mutant::DiskUnseen));
        let here = self.world.sites[self.site].disk[at];
        if self.world.truths[at].content(&here) != expected && !is_blind {
            return Put::Changed;
        }
        self.replace(at, path, version, from);
        Put::Done
    }
}

impl Arms<'_, '_> {
    /// Changes the tree, and sees that nothing was lost by it.
    fn replace(&mut self, at: usize, path: &TreePath, version: &Version, from: Source) {
        let here = self.world.sites[self.site].disk[at];
        let package = package_of(&from.package);
        let arrived = self.world.truth_of(package, path);
        let arrived =
            arrived.filter(|state| self.world.truths[at].content(state) == version.content);
        let Some(mut arrived) = arrived else {
            let detail = format!("s{}: {path} becomes {version}", self.site);
            return self.world.breaks("what nobody wrote appears", detail);
        };
        // A question that was open about these contents is about all that they came with.
        if let Some(asked) = self.world.sites[self.site].asked.get(&(at, version.content)) {
            let asked = *asked;
            arrived = self.world.truths[at].join_same(&arrived, &asked);
        }
        let is_chosen = self.taken == Some((from.package, *version));
        let is_covered = self.world.truths[at].covers(&here, &arrived);
        let site = self.site;
        self.world.say(|world| {
            let how = if is_chosen { "takes" } else { "silently gets" };
            let (new, old) = (world.shown(at, &arrived), world.shown(at, &here));
            format!("  s{site} {how} {new} in place of {old}")
        });
        self.must_ask(at, version, is_chosen);
        if !is_chosen && !is_covered {
            if version.content != Content::Absent
                && self.world.truths[at].content(&here) == Content::Absent
                && self.world.truths[at].is_lossy
                && !self.world.sites[site].knowledge_has(path)
            {
                // The tombstone was spent; a site that lost its state brings the file back.
                self.world.counts.add(Kind::FilesBackAfterLoss);
            } else {
                let (new, old) = (self.world.shown(at, &arrived), self.world.shown(at, &here));
                let detail = format!("s{site}: {old} gives way to {new}");
                self.world.breaks("a silent loss", detail);
            }
        }
        let mut state = arrived;
        state.add(here.closed());
        self.world.truths[at].note(&state);
        let site = &mut self.world.sites[site];
        site.disk[at] = state;
        site.row[at] = state;
        site.is_refused[at] = false;
        site.is_unscanned[at] = false;
    }
}

impl Arms<'_, '_> {
    /// Deletions wait where they are to, and names that other programs obey wait everywhere.
    fn must_ask(&mut self, at: usize, version: &Version, is_chosen: bool) {
        let site = &self.world.sites[self.site];
        let is_deletion = version.content == Content::Absent && site.deletions == Deletions::Ask;
        let detail = format!("s{}: {version}", self.site);
        if is_deletion && !is_chosen {
            self.world.breaks("a deletion is applied unasked", detail);
        } else if site.place[at] == Place::Sensitive && !is_chosen {
            self.world.breaks("a name that other programs obey is changed unasked", detail);
        }
    }
}

/// What a rule was called for, to be held against what it did.
struct Arrival {
    path: TreePath,
    version: Version,
    history: remsync::model::History,
    state: State,
    /// Whether it must not vanish: contents came, and the package counts as taken in.
    brings: bool,
}

/// How much is accounted for in one pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    /// What is here too.
    Same,
    /// And what is truly older.
    Explained,
    /// And what nothing explains, which breaks an invariant.
    All,
}

impl<'a> World<'a> {
    /// Broadcasts to everybody or to some, with contents or without.
    pub fn broadcast_somehow(&mut self, site: usize, rng: &mut Prng) {
        let remotes = self.sites[site].identity.remotes.len();
        let is_partial = rng.chance(self.weather.partial);
        let (to, named): (Vec<usize>, Named) = if is_partial {
            let some: Vec<usize> = (0..remotes).filter(|_| rng.chance(500)).collect();
            (some, Named::ByName)
        } else {
            ((0..remotes).collect(), Named::Everybody)
        };
        let what = if is_partial && rng.chance(400) { What::Inventory } else { What::Contents };
        self.broadcast(site, &to, named, what, rng);
    }

    /// Scans and broadcasts; how many packages went out.
    pub fn broadcast(
        &mut self,
        at: usize,
        to: &[usize],
        named: Named,
        what: What,
        rng: &mut Prng,
    ) -> usize {
        self.recognise(at, rng);
        self.settle_outbox(at);
        if !self.scan(at, rng) {
            return 0;
        }
        self.counts.add(Kind::Broadcasts);
        let now_ms = self.clock(at);
        let resend_after_ms =
            if self.mutant == Some(Mutant::NoResend) { u64::MAX } else { RESEND_AFTER_MS };
        let request = Request { now_ms, resend_after_ms, what, named };
        let mut knowledge = std::mem::take(&mut self.sites[at].knowledge);
        tamper::before_plan(self.mutant, &mut knowledge, now_ms);
        let veil = self.sites[at].veil.clone();
        let rests = |path: &TreePath| veil[index(path)].is_some();
        let plans: Vec<Outgoing> = to
            .iter()
            .filter_map(|to| plan(&knowledge, *to, &request, &rests))
            .map(|outgoing| tamper::after_plan(self.mutant, outgoing, &knowledge, now_ms))
            .collect();
        if self.mutant.is_none() {
            let plan_without = |rest: &Knowledge| -> Vec<Outgoing> {
                to.iter().filter_map(|to| plan(rest, *to, &request, &rests)).collect()
            };
            let without = without_quiet(&knowledge);
            assert!(
                without.is_none_or(|rest| plan_without(&rest) == plans),
                "quiet rows have something to say at {at}"
            );
        }
        let copy: Vec<usize> = plans.iter().map(|outgoing| outgoing.remote).collect();
        for to in to.iter().filter(|to| !copy.contains(to)) {
            self.sites[at].outbox.remove(to);
        }
        let identity = self.sites[at].identity.clone();
        let written: Vec<Orders> =
            plans.iter().map(|outgoing| orders(&identity, &knowledge, outgoing, &copy)).collect();
        for (outgoing, orders) in plans.iter().zip(written) {
            let package = self.pack(at, &mut knowledge, outgoing, orders);
            self.send(at, &mut knowledge, outgoing, package, rng);
        }
        self.sites[at].knowledge = knowledge;
        plans.len()
    }

    /// What lies in the outbox and is known to have gone is forgotten; no serial is used twice.
    fn settle_outbox(&mut self, at: usize) {
        let packages = &self.packages;
        let site = &mut self.sites[at];
        let knowledge = &mut site.knowledge;
        site.outbox.retain(|to, package| {
            let serial = packages[*package].orders.serial;
            knowledge.clock = knowledge.clock.max(serial);
            let with = &knowledge.remotes[*to];
            with.last < serial && with.seen < serial
        });
    }

    /// Takes the package from the outbox if it still says what there is to say; else makes one.
    fn pack(
        &mut self,
        at: usize,
        knowledge: &mut Knowledge,
        outgoing: &Outgoing,
        mut orders: Orders,
    ) -> usize {
        if let Some(package) = self.sites[at].outbox.get(&outgoing.remote) {
            let issued = &knowledge.remotes[outgoing.remote].issued;
            if stands(&self.packages[*package].orders, &orders, Extent::Whole, issued) {
                self.counts.add(Kind::TriedAgain);
                return *package;
            }
            withdraw(knowledge, outgoing.remote, self.packages[*package].orders.serial);
        }
        tamper::after_orders(self.mutant, &mut orders);
        let to = self.site_of(at, outgoing.remote);
        let mut truth: Vec<State> =
            orders.rows.iter().map(|row| self.sites[at].row[index(&row.path)]).collect();
        if self.mutant == Some(Mutant::ChangedPacked) {
            let changed = self.packages.len() % orders.rows.len().max(1);
            if let Some(Act::Update { .. }) = orders.rows.get(changed).map(|row| row.act) {
                let path = index(&orders.rows[changed].path);
                self.write(at, path, &mut Prng::new(self.seed, !(self.packages.len() as u64)));
                truth[changed] = self.sites[at].disk[path];
            }
        }
        let has_its_number = |other: &Package| {
            (other.from, other.to, other.orders.serial) == (at, to, orders.serial)
        };
        if self.packages.iter().any(has_its_number) {
            let detail = format!("s{at} gives {} to two packages for s{to}", orders.serial);
            self.breaks("two packages have one number", detail);
        }
        self.packages.push(Package { orders, from: at, to, truth });
        self.packages.len() - 1
    }

    fn send(
        &mut self,
        at: usize,
        knowledge: &mut Knowledge,
        outgoing: &Outgoing,
        number: usize,
        rng: &mut Prng,
    ) {
        tamper::before_sending(self.mutant, knowledge, outgoing);
        let told = self.packages[number].orders.clone();
        issue(knowledge, outgoing.remote, told.serial);
        self.sites[at].outbox.insert(outgoing.remote, number);
        if !self.is_calm && rng.chance(self.weather.carrier) {
            self.counts.add(Kind::NotAccepted);
            if rng.chance(200) {
                self.say(|_| format!("p{number} is sent although the carrier says that it is not"));
                self.mail(number, rng);
            }
            return;
        }
        let to = self.packages[number].to;
        self.say(|world| shown_package(world, number, at, to, &told));
        self.counts.add(Kind::Packages);
        self.mail(number, rng);
        if !self.is_calm && rng.chance(self.weather.killed_carrier) {
            self.counts.add(Kind::KilledSending);
            return self.say(|_| "  and is killed before it notes that".into());
        }
        accepted(knowledge, outgoing.remote, &told, self.clock(at));
        self.sites[at].outbox.remove(&outgoing.remote);
    }

    /// Looks at the tree and enters what changed; `false` if a person has to say first that so
    /// much is really gone.
    pub fn scan(&mut self, at: usize, rng: &mut Prng) -> bool {
        let now_ms = self.clock(at);
        let site = &self.sites[at];
        let content = |path: usize| {
            let content = |state: &State| self.truths[path].content(state);
            tamper::scanned(self.mutant, content(&site.disk[path]), content(&site.row[path]))
        };
        let found: Listing<Signature> = (0..self.paths.len())
            .filter(|path| site.veil[*path].is_none() && !site.is_gone[*path])
            .filter_map(|path| Some((self.paths[path].clone(), *content(path).signature()?)))
            .collect();
        let is_wrong = self.mutant == Some(Mutant::HiddenIsGone);
        let mut look = |path: &TreePath| match site.veil[index(path)] {
            _ if site.is_gone[index(path)] => Look::Is(Content::Absent),
            Some(_) if is_wrong => Look::Is(Content::Absent),
            Some(veil) => Look::NotKnown(veil),
            None => Look::Is(content(index(path))),
        };
        let differences = compare(&site.knowledge, &found, &mut look);
        if site.is_gone.contains(&true) {
            let is_empty = site.is_gone.iter().all(|is_gone| *is_gone) && differences.files > 0;
            let is_held = differences.is_drastic() || is_empty;
            if is_held && self.mutant != Some(Mutant::TreeGoneTold) {
                return false;
            }
        } else if differences.is_drastic() && !self.is_calm && rng.chance(300) {
            self.counts.add(Kind::DrasticHeld);
            return false;
        }
        let mut knowledge = std::mem::take(&mut self.sites[at].knowledge);
        record(&mut knowledge, &differences, now_ms);
        tamper::after_rules(self.mutant, &mut knowledge);
        let forgotten = forget_tombstones(&mut knowledge, now_ms);
        tamper::forget_early(self.mutant, &mut knowledge, now_ms);
        self.counts.add_many(Kind::Forgotten, forgotten.len());
        for path in &forgotten {
            self.truths[index(path)].is_forgotten = true;
        }
        self.sites[at].knowledge = knowledge;
        for path in 0..self.paths.len() {
            self.scanned(at, path);
        }
        true
    }

    /// After a scan the row stands for what is on the disk.
    fn scanned(&mut self, at: usize, path: usize) {
        let site = &mut self.sites[at];
        if site.veil[path].is_none()
            && !site.is_gone[path]
            && self.mutant != Some(Mutant::EditsUnseen)
        {
            site.row[path] = site.disk[path];
            site.is_unscanned[path] = false;
            self.found_asked_about(at, path);
        }
    }

    /// What a scan finds is what an open question is about, where it is just that.
    fn found_asked_about(&mut self, at: usize, path: usize) {
        let knowledge = &self.sites[at].knowledge;
        let Some(row) = knowledge.rows.get(&self.paths[path]) else { return };
        let is_it = |open: &&Question| {
            let mut past = open.history.iter();
            open.version == row.version && past.all(|old| row.history.iter().any(|it| it == old))
        };
        let question = knowledge.questions.on(&self.paths[path]).find(is_it).cloned();
        if let Some(question) = question {
            let state = self.question_state(at, &question);
            self.joined(at, path, &state);
        }
    }

    /// Processes one package of the queue, or all.
    pub fn process(&mut self, at: usize, rng: &mut Prng) {
        if rng.chance(300) {
            self.reconsider(at, rng);
        }
        let many = if rng.chance(400) { self.sites[at].inbox.len() } else { 1 };
        for _ in 0..many {
            let waiting = self.sites[at].inbox.len();
            if waiting == 0 {
                return;
            }
            let turn = if rng.chance(self.weather.disorder) { rng.below(waiting) } else { 0 };
            let package = self.sites[at].inbox.remove(turn);
            if !self.visit(at, package, rng) {
                self.sites[at].inbox.push(package);
            }
        }
    }

    /// Processes one package; whether it is done with.
    pub fn visit(&mut self, at: usize, package: usize, rng: &mut Prng) -> bool {
        self.recognise(at, rng);
        self.counts.add(Kind::Visits);
        let orders = self.packages[package].orders.clone();
        let open = self.sites[at].knowledge.questions.to_vec();
        let words = self.words(at, &orders);
        self.say(|_| format!("s{at} processes p{package}"));
        let asked = self.sites[at].asked.clone();
        self.ask_about_both(at, package, &orders);
        // What the row has already or has left is joined before anybody looks at the disk: an edit
        // that no scan saw is one of what the row says then.
        for arrival in self.arrivals(package, &orders, true) {
            self.account(at, &arrival, Account::Explained);
        }
        let receipt = self.run(at, rng, None, None, |knowledge, hands, world| {
            let Some((orders, circumstances)) =
                world.circumstances(at, package, knowledge, &orders)
            else {
                return Receipt::default();
            };
            let (route, deletions, now_ms) = circumstances;
            let digest = digest_of(package);
            let it = Visit { orders: &orders, route: &route, package: digest, deletions, now_ms };
            let mut receipt = visit(knowledge, hands, &it);
            tamper::after_visit(world.mutant, knowledge, &it, &mut receipt);
            receipt
        });
        self.tally(&receipt);
        let is_done = receipt.failed.is_empty();
        // What could not be applied was not asked about either.
        for (path, _) in &receipt.failed {
            let path = index(path);
            let now = &mut self.sites[at].asked;
            now.retain(|(asked, _), _| *asked != path);
            now.extend(
                asked.iter().filter(|((asked, _), _)| *asked == path).map(|(k, v)| (*k, *v)),
            );
        }
        self.reckon(at, &open, self.arrivals(package, &orders, is_done));
        self.check_serials(at, &orders, &words);
        is_done
    }

    /// What arrives and covers an open question, or is covered by one, is joined with it.
    fn ask_about_both(&mut self, at: usize, package: usize, orders: &Orders) {
        let open = self.sites[at].knowledge.questions.to_vec();
        for arrival in &self.arrivals(package, orders, true) {
            let path = index(&arrival.path);
            if !arrival.brings {
                // What is only told joins the question about the same contents, and no other.
                let is_same = |open: &&Question| {
                    open.path == arrival.path && open.version.content == arrival.version.content
                };
                if arrival.version.content != Content::Absent && open.iter().any(|q| is_same(&q)) {
                    let key = (path, arrival.version.content);
                    let known = self.sites[at].asked.get(&key).copied().unwrap_or_default();
                    let state = self.truths[path].join_same(&known, &arrival.state);
                    self.sites[at].asked.insert(key, state);
                }
                continue;
            }
            self.ask_about_one(at, arrival, &open);
        }
    }

    /// What is older than an open question, or has the same contents, is joined with it; what comes
    /// of it is held against the others.
    fn ask_about_one(&mut self, at: usize, arrival: &Arrival, open: &[Question]) {
        let path = index(&arrival.path);
        let truth = &mut self.truths[path];
        let asked = &mut self.sites[at].asked;
        let known = |content: Content| asked.get(&(path, content)).copied();
        let mut here: Vec<(Version, History, State)> = open
            .iter()
            .filter(|question| question.path == arrival.path)
            .filter_map(|open| {
                Some((open.version, open.history.clone(), known(open.version.content)?))
            })
            .collect();
        let mut one = (arrival.version, arrival.history.clone(), arrival.state);
        let mut is_asked = false;
        loop {
            let verdict = |open: &(Version, History, State)| {
                decide(Some(Lineage::new(&open.0, &open.1)), Lineage::new(&one.0, &one.1))
            };
            let same = here.iter().position(|open| open.0.content == one.0.content);
            let newer = here
                .iter()
                .position(|open| verdict(open) == Verdict::Stale && truth.covers(&one.2, &open.2));
            let Some(found) = same.or(newer) else { break };
            let mut open = here.remove(found);
            if same.is_some() {
                open.2 = truth.join_same(&open.2, &one.2);
                open.0.generation = open.0.generation.max(one.0.generation);
            } else {
                open.2.add(one.2.closed());
                open.1.insert(one.0.ancestor());
            }
            open.1.join(&one.1);
            one = open;
            is_asked = true;
        }
        for open in &here {
            let verdict =
                decide(Some(Lineage::new(&open.0, &open.1)), Lineage::new(&one.0, &one.1));
            if verdict == Verdict::Replace && truth.covers(&open.2, &one.2) {
                one.2.add(open.2.closed());
                one.1.join(&open.1);
                is_asked = true;
            }
        }
        if is_asked {
            asked.insert((path, one.0.content), one.2);
        }
    }

    /// A program is killed between the files and the beliefs: one that processes a package, which
    /// stays in the queue, or one that carries out an answer.
    pub fn kill(&mut self, at: usize, rng: &mut Prng) {
        if rng.chance(300) {
            self.kill_answer(at, rng);
        } else {
            let lives = 1 + rng.below(2);
            self.kill_after(at, lives, None, rng);
        }
        // What runs next need not be the same.
        if rng.chance(300) {
            self.broadcast_somehow(at, rng);
        }
    }

    /// A processing is killed after so many files; whether it is run again at once, if that is said.
    pub fn kill_after(&mut self, at: usize, lives: usize, again: Option<bool>, rng: &mut Prng) {
        let Some(&package) = self.sites[at].inbox.first() else { return };
        self.recognise(at, rng);
        self.counts.add(Kind::Killed);
        self.say(|_| format!("s{at} is killed while it processes p{package}"));
        let before = self.sites[at].clone();
        let orders = self.packages[package].orders.clone();
        self.ask_about_both(at, package, &orders);
        let mut intent = Intent::new();
        self.run(at, rng, None, Some(lives), |knowledge, hands, world| {
            let Some((orders, circumstances)) =
                world.circumstances(at, package, knowledge, &orders)
            else {
                return Receipt::default();
            };
            let (route, deletions, now_ms) = circumstances;
            let digest = digest_of(package);
            let it = Visit { orders: &orders, route: &route, package: digest, deletions, now_ms };
            intent = intended(knowledge, &orders, &route);
            visit(knowledge, hands, &it)
        });
        let site = &mut self.sites[at];
        if self.mutant == Some(Mutant::BeliefsFirst) {
            site.disk = before.disk;
            site.inbox.remove(0);
            return;
        }
        let is_at_once = again.unwrap_or_else(|| rng.chance(500));
        self.forget_run(at, before);
        let arrivals = self.arrivals(package, &orders, false);
        let truth = arrivals.into_iter().map(|arrival| (arrival.path, arrival.state)).collect();
        self.leave_intent(at, intent, truth);
        if is_at_once {
            self.sites[at].inbox.remove(0);
            if !self.visit(at, package, rng) {
                self.sites[at].inbox.push(package);
            }
        }
    }

    /// An answer is killed when its file is in place.
    fn kill_answer(&mut self, at: usize, rng: &mut Prng) {
        self.recognise(at, rng);
        let open = self.sites[at].knowledge.questions.to_vec();
        if open.is_empty() {
            return;
        }
        let question = &open[rng.below(open.len())];
        self.counts.add(Kind::KilledAnswering);
        self.say(|_| format!("s{at} is killed while it takes {}", question.version));
        let before = self.sites[at].clone();
        let shown = before.knowledge.rows.get(&question.path).map(|row| row.version);
        let (deletions, now_ms) = (before.deletions, self.clock(at));
        let taken = Some((question.package, question.version));
        let truth = self.question_state(at, question);
        let mut intent = Intent::new();
        self.run(at, rng, taken, Some(1), |knowledge, hands, _| {
            intent = chosen(knowledge, std::iter::once(question));
            let it = Answer { question, choice: Choice::Take, shown, deletions, now_ms };
            let mut receipt = Receipt::default();
            answer(knowledge, hands, &it, &mut receipt);
            receipt
        });
        self.forget_run(at, before);
        self.leave_intent(at, intent, [(question.path.clone(), truth)].into());
    }

    /// What a program that was killed wrote down before it put anything in place.
    fn leave_intent(&mut self, at: usize, intent: Intent, truth: BTreeMap<TreePath, State>) {
        if self.mutant == Some(Mutant::IntentUntold) {
            return;
        }
        let site = &mut self.sites[at];
        let disk = site.disk.clone();
        site.interrupted.iter_mut().for_each(|it| it.disk.clone_from(&disk));
        site.interrupted.push(Interrupted { intent, truth, disk });
    }

    /// All that a run did is forgotten but for what it did to the tree.
    fn forget_run(&mut self, at: usize, before: Site) {
        let site = &mut self.sites[at];
        site.knowledge = before.knowledge;
        site.asked = before.asked;
        for path in 0..before.row.len() {
            site.row[path] = before.row[path];
            // Back to what the last scan saw: what was between was seen by nobody who lives.
            let truth = &self.truths[path];
            if truth.content(&site.disk[path]) == truth.content(&before.row[path]) {
                site.disk[path] = before.row[path];
            }
            site.is_unscanned[path] =
                before.is_unscanned[path] && site.disk[path] == before.disk[path];
        }
    }

    /// Believes what runs put in place that were killed.
    fn recognise(&mut self, at: usize, rng: &mut Prng) {
        for found in std::mem::take(&mut self.sites[at].interrupted) {
            self.recognise_one(at, found, rng);
        }
    }

    fn recognise_one(&mut self, at: usize, mut found: Interrupted, rng: &mut Prng) {
        for path in found.intent.keys().map(index) {
            // Somebody wrote over what nobody knew of.
            self.truths[path].is_lossy |= self.sites[at].disk[path] != found.disk[path];
        }
        let (row, unscanned) = (self.sites[at].row.clone(), self.sites[at].is_unscanned.clone());
        let now_ms = self.clock(at);
        let receipt = self.run(at, rng, None, None, |knowledge, hands, _| Receipt {
            touched: recognise(knowledge, hands, &mut found.intent, now_ms),
            ..Receipt::default()
        });
        for path in 0..row.len() {
            if !receipt.touched.contains(&self.paths[path]) {
                // Looked at, and left to the next scan.
                self.sites[at].row[path] = row[path];
                self.sites[at].is_unscanned[path] = unscanned[path];
            }
        }
        for path in &receipt.touched {
            self.joined(at, index(path), &found.truth[path]);
        }
        if !found.intent.is_empty() {
            self.sites[at].interrupted.push(found);
        }
    }

    /// Judges the open questions anew.
    pub fn reconsider(&mut self, at: usize, rng: &mut Prng) {
        self.recognise(at, rng);
        let open = self.sites[at].knowledge.questions.to_vec();
        if open.is_empty() {
            return;
        }
        let (deletions, now_ms) = (self.sites[at].deletions, self.clock(at));
        let receipt = self.run(at, rng, None, None, |knowledge, hands, _| {
            reconsider(knowledge, hands, deletions, now_ms)
        });
        self.tally(&receipt);
        self.reckon(at, &open, Vec::new());
    }

    /// A person answers one question.
    pub fn answer_one(&mut self, at: usize, rng: &mut Prng) {
        self.recognise(at, rng);
        let site = &mut self.sites[at];
        let open = site.knowledge.questions.to_vec();
        if open.is_empty() {
            return;
        }
        let mut question = open[rng.below(open.len())].clone();
        let mut shown = site.knowledge.rows.get(&question.path).map(|row| row.version);
        let now = (question.clone(), shown);
        if rng.chance(self.weather.late_answer)
            && let Some(screen) = site.on_screen.replace(now)
            && open.contains(&screen.0)
        {
            (question, shown) = screen;
        }
        self.answer(at, &question, shown, rng);
    }

    /// A person answers this question.
    pub fn answer(
        &mut self,
        at: usize,
        question: &Question,
        shown: Option<Version>,
        rng: &mut Prng,
    ) {
        self.answer_so(at, question, shown, None, rng);
    }

    /// A person answers this question, so if it is said how.
    pub fn answer_so(
        &mut self,
        at: usize,
        question: &Question,
        mut shown: Option<Version>,
        said: Option<Choice>,
        rng: &mut Prng,
    ) {
        let path = index(&question.path);
        let arrived = self.question_state(at, question);
        let mut open = self.sites[at].knowledge.questions.to_vec();
        open.retain(|other| other != question);
        let is_merge = rng.chance(self.weather.merge)
            && self.sites[at].veil[path].is_none()
            && !self.truths[path].is_full();
        // In the calm nobody refuses a file that was never there.
        let has_row = self.sites[at].knowledge.rows.contains_key(&question.path);
        let is_first = self.is_calm && !has_row;
        let is_first = is_first || self.is_agreed;
        let is_merge = is_merge && !is_first;
        let choice = if let Some(said) = said {
            said
        } else if is_first || (!is_merge && rng.chance(self.weather.take)) {
            Choice::Take
        } else {
            Choice::Keep
        };
        let (deletions, now_ms) = (self.sites[at].deletions, self.clock(at));
        self.say(|world| {
            let state = world.shown(path, &arrived);
            format!("s{at} answers {choice:?} (merge {is_merge}) to {:?} {state}", question.why)
        });
        if is_merge {
            let content = self.new_merge();
            self.write_content(at, path, content);
            let disk = self.truths[path].content(&self.sites[at].disk[path]);
            observe(&mut self.sites[at].knowledge, &question.path, disk, now_ms);
            self.scanned(at, path);
            let row = self.sites[at].knowledge.rows.get(&question.path);
            shown = row.map(|row| row.version);
        }
        // What an answer that was killed put there is refused now.
        let here = self.truths[path].content(&self.sites[at].disk[path]);
        let is_there = choice == Choice::Keep && here == question.version.content;
        let row = self.truths[path].content(&self.sites[at].row[path]);
        self.truths[path].is_opposed |= is_there && row != here;
        let taken = (choice == Choice::Take).then_some((question.package, question.version));
        let mut answered = Answered::Done;
        let generation = |world: &World| {
            world.sites[at].knowledge.rows.get(&question.path).map(|row| row.version.generation)
        };
        let old = self.sites[at].knowledge.rows.get(&question.path);
        let old_content = old.map(|row| row.version.content);
        let old_generation = generation(self).max(Some(question.version.generation));
        let receipt = self.run(at, rng, taken, None, |knowledge, hands, world| {
            let it = Answer { question, choice, shown, deletions, now_ms };
            let before = tamper::before_answer(world.mutant, knowledge, &question.path);
            let mut receipt = Receipt::default();
            answered = answer(knowledge, hands, &it, &mut receipt);
            tamper::after_answer(world.mutant, knowledge, &question.path, before);
            receipt
        });
        self.tally(&receipt);
        if answered != Answered::Done {
            self.counts.add(Kind::AnswersLate);
            self.say(|_| format!("  {answered:?}"));
            open.push(question.clone());
            return self.reckon(at, &open, Vec::new());
        }
        self.counts.add(Kind::Answers);
        self.counts.add(match choice {
            _ if is_merge => Kind::Merged,
            Choice::Keep => Kind::Kept,
            Choice::Take => Kind::Taken,
        });
        self.sites[at].is_refused[path] |= old_content.is_none() && choice == Choice::Keep;
        let row = self.sites[at].knowledge.rows.get(&question.path);
        let was_same = old_content == Some(question.version.content);
        match row.map(|row| row.version.content == question.version.content) {
            None => self.say(|_| "  and nothing is noted".into()),
            Some(true) => self.joined(at, path, &arrived),
            Some(false) => self.add_past(at, path, arrived.closed()),
        }
        // A choice that the rules name a new version is a write.
        let chosen = match choice {
            Choice::Keep => old_content,
            Choice::Take => Some(question.version.content),
        };
        let row = self.sites[at].knowledge.rows.get(&question.path);
        let is_chosen = row.map(|row| row.version.content) == chosen;
        if !was_same && is_chosen && generation(self) > old_generation {
            self.undone(at, path);
        }
        let here = self.truths[path].content(&self.sites[at].disk[path]);
        self.is_chosen[path] |= self.is_calm && here != Content::Absent;
        self.reckon(at, &open, Vec::new());
    }

    /// Runs a rule over a site's knowledge, with the world as its hands.
    fn run(
        &mut self,
        at: usize,
        rng: &mut Prng,
        taken: Option<([u8; 32], Version)>,
        lives: Option<usize>,
        rule: impl FnOnce(&mut Knowledge, &mut dyn Hands, &Rules) -> Receipt,
    ) -> Receipt {
        let mut knowledge = std::mem::take(&mut self.sites[at].knowledge);
        let rules = Rules {
            mutant: self.mutant,
            identity: self.sites[at].identity.clone(),
            deletions: tamper::policy(self.mutant, self.sites[at].deletions),
            now_ms: self.clock(at),
        };
        let before = tamper::before_rules(self.mutant, &knowledge);
        self.sites[at].known = knowledge.rows.keys().cloned().collect();
        let rng = Prng::new(rng.bits(), 0);
        let mut arms = Arms { world: self, site: at, rng, taken, lives };
        let receipt = rule(&mut knowledge, &mut arms, &rules);
        tamper::after_rules(self.mutant, &mut knowledge);
        tamper::bring_back(self.mutant, &mut knowledge, before);
        self.sites[at].knowledge = knowledge;
        receipt
    }

    fn tally(&mut self, receipt: &Receipt) {
        self.counts.add_many(Kind::Replaced, receipt.replaced);
        self.counts.add_many(Kind::Created, receipt.created);
        self.counts.add_many(Kind::Removed, receipt.removed);
    }

    fn arrivals(&self, package: usize, orders: &Orders, is_done: bool) -> Vec<Arrival> {
        let truth = &self.packages[package].truth;
        let arrival = |(row, state): (&OrderRow, &State)| Arrival {
            path: row.path.clone(),
            version: row.version,
            history: row.history.clone(),
            state: *state,
            brings: is_done && World::brings(row),
        };
        orders.rows.iter().zip(truth).map(arrival).collect()
    }

    /// Holds what the rules did against the truth.
    fn reckon(&mut self, at: usize, open: &[Question], mut arrivals: Vec<Arrival>) {
        let mut asked = std::mem::take(&mut self.sites[at].asked);
        for question in &self.sites[at].knowledge.questions {
            let key = (index(&question.path), question.version.content);
            let state = self.truth_of(package_of(&question.package), &question.path);
            asked.entry(key).or_insert(state.unwrap_or_default());
        }
        self.sites[at].asked = asked;
        let open_now = self.sites[at].knowledge.questions.to_vec();
        for question in open.iter().filter(|question| !is_among(question, &open_now)) {
            self.counts.add(Kind::Withdrawn);
            arrivals.push(Arrival {
                path: question.path.clone(),
                version: question.version,
                history: question.history.clone(),
                state: self.question_state(at, question),
                brings: true,
            });
        }
        // One explains why another is older, in whatever order: what nothing explains is last.
        for arrival in &arrivals {
            self.account(at, arrival, Account::Same);
        }
        let mut many = usize::MAX;
        while arrivals.len() < many {
            many = arrivals.len();
            arrivals.retain(|arrival| !self.account(at, arrival, Account::Explained));
        }
        for arrival in &arrivals {
            self.account(at, arrival, Account::All);
        }
        for question in open_now.iter().filter(|question| !is_among(question, open)) {
            self.check_question(at, question);
        }
        self.sites[at].asked.retain(|(path, content), _| {
            let mut open = open_now.iter();
            open.any(|q| index(&q.path) == *path && q.version.content == *content)
        });
    }

    /// Whether what arrived is accounted for: it is in the row, or is an ancestor of what is there, or is a question.
    fn account(&mut self, at: usize, arrival: &Arrival, account: Account) -> bool {
        let path = index(&arrival.path);
        let row = self.sites[at].knowledge.rows.get(&arrival.path);
        let arrived = Lineage::new(&arrival.version, &arrival.history);
        let verdict = row.map(|row| decide(Some(Lineage::of(row)), arrived));
        let here = self.sites[at].row[path];
        let states = |world: &World| (world.shown(path, &arrival.state), world.shown(path, &here));
        match (verdict, account) {
            (Some(Verdict::Redundant), _) => self.joined(at, path, &arrival.state),
            (_, Account::Same) => return false,
            (Some(Verdict::Stale), _) if self.truths[path].covers(&arrival.state, &here) => {
                self.add_past(at, path, arrival.state.closed());
            }
            (Some(Verdict::Stale), Account::Explained) => return false,
            (Some(Verdict::Stale), Account::All) => {
                let (old, new) = states(self);
                let detail = format!("s{at} has {new} and drops {old}");
                self.breaks("news is taken for old", detail);
            }
            // Its tombstone is forgotten, and an old mail spoke of it.
            (None, _)
                if here.event.is_some() && self.truths[path].covers(&arrival.state, &here) => {}
            (_, Account::Explained) => return false,
            _ if arrival.brings && !self.is_asked(at, arrival) => {
                let (old, new) = states(self);
                let row = row_shown(&self.sites[at].knowledge, &arrival.path);
                let detail = format!("s{at} has {new} ({row}) and got {old} ({})", arrival.version);
                self.breaks("what arrived is neither here nor a question", detail);
            }
            _ => {}
        }
        true
    }

    fn is_asked(&self, at: usize, arrival: &Arrival) -> bool {
        let path = index(&arrival.path);
        let mut questions = self.sites[at].knowledge.questions.iter();
        questions.any(|question| {
            question.path == arrival.path
                && (question.version.content == arrival.version.content
                    || self.truths[path].covers(&arrival.state, &self.question_state(at, question)))
        })
    }

    /// The same contents are here and there: one state, with both pasts.
    fn joined(&mut self, at: usize, path: usize, other: &State) {
        let site = &mut self.sites[at];
        let row = self.truths[path].join_same(&site.row[path], other);
        let is_scanned = site.disk[path].event == site.row[path].event;
        site.row[path] = row;
        if is_scanned {
            site.disk[path] = row;
        } else {
            // An edit that no scan saw was written over these contents.
            site.disk[path].add(row.closed());
        }
    }

    /// A person went back to what was undone: that is a write.
    fn undone(&mut self, at: usize, path: usize) {
        let site = &mut self.sites[at];
        let state = site.row[path];
        let is_scanned = site.disk[path].event == state.event;
        if state.event.is_none() || self.truths[path].is_over() {
            return;
        }
        let content = self.truths[path].content(&state);
        site.row[path] = self.truths[path].write(content, state.closed());
        if is_scanned {
            site.disk[path] = site.row[path];
        } else {
            site.disk[path].add(site.row[path].closed());
        }
    }

    fn add_past(&mut self, at: usize, path: usize, past: u128) {
        let site = &mut self.sites[at];
        site.row[path].add(past);
        site.disk[path].add(past);
        self.truths[path].note(&site.row[path]);
    }

    /// A question between a version and its ancestor is no question.
    fn check_question(&mut self, at: usize, question: &Question) {
        let path = index(&question.path);
        self.counts.add(if self.is_calm { Kind::QuestionsCalm } else { Kind::Questions });
        let here = self.sites[at].row[path];
        let arrived = self.question_state(at, question);
        self.say(|world| {
            let state = world.shown(path, &arrived);
            format!(
                "  s{at} is asked {:?}: here {}, there {state}",
                question.why,
                world.shown(path, &here)
            )
        });
        if !matches!(question.why, Why::Conflict | Why::DeletedHere | Why::DeletedThere) {
            return self.counts.add(Kind::QuestionsOfPlace);
        }
        let truth = &self.truths[path];
        if !here.descends_from(&arrived) && !arrived.descends_from(&here) {
            return;
        }
        if truth.is_opposed {
            let kind = if self.is_calm { Kind::AfterOpposedCalm } else { Kind::AfterOpposed };
            self.counts.add(kind);
        } else if truth.is_lossy {
            self.counts.add(Kind::AfterLoss);
        } else if truth.is_forgotten {
            self.counts.add(Kind::AfterForgotten);
        } else {
            let (new, old) = (self.shown(path, &arrived), self.shown(path, &here));
            self.breaks("a false question", format!("s{at} has {old} and is asked about {new}"));
        }
    }

    /// Returns the serials of the own words that a package speaks of.
    fn words(&self, at: usize, orders: &Orders) -> Vec<Option<u64>> {
        let Ok(route) = route(orders, &self.sites[at].identity) else { return Vec::new() };
        let rows = &self.sites[at].knowledge.rows;
        let word = |row: &OrderRow| {
            rows.get(&row.path)?.cells[route.from].word.as_ref().map(|word| word.serial)
        };
        orders.rows.iter().map(word).collect()
    }

    /// A word only moves to a higher serial.
    fn check_serials(&mut self, at: usize, orders: &Orders, before: &[Option<u64>]) {
        let after = self.words(at, orders);
        for ((row, before), after) in orders.rows.iter().zip(before).zip(after) {
            if let (Some(before), Some(after)) = (before, after)
                && after < *before
            {
                let detail = format!("s{at}, {}: serial {after} after {before}", row.path);
                self.breaks("an older word replaces a newer one", detail);
            }
        }
    }
}

/// What a rule is called with.
pub struct Rules {
    pub mutant: Option<Mutant>,
    identity: Identity,
    deletions: remsync::model::verdict::Deletions,
    now_ms: u64,
}

type Circumstances = (remsync::rules::learn::Route, remsync::model::verdict::Deletions, u64);

impl Rules {
    /// Returns the orders as a mutant would read them, and the rest of a visit.
    fn circumstances(
        &self,
        _at: usize,
        _package: usize,
        knowledge: &mut Knowledge,
        orders: &Orders,
    ) -> Option<(Orders, Circumstances)> {
        let route = route(orders, &self.identity).ok()?;
        let mut orders = orders.clone();
        tamper::before_visit(self.mutant, knowledge, &mut orders, &route);
        Some((orders, (route, self.deletions, self.now_ms)))
    }
}

fn is_among(question: &Question, questions: &[Question]) -> bool {
    questions.iter().any(|other| {
        other.path == question.path
            && other.package == question.package
            && other.version.content == question.version.content
    })
}

fn row_shown(knowledge: &Knowledge, path: &TreePath) -> String {
    knowledge.rows.get(path).map_or("no row".into(), |row| {
        let history: Vec<String> = row.history.iter().map(|a| short(&a.to_string())).collect();
        format!("{} of {}", short(&row.version.to_string()), history.join(" "))
    })
}

fn short(version: &str) -> String {
    let is_executable = version.len() > 8 && version.ends_with('x');
    version.chars().take(8).chain(is_executable.then_some('x')).collect()
}

fn shown_package(world: &World, number: usize, at: usize, to: usize, orders: &Orders) -> String {
    let mut line = format!(
        "s{at} sends p{number} to s{to}: serial {} since {:?} seen {:?}",
        orders.serial, orders.since, orders.seen
    );
    if orders.want_all {
        line.push_str(" want *");
    }
    for path in &orders.wants {
        line.push_str(&format!(" want {path}"));
    }
    for row in &orders.rows {
        let act = match row.act {
            Act::Tell => "tells",
            Act::Update { .. } => "updates",
            Act::Remove { .. } => "removes",
        };
        let state = world.shown(index(&row.path), &world.sites[at].row[index(&row.path)]);
        let history: Vec<String> = row.history.iter().map(|a| short(&a.to_string())).collect();
        let version = short(&row.version.to_string());
        line.push_str(&format!("\n    {act} {state}; {version} of {}", history.join(" ")));
    }
    line
}

/// What is known, less the quiet rows, as a program has it that did not read them; `None` where no
/// row is quiet.
fn without_quiet(knowledge: &Knowledge) -> Option<Knowledge> {
    let is_quiet =
        |row: &Row| is_quiet(row, row.version.content.signature().copied(), &knowledge.remotes);
    knowledge.rows.values().any(is_quiet).then(|| {
        let mut rest = knowledge.clone();
        rest.rows.retain(|_, row| !is_quiet(row));
        rest
    })
}
