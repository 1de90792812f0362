// SPDX-License-Identifier: BSD-2-Clause
//! `SimKernel` implements pmserver's `Kernel` trait on the model of the kernel's objects.
//!
//! It makes the same invocations with the same addresses as pmserver's PD makes on seL4, and counts
//! them. It can make the n-th of them fail.
//!
//! ```text
//!   seam.rs   the methods of `Kernel`          home.rs     where capabilities are
//!   peers.rs  invocations made by peers        bytes.rs    loads and stores
//!   copy.rs   copying pages                    devices.rs  devices that access memory
//!   tlb.rs    recent translations              refusal.rs  errors that it can be made to return
//! ```

mod bytes;
mod copy;
mod devices;
mod home;
mod peers;
mod refusal;
mod seam;
mod tlb;

use std::collections::{BTreeMap, BTreeSet};

use pmserver_core::kernel::{KernelError, VSpace};
use pmserver_setup::PoolPart;
use proto::PeerId;

use self::copy::Copies;
use self::devices::Devices;
use self::home::Home;
use self::tlb::Tlb;
use crate::clock::Clock;
use crate::loader::{BootPlan, Loaded, LoadedPeer, ROOT_SHIFT, SLOT_VSPACES, equal_parts, load};
use crate::machine::{Architecture, Cap, Error, Invocation, LookupFault, Machine, Thread};

pub use self::devices::DeviceFault;
pub use self::refusal::Refusal;

/// Virtual time of one invocation.
const INVOCATION_MICROS: u64 = 1;

/// Kinds of kernel invocations, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is named after its invocation.
pub enum InvocationKind {
    Retype,
    Copy,
    Mint,
    Delete,
    Revoke,
    PageMap,
    PageUnmap,
    TableMap,
    BusMap,
    BusUnmap,
    Signal,
    WriteRegisters,
    SetSchedParams,
}

/// What became of large frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeFrames {
    /// How often a block was made one, or cleared to be one again.
    pub made: u64,
    /// How often all pages of one were copied to others.
    pub split: u64,
}

/// The simulated kernel, with pmserver's capabilities.
pub struct SimKernel {
    machine: Machine,
    cspace: Cap,
    /// Its own address space.
    vspace: Cap,
    peers: BTreeMap<PeerId, LoadedPeer>,
    clock: Clock,
    home: Home,
    /// The parts of the pool.
    pool: Vec<PoolPart>,
    tlb: Tlb,
    copies: Copies,
    devices: Devices,
    /// To whose notifications there was a signal since somebody asked.
    signalled: BTreeSet<PeerId>,
    counts: BTreeMap<InvocationKind, u64>,
    large_frames: LargeFrames,
    /// Which invocation from now on fails, and how.
    refusal: Option<Refusal>,
    last_refused: Option<InvocationKind>,
    /// The kinds of all invocations that can be refused, in order, if they are recorded.
    record: Option<Vec<InvocationKind>>,
    /// Virtual time of one invocation.
    invocation_micros: u64,
}

/// A clone goes on by itself, with a clock of its own.
impl Clone for SimKernel {
    fn clone(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            cspace: self.cspace,
            vspace: self.vspace,
            peers: self.peers.clone(),
            clock: self.clock.fork(),
            home: self.home.clone(),
            pool: self.pool.clone(),
            tlb: self.tlb.clone(),
            copies: self.copies.clone(),
            devices: self.devices.clone(),
            signalled: self.signalled.clone(),
            counts: self.counts.clone(),
            large_frames: self.large_frames,
            refusal: self.refusal,
            last_refused: self.last_refused,
            record: self.record.clone(),
            invocation_micros: self.invocation_micros,
        }
    }
}

