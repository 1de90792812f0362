// SPDX-License-Identifier: BSD-2-Clause
//! Parts of files in fsserver's own memory, which reads copy from, or copy logically.
//!
//! A *window* is 2 MiB of a file, from a multiple of 2 MiB on, or what the file has there. It has
//! as many frames as that needs: one large frame, if pmserver has one, for more than half of them.
//!
//! | file | what it does |
//! |---|---|
//! | `filling` | memory for windows, and how they get their contents |
//! | `storing` | what is written to a file |
//!
//! Windows that fsserver's account cannot pay for have extra frames. When these have their contents
//! pmserver may take them back, so they are *held* for as long as they are used: locked, and found
//! to be there. If one is not, the window is given up.
//!
//! ```text
//!            claim            filled                    hold
//!   empty ----------> coming --------> there, or extra --------> there
//!     ^                 |                 |      ^                 |
//!     |      drop       |      drop       |      |     release     |
//!     +-----------------+-----------------+      +-----------------+
//! ```

mod filling;
mod storing;

use core::ops::Range;

use fsserver_api::{Failure, FsError};
use fsserver_volume::Inode;
use pmserver_client::{
    ContainerHandle, CopyFlags, Lease, MapFlags, Micros, PAGE_BYTES, Pm, Transport, VirtAddr,
    WeakContainer,
};
use proto::FrameNumber;
use proto::limits::{FS_CACHE_WINDOWS, LARGE_FRAMES};

use crate::lent::of_pm;
use crate::memory::{self, Home, Memory};
pub(crate) use filling::LEFT;

/// Bytes of a window.
pub(crate) const WINDOW_BYTES: u64 = LARGE_FRAMES * PAGE_BYTES;

/// Windows that one read may touch.
const HELD_MAX: usize = 2;

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

    /// Returns the window after it.
    pub(crate) const fn next(self) -> Self {
        Self { window: self.window.saturating_add(1), ..self }
    }

    /// Returns the first byte.
    pub(crate) const fn start(self) -> u64 {
        self.window.saturating_mul(WINDOW_BYTES)
    }
}

/// What a place has of its key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nothing yet.
    Coming,
    /// All, to be used as it is.
    There,
    /// All, to be held first.
    Extra,
}

/// A place for a window.
#[derive(Clone, Copy)]
struct Place {
    key: Option<Key>,
    contents: Contents,
    home: Home,
    /// Frames, from the first on. Without a key they are to be given up.
    frames: u64,
    /// Whether pages may be shared with who has got a copy: a store needs memory then.
    is_lent: bool,
    /// When it was used last, in uses.
    used: u64,
}

impl Place {
    const EMPTY: Self = Self {
        key: None,
        contents: Contents::Coming,
        home: Home::Own,
        frames: 0,
        is_lent: false,
        used: 0,
    };

    /// Returns whether nobody is about to fill it.
    fn is_settled(&self) -> bool {
        self.key.is_none() || self.contents != Contents::Coming
    }
}

/// The cache.
pub(crate) struct Cache {
    places: [Place; PLACES],
    uses: u64,
    /// Places that are held, with the lease on them.
    held: [Option<(usize, u64)>; HELD_MAX],
}

impl Cache {
    /// Returns an empty cache.
    pub(crate) const fn new() -> Self {
        Self { places: [Place::EMPTY; PLACES], uses: 0, held: [None; HELD_MAX] }
    }

    /// Returns which window is in a place, if there is one.
    pub(crate) fn key(&self, index: usize) -> Option<Key> {
        self.places.get(index).and_then(|place| place.key)
    }

    /// Returns whether a window is there, or is coming.
    pub(crate) fn knows(&self, key: Key) -> bool {
        self.places.iter().any(|place| place.key == Some(key))
    }

    /// Returns whether a window is there, to be used as it is. `hint` is where it was found last.
    #[inline(always)]
    pub(crate) fn has(&self, key: Key, hint: usize) -> bool {
        let is_it = |place: &Place| place.key == Some(key) && place.contents == Contents::There;
        self.places.get(hint).is_some_and(is_it) || self.places.iter().any(is_it)
    }

    /// Returns where a window is, if it is there. `hint` is where it was found last.
    #[inline]
    pub(crate) fn find(&mut self, key: Key, hint: &mut usize) -> Option<VirtAddr> {
        let is_it = |place: &Place| place.key == Some(key) && place.contents == Contents::There;
        if !self.places.get(*hint).is_some_and(is_it) {
            *hint = self.places.iter().position(is_it)?;
        }
        self.uses = self.uses.wrapping_add(1);
        let uses = self.uses;
        self.places.get_mut(*hint)?.used = uses;
        let skipped = u64::try_from(*hint).ok()?.checked_mul(WINDOW_BYTES)?;
        memory::CACHE_WINDOWS.start().checked_add(skipped)
    }

