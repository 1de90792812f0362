// SPDX-License-Identifier: BSD-2-Clause
//! The containers that fsserver has for itself: parts of files that are cached, what clients have
//! written and the disk does not have yet, and what moves between the disk and private memory.
//!
//! ```text
//!   frame 0          64 windows of 2 MiB: the cache
//!   frame 64 * 512   256 frames: what is written
//!   then             64 frames: to and from the disk
//! ```
//!
//! One has what fsserver's account pays for. If that may have extra frames, another one has windows
//! of the cache with the same numbers, and so the same addresses, that pmserver may take back when
//! somebody else needs the memory. It has an account of its own, as an account with extra frames
//! gives up its newest ones, whatever they are used for (PM-34).
//!
//! All of it is lent to the driver of the disk, if there is one. A recovery makes it anew: what the
//! disk still writes to the old frames is seen by nobody (PM-273).

use core::ops::Range;

use fsserver_api::Failure;
use pmserver_client::{
    Account, AllocateFlags, Container, ContainerHandle, Error, FrameState, Lease, LimitFlags,
    LockMode, MapFlags, Mapping, Marks, Micros, PAGE_BYTES, Pages, PeerId, Pm, PmError, Rights,
    Share, ShareTerms, SplitAccount, Transport, VirtAddr, WeakContainer,
};
use proto::limits::{
    CALL_FRAMES_MAX, FS_CACHE_WINDOWS, FS_LEASE_MICROS, LARGE_FRAMES, LEASE_MICROS_MAX,
};

use crate::kept::{Kept, Number};
use crate::lent::of_pm;

/// Frames of the cache, of what is written, and of what moves to and from the disk.
const CACHE_FRAMES: u64 = FS_CACHE_WINDOWS * LARGE_FRAMES;
const WRITTEN_FRAMES: u64 = CALL_FRAMES_MAX;
pub(crate) const TRANSFER_FRAMES: u64 = 64;
const FRAMES: u64 = CACHE_FRAMES + WRITTEN_FRAMES + TRANSFER_FRAMES;

/// Where the parts of it are mapped.
pub const CACHE_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1400_0000).unwrap(), CACHE_FRAMES).unwrap();
/// Where what is written is mapped, and after it what moves to and from the disk.
pub const OTHER_WINDOWS: Pages =
    Pages::new(VirtAddr::new(0x1280_0000).unwrap(), WRITTEN_FRAMES + TRANSFER_FRAMES).unwrap();

/// How pages are mapped that are to be written to.
pub(crate) const STORES: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// Which part of its limit fsserver's account lends to that with extra frames, for their records.
const EXTRA_SHARE: u64 = 16;

/// Which of the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// That which fsserver's account pays for.
    Own,
    /// That with frames that pmserver may take back.
    Extra,
}

/// The numbers of both containers, for who may use them.
#[derive(Clone, Copy)]
pub(crate) struct Handles {
    own: ContainerHandle,
    extra: Option<ContainerHandle>,
}

impl Handles {
    /// Returns the number of one.
    pub(crate) fn of(&self, home: Home) -> ContainerHandle {
        match home {
            Home::Own => self.own,
            Home::Extra => self.extra.unwrap_or(self.own),
        }
    }
}

/// The containers.
pub struct Memory {
    handles: Handles,
    /// Whether transfers have kept frames of those from before a recovery.
    has_remains: bool,
}

impl Memory {
    /// Makes the containers, in the place of those from before a recovery.
    ///
    /// Its errors are those of pmserver.
    pub(crate) fn new<T: Transport>(pm: &Pm<T>, kept: &Kept) -> Result<Self, Failure> {
        for window in [CACHE_WINDOWS, OTHER_WINDOWS] {
            pm.unmap(window.start(), window.count()).map_err(of_pm)?;
        }
        let is_recovery = kept.number(Number::Container) != 0;
        let own = make_anew(pm, kept, Number::Container, &pm.account()).map_err(of_pm)?;
        let extra = extra_account(pm, kept)
            .and_then(|account| make_anew(pm, kept, Number::ExtraContainer, &account));
        Ok(Self { handles: Handles { own, extra: extra.ok() }, has_remains: is_recovery })
    }

