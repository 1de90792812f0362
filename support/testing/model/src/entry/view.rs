// SPDX-License-Identifier: BSD-2-Clause
//! What the fuzzer may look at, to choose what to do next.

use pmserver_api::{
    AccountHandle, ContainerHandle, FaultHandle, Frames, LeaseHandle, Request, ShareHandle,
};
use proto::limits::STATUS_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, PAGE_BYTES, PeerId, VirtAddr};

use crate::state::{AccountId, Kind, Model, Object, PeerSetup};

/// The handles that a peer has.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    /// Containers of its own.
    pub strong: Vec<ContainerHandle>,
    /// Those of them that are being destroyed.
    pub dying: Vec<ContainerHandle>,
    /// Containers of others that are shared to it, to be used in any way.
    pub weak: Vec<ContainerHandle>,
    /// Containers of others that it can only take.
    pub once: Vec<ContainerHandle>,
    /// Shares of its containers.
    pub shares: Vec<ShareHandle>,
    /// Those of them that can be armed.
    pub armable: Vec<ShareHandle>,
    /// Its leases.
    pub leases: Vec<LeaseHandle>,
    /// Accounts that it split off or was lent.
    pub accounts: Vec<AccountHandle>,
    /// Faults that it is to answer.
    pub faults: Vec<FaultHandle>,
}

impl Model {
    /// Returns the handles of a peer.
    #[must_use]
    pub fn handles(&self, of: PeerId) -> Handles {
        let mut handles = Handles::default();
        for (_, kind, raw, object) in self.names.entries().filter(|(peer, ..)| *peer == of) {
            match (kind, object) {
                (_, Object::Weak(share)) => {
                    if !self.containers[&self.shares[&share].container].is_dying {
                        let is_once = self.shares[&share].once;
                        let list = if is_once { &mut handles.once } else { &mut handles.weak };
                        list.push(ContainerHandle::from_raw(raw));
                    }
                }
                (_, Object::Container(id)) if self.containers[&id].is_dying => {
                    handles.dying.push(ContainerHandle::from_raw(raw));
                }
                (Kind::Container, _) => handles.strong.push(ContainerHandle::from_raw(raw)),
                (_, Object::Share(share)) => {
                    handles.shares.push(ShareHandle::from_raw(raw));
                    if self.shares[&share].once {
                        handles.armable.push(ShareHandle::from_raw(raw));
                    }
                }
                (Kind::Share, _) => {}
                (Kind::Lease, _) => handles.leases.push(LeaseHandle::from_raw(raw)),
                (Kind::Account, _) => handles.accounts.push(AccountHandle::from_raw(raw)),
                // It is called with nowhere.
                (Kind::Range, _) => {}
                (Kind::Fault, _) => handles.faults.push(FaultHandle::from_raw(raw)),
            }
        }
        handles
    }

    /// Returns the numbers of handles that named something once.
    #[must_use]
    pub fn stale(&self) -> Vec<u64> {
        self.names.stale().collect()
    }

    /// Returns whether a peer was stopped.
    #[must_use]
    pub fn is_stopped(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_none_or(|peer| peer.is_stopped)
    }

    /// Returns the numbers of the frames in a container that a peer has a handle of.
    #[must_use]
    pub fn frames(&self, of: PeerId, handle: ContainerHandle) -> Vec<u64> {
        let id = match self.names.find(of, Kind::Container, handle.raw()) {
            Some(Object::Container(id)) => id,
            Some(Object::Weak(share)) => self.shares[&share].container,
            _ => return Vec::new(),
        };
        self.containers[&id].frames.keys().copied().collect()
    }

    /// Returns whether a container that a peer has a handle of has all of these frames, and none
    /// was ever used.
    #[must_use]
    pub fn is_blank(&self, of: PeerId, frames: &Frames) -> bool {
        let id = match self.names.find(of, Kind::Container, frames.container.raw()) {
            Some(Object::Container(id)) => id,
            Some(Object::Weak(share)) => self.shares[&share].container,
            _ => return false,
        };
        let first = frames.start.get();
        let mut there = self.containers[&id].frames.range(first..);
        let mut mapped = self.peers.values().flat_map(|peer| peer.mappings.values());
        let in_it = |number: u64| (first..first + frames.count.get()).contains(&number);
        let is_unused = (first..first + frames.count.get()).all(|number| {
            there
                .next()
                .is_some_and(|(next, frame)| *next == number && !self.contents.is_bound(frame.cell))
        });
        is_unused && !mapped.any(|there| there.place.0 == id && in_it(there.place.1))
    }

