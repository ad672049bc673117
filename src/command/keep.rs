//! Housekeeping at the end of a command: copies that merges will need, and what is kept no longer.
//!
//! Nothing here fails a command: what goes wrong is logged, and tried again by the next.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use crate::edge::kept::{Bases, DAY_MS, Policy, prune};
use crate::edge::private;
use crate::edge::runs::{self, RUNS_BYTES_MAX};
use crate::edge::state::State;
use crate::model::knowledge::{Cell, Knowledge, Row};
use crate::model::project::Format;
use crate::model::version::{Content, History, Prefix};
use crate::model::{Signature, TreePath};

use super::open::{OpenProject, RUNS};
use super::session::Session;

/// Says by its time when the store was last pruned.
const PRUNED: &str = "pruned";

/// Keeps copies of what was just settled with some other site: a person's next edit overwrites it,
/// and a merge of that with theirs needs it. Format 1.3 has no histories to find it by again.
pub fn keep_bases(session: &Session, open: &OpenProject, touched: &BTreeSet<TreePath>) {
    if open.project.identity.format == Format::V1_3 || session.base_bytes_max() == 0 {
        return;
    }
    let rows = &open.project.knowledge.rows;
    let settled = touched.iter().filter_map(|path| {
        let row = rows.get(path).filter(|row| is_shared(row))?;
        Some((path, digest_of(&row.version.content)?))
    });
    let settled: Vec<(&TreePath, [u8; 32])> = settled.collect();
    if settled.is_empty() {
        return;
    }
    let kept = Bases::open(&open.ground.root, session.base_bytes_max()).and_then(|bases| {
        settled.iter().try_for_each(|(path, digest)| bases.keep(path, digest).map(drop))
    });
    if let Err(error) = kept {
        log::warn!("{error}");
    }
}

/// Prunes the store of kept versions, the bases and the run history, at most once a day.
pub fn tidy_up(session: &Session, open: &OpenProject) {
    let stamp = open.state.private(PRUNED);
    let keep_ms = session.keep_ms();
    let is_due = match fs::metadata(&stamp).and_then(|metadata| metadata.modified()) {
        Ok(at) => {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
            u128::from(session.now_ms) >= at + u128::from(DAY_MS.min(keep_ms))
        }
        Err(_) => true,
    };
    if !is_due || session.options.dry_run {
        return;
    }
    // What is needed is needed by every file, those too that had nothing to say.
    let whole = open.state.is_part().then(|| State::read(open.state.dir())).transpose();
    let whole = match whole {
        Ok(whole) => whole,
        Err(error) => return log::warn!("{error}"),
    };
    let knowledge = &whole.as_ref().unwrap_or(&open.project).knowledge;
    if let Err(error) = private::create(&stamp)
        .and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_millis(session.now_ms)))
    {
        log::warn!("{}: {error}", stamp.display());
        return;
    }
    let policy = Policy {
        keep_ms,
        bytes_max: session.keep_bytes_max(),
        base_bytes_max: session.base_bytes_max(),
        now_ms: session.now_ms,
    };
    let needed = needed(knowledge);
    let bases = bases(knowledge);
    let pruned =
        prune(&open.ground.root, &policy, &|digest| needed.contains(&digest[..8]), &|digest| {
            bases.contains(digest) || needed.contains(&digest[..8])
        });
    match pruned {
        Ok(pruned) => log::info!("pruned {} kept versions, {} bytes", pruned.files, pruned.bytes),
        Err(error) => log::warn!("{error}"),
    }
    let oldest_ms = session.now_ms.saturating_sub(keep_ms);
    if let Err(error) = runs::prune(&open.state.private(RUNS), oldest_ms, RUNS_BYTES_MAX) {
        log::warn!("{error}");
    }
}

/// Whether some remote is known to have, or to be getting, just what is here.
fn is_shared(row: &Row) -> bool {
    let is_it = |cell: &Cell| {
        let word = cell.word.as_ref();
        let mut on_its_way = [cell.sent, cell.heard].into_iter().flatten();
        word.is_some_and(|word| word.version.content == row.version.content)
            || on_its_way.any(|sent| sent.version == row.version.ancestor())
    };
    row.cells.iter().any(is_it)
}

/// Returns what a merge may begin from that is known by the beginning of its digest only.
fn needed(knowledge: &Knowledge) -> BTreeSet<Vec<u8>> {
    let mut needed = BTreeSet::new();
    let mut need = |history: &History| {
        let prefixes = history.iter().filter_map(|ancestor| ancestor.prefix);
        needed.extend(prefixes.map(|Prefix { digits, .. }| digits.to_vec()));
    };
    for question in &knowledge.questions {
        need(&question.history);
    }
    for cell in knowledge.rows.values().flat_map(|row| &row.cells) {
        // What is on its way may be edited at both ends before anybody says that it came.
        let on_its_way = [cell.sent, cell.heard].into_iter().flatten();
        let prefixes = on_its_way.filter_map(|sent| sent.version.prefix);
        needed.extend(prefixes.map(|Prefix { digits, .. }| digits.to_vec()));
    }
    needed
}

/// Returns what a later merge may begin from: what is here, and what remotes have by their word.
fn bases(knowledge: &Knowledge) -> BTreeSet<[u8; 32]> {
    let mut bases = BTreeSet::new();
    for row in knowledge.rows.values() {
        bases.extend(digest_of(&row.version.content));
        let words = row.cells.iter().filter_map(|cell| cell.word.as_ref());
        bases.extend(words.filter_map(|word| digest_of(&word.version.content)));
    }
    bases
}

fn digest_of(content: &Content) -> Option<[u8; 32]> {
    match content {
        Content::File(Signature::Sha256 { digest, .. }) => Some(*digest),
        _ => None,
    }
}
