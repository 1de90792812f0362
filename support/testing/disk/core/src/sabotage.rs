// SPDX-License-Identifier: BSD-2-Clause
//! A driver that lets its disk access memory that it was not given: asked for one of two blocks
//! alone, it tells the disk another address than that of the pin. Else it is as it should be.
//!
//! Where an IOMMU confines the disk nothing moves then.

use block_api::Geometry;
use block_core::{Broken, BusRange, Device, Limits, Refusal, RequestIndex, Transfer};
use proto::limits::BLOCK_BYTES;

/// The block that moves to or from where the transfer before it did, whose pin has ended.
pub(crate) const ENDED: u64 = 20_000;
/// The block that moves to or from where the kernel is, on a PC.
pub(crate) const NEVER: u64 = 20_001;
const KERNEL: u64 = 0x20_0000;

/// A disk and the last address that it was told rightly.
pub struct Sabotaged<D> {
    disk: D,
    last: u64,
}

impl<D> Sabotaged<D> {
    /// Returns a disk that can be told to misbehave.
    pub const fn new(disk: D) -> Self {
        Self { disk, last: 0 }
    }

    /// Returns where a block moves to or from.
    fn place(&mut self, block: u64, given: BusRange) -> BusRange {
        let is_alone = u64::from(given.bytes) == BLOCK_BYTES;
        let address = match block {
            ENDED if is_alone => self.last,
            NEVER if is_alone => KERNEL,
            _ => {
                self.last = given.address;
                given.address
            }
        };
        BusRange { address, ..given }
    }
}

impl<D: Device> Device for Sabotaged<D> {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn limits(&self) -> Limits {
        self.disk.limits()
    }

    fn begin(&mut self, request: RequestIndex, transfer: &Transfer) -> Result<(), Refusal> {
        let transfer = match *transfer {
            Transfer::Read { block, to } => Transfer::Read { block, to: self.place(block, to) },
            Transfer::Write { block, from } => {
                Transfer::Write { block, from: self.place(block, from) }
            }
            other => other,
        };
        self.disk.begin(request, &transfer)
    }

    fn ended(&mut self) -> Result<Option<(RequestIndex, bool)>, Broken> {
        self.disk.ended()
    }

    fn acknowledge(&mut self) {
        self.disk.acknowledge();
    }

    fn reset(&mut self) -> Result<(), Broken> {
        self.disk.reset()
    }
}
