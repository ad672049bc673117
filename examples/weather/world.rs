//! The world of one seed: its sites and mails, one step after another, and after each step the
//! disks held against what truly happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Weather;
use super::blackout::Before;
use super::counts::{Counts, Kind};
use super::edits::{Desk, People, what_at};
use super::post::{self, Arrival, Losses, Mail};
use super::prng::Prng;
use super::record;
use super::site::{Node, Programs, Ran, Site, Tree, Trouble};
use super::strace::{EFFECTS, Fault, Point};
use super::truth::{Here, Truth};

/// What no file of any tree may ever come to hold.
const SECRET: &[u8] = b"outside of every tree\n";

/// Where a site's state is, below its home.
const STATE: [&str; 3] = ["tree/.remsync", "tree/.remsync.d/ledger", "tree/.remsync.d/journal"];

/// An invariant that broke.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
}

/// What may happen in one world, and how often, in thousandths.
#[derive(Clone, Debug)]
pub struct Climate {
    /// How many sites.
    pub sites: usize,
    /// How many steps before it calms.
    pub steps: u64,
    pub(super) people: People,
    pub(super) losses: Losses,
    killed: u32,
    failing: u32,
    stopped: u32,
    skewed: u32,
    forged: u32,
    rolled_back: u32,
    lost: u32,
    undone: u32,
    dark: u32,
    is_in_volumes: bool,
    /// Whether all sites speak format 1.3.
    pub(super) is_classic: bool,
}

/// Who changed a tree.
#[derive(Clone, Debug)]
pub(super) enum By<'a> {
    /// A program, by itself.
    Program,
    /// A person's answer to a question on this path, whose version may be these events.
    Answer(&'a str, &'a Here, bool),
    /// A person who took back what a program did.
    Undo,
}

/// What becomes of a program that runs.
pub(super) enum Fate {
    /// It runs to its end.
    Calm,
    /// Something happens to it at a call.
    Fault(Point, Fault),
    /// It runs to its end, or to this call; then the power goes, and chance says what is left.
    Dark(Option<Point>, Prng),
}

/// A world.
pub struct World {
    pub(super) climate: Climate,
    pub(super) sites: Vec<Site>,
    pub(super) here: Vec<BTreeMap<String, Here>>,
    pub(super) truth: Truth,
    pub(super) air: Vec<Mail>,
    pub(super) counts: Counts,
    pub(super) programs: Programs,
    pub(super) broken: Option<Broken>,
    pub(super) story: Vec<String>,
    pub(super) top: tempfile::TempDir,
    /// Files that a site's program has seen since they were made: what comes and goes between two
    /// looks was never there.
    noted: Vec<BTreeSet<String>>,
    /// Files that somebody deleted before any program had seen them.
    pub(super) unheard: BTreeSet<String>,
    /// Files that a site may have refused, which it tells nobody.
    pub(super) refused: BTreeSet<String>,
    /// Files about which somebody answered while something was in their way.
    pub(super) vague: BTreeSet<String>,
    /// Sites at which a processing was broken off: its packages still wait.
    broken_off: BTreeSet<usize>,
    /// A folder that is in no tree.
    outside: PathBuf,
    links: Vec<BTreeMap<String, PathBuf>>,
    stranger: Option<Site>,
}

impl Climate {
    fn draw(seed: u64, weather: &Weather) -> Climate {
        let mut rng = Prng::new(seed, u64::MAX - 1);
        let sites = 2 + rng.below(weather.sites_max.max(2) - 1);
        // Some worlds have every fault and some have one kind only.
        let only = rng.chance(250).then(|| rng.below(15));
        let mut number = 0;
        let mut fault = |rng: &mut Prng, most: usize| {
            number += 1;
            let is_on = only.map_or_else(|| rng.chance(500), |only| only == number - 1);
            let often = 1 + rng.below(most) as u32;
            if is_on { often } else { 0 }
        };
        let losses = Losses {
            lost: fault(&mut rng, 400),
            returned: fault(&mut rng, 1000),
            doubled: fault(&mut rng, 300),
            shuffled: fault(&mut rng, 1000),
            cut: fault(&mut rng, 150),
            flipped: fault(&mut rng, 150),
        };
        let (killed, failing) = (fault(&mut rng, 600), fault(&mut rng, 600));
        let (stopped, skewed) = (fault(&mut rng, 600), fault(&mut rng, 60));
        let (forged, rolled_back) = (fault(&mut rng, 60), fault(&mut rng, 80));
        let (lost, undone) = (fault(&mut rng, 20), fault(&mut rng, 1000));
        let dark = fault(&mut rng, 600);
        let is_in_volumes = rng.chance(150) && !weather.is_classic;
        let people = People {
            names: 2 + rng.below(11),
            types: rng.chance(500),
            renames: rng.chance(600),
            // In format 1.3 they are no part of a version.
            executables: rng.chance(500) && !weather.is_classic,
            bytes_max: if is_in_volumes { 150_000 } else { 200 },
        };
        let steps = 20 + rng.bits() % 60;
        Climate {
            sites,
            steps,
            people,
            losses,
            killed,
            failing,
            stopped,
            skewed,
            forged,
            rolled_back,
            lost,
            undone,
            dark,
            is_in_volumes,
            is_classic: weather.is_classic,
        }
    }
}

