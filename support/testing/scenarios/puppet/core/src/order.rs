// SPDX-License-Identifier: BSD-2-Clause
//! The contract between a puppet and the domain that gives it orders.
//!
//! A request with a number below 0xE000 is not an order: the puppet forwards it to pmserver as its
//! own call, and returns the reply, both unchanged.
//!
//! | no | order | r0 | r1 | r2 | r3 | reply |
//! |---|---|---|---|---|---|---|
//! | 0xE001 | load | address | | | | the word there |
//! | 0xE002 | store | address | word | | | |
//! | 0xE003 | fill | address | pages | seed | | |
//! | 0xE004 | sum | address | pages | | | checksum |
//! | 0xE005 | reload | address | times | | | how many loads differed from the first |
//! | 0xE006 | report | | | | | notifications, answers, status, fault |
//! | 0xE007 | behave | what | its arguments … | | | |
//! | 0xE008 | map_granted | capability | address | rights | | |
//! | 0xE009 | recover_by | how | | | | |
//! | 0xE00A | hang | | | | | none |
//!
//! The status of a reply is 0, 0xE100 if the puppet faulted, or 0xE101 if the kernel refused to
//! map.

use pmserver_client::MapFlags;
use proto::{Message, ProtocolError, VirtAddr};

use crate::behaviour::Behaviour;
use crate::recovery::Recovery;

/// The first number that is an order.
const ORDERS: u64 = 0xE000;
/// The bits of a label that hold the number of an operation.
const NUMBER_MASK: u64 = 0xFFFF;

const LOAD: u64 = 0xE001;
const STORE: u64 = 0xE002;
const FILL: u64 = 0xE003;
const SUM: u64 = 0xE004;
const RELOAD: u64 = 0xE005;
const REPORT: u64 = 0xE006;
const BEHAVE: u64 = 0xE007;
const MAP_GRANTED: u64 = 0xE008;
const RECOVER_BY: u64 = 0xE009;
const HANG: u64 = 0xE00A;

pub(crate) const STATUS_OK: u64 = 0;
pub(crate) const STATUS_FAULTED: u64 = 0xE100;
pub(crate) const STATUS_REFUSED: u64 = 0xE101;

/// What a puppet does itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Load a word.
    Load(VirtAddr),
    /// Store a word.
    Store(VirtAddr, u64),
    /// Fill pages with a pattern that depends on the seed.
    Fill {
        /// The first page.
        vaddr: VirtAddr,
        /// How many.
        pages: u64,
        /// 0 makes them zero.
        seed: u64,
    },
    /// Load pages and return their checksum.
    Sum {
        /// The first page.
        vaddr: VirtAddr,
        /// How many.
        pages: u64,
    },
    /// Load a word again and again.
    Reload {
        /// Which.
        vaddr: VirtAddr,
        /// How often.
        times: u64,
    },
    /// Tell what came of notifications.
    Report,
    /// What to do when notified.
    Behave(Behaviour),
    /// Map a granted capability oneself.
    MapGranted {
        /// Its address.
        capability: u64,
        /// Where.
        vaddr: VirtAddr,
        /// With which rights.
        rights: MapFlags,
    },
    /// What to do at the recovery entry.
    RecoverBy(Recovery),
    /// Never answer.
    Hang,
}

/// What notifications led to, since the puppet started, last faulted, or last got an order to
/// behave in some way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many there were; several may have been one.
    pub notifications: u64,
    /// How many faults it answered, or frames it freed.
    pub answers: u64,
    /// The status of the last answer at pmserver: 0, or the number of its error.
    pub status: u64,
    /// The fault that it was last asked about.
    pub fault: u64,
}

/// Returns the reply to an order that made the puppet fault.
#[must_use]
pub const fn faulted() -> Message {
    Message::new(STATUS_FAULTED, [])
}

impl Order {
    /// Returns whether a message is an order, and not a call to forward to pmserver.
    pub(crate) const fn is_one(message: &Message) -> bool {
        message.label() & NUMBER_MASK >= ORDERS
    }

    pub(crate) fn encode(self) -> Message {
        match self {
            Self::Load(vaddr) => Message::new(LOAD, [vaddr.get()]),
            Self::Store(vaddr, word) => Message::new(STORE, [vaddr.get(), word]),
            Self::Fill { vaddr, pages, seed } => Message::new(FILL, [vaddr.get(), pages, seed]),
            Self::Sum { vaddr, pages } => Message::new(SUM, [vaddr.get(), pages]),
            Self::Reload { vaddr, times } => Message::new(RELOAD, [vaddr.get(), times]),
            Self::Report => Message::new(REPORT, []),
            Self::Behave(behaviour) => Message::new(BEHAVE, behaviour.encode()),
            Self::MapGranted { capability, vaddr, rights } => {
                Message::new(MAP_GRANTED, [capability, vaddr.get(), rights.bits().into()])
            }
            Self::RecoverBy(recovery) => Message::new(RECOVER_BY, [recovery.number().into()]),
            Self::Hang => Message::new(HANG, []),
        }
    }

