// SPDX-License-Identifier: BSD-2-Clause
//! What must be true in every state, what must become true from every state, and when two states
//! are the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use pmserver_api::{AccountHandle, Calls, LockMode, MapFlags, PmError};
use pmserver_core::kernel::VSpace;
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use super::action::{ALL, Box, Frame, Who};
use super::world::{Contents, LEASE_MICROS, Step, World, granted, id, index, owner};
use crate::direct::Direct;
use crate::machine::Access;
use crate::stop::audit::{Audit, JANITOR_NUMBER, TRIES_MAX, TRY_MICROS, given, probe};

/// The most that a mapping takes of an account: a record and three page tables.
const MAP_BYTES: u64 = 4 * PAGE_BYTES;

/// A page that a peer can load from.
struct Seen {
    who: Who,
    of: Box,
    frame: Frame,
    /// Whether the peer has asked for it and not given it back.
    is_asked: bool,
    page: u64,
    write: bool,
    byte: u8,
}

/// A hash of a state, in which pages have the numbers in which they are met, times are counted from
/// now, and handles do not occur.
pub(super) type Key = (u64, u64);

impl World {
    /// Says what is wrong in this state.
    pub(super) fn check(&self) -> Result<(), String> {
        self.server.check_invariants().map_err(str::to_owned)?;
        self.check_claim()?;
        let pages = self.seen();
        for page in pages.iter().filter(|page| !self.is_stopped[index(page.who)]) {
            self.check_page(page)?;
        }
        for a in pages.iter().filter(|page| page.write) {
            let is_other = |b: &&Seen| a.page == b.page && (a.of, a.frame) != (b.of, b.frame);
            if let Some(b) = pages.iter().find(is_other) {
                return Err(format!(
                    "{:?} can write to frame {} of {}, which is the memory of frame {} of {}",
                    a.who, a.frame, a.of, b.frame, b.of
                ));
            }
        }
        Ok(())
    }

    fn check_page(&self, page: &Seen) -> Result<(), String> {
        let Seen { who, of, frame, is_asked, write, byte, .. } = *page;
        let wrong = |what: &str| Err(format!("{who:?} {what} frame {frame} of {of}"));
        let Some(owned) = self.boxes[of] else { return wrong("has access to the destroyed") };
        if owned.is_dying {
            return Ok(());
        }
        if !is_asked {
            return wrong("has access without a mapping or a share to");
        }
        if owned.frames[frame] == Contents::Missing {
            return wrong("has access to the freed");
        }
        if who == Who::Server {
            match owned.share {
                None => return wrong("has access after unshare to"),
                Some(share) if write && !share.write => return wrong("can write without right to"),
                Some(_) => {}
            }
        } else if let Some(lease) = self.leases[of]
            && lease.deadline > self.now()
            && frame < lease.frames
        {
            if lease.mode == LockMode::Exclusive {
                return wrong("has access during the exclusive lease on");
            } else if write {
                return wrong("can write during the read lease on");
            }
        }
        match owned.frames[frame] {
            Contents::Known(known) if known != byte => {
                wrong(&format!("reads {byte} instead of {known} in"))
            }
            _ => Ok(()),
        }
    }

