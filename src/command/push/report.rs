//! What `push` says at its end: a line for each host, or one JSON document.

use serde_json::{Value, json};

use crate::edge::push::{Logs, Push};

use super::super::outcome::{answer, counted, tell};
use super::super::session::Session;
use super::super::words::size_words;
use super::host::HostResult;

/// Columns that the names of hosts get at most.
const NAME_COLUMNS_MAX: usize = 40;
/// Faults of one host that are shown.
const FAULTS_SHOWN_MAX: usize = 5;

/// Prints a line for each host, and what went wrong.
pub fn print(session: &Session, results: &[HostResult]) {
    let columns = results.iter().map(|result| result.name.chars().count());
    let columns = columns.max().unwrap_or(0).min(NAME_COLUMNS_MAX);
    for result in results {
        answer(format_args!("{:<columns$}  {}", result.name, describe(session, result)));
    }
    for result in results {
        let name = &result.name;
        if let Some((what, hint)) = &result.error {
            tell(format_args!("remsync: {name}: {what}."));
            if !hint.is_empty() {
                tell(format_args!("  hint: {hint}"));
            }
        }
        for (path, why) in result.faults.iter().take(FAULTS_SHOWN_MAX) {
            tell(format_args!("remsync: {name}: {path}: {why}."));
        }
        if let Some(more) = result.faults.len().checked_sub(FAULTS_SHOWN_MAX).filter(|n| *n > 0) {
            tell(format_args!("remsync: {name}: and {more} more."));
        }
        if session.options.verbose > 0 {
            result.warnings.iter().for_each(|w| tell(format_args!("remsync: {name}: {w}.")));
        }
    }
    if session.options.quiet {
        return;
    }
    let failed = results.iter().filter(|result| result.has_failed()).count();
    let hosts = counted(results.len(), "host", "hosts");
    answer(match (results.len(), failed) {
        (0, _) if session.options.retry_failed => "no host failed the last time".to_owned(),
        (_, 0) => format!("{hosts}: done"),
        (_, failed) => format!("{hosts}: {failed} failed (remsync push --retry-failed)"),
    });
}

/// Returns the JSON document.
pub fn document(push: &Push, logs: Option<&Logs>, results: &[HostResult]) -> Value {
    let failed = results.iter().filter(|result| result.has_failed()).count();
    json!({
        "config": push.file.to_string_lossy(),
        "hosts": results.iter().map(host).collect::<Vec<_>>(),
        "summary": {
            "hosts": results.len(),
            "done": results.len() - failed,
            "failed": failed,
            "sent": results.iter().map(|result| result.sent).sum::<usize>(),
            "unchanged": results.iter().map(|result| result.unchanged).sum::<usize>(),
            "bytes": results.iter().map(|result| result.bytes).sum::<u64>(),
        },
        "logs": logs.map(|logs| json!({
            "all": logs.all.to_string_lossy(),
            "errors": logs.errors.to_string_lossy(),
        })),
    })
}

fn host(result: &HostResult) -> Value {
    let first = result.faults.first().map(|(path, why)| format!("{path}: {why}"));
    json!({
        "address": result.address,
        "user": result.user,
        "state": state(result),
        "sent": result.sent,
        "unchanged": result.unchanged,
        "bytes": result.bytes,
        "seconds": (result.seconds * 1000.0).round() / 1000.0,
        "error": result.error.as_ref().map(|(what, _)| what.clone()).or(first),
        "hint": result.error.as_ref().map(|(_, hint)| hint).filter(|hint| !hint.is_empty()),
        "faults": result.faults.iter().map(|(path, why)| json!({ "path": path, "why": why }))
            .collect::<Vec<_>>(),
        "warnings": result.warnings,
    })
}

fn state(result: &HostResult) -> &'static str {
    if result.has_failed() { "failed" } else { "done" }
}

fn describe(session: &Session, result: &HostResult) -> String {
    let sent = if session.options.dry_run { "would be copied" } else { "copied" };
    let mut line = format!("{:<6}  {} {sent}", state(result), result.sent);
    if result.bytes > 0 {
        line += &format!(" ({})", size_words(result.bytes));
    }
    line += &format!(", {} unchanged", result.unchanged);
    if !result.faults.is_empty() {
        line += &format!(", {} failed", result.faults.len());
    }
    line + &format!(", {:.1} s", result.seconds)
}
