// SPDX-License-Identifier: BSD-2-Clause
//! What a device has to do, so that the server can drive it.

use block_api::Geometry;

/// The request that a transfer is a part of: an index into the server's table. A device repeats it
/// and does nothing else with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIndex(pub(crate) usize);

/// Memory as a device sees it, in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusRange {
    /// Where it begins: an address that a pin told, or some blocks behind one.
    pub address: u64,
    /// How long it is: whole blocks.
    pub bytes: u32,
}

/// What a device does at once: a part of a request, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Reads blocks of the disk, and writes to memory.
    Read {
        /// The first block.
        block: u64,
        /// The memory.
        to: BusRange,
    },
    /// Reads memory, and writes blocks of the disk.
    Write {
        /// The first block.
        block: u64,
        /// The memory.
        from: BusRange,
    },
    /// Makes all writes last that have ended.
    Flush,
    /// Forgets the contents of blocks.
    Discard {
        /// The first block.
        block: u64,
        /// How many.
        count: u32,
    },
}

/// What one transfer may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The memory of a transfer, in bytes: at least a block.
    pub bytes: u64,
    /// Blocks to discard: at least one, if the disk can do that.
    pub discard_blocks: u32,
}

/// The device does not do what a device of its kind does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Why a device does not begin a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Others are under way. When one has ended there is room.
    Full,
    /// It is [`Broken`].
    Broken,
}

/// A disk. It does transfers, several at a time and in any order.
pub trait Device {
    /// Returns what the disk is like. It does not change.
    fn geometry(&self) -> Geometry;

    /// Returns what one transfer may be at most. It does not change.
    fn limits(&self) -> Limits;

    /// Begins a transfer.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has begun then.
    fn begin(&mut self, request: RequestIndex, transfer: &Transfer) -> Result<(), Refusal>;

    /// Returns the request of a transfer that has ended, and whether it was done. Each is returned
    /// once, and the device no longer accesses the memory of it.
    ///
    /// # Errors
    /// [`Broken`] if the device says that something has ended which was not under way.
    fn ended(&mut self) -> Result<Option<(RequestIndex, bool)>, Broken>;

    /// Tells the device that its interrupt was seen. What ends from now on gives a new one.
    fn acknowledge(&mut self);

    /// Stops all transfers and makes the device work again. After success none is under way, and
    /// the device accesses no memory but its own. Takes a bounded time.
    ///
    /// # Errors
    /// [`Broken`] if it does not stop, or does not work afterwards.
    fn reset(&mut self) -> Result<(), Broken>;
}