    /// Returns all pages that a peer can load from without a fault.
    fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for who in ALL {
            for of in 0..2 {
                for frame in 0..self.shape.frames {
                    let is_asked = self.windows[index(who)][of];
                    seen.extend(self.look(
                        who,
                        (of, frame),
                        self.shape.window(of, frame),
                        is_asked,
                    ));
                }
            }
            let grant = self.grants[index(who)];
            let of = grant.map_or(owned_by(who), |(_, of)| of);
            seen.extend(self.look(who, (of, 0), granted(), grant.is_some()));
        }
        seen
    }

    fn look(
        &self,
        who: Who,
        (of, frame): (Box, Frame),
        at: VirtAddr,
        is_asked: bool,
    ) -> Option<Seen> {
        let (kernel, vspace) = (self.server.kernel(), VSpace::Peer(id(who)));
        let page = kernel.page_at(vspace, at.get(), Access::Read).ok()?;
        let write = kernel.page_at(vspace, at.get(), Access::Write).is_ok();
        let mut byte = [0];
        kernel.load(vspace, at.get(), &mut byte).ok()?;
        Some(Seen { who, of, frame, is_asked, page, write, byte: byte[0] })
    }

    /// Says what does not come true: after the longest lease each owner has its memory, with what
    /// was last written there, can unshare and destroy it, and gets what was promised to it; when
    /// all have ended, everything is back.
    pub(super) fn check_future(&self, audit: &Audit) -> Result<(), String> {
        if self.extras.is_some() {
            self.check_promise()?;
        }
        let mut world = self.clone();
        world.server.kernel().clock().advance(LEASE_MICROS + 1);
        for of in 0..2 {
            if !world.is_stopped[index(owner(of))] {
                world.get_back(of)?;
            }
        }
        for who in ALL.into_iter().filter(|who| !self.is_stopped[index(*who)]) {
            probe(&mut world.server, id(who)).map_err(|wrong| format!("{who:?}: {wrong}"))?;
        }
        world.server.check_invariants().map_err(|wrong| format!("later {wrong}"))?;
        audit.settle(&mut world.server, &ALL.map(id))
    }

    fn get_back(&mut self, of: Box) -> Result<(), String> {
        let Some(owned) = self.boxes[of] else { return Ok(()) };
        let who = owner(of);
        let refused =
            |what: &str, error| format!("{who:?} after the longest lease: {what}: {error}");
        // Only so many mappings of a frame are allowed: it gives up its own.
        if self.windows[index(who)][of] {
            let shape = self.shape;
            self.calls_of(who)
                .unmap(shape.window(of, 0), shape.all_frames())
                .map_err(|error| refused("unmap", error))?;
        }
        if let Some((at, _)) = self.grants[index(who)] {
            self.calls_of(who)
                .ungrant(at, FrameCount::ONE)
                .map_err(|error| refused("ungrant", error))?;
        }
        if owned.has_handler && !owned.is_dying {
            let last = self.shape.number(self.shape.last());
            self.calls_of(who)
                .set_handler(owned.handle, last, 1, None, 0)
                .map_err(|error| refused("set_handler", error))?;
        }
        for (frame, contents) in owned.frames.into_iter().enumerate() {
            if frame >= self.shape.frames || contents == Contents::Missing || owned.is_dying {
                continue;
            }
            let at = self.shape.last_window(of, frame);
            let number = self.shape.number(frame);
            let flags = MapFlags::READ | MapFlags::WRITE;
            let map = |calls: &mut Calls<Direct<'_>>| {
                calls.map(owned.handle, number, FrameCount::ONE, at, flags)
            };
            if given(&mut self.server, id(who), map)?.is_none() {
                // It may have taken all that it may have, as extra frames too.
                let own = self.calls_of(who).account_info(AccountHandle::OWN);
                if own.is_ok_and(|own| own.limit.get() - own.used.get() < MAP_BYTES) {
                    continue;
                }
                return Err(format!("{who:?} cannot map frame {frame} after all leases"));
            }
            for tag in [None, Some(9)] {
                let mut tries = 0..TRIES_MAX;
                let mut step = self.access(who, at, tag);
                while matches!(step, Step::Pending) && tries.next().is_some() {
                    self.server.kernel().clock().advance(TRY_MICROS);
                    step = self.access(who, at, tag);
                }
                if !matches!(step, Step::Done) {
                    return Err(format!("{who:?} has no access to frame {frame} after all leases"));
                }
                let mut byte = [0];
                let loaded = self.server.kernel().load(VSpace::Peer(id(who)), at.get(), &mut byte);
                if let (None, Contents::Known(known)) = (tag, contents)
                    && (loaded, byte) != (Ok(()), [known])
                {
                    return Err(format!(
                        "{who:?} reads {byte:?} instead of {known} in frame {frame} of {of} later"
                    ));
                }
            }
        }
        if let Some(share) = owned.share.filter(|_| !owned.is_dying) {
            self.calls_of(who).unshare(share.share).map_err(|error| refused("unshare", error))?;
        }
        match self.calls_of(who).container_destroy(owned.handle) {
            Err(error) if owned.is_dying && error.refusal() == Some(PmError::InvalidCap) => Ok(()),
            result => result.map_err(|error| refused("container_destroy", error)),
        }
    }

    /// Returns what tells this state from others.
    pub(super) fn key(&self) -> Key {
        let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
        1_u8.hash(&mut hashers[1]);
        for hasher in &mut hashers {
            self.hash_known(hasher);
        }
        // Asking may do what is due, so a copy is asked.
        let told = self.clone().told();
        hashers.iter_mut().for_each(|hasher| told.hash(hasher));
        let [first, second] = hashers.map(|hasher| hasher.finish());
        (first, second)
    }

    fn hash_known(&self, hasher: &mut DefaultHasher) {
        let now = self.now();
        for owned in self.boxes {
            let shared = owned.map(|owned| owned.share.map(|share| share.write));
            (
                shared,
                owned
                    .map(|owned| (owned.frames, owned.has_handler, owned.is_dying, owned.is_split)),
            )
                .hash(hasher);
        }
        for lease in self.leases {
            let lease = lease.map(|lease| {
                let rest = lease.deadline.saturating_sub(now);
                (lease.mode == LockMode::Read, rest, lease.frames)
            });
            lease.hash(hasher);
        }
        self.promised_key().hash(hasher);
        self.windows.hash(hasher);
        self.grants.map(|grant| grant.map(|(_, of)| of)).hash(hasher);
        (self.fault.is_some(), self.is_stopped).hash(hasher);
        let mut names = Vec::new();
        for page in self.seen() {
            let name = names.iter().position(|known| *known == page.page);
            let name = name.unwrap_or_else(|| {
                names.push(page.page);
                names.len() - 1
            });
            let place = (index(page.who), page.of, page.frame, page.is_asked);
            (place, name, page.write, page.byte).hash(hasher);
        }
    }

    /// Returns what the server says of this state.
    fn told(mut self) -> Vec<u64> {
        let mut told = Vec::new();
        for of in 0..2 {
            for who in [owner(of), Who::Server] {
                let Some(handle) = self.handle(who, of) else { continue };
                for frame in 0..self.shape.frames {
                    let number = self.shape.number(frame);
                    let status = self.calls_of(who).status(handle, number, FrameCount::ONE);
                    told.push(status.map_or(u64::MAX, |status| status.frames[0].bits().into()));
                }
            }
        }
        let janitor = PeerId::new(JANITOR_NUMBER).expect("a small number");
        let accounts = ALL.map(|who| AccountHandle::of_peer(id(who)));
        for account in accounts.into_iter().chain([AccountHandle::POOL]) {
            let info = Calls::new(Direct(&mut self.server, janitor)).account_info(account);
            let info = info.unwrap_or_default();
            told.extend(
                [info.used, info.frames, info.tables, info.slots, info.records, info.free]
                    .map(|bytes| bytes.get()),
            );
        }
        let fault = self.calls_of(Who::Server).next_fault();
        told.push(fault.ok().flatten().map_or(0, |fault| 1 + fault.number.get()));
        told.push(Calls::new(Direct(&mut self.server, janitor)).reclaim().unwrap_or(0));
        told
    }
}

const fn owned_by(who: Who) -> Box {
    match who {
        Who::B => 1,
        Who::A | Who::Server => 0,
    }
}
