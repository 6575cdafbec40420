//! Keeps things for clients under handles: a bounded number of them, for a bounded time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::error::{Context, Kind, Result};
use crate::panics::guard;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The most things.
    pub(super) things: usize,
    /// The most bytes of them, as those who keep them count.
    pub(super) bytes: usize,
    /// How long a thing is kept that nobody asks for.
    pub(super) unused: Duration,
}

/// Things by their handles.
pub(super) struct Held<T> {
    things: Mutex<HashMap<Vec<u8>, Thing<T>>>,
    room: Room,
}

struct Thing<T> {
    value: T,
    bytes: usize,
    used: Instant,
}

impl<T: Clone> Held<T> {
    pub(super) fn new(room: Room) -> Self {
        Held { things: Mutex::default(), room }
    }

    /// Keeps a thing of so many bytes, if need be in the place of those that nobody has asked for
    /// the longest. Returns its handle, which nobody can guess.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if the system gives no random numbers.
    pub(super) fn keep(&self, value: T, bytes: usize) -> Result<Vec<u8>> {
        let mut things = self.current();
        while !things.is_empty() && !self.fits(&things, bytes) {
            let oldest = things.iter().min_by_key(|(_, thing)| thing.used).map(|(handle, _)| handle.clone());
            oldest.and_then(|handle| things.remove(&handle));
        }
        insert(&mut things, value, bytes)
    }

    /// Keeps a thing if there is room for it.
    ///
    /// # Errors
    /// Fails like [`keep`](Self::keep).
    pub(super) fn keep_if_it_fits(&self, value: T, bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut things = self.current();
        self.fits(&things, bytes).then(|| insert(&mut things, value, bytes)).transpose()
    }

    /// Puts a thing in the place of the one with this handle, if there is one. Returns whether
    /// there was room for it.
    pub(super) fn replace_if_it_fits(&self, handle: &[u8], value: T, bytes: usize) -> Option<bool> {
        let mut things = self.current();
        let old = things.remove(handle)?;
        let fits = self.fits(&things, bytes);
        let new = if fits { Thing { value, bytes, used: Instant::now() } } else { old };
        things.insert(handle.to_owned(), new);
        Some(fits)
    }

    /// Returns the thing with this handle, if there is one.
    pub(super) fn get(&self, handle: &[u8]) -> Option<T> {
        let mut things = self.current();
        let thing = things.get_mut(handle)?;
        thing.used = Instant::now();
        Some(thing.value.clone())
    }

    /// Forgets the thing with this handle.
    pub(super) fn forget(&self, handle: &[u8]) {
        self.current().remove(handle);
    }

    /// Returns how many things are kept.
    pub(super) fn len(&self) -> usize {
        self.current().len()
    }

    fn fits(&self, things: &HashMap<Vec<u8>, Thing<T>>, bytes: usize) -> bool {
        let taken: usize = things.values().map(|thing| thing.bytes).sum();
        things.len() < self.room.things && taken + bytes <= self.room.bytes
    }

    /// Returns the things, without those that were not asked for in time.
    fn current(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Thing<T>>> {
        let mut things = guard(&self.things);
        things.retain(|_, thing| thing.used.elapsed() <= self.room.unused);
        things
    }
}

fn insert<T>(things: &mut HashMap<Vec<u8>, Thing<T>>, value: T, bytes: usize) -> Result<Vec<u8>> {
    let mut handle = vec![0; 16];
    getrandom::fill(&mut handle).context(Kind::System, || "the system gives no random numbers".to_owned())?;
    things.insert(handle.clone(), Thing { value, bytes, used: Instant::now() });
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(unused: Duration) -> Held<u32> {
        Held::new(Room { things: 3, bytes: 100, unused })
    }

    #[test]
    fn the_longest_unused_make_room() {
        let held = held(Duration::from_secs(60));
        let handles: Vec<_> = (0..3).map(|n| held.keep(n, 30).unwrap()).collect();
        assert_eq!(held.get(&handles[0]), Some(0));
        assert!(held.keep_if_it_fits(3, 10).unwrap().is_none());
        let fourth = held.keep(3, 10).unwrap();
        assert_eq!(handles.iter().map(|handle| held.get(handle)).collect::<Vec<_>>(), [Some(0), None, Some(2)]);
        // One that is large takes the room of all others.
        let large = held.keep(4, 100).unwrap();
        assert_eq!((held.len(), held.get(&fourth), held.get(&large)), (1, None, Some(4)));
        held.forget(&large);
        assert_eq!(held.get(&large), None);
    }

    #[test]
    fn a_thing_grows_only_where_there_is_room() {
        let held = held(Duration::from_secs(60));
        let (one, _other) = (held.keep(1, 30).unwrap(), held.keep(2, 30).unwrap());
        assert_eq!((held.replace_if_it_fits(&one, 3, 71), held.get(&one)), (Some(false), Some(1)));
        assert_eq!((held.replace_if_it_fits(&one, 3, 70), held.get(&one)), (Some(true), Some(3)));
        assert_eq!((held.replace_if_it_fits(b"none", 3, 1), held.len()), (None, 2));
    }

    #[test]
    fn what_nobody_asks_for_goes() {
        let held = held(Duration::ZERO);
        let handle = held.keep(0, 1).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!((held.get(&handle), held.len()), (None, 0));
    }
}
