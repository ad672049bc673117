//! The packages that one plan becomes: how it is split where it would pass a bound, and whether a
//! package that no carrier accepted still says what there is to say.
//!
//! Invariant: every part builds on the one before, so that a lost one shows, and the parts together
//! carry what the plan carries.

use std::collections::BTreeMap;

use crate::model::TreePath;
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::Format;

use super::plan::{Outgoing, OutgoingRow, With};

/// How much one package may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes before they are packed. One file goes in any case.
    pub bytes_max: u64,
    /// Files and deletions; 0 is the list alone.
    pub members_max: u32,
}

/// Which part of a plan is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first: in format 2.0 it tells every row.
    First,
    /// A later one: in format 2.0 it tells only what it carries.
    Later,
}

/// How much of its plan a package carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// A part: others carry the rest.
    Part,
    /// Either, and some of its bytes are on their way already.
    Begun,
}

/// Cuts the next part off a plan; returns it and what is left. `sizes` are in bytes.
///
/// In 2.0 the first part tells every row, and each later one builds on the one before. In 1.3 each
/// tells every file, for one that is not listed counts as deleted.
pub fn carve(
    format: Format,
    plan: &Outgoing,
    turn: Turn,
    sizes: &dyn Fn(&TreePath) -> u64,
    room: Room,
) -> (Outgoing, Option<Outgoing>) {
    let (mut bytes, mut members) = (0_u64, 0);
    let mut is_full = false;
    let mut fits = |row: &OutgoingRow| {
        let more = sizes(&row.path);
        let is_over = bytes.saturating_add(more) > room.bytes_max || members >= room.members_max;
        is_full |= is_over && (members > 0 || room.members_max == 0);
        if !is_full {
            bytes = bytes.saturating_add(more);
            members += 1;
        }
        !is_full
    };
    let is_carried: Vec<bool> =
        plan.rows.iter().map(|row| row.with == With::Contents && fits(row)).collect();
    if !is_full {
        return (plan.clone(), None);
    }
    let tells_all = format == Format::V1_3 || turn == Turn::First;
    let (mut part, mut rest) = (Vec::new(), Vec::new());
    for (row, is_carried) in plan.rows.iter().zip(is_carried) {
        let told = OutgoingRow { with: With::Nothing, ..row.clone() };
        let is_left = row.with == With::Contents && !is_carried;
        if is_carried || tells_all {
            part.push(if is_left { told.clone() } else { row.clone() });
        }
        if is_left || format == Format::V1_3 {
            rest.push(if is_left { row.clone() } else { told });
        }
    }
    let rest = match format {
        Format::V1_3 => Outgoing { serial: plan.serial + 1, rows: rest, ..plan.clone() },
        Format::V2_0 => Outgoing {
            serial: plan.serial + 1,
            since: Some(plan.serial),
            want_all: false,
            wants: Vec::new(),
            rows: rest,
            ..plan.clone()
        },
    };
    (Outgoing { rows: part, ..plan.clone() }, Some(rest))
}

/// Whether a package that was not sent says just what a plan made now would say to its receiver, so
/// that the very same bytes may be tried again. `fresh` are the orders of the whole new plan.
///
/// Serials and columns do not count: they tell of the moment and of other sites. Of a part of a
/// plan, what it carries has to be due still, and the rest may follow it; what it builds on has to
/// be among `issued`, or this site has gone back in time since. One that has begun to go is like
/// one that is late: what it carries has to be due still, and what changed since is told after it.
pub fn stands(unsent: &Orders, fresh: &Orders, extent: Extent, issued: &[u64]) -> bool {
    let is_begun = extent == Extent::Begun;
    let is_of_now = is_begun || unsent.seen == fresh.seen;
    if unsent.identity != fresh.identity || unsent.visit != fresh.visit || !is_of_now {
        return false;
    }
    let rows: BTreeMap<&TreePath, &OrderRow> =
        fresh.rows.iter().map(|row| (&row.path, row)).collect();
    let lists_all = unsent.rows.len() == fresh.rows.len();
    let is_whole = extent == Extent::Whole;
    let is_classic = fresh.identity.format == Format::V1_3;
    let is_same_tale = unsent.since == fresh.since
        && unsent.want_all == fresh.want_all
        && unsent.wants == fresh.wants;
    let is_known = |since: &u64| issued.contains(since);
    let builds_on_ours = unsent.since == fresh.since || unsent.since.as_ref().is_some_and(is_known);
    (is_same_tale || !is_whole)
        && builds_on_ours
        && (lists_all || !(is_whole || is_classic))
        && unsent.rows.iter().all(|row| {
            is_begun && row.act == Act::Tell
                || rows
                    .get(&row.path)
                    .is_some_and(|fresh| row_stands(row, fresh, extent, is_classic))
        })
}

