//! `display`: how all sites stand, in the terminal and as a page; what a synchro would do, and what
//! waits for a person.

mod serve;
mod view;

use std::path::Path;

use serde_json::{Value, json};

use crate::edge::program;
use crate::edge::queue::EntryState;
use crate::edge::snapshot::Snapshots;
use crate::edge::ssh::Stop;
use crate::edge::state::State;
use crate::edge::stop;
use crate::format::page;
use crate::model::snapshot::Plan;

use super::check::{Checked, check, describe_site, differing, file_state, tell_errors};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::Session;
use super::synchro::describe_act;
use super::words::{age_words, describe_question, describe_why};

/// Shows it; checks first where the last check is no longer fresh.
///
/// # Errors
/// There is no project, or its state or tree cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let stop = stop::flag().map_err(|error| Failure::new(format!("signals: {error}")))?;
    if session.options.serve {
        return serve::run(session, &directory, &stop);
    }
    let shown = Shown::gather(session, &directory, session.options.force, &stop)?;
    let file = match session.options.dry_run {
        true => None,
        false => {
            let files = Snapshots::new(State::private_folder(&directory));
            Some(files.save_page(&page::print(&view::page(&shown, session.now_ms)))?)
        }
    };
    if session.options.json {
        let mut document = shown.json(session.now_ms);
        document["page"] = file.as_ref().map(|file| file.to_string_lossy().into_owned()).into();
        answer_json(&document);
    } else {
        shown.print(session);
        if let Some(file) = &file {
            answer(format_args!("page: {}", file.display()));
        }
    }
    if let (true, Some(file)) = (session.options.open, &file) {
        open_in_browser(&file.to_string_lossy());
    }
    Ok(shown.outcome())
}

/// All that is shown.
pub struct Shown {
    /// What a check saw, and what follows.
    pub checked: Checked,
    /// What waits for a person beside the plan.
    pub waits: Vec<String>,
    /// Packages that were refused, and why.
    pub refused: Vec<String>,
}

impl Shown {
    /// Gathers it.
    ///
    /// # Errors
    /// As [`check`]; the queue cannot be read.
    pub fn gather(
        session: &Session,
        directory: &Path,
        force: bool,
        stop: &Stop,
    ) -> Result<Shown, Failure> {
        let checked = check(session, directory, force, stop)?;
        let project = State::read(directory)?;
        let questions = project.knowledge.questions.iter();
        let mut waits: Vec<String> =
            questions.map(|question| describe_question(&project, question)).collect();
        let mut refused = Vec::new();
        for entry in session.queue()?.list()? {
            // What is no package has no originator.
            let from = if entry.origin.is_empty() { "" } else { " from " };
            let line = format!("package {}{from}{}: {}", entry.id, entry.origin, entry.reason);
            match entry.state {
                EntryState::Refused => refused.push(line),
                EntryState::Held => waits.push(line),
                _ => {}
            }
        }
        Ok(Shown { checked, waits, refused })
    }

    /// Returns how a command ends that shows it.
    pub fn outcome(&self) -> Outcome {
        let waits = if self.waits.is_empty() { Outcome::Done } else { Outcome::Waits };
        self.checked.outcome().and(waits)
    }

    /// Says in a sentence how things stand.
    pub fn summary(&self) -> String {
        let Checked { snapshot, plan, .. } = &self.checked;
        let differ = counted(differing(snapshot), "file differs", "files differ");
        let ticked = plan.operations.iter().filter(|operation| operation.is_ticked).count();
        let mut line = format!("{differ}; synchro would do {ticked}");
        let waiting = self.waits.len() + plan.operations.len() - ticked;
        if waiting > 0 {
            let verb = if waiting == 1 { "waits" } else { "wait" };
            line += &format!(", {waiting} {verb} for you");
        }
        let down = snapshot.sites.iter().filter(|site| !site.error.0.is_empty()).count();
        if down > 0 {
            line += &format!(", {} not reached", counted(down, "site", "sites"));
        }
        line
    }

    fn print(&self, session: &Session) {
        let Checked { snapshot, plan, .. } = &self.checked;
        let age = age_words(snapshot.checked_ms, session.now_ms);
        answer(format_args!("{}, here {}, checked {age}", snapshot.title, snapshot.here));
        for path in snapshot.files.keys() {
            let state = file_state(snapshot, path);
            if session.options.verbose == 0 && state == "in step" {
                continue;
            }
            let cells = snapshot
                .sites
                .iter()
                .map(|site| site.cells.get(path).map_or("-", |cell| cell.state.as_str()));
            let cells: Vec<&str> = cells.collect();
            answer(format_args!("  {path}: {}", cells.join(" | ")));
        }
        for site in &snapshot.sites {
            answer(format_args!("{}  {}", site.address, describe_site(site, session.now_ms)));
        }
        if !plan.operations.is_empty() {
            answer("synchro would do:");
        }
        for operation in &plan.operations {
            let tick = if operation.is_ticked { "x" } else { " " };
            let why =
                operation.why.map_or_else(String::new, |why| format!(": {}", describe_why(why)));
            let what = describe_act(operation);
            let (path, site) = (&operation.path, &operation.site);
            answer(format_args!("  [{tick}] {path} {what} ({site}){why}"));
        }
        self.waits.iter().for_each(|line| answer(format_args!("waits for you: {line}")));
        self.refused.iter().for_each(|line| answer(format_args!("refused: {line}")));
        tell_errors(snapshot);
        if !session.options.quiet {
            answer(self.summary());
        }
    }

    fn json(&self, now_ms: u64) -> Value {
        let mut document = self.checked.json(now_ms);
        document["waits"] = json!(self.waits);
        document["refused"] = json!(self.refused);
        document
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.checked.plan
    }
}

/// Opens a page in the person's browser; where there is none, says where it is.
fn open_in_browser(place: &str) {
    if let Err(error) = program::open_with_desktop(place) {
        tell(format_args!("remsync: {place}: {error}."));
    }
}
