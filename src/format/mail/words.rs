//! The text of a mail, for somebody who has never heard of us: what this is, and how to open it by
//! hand.

use super::{Letter, PACKAGE_NAME, count, whole_name};
use crate::format::digest::hex;
use crate::format::volume::Place;
use crate::model::path::escaped;

/// Returns the text, lines ended by LF.
pub(super) fn explanation(letter: &Letter) -> String {
    let Letter { from, to, title, files, .. } = letter;
    let seal = if letter.sealed { "sealed " } else { "" };
    let (what, by_hand) = match &letter.volume {
        None => (format!("a {seal}package"), by_hand(letter)),
        Some(volume) => {
            let Place { number, count, .. } = volume.place;
            let what = format!("volume {number} of {count} of a {seal}package");
            (what, volume_by_hand(letter, &volume.place))
        }
    };
    let (project, holds) = match letter.sealed {
        // Only the receiver is to know.
        true => (String::new(), String::new()),
        false => (
            format!("Project:  {}\n", escaped(title.as_bytes())),
            format!("Holds:    {}\n", count(*files)),
        ),
    };
    format!(
        "This mail holds {what} of remsync,\n\
         which keeps trees of files in step among sites by mail.\n\
         \n\
         {project}\
         From:     {from}\n\
         To:       {to}\n\
         {holds}\
         SHA-256:  {sha256}\n\
         \n\
         {by_hand}\
         \n\
         The last makes the folder .remsync-work. In it, the text \"orders\" says which\n\
         of the numbered files belongs where: a line \"update\" begins with the name\n\
         and ends with the number.\n\
         Your mail program may save the attachment under a name with a dot before it.\n",
        sha256 = hex(&letter.sha256),
    )
}

fn by_hand(letter: &Letter) -> String {
    format!(
        "With remsync: deliver this mail to remsync-deliver, or save the attachment\n\
         and run, in the folder of the project,\n\
         \n\
         \x20   remsync process {name}\n\
         \n\
         Without it: the attachment is an ordinary archive{sealed}. These show that it is\n\
         whole, what is in it, and take it out:\n\
         \n\
         {steps}",
        name = whole_name(letter),
        sealed = if letter.sealed { ",\nsealed with age" } else { "" },
        steps = steps(letter),
    )
}

fn volume_by_hand(letter: &Letter, place: &Place) -> String {
    let whole = whole_name(letter);
    let name = place.file_name(&whole);
    let all = format!("{whole}.*of{}", place.count);
    format!(
        "The package was too large for one mail. Its other volumes come in mails of\n\
         their own, in any order; the SHA-256 is that of the whole.\n\
         \n\
         With remsync: deliver each of these mails to remsync-deliver, or save the\n\
         attachments and run, in the folder of the project, for each of them\n\
         \n\
         \x20   remsync process {name}\n\
         \n\
         Without it: save all of them. These join what follows six lines in each,\n\
         show that it is whole, what is in it, and take it out:\n\
         \n\
         \x20   for v in {all}; do tail -n +7 $v; done > {whole}\n\
         {steps}",
        steps = steps(letter),
    )
}

/// What shows that a whole package is whole, what is in it, and takes it out.
fn steps(letter: &Letter) -> String {
    let whole = whole_name(letter);
    let open = match letter.sealed {
        true => format!("\x20   age -d -i KEYFILE {whole} > {PACKAGE_NAME}\n"),
        false => String::new(),
    };
    format!(
        "\x20   sha256sum {whole}\n\
         {open}\
         \x20   tar tzf {PACKAGE_NAME}\n\
         \x20   tar xzf {PACKAGE_NAME}\n"
    )
}
