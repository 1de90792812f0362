// SPDX-License-Identifier: BSD-2-Clause
//! The container that fsserver has for itself: parts of files that are cached, what clients have
//! written and the disk does not have yet, and what moves between the disk and private memory.
//!
//! ```text
//!   frame 0          64 windows of 2 MiB: the cache
//!   frame 64 * 512   8 times 256 frames: what is written
//!   then             64 frames: to and from the disk
//! ```
//!
//! All of it is lent to the driver of the disk, if there is one. A recovery makes it anew: what the
//! disk still writes to the old frames is seen by nobody (PM-273).

use core::ops::Range;

use fsserver_api::Failure;
use pmserver_client::{
    Container, ContainerHandle, MapFlags, Mapping, Micros, PAGE_BYTES, Pages, PeerId, Pm, Rights,
    Share, ShareTerms, Transport, VirtAddr, WeakContainer,
};
use proto::limits::{
    CALL_FRAMES_MAX, FS_CACHE_WINDOWS, FS_WRITES_MAX, LARGE_FRAMES, LEASE_MICROS_MAX,
};

use crate::kept::Kept;
use crate::lent::of_pm;

/// Frames of the cache, of what is written, and of what moves to and from the disk.
const CACHE_FRAMES: u64 = FS_CACHE_WINDOWS * LARGE_FRAMES;
const WRITTEN_FRAMES: u64 = FS_WRITES_MAX * CALL_FRAMES_MAX;
pub(crate) const TRANSFER_FRAMES: u64 = 64;
const FRAMES: u64 = CACHE_FRAMES + WRITTEN_FRAMES + TRANSFER_FRAMES;

/// Where the parts of it are mapped.
pub const CACHE_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1400_0000).unwrap(), CACHE_FRAMES).unwrap();
/// Where what is written is mapped, and after it what moves to and from the disk.
pub const OTHER_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1280_0000).unwrap(), WRITTEN_FRAMES + TRANSFER_FRAMES).unwrap();

const FLAGS: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// The container.
#[derive(Clone, Copy)]
pub struct Memory {
    container: ContainerHandle,
}

impl Memory {
    /// Makes the container, in the place of that from before a recovery.
    ///
    /// Its errors are those of pmserver.
    pub(crate) fn new<T: Transport>(pm: &Pm<T>, kept: &Kept) -> Result<Self, Failure> {
        for window in [CACHE_WINDOWS, OTHER_WINDOWS] {
            pm.unmap(window.start(), window.count()).map_err(of_pm)?;
        }
        let before = kept.container();
        if before != 0 {
            // What a transfer still pins is freed by `reclaim`, when the pin has ended (PM-24).
            if let Err(refused) = Container::from_raw(pm, before).destroy() {
                refused.value.into_raw();
            }
        }
        let raw = pm.account().create_container().map_err(of_pm)?.into_raw();
        kept.set_container(raw);
        Ok(Self { container: ContainerHandle::from_raw(raw) })
    }

    /// Lends it to the driver of a disk, and makes the frames for what moves to and from it.
    /// Returns the number by which the driver knows it.
    pub(crate) fn lend<T: Transport>(
        &self,
        pm: &Pm<T>,
        driver: PeerId,
    ) -> Result<ContainerHandle, Failure> {
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        let terms = ShareTerms { peer: driver, rights, lease_max, once: false };
        let share = self.with(pm, |own| own.share(0..FRAMES, terms).map(Share::into_raw));
        let (_, lent) = share.map_err(of_pm)?;
        self.make(pm, transfer())?;
        Ok(ContainerHandle::from_raw(lent))
    }

    /// Returns a number that differs from recovery to recovery: that of the container.
    pub(crate) fn tag_seed(&self) -> u32 {
        u32::try_from(self.container.raw() << 12 & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// Returns the container, to copy to it or from it.
    pub(crate) const fn weak<'pm, T: Transport>(&self, pm: &'pm Pm<T>) -> WeakContainer<'pm, T> {
        WeakContainer::from_handle(pm, self.container)
    }

    /// Makes frames, all zero, and maps them in their place. Nothing is left if that fails.
    pub(crate) fn make<T: Transport>(
        &self,
        pm: &Pm<T>,
        frames: Range<u64>,
    ) -> Result<Pages, Failure> {
        let made = self.with(pm, |own| own.allocate(frames.clone())).map_err(of_pm);
        let mapped = made.and_then(|_| self.map(pm, frames.clone(), FLAGS));
        mapped.inspect_err(|_| {
            self.drop_frames(pm, frames);
        })
    }

    /// Maps frames in their place.
    pub(crate) fn map<T: Transport>(
        &self,
        pm: &Pm<T>,
        frames: Range<u64>,
        flags: MapFlags,
    ) -> Result<Pages, Failure> {
        let at = place_of(&frames)?;
        let mapping = self.weak(pm).map(frames, at.start(), flags).map_err(of_pm)?;
        Ok(mapping.into_pages())
    }

    /// Maps pages again that a transfer has suspended.
    pub(crate) fn map_again<T: Transport>(&self, pm: &Pm<T>, pages: Pages) -> Result<(), Failure> {
        let mut mapping = Mapping::from_pages(pm, pages, FLAGS);
        let result = mapping.remap(FLAGS).map_err(of_pm);
        mapping.into_pages();
        result
    }

    /// Gives frames back, which unmaps them. Returns whether that is done: frames that a transfer
    /// still pins stay.
    pub(crate) fn drop_frames<T: Transport>(&self, pm: &Pm<T>, frames: Range<u64>) -> bool {
        self.with(pm, |own| own.deallocate(frames)).is_ok()
    }

    /// Does something with the container that only its owner can do.
    fn with<T: Transport, R>(&self, pm: &Pm<T>, action: impl FnOnce(&Container<'_, T>) -> R) -> R {
        let own = Container::from_raw(pm, self.container.raw());
        let result = action(&own);
        own.into_raw();
        result
    }
}

/// Returns the frames of a window of the cache.
pub(crate) fn window(index: usize) -> Range<u64> {
    frames(0, index, LARGE_FRAMES)
}

/// Returns the frames for something that is written.
pub(crate) fn written(index: usize) -> Range<u64> {
    frames(CACHE_FRAMES, index, CALL_FRAMES_MAX)
}

/// Returns the frames for what moves to and from the disk.
pub(crate) const fn transfer() -> Range<u64> {
    CACHE_FRAMES + WRITTEN_FRAMES..FRAMES
}

fn frames(first: u64, index: usize, count: u64) -> Range<u64> {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let start = first.saturating_add(index.saturating_mul(count));
    start..start.saturating_add(count)
}

/// Returns where frames are mapped.
pub(crate) fn place_of(frames: &Range<u64>) -> Result<Pages, Failure> {
    let (window, skipped) = match frames.start.checked_sub(CACHE_FRAMES) {
        Some(skipped) => (OTHER_WINDOWS, skipped),
        None => (CACHE_WINDOWS, frames.start),
    };
    let start = skipped.checked_mul(PAGE_BYTES).and_then(|at| window.start().checked_add(at));
    let count = frames.end.saturating_sub(frames.start);
    let pages = start.and_then(|start| Pages::new(start, count));
    pages.ok_or(pmserver_client::PmError::Invalid.into())
}
