//! What really happened to one path: every write with its true causal past, by exact names.
//!
//! Not what the sites believe: nothing here is read from a row, a version or a history, so that the
//! rules can be found wrong. Invariant: no event is in its own past.

use remsync::model::version::Content;

/// A set of events of one path.
pub type Events = u128;

/// How many events one path may have in one run.
pub const EVENTS_MAX: usize = 128;

/// What a site truly has for a path, and all that led to it or was chosen against for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The write whose contents are there; `None` where nothing ever was.
    pub event: Option<u8>,
    /// It, and others with the same contents that were found to be here too.
    pub heads: Events,
    /// The events that it descends from.
    pub past: Events,
}

/// All events of one path.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    contents: Vec<Content>,
    /// For each event its past when it was written.
    born: Vec<Events>,
    /// For each event it and those with the same contents that neither was written over.
    twins: Vec<Events>,
    /// For each event all that any site ever had in its past.
    ever: Vec<Events>,
    /// Two people chose oppositely here: of two events, each was chosen against for the other.
    pub is_opposed: bool,
    /// A state was lost or rolled back here: versions are named anew.
    pub is_lossy: bool,
    /// A spent tombstone was forgotten here.
    pub is_forgotten: bool,
}

fn bit(event: u8) -> Events {
    1 << event
}

impl State {
    /// Returns the past and what is there itself.
    pub fn closed(&self) -> Events {
        self.past | self.heads
    }

    /// Whether all that `other` is truly is among this one's ancestors.
    pub fn descends_from(&self, other: &State) -> bool {
        other.heads != 0 && other.heads & !self.past == 0
    }

    /// Adds to the past; no event is in its own.
    pub fn add(&mut self, past: Events) {
        self.past |= past;
        self.heads = self.heads & !past | self.event.map_or(0, bit);
        self.past &= !self.heads;
    }
}

impl Truth {
    /// Whether the run has used up its events.
    pub fn is_full(&self) -> bool {
        self.contents.len() + 24 > EVENTS_MAX
    }

    /// Whether no event more can be named.
    pub fn is_over(&self) -> bool {
        self.contents.len() >= EVENTS_MAX
    }

    /// Notes a write of `content`, on top of `past`.
    pub fn write(&mut self, content: Content, past: Events) -> State {
        let event = self.contents.len() as u8;
        assert!(self.contents.len() < EVENTS_MAX, "the storm writes too much");
        self.contents.push(content);
        self.born.push(past);
        let mut twins = bit(event);
        for other in 0..event {
            if past & bit(other) == 0 && self.contents[usize::from(other)] == content {
                twins |= bit(other);
                self.twins[usize::from(other)] |= bit(event);
            }
        }
        self.twins.push(twins);
        self.ever.push(0);
        let state = State { event: Some(event), heads: bit(event), past };
        self.note(&state);
        state
    }

    /// Returns what is in the file in a state.
    pub fn content(&self, state: &State) -> Content {
        state
            .event
            .and_then(|event| self.contents.get(usize::from(event)).copied())
            .unwrap_or(Content::Absent)
    }

    /// Returns the contents that were ever written.
    pub fn contents(&self) -> &[Content] {
        &self.contents
    }

    /// Whether `old` may give way to `new` with no question asked: it, or the same contents that
    /// somebody else wrote, is in what `new` descends from.
    /// But what `old` itself was written over does not count: a return to old contents is news.
    pub fn covers(&self, old: &State, new: &State) -> bool {
        old.event.is_none_or(|event| new.closed() & self.twins[usize::from(event)] != 0)
    }

    /// Joins two states with the same contents: the later of the two, with both pasts.
    pub fn join_same(&mut self, here: &State, other: &State) -> State {
        let is_later = match (here.event, other.event) {
            (Some(here), Some(other)) => self.born[usize::from(other)] & bit(here) != 0,
            (here, _) => here.is_none(),
        };
        let mut joined = if is_later { *other } else { *here };
        joined.heads = here.heads | other.heads;
        joined.add(here.past | other.past);
        self.note(&joined);
        joined
    }

    /// Notes a state's past for good, and whether two events are now each in the other's.
    pub fn note(&mut self, state: &State) {
        let Some(event) = state.event else { return };
        if state.past & !self.ever[usize::from(event)] == 0 {
            return;
        }
        self.ever[usize::from(event)] |= state.past;
        let mine = self.twins[usize::from(event)];
        self.is_opposed |= each(self.ever[usize::from(event)])
            .flat_map(|other| each(self.twins[other]))
            .any(|twin| self.ever[twin] & mine != 0);
    }
}

/// Returns the numbers of the events in a set.
fn each(events: Events) -> impl Iterator<Item = usize> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let next = (rest != 0).then(|| rest.trailing_zeros() as usize);
        rest &= rest.wrapping_sub(1);
        next
    })
}
