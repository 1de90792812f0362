// SPDX-License-Identifier: BSD-2-Clause
//! Checks the parts of the pool and the peers, alone and against each other.

use core::fmt;

use bitflags::bitflags;
use proto::limits::PEERS_MAX;
use proto::{ByteCount, PAGE_BYTES, PeerId};

use crate::call_graph::{CallGraph, bit};
use crate::pool::{
    Division, PARTS_MAX, POOL_PAGES_MAX, PoolPart, SIZE_BITS, pages_without_account,
};
use crate::slots;

/// Bytes of the longest name of a protection domain (Microkit).
pub const NAME_BYTES_MAX: usize = 64;

/// One protection domain that pmserver serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerConfig<'a> {
    /// Its channel and child number at pmserver.
    pub peer: u8,
    /// Its name on the console.
    pub name: &'a str,
    /// What its account may use, in whole pages.
    pub limit: ByteCount,
    /// What it may do beyond what every peer may.
    pub privileges: Privileges,
}

bitflags! {
    /// What a peer may do beyond what every peer may. The names in lower case are those in the
    /// system description file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Privileges: u8 {
        /// Read the accounts of others.
        const READ_ACCOUNTS = 1 << 0;
        /// Rescue servers that do not answer, and say that a device was reset.
        const SUPERVISE = 1 << 1;
        /// Set the limits of others and destroy their accounts, and split accounts off the pool.
        const SET_POLICY = 1 << 2;
        /// Pin memory for a device, and learn its bus address.
        const DMA = 1 << 3;
        /// Have extra frames.
        const EXTRA = 1 << 4;
        /// Have pmserver do at once what it may do at any time: for tests.
        const DISTURB = 1 << 5;
        /// Read the books: who holds what, of all peers.
        const INSPECT = 1 << 6;
    }
}

/// What is wrong with a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The data does not begin with the mark of this version, or is followed by other bytes.
    Form,
    /// The page that should list untyped memory does not.
    UntypedList,
    /// The pool has no part.
    NoPool,
    /// The pool has this many parts, which is more than it may have.
    TooManyParts(u32),
    /// There are this many peers, which is more than there may be.
    TooManyPeers(u32),
    /// A part is in this slot, which is not one for parts.
    PartSlot(u32),
    /// Two parts are in this slot.
    PartSlotTwice(u32),
    /// A part has this size, as a power of two, which is out of range.
    PartSize(u32),
    /// With this part the pool is larger than pmserver can manage.
    PoolTooLarge,
    /// The pool cannot hold the CNodes and the page table that pmserver needs to divide it.
    PoolTooSmall,
    /// A peer has this number, which is out of range.
    PeerNumber(u32),
    /// Two peers have this number.
    PeerNumberTwice(u32),
    /// A peer's name is empty, too long, or not plain text.
    PeerName,
    /// A peer has these privileges, not all of which exist.
    Privileges(u32),
    /// The device of this peer cannot be confined: it is not there, or may not pin memory.
    Confined(u32),
    /// So many devices are to be confined, which is more than there may be.
    TooManyConfined(u32),
    /// This limit, in bytes, is not a whole number of pages.
    LimitInPages(u64),
    /// The limits of the accounts add up to more than the pool has for accounts.
    LimitsAbovePool {
        /// Bytes of all limits up to and including this peer's.
        limits: u64,
        /// Bytes that the pool has for accounts.
        available: u64,
    },
}