    pub(crate) fn decode(message: &Message) -> Result<Self, ProtocolError> {
        let order = match (message.label(), message.registers()) {
            (LOAD, &[at]) => VirtAddr::new(at).map(Self::Load),
            (STORE, &[at, word]) => VirtAddr::new(at).map(|vaddr| Self::Store(vaddr, word)),
            (FILL, &[at, pages, seed]) => {
                VirtAddr::new(at).map(|vaddr| Self::Fill { vaddr, pages, seed })
            }
            (SUM, &[at, pages]) => VirtAddr::new(at).map(|vaddr| Self::Sum { vaddr, pages }),
            (RELOAD, &[at, times]) => VirtAddr::new(at).map(|vaddr| Self::Reload { vaddr, times }),
            (REPORT, []) => Some(Self::Report),
            (BEHAVE, &[what, a, b, c]) => Behaviour::decode([what, a, b, c]).map(Self::Behave),
            (MAP_GRANTED, &[capability, at, rights]) => VirtAddr::new(at)
                .zip(u16::try_from(rights).ok().and_then(MapFlags::from_bits))
                .map(|(vaddr, rights)| Self::MapGranted { capability, vaddr, rights }),
            (RECOVER_BY, &[how]) => {
                u8::try_from(how).ok().and_then(Recovery::from_number).map(Self::RecoverBy)
            }
            (HANG, []) => Some(Self::Hang),
            _ => None,
        };
        order.ok_or(ProtocolError::UnknownOperation)
    }
}

impl Report {
    pub(crate) const fn encode(&self) -> Message {
        let Self { notifications, answers, status, fault } = *self;
        Message::new(STATUS_OK, [notifications, answers, status, fault])
    }

    pub(crate) const fn decode([notifications, answers, status, fault]: [u64; 4]) -> Self {
        Self { notifications, answers, status, fault }
    }
}

#[cfg(test)]
mod tests {
    use pmserver_client::ContainerHandle;
    use proto::{FrameNumber, Micros};

    use super::*;

    #[test]
    fn orders_come_back_and_are_none_of_the_operations() {
        let vaddr = VirtAddr::new(0x2000_1008).unwrap();
        let container = ContainerHandle::from_raw(77);
        let start = FrameNumber::new(3);
        let delay = Micros::new(9);
        let orders = [
            Order::Load(vaddr),
            Order::Store(vaddr, u64::MAX),
            Order::Fill { vaddr, pages: 3, seed: 4 },
            Order::Sum { vaddr, pages: 3 },
            Order::Reload { vaddr, times: 100_000 },
            Order::Report,
            Order::Behave(Behaviour::Count),
            Order::Behave(Behaviour::Release { container, start }),
            Order::Behave(Behaviour::Supply { container, delay, touch: Some(vaddr) }),
            Order::Behave(Behaviour::Supply { container, delay, touch: None }),
            Order::Behave(Behaviour::Refuse),
            Order::Behave(Behaviour::Hold),
            Order::Behave(Behaviour::Die),
            Order::MapGranted { capability: 5, vaddr, rights: MapFlags::READ },
            Order::RecoverBy(Recovery::Serve),
            Order::RecoverBy(Recovery::ServeOnce),
            Order::RecoverBy(Recovery::Hang),
            Order::RecoverBy(Recovery::RegisterAndHang),
            Order::Hang,
        ];
        for order in orders {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
            assert!(Order::is_one(&order.encode()));
        }
        // A count and flags in the label do not make an operation an order.
        assert!(!Order::is_one(&Message::new(0xFFFF_FFFF_0018, [])));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let strays = [
            Message::new(0xE000, []),
            Message::new(LOAD, [1 << 60]),
            Message::new(LOAD, [0, 0]),
            Message::new(BEHAVE, [6, 0, 0, 0]),
            Message::new(RECOVER_BY, [4]),
            Message::new(MAP_GRANTED, [0, 0, 1 << 15]),
        ];
        for stray in strays {
            assert_eq!(Order::decode(&stray), Err(ProtocolError::UnknownOperation));
        }
    }
}
