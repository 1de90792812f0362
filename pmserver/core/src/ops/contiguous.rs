// SPDX-License-Identifier: BSD-2-Clause
//! allocate_contiguous: frames that are physically contiguous, for devices (O4).

use heapless::Vec;
use pmserver_api::{Failure, Frames, PmError};
use proto::limits::CONTIGUOUS_LOOK_PAGES;
use proto::{PAGE_BYTES, PeerId};

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::ops::Operations;
use crate::records::account::{Account, Charge, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::{at_frame, is_more_to_do};
use crate::records::frame::FrameMarks;
use crate::records::lease::Need;
use crate::records::page::PageUse;
use crate::records::places::RECORDS_PER_PAGE;
use crate::records::range::{CALL_FRAMES, Range};
use crate::records::search::{Search, Wanted};

/// The pages of a run that are taken.
type Run = Vec<PageIndex, CALL_FRAMES>;

/// The result of a search, for now.
enum Found {
    Run(PageIndex),
    LookOn(u32),
    Nothing,
}

impl<K: Kernel> Operations<K> {
    /// Allocates physically contiguous frames.
    #[inline(never)]
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
        // What refuses it comes first, because taking the run may move other frames.
        if let Some((_, number)) = self.next_frame(access.container, range) {
            return Err(at_frame(PmError::Exists, number));
        }
        let payer = self.charged(access.container);
        let payer = payer.map_err(|shortage| at_frame(shortage.as_quota(), range.first))?;
        self.charge_frames(payer, range)?;
        self.refund_pin(payer, count.get());
        let pages = u32::try_from(count.get()).unwrap_or(u32::MAX);
        let wanted = Wanted { pages, align_bits, limit_bits };
        let first = self.search(caller, wanted)?;
        self.check_room_to_move(payer, (first, pages))
            .map_err(|error| at_frame(error, range.first))?;
        let made = self.make_contiguous(access.container, range, (first, pages));
        if made.as_ref().is_err_and(is_more_to_do) {
            self.peer_mut(caller).search = Some(Search { wanted, next: first.get() });
        }
        made.map(|()| count.get())
    }

    /// If frames have to be moved away from a run, refuses what the records of the new ones may not
    /// have room for (PM-15): later it would be seen only when grants of others are gone.
    fn check_room_to_move(
        &mut self,
        payer: Ref<Account>,
        (first, pages): (PageIndex, u32),
    ) -> Result<(), PmError> {
        let mut all = (first.get()..first.get().saturating_add(pages)).map(PageIndex::new);
        if all.all(|page| self.store.free_use(page).is_some()) {
            return Ok(());
        }
        let records = pages.saturating_mul(2).div_ceil(RECORDS_PER_PAGE);
        let most = pages.saturating_add(records);
        self.store.charge_pages(payer, Charge::Frames, most).map_err(Shortage::as_quota)?;
        self.store.refund_pages(payer, Charge::Frames, most);
        Ok(())
    }

    /// Makes frames of a run of pages.
    fn make_contiguous(
        &mut self,
        container: Ref<Container>,
        range: Range,
        (first, pages): (PageIndex, u32),
    ) -> Result<(), Failure> {
        // From here on the run is taken: no record can be put into it.
        let run = self.take_run(first, pages)?;
        match self.insert_contiguous(container, range) {
            Ok(()) => self.place(container, range, first),
            Err(failure) => {
                self.release_run(&run);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Inserts tentative frames, all or none.
    fn insert_contiguous(
        &mut self,
        container: Ref<Container>,
        range: Range,
    ) -> Result<(), Failure> {
        let payer = self.store.payer_of_container(container);
        self.check_room_for(payer, range.last.saturating_sub(range.first).saturating_add(1))?;
        let unused_from = self.store.get(container).unused_from;
        for number in range.first..=range.last {
            let at = (payer, container, self.vacancy(container, number).unwrap_or(None));
            if let Err(shortage) = self.insert_tentative(at, number) {
                self.keep_or_remove_frames(container, Some(range), false);
                self.store.get_mut(container).unused_from = unused_from;
                return Err(at_frame(shortage.as_quota(), number));
            }
        }
        Ok(())
    }

    /// Binds new frames to consecutive pages.
    fn place(&mut self, container: Ref<Container>, range: Range, first: PageIndex) {
        for (number, page) in (range.first..=range.last).zip(first.get()..) {
            if let Some(frame) = self.find_id(container, number) {
                self.join_page(frame, PageIndex::new(page));
                self.store.get_mut(frame.record).set(FrameMarks::CONTIGUOUS, true);
            }
        }
        self.keep_or_remove_frames(container, Some(range), true);
    }

    /// Looks for a run of pages. Continues the caller's last search if that was for the same.
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
        while first.saturating_add(wanted.pages) <= self.store.page_count() {
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

    /// If no run can begin at `first`, returns the last page at which none can begin for the same
    /// reason.
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
        self.store.kernel.physical_address(PageIndex::new(page))
    }

    fn is_start(&self, page: u32, wanted: Wanted) -> bool {
        let address = self.address(page);
        wanted.is_aligned(address) && wanted.is_below_limit(address)
    }

    /// Takes the pages of a run. Free pages first, so that nothing is moved to a page of the run.
    ///
    /// # Errors
    /// `Pending` if one call cannot clear all of them: those that it has cleared stay clean.
    /// `NoMemory`.
    fn take_run(&mut self, first: PageIndex, pages: u32) -> Result<Run, Failure> {
        let all = (first.get()..first.get().saturating_add(pages)).map(PageIndex::new);
        let mut taken = Run::new();
        let mut result = Ok(());
        for is_free in [true, false] {
            for page in all.clone() {
                if result.is_ok() && self.store.free_use(page).is_some() == is_free {
                    result = self.take_of_run(page, &mut taken);
                }
            }
        }
        match result {
            Ok(()) => Ok(taken),
            Err(failure) => {
                self.release_run(&taken);
                Err(failure)
            }
        }
    }

    /// Releases the pages of a run, which are clean.
    fn release_run(&mut self, taken: &Run) {
        for page in taken {
            self.store.release_clean(*page);
        }
    }

    fn take_of_run(&mut self, page: PageIndex, taken: &mut Run) -> Result<(), Failure> {
        if taken.contains(&page) {
            return Ok(());
        }
        let refused = |_: KernelError| PmError::NoMemory;
        let is_clean = |used| matches!(used, PageUse::Clean | PageUse::PartClean);
        if !self.store.free_use(page).is_some_and(is_clean) {
            self.store.meter().begin_frame(0)?;
        }
        if self.store.free_use(page).is_none() {
            self.take_out_of_run(page)?;
        }
        // It is free now if the run has left it.
        if self.store.free_use(page).is_none() {
            self.relocate(page).map_err(refused)?;
        }
        self.store.take_page(page).map_err(refused)?;
        taken.push(page).map_err(|_: PageIndex| PmError::NoMemory.into())
    }
}

fn bytes_of(pages: u32) -> u64 {
    u64::from(pages).saturating_mul(PAGE_BYTES)
}
