// SPDX-License-Identifier: BSD-2-Clause
//! `SimKernel`: pmserver's seam to the kernel, over the model of the kernel's objects.
//!
//! Makes the same invocations with the same addresses as pmserver's PD makes on seL4. Can make the
//! n-th of them fail, and counts them.
//!
//! ```text
//!   seam.rs   the methods of `Kernel`          home.rs     where capabilities are
//!   peers.rs  what a peer does with its own    bytes.rs    loads and stores
//!   copy.rs   contents from page to page       devices.rs  what writes to memory beside programs
//! ```

mod bytes;
mod copy;
mod devices;
mod home;
mod peers;
mod seam;

use std::collections::BTreeMap;

use pmserver_core::kernel::{KernelError, VSpace};
use proto::PeerId;

use self::devices::Devices;
use self::home::Home;
use crate::clock::Clock;
use crate::loader::{
    BootPlan, LEAF_THREADS, Loaded, LoadedPeer, ROOT_SHIFT, SLOT_VSPACES, equal_parts, load,
};
use crate::machine::{Architecture, Cap, Error, Invocation, LookupFault, Machine, Thread};

pub use self::devices::DeviceFault;

/// What one invocation costs on the virtual clock.
const INVOCATION_MICROS: u64 = 1;

/// Kinds of kernel invocations, to count them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is the invocation of its name.
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

/// The kernel as pmserver sees it.
pub struct SimKernel {
    machine: Machine,
    cspace: Cap,
    peers: BTreeMap<PeerId, LoadedPeer>,
    clock: Clock,
    home: Home,
    /// Whether a refusal left something in the slots for copying.
    copy_slots_are_dirty: bool,
    devices: Devices,
    counts: BTreeMap<InvocationKind, u64>,
    fail_in: Option<u64>,
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
        let peers: Vec<PeerId> = (1..=8).filter_map(PeerId::new).collect();
        Self::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: equal_parts(pool_bytes.ilog2(), 1),
            cspaces: peers.clone(),
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
        let Loaded { mut machine, cspace, peers } = load(plan);
        let home = Home::build(&mut machine, cspace, &plan.pool);
        Self {
            machine,
            cspace,
            peers,
            clock: Clock::default(),
            home,
            copy_slots_are_dirty: false,
            devices: Devices::default(),
            counts: BTreeMap::new(),
            fail_in: None,
        }
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
        self.count_invocation(kind)?;
        self.machine.invoke(self.cspace, address, invocation).map(drop)
    }

    /// Counts an invocation that is about to be made, or says that it is the one that fails.
    fn count_invocation(&mut self, kind: InvocationKind) -> Result<(), Error> {
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
