// SPDX-License-Identifier: BSD-2-Clause
//! Moving contents to other physical frames (protocol R2): for frames that have to be contiguous,
//! and, where a test asks for it, for no reason at all.

use heapless::Vec;
use pmserver_api::{Disturbance, Disturbed, Failure, Frames, PmError};
use proto::limits::{CALL_FRAMES_MAX, CONTIGUOUS_LOOK_PAGES, MOVE_HOLDERS_MAX, PEERS_MAX};
use proto::{PAGE_BYTES, PeerId};

use crate::config::Privileges;
use crate::containers::lease::Need;
use crate::containers::objects::{Container, Frame, FrameMarks};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::mappings::mapping::at_frame;
use crate::mappings::objects::Mapping;
use crate::memory::frame_table::{PageIndex, PageUse};
use crate::memory::radix::Leaf;
use crate::memory::records::Ref;
use crate::server::Server;

/// A search for contiguous pages that one call did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    wanted: Wanted,
    /// The page that the next call looks at first.
    next: u32,
}

/// What contiguous pages have to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    pages: u32,
    align_bits: u8,
    limit_bits: u8,
}

impl Wanted {
    fn is_aligned(&self, address: u64) -> bool {
        address.trailing_zeros() >= u32::from(self.align_bits)
    }

    fn is_below_limit(&self, address: u64) -> bool {
        let bytes = u64::from(self.pages).saturating_mul(PAGE_BYTES);
        let last = address.saturating_add(bytes).saturating_sub(1);
        last.checked_shr(self.limit_bits.into()).unwrap_or(0) == 0
    }
}

/// How a search ended, for now.
enum Found {
    Run(PageIndex),
    LookOn(u32),
    Nothing,
}

/// Bits of a cursor below the peer: those of a page's address.
const CURSOR_PEER_SHIFT: u32 = 48;
const CURSOR_ADDRESS_MASK: u64 = (1 << CURSOR_PEER_SHIFT) - 1;

impl<K: Kernel> Server<K> {
    /// Allocates frames that are neighbours in physical memory (protocol A3, "DMA/CONTIG").
    pub(crate) fn allocate_contiguous(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        align_bits: u8,
        limit_bits: u8,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        if !self.peer(caller).privileges.contains(Privileges::DMA) {
            return Err(PmError::NoRight.into());
        }
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_leases(&access, range, Need::Change)?;
        let pages = u32::try_from(count.get()).unwrap_or(u32::MAX);
        let first = self.search(caller, Wanted { pages, align_bits, limit_bits })?;
        for number in range.first..=range.last {
            let made = match self.find_frame(access.container, number) {
                Some(_) => Err(at_frame(PmError::Exists, number)),
                None => self
                    .insert_frame(access.container, number, None)
                    .map_err(|shortage| at_frame(shortage.as_quota(), number)),
            };
            if let Err(failure) = made {
                self.settle_frames(access.container, range, false);
                return Err(failure);
            }
        }
        if self.take_run(first, pages).is_err() {
            self.settle_frames(access.container, range, false);
            return Err(PmError::NoMemory.into());
        }
        self.place(access.container, range, first);
        Ok(count.get())
    }

    /// Puts new frames on consecutive pages.
    fn place(&mut self, container: Ref<Container>, range: Range, first: PageIndex) {
        for (number, page) in (range.first..=range.last).zip(first.get()..) {
            if let Some(frame) = self.find_frame(container, number) {
                self.join_page(frame, PageIndex::new(page));
                self.pool.get_mut(frame).set(FrameMarks::CONTIGUOUS, true);
            }
        }
        self.settle_frames(container, range, true);
    }

    /// Looks for a run of pages, from where the last call of the caller's for the same left off.
    fn search(&mut self, caller: PeerId, wanted: Wanted) -> Result<PageIndex, Failure> {
        let before = self.peer(caller).search.filter(|search| search.wanted == wanted);
        let found = self.find_run(wanted, before.map_or(0, |search| search.next));
        self.peer_mut(caller).search = match found {
            Found::LookOn(next) => Some(Search { wanted, next }),
            _ => None,
        };
        match found {
            Found::Run(first) => Ok(first),
            Found::LookOn(_) => Err(PmError::Pending.into()),
            Found::Nothing => Err(PmError::NoMemory.into()),
        }
    }

    fn find_run(&self, wanted: Wanted, from: u32) -> Found {
        let mut first = from;
        while first.saturating_add(wanted.pages) <= self.pool.page_count() {
            if first >= from.saturating_add(CONTIGUOUS_LOOK_PAGES) {
                return Found::LookOn(first);
            }
            match self.obstacle(first, wanted) {
                None => return Found::Run(PageIndex::new(first)),
                Some(page) => first = page.saturating_add(1),
            }
        }
        Found::Nothing
    }

    /// Returns the last page at which no run can begin, for a run that cannot begin at `first`.
    fn obstacle(&self, first: u32, wanted: Wanted) -> Option<u32> {
        if !self.is_start(first, wanted) {
            return Some(first);
        }
        let start = self.address(first);
        for (page, index) in (first..first.saturating_add(wanted.pages)).zip(0..) {
            if self.address(page) != start.saturating_add(bytes_of(index)) {
                return Some(page.saturating_sub(1));
            }
            if !self.is_movable(PageIndex::new(page)) {
                return Some(page);
            }
        }
        None
    }

    fn address(&self, page: u32) -> u64 {
        self.pool.kernel.physical_address(PageIndex::new(page))
    }

    fn is_start(&self, page: u32, wanted: Wanted) -> bool {
        let address = self.address(page);
        wanted.is_aligned(address) && wanted.is_below_limit(address)
    }

