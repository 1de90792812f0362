// SPDX-License-Identifier: BSD-2-Clause
//! container_create, container_destroy, status (O1, O12, O24).

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, Failure, FrameState, Frames, PmError, Status,
};
use proto::PeerId;
use proto::limits::{CALL_FRAMES_MAX, STATUS_FRAMES_MAX};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags, Shortage};
use crate::records::broken::broken;
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::{Container, ContainersOfAccount, ContainersOfOwner};
use crate::records::failure::split_failure;
use crate::records::id::Id;
use crate::records::lease::Need;
use crate::records::ledger::Work;
use crate::records::range::Range;
use crate::records::share::Access;

impl<K: Kernel> Operations<K> {
    /// Makes an empty container (O1).
    #[inline(never)]
    pub(crate) fn container_create(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
    ) -> Result<ContainerHandle, Failure> {
        let account = self.account(caller, account, AccountRights::ALLOCATE)?;
        let container = Container::new(account.link(), caller);
        let container = self.store.alloc_named(account, caller, container);
        let container = container.map_err(Shortage::as_quota)?;
        let first = self.store.ledger(account).containers;
        let first = self.store.add_first::<ContainersOfAccount>(first, container);
        self.store.ledger_mut(account).containers = first;
        let first = self.peer(caller).containers;
        let first = self.store.add_first::<ContainersOfOwner>(first, container);
        self.peer_mut(caller).containers = first;
        Ok(ContainerHandle::from_raw(self.store.handle(container)))
    }

    /// Returns the states of frames (O24).
    #[inline(never)]
    pub(crate) fn status(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
    ) -> Result<Status, Failure> {
        let access = self.owned(caller, container)?;
        let count = count.get().min(STATUS_FRAMES_MAX);
        let range = Range::new(start, count).ok_or(PmError::Invalid)?;
        let mut frames = [FrameState::empty(); 24];
        for (state, number) in frames.iter_mut().zip(range.first..=range.last) {
            *state = self.frame_state(&access, number);
        }
        Ok(Status { count, frames })
    }

    fn frame_state(&mut self, access: &Access, number: u64) -> FrameState {
        let frame = match self.frame_at(access.container, number) {
            Ok(frame) => Id::new(frame, self.store.get(frame).index_of(number)),
            Err(PmError::Discarded) => return FrameState::DISCARDED,
            Err(_) => return FrameState::empty(),
        };
        // First, because it ends a pin that has run out.
        let is_pinned = self.pin_deadline(frame).is_some();
        let record = self.store.get(frame.record);
        let mut state = record.state(frame.index);
        state.set(FrameState::MAPPED, self.count_mappings_of(frame) > 0);
        let is_shared = !record.next_shared().is_none() || self.is_shared(access.container, number);
        state.set(FrameState::SHARED, is_shared);
        let is_leased = self.is_leased(access.container, number);
        let is_locked = is_leased || self.check_sharers(frame, Need::Change).is_err();
        state.set(FrameState::LOCKED, is_locked);
        state.set(FrameState::COW, self.is_cow(frame));
        state.set(FrameState::PINNED, is_pinned);
        let is_bound = state.contains(FrameState::BOUND);
        let has_handler = self.handler_at(access.container, number).is_some();
        state.set(FrameState::ABSENT, !is_bound && has_handler);
        state
    }