/// Which part or peer an error is about, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The setup as a whole.
    Setup,
    /// A part of the pool.
    Part(usize),
    /// A peer.
    Peer(usize),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last_peer = PEERS_MAX.saturating_sub(1);
        let (first_slot, last_slot) = (slots::POOL.start(), slots::POOL.end());
        let (low, high) = (SIZE_BITS.start(), SIZE_BITS.end());
        match self {
            Self::Form => write!(f, "this is not the setup data of this version of pmserver"),
            Self::UntypedList => {
                write!(f, "the list of untyped memory is not in the form that pmserver reads")
            }
            Self::NoPool => write!(f, "the pool has no part"),
            Self::TooManyParts(count) => {
                write!(f, "the pool has {count} parts: it may have at most {PARTS_MAX}")
            }
            Self::TooManyPeers(count) => {
                write!(f, "there are {count} peers: there may be at most {last_peer}")
            }
            Self::PartSlot(slot) => {
                write!(
                    f,
                    "slot {slot} is outside {first_slot} to {last_slot}: the pool has at most \
                     {PARTS_MAX} parts"
                )
            }
            Self::PartSlotTwice(slot) => write!(f, "two parts of the pool are in slot {slot}"),
            Self::PartSize(bits) => {
                write!(
                    f,
                    "size_bits {bits} is outside {low} to {high}, the sizes of parts of a pool"
                )
            }
            Self::PoolTooLarge => write!(f, "with this part the pool is larger than 4 GiB"),
            Self::PoolTooSmall => {
                write!(
                    f,
                    "the pool is too small: its largest part cannot hold pmserver's own tables"
                )
            }
            Self::PeerNumber(number) => {
                write!(f, "the peer number {number} is outside 1 to {last_peer}")
            }
            Self::PeerNumberTwice(number) => write!(f, "two peers have the number {number}"),
            Self::PeerName => {
                write!(f, "the name of a peer is not 1 to {NAME_BYTES_MAX} bytes of text")
            }
            Self::Privileges(bits) => write!(f, "the privileges {bits:#x} do not exist"),
            Self::Confined(number) => {
                write!(f, "the peer {number}, whose device is confined, may not pin memory")
            }
            Self::TooManyConfined(count) => {
                let most = slots::IO_SPACES.count();
                write!(f, "{count} devices are confined: there may be at most {most}")
            }
            Self::LimitInPages(bytes) => {
                write!(f, "the limit {bytes:#x} is not a multiple of {PAGE_BYTES:#x}")
            }
            Self::LimitsAbovePool { limits, available } => write!(
                f,
                "with this account the limits add up to {limits:#x} bytes, but the pool has only \
                 {available:#x} for accounts"
            ),
        }
    }
}

/// Parts and peers that fit together. Holding one proves that all checks of this file passed.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    parts: [PoolPart; PARTS_MAX],
    part_count: usize,
    peers: [PeerConfig<'a>; PEERS_MAX],
    peer_count: usize,
    calls: CallGraph,
    /// The peers whose devices are behind an IOMMU, a bit for each number.
    confined: u32,
    division: Division,
}

type Checked<T> = Result<T, (Subject, SetupError)>;

impl<'a> Setup<'a> {
    /// Checks parts and peers.
    ///
    /// # Errors
    /// The first thing that is wrong, and which part or peer it is about.
    pub fn new(
        parts: impl IntoIterator<Item = PoolPart>,
        peers: impl IntoIterator<Item = PeerConfig<'a>>,
    ) -> Checked<Self> {
        const NO_PART: PoolPart = PoolPart { slot: 0, size_bits: 0 };
        let no_peer = PeerConfig {
            peer: 0,
            name: "",
            limit: ByteCount::new(0),
            privileges: Privileges::empty(),
        };
        let nothing = Division::default();
        let mut setup = Self {
            parts: [NO_PART; PARTS_MAX],
            part_count: 0,
            peers: [no_peer; PEERS_MAX],
            peer_count: 0,
            calls: CallGraph::NONE,
            confined: 0,
            division: nothing,
        };
        for part in parts {
            setup.add_part(part).map_err(|error| (Subject::Part(setup.part_count), error))?;
        }
        if setup.part_count == 0 {
            return Err((Subject::Setup, SetupError::NoPool));
        }
        let division = Division::of(setup.parts(), 0);
        setup.division = division.ok_or((Subject::Setup, SetupError::PoolTooSmall))?;
        for peer in peers {
            setup.add_peer(peer).map_err(|error| (Subject::Peer(setup.peer_count), error))?;
        }
        setup.check_limits()?;
        Ok(setup)
    }

    /// Returns the same setup, in which the devices of these peers, a bit for each number, are
    /// behind an IOMMU. As [`Setup::new`] makes it, none is.
    ///
    /// # Errors
    /// What is wrong then.
    pub fn with_confined(mut self, peers: u32) -> Checked<Self> {
        self.confined = peers;
        let has_device = |peer: PeerId| {
            let found = self.peers().iter().find(|config| config.peer == peer.get());
            found.is_some_and(|config| config.privileges.contains(Privileges::DMA))
        };
        let wrong = self.confined().find(|peer| !has_device(*peer)).map(PeerId::get);
        if let Some(number) = wrong.or((peers & 1 != 0).then_some(0)) {
            return Err((Subject::Setup, SetupError::Confined(number.into())));
        }
        let devices = peers.count_ones();
        if devices > to_u32(slots::IO_SPACES.count()) {
            return Err((Subject::Setup, SetupError::TooManyConfined(devices)));
        }
        let division = Division::of(self.parts(), devices);
        self.division = division.ok_or((Subject::Setup, SetupError::PoolTooSmall))?;
        self.check_limits()?;
        Ok(self)
    }