impl Climate {
    /// Ends all trouble.
    pub(super) fn calm(&mut self) {
        let Climate { losses, .. } = self;
        *losses = Losses { lost: 0, returned: 0, doubled: 0, shuffled: 0, cut: 0, flipped: 0 };
        (self.killed, self.failing, self.stopped, self.skewed) = (0, 0, 0, 0);
        self.dark = 0;
    }
}

impl World {
    /// Makes the sites of a seed, each of which knows some of the others.
    pub fn new(weather: &Weather, seed: u64) -> World {
        let climate = Climate::draw(seed, weather);
        let mut rng = Prng::new(seed, u64::MAX - 2);
        let top = tempfile::Builder::new().prefix("weather").tempdir_in(&weather.folder);
        let top = top.expect("a folder for the world");
        let outside = top.path().join("outside");
        fs::create_dir_all(&outside).expect("a folder");
        fs::create_dir_all(top.path().join("post")).expect("a folder");
        fs::write(outside.join("secret"), SECRET).expect("a file");
        let settings = |rng: &mut Prng| {
            let size = if climate.is_in_volumes { "size_max_bytes = 100000\n" } else { "" };
            let deletions = if rng.chance(500) { "apply" } else { "ask" };
            format!(
                "resend_after = 864000\n[mail]\ntransport = \"maildir:{}\"\n{size}[trust]\nunsigned = \
                 \"accept\"\n[policy]\ndeletions = \"{deletions}\"\n[keep]\ndays = 36500\n",
                top.path().join("post").display()
            )
        };
        let mut sites: Vec<Site> = Vec::new();
        for number in 0..climate.sites {
            let mut site = Site::create(top.path(), number, &settings(&mut rng));
            // Each is linked to one before it; some links more.
            for other in (0..number).filter(|other| *other == number / 2 || rng.chance(400)) {
                site.links.push(other);
                sites[other].links.push(number);
            }
            if number > 0 && site.links.is_empty() {
                site.links.push(0);
                sites[0].links.push(number);
            }
            sites.push(site);
        }
        let count = sites.len();
        let mut world = World {
            climate,
            sites,
            here: vec![BTreeMap::new(); count],
            truth: Truth::default(),
            air: Vec::new(),
            counts: Counts::default(),
            programs: weather.programs.clone(),
            broken: None,
            story: Vec::new(),
            top,
            broken_off: BTreeSet::new(),
            outside,
            refused: BTreeSet::new(),
            unheard: BTreeSet::new(),
            vague: BTreeSet::new(),
            noted: vec![BTreeSet::new(); count],
            links: vec![BTreeMap::new(); count],
            stranger: None,
        };
        for at in 0..count {
            for _ in 0..rng.below(4) {
                world.edit(at, &mut rng);
            }
            let links = world.sites[at].links.clone();
            world.init(at, &links);
        }
        world
    }

    /// Lets one thing happen.
    pub fn step(&mut self, rng: &mut Prng) {
        self.counts.add(Kind::Steps);
        let at = rng.below(self.sites.len());
        if rng.chance(self.climate.skewed) {
            self.sites[at].skew_days = [0, 400, -400, 3_650][rng.below(4)];
        }
        if rng.chance(self.climate.forged) {
            self.forge(at, rng);
        }
        if rng.chance(self.climate.rolled_back) {
            self.roll_back(at);
        }
        if rng.chance(self.climate.lost) {
            self.lose_state(at);
        }
        match rng.below(14) {
            0..=4 => self.edit(at, rng),
            5 | 6 => self.broadcast(at, rng),
            7 | 8 => {
                for _ in 0..1 + rng.below(3) {
                    self.deliver(rng);
                }
            }
            9..=11 => self.process(at, rng),
            12 => self.answer_one(at, rng),
            _ if rng.chance(self.climate.undone) => self.undo(at, rng),
            _ => {
                self.broadcast(at, rng);
                self.deliver(rng);
            }
        }
    }

