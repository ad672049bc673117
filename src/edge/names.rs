//! The names in a folder.
//!
//! As the system lists them, with no room of its own for each: for folders of very many.

use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Bytes of names asked for at once.
const NAMES_BYTES: usize = 32 << 10;

/// Goes through the names in a folder that is open to be read from its start, in no order, with what
/// is known of their kinds; but for the folder's own and the one's above.
///
/// # Errors
/// What the system says, or `each`.
pub fn each_name(
    folder: impl AsFd,
    mut each: impl FnMut(&[u8], FileType) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type())?;
        }
    }
    Ok(())
}
