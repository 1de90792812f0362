// SPDX-License-Identifier: BSD-2-Clause
//! Whom the bench calls, and calls that go on until everything is done.

use pd::PpChannel;
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, Calls, ContainerHandle, DeallocateFlags, Failure,
    LockMode, MapFlags, PmError, Rights, Shared,
};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};
use rival::Procedure;
use sel4_microkit::{Channel, MessageInfo, with_msg_regs, with_msg_regs_mut};

/// The channels, as the system file of the bench numbers them.
const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
pub(crate) const CONSOLE: usize = 2;
const PEER: usize = 3;
const RIVAL: Channel = Channel::new(4);
const TOUCHER: Channel = Channel::new(5);
const WITNESS: Channel = Channel::new(6);

/// Peer numbers of the same file.
pub(crate) const FSSERVER_PEER: u64 = 1;
pub(crate) const OTHER_PEER: u64 = 3;

/// The longest lease.
pub(crate) const LONG: Micros = Micros::new(1_000_000);
pub(crate) const OWN: AccountHandle = AccountHandle::OWN;
pub(crate) const READ_WRITE: MapFlags = MapFlags::READ.union(MapFlags::WRITE);
pub(crate) const FORCED: MapFlags = READ_WRITE.union(MapFlags::FORCE_WRITE);

/// Windows of 2 MiB. The first page of each is mapped for good in the client, so that the page
/// table stays, as it does in a program that uses it.
pub(crate) const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
pub(crate) const SECOND_WINDOW: VirtAddr = VirtAddr::new_page(0x1080_0000).unwrap();
/// A window in which nothing is mapped, at a boundary of 2 MiB.
pub(crate) const LARGE_WINDOW: VirtAddr = VirtAddr::new_page(0x1100_0000).unwrap();

/// Calls that make as many clean frames as pmserver keeps.
const STOCK_STEPS: u32 = 64;

/// Why the bench cannot go on.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // Printed.
pub(crate) enum BenchError {
    Pmserver(CallError),
    Fsserver(fsserver_api::CallError),
    Kernel(sel4::Error),
    /// A procedure of the rival's program was refused.
    Rival,
    /// What a call returned is not what the row needs.
    Unexpected(&'static str),
}

impl From<CallError> for BenchError {
    fn from(error: CallError) -> Self {
        Self::Pmserver(error)
    }
}

impl From<fsserver_api::CallError> for BenchError {
    fn from(error: fsserver_api::CallError) -> Self {
        Self::Fsserver(error)
    }
}

impl From<sel4::Error> for BenchError {
    fn from(error: sel4::Error) -> Self {
        Self::Kernel(error)
    }
}

/// Everybody whom the bench calls.
pub(crate) struct World {
    pub(crate) pm: Calls<PpChannel>,
    /// pmserver, called by the peer.
    pub(crate) peer: Calls<PpChannel>,
    pub(crate) fs: fsserver_api::Client<PpChannel>,
}

impl World {
    /// Returns the world, with a page mapped for good in each window.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let mut world = Self {
            pm: Calls::new(PpChannel::new(PMSERVER)),
            peer: Calls::new(PpChannel::new(PEER)),
            fs: fsserver_api::Client::new(PpChannel::new(FSSERVER)),
        };
        world.anchor(WINDOW)?;
        world.anchor(SECOND_WINDOW)?;
        Ok(world)
    }

    /// Makes a container with frames `0..count`, which have memory or not.
    pub(crate) fn container(
        &mut self,
        count: u64,
        has_memory: bool,
    ) -> Result<ContainerHandle, BenchError> {
        let container = self.pm.container_create(OWN)?;
        allocate(&mut self.pm, container, count)?;
        if has_memory {
            map(&mut self.pm, container, count, LARGE_WINDOW, FORCED)?;
            unmap(&mut self.pm, LARGE_WINDOW, count)?;
        }
        Ok(container)
    }

    /// Maps a page for good.
    fn anchor(&mut self, at: VirtAddr) -> Result<(), BenchError> {
        let container = self.pm.container_create(OWN)?;
        allocate(&mut self.pm, container, 1)?;
        map(&mut self.pm, container, 1, at, FORCED)
    }

    /// Lends frames `0..count`.
    pub(crate) fn share(
        &mut self,
        container: ContainerHandle,
        count: u64,
        peer: u64,
    ) -> Result<Shared, BenchError> {
        let peer = PeerId::new(peer).ok_or(BenchError::Unexpected("a peer"))?;
        Ok(self.pm.share(container, at(0), count, peer, Rights::all(), LONG)?)
    }
}

/// Calls the rival's program without an argument.
pub(crate) fn rival(procedure: Procedure) -> Result<(), BenchError> {
    answered(RIVAL.pp_call(MessageInfo::new(procedure.label(), 0)))
}

/// Calls nobody's procedure that does nothing, as barely as it can be done.
pub(crate) fn bare() {
    RIVAL.pp_call(MessageInfo::new(Procedure::Nothing.label(), 0));
}