    /// Ends the world; leaves it for a look if it broke and that is wanted.
    pub fn end(self, keep: bool) -> (Counts, Option<Broken>, Vec<String>) {
        let World { counts, broken, mut story, top, .. } = self;
        if broken.is_some() && keep {
            story.push(format!("left in {}", top.keep().display()));
        }
        (counts, broken, story)
    }

    // ---- what happens

    /// A person edits.
    pub(super) fn edit(&mut self, at: usize, rng: &mut Prng) {
        let tree = self.sites[at].tree();
        let done = self.desk(at).edit(&tree, rng);
        self.story.push(format!("s{at}: {done}"));
        self.remember_links(at);
    }

    pub(super) fn desk(&mut self, at: usize) -> Desk<'_> {
        Desk {
            tree: &self.sites[at].tree,
            beside: &self.sites[at].top,
            outside: &self.outside,
            here: &mut self.here[at],
            noted: &mut self.noted[at],
            unheard: &mut self.unheard,
            truth: &mut self.truth,
            counts: &mut self.counts,
            people: self.climate.people,
        }
    }

    pub(super) fn remember_links(&mut self, at: usize) {
        self.links[at] = links_of(&self.sites[at].tree());
    }

    fn broadcast(&mut self, at: usize, rng: &mut Prng) {
        self.counts.add(Kind::Broadcasts);
        let files = files_of(&self.sites[at].tree());
        let ran = self.run(at, &["broadcast", "--batch"], By::Program, rng);
        if ran.code == 0 && !ran.is_reached {
            self.noted[at].extend(files);
        }
        self.harvest(at);
    }

    pub(super) fn harvest(&mut self, at: usize) {
        let addresses = self.addresses();
        let mails = post::harvest(&self.top.path().join("post"), &addresses, Some(at));
        self.counts.add_many(Kind::Mails, mails.len());
        self.counts
            .add_many(Kind::Volumes, mails.iter().filter(|mail| post::is_volume(mail)).count());
        self.air.extend(mails);
    }

    fn deliver(&mut self, rng: &mut Prng) {
        let addresses = self.addresses();
        let losses = self.climate.losses;
        match post::arrive(&mut self.air, &addresses, &losses, &mut self.counts, rng) {
            None | Some(Arrival::Lost(None)) => {}
            Some(Arrival::Lost(Some((from, word)))) => self.filter(from, &word, rng),
            Some(Arrival::Mail(to, bytes)) => self.filter(to, &bytes, rng),
        }
    }

    /// Gives a mail to a site's filter, again and again until it says that it has it.
    pub(super) fn filter(&mut self, at: usize, bytes: &[u8], rng: &mut Prng) {
        let mail = post::put_down(self.top.path(), bytes);
        for tries in 0.. {
            let fate = if tries < 3 { self.trouble(rng) } else { Fate::Calm };
            let program = self.programs.deliver.clone();
            let words: [&str; 0] = [];
            let ran = self.start(at, &program, &words, Some(&mail), fate);
            match ran.code {
                0 => return,
                75 | -1 if ran.is_reached => {}
                _ => {
                    return self
                        .breaks("the filter ends as it should", format!("s{at}: {}", story(&ran)));
                }
            }
        }
    }

    fn process(&mut self, at: usize, rng: &mut Prng) {
        self.counts.add(Kind::Processed);
        let ran = self.run(at, &["process", "--batch"], By::Program, rng);
        let _ = match ran.code {
            0..=2 => self.broken_off.remove(&at),
            _ => self.broken_off.insert(at),
        };
    }

    /// Undoing what was broken off is no word on its packages: the next processing takes them in.
    fn undo(&mut self, at: usize, rng: &mut Prng) {
        if self.broken_off.contains(&at) {
            return;
        }
        self.counts.add(Kind::Undone);
        self.run(at, &["undo"], By::Undo, rng);
    }

    /// A person answers one of the questions of a site.
    fn answer_one(&mut self, at: usize, rng: &mut Prng) {
        let questions = self.questions(at);
        if questions.is_empty() {
            return;
        }
        let question = &questions[rng.below(questions.len())];
        let decision = ["keep", "take", "take", "both", "merge"][rng.below(5)];
        self.answer(at, question, decision, rng);
    }

    /// Answers a question.
    pub(super) fn answer(&mut self, at: usize, question: &Value, decision: &str, rng: &mut Prng) {
        let text = |name: &str| question[name].as_str().unwrap_or_default().to_owned();
        let path = text("path");
        let arrived = self.events_of(&path, &text("version"));
        // Who never had a file and does not want it is left alone with it.
        let is_refusal = self.here[at].get(&path).is_none_or(BTreeSet::is_empty);
        let decision = if is_refusal { "take" } else { decision };
        self.counts.add(Kind::Answers);
        // What cannot be merged is kept beside.
        let is_kept = matches!(decision, "keep" | "both" | "merge");
        let words = ["resolve", &text("question"), decision];
        self.run(at, &words, By::Answer(&path, &arrived, is_kept), rng);
    }

    /// Returns the open questions of a site.
    pub(super) fn questions(&mut self, at: usize) -> Vec<Value> {
        let words = ["pending", "--json"];
        let program = self.programs.remsync.clone();
        let ran = self.start(at, &program, &words, None, Fate::Calm);
        let parsed: Result<Value, _> = serde_json::from_str(&ran.stdout);
        match parsed {
            Ok(document) if (0..=1).contains(&ran.code) => {
                document["questions"].as_array().cloned().unwrap_or_default()
            }
            _ => {
                self.breaks("what waits can be told", format!("s{at}: {}", story(&ran)));
                Vec::new()
            }
        }
    }

    /// A stranger who is nobody's remote mails a site a package of his own.
    fn forge(&mut self, at: usize, rng: &mut Prng) {
        self.counts.add(Kind::Forged);
        let victim = self.sites[at].address.clone();
        let post = self.top.path().join("post");
        let settings = format!("[mail]\ntransport = \"maildir:{}\"\n", post.display());
        let stranger = match self.stranger.take() {
            Some(stranger) => stranger,
            None => Site::create(self.top.path(), 90, &settings),
        };
        let name = super::edits::NAMES[rng.below(2)];
        fs::write(stranger.tree.join(name), format!("evil {}\n", rng.bits())).expect("a file");
        let words =
            ["init", "--title", "Weather", "--here", &stranger.address, "--remote", &victim];
        let _ = fs::remove_file(stranger.tree.join(".remsync"));
        let _ = fs::remove_dir_all(stranger.tree.join(".remsync.d"));
        let _ = fs::remove_dir_all(stranger.top.join(".local"));
        for words in [&words[..], &["broadcast", &victim, "--batch"]] {
            let mut command = stranger.command(&self.programs, &self.programs.remsync, words);
            let ran = stranger.run(&mut command, None, Trouble::None);
            assert!(ran.code == 0, "the stranger: {}", story(&ran));
        }
        let mails = post::harvest(&post, &self.addresses(), None);
        self.air.extend(mails);
        self.stranger = Some(stranger);
    }

    /// The state of a site with its queue, and not its tree, is taken from a backup.
    fn roll_back(&mut self, at: usize) {
        let top = self.sites[at].top.clone();
        let backup = top.join("backup");
        let is_back = backup.is_dir();
        let (from, to) = if is_back { (&backup, &top) } else { (&top, &backup) };
        for file in STATE.iter().chain([&".local/state/remsync"]) {
            let (from, to) = (from.join(file), to.join(file));
            let _ = fs::remove_file(&to).or_else(|_| fs::remove_dir_all(&to));
            let _ = fs::create_dir_all(to.parent().unwrap_or(&top));
            copy(&from, &to);
        }
        if is_back {
            self.counts.add(Kind::RolledBack);
            self.story.push(format!("s{at}: the state is taken from a backup"));
            self.sites[at].is_lossy = true;
            let _ = fs::remove_dir_all(backup);
        }
    }

    /// A site loses what it knew.
    fn lose_state(&mut self, at: usize) {
        self.counts.add(Kind::StatesLost);
        self.story.push(format!("s{at}: the state is lost"));
        for file in STATE {
            let _ = fs::remove_file(self.sites[at].top.join(file));
        }
        self.sites[at].is_lossy = true;
        let links = self.sites[at].links.clone();
        self.init(at, &links);
    }

    fn init(&mut self, at: usize, links: &[usize]) {
        let addresses: Vec<String> =
            links.iter().map(|link| self.sites[*link].address.clone()).collect();
        let here = self.sites[at].address.clone();
        let format = if self.climate.is_classic { "1.3" } else { "2.0" };
        let mut words = vec!["init", "--format", format, "--title", "Weather", "--here", &here];
        for address in &addresses {
            words.extend(["--remote", address]);
        }
        let program = self.programs.remsync.clone();
        let ran = self.start(at, &program, &words, None, Fate::Calm);
        if ran.code != 0 {
            self.breaks("a folder becomes a project", format!("s{at}: {}", story(&ran)));
        }
    }

    // ---- programs

    /// Runs `remsync` with whatever trouble there is, and judges what it did.
    pub(super) fn run(&mut self, at: usize, words: &[&str], by: By<'_>, rng: &mut Prng) -> Ran {
        let before = self.sites[at].tree();
        let program = self.programs.remsync.clone();
        let stop = rng.chance(self.climate.stopped) && matches!(by, By::Program);
        let (ran, mid_edits) = match stop {
            true => self.start_and_edit(at, &program, words, rng),
            false => {
                let fate = self.trouble(rng);
                (self.start(at, &program, words, None, fate), 0)
            }
        };
        let is_ended = (0..=2).contains(&ran.code) || ran.code == -1 && ran.is_reached;
        if !is_ended || ran.stderr.contains("panicked") {
            self.breaks("a program ends as it should", format!("s{at}: {}", story(&ran)));
        }
        let noted = (ran.code < 0).then(|| self.noted[at].clone());
        self.judge(at, &before, by, mid_edits > 0);
        if let Some(noted) = noted {
            // What it placed and did not live to note is news to the next run.
            self.noted[at] = noted;
        }
        ran
    }

    /// Runs a program with a fault or none.
    pub(super) fn start(
        &mut self,
        at: usize,
        program: &Path,
        words: &[&str],
        stdin: Option<&Path>,
        fate: Fate,
    ) -> Ran {
        self.counts.add(Kind::Runs);
        let site = &self.sites[at];
        let mut command = site.command(&self.programs, program, words);
        if site.skew_days != 0 {
            self.counts.add(Kind::Skews);
        }
        let (shown, fault, trouble) = match fate {
            Fate::Dark(point, chance) if site.skew_days == 0 => {
                return self.start_dark(at, program, words, stdin, point, chance);
            }
            Fate::Calm | Fate::Dark(..) => (String::new(), None, Trouble::None),
            Fate::Fault(point, fault) => {
                (format!(" {point:?} {fault:?}"), Some(fault), Trouble::Fault(point, fault))
            }
        };
        let ran = site.run(&mut command, stdin, trouble);
        if ran.is_reached {
            let kind = if let Some(Fault::Kill) = fault { Kind::Killed } else { Kind::Failures };
            self.counts.add(kind);
        }
        self.tell(at, program, words, &ran, &shown);
        ran
    }

    /// Runs a program to its end or to where it is killed; then the power goes.
    fn start_dark(
        &mut self,
        at: usize,
        program: &Path,
        words: &[&str],
        stdin: Option<&Path>,
        point: Option<Point>,
        mut chance: Prng,
    ) -> Ran {
        let (site, top) = (&self.sites[at], self.top.path());
        let log = top.join("calls");
        let roots = vec![site.top.clone(), top.join("post")];
        let before = Before::copy(roots, &top.join("dark")).expect("copies of a small disk");
        let shown = format!(" in the dark {point:?}");
        let mut command = site.command(&self.programs, program, words);
        let ran = site.run(&mut command, stdin, Trouble::Recorded(point, &log));
        let taken = site.queued();
        let text = fs::read_to_string(&log).expect("a record");
        let calls = record::calls(&text);
        let gone = before.go_dark(&calls, &site.tree, &mut chance);
        let left = site.queued();
        self.counts.add(Kind::Blackouts);
        self.tell(at, program, words, &ran, &shown);
        match gone {
            Err(what) => self.breaks("the weather itself is sound", format!("s{at}: {what}")),
            Ok(gone) => {
                self.counts.add_many(Kind::NamesGone, gone.names.len());
                self.counts.add_many(Kind::WritesGone, gone.writes);
                let names: Vec<_> = gone.names.iter().filter_map(|it| it.file_name()).collect();
                self.story.push(format!("s{at}: the power goes: {names:?}, {}", gone.writes));
            }
        }
        if ran.code == 0
            && program == self.programs.deliver
            && taken.iter().any(|(path, it)| left.get(path) != Some(it))
        {
            let lost: Vec<_> =
                taken.iter().filter(|(path, it)| left.get(*path) != Some(it)).collect();
            let paths: Vec<_> = lost.iter().map(|(path, _)| path).collect();
            self.breaks("what the filter took stays", format!("s{at}: {paths:?}"));
        }
        ran
    }

    /// Runs a program, stops it somewhere, and has the person of this site edit meanwhile.
    fn start_and_edit(
        &mut self,
        at: usize,
        program: &Path,
        words: &[&str],
        rng: &mut Prng,
    ) -> (Ran, usize) {
        self.counts.add(Kind::Runs);
        let point = draw_point(rng);
        let command = self.sites[at].command(&self.programs, program, words);
        let mut command = command;
        let shown = format!(" stopped at {point:?}");
        let World {
            sites,
            here,
            noted,
            unheard,
            truth,
            counts,
            climate,
            links,
            outside,
            story,
            ..
        } = self;
        let (site, people) = (&sites[at], climate.people);
        let mut edits = 0;
        let mut meanwhile = || {
            counts.add(Kind::Stops);
            for _ in 0..1 + rng.below(3) {
                let tree = site.tree();
                let mut desk = Desk {
                    tree: &site.tree,
                    beside: &site.top,
                    outside,
                    here: &mut here[at],
                    noted: &mut noted[at],
                    unheard,
                    truth,
                    counts,
                    people,
                };
                let done = desk.edit(&tree, rng);
                counts.add(Kind::MidEdits);
                story.push(format!("s{at}: meanwhile {done}"));
                edits += 1;
            }
            links[at] = links_of(&site.tree());
        };
        let ran = site.run(&mut command, None, Trouble::Stop(point, &mut meanwhile));
        self.tell(at, program, words, &ran, &shown);
        (ran, edits)
    }

    /// Draws what happens to a program.
    fn trouble(&self, rng: &mut Prng) -> Fate {
        let is_killed = rng.chance(self.climate.killed);
        let is_failing = rng.chance(self.climate.failing);
        let errno = ["ENOSPC", "EACCES", "EIO", "EDQUOT"][rng.below(4)];
        let point = draw_point(rng);
        if rng.chance(self.climate.dark) {
            let point = rng.chance(700).then_some(point);
            return Fate::Dark(point, Prng::new(rng.bits(), 0));
        }
        match (is_killed, is_failing) {
            (true, _) => Fate::Fault(point, Fault::Kill),
            (false, true) => Fate::Fault(point, Fault::Error(errno)),
            (false, false) => Fate::Calm,
        }
    }

    fn tell(&mut self, at: usize, program: &Path, words: &[&str], ran: &Ran, shown: &str) {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let line = words.join(" ");
        let said: Vec<&str> = ran.stdout.lines().chain(ran.stderr.lines()).take(12).collect();
        let is_looking = matches!(words.first(), Some(&"pending"));
        if !is_looking {
            self.story.push(format!("s{at}: {name} {line}{shown} -> {} {said:?}", ran.code));
        }
    }

    // ---- what may never be

    /// Compares a tree with what was there, and with what truly happened.
    pub(super) fn judge(&mut self, at: usize, before: &Tree, by: By<'_>, is_edited: bool) {
        let after = self.sites[at].tree();
        let mut paths: BTreeSet<String> = self.here[at].keys().cloned().collect();
        paths.extend(after.keys().cloned());
        for path in paths {
            self.judge_path(at, &path, &after, &by);
        }
        let links = links_of(&after);
        if links != self.links[at] {
            let were = &self.links[at];
            self.breaks("links are left alone", format!("s{at}: {were:?} became {links:?}"));
        }
        let empty = before.iter().filter(|(_, node)| **node == Node::EmptyFolder);
        for (path, _) in empty.filter(|_| !is_edited) {
            let below = format!("{path}/");
            let is_within = |name: &String| name.starts_with(&below);
            let is_there = after.contains_key(path) || after.keys().any(is_within);
            // One in which a file was put and removed again in one run may go.
            if !is_there && !self.truth.paths().iter().any(is_within) {
                self.breaks("empty folders are left alone", format!("s{at}: {path} is gone"));
            }
        }
        self.check_outside();
        self.check_nothing_lost();
    }

    fn judge_path(&mut self, at: usize, path: &str, after: &Tree, by: &By<'_>) {
        let old = self.here[at].get(path).cloned().unwrap_or_default();
        let was = old.first().and_then(|event| self.truth.what(*event));
        let known = what_at(&self.truth, after, path);
        // A merge is a person's, if a program writes it.
        let now = match (known, by, after.get(path)) {
            (Some(now), ..) => now,
            (None, By::Answer(asked, ..), Some(Node::File { bytes, executable }))
                if *asked == path =>
            {
                Some((self.truth.content(bytes), *executable))
            }
            (None, _, Some(Node::File { bytes, .. })) => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                return self.breaks("nothing is invented", format!("s{at}: {path} holds {text:?}"));
            }
            (None, ..) => None,
        };
        if let By::Answer(asked, arrived, is_kept) = by
            && *asked == path
        {
            if is_blocked(after, path) {
                // What is kept is then what the site last saw there.
                self.vague.insert(path.to_owned());
            }
            return self.judge_answered(at, path, now, arrived, *is_kept);
        }
        if now == was {
            return;
        }
        let new = match (now, by) {
            (_, By::Undo) => BTreeSet::from([self.truth.happen(path, now, &old)]),
            (Some(_), By::Answer(..)) if old.is_empty() && self.truth.at(path, now).is_empty() => {
                // One of two versions got a name of its own.
                BTreeSet::from([self.truth.happen(path, now, &Here::new())])
            }
            (Some(_), _) => self.truth.at(path, now),
            (None, _) => self.truth.deletions_of(path, &old),
        };
        self.counts.add(if now.is_some() { Kind::Placed } else { Kind::Removed });
        let shown =
            format!("s{at}: {path}: {} became {}", self.truth.shown(&old), self.truth.shown(&new));
        if new.is_empty() {
            let what =
                if now.is_some() { "nothing is invented" } else { "nobody's file is deleted" };
            return self.breaks(what, format!("{shown} {now:?}"));
        }
        // Who writes a file after it was deleted elsewhere may have heard of that: no disk shows it.
        let is_later = new.last() > old.last();
        let is_unseen = !self.noted[at].contains(path);
        // Format 1.3 knows no deletions beyond the next package.
        let is_unknown = self.sites[at].is_lossy || self.climate.is_classic;
        let is_forgiven = was.is_none() && (is_unknown || is_later || is_unseen);
        let is_sure = !self.vague.contains(path);
        if is_sure && !old.is_empty() && !self.truth.covers(&new, &old) && !is_forgiven {
            let what = if was.is_some() {
                "nothing is overwritten in silence"
            } else {
                "what was deleted stays so"
            };
            return self.breaks(what, shown);
        }
        if self.climate.is_classic && was.is_none() {
            // A deletion and a file in its place are, to it, one change of that file.
            self.truth.choose(&new, &old);
        }
        self.noted[at].insert(path.to_owned());
        self.here[at].insert(path.to_owned(), new);
    }

    /// What a person's answer came to.
    fn judge_answered(
        &mut self,
        at: usize,
        path: &str,
        now: super::truth::What,
        arrived: &Here,
        is_kept: bool,
    ) {
        let old = self.here[at].get(path).cloned().unwrap_or_default();
        let was = old.first().and_then(|event| self.truth.what(*event));
        if old.is_empty() {
            // A file that came and went within one run: what was weighed here is a deletion that
            // no disk showed.
            self.vague.insert(path.to_owned());
        }
        if is_kept && now.is_none() && self.sites[at].is_lossy {
            // It may not know any more that there was a file: then it refuses a new one.
            self.refused.insert(path.to_owned());
        }
        if now == was {
            if is_kept {
                self.truth.choose(&old, arrived);
            }
            return;
        }
        let both: Here = old.union(arrived).copied().collect();
        let took = arrived.iter().any(|event| self.truth.what(*event) == now);
        let new = if took && now.is_some() {
            self.truth.choose(arrived, &old);
            arrived.clone()
        } else {
            BTreeSet::from([self.truth.happen(path, now, &both)])
        };
        self.here[at].insert(path.to_owned(), new);
    }

    /// Holds that nothing outside of the trees was touched.
    fn check_outside(&mut self) {
        let names = super::site::entries(&self.outside);
        let secret = self.outside.join("secret");
        let is_as_before =
            names == [secret.clone()] && fs::read(secret).is_ok_and(|bytes| bytes == SECRET);
        if !is_as_before {
            self.breaks("nothing outside is touched", format!("{names:?}"));
        }
    }

    /// Holds that all contents which somebody wrote and did not overwrite himself are somewhere.
    fn check_nothing_lost(&mut self) {
        let mut found = BTreeSet::new();
        for site in &self.sites {
            for node in site.tree().values() {
                if let Node::File { bytes, .. } = node {
                    found.extend(self.truth.known(bytes));
                }
            }
            found.extend(site.kept().iter().filter_map(|bytes| self.truth.known(bytes)));
        }
        let lost = self.truth.wanted().find(|content| !found.contains(content));
        if let Some(lost) = lost {
            let text = String::from_utf8_lossy(self.truth.bytes(lost)).into_owned();
            let line = text.lines().next().unwrap_or_default().to_owned();
            self.breaks("no byte is lost", format!("{line:?} is nowhere"));
        }
    }

    /// Notes that an invariant broke; the first counts.
    pub(super) fn breaks(&mut self, invariant: &'static str, detail: String) {
        if self.broken.is_none() {
            self.story.push(format!("BROKEN: {invariant}: {detail}"));
            self.broken = Some(Broken { invariant, detail });
        }
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.sites.iter().map(|site| site.address.clone()).collect()
    }

    /// Returns the events that a version may be, as a question names it.
    fn events_of(&self, path: &str, version: &str) -> Here {
        let (_, signature) = version.split_once('.').unwrap_or_default();
        if signature == "-" {
            return self.truth.at(path, None);
        }
        let (hex, executable) = match signature.strip_suffix('x') {
            Some(hex) => (hex, true),
            None => (signature, false),
        };
        let Some(content) = self.truth.named(hex) else { return Here::new() };
        let mut events = self.truth.at(path, Some((content, executable)));
        if self.climate.is_classic {
            // Its sums do not say who may execute a file.
            events.extend(self.truth.at(path, Some((content, !executable))));
        }
        events
    }
}

