// SPDX-License-Identifier: BSD-2-Clause
//! `SimKernel`: pmserver's seam to the kernel, over the model of the kernel's objects.
//!
//! Makes the same invocations with the same addresses as pmserver's PD makes on seL4, one for every
//! method of [`Kernel`]. Can make the n-th of them fail, and counts them.

mod bytes;
mod home;

use std::collections::BTreeMap;

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    CapRights as DerivedRights, FrameCap, Kernel, KernelError, ObjectKind, PageRights, RecordPage,
    SlotAddress, VSpace,
};
use proto::{Micros, PeerId, VirtAddr};
use zerocopy::FromBytes;

use self::home::{Home, PAGE_NODE_BITS};
use crate::clock::Clock;
use crate::loader::{
    BootPlan, LEAF_CNODE, LEAF_THREADS, Loaded, Pool, ROOT_SHIFT, SLOT_VSPACES, load, table_kind,
};
use crate::machine::{
    Access, Architecture, Cap, CapRights, Error, Invocation, LookupFault, Machine, ObjectType,
    PAGE_BYTES, Thread, Transfer,
};

const WINDOW: u64 = 0x1000_0000;
/// What one invocation costs on the virtual clock.
const INVOCATION_MICROS: u64 = 1;

/// Kinds of kernel invocations, to count them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is the invocation of its name.
pub enum InvocationKind {
    Retype,
    Copy,
    Delete,
    Revoke,
    PageMap,
    PageUnmap,
    TableMap,
    WriteRegisters,
    SetSchedParams,
}

/// The kernel as pmserver sees it.
pub struct SimKernel {
    machine: Machine,
    cspace: Cap,
    clock: Clock,
    home: Home,
    counts: BTreeMap<InvocationKind, u64>,
    fail_in: Option<u64>,
    notified: Vec<PeerId>,
}

impl SimKernel {
    /// Returns a kernel with a pool of so many bytes, a power of two, and with eight peers that
    /// have programs and nothing else.
    ///
    /// # Panics
    /// Where the pool is no power of two or too small to hold its own CNodes.
    #[must_use]
    pub fn new(pool_bytes: u64) -> Self {
        assert!(pool_bytes.is_power_of_two(), "a pool is one untyped object");
        let size_bits = u8::try_from(pool_bytes.ilog2()).expect("below 64");
        let peers = (1..=8).filter_map(PeerId::new).collect();
        Self::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: Pool { size_bits, count: 1 },
            peers,
            regions: Vec::new(),
        })
    }

    /// Loads a system and does what pmserver does first: divides its untyped memory into pages.
    ///
    /// # Panics
    /// Where the plan makes no sense.
    #[must_use]
    pub fn boot(plan: &BootPlan) -> Self {
        let Loaded { mut machine, cspace } = load(plan);
        let home = Home::build(&mut machine, cspace, plan.pool);
        let (clock, counts) = (Clock::default(), BTreeMap::new());
        Self { machine, cspace, clock, home, counts, fail_in: None, notified: Vec::new() }
    }

    /// Returns the machine underneath.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the machine underneath, to do things behind pmserver's back.
    pub const fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Returns the clock of the system.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Makes the n-th invocation from now fail, counted from 1; `None` makes none fail.
    pub const fn fail_nth(&mut self, n: Option<u64>) {
        self.fail_in = n;
    }

    /// Returns how many invocations of a kind pmserver made since it started.
    #[must_use]
    pub fn count(&self, kind: InvocationKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Returns how many invocations pmserver made since it started.
    #[must_use]
    pub fn invocations(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Takes the notifications that pmserver sent since this was last asked.
    pub fn take_notifications(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.notified)
    }

    /// Maps a capability of a peer's own CSpace into its address space, as the peer itself does it;
    /// returns whether the kernel did.
    pub fn map_granted(&mut self, _: PeerId, _: u64, _: VirtAddr, _: bool) -> bool {
        false
    }

    /// Returns what the machine knows of a peer's thread.
    #[must_use]
    pub fn thread(&self, peer: PeerId) -> Option<Thread> {
        let address = LEAF_THREADS + u64::from(peer.get());
        self.machine.thread(self.machine.look(self.cspace, address).ok()?)
    }

    fn invoke(
        &mut self,
        kind: InvocationKind,
        address: u64,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        self.clock.advance(INVOCATION_MICROS);
        *self.counts.entry(kind).or_default() += 1;
        self.fail_in = match self.fail_in {
            Some(1) => {
                self.fail_in = None;
                return Err(match kind {
                    InvocationKind::Retype => Error::NotEnoughMemory { left: 0 },
                    _ => Error::IllegalOperation,
                });
            }
            Some(n) => Some(n - 1),
            None => None,
        };
        self.machine.invoke(self.cspace, address, invocation).map(drop)
    }
}

