// SPDX-License-Identifier: BSD-2-Clause
//! Whether the arguments of a request can be right at all.
//!
//! Handles come first in the order of errors. But what a message cannot even be decoded to is
//! refused before anybody looks at handles, and so may be what is wrong in the same way.

use std::collections::BTreeSet;

use pmserver_api::{
    AllocateFlags, ContainerHandle, CopyFlags, Frames, MapFlags, Request, ShareTerms,
};
use proto::PeerId;

use crate::Model;
use crate::container::{span, span_of};
use crate::mapping::{in_user_space, sensible};

/// Whether a number is twice in a list.
pub(crate) fn twice(numbers: impl Iterator<Item = u64>) -> bool {
    let mut seen = BTreeSet::new();
    numbers.into_iter().any(|number| !seen.insert(number))
}

/// Returns the containers whose frames a request names.
pub(crate) fn containers_of(request: &Request) -> [Option<ContainerHandle>; 2] {
    match *request {
        Request::Lock { ref frames, .. }
        | Request::Pin { ref frames, .. }
        | Request::Map { ref frames, .. }
        | Request::Grant { ref frames, .. }
        | Request::Allocate { ref frames, .. }
        | Request::Deallocate { ref frames, .. }
        | Request::Renew { ref frames }
        | Request::CreateFrom { source: ref frames, .. } => [Some(frames.container), None],
        Request::Attach { container, .. } | Request::Supply { container, .. } => {
            [Some(container), None]
        }
        Request::CreateGather { source, .. } => [Some(source), None],
        Request::Copy { source, destination, .. }
        | Request::CopyList { source, destination, .. } => [Some(source), Some(destination)],
        _ => [None, None],
    }
}

impl Model {
    /// Whether a request would be `Invalid` with any handle.
    pub(crate) fn is_invalid(&self, caller: PeerId, request: &Request) -> bool {
        let ends = |frames: &Frames| span_of(frames).is_err();
        let terms = |terms: &ShareTerms| self.acceptable(caller, terms).is_err();
        match *request {
            Request::Allocate { ref frames, .. }
            | Request::Deallocate { ref frames, .. }
            | Request::Renew { ref frames }
            | Request::Mark { ref frames, .. }
            | Request::Status { ref frames }
            | Request::AllocateContiguous { ref frames, .. } => ends(frames),
            Request::Lock { ref frames, ttl, .. } | Request::Pin { ref frames, ttl, .. } => {
                ends(frames) || ttl.get() == 0
            }
            Request::AllocateAnywhere { flags, .. } => flags.contains(AllocateFlags::SQUASH),
            Request::Share { start, count, terms: ref on, .. } => {
                span(start, count).is_err() || terms(on)
            }
            Request::CreateWith { terms: ref on, .. }
            | Request::CreateGather { terms: ref on, .. } => terms(on),
            Request::CreateFrom { ref source, terms: ref on, .. } => ends(source) || terms(on),
            Request::Map { ref frames, vaddr, flags, .. } => {
                let is_far = in_user_space(vaddr, frames.count.get()).is_err();
                ends(frames) || sensible(flags).is_err() || is_far
            }
            Request::Remap { vaddr, count, flags, .. } => {
                sensible(flags).is_err() || in_user_space(vaddr, count.get()).is_err()
            }
            Request::Unmap { vaddr, count, .. } | Request::EnsureTables { vaddr, count, .. } => {
                in_user_space(vaddr, count.get()).is_err()
            }
            Request::Attach { start, vaddr, count, flags, .. } => {
                let is_far = in_user_space(vaddr, count.into()).is_err();
                span(start, count.into()).is_err() || sensible(flags).is_err() || is_far
            }
            Request::Grant { ref frames, rights } => {
                let is_odd = sensible(rights).is_err() || rights.contains(MapFlags::EXECUTE);
                ends(frames) || is_odd
            }
            Request::SetHandler { start, count, handler, .. } => {
                let is_unknown = handler.is_some_and(|peer| !self.peers.contains_key(&peer));
                is_unknown || span(start, count).is_err()
            }
            Request::Copy { source_start, destination_start, count, flags, .. } => {
                let count = count.get();
                let is_both = flags.contains(CopyFlags::SHARED | CopyFlags::MOVE);
                is_both
                    || [source_start, destination_start].iter().any(|n| span(*n, count).is_err())
            }
            Request::CopyList { ref pairs, flags, .. } => {
                let is_both = flags.contains(CopyFlags::SHARED | CopyFlags::MOVE);
                let is_move = flags.contains(CopyFlags::MOVE);
                let (from, to) = (pairs.items().iter(), pairs.items().iter());
                is_both
                    || twice(to.map(|(_, to)| to.get()))
                    || is_move && twice(from.map(|(from, _)| from.get()))
            }
            _ => false,
        }
    }
}
