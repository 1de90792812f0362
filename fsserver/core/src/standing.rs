// SPDX-License-Identifier: BSD-2-Clause
//! Containers that stay locked and mapped between the calls of their clients (`read_standing`).
//!
//! Each has a window of its own, and each client has so many that it cannot use up those of others.
//! What stands is bound by its lease, which pmserver ends: nothing has to be done at the deadline,
//! and nothing of it is touched when the deadline is near.
//!
//! ```text
//!   read_standing --> stands { until } --read_standing, in time, in the range--> the same
//!        ^                |
//!        |                | release, another request that names the container, an error, too late,
//!        +-- not there <--+ outside of the range, or its client needs the window
//! ```

use fsserver_api::Failure;
use pmserver_client::{
    ContainerHandle, Micros, PAGE_BYTES, Pages, Pm, PmError, Transport, VirtAddr,
};
use proto::limits::{CALL_FRAMES_MAX, FS_CLIENTS_MAX, FS_STANDING_PER_CLIENT_MAX};
use proto::{FrameCount, FrameNumber};

use crate::lent::{Kept, Lent, pm_refused};
use crate::open_file::ClientId;

const PLACES: usize = FS_CLIENTS_MAX * FS_STANDING_PER_CLIENT_MAX;

/// Frames of all windows.
const FRAMES: u64 = 8 * CALL_FRAMES_MAX;

const _: () = assert!(PLACES == 8, "one window a place");

/// The windows, one after the other, each with room for as many frames as one call may touch.
pub const STANDING_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1020_0000).unwrap(), FRAMES).unwrap();

/// A container that stands.
struct Place {
    container: ContainerHandle,
    start: FrameNumber,
    frames: FrameCount,
    /// Until when it may be filled, on the clock that requests are dated with.
    until: Micros,
    /// When it was used last, in requests that stand.
    used: u64,
    kept: Kept,
}

/// All that stand.
pub(crate) struct Standing {
    places: [Option<Place>; PLACES],
    uses: u64,
}

/// A container that is being filled, and stands again afterwards.
pub(crate) struct Stands<'pm, T: Transport> {
    /// Its frames, from the first one that is asked for.
    pub(crate) lent: Lent<'pm, T>,
    container: ContainerHandle,
    start: FrameNumber,
    frames: FrameCount,
    until: Micros,
    place: usize,
}

impl Standing {
    /// Nothing stands.
    pub(crate) const fn new() -> Self {
        Self { places: [const { None }; PLACES], uses: 0 }
    }

    /// Returns frames of a container to be filled, at `now`, for one call.
    pub(crate) fn take<'pm, T: Transport>(
        &mut self,
        pm: &'pm Pm<T>,
        client: ClientId,
        (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
        now: Micros,
    ) -> Result<Stands<'pm, T>, Failure> {
        let (place, found) = self.take_place(client, container);
        if let Some(found) = found {
            let skipped = start.get().checked_sub(found.start.get());
            let fits = skipped
                .is_some_and(|skipped| skipped.saturating_add(frames.get()) <= found.frames.get());
            let is_asked = found.container == container && fits && now <= found.until;
            let base = skipped.filter(|_| is_asked).unwrap_or(0).saturating_mul(PAGE_BYTES);
            let lent = Lent::from_kept(pm, found.kept, base);
            if is_asked {
                let Place { start, frames, until, .. } = found;
                return Ok(Stands { lent, container, start, frames, until, place });
            }
            // Dropping what was kept ends it.
        }
        let (lent, left) = Lent::to_keep(pm, container, start, frames, window(place)?)?;
        let until = now.saturating_add(left);
        Ok(Stands { lent, container, start, frames, until, place })
    }

    /// Lets a container that was filled stand for the next call.
    pub(crate) fn put<T: Transport>(&mut self, stands: Stands<'_, T>) {
        let Stands { lent, container, start, frames, until, place } = stands;
        self.uses = self.uses.wrapping_add(1);
        if let Some(place) = self.places.get_mut(place) {
            let (used, kept) = (self.uses, lent.keep());
            *place = Some(Place { container, start, frames, until, used, kept });
        }
    }

    /// Ends what stands of a container.
    pub(crate) fn end<T: Transport>(&mut self, pm: &Pm<T>, container: ContainerHandle) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|place| place.container == container)
                && let Some(place) = place.take()
            {
                drop(Lent::from_kept(pm, place.kept, 0));
            }
        }
    }

    /// Returns the place for a container, emptied: its own, else a free one if the client may have
    /// another; else the one that was used longest ago, of the client or of all.
    fn take_place(&mut self, client: ClientId, of: ContainerHandle) -> (usize, Option<Place>) {
        let is_its_own =
            |place: &Option<Place>| place.as_ref().is_some_and(|place| place.container == of);
        let index = self.places.iter().position(is_its_own).unwrap_or_else(|| {
            let is_clients = |place: &&Option<Place>| {
                place.as_ref().is_some_and(|place| client.owns(place.container))
            };
            let is_full =
                self.places.iter().filter(is_clients).count() >= FS_STANDING_PER_CLIENT_MAX;
            let places = (0..).zip(&self.places).filter(|(_, place)| !is_full || is_clients(place));
            // A free place was never used.
            let oldest = places.min_by_key(|(_, place)| place.as_ref().map(|place| place.used));
            oldest.map_or(0, |(index, _)| index)
        });
        (index, self.places.get_mut(index).and_then(Option::take))
    }
}

/// Returns the window of a place.
fn window(place: usize) -> Result<VirtAddr, Failure> {
    let bytes = CALL_FRAMES_MAX.saturating_mul(PAGE_BYTES);
    let start = u64::try_from(place).ok().and_then(|place| place.checked_mul(bytes));
    let start = start.and_then(|bytes| STANDING_WINDOWS.start().checked_add(bytes));
    start.ok_or_else(|| pm_refused(PmError::Invalid))
}
