//! One package on disk: what its orders say, packed as it was hashed.

use std::collections::BTreeSet;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crate::edge::private;
use crate::edge::tree::Stat;
use crate::format::orders as orders_text;
use crate::format::package::{Counts, Level, Writer};
use crate::model::orders::{Act, Orders};
use crate::model::project::{Format, Project};
use crate::model::version::Content;
use crate::model::{Signature, TreePath};
use crate::rules::classic;
use crate::rules::plan::{Outgoing, orders};

use super::super::ground::Ground;
use super::super::outcome::Failure;

/// What packing came to.
pub enum Packed {
    /// The package is written.
    Sound(Box<Orders>),
    /// These files are not what was hashed; nothing is to be sent.
    Changed(BTreeSet<TreePath>),
    /// It would have over the bytes that it may have.
    Over(Over),
}

/// How far a package is over the bytes that it may have.
#[derive(Clone, Copy)]
pub struct Over {
    /// So many were written when that was seen.
    pub bytes: u64,
    /// Whether that was all of it.
    pub is_whole: bool,
}

/// Returns what a package says.
pub fn told(project: &Project, outgoing: &Outgoing, copy: &[usize]) -> Orders {
    let tell = match project.identity.format {
        Format::V2_0 => orders,
        Format::V1_3 => classic::orders,
    };
    tell(&project.identity, &project.knowledge, outgoing, copy)
}

/// Writes the package of at most about `bytes_max`; the bytes packed are the bytes hashed, or it
/// says which are not.
///
/// # Errors
/// The file cannot be written.
pub fn pack(ground: &Ground, told: Orders, file: &Path, bytes_max: u64) -> Result<Packed, Failure> {
    for level in [Level::Usual, Level::Stored] {
        match pack_at(level, ground, &told, file, bytes_max)? {
            Written::Sound => break,
            Written::TooDense => {}
            Written::Changed(changed) => return Ok(Packed::Changed(changed)),
            Written::Over(over) => return Ok(Packed::Over(over)),
        }
    }
    Ok(Packed::Sound(Box::new(told)))
}

/// What writing at one level came to.
enum Written {
    Sound,
    /// A receiver would take it for a bomb.
    TooDense,
    Changed(BTreeSet<TreePath>),
    Over(Over),
}

fn pack_at(
    level: Level,
    ground: &Ground,
    told: &Orders,
    file: &Path,
    bytes_max: u64,
) -> Result<Written, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let out = private::create(file).map_err(at)?;
    let to = BufWriter::with_capacity(1 << 16, out);
    let mut writer = Writer::new(to, level).speaking(told.identity.format);
    writer.orders(&orders_text::print(told), 0).map_err(at)?;
    let mut changed = BTreeSet::new();
    for row in &told.rows {
        let (Act::Update { member, .. }, Content::File(signature)) = (row.act, row.version.content)
        else {
            continue;
        };
        let opened = ground.root.open_file(&row.path);
        let (mut bytes, seen): (Box<dyn Read>, Stat) = match opened {
            Ok((bytes, seen)) => (Box::new(bytes), seen),
            Err(_) => {
                changed.insert(row.path.clone());
                (Box::new(std::io::empty()), NOTHING)
            }
        };
        let Stat { size_bytes, executable, mtime_s, mtime_ns } = seen;
        let written = writer
            .member(member, size_bytes, executable, mtime_s, mtime_ns, &mut bytes)
            .map_err(at)?;
        let packed = match told.identity.format {
            Format::V1_3 => Signature::Sum(written.sum),
            Format::V2_0 => Signature::Sha256 { digest: written.sha256, executable },
        };
        if !written.complete || packed != signature {
            changed.insert(row.path.clone());
        }
        // Files that changed are found out first: without them it may well fit.
        if changed.is_empty() && writer.packed_bytes() > bytes_max {
            return Ok(Written::Over(Over { bytes: writer.packed_bytes(), is_whole: false }));
        }
    }
    if !changed.is_empty() {
        return Ok(Written::Changed(changed));
    }
    let (mut out, counts) = writer.finish_counted().map_err(at)?;
    out.flush().map_err(at)?;
    Ok(match counts {
        Counts { packed_bytes: bytes, .. } if bytes > bytes_max => {
            Written::Over(Over { bytes, is_whole: true })
        }
        counts if counts.keeps_ratio => Written::Sound,
        _ => Written::TooDense,
    })
}

/// Stands for a file that is gone; its package is not sent.
const NOTHING: Stat = Stat { size_bytes: 0, executable: false, mtime_s: 0, mtime_ns: 0 };
