//! What people truly did to each path: every write and deletion with what it was done upon.
//!
//! Nothing here is read from the programs. Contents are told apart by their bytes, and nearly every
//! write has bytes of its own. Where two events of a path have the same contents either may be what
//! a disk shows: then both are candidates, and what holds for one is enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use remsync::format::digest::{digests_of, hex};

/// A number of contents that somebody wrote.
pub type Content = usize;
/// A number of a write or a deletion.
pub type Event = usize;

/// What a path holds: contents and whether they may be executed; `None` is a deletion.
pub type What = Option<(Content, bool)>;

/// What a site has at a path: the events that it may be.
pub type Here = BTreeSet<Event>;

struct Happened {
    path: String,
    what: What,
    /// What it was done upon, and what was chosen against for it.
    past: BTreeSet<Event>,
}

/// All that happened in a world.
#[derive(Default)]
pub struct Truth {
    numbers: HashMap<Vec<u8>, Content>,
    digests: HashMap<String, Content>,
    bytes: Vec<Vec<u8>>,
    /// For each contents whether it may not be lost: nobody overwrote it himself.
    wanted: Vec<bool>,
    events: Vec<Happened>,
    by_path: BTreeMap<String, Vec<Event>>,
}

impl Truth {
    /// Notes contents that a person made; returns their number.
    pub fn content(&mut self, bytes: &[u8]) -> Content {
        if let Some(content) = self.numbers.get(bytes) {
            self.wanted[*content] = true;
            return *content;
        }
        let content = self.bytes.len();
        self.numbers.insert(bytes.to_vec(), content);
        if let Ok(digests) = digests_of(bytes) {
            self.digests.insert(hex(&digests.sha256), content);
            self.digests.insert(format!("{:05}", digests.sum), content);
        }
        self.bytes.push(bytes.to_vec());
        self.wanted.push(true);
        content
    }

    /// Returns the number of contents that somebody wrote; `None` if nobody did.
    pub fn known(&self, bytes: &[u8]) -> Option<Content> {
        self.numbers.get(bytes).copied()
    }

    /// Returns the contents with this SHA-256, in hex, or this sum, in five digits.
    pub fn named(&self, hex: &str) -> Option<Content> {
        self.digests.get(hex).copied()
    }

    /// Whether other contents have the sum of these, by which format 1.3 tells them apart.
    pub fn has_sum_of(&self, bytes: &[u8]) -> bool {
        digests_of(bytes).is_ok_and(|it| self.digests.contains_key(&format!("{:05}", it.sum)))
    }

    /// Returns how many contents there are.
    pub fn count(&self) -> usize {
        self.bytes.len()
    }

    /// Returns contents.
    pub fn bytes(&self, content: Content) -> &[u8] {
        &self.bytes[content]
    }

    /// Notes that a person overwrote or deleted contents himself.
    pub fn given_up(&mut self, content: Content) {
        self.wanted[content] = false;
    }

    /// Returns the contents that may not be lost.
    pub fn wanted(&self) -> impl Iterator<Item = Content> + '_ {
        (0..self.bytes.len()).filter(|content| self.wanted[*content])
    }

    /// Notes what a person did at a path, upon what.
    pub fn happen(&mut self, path: &str, what: What, past: &Here) -> Event {
        let event = self.events.len();
        self.events.push(Happened { path: path.to_owned(), what, past: past.clone() });
        self.by_path.entry(path.to_owned()).or_default().push(event);
        event
    }

    /// Notes that a person chose `better` over `worse`.
    pub fn choose(&mut self, better: &Here, worse: &Here) {
        for event in better {
            let others = worse.iter().filter(|other| *other != event);
            self.events[*event].past.extend(others);
        }
    }

    /// Returns the events of a path at which it came to hold this.
    pub fn at(&self, path: &str, what: What) -> Here {
        let all = self.by_path.get(path).into_iter().flatten();
        all.filter(|event| self.events[**event].what == what).copied().collect()
    }

    /// Returns the deletions that were done upon one of these, however long ago.
    pub fn deletions_of(&self, path: &str, old: &Here) -> Here {
        let all = self.at(path, None).into_iter();
        all.filter(|deletion| self.covers(&BTreeSet::from([*deletion]), old)).collect()
    }

    /// Returns what an event left at its path.
    pub fn what(&self, event: Event) -> What {
        self.events[event].what
    }

    /// Whether one of `old` is one of `new`, or something that one of `new` was done upon. Events that
    /// left the same are one: a site to which both came knows what either was done upon, and no disk
    /// shows to which they did.
    pub fn covers(&self, new: &Here, old: &Here) -> bool {
        let mut left: Vec<Event> = new.iter().copied().collect();
        let mut seen: BTreeSet<Event> = new.clone();
        while let Some(event) = left.pop() {
            if old.contains(&event) {
                return true;
            }
            let Happened { path, what, past } = &self.events[event];
            left.extend(past.iter().filter(|past| seen.insert(**past)));
            left.extend(self.at(path, *what).into_iter().filter(|twin| seen.insert(*twin)));
        }
        false
    }

    /// Returns the paths at which anything happened.
    pub fn paths(&self) -> Vec<String> {
        self.by_path.keys().cloned().collect()
    }

    /// Returns what a path should come to hold: that of the one event that nothing was done upon,
    /// with others that left the same; `None` where there are several, or choices go in a circle.
    pub fn newest(&self, path: &str) -> Option<What> {
        let all = self.by_path.get(path)?;
        let one = |event: Event| BTreeSet::from([event]);
        let is_newest = |event: &Event| {
            !all.iter().any(|other| other != event && self.covers(&one(*other), &one(*event)))
        };
        let mut newest = all.iter().filter(|event| is_newest(event)).map(|event| self.what(*event));
        let first = newest.next()?;
        newest.all(|what| what == first).then_some(first)
    }

    /// Shows an event.
    pub fn shown(&self, here: &Here) -> String {
        let one = |event: &Event| {
            let Happened { path, what, past } = &self.events[*event];
            let what = match what {
                None => "deleted".to_owned(),
                Some((content, executable)) => {
                    let text = String::from_utf8_lossy(&self.bytes[*content]).into_owned();
                    let line = text.lines().next().unwrap_or_default().to_owned();
                    format!("{line:?}{}", if *executable { " x" } else { "" })
                }
            };
            format!("e{event} {path} {what} upon {past:?}")
        };
        here.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
