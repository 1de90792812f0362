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
use proto::limits::{CALL_FRAMES_MAX, FS_STANDING_PER_CLIENT_MAX, PEERS_MAX};
use proto::{FrameCount, FrameNumber};

use crate::client::ClientId;
use crate::lent::{Filling, Kept, Lent};

const PLACES: usize = PEERS_MAX * FS_STANDING_PER_CLIENT_MAX;

/// Frames of all windows.
const FRAMES: u64 = 64 * CALL_FRAMES_MAX;

const _: () = assert!(PLACES == 64, "one window a place");

/// The windows, one after the other, each with room for as many frames as one call may touch.
pub const STANDING_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1C00_0000).unwrap(), FRAMES).unwrap();

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

impl Place {
    /// Returns how many frames are before those that are asked for, if all of them are there.
    fn skipped(
        &self,
        (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
    ) -> Option<u64> {
        let skipped = start.get().checked_sub(self.start.get())?;
        let end = skipped.checked_add(frames.get())?;
        (self.container == container && end <= self.frames.get()).then_some(skipped)
    }
}

/// All that stand.
pub(crate) struct Standing {
    /// Those of each client, by its channel.
    places: [[Option<Place>; FS_STANDING_PER_CLIENT_MAX]; PEERS_MAX],
    uses: u64,
}

impl Standing {
    /// Nothing stands.
    pub(crate) const fn new() -> Self {
        Self {
            places: [const { [const { None }; FS_STANDING_PER_CLIENT_MAX] }; PEERS_MAX],
            uses: 0,
        }
    }

    /// Returns frames of a container to be filled, at `now`. What stands of it does so until
    /// [`Self::end`] or too late.
    pub(crate) fn filling<'pm, T: Transport>(
        &mut self,
        pm: &'pm Pm<T>,
        client: ClientId,
        asked: (ContainerHandle, FrameNumber, FrameCount),
        now: Micros,
    ) -> Result<Filling<'pm, T>, Failure> {
        self.uses = self.uses.wrapping_add(1);
        let places = self.places.get_mut(usize::from(client.channel()));
        let places = places.into_iter().flatten().flatten();
        let stands = places.filter(|place| now <= place.until).find_map(|place| {
            let skipped = place.skipped(asked)?;
            place.used = self.uses;
            place.kept.filling(pm, skipped)
        });
        stands.map_or_else(|| self.begin(pm, client, asked, now), Ok)
    }

    /// Locks and maps frames of a container, where another one stood.
    #[inline(never)]
    fn begin<'pm, T: Transport>(
        &mut self,
        pm: &'pm Pm<T>,
        client: ClientId,
        (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
        now: Micros,
    ) -> Result<Filling<'pm, T>, Failure> {
        let of_client = usize::from(client.channel());
        let places = self.places.get_mut(of_client).ok_or(PmError::InvalidCap)?;
        // Its own place, or a free one, which was never used, or the one that was used longest ago.
        let age = |place: &Option<Place>| {
            let is_its_own = |place: &Place| place.container == container;
            (!place.as_ref().is_some_and(is_its_own), place.as_ref().map(|place| place.used))
        };
        let oldest = (0_usize..).zip(places).min_by_key(|(_, place)| age(place));
        let (index, place) = oldest.ok_or(PmError::Invalid)?;
        if let Some(before) = place.take() {
            before.kept.end(pm);
        }
        let number = of_client.saturating_mul(FS_STANDING_PER_CLIENT_MAX).saturating_add(index);
        let (kept, left) = Lent::to_keep(pm, container, start, frames, window(number)?)?;
        let (until, used) = (now.saturating_add(left), self.uses);
        *place = Some(Place { container, start, frames, until, used, kept });
        kept.filling(pm, 0).ok_or(PmError::Invalid.into())
    }

    /// Ends what stands of a container of a client.
    pub(crate) fn end<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        client: ClientId,
        container: ContainerHandle,
    ) {
        let places = self.places.get_mut(usize::from(client.channel()));
        for place in places.into_iter().flatten() {
            if place.as_ref().is_some_and(|place| place.container == container)
                && let Some(place) = place.take()
            {
                place.kept.end(pm);
            }
        }
    }
}

/// Returns the window of a place.
fn window(place: usize) -> Result<VirtAddr, Failure> {
    let bytes = CALL_FRAMES_MAX.saturating_mul(PAGE_BYTES);
    let start = u64::try_from(place).ok().and_then(|place| place.checked_mul(bytes));
    let start = start.and_then(|bytes| STANDING_WINDOWS.start().checked_add(bytes));
    start.ok_or(PmError::Invalid.into())
}
