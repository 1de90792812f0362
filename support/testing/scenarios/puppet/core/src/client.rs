// SPDX-License-Identifier: BSD-2-Clause
//! The side of the domain that tells puppets what to do: one method an order.

use core::fmt;

use pmserver_client::MapFlags;
use proto::{Message, Transport, VirtAddr};

use crate::behaviour::Behaviour;
use crate::order::{Order, Report, STATUS_FAULTED, STATUS_OK, STATUS_REFUSED};

/// What comes of an order that is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// The puppet faulted over it.
    Faulted,
    /// The kernel refused.
    Refused,
    /// The puppet does not understand it, or its answer is none.
    Unintelligible,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Faulted => "it faulted",
            Self::Refused => "the kernel refused",
            Self::Unintelligible => "the puppet did not understand",
        })
    }
}

/// Tells a puppet what to do, over the channel that its operations go over, too.
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
            _ => Err(OrderError::Unintelligible),
        }
    }

    /// Has it load a word.
    ///
    /// # Errors
    /// [`OrderError`], as every method here.
    pub fn load(&mut self, vaddr: VirtAddr) -> Result<u64, OrderError> {
        self.call(Order::Load(vaddr)).map(|[word]| word)
    }

    /// Has it store a word.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn store(&mut self, vaddr: VirtAddr, word: u64) -> Result<(), OrderError> {
        self.call(Order::Store(vaddr, word)).map(|[]| ())
    }

    /// Has it fill pages with a pattern.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn fill(&mut self, vaddr: VirtAddr, pages: u64, seed: u64) -> Result<(), OrderError> {
        self.call(Order::Fill { vaddr, pages, seed }).map(|[]| ())
    }

    /// Has it load pages; returns their checksum.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn sum(&mut self, vaddr: VirtAddr, pages: u64) -> Result<u64, OrderError> {
        self.call(Order::Sum { vaddr, pages }).map(|[checksum]| checksum)
    }

    /// Has it load a word again and again; returns how often it was another than at first.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn reload(&mut self, vaddr: VirtAddr, times: u64) -> Result<u64, OrderError> {
        self.call(Order::Reload { vaddr, times }).map(|[changes]| changes)
    }

    /// Asks what came of notifications.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn report(&mut self) -> Result<Report, OrderError> {
        self.call(Order::Report).map(Report::decode)
    }

    /// Says what it shall do when it is notified.
    ///
    /// # Errors
    /// See [`Client::load`].
    pub fn behave(&mut self, behaviour: Behaviour) -> Result<(), OrderError> {
        self.call(Order::Behave(behaviour)).map(|[]| ())
    }

    /// Has it map a granted capability itself.
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