    /// Returns the peers whose devices are behind an IOMMU, in the order of their numbers.
    pub fn confined(&self) -> impl Iterator<Item = PeerId> + use<> {
        let peers = self.confined;
        (1..32).filter_map(PeerId::new).filter(move |peer| peers & bit(*peer) != 0)
    }

    /// Returns the parts of the pool.
    #[must_use]
    pub fn parts(&self) -> &[PoolPart] {
        self.parts.get(..self.part_count).unwrap_or_default()
    }

    /// Returns the peers.
    #[must_use]
    pub fn peers(&self) -> &[PeerConfig<'a>] {
        self.peers.get(..self.peer_count).unwrap_or_default()
    }

    /// Returns the same setup, in which these peers call each other. As [`Setup::new`] makes it,
    /// nobody calls anybody.
    #[must_use]
    pub const fn with_calls(self, calls: CallGraph) -> Self {
        Self { calls, ..self }
    }

    /// Returns who calls whom.
    #[must_use]
    pub const fn calls(&self) -> CallGraph {
        self.calls
    }

    /// Returns how the pool is divided.
    #[must_use]
    pub const fn division(&self) -> Division {
        self.division
    }

    fn add_part(&mut self, part: PoolPart) -> Result<(), SetupError> {
        if !slots::POOL.contains(&part.slot) {
            return Err(SetupError::PartSlot(part.slot));
        }
        if self.parts().iter().any(|other| other.slot == part.slot) {
            return Err(SetupError::PartSlotTwice(part.slot));
        }
        if !SIZE_BITS.contains(&part.size_bits) {
            return Err(SetupError::PartSize(part.size_bits));
        }
        let pages =
            self.parts().iter().map(PoolPart::pages).fold(part.pages(), u32::saturating_add);
        if pages > POOL_PAGES_MAX {
            return Err(SetupError::PoolTooLarge);
        }
        let count = self.part_count.saturating_add(1);
        // There are as many places as slots, and no slot has two parts: this does not fail.
        let place = self.parts.get_mut(self.part_count);
        *place.ok_or(SetupError::TooManyParts(to_u32(count)))? = part;
        self.part_count = count;
        Ok(())
    }

    fn add_peer(&mut self, peer: PeerConfig<'a>) -> Result<(), SetupError> {
        if PeerId::new(peer.peer.into()).is_none() {
            return Err(SetupError::PeerNumber(peer.peer.into()));
        }
        if self.peers().iter().any(|other| other.peer == peer.peer) {
            return Err(SetupError::PeerNumberTwice(peer.peer.into()));
        }
        let is_text = !peer.name.chars().any(char::is_control);
        if !(1..=NAME_BYTES_MAX).contains(&peer.name.len()) || !is_text {
            return Err(SetupError::PeerName);
        }
        if !peer.limit.get().is_multiple_of(PAGE_BYTES) {
            return Err(SetupError::LimitInPages(peer.limit.get()));
        }
        let count = self.peer_count.saturating_add(1);
        let place = self.peers.get_mut(self.peer_count);
        *place.ok_or(SetupError::TooManyPeers(to_u32(count)))? = peer;
        self.peer_count = count;
        Ok(())
    }

    /// Checks that the pool has room for all limits at once: each of them is a promise.
    fn check_limits(&self) -> Checked<()> {
        let taken = pages_without_account(self.division.pages, self.peer_count);
        let pages = u64::from(self.division.pages.saturating_sub(taken));
        let available = PAGE_BYTES.saturating_mul(pages);
        let mut limits = 0_u64;
        for (index, peer) in self.peers().iter().enumerate() {
            limits = limits.saturating_add(peer.limit.get());
            if limits > available {
                let error = SetupError::LimitsAbovePool { limits, available };
                return Err((Subject::Peer(index), error));
            }
        }
        Ok(())
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