    /// Goes on with giving back what was there before a recovery, a step at a time: frames that a
    /// transfer pins stay until its end.
    pub(crate) fn sweep<T: Transport>(&mut self, pm: &Pm<T>) {
        if self.has_remains {
            self.has_remains = pm.reclaim().is_ok_and(|left| left > 0);
        }
    }

    /// Returns whether there may be extra frames.
    pub(crate) const fn may_be_extra(&self) -> bool {
        self.handles.extra.is_some()
    }

    /// Lends all to the driver of a disk, and makes the frames for what moves to and from it.
    /// Returns the numbers by which the driver knows them.
    pub(crate) fn lend<T: Transport>(
        &self,
        pm: &Pm<T>,
        driver: PeerId,
    ) -> Result<Handles, Failure> {
        let lend = |home| {
            let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
            let lease_max = Micros::new(LEASE_MICROS_MAX);
            let terms = ShareTerms { peer: driver, rights, lease_max, once: false };
            let share = self.with(pm, home, |own| own.share(0..FRAMES, terms).map(Share::into_raw));
            share.map(|(_, lent)| ContainerHandle::from_raw(lent)).map_err(of_pm)
        };
        let extra = self.handles.extra.map(|_| lend(Home::Extra)).transpose()?;
        let lent = Handles { own: lend(Home::Own)?, extra };
        self.make(pm, Home::Own, transfer())?;
        Ok(lent)
    }

    /// Returns a number that differs from recovery to recovery: that of the container.
    pub(crate) fn tag_seed(&self) -> u32 {
        u32::try_from(self.handles.own.raw() << 12 & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// Returns a container, to copy to it or from it.
    pub(crate) fn weak<'pm, T: Transport>(
        &self,
        pm: &'pm Pm<T>,
        home: Home,
    ) -> WeakContainer<'pm, T> {
        WeakContainer::from_handle(pm, self.handles.of(home))
    }

    /// Returns how many pages fsserver's account has left, or less.
    pub(crate) fn pages_left<T: Transport>(&self, pm: &Pm<T>) -> u64 {
        pm.account().info().map_or(0, |info| {
            let used = info.used.get().saturating_add(info.promised.get());
            info.limit.get().saturating_sub(used).checked_div(PAGE_BYTES).unwrap_or(0)
        })
    }

    /// Makes frames, all zero, and maps them in their place. Nothing is left if that fails.
    pub(crate) fn make<T: Transport>(
        &self,
        pm: &Pm<T>,
        home: Home,
        frames: Range<u64>,
    ) -> Result<Pages, Failure> {
        let flags = match home {
            Home::Own => AllocateFlags::empty(),
            Home::Extra => AllocateFlags::EXTRA,
        };
        let made = self.with(pm, home, |own| own.allocate_with(frames.clone(), flags));
        let mapped = made.map_err(of_pm).and_then(|_| self.map(pm, home, frames.clone(), STORES));
        mapped.inspect_err(|_| {
            self.drop_frames(pm, home, frames);
        })
    }

    /// Maps frames in their place.
    pub(crate) fn map<T: Transport>(
        &self,
        pm: &Pm<T>,
        home: Home,
        frames: Range<u64>,
        flags: MapFlags,
    ) -> Result<Pages, Failure> {
        let at = place_of(&frames)?;
        let mapping = self.weak(pm, home).map(frames, at.start(), flags).map_err(of_pm)?;
        Ok(mapping.into_pages())
    }

    /// Maps frames again that are mapped in their place: a transfer may have suspended that, or
    /// memory may be missing for a store. Fails if one of them was taken back.
    pub(crate) fn map_again<T: Transport>(
        &self,
        pm: &Pm<T>,
        frames: &Range<u64>,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        let mut mapping = Mapping::from_pages(pm, place_of(frames)?, flags);
        let result = mapping.remap(flags).map_err(of_pm);
        mapping.into_pages();
        result
    }

    /// Returns whether somebody else may have the memory of a frame.
    pub(crate) fn is_shared<T: Transport>(&self, pm: &Pm<T>, home: Home, frame: u64) -> bool {
        let state = self.with(pm, home, |own| own.status(frame..=frame).next());
        !matches!(state, Some(Ok((_, state))) if !state.contains(FrameState::COW))
    }

