// SPDX-License-Identifier: BSD-2-Clause
//! Containers that are made, filled and lent in one call, all or nothing (protocol O9 to O11), and
//! frames whose numbers the server chooses (lesson 25).

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, Created, Failure,
    FrameList, Frames, Placed, PmError, Rights, ShareTerms,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, PeerId};

use crate::containers::copy::Copying;
use crate::containers::lease::Need;
use crate::containers::objects::{Access, Container, Frame, FrameMarks};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::memory::records::Ref;
use crate::server::Server;
use crate::teardown::budget::Budget;

/// Frames that a search for unused numbers looks at: it is only made where the highest number that
/// there is has been used.
const SEARCH_FRAMES_MAX: u32 = 4096;

const FIRST: FrameNumber = FrameNumber::new(0);

impl<K: Kernel> Server<K> {
    /// Makes a container with frames, and lends them.
    pub(crate) fn create_with(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        count: FrameCount,
        terms: ShareTerms,
    ) -> Result<Created, Failure> {
        self.create(caller, account, count.get(), terms, |server, handle| {
            let frames = Frames { container: handle, start: FIRST, count };
            server.allocate(caller, frames, AllocateFlags::empty()).map(drop)
        })
    }

    /// Makes a container with copies of a run of frames, and lends them.
    pub(crate) fn create_from(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        Frames { container, start, count }: Frames,
        terms: ShareTerms,
    ) -> Result<Created, Failure> {
        let from = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.account(caller, account, AccountRights::ALLOCATE)?;
        if !from.allows(range, Rights::READ) {
            return Err(PmError::NoRight.into());
        }
        self.create(caller, account, count.get(), terms, |server, handle| {
            let copying = server.copying_new(caller, from, handle)?;
            let to = Range { first: 0, last: count.get().saturating_sub(1) };
            server.copy_range(caller, &copying, range, to).map(drop)
        })
    }

    /// Makes a container with copies of listed frames, and lends them.
    pub(crate) fn create_gather(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        source: ContainerHandle,
        frames: &FrameList,
        terms: ShareTerms,
    ) -> Result<Created, Failure> {
        let from = self.access(caller, source)?;
        self.account(caller, account, AccountRights::ALLOCATE)?;
        if !frames.items().iter().all(|n| from.allows(Range::one(n.get()), Rights::READ)) {
            return Err(PmError::NoRight.into());
        }
        let count = u64::try_from(frames.items().len()).unwrap_or_default();
        self.create(caller, account, count, terms, |server, handle| {
            let copying = server.copying_new(caller, from, handle)?;
            for (number, to) in frames.items().iter().zip(0..) {
                let from = Range::one(number.get());
                server.copy_range(caller, &copying, from, Range::one(to))?;
            }
            Ok(())
        })
    }

    fn copying_new(
        &mut self,
        caller: PeerId,
        from: Access,
        to: ContainerHandle,
    ) -> Result<Copying, Failure> {
        let to = self.owned(caller, to)?;
        Ok(Copying { from, to, flags: CopyFlags::NEW | CopyFlags::ATOMIC })
    }

    /// Makes a container, has it filled with frames `0..count`, and lends them; where anything of
    /// that is refused there is none.
    fn create(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        count: u64,
        terms: ShareTerms,
        fill: impl FnOnce(&mut Self, ContainerHandle) -> Result<(), Failure>,
    ) -> Result<Created, Failure> {
        self.account(caller, account, AccountRights::ALLOCATE)?;
        self.check_terms(caller, &terms)?;
        let container = self.container_create(caller, account)?;
        let result = fill(self, container)
            .and_then(|()| self.share(caller, container, FIRST, count, terms))
            .map(|shared| Created { container, shared });
        result.map_err(|failure| {
            if let Some(container) = self.owned_container(caller, container.raw()) {
                self.undo_create(container);
            }
            Failure { done: 0, ..failure }
        })
    }

    fn undo_create(&mut self, container: Ref<Container>) {
        self.doom(container);
        // It has no mapping, lease or share, and one call's frames at most: nothing can be in the
        // way.
        let _ = self.destroy_step(container, &mut Budget::new(CALL_FRAMES_MAX));
    }

    /// Allocates frames in a range of numbers of the server's choice.
    pub(crate) fn allocate_anywhere(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Result<Placed, Failure> {
        let owned = self.owned(caller, container)?.container;
        if flags.contains(AllocateFlags::SQUASH) {
            return Err(PmError::Invalid.into());
        }
        self.expire_leases(owned);
        let start = self.unused_range(owned, count.get()).ok_or(PmError::TooMany)?;
        let frames = Frames { container, start: FrameNumber::new(start), count };
        match self.allocate(caller, frames, flags) {
            Ok(count) => Ok(Placed { start: FrameNumber::new(start), count }),
            // Frames that nobody is told the numbers of would be lost.
            Err(failure) if failure.done > 0 => {
                Ok(Placed { start: FrameNumber::new(start), count: failure.done })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Returns the first of `count` numbers that no frame has.
    fn unused_range(&self, container: Ref<Container>, count: u64) -> Option<u64> {
        // Above all that was ever used, and above what borrowers have locked there.
        let locked = self.leases(container).filter(|lease| lease.share != 0);
        let locked = locked.map(|lease| lease.range.last.saturating_add(1)).max();
        let above = self.pool.get(container).unused_from.max(locked.unwrap_or(0));
        if Range::new(FrameNumber::new(above), count).is_some() {
            return Some(above);
        }
        let mut first: u64 = 0;
        for _ in 0..SEARCH_FRAMES_MAX {
            let wanted = Range::new(FrameNumber::new(first), count)?;
            match self.next_frame(container, wanted) {
                None => return Some(first),
                Some((_, number)) => first = number.checked_add(1)?,
            }
        }
        None
    }

    /// Drops the contents of frames (protocol O14).
    pub(crate) fn renew(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_leases(&access, range, Need::Remove)?;
        let mut renewed: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_frame(access.container, &mut rest) {
            self.renew_frame(frame).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: renewed,
                at: number,
            })?;
            renewed = renewed.saturating_add(1);
        }
        Ok(renewed)
    }

    fn renew_frame(&mut self, frame: Ref<Frame>) -> Result<(), KernelError> {
        self.pool.get_mut(frame).set(FrameMarks::TAKEN_OVER, false);
        let record = *self.pool.get(frame);
        match record.page() {
            // What is where it has to be is cleared there.
            Some(page) if record.has(FrameMarks::CONTIGUOUS) && record.next_shared == 0 => {
                self.remove_mappings(frame, |_| true)?;
                self.pool.kernel.copy_page(self.pool.zero, page)
            }
            _ => {
                self.pool.get_mut(frame).set(FrameMarks::CONTIGUOUS, false);
                self.drop_contents(frame)
            }
        }
    }
}
