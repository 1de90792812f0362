// SPDX-License-Identifier: BSD-2-Clause
//! Blocks behind the file system: what make orders, and how far the program has come.

use core::fmt::Write;

use block_api::{BlockCount, Client, Place, Tag};
use pmserver_client::{
    AddressSpace, ContainerHandle, MapFlags, Micros, Pages, Pm, Rights, ShareTerms, Transport,
    VirtAddr,
};
use proto::Waiter;
use proto::limits::LEASE_MICROS_MAX;

use crate::writer::Failure;

/// The block with the order, and that of the mark, counted from the end of the disk.
pub const ORDER_FROM_END: u64 = 2;
/// See [`ORDER_FROM_END`].
pub const MARK_FROM_END: u64 = 1;

const WINDOW: VirtAddr = VirtAddr::new(0x1080_0000).unwrap();

/// A block of text.
type Block = [u8; 512];

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What everything is drawn from.
    pub seed: u64,
    /// How often to have fsserver killed.
    pub kills: u64,
    /// How many operations to do; if fsserver is killed, at most.
    pub operations: u64,
}

impl Order {
    /// Returns the order in a line like `seed 1, kills 2, operations 3`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.trim_end().splitn(3, ", ");
        let mut number = |key: &str| parts.next()?.strip_prefix(key)?.trim().parse().ok();
        let (seed, kills) = (number("seed")?, number("kills")?);
        Some(Self { seed, kills, operations: number("operations")? })
    }
}

/// The last operation that has made all, or a file, last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u32);

impl Mark {
    const KEY: &str = "ended ";

    /// Returns the mark in a block.
    #[must_use]
    pub fn parse(block: &[u8]) -> Option<Self> {
        let line = block.split(|byte| *byte == b'\n').next()?;
        let number = core::str::from_utf8(line).ok()?.strip_prefix(Self::KEY)?;
        number.parse().ok().map(Self)
    }
}

/// Text in a block.
struct Text {
    block: Block,
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length.saturating_add(text.len());
        let room = self.block.get_mut(self.length..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The disk, and a frame that is lent to its driver.
pub(crate) struct Marks<T: Transport, W> {
    disk: Client<T>,
    blocks: u64,
    weak: ContainerHandle,
    pages: Pages,
    waiter: W,
}

impl<T: Transport, W: Waiter> Marks<T, W> {
    pub(crate) fn new<P: Transport>(
        pm: &Pm<P>,
        mut disk: Client<T>,
        waiter: W,
    ) -> Result<Self, Failure> {
        let peer = disk.version()?.peer;
        let blocks = disk.geometry()?.blocks;
        let container = pm.account().create_container()?;
        container.allocate(0..1)?;
        let pages = container.map(0..1, WINDOW, MapFlags::WRITE)?.into_pages();
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        let share = container.share(0..1, ShareTerms { peer, rights, lease_max, once: false })?;
        let weak = share.weak_handle();
        // They stay as long as the program.
        share.into_raw();
        container.into_raw();
        Ok(Self { disk, blocks, weak, pages, waiter })
    }

    /// Reads the order.
    pub(crate) fn order(&mut self, space: &impl AddressSpace) -> Result<Order, Failure> {
        let (place, one) = self.place()?;
        let block = self.blocks.saturating_sub(ORDER_FROM_END);
        self.disk.read(place, block, one, Tag::new(0))?;
        self.wait()?;
        let mut bytes: Block = [0; 512];
        self.pages.copy_in(space, 0, &mut bytes)?;
        let line = bytes.split(|byte| *byte == b'\n').next();
        let line = line.and_then(|line| core::str::from_utf8(line).ok());
        line.and_then(Order::parse).ok_or(Failure::Wrong("there is no order on the disk"))
    }

    /// Makes a mark.
    pub(crate) fn make(
        &mut self,
        space: &mut impl AddressSpace,
        mark: Mark,
    ) -> Result<(), Failure> {
        let mut text = Text { block: [0; 512], length: 0 };
        writeln!(text, "{}{}", Mark::KEY, mark.0).map_err(|_| Failure::Wrong("a long mark"))?;
        self.pages.copy_out(space, &text.block, 0)?;
        let (place, one) = self.place()?;
        let block = self.blocks.saturating_sub(MARK_FROM_END);
        self.disk.write(place, block, one, Tag::new(0))?;
        self.wait()
    }

    fn place(&self) -> Result<(Place, BlockCount), Failure> {
        let one = BlockCount::new(1).ok_or(Failure::Wrong("one block"))?;
        Ok((Place { container: self.weak, offset: 0 }, one))
    }

    /// Sleeps until the request has ended.
    fn wait(&mut self) -> Result<(), Failure> {
        loop {
            let completed = self.disk.completed()?;
            if let Some(completion) = completed.iter().next() {
                return Ok(completion.result?);
            }
            self.waiter.wait();
        }
    }
}