    /// Keeps frames of a window from being taken back for a while.
    pub(crate) fn keep_there<'pm, T: Transport>(
        &self,
        pm: &'pm Pm<T>,
        home: Home,
        frames: Range<u64>,
    ) -> Result<Lease<'pm, T>, Failure> {
        let count = frames.end.saturating_sub(frames.start);
        let first =
            frames.start.saturating_sub(frames.start.checked_rem(LARGE_FRAMES).unwrap_or(0));
        let all = first..first.saturating_add(LARGE_FRAMES);
        let frames = if count <= CALL_FRAMES_MAX { frames } else { all };
        let ttl = Micros::new(FS_LEASE_MICROS);
        self.weak(pm, home).lock(frames, LockMode::Read, ttl).map_err(of_pm)
    }

    /// Lets pmserver take frames back as soon as somebody needs the memory.
    pub(crate) fn let_go<T: Transport>(
        &self,
        pm: &Pm<T>,
        home: Home,
        frames: Range<u64>,
    ) -> Result<(), Failure> {
        self.with(pm, home, |own| own.mark(frames, Marks::DISCARDABLE)).map(drop).map_err(of_pm)
    }

    /// Gives frames back, which unmaps them. Returns whether that is done: frames that a transfer
    /// still pins stay.
    pub(crate) fn drop_frames<T: Transport>(
        &self,
        pm: &Pm<T>,
        home: Home,
        frames: Range<u64>,
    ) -> bool {
        self.with(pm, home, |own| own.deallocate(frames)).is_ok()
    }

    /// Does something with a container that only its owner can do.
    fn with<T: Transport, R>(
        &self,
        pm: &Pm<T>,
        home: Home,
        action: impl FnOnce(&Container<'_, T>) -> R,
    ) -> R {
        let own = Container::from_raw(pm, self.handles.of(home).raw());
        let result = action(&own);
        own.into_raw();
        result
    }
}

/// Makes a container, in the place of that from before a recovery.
fn make_anew<T: Transport>(
    pm: &Pm<T>,
    kept: &Kept,
    number: Number,
    account: &Account<'_, T>,
) -> Result<ContainerHandle, Error> {
    let before = kept.number(number);
    if before != 0 {
        // What a transfer still pins is freed later (PM-24).
        if let Err(refused) = Container::from_raw(pm, before).destroy() {
            refused.value.into_raw();
        }
    }
    let raw = account.create_container()?.into_raw();
    kept.set_number(number, raw);
    Ok(ContainerHandle::from_raw(raw))
}

/// Returns the account for extra frames, which is made once.
///
/// # Errors
/// `NotEligible` if fsserver may have none, `QuotaExceeded` if it cannot pay for their records.
fn extra_account<'pm, T: Transport>(pm: &'pm Pm<T>, kept: &Kept) -> Result<Account<'pm, T>, Error> {
    let mut raw = kept.number(Number::ExtraAccount);
    if raw == 0 {
        let pages = pm.account().info()?.limit.get().checked_div(PAGE_BYTES * EXTRA_SHARE);
        let limit = pages.and_then(|pages| u32::try_from(pages).ok()).unwrap_or(0);
        raw = SplitAccount::into_raw(pm.account().split_with(limit, LimitFlags::EXTRA)?);
        kept.set_number(Number::ExtraAccount, raw);
    }
    Ok(Account::from_raw(pm, raw))
}

/// Returns the frames of a window of the cache.
pub(crate) fn window(index: usize) -> Range<u64> {
    let start = u64::try_from(index).unwrap_or(u64::MAX).saturating_mul(LARGE_FRAMES);
    start..start.saturating_add(LARGE_FRAMES)
}

/// Returns the frames for what is written: one write at a time.
pub(crate) const fn written() -> Range<u64> {
    CACHE_FRAMES..CACHE_FRAMES + WRITTEN_FRAMES
}

/// Returns the frames for what moves to and from the disk.
pub(crate) const fn transfer() -> Range<u64> {
    CACHE_FRAMES + WRITTEN_FRAMES..FRAMES
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
    pages.ok_or(PmError::Invalid.into())
}