    /// Returns whether a page is free, or can be.
    fn is_movable(&self, page: PageIndex) -> bool {
        if self.pool.free_use(page).is_some() {
            return true;
        }
        let entry = self.pool.entry(page);
        if !entry.is(PageUse::Frame) || entry.is_pinned() || entry.holders() > MOVE_HOLDERS_MAX {
            return false;
        }
        let mut holder = Ref::<Frame>::from_link(entry.owner);
        while let Some(frame) = holder {
            let record = self.pool.get(frame);
            if record.has(FrameMarks::CONTIGUOUS) {
                return false;
            }
            holder = Ref::from_link(record.next_of_page);
        }
        true
    }

    /// Takes the pages of a run: the free ones first, so that nothing is moved to where it has to
    /// be moved from again.
    fn take_run(&mut self, first: PageIndex, pages: u32) -> Result<(), KernelError> {
        let run = (first.get()..first.get().saturating_add(pages)).map(PageIndex::new);
        let mut taken: Vec<PageIndex, CALL_FRAMES> = Vec::new();
        let mut result = Ok(());
        for is_free in [true, false] {
            for page in run.clone() {
                if result.is_ok() && self.pool.free_use(page).is_some() == is_free {
                    result = self.take_of_run(page, &mut taken);
                }
            }
        }
        if result.is_err() {
            for page in taken {
                self.pool.release_frame(page);
            }
        }
        result
    }

    fn take_of_run(
        &mut self,
        page: PageIndex,
        taken: &mut Vec<PageIndex, CALL_FRAMES>,
    ) -> Result<(), KernelError> {
        if taken.contains(&page) {
            return Ok(());
        }
        if self.pool.free_use(page).is_none() {
            self.relocate(page)?;
        }
        self.pool.take_page(page)?;
        taken.push(page).map_err(|_: PageIndex| KernelError::NotEnoughMemory)
    }

    /// Moves what is on a page to another one; then the page is free.
    pub(crate) fn relocate(&mut self, page: PageIndex) -> Result<(), KernelError> {
        let other = self.copied_page(page)?;
        // Held, so that it is not free before all are on it.
        self.hold(Some(other));
        let mut result = Ok(());
        while let Some(frame) = Ref::<Frame>::from_link(self.pool.entry(page).owner) {
            result = self.rebind(frame, Some(other));
            // The page is free, and somebody else's to be, when its last frame has left it.
            if result.is_err() || !self.pool.entry(page).is(PageUse::Frame) {
                break;
            }
        }
        self.let_go(Some(other));
        result
    }

    /// Does a step of what pmserver may do at any time.
    pub(crate) fn disturb(
        &mut self,
        caller: PeerId,
        what: Disturbance,
        cursor: u64,
    ) -> Result<Disturbed, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::DISTURB) {
            return Err(PmError::NoRight.into());
        }
        match what {
            Disturbance::Unmap => self.disturb_mappings(cursor),
            Disturbance::Move => self.disturb_frames(cursor),
        }
    }

    fn disturb_mappings(&mut self, cursor: u64) -> Result<Disturbed, Failure> {
        let mut count: u64 = 0;
        let mut address = cursor & CURSOR_ADDRESS_MASK;
        let first = usize::try_from(cursor >> CURSOR_PEER_SHIFT).unwrap_or(PEERS_MAX);
        for number in first..PEERS_MAX {
            let Some(peer) = PeerId::new(u64::try_from(number).unwrap_or(0)) else { continue };
            if self.find_peer(peer).is_none() {
                continue;
            }
            self.remove_grants(peer).map_err(|_: KernelError| PmError::Kernel)?;
            while let Some(mapping) =
                self.pool.tree_next::<Mapping>(self.peer(peer).vspace.mappings, address)
            {
                let key = self.pool.get(mapping).key();
                if count == CALL_FRAMES_MAX {
                    let cursor = u64::from(peer.get()) << CURSOR_PEER_SHIFT | key;
                    return Ok(Disturbed { count, cursor });
                }
                self.suspend(mapping).map_err(|_: KernelError| PmError::Kernel)?;
                count = count.saturating_add(1);
                address = key.saturating_add(1);
            }
            address = 0;
        }
        Ok(Disturbed { count, cursor: 0 })
    }

    fn disturb_frames(&mut self, cursor: u64) -> Result<Disturbed, Failure> {
        let mut count: u64 = 0;
        let end = self.pool.page_count();
        let end = u32::try_from(cursor).ok().filter(|cursor| *cursor > 0).unwrap_or(end).min(end);
        // Downwards, as free pages are taken upwards: what has been moved is not met again.
        for (page, looked) in (0..end).rev().zip(0..) {
            if count == CALL_FRAMES_MAX || looked == CONTIGUOUS_LOOK_PAGES {
                return Ok(Disturbed { count, cursor: u64::from(page).saturating_add(1) });
            }
            let page = PageIndex::new(page);
            if self.pool.entry(page).is(PageUse::Frame) && self.is_movable(page) {
                match self.relocate(page) {
                    Ok(()) => count = count.saturating_add(1),
                    // Where there is no other page there is nowhere to move to.
                    Err(KernelError::NotEnoughMemory) => {}
                    Err(_) => return Err(PmError::Kernel.into()),
                }
            }
        }
        Ok(Disturbed { count, cursor: 0 })
    }
}

/// Frames of one call, as the size of an array.
#[allow(clippy::as_conversions)] // 256 is 256 everywhere.
const CALL_FRAMES: usize = CALL_FRAMES_MAX as usize;

fn bytes_of(pages: u32) -> u64 {
    u64::from(pages).saturating_mul(PAGE_BYTES)
}
