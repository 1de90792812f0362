// SPDX-License-Identifier: BSD-2-Clause
//! The side of the domain that gives orders to puppets: one method per order.

use core::fmt;

use pmserver_client::MapFlags;
use proto::{Message, ProtocolError, Transport, VirtAddr};

use crate::behaviour::Behaviour;
use crate::order::{Order, Report, STATUS_FAULTED, STATUS_OK, STATUS_REFUSED};
use crate::recovery::Recovery;

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// It made the puppet fault.
    Faulted,
    /// The kernel refused.
    Refused,
    /// It was stopped.
    Stopped,
    /// The puppet does not understand it, or its reply is malformed.
    Unintelligible,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Faulted => "it faulted",
            Self::Refused => "the kernel refused",
            Self::Stopped => "it was stopped",
            Self::Unintelligible => "the puppet did not understand",
        })
    }
}

/// Gives orders to a puppet, over the same channel as the calls that it forwards.
pub struct Client<T: Transport> {
    puppet: T,
}

impl<T: Transport> Client<T> {
    /// Returns a client of the puppet behind this channel.
    pub const fn new(puppet: T) -> Self {
        Self { puppet }
    }

    fn call<const N: usize>(&mut self, order: Order) -> Result<[u64; N], OrderError> {
        let reply: Message = self.puppet.call(order.encode());
        match reply.label() {
            STATUS_OK => reply.exactly().map_err(|_| OrderError::Unintelligible),
            STATUS_FAULTED => Err(OrderError::Faulted),
            STATUS_REFUSED => Err(OrderError::Refused),
            status if status == ProtocolError::Stopped.status() => Err(OrderError::Stopped),
            _ => Err(OrderError::Unintelligible),
        }
    }

    /// Makes it load a word.
    ///
    /// # Errors
    /// [`OrderError`], as every method here.
    pub fn load(&mut self, vaddr: VirtAddr) -> Result<u64, OrderError> {
        self.call(Order::Load(vaddr)).map(|[word]| word)
    }

    /// Makes it store a word.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn store(&mut self, vaddr: VirtAddr, word: u64) -> Result<(), OrderError> {
        self.call(Order::Store(vaddr, word)).map(|[]| ())
    }

    /// Makes it fill pages with a pattern.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn fill(&mut self, vaddr: VirtAddr, pages: u64, seed: u64) -> Result<(), OrderError> {
        self.call(Order::Fill { vaddr, pages, seed }).map(|[]| ())
    }

    /// Makes it load pages, and returns their checksum.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn sum(&mut self, vaddr: VirtAddr, pages: u64) -> Result<u64, OrderError> {
        self.call(Order::Sum { vaddr, pages }).map(|[checksum]| checksum)
    }

    /// Makes it load a word repeatedly, and returns how often the word differed from the first.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn reload(&mut self, vaddr: VirtAddr, times: u64) -> Result<u64, OrderError> {
        self.call(Order::Reload { vaddr, times }).map(|[changes]| changes)
    }

    /// Asks what notifications led to.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn report(&mut self) -> Result<Report, OrderError> {
        self.call(Order::Report).map(Report::decode)
    }

    /// Tells it what to do when it is notified.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn behave(&mut self, behaviour: Behaviour) -> Result<(), OrderError> {
        self.call(Order::Behave(behaviour)).map(|[]| ())
    }

    /// Tells it what to do at its recovery entry.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn recover_by(&mut self, recovery: Recovery) -> Result<(), OrderError> {
        self.call(Order::RecoverBy(recovery)).map(|[]| ())
    }

    /// Makes it hang.
    ///
    /// # Errors
    /// See [`Client::load`]; it does not succeed.
    pub fn hang(&mut self) -> Result<(), OrderError> {
        self.call(Order::Hang).map(|[]| ())
    }

    /// Makes it map a granted capability itself.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), OrderError> {
        self.call(Order::MapGranted { capability, vaddr, rights }).map(|[]| ())
    }
}