impl SimKernel {
    /// Returns a kernel with eight peers and a pool of `pool_bytes` bytes, which must be a power of
    /// two.
    ///
    /// # Panics
    /// If the pool is not a power of two, or too small for its own CNodes.
    #[must_use]
    pub fn new(pool_bytes: u64) -> Self {
        assert!(pool_bytes.is_power_of_two(), "a pool is one untyped object");
        let peers: Vec<PeerId> = (1..=8).filter_map(PeerId::new).collect();
        Self::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: equal_parts(pool_bytes.ilog2(), 1),
            cspaces: peers.clone(),
            peers,
            regions: Vec::new(),
        })
    }

    /// Loads a system and, as pmserver does at start, divides its untyped memory into pages.
    ///
    /// # Panics
    /// If the plan is inconsistent.
    #[must_use]
    pub fn boot(plan: &BootPlan) -> Self {
        Self::boot_with_confined(plan, &[])
    }

    /// The same with an IOMMU between memory and the devices of some peers. What pmserver makes for
    /// them is only counted: the machine has no such objects.
    ///
    /// # Panics
    /// As [`Self::boot`].
    #[must_use]
    pub fn boot_with_confined(plan: &BootPlan, confined: &[PeerId]) -> Self {
        Self::start(plan, confined, false)
    }

    /// The same with a pool that the initialiser hands over (`pmserver_setup::parts_of`).
    ///
    /// # Panics
    /// As [`Self::boot`].
    #[must_use]
    pub fn boot_handed_over(plan: &BootPlan) -> Self {
        Self::start(plan, &[], true)
    }

    fn start(plan: &BootPlan, confined: &[PeerId], hands_over: bool) -> Self {
        let loaded = load(plan, hands_over);
        let Loaded { mut machine, cspace, vspace, peers, untyped_list } = loaded;
        let pool = untyped_list.map_or_else(
            || plan.pool.clone(),
            |list| home::take_handed_over(&mut machine, cspace, &list),
        );
        let devices = u32::try_from(confined.len()).expect("there are 31 peers");
        let home = Home::build(&mut machine, cspace, &pool, devices);
        Self {
            machine,
            cspace,
            vspace,
            peers,
            clock: Clock::default(),
            copies: Copies::new(home.overhead_pages),
            home,
            pool,
            tlb: Tlb::new(),
            devices: Devices::of(confined),
            signalled: BTreeSet::new(),
            counts: BTreeMap::new(),
            large_frames: LargeFrames::default(),
            refusal: None,
            last_refused: None,
            record: None,
            invocation_micros: INVOCATION_MICROS,
        }
    }

    /// Returns the parts of the pool.
    #[must_use]
    pub fn pool(&self) -> &[PoolPart] {
        &self.pool
    }

    /// Returns the machine underneath.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the machine underneath, for changes that pmserver does not know of.
    pub const fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Returns the clock of the system.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Makes the n-th invocation from now fail, of those that can be refused, counted from 1;
    /// `None` makes none fail.
    pub fn fail_nth(&mut self, n: Option<u64>) {
        self.refuse(n.map(|nth| Refusal { nth, error: 0 }));
    }

    /// Makes one invocation from now on fail with a certain error; `None` makes none fail. Those
    /// that cannot be refused do not count.
    pub const fn refuse(&mut self, refusal: Option<Refusal>) {
        self.refusal = refusal;
    }

    /// Makes invocations take no time, so that time goes on only when somebody says so.
    pub const fn stop_time(&mut self) {
        self.invocation_micros = 0;
    }

    /// Records the kinds of all invocations from now on that can be refused.
    pub fn record(&mut self) {
        self.record = Some(Vec::new());
    }

    /// Returns the kinds of the recorded invocations, in order.
    #[must_use]
    pub fn recorded(&self) -> &[InvocationKind] {
        self.record.as_deref().unwrap_or_default()
    }

    /// Returns the kind of the last invocation that was made to fail.
    #[must_use]
    pub const fn last_refused(&self) -> Option<InvocationKind> {
        self.last_refused
    }

    /// Returns what became of large frames.
    #[must_use]
    pub const fn large_frames(&self) -> LargeFrames {
        self.large_frames
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

    /// Returns the state of a peer's thread.
    #[must_use]
    pub fn thread(&self, peer: PeerId) -> Option<Thread> {
        self.machine.thread(self.peers.get(&peer)?.thread)
    }

    fn invoke(
        &mut self,
        kind: InvocationKind,
        address: u64,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        self.count_invocation(kind)?;
        self.machine.invoke(self.cspace, address, invocation).map(drop)
    }

    /// Counts an invocation before it is made; returns an error if it is the one that must fail.
    fn count_invocation(&mut self, kind: InvocationKind) -> Result<(), Error> {
        self.clock.advance(self.invocation_micros);
        *self.counts.entry(kind).or_default() += 1;
        if kind.errors().is_empty() {
            return Ok(());
        }
        if let Some(record) = &mut self.record {
            record.push(kind);
        }
        if let Some(refusal) = &mut self.refusal {
            refusal.nth -= 1;
            if refusal.nth == 0 {
                let error = refusal.error;
                self.refusal = None;
                self.last_refused = Some(kind);
                // Where the kind has fewer errors: its first.
                return Err(kind.errors().get(error).copied().unwrap_or(kind.errors()[0]));
            }
        }
        Ok(())
    }
}

fn vspace_address(vspace: VSpace) -> u64 {
    let number = match vspace {
        VSpace::Own => 0,
        VSpace::Peer(peer) => u64::from(peer.get()),
    };
    (SLOT_VSPACES + number) << ROOT_SHIFT
}

/// Converts an error of a map operation for the core.
fn mapping_refusal(error: Error) -> KernelError {
    match error {
        Error::FailedLookup {
            fault: LookupFault::MissingCapability { bits_left: bits @ (21 | 30 | 39) },
            ..
        } => KernelError::TableMissing { span_bits: bits as u8 },
        Error::DeleteFirst => KernelError::AlreadyMapped,
        // How aarch64 says that a lowest table is in the place of a large page.
        Error::FailedLookup { fault: LookupFault::MissingCapability { bits_left: 12 }, .. } => {
            KernelError::AlreadyMapped
        }
        other => refusal(other),
    }
}

/// Converts an error for the core, which only distinguishes a lack of memory.
fn refusal(error: Error) -> KernelError {
    match error {
        Error::NotEnoughMemory { .. } => KernelError::NotEnoughMemory,
        _ => KernelError::Refused,
    }
}
