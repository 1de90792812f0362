// SPDX-License-Identifier: BSD-2-Clause
//! Calls that reach the bound on the work of one call (PM-320).
//!
//! How much work a call has is not the model's to know. It knows what such a call did: what the
//! same call for fewer frames does, or nothing.

use pmserver_api::{
    AllocateFlags, CopyFlags, Failure, Frames, Mapped, PairList, PmError, Reply, Request,
};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, PAGE_BYTES, PeerId};

use super::counts::part_of;
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
            Err(Failure { error: PmError::Pending, done, .. }) => done,
            Ok(Reply::Mapped(mapped)) => mapped.count,
            Ok(Reply::Granted(granted)) => granted.count,
            _ => return None,
        };
        let expected = Expected::Exactly(*answer);
        if done == 0 {
            if matches!(request, Request::Lock { .. } | Request::Pin { .. }) {
                // They may have taken grants back (PM-322).
                self.doubt_all_grants();
            }
            return may_stop_before_all(request).then_some(expected);
        }
        // Frames that are not there are passed over, and not counted.
        let told = if answer.is_ok() { *answer } else { Ok(Reply::Number(done)) };
        for count in done..LARGE_FRAMES {
            let mut model = self.clone();
            if model.perform_first(caller, request, count, &told)? {
                model.allocate_rest(caller, request);
                *self = model;
                return Some(expected);
            }
        }
        None
    }

    /// Does what the call does for so many frames; nothing if it is not for more, or cannot stop in
    /// the middle. Returns whether this may be answered then.
    fn perform_first(
        &mut self,
        caller: PeerId,
        request: &Request,
        count: u64,
        told: &Answer,
    ) -> Option<bool> {
        let mut told = *told;
        if let Request::Unmap { vaddr, count: asked } = *request {
            self.observed = Observed::new(Some(&told));
            let unmapped = (count < asked.get()).then(|| self.unmap(caller, vaddr, count))?;
            return Some(unmapped.is_ok_and(|expected| expected.allows(&told)));
        }
        let mut from = 0;
        if count > CALL_FRAMES_MAX {
            // No call names so many: it is what two do.
            let first = part(request, 0, CALL_FRAMES_MAX)?;
            let told_first = match told {
                // As many as can be, where the model does not know.
                Ok(Reply::Number(all)) => Some(Ok(Reply::Number(all.min(CALL_FRAMES_MAX)))),
                told => told_of(&told, 0, CALL_FRAMES_MAX),
            };
            self.observed = Observed::new(told_first.as_ref());
            let Ok(expected) = self.perform(caller, &first) else { return Some(false) };
            let answer = told_first.filter(|told| expected.allows(told));
            let Ok(answer) = answer.unwrap_or_else(|| expected.answer()) else {
                return Some(false);
            };
            from = CALL_FRAMES_MAX;
            told = match (answer, told) {
                (Reply::Number(first), Ok(Reply::Number(all))) => {
                    Ok(Reply::Number(all.checked_sub(first)?))
                }
                _ => told_of(&told, from, count)?,
            };
        }
        let rest = part(request, from, count - from)?;
        self.observed = Observed::new(Some(&told));
        Some(self.perform(caller, &rest).is_ok_and(|expected| expected.allows(&told)))
    }

    /// Allocates the missing frames of a range whose first frames were replaced: all are there from
    /// the first call on, or with PARTIAL as many as there was memory for (PM-32).
    fn allocate_rest(&mut self, caller: PeerId, request: &Request) {
        let Request::Allocate { frames, flags } = *request else { return };
        let may_be_missing =
            flags.contains(AllocateFlags::PARTIAL) && self.may_lack(caller, &frames);
        // They have yet to be replaced, and with DMA to get memory.
        let flags = flags.difference(AllocateFlags::SQUASH | AllocateFlags::DMA);
        for index in 0..frames.count.get() {
            let (Some(start), Some(count)) = (frames.start.checked_add(index), FrameCount::new(1))
            else {
                return;
            };
            self.observed = Observed::new(Some(&Ok(Reply::Number(1))));
            let frames = Frames { start, count, ..frames };
            let made = self.perform(caller, &Request::Allocate { frames, flags });
            if made.is_ok() && may_be_missing {
                self.doubt_made(caller, &frames);
            }
        }
    }
}

/// Returns what an answer says of the mappings from one index to another.
fn told_of(answer: &Answer, from: u64, end: u64) -> Option<Answer> {
    let Ok(Reply::Mapped(all)) = *answer else { return None };
    let mut part = Mapped::default();
    let rights = all.runs().flat_map(|run| vec![run.rights; run.count.into()]);
    for (index, rights) in (0..end).zip(rights) {
        let _: bool = index < from || part.push(rights);
    }
    Some(Ok(Reply::Mapped(part)))
}

/// Returns the same request for a part of its frames; nothing if it is not for more, or cannot stop
/// in the middle.
fn part(request: &Request, from: u64, count: u64) -> Option<Request> {
    let shorter = |asked: FrameCount| FrameCount::new(count).filter(|_| from + count < asked.get());
    let some = |frames: Frames| {
        shorter(frames.count)?;
        part_of(frames, from, count)
    };
    let pages = from * PAGE_BYTES;
    Some(match *request {
        Request::Allocate { frames, flags } if flags.contains(AllocateFlags::SQUASH) => {
            Request::Allocate { frames: some(frames)?, flags }
        }
        Request::Deallocate { frames, flags } => {
            Request::Deallocate { frames: some(frames)?, flags }
        }
        Request::Renew { frames } => Request::Renew { frames: some(frames)? },
        Request::Mark { frames, marks } => Request::Mark { frames: some(frames)?, marks },
        Request::Map { frames, vaddr, flags } => {
            Request::Map { frames: some(frames)?, vaddr: vaddr.checked_add(pages)?, flags }
        }
        Request::Grant { frames, rights } => Request::Grant { frames: some(frames)?, rights },
        Request::Remap { vaddr, count, flags } => {
            let vaddr = vaddr.checked_add(pages)?;
            Request::Remap { vaddr, count: shorter(count)?, flags }
        }
        Request::Ungrant { address, count } if from == 0 => {
            Request::Ungrant { address, count: shorter(count)? }
        }
        Request::Copy { source, source_start, destination, destination_start, count, flags }
            if !flags.contains(CopyFlags::ATOMIC) =>
        {
            let source_start = source_start.checked_add(from)?;
            let destination_start = destination_start.checked_add(from)?;
            let count = shorter(count)?;
            Request::Copy { source, source_start, destination, destination_start, count, flags }
        }
        Request::CopyList { source, destination, pairs, flags }
            if !flags.contains(CopyFlags::ATOMIC) && from == 0 =>
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
            | Request::Inspect { .. }
    )
}
