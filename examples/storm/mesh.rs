//! What sites of format 1.3 are held to in fair weather: late mail out of turn, none lost, all
//! questions answered.
//!
//! Two things whatever the links and edits are: nobody's file gives way unasked to one that does not
//! descend from it, and all receivers of one broadcast are told the same beliefs. And where nothing is
//! deleted, or the links hold no circle, the network falls silent and all trees are one; at the latest
//! once everybody has spoken once more, for of two that replaced each other's file at the same time
//! each believes that the other has what it had itself.
//!
//! More is not so. 1.3 remembers no deletion once all were told of it, and so a deletion may run after
//! its file in a circle for ever: of four sites of which three know each other (seed 982 of `--gain`),
//! the first deletes the file, the second takes that and is sent the file by the third, who takes the
//! deletion then and is sent it by the first. And who has no file at all lists none, which says
//! nothing: the deletion of the last file is told to nobody. In foul weather `src/rules/classic` has a
//! storm of its own.

use remsync::model::project::Format;

use super::gain::{Fair, Fancy, Mesh, Tally};
use super::mutant::Mutant;
use super::world::Broken;

/// Runs one seed of sites that speak 1.3; which of them broke an invariant.
pub fn mesh(seed: u64, sites_max: usize, mutant: Option<Mutant>) -> Option<Broken> {
    let shapes = [None, Some(Mesh::OfFiles), Some(Mesh::Tree)];
    // One shape for each seed: they cost alike.
    let mesh = shapes[(seed % 3) as usize];
    let mut tally = Tally::default();
    Fair::new(seed, sites_max, Format::V1_3, Fancy { mutant, mesh }).run(&mut tally);
    let ends = u64::from(mesh.is_some());
    let invariants = [
        (tally.losses, "a silent loss in format 1.3"),
        (tally.two_tales, "one broadcast of format 1.3 tells two tales"),
        (tally.unlike * ends, "trees of format 1.3 differ in fair weather"),
        (tally.restless * ends, "sites of format 1.3 do not fall silent in fair weather"),
    ];
    let (_, invariant) = invariants.into_iter().find(|(count, _)| *count > 0)?;
    Some(Broken { invariant, detail: format!("{mesh:?}: {tally:?}") })
}
