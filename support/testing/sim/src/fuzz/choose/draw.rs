// SPDX-License-Identifier: BSD-2-Clause
//! The parts of requests: numbers, handles and flags, most of which make sense.

use model::Handles;
use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, Frames, LockMode, MapFlags, Rights,
    ShareTerms,
};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, Micros, PeerId, VirtAddr};

use super::Chooser;

/// Where programs map: no table of theirs is there.
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const WINDOW_PAGES: u64 = 48;
/// For each frame that calls name.
const NUMBERS_A_FRAME: u64 = 5;
/// The window of one page table.
const TABLE: u64 = 1 << 21;
const TABLES: u64 = 16;
/// Ranges of 512 frames in most containers that have such.
const RANGES: u64 = 3;
/// The last page below the end of user space: whether it is a program's depends on the kernel, and
/// two pages from there on are none anywhere.
pub(super) const LAST_PAGE: u64 = (1 << 47) - PAGE;

/// Returns where programs map, a call's worth of pages at a time.
pub(crate) fn windows() -> impl Iterator<Item = VirtAddr> {
    let table = (0..TABLES).map(|table| WINDOW + table * TABLE);
    table.filter_map(VirtAddr::new_page)
}

impl Chooser<'_> {
    pub(super) fn page(&mut self) -> VirtAddr {
        let page = match self.dice.below(40) {
            28.. if self.is_large() => {
                let in_it = if self.dice.once_in(3) { self.dice.below(LARGE_FRAMES) } else { 0 };
                WINDOW + TABLE * (4 + self.dice.below(TABLES - 5)) + PAGE * in_it
            }
            0 => LAST_PAGE,
            1..6 => WINDOW + TABLE * (1 + self.dice.below(3)) + PAGE * self.dice.below(4),
            _ => WINDOW + PAGE * self.dice.below(WINDOW_PAGES.max(self.scale.min(CALL_FRAMES_MAX))),
        };
        VirtAddr::new_page(page).expect("pages are in user space")
    }

    /// Whether most calls name frames by 512.
    pub(super) const fn is_large(&self) -> bool {
        self.scale == LARGE_FRAMES
    }

    /// Returns a count: small nearly always, in most runs.
    pub(super) fn count(&mut self) -> FrameCount {
        let count = match self.dice.below(40) {
            20.. if self.is_large() => LARGE_FRAMES,
            4.. if self.is_large() => 1 + self.dice.below(8),
            39 if self.dice.once_in(4) => LARGE_FRAMES,
            0 => 256,
            1..4 => 1 + self.dice.below(64),
            4..14 => 1,
            _ => 1 + self.dice.below(self.scale),
        };
        FrameCount::new(count).expect("a call has so many")
    }

    /// Returns the number behind those that most frames have.
    pub(super) const fn numbers(&self) -> u64 {
        NUMBERS_A_FRAME * self.scale
    }

    pub(super) fn number(&mut self) -> FrameNumber {
        FrameNumber::new(match self.dice.below(60) {
            20.. if self.is_large() => {
                let number = LARGE_FRAMES * self.dice.below(RANGES);
                match self.dice.below(8) {
                    0 => number + self.dice.below(LARGE_FRAMES),
                    1 => number.saturating_sub(self.dice.below(4)),
                    _ => number,
                }
            }
            0 => u64::MAX - self.dice.below(4),
            1 => 1 << (8 * self.dice.below(8)),
            2 => self.dice.any(),
            3..20 => 0,
            _ => self.dice.below(self.numbers()),
        })
    }

    /// Returns a number for a container: one that it has a frame of, more often than not.
    pub(super) fn number_in(&mut self, container: ContainerHandle) -> FrameNumber {
        let numbers = self.model.frames(self.peer, container);
        match self.dice.pick(&numbers).filter(|_| !self.dice.once_in(12)) {
            Some(number) if self.is_large() && self.dice.once_in(2) => {
                FrameNumber::new(number - number % LARGE_FRAMES)
            }
            Some(number) => FrameNumber::new(number),
            None => self.number(),
        }
    }

    /// Returns a count of frames from a number on: mostly not more than are there.
    pub(super) fn count_in(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
    ) -> FrameCount {
        let numbers = self.model.frames(self.peer, container);
        let is_there = |count: &u64| {
            let number = start.get().wrapping_add(*count);
            numbers.binary_search(&number).is_ok()
        };
        let most = (0..LARGE_FRAMES).take_while(is_there).count() as u64;
        let count = self.count();
        let is_free = most == 0 || count.get() <= most || self.dice.once_in(8);
        let fewer = FrameCount::new(most.min(CALL_FRAMES_MAX));
        if is_free { count } else { fewer.unwrap_or(count) }
    }

    /// Returns 512 frames that were never used.
    pub(super) fn blank(&mut self) -> Option<Frames> {
        let containers: Vec<ContainerHandle> =
            self.own.strong.iter().chain(&self.own.weak).copied().collect();
        let count = self.whole();
        let ranges = containers.into_iter().flat_map(|container| {
            let start = |range| FrameNumber::new(LARGE_FRAMES * range);
            (0..RANGES).map(move |range| Frames { container, start: start(range), count })
        });
        let blank: Vec<Frames> =
            ranges.filter(|frames| self.model.is_blank(self.peer, frames)).collect();
        self.dice.pick(&blank)
    }

    /// Returns where 512 frames of a container begin, if it has so many in one range.
    pub(super) fn range_in(&mut self, container: ContainerHandle) -> FrameNumber {
        let numbers = self.model.frames(self.peer, container);
        let is_whole = |first: &u64| {
            let at = |number: &u64| numbers.binary_search(number).ok();
            let (begin, end) = (at(first), at(&(first + LARGE_FRAMES - 1)));
            begin.zip(end).is_some_and(|(begin, end)| (end - begin) as u64 == LARGE_FRAMES - 1)
        };
        let all = (0..RANGES).map(|range| LARGE_FRAMES * range);
        let whole: Vec<u64> = all.filter(is_whole).collect();
        FrameNumber::new(self.dice.pick(&whole).unwrap_or(0))
    }

    /// Returns where 512 pages begin of which none is mapped.
    pub(super) fn place(&mut self) -> VirtAddr {
        let pages = self.model.pages(self.peer);
        let is_free = |place: &u64| !pages.iter().any(|page| page / TABLE == place / TABLE);
        let all = (4..TABLES).map(|table| WINDOW + TABLE * table);
        let free: Vec<u64> = all.filter(is_free).collect();
        let place = self.dice.pick(&free).and_then(VirtAddr::new_page);
        place.unwrap_or_else(|| self.page())
    }

    /// Returns the count of frames that may be one large one.
    pub(super) fn whole(&self) -> FrameCount {
        FrameCount::new(LARGE_FRAMES).expect("a call has so many")
    }

    /// Returns a range of so many frames: of 512 nearly always one that a call can name.
    pub(super) fn aligned(&mut self, start: FrameNumber, count: FrameCount) -> FrameNumber {
        let is_free = count.get() < LARGE_FRAMES || self.dice.once_in(16);
        if is_free { start } else { FrameNumber::new(start.get() - start.get() % LARGE_FRAMES) }
    }

    fn frames_in(&mut self, container: ContainerHandle) -> Frames {
        let start = self.number_in(container);
        let count = self.count_in(container, start);
        Frames { container, start: self.aligned(start, count), count }
    }

    pub(super) fn other(&mut self) -> PeerId {
        let others: Vec<PeerId> =
            self.peers.iter().copied().filter(|peer| *peer != self.peer).collect();
        let all = if self.dice.once_in(12) { self.peers } else { &others };
        let other = self.dice.pick(all).expect("there are peers");
        if self.dice.once_in(30) { PeerId::new(29).expect("a number") } else { other }
    }

    /// Returns a number that names something else than one thinks, or nothing.
    pub(super) fn forged(&mut self) -> u64 {
        let stale = self.model.stale();
        match self.dice.below(4) {
            0 => self.dice.any(),
            1 => self.dice.below(64),
            _ => self.dice.pick(&stale).unwrap_or(1 << 40),
        }
    }

    pub(super) fn handle<T: Copy>(
        &mut self,
        own: fn(&Handles) -> &Vec<T>,
        make: fn(u64) -> T,
    ) -> T {
        let of_other = self.other();
        let foreign = own(&self.model.handles(of_other)).clone();
        let chosen = match self.dice.below(40) {
            0 => None,
            1 => self.dice.pick(&foreign),
            _ => self.dice.pick(own(&self.own)),
        };
        chosen.unwrap_or_else(|| make(self.forged()))
    }

    pub(super) fn strong(&mut self) -> ContainerHandle {
        match self.dice.below(32) {
            0 => self.handle(|handles| &handles.weak, ContainerHandle::from_raw),
            1 => self.handle(|handles| &handles.dying, ContainerHandle::from_raw),
            _ => self.handle(|handles| &handles.strong, ContainerHandle::from_raw),
        }
    }

    /// Returns a container of the caller's: of two the one with more frames.
    pub(super) fn filled(&mut self) -> ContainerHandle {
        let two = [self.strong(), self.strong()];
        let fuller = two.into_iter().max_by_key(|of| self.model.frames(self.peer, *of).len());
        fuller.expect("there are two")
    }

    /// Returns a container to destroy: one of which that has begun, if there is one.
    pub(super) fn doomed(&mut self) -> ContainerHandle {
        if self.own.dying.is_empty() || self.dice.once_in(3) {
            return self.strong();
        }
        self.handle(|handles| &handles.dying, ContainerHandle::from_raw)
    }

    /// Returns a container to use, strong or weak.
    pub(super) fn usable(&mut self) -> ContainerHandle {
        if !self.own.once.is_empty() && self.dice.once_in(24) {
            return self.handle(|handles| &handles.once, ContainerHandle::from_raw);
        }
        if !self.own.weak.is_empty() && self.dice.once_in(2) {
            return self.handle(|handles| &handles.weak, ContainerHandle::from_raw);
        }
        self.filled()
    }

    /// Returns a container to take, or now and then another.
    pub(super) fn takeable(&mut self) -> ContainerHandle {
        if self.own.once.is_empty() || self.dice.once_in(20) {
            return self.usable();
        }
        self.handle(|handles| &handles.once, ContainerHandle::from_raw)
    }

    pub(super) fn account(&mut self) -> AccountHandle {
        match self.dice.below(16) {
            0 => AccountHandle::POOL,
            1 => AccountHandle::of_peer(self.other()),
            2..8 if !self.own.accounts.is_empty() => {
                self.handle(|handles| &handles.accounts, AccountHandle::from_raw)
            }
            _ => AccountHandle::OWN,
        }
    }

    /// Returns an account that one destroys, removes or lends: one's own stays, mostly.
    pub(super) fn draw_account(&mut self) -> AccountHandle {
        if self.dice.once_in(12) {
            return self.account();
        }
        self.handle(|handles| &handles.accounts, AccountHandle::from_raw)
    }

    pub(super) fn strong_frames(&mut self) -> Frames {
        let container = self.filled();
        self.frames_in(container)
    }

    pub(super) fn new_frames(&mut self) -> Frames {
        let container = self.strong();
        let (start, count) = (self.number(), self.count());
        let mut start = self.aligned(start, count);
        if self.is_large() && count.get() < LARGE_FRAMES && !self.dice.once_in(6) {
            // Elsewhere, so that ranges can be allocated as a whole.
            start = FrameNumber::new(start.get() | (LARGE_FRAMES * (RANGES + 1)));
        }
        Frames { container, start, count }
    }

    pub(super) fn usable_frames(&mut self) -> Frames {
        let container = self.usable();
        self.frames_in(container)
    }

    pub(super) fn ttl(&mut self) -> Micros {
        Micros::new(match self.dice.below(20) {
            0 => 0,
            1 => u64::MAX,
            _ => 50_000 + self.dice.below(1_200_000),
        })
    }

    pub(super) fn rights(&mut self) -> Rights {
        match self.dice.below(10) {
            0 => Rights::READ,
            1 => Rights::WRITE,
            2 => Rights::LOCK,
            3 => Rights::READ | Rights::LOCK,
            4 => Rights::READ | Rights::WRITE,
            5 if self.dice.once_in(4) => Rights::empty(),
            _ => Rights::all(),
        }
    }

    pub(super) fn terms(&mut self) -> ShareTerms {
        let lease_max = if self.dice.once_in(8) { 0 } else { 60_000 + self.dice.below(900_000) };
        let lease_max = Micros::new(lease_max);
        let once = self.dice.once_in(4);
        ShareTerms { peer: self.other(), rights: self.rights(), lease_max, once }
    }

    pub(super) fn map_flags(&mut self) -> MapFlags {
        match self.dice.below(16) {
            0..6 if self.is_large() => MapFlags::WRITE | MapFlags::FORCE_WRITE,
            0..6 => MapFlags::READ | MapFlags::WRITE,
            6..9 => MapFlags::WRITE | MapFlags::FORCE_WRITE,
            9..12 => MapFlags::READ,
            12..14 => MapFlags::FORCE_READ,
            14 => MapFlags::READ | MapFlags::EXECUTE,
            _ => MapFlags::from_bits_truncate(self.dice.below(32) as u16),
        }
    }

    pub(super) fn take_flags(&mut self) -> MapFlags {
        match self.dice.below(16) {
            0..9 => MapFlags::READ | MapFlags::WRITE,
            9 => MapFlags::WRITE,
            10..15 => MapFlags::READ,
            _ => MapFlags::from_bits_truncate(self.dice.below(32) as u16),
        }
    }

    pub(super) fn mode(&mut self) -> LockMode {
        if self.dice.once_in(2) { LockMode::Exclusive } else { LockMode::Read }
    }

    pub(super) fn limit(&mut self) -> u32 {
        match self.dice.below(10) {
            0 => 0,
            1 => u32::MAX,
            2 => 400,
            3.. if self.is_large() => self.dice.below(4_000) as u32,
            _ => 8 + self.dice.below(80) as u32,
        }
    }

    pub(super) fn draw_bits(&mut self, often: u16, rarely: u16) -> u16 {
        let often = often & self.dice.any() as u16 & self.dice.any() as u16;
        let rarely = if self.dice.once_in(8) { rarely & self.dice.any() as u16 } else { 0 };
        often | rarely
    }

    pub(super) fn allocate_flags(&mut self) -> AllocateFlags {
        if self.is_large() && !self.dice.once_in(4) {
            return AllocateFlags::empty();
        }
        let often = AllocateFlags::PARTIAL | AllocateFlags::SQUASH;
        let extra =
            if self.dice.once_in(3) { AllocateFlags::EXTRA } else { AllocateFlags::empty() };
        let often = often | extra;
        AllocateFlags::from_bits_truncate(self.draw_bits(often.bits(), AllocateFlags::all().bits()))
    }

    pub(super) fn copy_flags(&mut self) -> CopyFlags {
        let often = CopyFlags::NEW | CopyFlags::SHARED | CopyFlags::MOVE | CopyFlags::ATOMIC;
        let flags = CopyFlags::from_bits_truncate(self.draw_bits(often.bits(), 0));
        let is_new = self.dice.once_in(3);
        if is_new { flags | CopyFlags::NEW } else { flags }
    }
}
