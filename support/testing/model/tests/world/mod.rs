// SPDX-License-Identifier: BSD-2-Clause
//! The model as a server, and clients that call it.
#![allow(dead_code)] // Each test file uses its part.

use model::{Answer, Config, Fate, Model, PeerSetup, Touch};
use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, ContainerHandle, CopyFlags, Created,
    DeallocateFlags, FrameState, Frames, LeaseHandle, LockMode, MapFlags, PmError, Reply, Request,
    Rights, ShareHandle, ShareTerms, Shared,
};
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};

pub(crate) const S: u64 = 1;
pub(crate) const C: u64 = 2;
pub(crate) const P: u64 = 3;
pub(crate) const D: u64 = 4;
pub(crate) const PLAIN: AllocateFlags = AllocateFlags::empty();
pub(crate) const LEASE: u64 = 900_000;

/// Peers S and C are a server and a client, P a policy server and supervisor, D a driver.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) now: u64,
}

pub(crate) fn peer(number: u64) -> PeerId {
    PeerId::new(number).unwrap()
}

pub(crate) fn at(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

pub(crate) fn count(number: u64) -> FrameCount {
    FrameCount::new(number).unwrap()
}

pub(crate) fn page(number: u64) -> VirtAddr {
    VirtAddr::new_page(0x1000_0000 + number * PAGE_BYTES).unwrap()
}

pub(crate) fn frames(container: ContainerHandle, start: u64, of: u64) -> Frames {
    Frames { container, start: at(start), count: count(of) }
}

pub(crate) fn terms(to: u64, rights: Rights) -> ShareTerms {
    ShareTerms { peer: peer(to), rights, lease_max: Micros::new(LEASE), once: false }
}

pub(crate) fn refused(error: PmError, done: u64, at: u64) -> Answer {
    Err(pmserver_api::Failure { error, done, at })
}

pub(crate) fn number(number: u64) -> Answer {
    Ok(Reply::Number(number))
}

pub(crate) const DONE: Answer = Ok(Reply::Done);

impl World {
    pub(crate) fn new() -> Self {
        let setup = |number: u64, limit_pages| PeerSetup {
            peer: peer(number),
            limit_pages,
            reads_accounts: number == C,
            sets_policy: number == P,
            is_supervisor: number == P,
            has_dma: number == D,
            may_disturb: number == P,
            may_inspect: number == P,
            may_have_extra: number == D,
        };
        let peers = vec![setup(S, 100), setup(C, 200), setup(P, 100), setup(D, 60)];
        let calls = [C, P, D].map(|caller| (peer(caller), peer(S))).into();
        Self { model: Model::new(Config { pool_pages: 1000, peers, calls }), now: 10 }
    }

    pub(crate) fn call(&mut self, caller: u64, request: Request) -> Answer {
        self.model.call(peer(caller), &request, Micros::new(self.now), None).answer()
    }

    pub(crate) fn error(&mut self, caller: u64, request: Request) -> Option<PmError> {
        self.call(caller, request).err().map(|failure| failure.error)
    }

    pub(crate) fn create(&mut self, caller: u64) -> ContainerHandle {
        self.create_in(caller, AccountHandle::OWN).unwrap()
    }

    pub(crate) fn create_in(
        &mut self,
        caller: u64,
        account: AccountHandle,
    ) -> Option<ContainerHandle> {
        match self.call(caller, Request::ContainerCreate { account }) {
            Ok(Reply::Container(container)) => Some(container),
            _ => None,
        }
    }

    pub(crate) fn allocate(
        &mut self,
        caller: u64,
        container: ContainerHandle,
        start: u64,
        of: u64,
        flags: AllocateFlags,
    ) -> Answer {
        let frames = frames(container, start, of);
        self.call(caller, Request::Allocate { frames, flags })
    }

    /// Makes a container with so many frames from number 0 on.
    pub(crate) fn filled(&mut self, caller: u64, of: u64) -> ContainerHandle {
        let container = self.create(caller);
        assert_eq!(self.allocate(caller, container, 0, of, PLAIN), number(of));
        container
    }

    pub(crate) fn deallocate(
        &mut self,
        caller: u64,
        container: ContainerHandle,
        start: u64,
        of: u64,
    ) -> Answer {
        let flags = DeallocateFlags::empty();
        let frames = frames(container, start, of);
        self.call(caller, Request::Deallocate { frames, flags })
    }

    pub(crate) fn share(
        &mut self,
        caller: u64,
        container: ContainerHandle,
        to: u64,
        rights: Rights,
    ) -> Shared {
        let terms = terms(to, rights);
        let request = Request::Share { container, start: at(0), count: 1 << 20, terms };
        match self.call(caller, request) {
            Ok(Reply::Shared(shared)) => shared,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn unshare(&mut self, caller: u64, share: ShareHandle) -> Answer {
        self.call(caller, Request::Unshare { share })
    }

    pub(crate) fn create_with(&mut self, caller: u64, of: u64, terms: ShareTerms) -> Created {
        let account = AccountHandle::OWN;
        match self.call(caller, Request::CreateWith { account, count: count(of), terms }) {
            Ok(Reply::Created(created)) => created,
            other => panic!("{other:?}"),
        }
    }

    /// Maps a frame after the other; returns the rights of all.
    pub(crate) fn map(
        &mut self,
        caller: u64,
        (container, start): (ContainerHandle, u64),
        of: u64,
        to: u64,
        flags: MapFlags,
    ) -> Result<MapFlags, PmError> {
        let frames = frames(container, start, of);
        match self.call(caller, Request::Map { frames, vaddr: page(to), flags }) {
            Ok(Reply::Mapped(mapped)) => {
                assert_eq!(mapped.count, of);
                Ok(mapped.rights())
            }
            Err(failure) => Err(failure.error),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lock(
        &mut self,
        caller: u64,
        frames: Frames,
        mode: LockMode,
        ttl: u64,
    ) -> Result<(LeaseHandle, u64), PmError> {
        match self.call(caller, Request::Lock { frames, mode, ttl: Micros::new(ttl) }) {
            Ok(Reply::Lease(lease)) => Ok((lease.lease, lease.deadline.get())),
            Err(failure) => Err(failure.error),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn copy(
        &mut self,
        caller: u64,
        (source, from): (ContainerHandle, u64),
        (destination, to): (ContainerHandle, u64),
        of: u64,
        flags: CopyFlags,
    ) -> Answer {
        let (source_start, destination_start) = (at(from), at(to));
        let count = count(of);
        let request =
            Request::Copy { source, source_start, destination, destination_start, count, flags };
        self.call(caller, request)
    }

    pub(crate) fn states(&mut self, caller: u64, of: Frames) -> Vec<FrameState> {
        match self.call(caller, Request::Status { frames: of }) {
            Ok(Reply::Status(status)) => status.frames[..status.count as usize].to_vec(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn info(&mut self, caller: u64, account: AccountHandle) -> AccountInfo {
        match self.call(caller, Request::AccountInfo { account }) {
            Ok(Reply::AccountInfo(info)) => info,
            other => panic!("{other:?}"),
        }
    }

    /// Returns how many frames a peer's account is charged.
    pub(crate) fn charge(&mut self, of: u64) -> u64 {
        let info = self.info(C, AccountHandle::of_peer(peer(of)));
        (info.frames.get() + info.extra.get()) / PAGE_BYTES
    }

    pub(crate) fn load(&mut self, of: u64, from: u64) -> Touch {
        let (peer, now) = (peer(of), Micros::new(self.now));
        self.model.touch(peer, page(from), model::Access::Load, now, None)
    }

    pub(crate) fn store(&mut self, of: u64, to: u64, word: u64) -> Touch {
        let (peer, now) = (peer(of), Micros::new(self.now));
        self.model.touch(peer, page(to), model::Access::Store(word), now, None)
    }

    pub(crate) fn fault(&mut self, of: u64) -> Fate {
        self.model.fault(peer(of))
    }
}