    /// Makes sure that these bytes of a window of extra frames are there until [`Self::release`].
    /// Returns whether they are.
    pub(crate) fn hold<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        key: Key,
        bytes: &Range<u64>,
    ) -> bool {
        let is_it = |place: &Place| place.key == Some(key) && place.contents == Contents::Extra;
        let Some(index) = self.places.iter().position(is_it) else { return false };
        let frames = frames_of(index, bytes);
        // A store is not what it is held for, and would need memory for what is lent.
        let lease = hold(pm, memory, &frames, MapFlags::WRITE).map(Lease::into_raw);
        self.uses = self.uses.wrapping_add(1);
        let (uses, free) = (self.uses, self.held.iter_mut().find(|held| held.is_none()));
        match (lease, free, self.places.get_mut(index)) {
            (Ok(lease), Some(free), Some(place)) => {
                *free = Some((index, lease));
                (place.contents, place.used) = (Contents::There, uses);
                true
            }
            _ => {
                self.drop_place(pm, memory, index);
                false
            }
        }
    }

    /// Lets go of what is held.
    #[cold]
    pub(crate) fn release<T: Transport>(&mut self, pm: &Pm<T>) {
        for (index, lease) in core::mem::take(&mut self.held).into_iter().flatten() {
            drop(Lease::from_raw(pm, lease, Micros::new(0)));
            let is_held =
                |place: &&mut Place| place.home == Home::Extra && place.contents == Contents::There;
            if let Some(place) = self.places.get_mut(index).filter(is_held) {
                place.contents = Contents::Extra;
            }
        }
    }

    /// Gives up what is in a place. Frames that the disk may still write to stay until the next
    /// time.
    pub(crate) fn drop_place<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            let Place { frames, home, .. } = *place;
            *place = Place::EMPTY;
            if frames > 0 && !memory.drop_frames(pm, home, first_frames(index, frames)) {
                (place.frames, place.home) = (frames, home);
            }
        }
    }

    /// Gives up all that is not being filled.
    pub(crate) fn trim<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory) {
        for index in 0..PLACES {
            if self.places.get(index).is_some_and(Place::is_settled) {
                self.drop_place(pm, memory, index);
            }
        }
    }

    /// Gives up what is cached of a file.
    pub(crate) fn forget<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory, inode: Inode) {
        for index in 0..PLACES {
            if self.key(index).is_some_and(|key| key.inode == inode) {
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
        let Place { key, home, frames, .. } = *self.places.get(index).ok_or(FsError::Busy)?;
        if frames < LARGE_FRAMES {
            let more = all.start.saturating_add(frames)..all.end;
            self.make(pm, memory, key, more.clone(), home)?;
            if home == Home::Extra {
                memory.let_go(pm, home, more)?;
            }
        }
        if let Some(place) = self.places.get_mut(index) {
            (place.frames, place.is_lent) = (LARGE_FRAMES, true);
        }
        let lent = WeakContainer::from_handle(pm, container);
        let copied = memory.weak(pm, home).copy_with(all, &lent, start.get(), CopyFlags::empty());
        copied.map(drop).map_err(of_pm)
    }

    /// Returns which place was used longest ago, of those that are not being filled.
    fn oldest(&self, is_it: impl Fn(&Place) -> bool) -> Option<usize> {
        let places = (0..).zip(&self.places);
        let places = places.filter(|(_, place)| place.is_settled() && is_it(place));
        places.min_by_key(|(_, place)| (place.frames > 0, place.used)).map(|(index, _)| index)
    }
}

/// Locks frames of a window of extra frames, and makes sure that they are there.
fn hold<'pm, T: Transport>(
    pm: &'pm Pm<T>,
    memory: &Memory,
    frames: &Range<u64>,
    flags: MapFlags,
) -> Result<Lease<'pm, T>, Failure> {
    let lease = memory.keep_there(pm, Home::Extra, frames.clone())?;
    memory.map_again(pm, frames, flags)?;
    Ok(lease)
}

/// Returns the frames of a window in which these bytes of it are.
fn frames_of(index: usize, bytes: &Range<u64>) -> Range<u64> {
    let Range { start, .. } = memory::window(index);
    let first = bytes.start.checked_div(PAGE_BYTES).unwrap_or_default();
    start.saturating_add(first)..start.saturating_add(bytes.end.div_ceil(PAGE_BYTES))
}

fn first_frames(index: usize, count: u64) -> Range<u64> {
    let Range { start, .. } = memory::window(index);
    start..start.saturating_add(count)
}

/// Returns which window of a file begins at an offset.
pub(crate) fn window_at(offset: u64) -> Result<u64, FsError> {
    let window = offset.checked_div(WINDOW_BYTES).unwrap_or_default();
    if offset.is_multiple_of(WINDOW_BYTES) { Ok(window) } else { Err(FsError::BadRange) }
}