fn vspace_address(vspace: VSpace) -> u64 {
    let number = match vspace {
        VSpace::Own => 0,
        VSpace::Peer(peer) => u64::from(peer.get()),
    };
    (SLOT_VSPACES + number) << ROOT_SHIFT
}

/// Returns what a refusal means to the core where something was to be mapped.
fn mapping_refusal(error: Error) -> KernelError {
    match error {
        Error::FailedLookup {
            fault: LookupFault::MissingCapability { bits_left: bits @ (21 | 30 | 39) },
            ..
        } => KernelError::TableMissing { span_bits: bits as u8 },
        Error::DeleteFirst => KernelError::AlreadyMapped,
        other => refusal(other),
    }
}

/// Returns what a refusal means to the core, where it does not matter which one it is.
fn refusal(error: Error) -> KernelError {
    match error {
        Error::NotEnoughMemory { .. } => KernelError::NotEnoughMemory,
        _ => KernelError::Refused,
    }
}

impl Kernel for SimKernel {
    fn page_count(&self) -> u32 {
        u32::try_from(self.home.pages).expect("a pool is below 16 TiB")
    }

    fn overhead_pages(&self) -> u32 {
        u32::try_from(self.home.overhead_pages).expect("less than the pool")
    }

    fn make(&mut self, page: PageIndex, kind: ObjectKind) -> Result<(), KernelError> {
        let architecture = self.machine.architecture();
        let (object_type, size_bits) = match kind {
            ObjectKind::Frame => (ObjectType::Frame, 0),
            ObjectKind::Table { span_bits } => {
                (ObjectType::Table(table_kind(architecture, span_bits.into())), 0)
            }
            ObjectKind::CNode => (ObjectType::CapTable, PAGE_NODE_BITS),
        };
        let to = Home::object_destination(page);
        let retype = Invocation::Retype { object_type, size_bits, to };
        self.invoke(InvocationKind::Retype, self.home.untyped(page), &retype).map_err(|error| {
            match error {
                // The home slot is taken: the page is an object already.
                Error::DeleteFirst => KernelError::NotEnoughMemory,
                other => refusal(other),
            }
        })
    }

    fn unmake(&mut self, page: PageIndex) -> Result<(), KernelError> {
        let place = self.home.untyped_slot(page);
        self.invoke(InvocationKind::Revoke, LEAF_CNODE, &Invocation::Revoke(place)).map_err(refusal)
    }

    fn derive(
        &mut self,
        frame: PageIndex,
        to: SlotAddress,
        rights: DerivedRights,
    ) -> Result<(), KernelError> {
        let from = self.home.object_source(frame);
        let mask = match rights {
            DerivedRights::All => CapRights::ALL,
            DerivedRights::Read => CapRights::READ,
        };
        let to = self.home.derived_slot(to);
        let copy = Invocation::Transfer { to, from, how: Transfer::Copy(mask) };
        self.invoke(InvocationKind::Copy, LEAF_CNODE, &copy).map_err(refusal)
    }

