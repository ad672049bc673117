//! Where it is kept what the remotes said of who takes part: `.remsync.d/identities`.
//!
//! Written beside the old one and renamed, so that who looks at it always sees a whole one. Lost, it
//! is heard again.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::Path;

use super::private;
use super::state::{State, StateError};
use crate::format::identities;
use crate::model::identities::Identities;

const NAME: &str = "identities";
const NAME_NEW: &str = "identities.new";

/// Reads what is remembered in the project in `dir`.
///
/// # Errors
/// The file cannot be read, or says what cannot be.
pub fn load(dir: &Path) -> Result<Identities, StateError> {
    let path = State::private_folder(dir).join(NAME);
    match File::open(&path) {
        Ok(file) => Ok(identities::read(BufReader::new(file), &path.to_string_lossy())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Identities::default()),
        Err(source) => Err(StateError::Io { path, act: "cannot be opened", source }),
    }
}

/// Writes it; only who holds the project's lock may.
///
/// # Errors
/// Every failure to write; what was there before is there still.
pub fn save(state: &State, remembered: &Identities) -> Result<(), StateError> {
    let (path, new) = (state.private(NAME), state.private(NAME_NEW));
    let write = || {
        let mut file = private::create(&new)?;
        file.write_all(&identities::print(remembered))?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(State::private_folder(state.dir()))?.sync_all()
    };
    write().map_err(|source| StateError::Io {
        path: path.clone(),
        act: "cannot be written",
        source,
    })
}
