//! What comes under another title or for another address, and may be meant for this project: asked,
//! or held with the question.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::project::Identity;

use super::super::identity;
use super::super::misnamed::{self, Misnamed};
use super::super::open::OpenProject;
use super::super::outcome::Failure;
use super::{Run, Tally};

impl Run<'_> {
    /// Asks about each such name once, at a terminal; what is left of them is held.
    pub(super) fn settle_names(
        &self,
        open: &mut OpenProject,
        tally: &mut Tally,
        routed: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        let (session, queue) = (self.session, self.queue);
        let mut asked = BTreeMap::new();
        for one in self.misnamed(open)? {
            let Misnamed { point, entry, .. } = &one;
            // Of what is named it is asked whether it may be applied, when it is.
            let is_named = self.only.is_some() && session.may_ask();
            if !one.is_vouched_for && !is_named {
                continue;
            }
            let is_settled = match asked.get(&point.mark()) {
                Some(is_settled) => *is_settled,
                None if session.may_ask() => {
                    let question = misnamed::question(queue, &one, &open.project.identity);
                    let is_settled = identity::ask_one(session, open, &question)?;
                    asked.insert(point.mark(), is_settled);
                    is_settled
                }
                None => false,
            };
            if !is_settled {
                routed.insert(entry.id.clone());
                self.hold(entry, &misnamed::reason(point, &open.project.identity), tally)?;
            }
        }
        Ok(())
    }

    /// Says what is held for its name, and changes nothing.
    pub(super) fn names_dry(
        &self,
        directory: &std::path::Path,
        ours: &Identity,
        tally: &mut Tally,
        routed: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        for one in misnamed::entries(self.session, self.queue, directory, ours)? {
            let is_meant = self.only.is_none_or(|only| one.entry.id == only);
            if is_meant && one.is_vouched_for {
                routed.insert(one.entry.id.clone());
                self.hold(&one.entry, &misnamed::reason(&one.point, ours), tally)?;
            }
        }
        Ok(())
    }

    fn misnamed(&self, open: &OpenProject) -> Result<Vec<Misnamed>, Failure> {
        let identity = &open.project.identity;
        let mut found = misnamed::entries(self.session, self.queue, open.state.dir(), identity)?;
        found.retain(|one| self.only.is_none_or(|only| one.entry.id == only));
        Ok(found)
    }
}
