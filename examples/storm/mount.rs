//! Trees that are not there: a disk that is not mounted while the programs run by the clock, and nobody
//! is there to say that so much was deleted.
//!
//! With the rules whole nothing comes of it, so that a run is the same as if it had not been.

use remsync::model::version::Content;
use remsync::rules::brake::is_tree_gone;
use remsync::rules::plan::{Named, What};

use super::counts::Kind;
use super::mutant::Mutant;
use super::prng::Prng;
use super::world::{World, index};

impl World<'_> {
    /// Perhaps a site's tree, or more than half of it, is not there for one `process` and one
    /// `broadcast`.
    pub fn miss_tree(&mut self, rng: &mut Prng) {
        if !rng.chance(100) {
            return;
        }
        let at = rng.below(self.sites.len());
        let files = self.files_of(at);
        if files.is_empty() {
            return;
        }
        let is_some = files.len() > 2 && rng.chance(500);
        let rest = if is_some { Some(files[rng.below(files.len())]) } else { None };
        for path in 0..self.paths.len() {
            self.sites[at].is_gone[path] = rest != Some(path);
        }
        self.counts.add(Kind::TreesGone);
        self.say(|world| format!("s{at}'s tree is not there: {:?}", world.sites[at].is_gone));
        if self.is_tree_there(at) && !self.sites[at].inbox.is_empty() {
            let package = self.sites[at].inbox[0];
            self.visit(at, package, rng);
        }
        if self.scan(at, rng) {
            let everybody: Vec<usize> = (0..self.sites[at].identity.remotes.len()).collect();
            self.broadcast(at, &everybody, Named::Everybody, What::Contents, rng);
        }
        self.sites[at].is_gone.fill(false);
    }

    /// The paths of which the rows say that a file is here.
    fn files_of(&self, at: usize) -> Vec<usize> {
        let rows = self.sites[at].knowledge.rows.iter();
        let files = rows.filter(|(_, row)| row.version.content != Content::Absent);
        files.map(|(path, _)| index(path)).collect()
    }

    /// Whether the tree is there, as `process` looks for it before it applies anything.
    fn is_tree_there(&self, at: usize) -> bool {
        let files = self.files_of(at);
        let is_gone = &self.sites[at].is_gone;
        let gone = files.iter().filter(|path| is_gone[**path]).count();
        let is_empty = is_gone.iter().all(|is_gone| *is_gone);
        self.mutant == Some(Mutant::TreeGoneApplied)
            || !is_empty && !is_tree_gone(gone, files.len())
    }
}