/// Draws a call of a program: those that it makes often, often.
fn draw_point(rng: &mut Prng) -> Point {
    // What it makes, and of how many the last is likely still reached.
    const OFTEN: [(&str, usize); 16] = [
        ("openat", 60),
        ("openat", 150),
        ("write", 20),
        ("fsync", 20),
        ("fdatasync", 4),
        ("renameat", 6),
        ("renameat2", 6),
        ("rename", 3),
        ("unlinkat", 8),
        ("mkdirat", 8),
        ("fchmod", 4),
        ("utimensat", 6),
        ("getdents64", 20),
        ("newfstatat", 40),
        ("statx", 60),
        ("read", 40),
    ];
    if rng.chance(150) {
        return Point {
            call: EFFECTS[1 + rng.below(EFFECTS.len() - 1)],
            number: 1 + rng.below(3) as u32,
        };
    }
    let (call, most) = OFTEN[rng.below(OFTEN.len())];
    // Not what the program is loaded with.
    let first = match call {
        "openat" | "read" => 10,
        "newfstatat" => 8,
        _ => 1,
    };
    Point { call, number: first + rng.below(most) as u32 }
}

/// Whether a tree has a folder at a path, or a file or link above it.
pub(super) fn is_blocked(tree: &Tree, path: &str) -> bool {
    let below = format!("{path}/");
    tree.keys().any(|other| other.starts_with(&below))
        || matches!(tree.get(path), Some(Node::EmptyFolder | Node::Link(_)))
        || path
            .match_indices('/')
            .any(|(at, _)| matches!(tree.get(&path[..at]), Some(Node::File { .. } | Node::Link(_))))
}

/// Copies a file or folder, if there is one.
fn copy(from: &Path, to: &Path) {
    let inner = super::site::entries(from);
    if from.is_dir() {
        let _ = fs::create_dir_all(to);
    } else if from.is_file() {
        fs::copy(from, to).expect("a copy in the world's folder");
    }
    for path in inner {
        copy(&path, &to.join(path.file_name().unwrap_or_default()));
    }
}

fn files_of(tree: &Tree) -> Vec<String> {
    let files = tree.iter().filter(|(_, node)| matches!(node, Node::File { .. }));
    files.map(|(path, _)| path.clone()).collect()
}

fn links_of(tree: &Tree) -> BTreeMap<String, PathBuf> {
    let link = |(path, node): (&String, &Node)| match node {
        Node::Link(target) => Some((path.clone(), target.clone())),
        Node::File { .. } | Node::EmptyFolder => None,
    };
    tree.iter().filter_map(link).collect()
}

pub(super) fn story(ran: &Ran) -> String {
    format!("ended with {}: {:?} {:?}", ran.code, ran.stdout, ran.stderr)
}
