// SPDX-License-Identifier: BSD-2-Clause
//! Parts of files in fsserver's own memory, which reads copy from, or copy logically.
//!
//! A *window* is 2 MiB of a file, from a multiple of 2 MiB on, or what the file has there. It has
//! as many frames as that needs: one large frame, if pmserver has one, for more than half of them.
//!
//! ```text
//!            claim                 filled
//!   empty ----------> being filled ------> a part of a file
//!     ^                    |                     |
//!     |       drop         |        drop         |
//!     +--------------------+---------------------+
//! ```

use core::ops::Range;

use fsserver_api::{Failure, FsError};
use fsserver_volume::Inode;
use pmserver_client::{
    AddressSpace, ContainerHandle, CopyFlags, Error, PAGE_BYTES, Pages, Pm, Transport, VirtAddr,
    WeakContainer,
};
use proto::FrameNumber;
use proto::limits::{FS_CACHE_WINDOWS, LARGE_FRAMES};

use crate::disk::Target;
use crate::engine::Found;
use crate::lent::of_pm;
use crate::memory::{self, Memory};

/// Bytes of a window.
pub(crate) const WINDOW_BYTES: u64 = LARGE_FRAMES * PAGE_BYTES;

/// Above so many frames a window has all.
const PARTIAL_FRAMES_MAX: u64 = LARGE_FRAMES / 2;

#[allow(clippy::as_conversions, clippy::cast_possible_truncation)] // 64.
const PLACES: usize = FS_CACHE_WINDOWS as usize;

/// Which part of which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) inode: Inode,
    /// Which window of the file.
    pub(crate) window: u64,
}

impl Key {
    /// Returns the window of a file that has this byte.
    pub(crate) fn of(inode: Inode, offset: u64) -> Self {
        Self { inode, window: offset.checked_div(WINDOW_BYTES).unwrap_or_default() }
    }

    /// Returns the first byte.
    pub(crate) const fn start(self) -> u64 {
        self.window.saturating_mul(WINDOW_BYTES)
    }
}

/// A place for a window.
#[derive(Clone, Copy, Default)]
struct Place {
    key: Option<Key>,
    /// Whether the key's contents are there.
    is_filled: bool,
    /// Frames, from the first on. Without a key they are to be given up.
    frames: u64,
    /// Whether pages may be shared with who has got a copy: a store needs memory then.
    is_lent: bool,
    /// When it was used last, in uses.
    used: u64,
}

/// The cache.
pub(crate) struct Cache {
    places: [Place; PLACES],
    uses: u64,
}

impl Cache {
    /// Returns an empty cache.
    pub(crate) const fn new() -> Self {
        let empty = Place { key: None, is_filled: false, frames: 0, is_lent: false, used: 0 };
        Self { places: [empty; PLACES], uses: 0 }
    }

    /// Returns whether a window is there. `hint` is where it was found last.
    #[inline(always)]
    pub(crate) fn has(&self, key: Key, hint: usize) -> bool {
        let is_it = |place: &Place| place.key == Some(key) && place.is_filled;
        self.places.get(hint).is_some_and(is_it) || self.places.iter().any(is_it)
    }

    /// Returns where a window is, if it is there. `hint` is where it was found last.
    #[inline]
    pub(crate) fn find(&mut self, key: Key, hint: &mut usize) -> Option<VirtAddr> {
        let is_it = |place: &Place| place.key == Some(key) && place.is_filled;
        if !self.places.get(*hint).is_some_and(is_it) {
            *hint = self.places.iter().position(is_it)?;
        }
        self.uses = self.uses.wrapping_add(1);
        let uses = self.uses;
        self.places.get_mut(*hint)?.used = uses;
        let skipped = u64::try_from(*hint).ok()?.checked_mul(WINDOW_BYTES)?;
        memory::CACHE_WINDOWS.start().checked_add(skipped)
    }