    /// Destroys a container (O12), at most [`CALL_FRAMES_MAX`] frames in one call.
    #[inline(never)]
    pub(crate) fn container_destroy(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(), Failure> {
        // The owner repeats the call on a dying container to continue and to learn the progress.
        let Some(container) = self.owned_container(caller, handle.raw()) else {
            return Err(self.not_owned(caller, handle));
        };
        self.destroy(container, &mut Budget::new(CALL_FRAMES_MAX))
    }

    /// Destroys a container. What is left of it is torn down later.
    ///
    /// # Errors
    /// As [`Self::destroy_step`].
    pub(super) fn destroy(
        &mut self,
        container: Ref<Container>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        if !self.begin_dying(container) {
            return self.destroy_step(container, budget);
        }
        let emptied = self.empty_container(container, budget);
        if emptied.is_ok() {
            self.store.free(container);
        } else {
            self.queue_dying(container);
        }
        emptied
    }

    /// Marks a container as dying: weak handles become invalid, and the owner can only destroy it.
    pub(crate) fn mark_dying(&mut self, container: Ref<Container>) {
        if self.begin_dying(container) {
            self.queue_dying(container);
        }
    }

    /// Marks a container as dying and takes it out of the lists of containers. Returns whether it
    /// was not dying before.
    fn begin_dying(&mut self, container: Ref<Container>) -> bool {
        let record = self.store.get_mut(container);
        if record.is_dying() {
            return false;
        }
        record.dying = 1;
        let owner = record.owner();
        self.end_lasting_pins(container);
        let rest = self.peer(owner).containers;
        let rest = self.store.remove_from_chain::<ContainersOfOwner>(rest, container);
        self.peer_mut(owner).containers = rest;
        let account = self.home(container);
        let rest = self.store.ledger(account).containers;
        let rest = self.store.remove_from_chain::<ContainersOfAccount>(rest, container);
        self.store.ledger_mut(account).containers = rest;
        true
    }

    /// Puts a dying container into its account's list of those that wait for teardown.
    fn queue_dying(&mut self, container: Ref<Container>) {
        let account = self.home(container);
        let dying = self.store.ledger(account).dying;
        let dying = self.store.add_last::<ContainersOfAccount>(dying, container);
        self.store.ledger_mut(account).dying = dying;
        self.dying_count.up();
        self.review_work(account);
    }

    /// Returns the account whose lists a container is in, which may have been removed.
    fn home(&self, container: Ref<Container>) -> Ref<Account> {
        match self.store.get(container).account.target() {
            Some(account) => account,
            None => broken("container without an account"),
        }
    }

    /// Moves a dying container to the end of its account's list.
    pub(crate) fn move_dying_to_back(&mut self, container: Ref<Container>) {
        let account = self.home(container);
        let dying = self.store.ledger(account).dying;
        let rest = self.store.remove_from_chain::<ContainersOfAccount>(dying, container);
        let dying = self.store.add_last::<ContainersOfAccount>(rest, container);
        self.store.ledger_mut(account).dying = dying;
    }

    /// Frees frames of a dying container that waits for teardown and, if none is left, the
    /// container.
    ///
    /// # Errors
    /// `Pending` with the progress: with the deadline of a lease that keeps frames, or without a
    /// deadline if there is more to free now.
    pub(crate) fn destroy_step(
        &mut self,
        container: Ref<Container>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        self.empty_container(container, budget)?;
        let account = self.home(container);
        let dying = self.store.ledger(account).dying;
        let rest = self.store.remove_from_chain::<ContainersOfAccount>(dying, container);
        self.store.ledger_mut(account).dying = rest;
        self.store.free(container);
        self.dying_count.down();
        self.review_work(account);
        Ok(())
    }

    /// Frees all that is in a dying container, as far as one step does.
    ///
    /// # Errors
    /// As [`Self::destroy_step`].
    fn empty_container(
        &mut self,
        container: Ref<Container>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        self.expire_leases(container).map_err(|more| budget.failure(more.error, more.at))?;
        while let Some((frame, free, number)) =
            self.next_unleased(container).map_err(|error| budget.failure(error, 0))?
        {
            budget.check(self.store.meter())?;
            let record = self.store.get(frame);
            let frames = record.frames().max(1).into();
            let has_room = budget.has_room(frames);
            let kernel = |_: KernelError| budget.failure(PmError::Kernel, number);
            // What is bound as a whole is removed as one: it would be more work to split it.
            if record.is_cluster() && (free != record.all() || record.is_crowded() || !has_room) {
                let first = free & free.wrapping_neg();
                self.remove_frames_of(frame, first).map_err(kernel)?;
                budget.add(1);
            } else if record.is_whole() || has_room {
                self.remove_frame(container, frame).map_err(kernel)?;
                budget.add(frames);
            } else {
                self.split(frame)
                    .map_err(|error| budget.failure(error, split_failure(error, number).at))?;
            }
        }
        if let Some(deadline) = self.last_deadline(container) {
            return Err(budget.pending_until(deadline));
        }
        self.remove_shares(container);
        self.remove_handlers(container);
        Ok(())
    }

    /// Adds an account to the teardown queue if it has something to tear down, else removes it.
    pub(crate) fn review_work(&mut self, account: Ref<Account>) {
        let record = self.store.get(account);
        let ends = record.has(AccountFlags::DYING) || record.has(AccountFlags::REMOVED);
        let ledger = self.store.ledger_ref(account);
        let lists = self.store.get(ledger);
        let has_work = ends || !lists.dying.is_none();
        let work = self.work;
        if has_work && !lists.is_queued() {
            self.work = self.store.add_last::<Work>(work, ledger);
        } else if !has_work && lists.is_queued() {
            self.work = self.store.remove_from_chain::<Work>(work, ledger);
        }
    }
}