fn row_stands(unsent: &OrderRow, fresh: &OrderRow, extent: Extent, is_classic: bool) -> bool {
    let is_same = unsent.version == fresh.version && unsent.history == fresh.history;
    let carries = |row: &OrderRow| match row.act {
        Act::Tell => None,
        Act::Update { expected, .. } | Act::Remove { expected } => Some(expected),
    };
    match (carries(unsent), carries(fresh)) {
        (None, None) => is_same,
        (Some(ours), Some(due)) => is_same && ours == due,
        // Another part carries it. In 1.3 it rests here: what is told is what is believed there.
        (None, Some(_)) => extent != Extent::Whole && (is_same || is_classic),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::project::Identity;
    use crate::model::version::{Content, History, Version};
    use crate::model::{Address, Belief, Signature, Site};

    const YES: With = With::Contents;
    const NO: With = With::Nothing;

    fn path(name: &str) -> TreePath {
        TreePath::new(name.as_bytes()).unwrap()
    }

    fn rows(with: &str) -> Vec<OutgoingRow> {
        let names = ["a", "b", "c", "d"].iter().zip(with.chars());
        let told = names.filter(|(_, with)| *with != ' ');
        let with = |with| if with == 'y' { YES } else { NO };
        told.map(|(name, c)| OutgoingRow { path: path(name), with: with(c) }).collect()
    }

    fn plan(with: &str) -> Outgoing {
        Outgoing {
            remote: 0,
            serial: 10,
            since: Some(4),
            seen: None,
            want_all: true,
            wants: vec![path("w")],
            rows: rows(with),
        }
    }

    fn carve_all(format: Format, plan: Outgoing, room: Room) -> Vec<Outgoing> {
        let mut parts = Vec::new();
        let (mut left, mut turn) = (Some(plan), Turn::First);
        while let Some(plan) = left {
            let (part, rest) = carve(format, &plan, turn, &|_| 10, room);
            parts.push(part);
            (left, turn) = (rest, Turn::Later);
        }
        parts
    }

    #[test]
    fn plans_are_cut_to_fit() {
        let table: [(u64, u32, &[&str], &[&str]); 4] = [
            (100, 3, &["ynyy"], &["ynyy"]),
            (100, 2, &["ynyn", "nnny"], &["ynyn", "   y"]),
            (29, 9, &["ynyn", "nnny"], &["ynyn", "   y"]),
            (1, 9, &["ynnn", "nnyn", "nnny"], &["ynnn", "  y ", "   y"]),
        ];
        for (bytes_max, members_max, classic, ours) in table {
            let room = Room { bytes_max, members_max };
            for (format, want) in [(Format::V1_3, classic), (Format::V2_0, ours)] {
                let parts = carve_all(format, plan("ynyy"), room);
                let told: Vec<_> = parts.iter().map(|part| part.rows.clone()).collect();
                let want: Vec<_> = want.iter().map(|with| rows(with)).collect();
                assert_eq!(told, want, "{format}: {room:?}");
                assert!(parts.iter().zip(10..).all(|(part, serial)| part.serial == serial));
                for (before, after) in parts.iter().zip(&parts[1..]) {
                    if format == Format::V2_0 {
                        assert_eq!(after.since, Some(before.serial));
                        assert!(!after.want_all && after.wants.is_empty());
                    }
                }
            }
        }
        let quiet = plan("nnnn");
        let room = Room { bytes_max: 1, members_max: 1 };
        assert_eq!(carve_all(Format::V2_0, quiet.clone(), room), [quiet]);
    }

    /// Orders to one remote: `a=1 b+2 c-` tells a, carries b, removes c; the digit is the version.
    fn orders(format: Format, since: Option<u64>, seen: Option<u64>, rows: &str) -> Orders {
        let site = |name: &str| Site { address: Address::new(name).unwrap(), directory: None };
        let expected = Belief::Unknown;
        let row = |(at, word): (usize, &str)| {
            let name = &word[..1];
            let number: u64 = word[2..].parse().unwrap_or(9);
            let file = Content::File(Signature::Sum(number as u16));
            let (act, content) = match &word[1..2] {
                "=" => (Act::Tell, file),
                "+" => (Act::Update { expected, member: at as u32 + 1 }, file),
                _ => (Act::Remove { expected }, Content::Absent),
            };
            let version = Version { generation: number, content };
            let columns = vec![Belief::Unknown];
            OrderRow { path: path(name), version, history: History::new(), columns, act }
        };
        Orders {
            is_oldest: false,
            identity: Identity {
                format,
                title: "t".into(),
                here: site("a@x"),
                remotes: vec![site("b@x"), site("c@x")],
                scans: Vec::new(),
                hosts: Vec::new(),
                ignores: Vec::new(),
            },
            visit: 0,
            copy: vec![0],
            serial: 10,
            since,
            seen,
            want_all: false,
            wants: Vec::new(),
            rows: rows.split_whitespace().enumerate().map(row).collect(),
        }
    }

    #[test]
    fn a_package_stands_until_there_is_something_else_to_say() {
        let (all, part, begun) = (Extent::Whole, Extent::Part, Extent::Begun);
        let table = [
            ("the same", "a=1 b+2 c-3", "a=1 b+2 c-3", all, true, true),
            ("a new version", "a=1 b+2", "a=1 b+3", all, false, false),
            ("one more file", "a=1 b+2", "a=1 b+2 c+1", all, false, false),
            ("one less", "a=1 b+2", "b+2", all, false, false),
            ("told, and due now", "a=1 b+2", "a+1 b+2", all, false, false),
            ("due no more", "a=1 b+2", "a=1 b=2", all, false, false),
            ("deleted now", "b+2", "b-3", all, false, false),
            ("a first part", "a=1 b+2 c=4", "a=1 b+2 c+4", part, true, true),
            ("of it a version is new", "a=1 b+2 c=4", "a=7 b+2 c+4", part, false, false),
            ("what the rest carries is new", "a=1 b+2 c=4", "a=1 b+2 c+5", part, false, true),
            ("a later part", "c+4", "a=1 b=2 c+4 d+5", part, true, false),
            ("of it something is there", "c+4 d+5", "a=1 b=2 c=4 d+5", part, false, false),
            ("begun, and news since", "a=1 b+2", "a=7 b+2 c+1", begun, true, false),
            ("begun, and a new version", "a=1 b+2", "a=1 b+3", begun, false, false),
            ("begun, and due no more", "a=1 b+2", "a=1 b=2", begun, false, false),
        ];
        for (name, unsent, fresh, extent, ours, classic) in table {
            for (format, want) in [(Format::V2_0, ours), (Format::V1_3, classic)] {
                let unsent = orders(format, None, Some(3), unsent);
                let mut fresh = orders(format, None, Some(3), fresh);
                fresh.serial = 99;
                fresh.copy = vec![0, 1];
                fresh.rows.iter_mut().for_each(|row| row.columns.push(Belief::Absent));
                assert_eq!(stands(&unsent, &fresh, extent, &[]), want, "{format}: {name}");
            }
        }
    }

    #[test]
    fn what_is_acknowledged_or_asked_makes_another_package() {
        let of = |since, seen| orders(Format::V2_0, since, seen, "a+1");
        let unsent = of(Some(2), Some(3));
        let mut wants = of(Some(2), Some(3));
        wants.wants = vec![path("w")];
        let mut identity = unsent.clone();
        identity.identity.scans.push(b"src".to_vec());
        for (name, fresh, whole, part) in [
            ("the same", of(Some(2), Some(3)), true, true),
            ("it has seen more", of(Some(3), Some(3)), false, true),
            ("we have seen more", of(Some(2), Some(4)), false, false),
            ("something is wanted", wants, false, true),
            ("a scan more", identity, false, false),
        ] {
            assert_eq!(stands(&unsent, &fresh, Extent::Whole, &[2]), whole, "{name}");
            assert_eq!(stands(&unsent, &fresh, Extent::Part, &[2]), part, "{name}");
            let begun = part || name == "we have seen more";
            assert_eq!(stands(&unsent, &fresh, Extent::Begun, &[2]), begun, "{name}");
            let forgot = stands(&unsent, &fresh, Extent::Part, &[]);
            assert_eq!(forgot, part && fresh.since == Some(2), "{name}");
        }
    }
}
