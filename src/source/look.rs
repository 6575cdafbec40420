//! Looks at many files, several at a time: on a network disk each answer takes a millisecond, and a
//! million of them a quarter of an hour one after the other.

use std::thread;

use crate::cores;

/// Most files that are looked at at the same time, each by a thread that does nothing but wait.
const AT_ONCE: usize = 32;

/// Fewest files that are worth a thread.
const FEWEST: usize = 512;

/// Returns what `look` finds of each item, in their order.
pub(super) fn at_all<T: Sync, R: Send>(items: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    by(items, items.len().div_ceil(AT_ONCE).max(FEWEST), look)
}

/// Like [`at_all`], for large files each of which is read through: one a core.
pub(super) fn through_all<T: Sync, R: Send>(items: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    by(items, items.len().div_ceil(cores::limit()).max(1), look)
}

/// Gives a thread each so many items.
fn by<T: Sync, R: Send>(items: &[T], each: usize, look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let found = |items: &[T]| items.iter().map(&look).collect::<Vec<R>>();
    thread::scope(|scope| {
        let begun: Vec<_> = items
            .chunks(each)
            .enumerate()
            .map(|(n, chunk)| {
                // The first ones are looked at here, and all for which there is no thread.
                let thread = match n {
                    0 => None,
                    _ => thread::Builder::new().name("look".to_owned()).spawn_scoped(scope, || found(chunk)).ok(),
                };
                (chunk, thread)
            })
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for (chunk, thread) in begun {
            // A thread that panicked has found nothing, and its items panic here again.
            all.extend(thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| found(chunk)));
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_is_looked_at_once_and_several_at_a_time() {
        for count in [0, 1, FEWEST, 5 * FEWEST + 3] {
            let items: Vec<usize> = (0..count).collect();
            let (looks, now, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let found = at_all(&items, |n| {
                looks.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if n % FEWEST == 0 {
                    thread::sleep(Duration::from_millis(20));
                }
                now.fetch_sub(1, Ordering::SeqCst);
                n * 2
            });
            assert_eq!(found, items.iter().map(|n| n * 2).collect::<Vec<_>>());
            assert_eq!(looks.into_inner(), count);
            let most = most.into_inner();
            assert!(most <= AT_ONCE && (count <= FEWEST || most > 1), "{most} at once of {count}");
        }
    }
}
