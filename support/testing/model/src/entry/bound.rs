// SPDX-License-Identifier: BSD-2-Clause
//! Calls that reach the bound on the work of one call (PM-320).
//!
//! How much work a call has is not the model's to know. It knows what such a call did: what the
//! same call for fewer frames does, or nothing.

use pmserver_api::{AllocateFlags, CopyFlags, Failure, Frames, PairList, PmError, Reply, Request};
use proto::{FrameCount, PeerId};

use crate::answers::{Answer, Expected, Observed};
use crate::state::Model;

impl Model {
    /// Returns what may be answered to a call that has stopped early; nothing if the answer does
    /// not say that it has.
    pub(super) fn perform_in_part(
        &mut self,
        caller: PeerId,
        request: &Request,
        answer: &Answer,
    ) -> Option<Expected> {
        let done = match *answer {
            Err(Failure { error: PmError::Pending, done, at: 0 }) => done,
            Ok(Reply::Mapped(mapped)) => mapped.count,
            Ok(Reply::Granted(granted)) => granted.count,
            _ => return None,
        };
        let expected = Expected::Exactly(*answer);
        if done == 0 {
            return may_stop_before_all(request).then_some(expected);
        }
        // Frames that are not there are passed over, and not counted.
        for count in done..=proto::limits::CALL_FRAMES_MAX {
            let shorter = shortened(request, count)?;
            let mut model = self.clone();
            let told = if answer.is_ok() { *answer } else { Ok(Reply::Number(done)) };
            model.observed = Observed::new(Some(&told));
            if model.perform(caller, &shorter).is_ok_and(|expected| expected.allows(&told)) {
                model.allocate_rest(caller, request);
                *self = model;
                return Some(expected);
            }
        }
        None
    }

    /// Allocates the missing frames of a range whose first frames were replaced: all are there from
    /// the first call on (PM-32).
    fn allocate_rest(&mut self, caller: PeerId, request: &Request) {
        let Request::Allocate { frames, flags } = *request else { return };
        // They have yet to be replaced, and with DMA to get memory.
        let flags = flags.difference(AllocateFlags::SQUASH | AllocateFlags::DMA);
        for index in 0..frames.count.get() {
            let (Some(start), Some(count)) = (frames.start.checked_add(index), FrameCount::new(1))
            else {
                return;
            };
            self.observed = Observed::new(Some(&Ok(Reply::Number(1))));
            let frames = Frames { start, count, ..frames };
            let _ = self.perform(caller, &Request::Allocate { frames, flags });
        }
    }
}

/// Returns the same request for so many frames; nothing if it cannot stop in the middle.
fn shortened(request: &Request, count: u64) -> Option<Request> {
    let shorter = |asked: FrameCount| FrameCount::new(count).filter(|_| count < asked.get());
    let first = |frames: Frames| Some(Frames { count: shorter(frames.count)?, ..frames });
    Some(match *request {
        Request::Allocate { frames, flags } if flags.contains(AllocateFlags::SQUASH) => {
            Request::Allocate { frames: first(frames)?, flags }
        }
        Request::Deallocate { frames, flags } => {
            Request::Deallocate { frames: first(frames)?, flags }
        }
        Request::Renew { frames } => Request::Renew { frames: first(frames)? },
        Request::Map { frames, vaddr, flags } => {
            Request::Map { frames: first(frames)?, vaddr, flags }
        }
        Request::Grant { frames, rights } => Request::Grant { frames: first(frames)?, rights },
        Request::Remap { vaddr, count, flags } => {
            Request::Remap { vaddr, count: shorter(count)?, flags }
        }
        Request::Unmap { vaddr, count } => Request::Unmap { vaddr, count: shorter(count)? },
        Request::Ungrant { address, count } => Request::Ungrant { address, count: shorter(count)? },
        Request::Copy { source, source_start, destination, destination_start, count, flags }
            if !flags.contains(CopyFlags::ATOMIC) =>
        {
            let count = shorter(count)?;
            Request::Copy { source, source_start, destination, destination_start, count, flags }
        }
        Request::CopyList { source, destination, pairs, flags }
            if !flags.contains(CopyFlags::ATOMIC) =>
        {
            let first = pairs.items().get(..usize::try_from(count).ok()?)?;
            Request::CopyList { source, destination, pairs: PairList::new(first)?, flags }
        }
        _ => return None,
    })
}

/// Returns whether a call may have to be made again before it has done anything that shows: pins
/// that have run out are ended first, and what cannot be divided is prepared.
const fn may_stop_before_all(request: &Request) -> bool {
    !matches!(
        request,
        Request::Version
            | Request::WhoAmI
            | Request::Clock
            | Request::AccountInfo { .. }
            | Request::AccountSplit { .. }
            | Request::AccountLend { .. }
            | Request::AccountRecall { .. }
            | Request::VspaceAccount { .. }
            | Request::RegisterRecovery { .. }
            | Request::Watch { .. }
            | Request::Rescue
            | Request::Reclaim
            | Request::ExtraRequest
            | Request::Unlock { .. }
            | Request::BusAddress { .. }
            | Request::DeviceReset { .. }
            | Request::NextFault
            | Request::Refuse { .. }
            | Request::Disturb { .. }
    )
}
