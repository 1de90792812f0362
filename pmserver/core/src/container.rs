// SPDX-License-Identifier: BSD-2-Clause
//! Containers and the virtual frames in them: create, destroy, allocate, deallocate, status.

use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, DeallocateFlags, Failure, FrameState, Frames,
    PmError, Status,
};
use proto::PeerId;
use proto::limits::{CALL_FRAMES_MAX, STATUS_FRAMES_MAX};

use crate::account::{Account, Charge, Shortage};
use crate::broken;
use crate::kernel::{Kernel, KernelError};
use crate::lease::Need;
use crate::objects::{Access, Container, Frame, FrameMarks};
use crate::radix::Leaf;
use crate::range::Range;
use crate::records::Ref;
use crate::server::Server;

/// How far an allocation came.
struct Progress {
    done: u64,
    /// Frames that were there before and are to be replaced.
    replaced: u64,
}

impl<K: Kernel> Server<K> {
    /// Makes an empty container (protocol O1).
    pub(crate) fn container_create(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
    ) -> Result<ContainerHandle, Failure> {
        let peer = self.peer(caller);
        let is_own = account == AccountHandle::OWN || account.peer() == Some(caller);
        if !is_own {
            return Err(PmError::InvalidCap.into());
        }
        let account = peer.account;
        let next = self.pool.get(account).containers;
        let container = Container::new(account.link(), next, caller);
        let container = self.pool.alloc_named(account, caller, container);
        let container = container.map_err(Shortage::as_quota)?;
        self.link_container(account, container, next);
        Ok(ContainerHandle::from_raw(self.pool.handle(container)))
    }

    fn link_container(&mut self, account: Ref<Account>, container: Ref<Container>, next: u32) {
        if let Some(after) = Ref::<Container>::from_link(next) {
            self.pool.get_mut(after).previous = container.link();
        }
        self.pool.get_mut(account).containers = container.link();
    }

    /// Puts virtual frames into a container (protocol O4): all or nothing unless PARTIAL.
    pub(crate) fn allocate(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        flags: AllocateFlags,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        if flags.contains(AllocateFlags::DMA) {
            return Err(PmError::NoRight.into());
        }
        if flags.contains(AllocateFlags::EXTRA) {
            return Err(PmError::NotEligible.into());
        }
        let squash = flags.contains(AllocateFlags::SQUASH);
        let need = if squash { Need::Remove } else { Need::Change };
        self.check_leases(&access, range, need)?;
        let mut progress = Progress { done: 0, replaced: 0 };
        let result = self.insert_frames(access.container, range, squash, &mut progress);
        match result {
            Err(failure) if !flags.contains(AllocateFlags::PARTIAL) => {
                self.settle_frames(access.container, range, false);
                Err(Failure { done: 0, ..failure })
            }
            result => {
                self.settle_frames(access.container, range, true);
                if progress.replaced > 0 {
                    let last = range.first.saturating_add(progress.done.saturating_sub(1));
                    self.renew_frames(access.container, Range { last, ..range })?;
                }
                result
                    .map(|()| progress.done)
                    .map_err(|failure| Failure { done: progress.done, ..failure })
            }
        }
    }

    /// Inserts tentative frames up to the first problem.
    fn insert_frames(
        &mut self,
        container: Ref<Container>,
        range: Range,
        squash: bool,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        for number in range.first..=range.last {
            let at = |error| Failure { error, done: 0, at: number };
            match self.find_frame(container, number) {
                Some(_) if squash => progress.replaced = progress.replaced.saturating_add(1),
                Some(_) => return Err(at(PmError::Exists)),
                None => {
                    self.insert_frame(container, number)
                        .map_err(|shortage| at(shortage.as_quota()))?;
                }
            }
            progress.done = progress.done.saturating_add(1);
        }
        Ok(())
    }