    fn delete(&mut self, slot: SlotAddress) -> Result<(), KernelError> {
        let place = self.home.derived_slot(slot);
        self.invoke(InvocationKind::Delete, LEAF_CNODE, &Invocation::Delete(place)).map_err(refusal)
    }

    fn map_frame(
        &mut self,
        frame: FrameCap,
        vspace: VSpace,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), KernelError> {
        let map = Invocation::PageMap {
            vspace: vspace_address(vspace),
            vaddr: vaddr.get(),
            rights: CapRights { read: true, write: rights.write },
        };
        self.invoke(InvocationKind::PageMap, self.home.frame(frame), &map).map_err(mapping_refusal)
    }

    fn unmap_frame(&mut self, frame: FrameCap) -> Result<(), KernelError> {
        self.invoke(InvocationKind::PageUnmap, self.home.frame(frame), &Invocation::PageUnmap)
            .map_err(refusal)
    }

    fn map_table(
        &mut self,
        table: PageIndex,
        span_bits: u8,
        vspace: VSpace,
        vaddr: VirtAddr,
    ) -> Result<(), KernelError> {
        let kind = table_kind(self.machine.architecture(), span_bits.into());
        let map = Invocation::TableMap { kind, vspace: vspace_address(vspace), vaddr: vaddr.get() };
        self.invoke(InvocationKind::TableMap, self.home.object(table), &map)
            .map_err(mapping_refusal)
    }

    fn record_page(&self, page: PageIndex) -> &RecordPage {
        let at = self
            .page_at(VSpace::Own, self.window_address(page).get(), Access::Read)
            .expect("a record page is mapped in the pool window");
        RecordPage::ref_from_bytes(&self.machine.page(at).0).expect("pages are aligned")
    }

    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage {
        let at = self
            .page_at(VSpace::Own, self.window_address(page).get(), Access::Write)
            .expect("a record page is mapped in the pool window");
        RecordPage::mut_from_bytes(&mut self.machine.page_mut(at).0).expect("pages are aligned")
    }

    fn window_address(&self, page: PageIndex) -> VirtAddr {
        VirtAddr::new(WINDOW + u64::from(page.get()) * PAGE_BYTES)
            .expect("the window lies in the first gigabyte")
    }

    fn redirect(
        &mut self,
        peer: PeerId,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), KernelError> {
        let write =
            Invocation::WriteRegisters { resume: false, pc: entry.get(), sp: stack_top.get() };
        let thread = LEAF_THREADS + u64::from(peer.get());
        self.invoke(InvocationKind::WriteRegisters, thread, &write).map_err(refusal)
    }

    fn retire(&mut self, peer: PeerId) -> Result<(), KernelError> {
        let thread = LEAF_THREADS + u64::from(peer.get());
        self.invoke(InvocationKind::SetSchedParams, thread, &Invocation::TakeFaultHandler)
            .map_err(refusal)
    }

    fn copy_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        let [from, to] = [from, to].map(|page| self.physical_address(page));
        let contents = self.machine.page(from).clone();
        *self.machine.page_mut(to) = contents;
        Ok(())
    }

    fn physical_address(&self, page: PageIndex) -> u64 {
        match self.machine.look(self.cspace, self.home.untyped(page)) {
            Ok(Cap::Untyped { base, .. }) => base,
            _ => unreachable!("a page of the pool"),
        }
    }

    fn notify(&mut self, peer: PeerId) {
        self.notified.push(peer);
    }

    fn install_grants(&mut self, _: PeerId, _: PageIndex) -> Result<(), KernelError> {
        Err(KernelError::Refused)
    }

    fn grant_address(&self, index: u8) -> u64 {
        u64::from(index)
    }

    fn has_iommu(&self) -> bool {
        false
    }

    fn bus_map(&mut self, _: PeerId, _: PageIndex) -> Result<(), KernelError> {
        Ok(())
    }

    fn bus_unmap(&mut self, _: PeerId, _: PageIndex) -> Result<(), KernelError> {
        Ok(())
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }
}
