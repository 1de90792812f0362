// SPDX-License-Identifier: BSD-2-Clause
//! What is written to a file is written to what is cached of it.

use core::ops::Range;

use fsserver_api::{Failure, FsError};
use pmserver_client::{AddressSpace, Error, PAGE_BYTES, Pages, Pm, Transport, VirtAddr};

use super::{Cache, Contents, Key, PLACES, Place, WINDOW_BYTES, first_frames, frames_of, hold};
use crate::engine::Found;
use crate::memory::{self, Home, Memory, STORES};

impl Cache {
    /// Writes to what is cached of a file what was written to it: `bytes` bytes at `from`, from
    /// `offset` on. A window that would need more memory than it has is given up.
    pub(crate) fn update<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        (Found { inode, status }, offset): (Found, u64),
        (from, bytes): (Pages, u64),
        space: &mut impl AddressSpace,
    ) {
        for index in 0..PLACES {
            let Some(place) = self.places.get(index).copied() else { continue };
            let Some(key) = place.key.filter(|key| key.inode == inode) else { continue };
            let end = offset.saturating_add(bytes).min(end_of(key));
            let start = offset.max(key.start());
            let needed = status.size_bytes.min(end_of(key)).saturating_sub(key.start());
            let is_roomy = needed <= place.frames.saturating_mul(PAGE_BYTES);
            let at = start.saturating_sub(key.start())..end.saturating_sub(key.start());
            let from = from.start().checked_add(start.saturating_sub(offset));
            let is_done = is_roomy
                && place.contents != Contents::Coming
                && (at.is_empty()
                    || from.is_some_and(|from| {
                        store(pm, memory, (index, &place), at, from, space).is_ok()
                    }));
            if !is_done {
                self.drop_place(pm, memory, index);
            }
        }
    }
}

/// Copies bytes from `from` on into a window, at these bytes of it.
fn store<T: Transport>(
    pm: &Pm<T>,
    memory: &Memory,
    (index, place): (usize, &Place),
    at: Range<u64>,
    from: VirtAddr,
    space: &mut impl AddressSpace,
) -> Result<(), Failure> {
    let touched = frames_of(index, &at);
    let held = match place.home {
        Home::Own if place.is_lent => {
            // A store that finds no memory would be a fault.
            memory.map_again(pm, &touched, STORES).map(|()| None)
        }
        Home::Own => Ok(None),
        Home::Extra => hold(pm, memory, &touched, STORES).map(Some),
    }?;
    let bytes = usize::try_from(at.end.saturating_sub(at.start)).map_err(|_| FsError::BadRange)?;
    let to = memory::place_of(&first_frames(index, place.frames))?;
    let stored = to.copy_across(space, (from, bytes), at.start);
    drop(held);
    stored.map_err(|_: Error| FsError::BadRange.into())
}

const fn end_of(key: Key) -> u64 {
    key.start().saturating_add(WINDOW_BYTES)
}
