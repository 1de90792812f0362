// SPDX-License-Identifier: BSD-2-Clause
//! Paths that were looked up before, and what they lead to.
//!
//! What was found stays true until names change, but for what is known of the file itself. Reading
//! the directories on the way again would take most of the time of a lookup.

use alloc::boxed::Box;

/// How many paths are kept: at most one for each of these places.
const PLACES: usize = 64;

/// Longer paths are not kept.
const PATH_BYTES: usize = 128;

/// A path, where it begins, and what it leads to.
struct Found<T> {
    root: &'static str,
    path: [u8; PATH_BYTES],
    length: usize,
    value: T,
}

/// The paths that are kept. Each has one place, where the latest path for it stands.
pub(crate) struct KnownPaths<T>(Box<[Option<Found<T>>; PLACES]>);

impl<T> KnownPaths<T> {
    /// Knows none.
    pub(crate) fn new() -> Self {
        Self(Box::new([const { None }; PLACES]))
    }

    /// Returns what a path with this hash leads to, if it is known.
    pub(crate) fn get(&self, (root, path): (&str, &[u8]), hash: u64) -> Option<&T> {
        let found = self.0.get(place_of(hash))?.as_ref()?;
        let known = found.path.get(..found.length)?;
        (known == path && found.root == root).then_some(&found.value)
    }

    /// Knows nothing any more of what leads to something of which this is true.
    pub(crate) fn forget(&mut self, mut is_it: impl FnMut(&T) -> bool) {
        for place in self.0.iter_mut() {
            if place.as_ref().is_some_and(|found| is_it(&found.value)) {
                *place = None;
            }
        }
    }

    /// Keeps what a path leads to.
    pub(crate) fn put(&mut self, (root, path): (&'static str, &[u8]), value: T) {
        let mut kept = [0; PATH_BYTES];
        let Some(to) = kept.get_mut(..path.len()) else { return };
        to.copy_from_slice(path);
        if let Some(place) = self.0.get_mut(place_of(hash_of(path))) {
            *place = Some(Found { root, path: kept, length: path.len(), value });
        }
    }
}

/// Returns the place of a path with this hash.
fn place_of(hash: u64) -> usize {
    usize::try_from(hash & 0xFFFF).unwrap_or(0) % PLACES
}

/// Returns the hash FNV-1a of bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    fn get<'a>(known: &'a KnownPaths<usize>, path: &[u8]) -> Option<&'a usize> {
        known.get(("/", path), hash_of(path))
    }

    #[test]
    fn a_path_leads_to_what_was_found_for_it_and_no_other() {
        let mut known = KnownPaths::new();
        let path = |number: usize| format!("/folder/{number}");
        for number in 0..1000 {
            assert_eq!(get(&known, path(number).as_bytes()), None);
            known.put(("/", path(number).as_bytes()), number);
            assert_eq!(get(&known, path(number).as_bytes()), Some(&number));
        }
        let kept = (0..1000).filter(|number| match get(&known, path(*number).as_bytes()) {
            Some(value) => value == number,
            None => false,
        });
        assert_eq!(kept.count(), PLACES, "every place has one of them");
        assert_eq!(get(&known, b"/folder"), None);
    }

    #[test]
    fn long_paths_are_not_kept() {
        let mut known = KnownPaths::new();
        let long = [b'a'; PATH_BYTES + 1];
        known.put(("/", &long), 1);
        assert_eq!(get(&known, &long), None);
        known.put(("/", &long[1..]), 2);
        assert_eq!(get(&known, &long[1..]), Some(&2));
    }
}
