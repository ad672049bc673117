//! The text of a mail, for somebody who has never heard of us: what this is, and how to open it by
//! hand.

use super::{Letter, PACKAGE_NAME, count};
use crate::format::digest::hex;
use crate::format::volume::Place;
use crate::model::path::escaped;

/// Returns the text, lines ended by LF.
pub(super) fn explanation(letter: &Letter) -> String {
    let Letter { from, to, title, files, .. } = letter;
    let (what, by_hand) = match &letter.volume {
        None => ("a package".to_owned(), by_hand()),
        Some(volume) => {
            let Place { number, count, .. } = volume.place;
            (format!("volume {number} of {count} of a package"), volume_by_hand(&volume.place))
        }
    };
    format!(
        "This mail holds {what} of remsync,\n\
         which keeps trees of files in step among sites by mail.\n\
         \n\
         Project:  {title}\n\
         From:     {from}\n\
         To:       {to}\n\
         Holds:    {files}\n\
         SHA-256:  {sha256}\n\
         \n\
         {by_hand}\
         \n\
         The last makes the folder .remsync-work. In it, the text \"orders\" says which\n\
         of the numbered files belongs where: a line \"update\" begins with the name\n\
         and ends with the number.\n\
         Your mail program may save the attachment under a name with a dot before it.\n",
        title = escaped(title.as_bytes()),
        files = count(*files),
        sha256 = hex(&letter.sha256),
    )
}

fn by_hand() -> String {
    format!(
        "With remsync: deliver this mail to remsync-deliver, or save the attachment\n\
         and run, in the folder of the project,\n\
         \n\
         \x20   remsync process {PACKAGE_NAME}\n\
         \n\
         Without it: the attachment is an ordinary archive. These show that it is\n\
         whole, what is in it, and take it out:\n\
         \n\
         \x20   sha256sum {PACKAGE_NAME}\n\
         \x20   tar tzf {PACKAGE_NAME}\n\
         \x20   tar xzf {PACKAGE_NAME}\n"
    )
}

fn volume_by_hand(place: &Place) -> String {
    let name = place.file_name(PACKAGE_NAME);
    let all = format!("{PACKAGE_NAME}.*of{}", place.count);
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
         \x20   for v in {all}; do tail -n +7 $v; done > {PACKAGE_NAME}\n\
         \x20   sha256sum {PACKAGE_NAME}\n\
         \x20   tar tzf {PACKAGE_NAME}\n\
         \x20   tar xzf {PACKAGE_NAME}\n"
    )
}
