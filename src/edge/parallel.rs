//! Work on many things of a kind, on all processors.

use std::panic::resume_unwind;
use std::thread;

/// Threads at most: what is done here reads folders and files, and more of them wait for one another.
const THREADS_MAX: usize = 4;
/// Things for which a thread is worth its while.
const SHARE_MIN: usize = 256;

/// Does two things at the same time.
pub fn side_by_side<A: Send, B>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| resume_unwind(panic)), other)
    })
}

/// Does something for each item, on as many processors as that is worth; returns what there is of it,
/// in the order of the items.
///
/// # Errors
/// The first of `each`, in that order; others may have been worked on meanwhile.
pub fn in_parallel<T: Send, R: Send, E: Send>(
    items: &mut [T],
    each: impl Fn(&mut T) -> Result<Option<R>, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let (all, share) = (items.len(), items.len().div_ceil(threads).max(SHARE_MIN));
    // With its room from the start: many that are large are not moved as it grows.
    let do_share = |items: &mut [T], room: usize| -> Result<Vec<R>, E> {
        let mut done = Vec::with_capacity(room);
        for item in items {
            done.extend(each(item)?);
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let mut shares = items.chunks_mut(share);
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> =
            shares.map(|items| scope.spawn(|| do_share(items, items.len()))).collect();
        let mut done = do_share(first, all)?;
        for other in others {
            done.append(&mut other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_comes_in_order_and_the_first_error_counts() {
        for count in [0, 1, SHARE_MIN, 10 * SHARE_MIN + 1] {
            let mut items: Vec<usize> = (0..count).collect();
            let odd = |item: &mut usize| {
                *item += 1;
                Ok::<_, usize>((*item % 2 == 1).then_some(*item))
            };
            let expected: Vec<usize> = (1..=count).filter(|item| item % 2 == 1).collect();
            assert_eq!(in_parallel(&mut items, odd), Ok(expected), "{count}");
            assert_eq!(items, (1..=count).collect::<Vec<_>>());
        }
        let mut items: Vec<usize> = (0..4 * SHARE_MIN).collect();
        let fails = |item: &mut usize| if *item % 100 == 99 { Err(*item) } else { Ok(Some(())) };
        assert_eq!(in_parallel(&mut items, fails), Err(99));
    }

    #[test]
    fn two_things_at_once() {
        let (here, there) = std::sync::mpsc::channel();
        assert_eq!(side_by_side(move || there.recv(), || here.send(7)), (Ok(7), Ok(())));
    }
}