/// Makes the rival copy so many bytes into the standing share.
pub(crate) fn rival_read(bytes: usize) {
    with_msg_regs_mut(|registers| {
        if let Some(first) = registers.first_mut() {
            *first = u64::try_from(bytes).unwrap_or_default();
        }
    });
    RIVAL.pp_call(MessageInfo::new(Procedure::Read.label(), 1));
}

/// Makes the toucher fault.
pub(crate) fn touch_faults() {
    TOUCHER.pp_call(MessageInfo::new(Procedure::Touch.label(), 0));
}

/// Returns the counter when the domains below and above pmserver were started.
pub(crate) fn started() -> [u64; 2] {
    [WITNESS, RIVAL].map(|domain| {
        domain.pp_call(MessageInfo::new(Procedure::Started.label(), 0));
        with_msg_regs(|registers| registers.first().copied().unwrap_or_default())
    })
}

fn answered(reply: MessageInfo) -> Result<(), BenchError> {
    if reply.label() == 0 { Ok(()) } else { Err(BenchError::Rival) }
}

pub(crate) const fn at(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

pub(crate) fn frames(count: u64) -> FrameCount {
    FrameCount::new(count).unwrap_or(FrameCount::ONE)
}

/// Returns the address of a page, counted from another.
pub(crate) fn page(from: VirtAddr, pages: u64) -> VirtAddr {
    from.checked_add(pages.saturating_mul(PAGE_BYTES)).unwrap_or(from)
}

/// Calls until `count` frames are done: a call may do at most 256, or 512 as a whole, or tell how
/// far it came. The call is told how many were done, and how many it may do.
pub(crate) fn sweep(
    count: u64,
    mut call: impl FnMut(u64, FrameCount) -> Result<u64, CallError>,
) -> Result<(), BenchError> {
    let mut done: u64 = 0;
    while let Some(left @ 1..) = count.checked_sub(done) {
        let is_large = left >= LARGE_FRAMES && done.is_multiple_of(LARGE_FRAMES);
        let most = if is_large { LARGE_FRAMES } else { left.min(CALL_FRAMES_MAX) };
        let more = match call(done, frames(most)) {
            Err(CallError::Refused(Failure { error: PmError::Pending, done, at: 0 })) => done,
            result => result?,
        };
        done = done.saturating_add(more);
    }
    Ok(())
}

pub(crate) fn allocate(
    pm: &mut Calls<PpChannel>,
    container: ContainerHandle,
    count: u64,
) -> Result<(), BenchError> {
    sweep(count, |done, more| {
        pm.allocate(container, at(done), more, AllocateFlags::empty()).map(|_: u64| more.get())
    })
}

pub(crate) fn deallocate(
    pm: &mut Calls<PpChannel>,
    container: ContainerHandle,
    count: u64,
) -> Result<(), BenchError> {
    sweep(count, |done, more| {
        pm.deallocate(container, at(done), more, DeallocateFlags::empty()).map(|_: u64| more.get())
    })
}

pub(crate) fn map(
    pm: &mut Calls<PpChannel>,
    container: ContainerHandle,
    count: u64,
    window: VirtAddr,
    flags: MapFlags,
) -> Result<(), BenchError> {
    sweep(count, |done, more| {
        pm.map(container, at(done), more, page(window, done), flags).map(|mapped| mapped.count)
    })
}

pub(crate) fn unmap(
    pm: &mut Calls<PpChannel>,
    window: VirtAddr,
    count: u64,
) -> Result<(), BenchError> {
    sweep(count, |done, more| pm.unmap(page(window, done), more).map(|_: u64| more.get()))
}

/// Locks frames `0..count` against everybody else, and unlocks them.
pub(crate) fn lock(
    pm: &mut Calls<PpChannel>,
    container: ContainerHandle,
    count: u64,
) -> Result<pmserver_api::Lease, BenchError> {
    loop {
        match pm.lock(container, at(0), frames(count), LockMode::Exclusive, LONG) {
            Err(CallError::Refused(Failure { error: PmError::Pending, .. })) => {}
            result => return Ok(result?),
        }
    }
}

/// Loads a word of each page.
pub(crate) fn touch(window: VirtAddr, pages: u64) {
    let pages = usize::try_from(pages).unwrap_or_default();
    for word in (address(window)..).step_by(4096).take(pages) {
        let _: u64 = shm::load(word);
    }
}

/// Makes clean frames of free pages, as a program does that runs when no other does.
pub(crate) fn stock(pm: &mut Calls<PpChannel>) -> Result<(), BenchError> {
    for _ in 0..STOCK_STEPS {
        pm.reclaim()?;
    }
    Ok(())
}

/// Stores a word in each page.
pub(crate) fn store(window: VirtAddr, pages: u64) {
    for number in 0..pages {
        shm::store(address(page(window, number)), number);
    }
}

fn address(page: VirtAddr) -> usize {
    usize::try_from(page.get()).unwrap_or_default()
}
