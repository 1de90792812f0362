// SPDX-License-Identifier: BSD-2-Clause
//! Mappings that a peer asks for (PM-80 to PM-90, PM-140, PM-220).

use pmserver_api::{Frames, MapFlags, Mapped, MappedRun, PmError, Reply, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::container::span_of;
use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::objects::{CellId, Mapping, Via};
use crate::{Model, Outcome};

/// Levels of page tables that a program may lack, of which a range has at most two each.
const TABLES_MAX: u64 = 6;

/// Something that keeps a frame from being mapped or granted.
pub(crate) struct Hurdle {
    pub(crate) is_sure: bool,
    pub(crate) refusal: Expected,
}

impl Hurdle {
    pub(crate) const fn sure(error: PmError, at: u64) -> Self {
        Self { is_sure: true, refusal: Expected::refused(error, 0, at) }
    }

    pub(crate) fn of(doubt: Doubt, error: PmError, at: u64) -> Option<Self> {
        let refusal = Expected::refused(error, 0, at);
        doubt.perhaps().then_some(Self { is_sure: doubt.surely(), refusal })
    }
}

/// Whether a page is the first at which a call stopped, as its answer tells.
pub(crate) fn stops_at(seen: Seen, index: u64) -> bool {
    match (seen.reply(), seen.failure()) {
        (Some(Reply::Mapped(mapped)), _) => index > 0 && mapped.count == index,
        (Some(Reply::Granted(granted)), _) => index > 0 && granted.count == index,
        (_, failure) => index == 0 && failure.is_some(),
    }
}

/// Returns the rights that flags ask of a handle.
pub(crate) fn rights_for(flags: MapFlags) -> Rights {
    let mut rights = Rights::empty();
    let is_write = flags.contains(MapFlags::WRITE);
    rights.set(Rights::READ, !is_write);
    rights.set(Rights::WRITE, is_write);
    rights
}

/// Returns the refusal where flags make no sense (PM-81).
pub(crate) fn sensible(flags: MapFlags) -> Result<(), Expected> {
    let is_both = flags.contains(MapFlags::WRITE | MapFlags::EXECUTE);
    if !flags.is_empty() && !is_both { Ok(()) } else { Err(PmError::Invalid.into()) }
}

/// Returns the refusal where a range of pages leaves user space.
pub(crate) fn in_user_space(vaddr: VirtAddr, pages: u64) -> Result<(), Expected> {
    let last = pages.checked_sub(1).and_then(|more| more.checked_mul(PAGE_BYTES));
    let last = last.and_then(|offset| vaddr.checked_add(offset));
    if last.is_some() { Ok(()) } else { Err(PmError::Invalid.into()) }
}

impl Model {
    pub(crate) fn map(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
        seen: Seen,
    ) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let count = frames.count.get();
        self.demand(via, frames.start.get(), count, rights_for(flags))?;
        let (start, _) = span_of(frames)?;
        sensible(flags)?;
        in_user_space(vaddr, count)?;
        let mut mapped = Mapped::default();
        for index in 0..count {
            let (place, page) = ((id, start + index), vaddr.get() + index * PAGE_BYTES);
            let mut hurdles = self.hurdles(place, via, flags);
            let there = self.peers[&caller].mappings.get(&page);
            if let Some(there) = there {
                let doubt = if there.is_doubtful { Doubt::Perhaps } else { Doubt::Yes };
                hurdles.extend(Hurdle::of(doubt, PmError::Occupied, page));
            }
            self.count_hurdle(&mut hurdles, place, via);
            match self.map_one(caller, place, hurdles, flags, index, seen) {
                Ok(rights) if mapped.push(rights) => {}
                Err(refusal) if index == 0 => return Err(refusal),
                _ => break,
            }
            let mapping = Mapping { place, via, flags, is_doubtful: false };
            let peer = self.peers.get_mut(&caller).expect("it calls");
            peer.mappings.insert(page, mapping);
        }
        Ok(Expected::Exactly(Ok(Reply::Mapped(mapped))))
    }

    /// Returns what is in the way of mapping or granting a frame: leases alone where there are any.
    pub(crate) fn hurdles(&self, place: Place, via: Via, flags: MapFlags) -> Vec<Hurdle> {
        let is_write = flags.contains(MapFlags::WRITE);
        let want = if is_write { Want::Change } else { Want::Read };
        let locked = self.obstacle_at(place, via, want);
        let locked = locked.map(|until| Hurdle::sure(PmError::Locked, until));
        let is_missing = self.frame(place).is_none();
        let missing = is_missing.then(|| Hurdle::sure(self.missing(place), place.1));
        // In a hole under a lease the order of errors says the one, and the order of frames, in
        // which a mapping stops, does not say.
        if locked.is_some() || is_missing {
            return locked.into_iter().chain(missing).collect();
        }
        let is_forced = flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE);
        let absent = if is_forced { self.is_absent(place) } else { Doubt::No };
        Hurdle::of(absent, PmError::Absent, place.1).into_iter().collect()
    }

    /// Adds that a frame has too many mappings and grants (PM-84). Whether the owner's one is one
    /// place or the last is not said.
    pub(crate) fn count_hurdle(&self, hurdles: &mut Vec<Hurdle>, place: Place, via: Via) {
        if hurdles.iter().any(|hurdle| hurdle.is_sure) {
            return;
        }
        let mut counts = [0, 0, 0];
        for (other, is_doubtful) in self.mappings_of(place) {
            counts[0] += u16::from(!is_doubtful);
            counts[1] += u16::from(!is_doubtful && other != Via::Owner);
            counts[2] += 1;
        }
        let [surely, borrowed, perhaps] = counts;
        let for_borrowers = FRAME_MAPPINGS_MAX - FRAME_MAPPINGS_OWNER;
        let is_borrower = via != Via::Owner;
        let doubt = if surely >= FRAME_MAPPINGS_MAX || is_borrower && borrowed >= for_borrowers {
            Doubt::Yes
        } else if perhaps >= FRAME_MAPPINGS_MAX || is_borrower && perhaps >= for_borrowers {
            Doubt::Perhaps
        } else {
            Doubt::No
        };
        hurdles.extend(Hurdle::of(doubt, PmError::TooMany, place.1));
    }

    /// Returns the mappings and grants of a frame: by which handle, and whether it is doubtful that
    /// they are still there.
    pub(crate) fn mappings_of(&self, place: Place) -> impl Iterator<Item = (Via, bool)> {
        self.peers.values().flat_map(move |peer| {
            let mappings = peer.mappings.values().filter(move |there| there.place == place);
            let grants = peer.grants.values().filter(move |there| there.place == place);
            mappings
                .map(|there| (there.via, there.is_doubtful))
                .chain(grants.map(|there| (there.via, there.is_doubtful)))
        })
    }

    /// Maps or grants a frame, if nothing is in the way, and returns the rights.
    pub(crate) fn map_one(
        &mut self,
        caller: PeerId,
        place: Place,
        hurdles: Vec<Hurdle>,
        flags: MapFlags,
        index: u64,
        seen: Seen,
    ) -> Result<MapFlags, Expected> {
        let stops = stops_at(seen, index);
        let is_sure = hurdles.iter().any(|hurdle| hurdle.is_sure);
        let refusals: Vec<Expected> = hurdles.into_iter().map(|hurdle| hurdle.refusal).collect();
        let refusal = Expected::OneOf(refusals);
        // After the first frame the answer does not say why it stopped.
        let says_so = stops && (index > 0 || seen.0.is_some_and(|seen| refusal.allows(seen)));
        let Expected::OneOf(refusals) = &refusal else { return Err(refusal) };
        if is_sure || (says_so && !refusals.is_empty()) {
            let absent = Expected::refused(PmError::Absent, 0, place.1);
            if refusals.contains(&absent) {
                self.ask(place, &[]);
            }
            return Err(refusal);
        }
        let payer = self.vspace_payer(caller);
        if payer.is_none() {
            let error = PmError::NoTableQuota;
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        let may_be_short = self.may_be_short(payer, 0) || self.may_pool_be_short(0);
        if stops && index > 0 && (may_be_short || self.is_kernel_unsure) {
            return Err(PmError::NoTableQuota.into());
        }
        let invalid: Expected = PmError::Invalid.into();
        let is_invalid = self.is_kernel_unsure && seen.0.is_some_and(|seen| invalid.allows(seen));
        if index == 0 && is_invalid {
            // That the kernel refuses an address and that it refuses are the same to a server.
            return Err(invalid);
        }
        if index == 0
            && let Some(short) = self.shortage(seen, payer, 0, PmError::NoTableQuota)
        {
            return Err(self.short_of(short, 0, place.1..=place.1));
        }
        let cell = self.cell(place).expect("that it is missing is a hurdle");
        let rights = self.granted(place, cell, flags, seen_rights(seen, index));
        if flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.make_writable(cell);
        }
        Ok(rights)
    }

    pub(crate) fn vspace_payer(&self, peer: PeerId) -> Option<crate::objects::AccountId> {
        self.peers[&peer].vspace_account.filter(|id| !self.accounts[id].is_dying)
    }

    /// Returns the rights that a frame is mapped with (PM-86, PM-87): the ones that the server
    /// says, where both can be.
    fn granted(
        &self,
        place: Place,
        cell: CellId,
        flags: MapFlags,
        seen: Option<MapFlags>,
    ) -> MapFlags {
        if !flags.contains(MapFlags::WRITE) {
            return MapFlags::READ | flags & MapFlags::EXECUTE;
        }
        let both = MapFlags::READ | MapFlags::WRITE;
        if flags.contains(MapFlags::FORCE_WRITE) {
            return both;
        }
        let doubt = match self.is_cow(cell) {
            Doubt::No if self.is_absent(place).perhaps() => Doubt::Perhaps,
            doubt => doubt,
        };
        match doubt {
            Doubt::No => both,
            Doubt::Yes => MapFlags::READ,
            Doubt::Perhaps => seen.filter(|seen| *seen == both).unwrap_or(MapFlags::READ),
        }
    }

    /// Whether a store to a cell has to make a copy. Frames of dying containers, and of the groups
    /// that only they are in, may be gone.
    pub(crate) fn is_cow(&self, cell: CellId) -> Doubt {
        let doubt = self.contents.is_shared(cell);
        let siblings = self.contents.siblings(cell);
        let mut are_dying = siblings.iter().map(|(id, _)| self.containers[id].is_dying);
        if doubt == Doubt::Yes && are_dying.all(|is_dying| is_dying) {
            return Doubt::Perhaps;
        }
        doubt
    }

    /// Gives a cell memory of its own. Grants of its frames were to the memory before, if that was
    /// shared.
    pub(crate) fn make_writable(&mut self, cell: CellId) {
        if self.contents.is_shared(cell).perhaps() {
            let members = self.contents.members(cell).clone();
            let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
            for grant in grants.filter(|grant| members.contains(&grant.place)) {
                grant.is_doubtful = true;
            }
        }
        self.contents.bind_alone(cell);
    }

    pub(crate) fn unmap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
        seen: Seen,
    ) -> Outcome {
        in_user_space(vaddr, count.get())?;
        let end = vaddr.get() + count.get() * PAGE_BYTES;
        Ok(self.unmap_range(caller, vaddr.get(), end, seen))
    }

    fn unmap_range(&mut self, caller: PeerId, from: u64, end: u64, seen: Seen) -> Expected {
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let there = || peer.mappings.range(from..end);
        let surely = there().filter(|(_, mapping)| !mapping.is_doubtful).count() as u64;
        let perhaps = there().count() as u64;
        peer.mappings.retain(|page, _| !(from..end).contains(page));
        let number = match seen.reply() {
            Some(Reply::Number(number)) if (surely..=perhaps).contains(number) => *number,
            _ => surely,
        };
        Expected::Exactly(Ok(Reply::Number(number)))
    }

    pub(crate) fn remap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
        flags: MapFlags,
        seen: Seen,
    ) -> Outcome {
        sensible(flags)?;
        in_user_space(vaddr, count.get())?;
        let mut mapped = Mapped::default();
        for index in 0..count.get() {
            let page = vaddr.get() + index * PAGE_BYTES;
            let stop = |refusal| if index == 0 { Err(refusal) } else { Ok(()) };
            let gone = Expected::refused(PmError::NotFound, 0, page);
            let Some(there) = self.peers[&caller].mappings.get(&page).copied() else {
                stop(gone)?;
                break;
            };
            let is_gone = there.is_doubtful
                && stops_at(seen, index)
                && (index > 0 || seen.0.is_some_and(|seen| gone.allows(seen)));
            let rights = rights_for(flags);
            let refusal = if is_gone {
                Some(gone)
            } else {
                let is_allowed = self.allows(there.via, there.place.1, 1, rights);
                (!is_allowed).then(|| PmError::NoRight.into())
            };
            if let Some(refusal) = refusal {
                stop(refusal)?;
                break;
            }
            let hurdles = self.hurdles(there.place, there.via, flags);
            match self.map_one(caller, there.place, hurdles, flags, index, seen) {
                Ok(rights) if mapped.push(rights) => {}
                Err(refusal) if index == 0 => return Err(refusal),
                _ => break,
            }
            let peer = self.peers.get_mut(&caller).expect("it calls");
            peer.mappings.insert(page, Mapping { flags, is_doubtful: false, ..there });
        }
        Ok(Expected::Exactly(Ok(Reply::Mapped(mapped))))
    }

    pub(crate) fn ensure_tables(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
        seen: Seen,
    ) -> Outcome {
        in_user_space(vaddr, count.get())?;
        let payer = self.vspace_payer(caller);
        self.pay(seen, payer, PmError::NoTableQuota)?;
        if let Some(peer) = self.peers.get_mut(&caller) {
            peer.had_tables = true;
        }
        Ok(Expected::Number(0..=TABLES_MAX))
    }
}

/// Returns the rights of one frame as an answer tells them. Of the frame after the last it tells
/// that they may be other ones.
fn seen_rights(seen: Seen, index: u64) -> Option<MapFlags> {
    let (rights, count) = match seen.reply()? {
        Reply::Mapped(mapped) => {
            let run = |run: MappedRun| std::iter::repeat_n(run.rights, run.count.into());
            let rights: Vec<MapFlags> = mapped.runs().flat_map(run).collect();
            let index = usize::try_from(index).ok()?.min(rights.len().checked_sub(1)?);
            (rights[index], mapped.count)
        }
        Reply::Granted(granted) => (granted.rights, granted.count),
        _ => return None,
    };
    let both = MapFlags::READ | MapFlags::WRITE;
    let other = if rights == both { MapFlags::READ } else { both };
    Some(if index < count { rights } else { other })
}
