//! What is shown, in the words of the page.

use crate::format::page::{FileRow, OperationRow, Page, SiteRow};
use crate::model::snapshot::{Act, SiteShot, Snapshot};
use crate::model::version::Content;
use crate::model::{Signature, TreePath};

use super::super::check::{Checked, describe_site, file_state};
use super::super::synchro::describe_act;
use super::super::words::{age_words, describe_why, local_time};
use super::Shown;

/// Files that the page lists: a browser has to be able to show them.
const FILES_MAX: usize = 5_000;
/// Names of one site that could not be looked at, and are listed.
const NOTES_MAX: usize = 20;
/// Digits of a digest that are shown.
const DIGITS: usize = 8;

/// Returns the page, without forms.
pub fn page(shown: &Shown, now_ms: u64) -> Page {
    let Checked { snapshot, plan, .. } = &shown.checked;
    let checked_ms = snapshot.checked_ms;
    let checked = format!("{} ({})", local_time(checked_ms), age_words(checked_ms, now_ms));
    let sites = snapshot.sites.iter().map(|site| SiteRow {
        address: site.address.clone(),
        directory: site.directory.clone(),
        words: describe_site(site, now_ms),
        error: site.error.0.clone(),
        notes: notes(site),
    });
    let operations = plan.operations.iter().enumerate().map(|(number, operation)| OperationRow {
        number,
        path: operation.path.to_string(),
        site: operation.site.clone(),
        words: describe_act(operation).to_owned(),
        why: operation.why.map_or_else(String::new, |why| describe_why(why).to_owned()),
        is_ticked: operation.is_ticked,
        is_conflict: operation.act == Act::Conflict,
    });
    let (files, more) = files(snapshot);
    Page {
        title: snapshot.title.clone(),
        here: snapshot.here.clone(),
        checked,
        summary: shown.summary(),
        sites: sites.collect(),
        files,
        more,
        operations: operations.collect(),
        waits: shown.waits.clone(),
        refused: shown.refused.clone(),
        ..Page::default()
    }
}

/// Returns what to do about a site, and what could not be looked at there.
fn notes(site: &SiteShot) -> Vec<String> {
    let hint = Some(site.error.1.clone()).filter(|hint| !hint.is_empty());
    let unknown = site.unknown.iter().take(NOTES_MAX).map(|(name, why)| format!("{name}: {why}"));
    let more = site.unknown.len().checked_sub(NOTES_MAX).filter(|more| *more > 0);
    hint.into_iter().chain(unknown).chain(more.map(|more| format!("and {more} more"))).collect()
}

/// Returns the files, those that differ first, and how many are left out.
fn files(snapshot: &Snapshot) -> (Vec<FileRow>, usize) {
    let is_in_step = |path: &&TreePath| file_state(snapshot, path) == "in step";
    let (in_step, differing): (Vec<&TreePath>, Vec<&TreePath>) =
        snapshot.files.keys().partition(|path| is_in_step(path));
    let listed = differing.into_iter().chain(in_step);
    let rows = listed.take(FILES_MAX).map(|path| FileRow {
        path: path.to_string(),
        state: file_state(snapshot, path).to_owned(),
        here: short(snapshot.files.get(path)),
        sites: snapshot
            .sites
            .iter()
            .map(|site| site.cells.get(path).map_or(String::new(), |cell| cell.state.clone()))
            .collect(),
    });
    (rows.collect(), snapshot.files.len().saturating_sub(FILES_MAX))
}

fn short(content: Option<&Content>) -> String {
    match content {
        None => "?".to_owned(),
        Some(Content::Absent) => "–".to_owned(),
        Some(Content::File(signature)) => {
            let executable = signature.executable().unwrap_or(false);
            let digits: String = match signature {
                Signature::Sum(_) => signature.to_string(),
                Signature::Sha256 { .. } => signature.to_string().chars().take(DIGITS).collect(),
            };
            if executable { digits + "x" } else { digits }
        }
    }
}