    /// Makes an empty window with memory for so many bytes, in the place of the one that was used
    /// longest ago. Returns nothing if the window is there.
    ///
    /// # Errors
    /// [`FsError::PmRefused`] if fsserver has no memory, though all other windows were given up.
    pub(crate) fn claim<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        key: Key,
        bytes: u64,
    ) -> Result<Option<(usize, Target)>, Failure> {
        if self.places.iter().any(|place| place.key == Some(key)) {
            return Ok(None);
        }
        let index = self.oldest(|_| true).ok_or(FsError::Busy)?;
        self.drop_place(pm, memory, index);
        if self.places.get(index).is_none_or(|place| place.frames > 0) {
            return Err(FsError::Busy.into());
        }
        let frames = match bytes.div_ceil(PAGE_BYTES) {
            0 => 1,
            few @ ..=PARTIAL_FRAMES_MAX => few,
            _ => LARGE_FRAMES,
        };
        let range = first_frames(index, frames);
        let pages = self.make(pm, memory, range.clone(), index)?;
        if let Some(place) = self.places.get_mut(index) {
            *place = Place { key: Some(key), frames, used: self.uses, ..Place::default() };
        }
        Ok(Some((index, Target { pages, first_frame: range.start })))
    }

    /// Says that a window that was claimed has its contents.
    pub(crate) fn filled<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        index: usize,
    ) -> Result<(), Failure> {
        let place = self.places.get_mut(index).ok_or(FsError::Busy)?;
        let pages = memory::place_of(&first_frames(index, place.frames))?;
        memory.map_again(pm, pages)?;
        place.is_filled = true;
        Ok(())
    }

    /// Gives up what is in a place. Frames that the disk may still write to stay until the next
    /// time.
    pub(crate) fn drop_place<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            let frames = place.frames;
            *place = Place::default();
            if frames > 0 && !memory.drop_frames(pm, first_frames(index, frames)) {
                place.frames = frames;
            }
        }
    }

    /// Gives up all that is not being filled.
    pub(crate) fn trim<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory) {
        for index in 0..PLACES {
            if self.places.get(index).is_some_and(|place| place.key.is_none() || place.is_filled) {
                self.drop_place(pm, memory, index);
            }
        }
    }

    /// Gives up what is cached of a file.
    pub(crate) fn forget<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory, inode: Inode) {
        for index in 0..PLACES {
            let key = self.places.get(index).and_then(|place| place.key);
            if key.is_some_and(|key| key.inode == inode) {
                self.drop_place(pm, memory, index);
            }
        }
    }

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
                && place.is_filled
                && (at.is_empty()
                    || from.is_some_and(|from| {
                        store(pm, memory, (index, &place), at, from, space).is_ok()
                    }));
            if !is_done {
                self.drop_place(pm, memory, index);
            }
        }
    }

    /// Copies a window logically to 512 frames of a lent container, from `start` on.
    pub(crate) fn lend<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        index: usize,
        (container, start): (ContainerHandle, FrameNumber),
    ) -> Result<(), Failure> {
        let all = memory::window(index);
        let frames = self.places.get(index).map_or(0, |place| place.frames);
        if frames < LARGE_FRAMES {
            self.make(pm, memory, all.start.saturating_add(frames)..all.end, index)?;
            if let Some(place) = self.places.get_mut(index) {
                place.frames = LARGE_FRAMES;
            }
        }
        if let Some(place) = self.places.get_mut(index) {
            place.is_lent = true;
        }
        let lent = WeakContainer::from_handle(pm, container);
        let copied = memory.weak(pm).copy_with(all, &lent, start.get(), CopyFlags::empty());
        copied.map(drop).map_err(of_pm)
    }

    /// Makes frames for a window. If there is no memory for them, other windows are given up.
    fn make<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        frames: Range<u64>,
        for_index: usize,
    ) -> Result<Pages, Failure> {
        loop {
            let failure = match memory.make(pm, frames.clone()) {
                Err(failure) => failure,
                pages => return pages,
            };
            let key = self.places.get(for_index).and_then(|place| place.key);
            let is_other = |place: &Place| place.key.is_some() && place.key != key;
            let oldest = self.oldest(is_other).ok_or(failure)?;
            self.drop_place(pm, memory, oldest);
        }
    }

    /// Returns which place was used longest ago, of those that are not being filled.
    fn oldest(&self, is_it: impl Fn(&Place) -> bool) -> Option<usize> {
        let places = (0..).zip(&self.places);
        let places = places.filter(|(_, place)| place.key.is_none() || place.is_filled);
        let places = places.filter(|(_, place)| is_it(place));
        places.min_by_key(|(_, place)| (place.frames > 0, place.used)).map(|(index, _)| index)
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
    let frames = first_frames(index, place.frames);
    if place.is_lent {
        // A store that finds no memory would be a fault.
        let first = frames.start.saturating_add(at.start.checked_div(PAGE_BYTES).unwrap_or(0));
        let end = frames.start.saturating_add(at.end.div_ceil(PAGE_BYTES));
        memory.map_again(pm, memory::place_of(&(first..end))?)?;
    }
    let bytes = usize::try_from(at.end.saturating_sub(at.start)).map_err(|_| FsError::BadRange)?;
    let to = memory::place_of(&frames)?;
    to.copy_across(space, (from, bytes), at.start).map_err(|_: Error| FsError::BadRange.into())
}

fn first_frames(index: usize, count: u64) -> Range<u64> {
    let Range { start, .. } = memory::window(index);
    start..start.saturating_add(count)
}

const fn end_of(key: Key) -> u64 {
    key.start().saturating_add(WINDOW_BYTES)
}

/// Returns which window of a file begins at an offset.
pub(crate) fn window_at(offset: u64) -> Result<u64, FsError> {
    let window = offset.checked_div(WINDOW_BYTES).unwrap_or_default();
    if offset.is_multiple_of(WINDOW_BYTES) { Ok(window) } else { Err(FsError::BadRange) }
}
