// SPDX-License-Identifier: BSD-2-Clause
//! create_with, create_from, create_gather (O9 to O11): make, fill and lend a container in one
//! call, all or nothing.

use heapless::Vec;
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, Created, Failure,
    FrameList, Frames, PmError, Rights, ShareTerms,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, PeerId};

use crate::frames::copying::Copying;
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::range::Range;
use crate::records::share::Access;

const FIRST: FrameNumber = FrameNumber::new(0);

impl<K: Kernel> Operations<K> {
    /// Makes a container with new frames, and lends them.
    #[inline(never)]
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
    #[inline(never)]
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
    #[inline(never)]
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
            let pairs: Vec<(u64, u64), { FrameList::MOST }> =
                frames.items().iter().map(|number| number.get()).zip(0..).collect();
            server.copy_pairs(caller, &copying, &pairs).map(drop)
        })
    }

    fn copying_new(
        &mut self,
        caller: PeerId,
        from: Access,
        to: ContainerHandle,
    ) -> Result<Copying, Failure> {
        let to = self.owned(caller, to)?;
        let flags = CopyFlags::NEW | CopyFlags::ATOMIC;
        Ok(Copying { from, to, flags, moved_to: None })
    }

    /// Makes a container, fills it with frames `0..count`, and lends them. If any step is refused,
    /// the container is removed again.
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
        // It has no mapping, lease or share and at most one call's frames, so this cannot fail.
        let _ = self.destroy(container, &mut Budget::to_undo(CALL_FRAMES_MAX));
    }
}
