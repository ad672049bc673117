//! Orders of before format 1.3: the commands `version`, `from`, `sum` and `if` of the manual of 1994,
//! which were fed to the program as they came.
//!
//! They name no project and no receiver: [`Orders::for_project`] puts in what they lack.

use std::collections::BTreeMap;

use super::super::statement::{self, Statement, TextFault};
use crate::model::limits::{PACKAGE_MEMBERS_MAX, REMOTES_MAX};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::{Format, Identity};
use crate::model::{Address, Belief, History, Site, TreePath, Version};

/// The keywords, in full: nobody abbreviates in a file.
const KEYWORDS: [&[u8]; 4] = [b"version", b"from", b"sum", b"if"];

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    has_version: bool,
    from: Vec<Address>,
    rows: BTreeMap<TreePath, OrderRow>,
    /// Which of the numbers that were named belong to an `if`; `[0]` is number 1.
    members: Vec<bool>,
}

/// Whether such orders begin with this line; comments and blank lines may stand before.
pub(super) fn begins(line: &Statement<'_>) -> bool {
    words(line).next().is_some_and(|keyword| KEYWORDS.contains(&keyword))
}

/// Whether a line says nothing: as in all that is typed, a comment or a blank one.
pub(super) fn is_idle(line: &Statement<'_>) -> bool {
    line.line.trim_ascii().is_empty() || line.line.trim_ascii_start().starts_with(b"#")
}

impl Oldest {
    /// Takes one line in.
    pub(super) fn take(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        if is_idle(line) {
            return Ok(());
        }
        let words: Vec<&[u8]> = words(line).collect();
        match words.as_slice() {
            [b"version", version] => self.take_version(line, version),
            _ if !self.has_version => Err(line.fault("the first line is not \"version\"")),
            [b"from", sites @ ..] => self.take_from(line, sites),
            [b"sum", file, sum] => self.take_sum(line, file, sum),
            [b"if", file, sum, packaged] => self.take_if(line, file, sum, packaged),
            [keyword, ..] if KEYWORDS.contains(keyword) => {
                Err(line.fault("not the words that this command takes"))
            }
            _ => Err(line.fault("a keyword that orders of before format 1.3 do not have")),
        }
    }

    /// Returns the orders, if all was there.
    pub(super) fn finish(self, fault: impl Fn(String) -> TextFault) -> Result<Orders, TextFault> {
        let mut sites = self.from.into_iter();
        let here = sites.next().ok_or_else(|| fault("no \"from\" line".to_owned()))?;
        let site = |address| Site { address, directory: None };
        let remotes: Vec<Site> = sites.map(site).collect();
        if remotes.is_empty() {
            return Err(fault("\"from\" names nobody whom it was sent to".to_owned()));
        }
        if let Some(at) = self.members.iter().position(|&is_named| !is_named) {
            return Err(fault(format!("no \"if\" for the packaged file {}", at + 1)));
        }
        let copy: Vec<usize> = (0..remotes.len()).collect();
        let mut rows: Vec<OrderRow> = self.rows.into_values().collect();
        rows.iter_mut().for_each(|row| row.columns = vec![Belief::Unknown; copy.len()]);
        Ok(Orders {
            identity: Identity {
                format: Format::V1_3,
                title: String::new(),
                here: site(here),
                remotes,
                scans: Vec::new(),
                ignores: Vec::new(),
                hosts: Vec::new(),
            },
            visit: 0,
            copy,
            serial: 0,
            since: None,
            seen: None,
            want_all: false,
            wants: Vec::new(),
            is_oldest: true,
            rows,
        })
    }

    fn take_version(&mut self, line: &Statement<'_>, version: &[u8]) -> Result<(), TextFault> {
        if std::mem::replace(&mut self.has_version, true) {
            return Err(line.fault("a line that may stand only once"));
        }
        match version {
            [b'1', b'.', b'0'..=b'3'] => Ok(()),
            _ => Err(line.fault("a version that is not 1.0 to 1.3")),
        }
    }

    fn take_from(&mut self, line: &Statement<'_>, sites: &[&[u8]]) -> Result<(), TextFault> {
        if !self.from.is_empty() {
            return Err(line.fault("a line that may stand only once"));
        }
        if sites.len() > REMOTES_MAX {
            return Err(line.fault(format!("more than {REMOTES_MAX} sites")));
        }
        for site in sites {
            let text =
                std::str::from_utf8(site).map_err(|_| line.fault("an address not in UTF-8"))?;
            let address = Address::new(text).map_err(|fault| line.fault(fault.to_string()))?;
            if self.from.contains(&address) {
                return Err(line.fault("a site is named twice"));
            }
            self.from.push(address);
        }
        Ok(())
    }

    fn take_sum(&mut self, line: &Statement<'_>, file: &[u8], sum: &[u8]) -> Result<(), TextFault> {
        let path = line.check(statement::path(Format::V1_3, file))?;
        let content = line.check(statement::content(Format::V1_3, sum))?;
        let row = OrderRow {
            path: path.clone(),
            version: Version { generation: 0, content },
            history: History::new(),
            columns: Vec::new(),
            act: Act::Tell,
        };
        match self.rows.insert(path, row) {
            None => Ok(()),
            Some(_) => Err(line.fault("more than one \"sum\" of a file")),
        }
    }

    fn take_if(
        &mut self,
        line: &Statement<'_>,
        file: &[u8],
        sum: &[u8],
        packaged: &[u8],
    ) -> Result<(), TextFault> {
        let path = line.check(statement::path(Format::V1_3, file))?;
        let expected = line.check(statement::belief(Format::V1_3, sum))?;
        // How a packaged file was named is in no manual: its number, in its folder or without.
        let number = packaged.strip_prefix(b".remsync-work/").unwrap_or(packaged);
        let number = line.check(statement::number(number, 1, u64::from(PACKAGE_MEMBERS_MAX)))?;
        let row = self
            .rows
            .get_mut(&path)
            .filter(|row| row.version.content.signature().is_some())
            .ok_or_else(|| line.fault("an \"if\" of a file that no \"sum\" says is there"))?;
        if row.act != Act::Tell {
            return Err(line.fault("more than one \"if\" of a file"));
        }
        // Both conversions hold: the number is at most PACKAGE_MEMBERS_MAX.
        let (at, member) = (number as usize - 1, number as u32);
        if self.members.len() <= at {
            self.members.resize(at + 1, false);
        }
        if std::mem::replace(&mut self.members[at], true) {
            return Err(line.fault("a packaged file is named twice"));
        }
        row.act = Act::Update { expected, member };
        Ok(())
    }
}

/// Splits a line at blanks and tabs.
fn words<'a>(line: &Statement<'a>) -> impl Iterator<Item = &'a [u8]> {
    line.line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}
