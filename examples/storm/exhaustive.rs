//! Small worlds, every one of them: two sites, two files, three contents, and whatever can happen
//! next, to a depth; after each event, should nothing more happen, the weather calms.
//!
//! They begin with nothing anywhere, or with one file that both sites have and know of each other.
//! Worlds that differ only in which site, file or contents comes first are one: where there is
//! nothing yet the first event is at the first site and the first write to the first file, and
//! contents always come in their order. How many worlds each stands for is counted too.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use remsync::model::verdict::{Choice, Deletions};
use remsync::model::version::Content;
use remsync::rules::plan::{Named, What};

use super::mutant::Mutant;
use super::prng::Prng;
use super::weather::Weather;
use super::world::{Broken, HOUR_MS, World, contents};

/// Sites, files, contents.
const SITES: usize = 2;
const FILES: usize = 2;
const CONTENTS: usize = 3;

/// How a world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nobody has anything.
    Nothing,
    /// Both sites have the first file, and the second site's word for it arrived.
    InStep,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// A person writes these contents, or deletes.
    Write(usize, usize, Option<usize>),
    /// A site scans and broadcasts.
    Send(usize),
    /// A mail comes and is processed; it is the one at this place.
    Receive(usize),
    /// The same, and it comes once more some day.
    ReceiveOneOfTwo(usize),
    /// The same, and the program is killed when it has changed so many files; then it is run again.
    ReceiveKilled(usize, usize),
    /// A mail is lost.
    Lose(usize),
    /// A person answers the question at this place.
    Answer(usize, usize, Choice),
}

/// One path through the events.
#[derive(Clone)]
struct Node<'a> {
    world: World<'a>,
    beginning: Beginning,
    events: Vec<Event>,
    /// Contents used so far.
    used: usize,
}

/// What all worlds came to.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// Worlds that were run to their calm.
    pub worlds: u64,
    /// Worlds that these stand for.
    pub stand_for: u64,
    /// For each number of events, how many.
    pub by_depth: Vec<u64>,
    /// The events of one that broke, and how.
    pub failure: Option<(Vec<String>, Broken)>,
}

