//! What the remotes said of who takes part, as it is kept: a block for each, spelled as in
//! `.remsync` 2.0, and the names of what a person let be.
//!
//! A file of our own, not one that sites exchange. Invariant: what is printed is read back the same,
//! but for the format and an empty title, which nobody needs of it.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::project::{self, IdentityLines};
use super::statement::{self, Lines, Statement, TextFault};
use crate::model::Address;
use crate::model::identities::{Heard, Identities};
use crate::model::project::{Format, Identity};

/// A block that is being read.
struct Block {
    from: Address,
    at_ms: u64,
    lines: IdentityLines,
    dropped: BTreeSet<Vec<u8>>,
}

/// Reads it; `file` is what people call it.
///
/// # Errors
/// The first [`TextFault`] found.
pub fn read(reader: impl BufRead, file: &str) -> Result<Identities, TextFault> {
    let mut lines = Lines::new(reader, file);
    let mut identities = Identities::default();
    let mut block: Option<Block> = None;
    while let Some(line) = lines.next_statement()? {
        match (line.keyword, &mut block) {
            (b"from", _) => {
                let next = begin(&line)?;
                let done = block.replace(next);
                push(&mut identities, done, |why| line.fault(why))?;
            }
            (b"declined", _) => {
                identities.declined.insert(name(&line)?);
            }
            (b"dropped", Some(block)) => {
                block.dropped.insert(name(&line)?);
            }
            (_, Some(block)) => {
                if !block.lines.take(&line)? {
                    return Err(line.fault("an unknown keyword"));
                }
            }
            (_, None) => return Err(line.fault("a line before \"from\"")),
        }
    }
    push(&mut identities, block, |why| lines.fault(why))?;
    Ok(identities)
}

/// Returns its text.
pub fn print(identities: &Identities) -> Vec<u8> {
    let mut out = Vec::new();
    let push_name = |out: &mut Vec<u8>, keyword: &str, name: &[u8]| {
        out.extend_from_slice(keyword.as_bytes());
        out.push(b'\t');
        statement::push_bytes(out, Format::V2_0, name);
        out.push(b'\n');
    };
    for heard in &identities.heard {
        out.extend_from_slice(format!("from\t{} {}\n", heard.from, heard.at_ms).as_bytes());
        let title = if heard.identity.title.is_empty() { "-" } else { &heard.identity.title };
        let title = title.to_owned();
        let identity = Identity { format: Format::V2_0, title, ..heard.identity.clone() };
        project::push_sites(&identity, &mut out);
        project::push_patterns(&identity, &mut out);
        heard.dropped.iter().for_each(|name| push_name(&mut out, "dropped", name));
    }
    identities.declined.iter().for_each(|name| push_name(&mut out, "declined", name));
    out
}

fn begin(line: &Statement<'_>) -> Result<Block, TextFault> {
    let mut words = line.words()?;
    let address = String::from_utf8_lossy(words.need("address")?).into_owned();
    let from = Address::new(&address).map_err(|fault| line.fault(fault.to_string()))?;
    let at_ms = words.number("time", 0, u64::MAX)?;
    words.end()?;
    Ok(Block { from, at_ms, lines: IdentityLines::default(), dropped: BTreeSet::new() })
}

fn name(line: &Statement<'_>) -> Result<Vec<u8>, TextFault> {
    line.check(statement::bytes(Format::V2_0, line.only("name")?))
}

fn push(
    identities: &mut Identities,
    block: Option<Block>,
    fault: impl Fn(&'static str) -> TextFault,
) -> Result<(), TextFault> {
    if let Some(Block { from, at_ms, lines, dropped }) = block {
        let identity = lines.finish(fault)?;
        identities.heard.push(Heard { from, at_ms, identity, dropped });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Site;

    fn site(address: &str, directory: Option<&[u8]>) -> Site {
        Site { address: Address::new(address).unwrap(), directory: directory.map(Into::into) }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let identity = |title: &str, here: &str| Identity {
            format: Format::V2_0,
            title: title.into(),
            here: site(here, Some(b"/a b\xff")),
            hosts: Vec::new(),
            remotes: vec![site("b@x", None), site("d@x", Some(b"~/d"))],
            scans: vec![b"a b".to_vec()],
            ignores: vec![b".*~".to_vec(), b"\xff\n%".to_vec()],
        };
        let name = |name: &str| name.as_bytes().to_vec();
        let heard = |from: &str, dropped: &[&str]| Heard {
            from: Address::new(from).unwrap(),
            at_ms: 7,
            identity: identity("A title", from),
            dropped: dropped.iter().map(|d| name(d)).collect(),
        };
        let identities = Identities {
            heard: vec![heard("a@x", &["remote:e@x", "ignore:a b"]), heard("c@x", &[])],
            declined: [name("learn scan:x y"), name("home:d@x /d")].into(),
        };
        for identities in [identities, Identities::default()] {
            let text = print(&identities);
            assert_eq!(read(text.as_slice(), "identities").unwrap(), identities);
        }
        for text in ["x\ty\n", "dropped\tx\n", "remote\ta@x -\n", "from\ta@x\n", "from\ta@x 1\n"] {
            assert!(read(text.as_bytes(), "identities").is_err(), "{text}");
        }
    }
}
