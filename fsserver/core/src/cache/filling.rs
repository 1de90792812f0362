// SPDX-License-Identifier: BSD-2-Clause
//! Memory for windows, and how they get their contents.

use core::ops::Range;

use fsserver_api::{Failure, FsError};
use pmserver_client::{AddressSpace, Error, PAGE_BYTES, Pages, Pm, PmError, Transport};
use proto::limits::{BLOCK_BYTES, LARGE_FRAMES};

use super::{Cache, Contents, Key, Place, WINDOW_BYTES, first_frames};
use crate::disk::Target;
use crate::memory::{self, Home, Memory, STORES};

/// Above so many frames a window has all.
const PARTIAL_FRAMES_MAX: u64 = LARGE_FRAMES / 2;

/// Pages of the account that windows leave to other things: more than the tables and records are of
/// what is mapped for one request.
pub(crate) const LEFT: u64 = 32;

/// The same for windows that could be of extra frames instead, whose tables and records the account
/// pays for as well. What is written has room then, too.
const LEFT_BY_OWN: u64 = LARGE_FRAMES;

static ZEROS: [u8; 512] = [0; 512];
const _: () = assert!(BLOCK_BYTES == 512);

impl Cache {
    /// Makes an empty window with memory for so many bytes, in the place of the one that was used
    /// longest ago. Returns nothing if the window is there. With `is_lasting` it has no extra
    /// frames.
    ///
    /// Where there is no more memory, a whole window gets that of another one as it is: clearing it
    /// would cost more than all else (decision 0065).
    ///
    /// # Errors
    /// [`FsError::PmRefused`] if fsserver has no memory, though all other windows were given up.
    pub(crate) fn claim<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        (key, is_lasting): (Key, bool),
        bytes: u64,
    ) -> Result<Option<(usize, Target)>, Failure> {
        if self.knows(key) {
            return Ok(None);
        }
        // Who reads across the start of the window needs the one before it as well.
        let before = key.window.checked_sub(1).map(|window| Key { window, ..key });
        if let Some(place) = self.places.iter_mut().find(|it| it.key.is_some() && it.key == before)
        {
            self.uses = self.uses.wrapping_add(1);
            place.used = self.uses;
        }
        let frames = match bytes.div_ceil(PAGE_BYTES) {
            0 => 1,
            few @ ..=PARTIAL_FRAMES_MAX => few,
            _ => LARGE_FRAMES,
        };
        let may_be_in = |home| !is_lasting || home == Home::Own;
        let may_be_extra = memory.may_be_extra() && may_be_in(Home::Extra);
        let mut index = self.oldest(|_| true).ok_or(FsError::Busy)?;
        let (home, pages, is_clear) = loop {
            let range = first_frames(index, frames);
            if bytes == WINDOW_BYTES && self.is_free_to_fill(pm, memory, index) {
                break (Home::Own, memory::place_of(&range)?, false);
            }
            self.drop_place(pm, memory, index);
            let is_empty = self.places.get(index).is_some_and(|place| place.frames == 0);
            let made = if is_empty {
                make_in(pm, memory, range, may_be_in)
            } else {
                Err(FsError::Busy.into())
            };
            match made {
                Ok((home, pages)) => break (home, pages, true),
                Err(failure) => {
                    let helps = |home| may_be_extra || may_be_in(home);
                    let oldest = self.oldest(|place| place.key.is_some() && helps(place.home));
                    index = oldest.ok_or(failure)?;
                }
            }
        };
        if let Some(place) = self.places.get_mut(index) {
            *place = Place { key: Some(key), home, frames, used: self.uses, ..Place::EMPTY };
        }
        let first_frame = memory::window(index).start;
        Ok(Some((index, Target { pages, home, first_frame, is_clear })))
    }

    /// Returns whether a whole window can be filled with something else: it has a large frame of
    /// fsserver's own that nobody has got a copy of, or not any more.
    fn is_free_to_fill<T: Transport>(&self, pm: &Pm<T>, memory: &Memory, index: usize) -> bool {
        let is_own = |place: &&Place| {
            place.key.is_some() && place.home == Home::Own && place.frames == LARGE_FRAMES
        };
        self.places.get(index).filter(is_own).is_some_and(|place| {
            let last = memory::window(index).end.saturating_sub(1);
            !(place.is_lent && memory.is_shared(pm, place.home, last))
        })
    }

    /// Says that a window that was claimed has its contents, which are so many bytes.
    ///
    /// # Errors
    /// If frames of it were taken back meanwhile.
    pub(crate) fn filled<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        (index, bytes): (usize, u64),
        space: &mut impl AddressSpace,
    ) -> Result<(), Failure> {
        let place = self.places.get_mut(index).ok_or(FsError::Busy)?;
        let frames = first_frames(index, place.frames);
        memory.map_again(pm, &frames, STORES)?;
        // A disk gives whole blocks, whatever is behind the end of the file.
        let used = bytes.checked_rem(BLOCK_BYTES).and_then(|used| usize::try_from(used).ok());
        let used = used.filter(|used| *used > 0);
        if let Some(zeros) = used.and_then(|used| ZEROS.get(used..)) {
            let pages = memory::place_of(&frames)?;
            pages.copy_out(space, zeros, bytes).map_err(|_: Error| FsError::BadRange)?;
        }
        place.contents = Contents::There;
        if place.home == Home::Extra {
            memory.let_go(pm, place.home, frames)?;
            place.contents = Contents::Extra;
        }
        Ok(())
    }

    /// Gives up the window that was used longest ago, if there is one: first of those that
    /// fsserver's account pays for. Returns whether there was one.
    pub(crate) fn make_room<T: Transport>(&mut self, pm: &Pm<T>, memory: &Memory) -> bool {
        let is_own = |place: &Place| place.key.is_some() && place.home == Home::Own;
        let oldest = self.oldest(is_own).or_else(|| self.oldest(|place| place.key.is_some()));
        oldest.map(|oldest| self.drop_place(pm, memory, oldest)).is_some()
    }

    /// Makes frames for a place, in a container that may be. If there is no memory for them, other
    /// windows than that with this key are given up.
    pub(super) fn make<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        memory: &Memory,
        key: Option<Key>,
        frames: Range<u64>,
        home: Home,
    ) -> Result<Pages, Failure> {
        loop {
            let failure = match make_in(pm, memory, frames.clone(), |it| it == home) {
                Ok((_, pages)) => return Ok(pages),
                Err(failure) => failure,
            };
            let is_other = |place: &Place| {
                place.key.is_some()
                    && place.key != key
                    && (home == Home::Extra || place.home == Home::Own)
            };
            let oldest = self.oldest(is_other).ok_or(failure)?;
            self.drop_place(pm, memory, oldest);
        }
    }
}

/// Makes frames, all zero, in a container that may be, if there is memory for them.
fn make_in<T: Transport>(
    pm: &Pm<T>,
    memory: &Memory,
    frames: Range<u64>,
    may_be_in: impl Fn(Home) -> bool,
) -> Result<(Home, Pages), Failure> {
    let count = frames.end.saturating_sub(frames.start);
    let may_be_extra = memory.may_be_extra() && may_be_in(Home::Extra);
    let left = memory.pages_left(pm);
    let left_by_own = if may_be_extra { LEFT_BY_OWN } else { LEFT };
    let homes = [
        (Home::Own, may_be_in(Home::Own) && left >= count.saturating_add(left_by_own)),
        (Home::Extra, may_be_extra && left >= LEFT),
    ];
    let mut failure = Failure::from(PmError::QuotaExceeded);
    for (home, _) in homes.into_iter().filter(|(_, may_be)| *may_be) {
        match memory.make(pm, home, frames.clone()) {
            Ok(pages) => return Ok((home, pages)),
            Err(refused) => failure = refused,
        }
    }
    Err(failure)
}
