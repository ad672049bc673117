//! `upgrade`: a project of format 1.3 goes over to 2.0.

use serde_json::json;

use crate::edge::outbox::Outbox;
use crate::edge::state::State;
use crate::model::knowledge::Knowledge;
use crate::model::project::{Format, Identity, Project};
use crate::rules::classic::is_untold;
use crate::rules::observe::record;

use super::ground::Ground;
use super::open::OpenProject;
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::Session;
use super::survey::survey;

/// Makes the project speak format 2.0.
///
/// What is believed of the others goes: a sum of 16 bits says too little. Every file that is here
/// becomes a first version, so that trees which are the same are in step after one inventory, and
/// what differs is asked about.
///
/// # Errors
/// It speaks 2.0 already, something waits for an answer, or its tree or files cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let mut open = OpenProject::open(session, &session.project_directory()?)?;
    check(&open)?;
    let identity = Identity { format: Format::V2_0, ..open.project.identity.clone() };
    let mut knowledge = Knowledge::new(identity.remotes.len());
    knowledge.clock = open.project.knowledge.clock;
    let known = open.project.knowledge.rows.len();
    let ground = Ground::open(session, open.state.dir(), &identity)?;
    let mut project = Project { identity, knowledge };
    let survey = survey(session, &ground.root, &ground.selection, &project)?;
    survey.tell();
    if survey.scan.root_is_empty && known > 0 {
        return Err(Failure::new("the folder is empty: an unmounted disk?")
            .hinted("nothing was changed; mount it, and upgrade then"));
    }
    record(&mut project.knowledge, &survey.differences, session.now_ms);
    let files = project.knowledge.rows.len();
    if !session.options.dry_run {
        let outbox = Outbox::open(&State::private_folder(open.state.dir()));
        open.state.save(&project)?;
        // What lies there is written in the old format.
        for note in outbox.notes()? {
            outbox.remove(&note.to)?;
        }
    }
    let directory = open.state.dir().display().to_string();
    if session.options.json {
        answer_json(&json!({ "directory": directory, "format": "remsync 2.0", "files": files }));
    } else if !session.options.quiet {
        let speaks = if session.options.dry_run { "would speak" } else { "speaks" };
        let files = counted(files, "file", "files");
        answer(format_args!("{directory} {speaks} remsync 2.0 now: {files}"));
        tell_others(&project);
    }
    Ok(survey.outcome())
}

/// Checks that nothing is left that only format 1.3 could say.
fn check(open: &OpenProject) -> Result<(), Failure> {
    let Project { identity, knowledge } = &open.project;
    if identity.format == Format::V2_0 {
        return Err(Failure::new("it speaks remsync 2.0 already")
            .hinted("a site that still speaks 1.3 has to upgrade itself"));
    }
    if identity.title.trim().is_empty() {
        return Err(Failure::new("format 2.0 needs a title")
            .hinted("\"title TEXT\" gives it one, the same at all sites"));
    }
    if !knowledge.questions.is_empty() {
        let questions = counted(knowledge.questions.len(), "file waits", "files wait");
        return Err(Failure::new(format!("{questions} for an answer"))
            .hinted("\"pending\" lists them, \"resolve\" answers; upgrade then"));
    }
    let untold = knowledge.rows.values().filter(|row| is_untold(row)).count();
    if untold > 0 && !identity.remotes.is_empty() {
        let deletions = counted(untold, "deletion was", "deletions were");
        return Err(Failure::new(format!("{deletions} not told to everybody yet"))
            .hinted("\"broadcast\" tells them; upgrade then, or the files come back"));
    }
    Ok(())
}

/// Says plainly what it asks of the others.
fn tell_others(project: &Project) {
    if project.identity.remotes.is_empty() {
        return;
    }
    tell(
        "  Every other site has to run \"remsync upgrade\" too. Until it did, it holds our packages,",
    );
    tell(
        "  and we hold its: nothing is lost, nothing is applied. GNU remsync cannot read 2.0 at all:",
    );
    tell("  a site that uses it has to change over to this program, or all stay with 1.3.");
    tell(
        "  Then \"remsync -i b\" at each tells who has what; only what differs is mailed after that.",
    );
}