/// Runs every world of at most `depth` events.
pub fn exhaust(
    depth: usize,
    beginning: Beginning,
    deletions: Deletions,
    mutant: Option<Mutant>,
    threads: usize,
) -> Extent {
    let weather = still();
    let mut first = World::new(1, &weather, mutant, false);
    first.sites.iter_mut().for_each(|site| site.deletions = deletions);
    let root = begin(first, beginning);
    let found = Mutex::new(Extent { by_depth: vec![0; depth + 1], ..Extent::default() });
    let is_over = AtomicBool::new(false);
    // The first events are gone through alone, what follows from each of them in turns.
    let mut heads = vec![root];
    for _ in 0..depth.min(2) {
        heads = heads.iter().flat_map(|node| grow(node, &found, &is_over)).collect();
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(node) = heads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    descend(node, depth, &found, &is_over);
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

/// Returns the world as it is before the first event that counts.
fn begin(first: World<'_>, beginning: Beginning) -> Node<'_> {
    let mut root = Node { world: first, beginning, events: Vec::new(), used: 0 };
    if beginning == Beginning::InStep {
        let write = Event::Write(0, 0, Some(0));
        let rest = [Event::Send(0), Event::Receive(0), Event::Send(1), Event::Receive(0)];
        [write].into_iter().chain(rest).for_each(|event| happen(&mut root, event));
        root.events.clear();
    }
    root
}

fn descend(node: &Node, depth: usize, found: &Mutex<Extent>, is_over: &AtomicBool) {
    if node.events.len() >= depth || is_over.load(Ordering::Relaxed) {
        return;
    }
    for child in grow(node, found, is_over) {
        descend(&child, depth, found, is_over);
    }
}

/// Returns the worlds one event later, each of which ended well when nothing more happened.
fn grow<'a>(node: &Node<'a>, found: &Mutex<Extent>, is_over: &AtomicBool) -> Vec<Node<'a>> {
    let mut grown = Vec::new();
    for event in events(node) {
        let mut child = node.clone();
        happen(&mut child, event);
        let mut calm = child.world.clone();
        if calm.broken.is_none() {
            calm.calm_down(&mut Prng::new(1, 1));
        }
        let Ok(mut found) = found.lock() else { return grown };
        found.worlds += 1;
        found.stand_for += stands_for(&child);
        found.by_depth[child.events.len()] += 1;
        if let Some(broken) = calm.broken {
            let events = child.events.iter().map(|event| format!("{event:?}")).collect();
            found.failure.get_or_insert((events, broken));
            is_over.store(true, Ordering::Relaxed);
            return Vec::new();
        }
        grown.push(child);
    }
    grown
}

/// Returns what can happen next.
fn events(node: &Node) -> Vec<Event> {
    let world = &node.world;
    let is_all_alike = node.beginning == Beginning::Nothing;
    let sites = if is_all_alike && node.events.is_empty() { 1 } else { SITES };
    let is_first_write = is_all_alike && node.used == 0;
    let mut events = Vec::new();
    for site in 0..sites {
        for file in 0..if is_first_write { 1 } else { FILES } {
            let here = world.truths[file].content(&world.sites[site].disk[file]);
            let fresh = (node.used + 1).min(CONTENTS);
            let all = (0..fresh).map(Some).chain([None]);
            events.extend(
                all.filter(|what| content(*what) != here)
                    .map(|what| Event::Write(site, file, what)),
            );
        }
        let has_anything = world.sites[site].is_unscanned.contains(&true)
            || !world.sites[site].knowledge.rows.is_empty();
        if has_anything {
            events.push(Event::Send(site));
        }
        for question in 0..world.sites[site].knowledge.questions.len() {
            events.push(Event::Answer(site, question, Choice::Keep));
            events.push(Event::Answer(site, question, Choice::Take));
        }
    }
    for mail in 0..world.air.len() {
        events.push(Event::Receive(mail));
        events.push(Event::ReceiveOneOfTwo(mail));
        events.extend((1..=FILES).map(|files| Event::ReceiveKilled(mail, files)));
        events.push(Event::Lose(mail));
    }
    events
}

/// Lets one event happen.
fn happen(node: &mut Node, event: Event) {
    let world = &mut node.world;
    let rng = &mut Prng::new(1, 0);
    world.now_ms += HOUR_MS;
    match event {
        Event::Write(site, file, what) => {
            world.write_content(site, file, content(what));
            node.used = node.used.max(what.map_or(0, |number| number + 1));
        }
        Event::Send(site) => {
            world.broadcast(site, &[0], Named::Everybody, What::Contents, rng);
        }
        Event::Receive(at) | Event::ReceiveOneOfTwo(at) => {
            let mail = world.air[at];
            if event == Event::Receive(at) {
                world.air.remove(at);
            }
            let to = world.packages[mail.package].to;
            world.reconsider(to, rng);
            if !world.visit(to, mail.package, rng) {
                world.breaks("a package cannot be applied", format!("p{}", mail.package));
            }
        }
        Event::ReceiveKilled(at, files) => {
            let mail = world.air.remove(at);
            let to = world.packages[mail.package].to;
            world.reconsider(to, rng);
            world.arrive(mail);
            world.kill_after(to, files, Some(true), rng);
        }
        Event::Lose(at) => {
            world.air.remove(at);
        }
        Event::Answer(site, at, choice) => {
            let question = world.sites[site].knowledge.questions.to_vec()[at].clone();
            let shown = world.sites[site].knowledge.rows.get(&question.path);
            let shown = shown.map(|row| row.version);
            world.answer_so(site, &question, shown, Some(choice), rng);
        }
    }
    node.events.push(event);
}

/// Returns how many worlds are this one with other names.
fn stands_for(node: &Node) -> u64 {
    let names =
        |first: usize| -> u64 { (first..node.used).map(|used| (CONTENTS - used) as u64).product() };
    match node.beginning {
        Beginning::InStep => names(1),
        Beginning::Nothing => {
            let is_write = |event: &Event| matches!(event, Event::Write(..));
            let files = if node.events.iter().any(is_write) { FILES as u64 } else { 1 };
            SITES as u64 * files * names(0)
        }
    }
}

fn content(what: Option<usize>) -> Content {
    what.map_or(Content::Absent, |number| contents(number as u64 + 1, false))
}

/// Returns the weather in which nothing happens by chance; who is asked in the calm takes what
/// arrived.
fn still() -> Weather {
    let drawn = Weather::draw(1, 2);
    Weather {
        sites: SITES,
        paths: FILES,
        steps: 0,
        links: 0,
        loss: 0,
        double: 0,
        disorder: 0,
        delay: 0,
        carrier: 0,
        killed_carrier: 0,
        race: 0,
        disk: 0,
        partial: 0,
        coincidence: 0,
        toggle: 0,
        revert: 0,
        delete: 0,
        sensitive: 0,
        apply_deletions: 0,
        take: 1000,
        merge: 0,
        late_answer: 0,
        returned: 0,
        reported: 0,
        forged: 0,
        ..drawn
    }
}