    /// Charges a frame and puts it into a container, tentative.
    pub(crate) fn insert_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let account = self.payer(container);
        self.pool.charge(account, Charge::Frames)?;
        self.insert_record(container, Frame::new(container.link(), number)).inspect_err(|_| {
            self.pool.refund(account, Charge::Frames);
        })
    }

    /// Puts a frame into a container, tentative, that takes over the charge of another.
    pub(crate) fn insert_moved_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let mut frame = Frame::new(container.link(), number);
        frame.set(FrameMarks::UNCHARGED, true);
        self.insert_record(container, frame)
    }

    fn insert_record(&mut self, container: Ref<Container>, frame: Frame) -> Result<(), Shortage> {
        let account = self.payer(container);
        let number = frame.key();
        let frame = self.pool.alloc(account, frame)?;
        let tree = self.pool.get(container).frames;
        match self.pool.tree_insert(account, tree, frame) {
            Ok(tree) => {
                let record = self.pool.get_mut(container);
                record.frames = tree;
                record.frame_count = record.frame_count.saturating_add(1);
                record.unused_from = record.unused_from.max(number.saturating_add(1));
                Ok(())
            }
            Err(shortage) => {
                self.pool.free(frame);
                Err(shortage)
            }
        }
    }

    /// Keeps or takes out the tentative frames of a range.
    pub(crate) fn settle_frames(&mut self, container: Ref<Container>, range: Range, keep: bool) {
        let mut rest = Some(range);
        while let Some((_, number)) = self.take_frame(container, &mut rest) {
            self.settle_frame(container, number, keep);
        }
    }

    /// Keeps or takes out a frame, where it is tentative.
    pub(crate) fn settle_frame(&mut self, container: Ref<Container>, number: u64, keep: bool) {
        let frame = self.find_frame(container, number);
        let is_tentative = |frame: &Ref<Frame>| self.pool.get(*frame).has(FrameMarks::TENTATIVE);
        let Some(frame) = frame.filter(is_tentative) else { return };
        if keep {
            self.pool.get_mut(frame).set(FrameMarks::TENTATIVE, false);
        } else {
            // It has no mapping yet, so there is nothing that the kernel could refuse.
            let _ = self.remove_frame(container, frame, number);
        }
    }

    /// Gives the frames of a range new, empty contents, and returns how many there were. Those that
    /// an allocation has just made have none, so that nothing is lost by them.
    pub(crate) fn renew_frames(
        &mut self,
        container: Ref<Container>,
        range: Range,
    ) -> Result<u64, Failure> {
        let mut renewed: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_frame(container, &mut rest) {
            self.drop_contents(frame).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: renewed,
                at: number,
            })?;
            let record = self.pool.get_mut(frame);
            record.set(FrameMarks::TAKEN_OVER | FrameMarks::CONTIGUOUS, false);
            renewed = renewed.saturating_add(1);
        }
        Ok(renewed)
    }

    /// Takes virtual frames out of a container (protocol O5); holes are passed over unless STRICT.
    pub(crate) fn deallocate(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        flags: DeallocateFlags,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_leases(&access, range, Need::Remove)?;
        if flags.contains(DeallocateFlags::STRICT) {
            for number in range.first..=range.last {
                if self.find_frame(access.container, number).is_none() {
                    return Err(Failure { error: PmError::NotFound, done: 0, at: number });
                }
            }
        }
        let mut freed: u64 = 0;
        while let Some((frame, number)) = self.next_frame(access.container, range) {
            self.remove_frame(access.container, frame, number).map_err(|_: KernelError| {
                Failure { error: PmError::Kernel, done: freed, at: number }
            })?;
            freed = freed.saturating_add(1);
        }
        Ok(freed)
    }

    /// Tells the state of frames (protocol O24).
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

    fn frame_state(&self, access: &Access, number: u64) -> FrameState {
        let Some(frame) = self.find_frame(access.container, number) else {
            return FrameState::empty();
        };
        let record = self.pool.get(frame);
        if record.has(FrameMarks::DISCARDED) {
            return FrameState::DISCARDED;
        }
        let mut state = record.state();
        let is_shared = record.next_shared != 0 || self.is_shared(access.container, number);
        state.set(FrameState::SHARED, is_shared);
        state.set(FrameState::LOCKED, self.is_leased(access.container, number));
        state.set(FrameState::COW, self.is_cow(frame));
        state.set(FrameState::PINNED, self.pin_deadline(frame).is_some());
        state.set(FrameState::ABSENT, self.awaited_handler(frame).is_some());
        state
    }

    /// Destroys a container (protocol O12), at most [`CALL_FRAMES_MAX`] frames a call.
    pub(crate) fn container_destroy(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(), Failure> {
        // A dying container is still the owner's to destroy: that is how it asks how far it is.
        let Some(container) = self.owned_container(caller, handle.raw()) else {
            let is_weak = self.access(caller, handle).is_ok();
            return Err(if is_weak { PmError::NoRight } else { PmError::InvalidCap }.into());
        };
        self.doom(container);
        self.destroy_step(container, CALL_FRAMES_MAX)
    }

    // --- frames ---

    /// Returns the account that pays for a container.
    pub(crate) fn payer(&self, container: Ref<Container>) -> Ref<Account> {
        match Ref::from_link(self.pool.get(container).account) {
            Some(account) => account,
            None => broken("container without an account"),
        }
    }

    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.pool.tree_get(self.pool.get(container).frames, number)
    }

    /// Returns the first frame of a range, with its number.
    pub(crate) fn next_frame(
        &self,
        container: Ref<Container>,
        range: Range,
    ) -> Option<(Ref<Frame>, u64)> {
        let tree = self.pool.get(container).frames;
        let frame = self.pool.tree_next::<Frame>(tree, range.first)?;
        let number = self.pool.get(frame).key();
        range.contains(number).then_some((frame, number))
    }

    /// Returns the first frame of what is left of a range, and leaves what comes after it.
    pub(crate) fn take_frame(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(Ref<Frame>, u64)> {
        let (frame, number) = self.next_frame(container, (*rest)?)?;
        *rest = number.checked_add(1).zip(*rest).map(|(first, range)| Range { first, ..range });
        Some((frame, number))
    }

    /// Takes a frame out of its container, with its mappings and its charge.
    ///
    /// # Errors
    /// What the kernel says where it refuses to unmap; then the frame stays.
    pub(crate) fn remove_frame(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
        number: u64,
    ) -> Result<(), KernelError> {
        self.drop_contents(frame)?;
        let account = self.payer(container);
        let tree = self.pool.tree_remove(self.pool.get(container).frames, number);
        let record = self.pool.get_mut(container);
        record.frames = tree;
        record.frame_count = record.frame_count.saturating_sub(1);
        let is_charged = !self.pool.get(frame).has(FrameMarks::UNCHARGED);
        self.pool.free(frame);
        if is_charged {
            self.pool.refund(account, Charge::Frames);
        }
        Ok(())
    }
}