    /// Returns the first frame number that a lease of a peer's covers.
    #[must_use]
    pub fn leased(&self, of: PeerId, handle: LeaseHandle) -> Option<u64> {
        match self.names.find(of, Kind::Lease, handle.raw())? {
            Object::Lease(lease) => Some(self.leases[&lease].start),
            _ => None,
        }
    }

    /// Returns the pages at which a peer has a mapping or a region.
    #[must_use]
    pub fn pages(&self, of: PeerId) -> Vec<u64> {
        let Some(peer) = self.peers.get(&of) else { return Vec::new() };
        let regions = peer.regions.iter().flat_map(|(at, region)| {
            (0..region.pages.min(8)).map(move |index| at + index * PAGE_BYTES)
        });
        peer.mappings.keys().copied().chain(regions).collect()
    }

    /// Returns the pages at which a peer has an absent frame mapped.
    #[must_use]
    pub fn absent_pages(&self, of: PeerId) -> Vec<u64> {
        let Some(peer) = self.peers.get(&of) else { return Vec::new() };
        let mappings = peer.mappings.iter();
        let absent = mappings.filter(|(_, there)| self.is_absent(there.place).perhaps());
        absent.map(|(page, _)| *page).collect()
    }

    /// Returns whether a peer waits for frames that another supplies, which has not been told yet.
    #[must_use]
    pub fn is_asked(&self, handler: PeerId) -> bool {
        let mut waits = self.peers.values().filter_map(|peer| peer.wait);
        waits.any(|wait| wait.handler == handler && !wait.is_told && !wait.is_refused)
    }

    /// Returns what the configuration says of a peer.
    #[must_use]
    pub fn privileges(&self, of: PeerId) -> PeerSetup {
        self.setup(of)
    }

    /// Returns where a peer's regions begin.
    #[must_use]
    pub fn regions(&self, of: PeerId) -> Vec<VirtAddr> {
        let peer = self.peers.get(&of);
        peer.iter()
            .flat_map(|peer| peer.regions.keys())
            .filter_map(|at| VirtAddr::new(*at))
            .collect()
    }

    /// Returns the addresses of a peer's grants.
    #[must_use]
    pub fn grants(&self, of: PeerId) -> Vec<u64> {
        self.peers.get(&of).iter().flat_map(|peer| peer.grants.keys()).copied().collect()
    }

    /// Returns whether pins that ended are charged still, which only a reset of the device changes.
    #[must_use]
    pub fn has_pins_left(&self) -> bool {
        !self.leases.is_empty()
    }

    /// Returns the accounts, each with a peer that may read it and its handle.
    #[must_use]
    pub fn readable_accounts(&self) -> Vec<(PeerId, AccountHandle)> {
        let ids: Vec<AccountId> = self.accounts.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.reader_of(id)).collect()
    }

    /// Returns the requests that tell the model which frames are extra, which were dropped, and
    /// which were not made.
    #[must_use]
    pub fn questions(&self) -> Vec<(PeerId, Request)> {
        let mut all = Vec::new();
        for (peer, kind, raw, object) in self.names.entries() {
            let (Kind::Container, Object::Container(id)) = (kind, object) else { continue };
            let container = &self.containers[&id];
            if container.is_dying || self.is_stopped(peer) {
                continue;
            }
            let mut next = 0;
            for (number, frame) in &container.frames {
                let is_known = !frame.is_extra.perhaps() && !frame.may_be_missing;
                if is_known || *number < next {
                    continue;
                }
                let count = STATUS_FRAMES_MAX.min(u64::MAX - number).max(1);
                let Some(count) = FrameCount::new(count) else { continue };
                next = number.saturating_add(count.get());
                let container = ContainerHandle::from_raw(raw);
                let frames = Frames { container, start: FrameNumber::new(*number), count };
                all.push((peer, Request::Status { frames }));
            }
        }
        all
    }
}
