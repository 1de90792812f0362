// SPDX-License-Identifier: BSD-2-Clause
//! The parts of the pool, and how many of their pages pmserver uses itself.

use core::ops::RangeInclusive;

use proto::PAGE_BYTES;

use crate::slots;

/// The most parts that a pool may have: one for each slot of [`slots::POOL`].
pub const PARTS_MAX: usize = 20;
const _: () = assert!(*slots::POOL.end() - *slots::POOL.start() + 1 == 20);

/// Sizes of one part as powers of two: 4 KiB to 1 GiB. A larger pool has several parts.
pub const SIZE_BITS: RangeInclusive<u32> = PAGE_BITS..=30;
const PAGE_BITS: u32 = 12;

/// Pages of the largest pool: 4 GiB.
pub const POOL_PAGES_MAX: u32 = 1 << (32 - PAGE_BITS);

/// Pages of a block: 2 MiB, as a large frame has.
pub const BLOCK_PAGES: u32 = 1 << BLOCK_PAGES_BITS;
const BLOCK_PAGES_BITS: u32 = 9;

/// Pages of a piece, an eighth of a block: 256 KiB.
pub const PIECE_PAGES: u32 = 1 << PIECE_PAGES_BITS;
const PIECE_PAGES_BITS: u32 = 6;

/// A slot of a CNode is 32 bytes: a page holds 2^7 of them.
const PAGE_CNODE_BITS: u32 = 7;

/// One untyped object of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPart {
    /// Its slot in pmserver's root CNode.
    pub slot: u32,
    /// Its size in bytes, as a power of two.
    pub size_bits: u32,
}

impl PoolPart {
    /// Returns how many pages it has; 0 if the size is out of range.
    #[must_use]
    pub fn pages(&self) -> u32 {
        if SIZE_BITS.contains(&self.size_bits) {
            1 << self.size_bits.saturating_sub(PAGE_BITS)
        } else {
            0
        }
    }

    /// Returns how many page tables a device needs at most for it: one for each 2 MiB, and one
    /// above, as a part lies in one GiB.
    fn device_tables(&self) -> u32 {
        self.pages().div_ceil(BLOCK_PAGES).saturating_add(1)
    }
}

/// How the pool is divided into pages with two slots each, one for the untyped object of the page
/// and one for the object that is made from it, and blocks and pieces with one slot each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// The two CNodes with these slots have 2^`slot_bits` slots each.
    pub slot_bits: u32,
    /// The CNode for blocks has 2^`block_bits` slots.
    pub block_bits: u32,
    /// The CNode for pieces has 2^`piece_bits` slots.
    pub piece_bits: u32,
    /// The slot of the part whose first pages become the CNodes and the tables.
    pub overhead_slot: u32,
    /// How many page tables each device behind an IOMMU has for the pool.
    pub device_tables: u32,
    /// How many pages the CNodes and these tables take.
    pub overhead_pages: u32,
    /// How many pages are left: pages 0 to `pages - 1` of the pool.
    pub pages: u32,
}

impl Division {
    /// Divides a pool; returns `None` if it is too small for its own CNodes, or too large. Each of
    /// `devices` devices is behind an IOMMU and can be given any page. So it has page tables for
    /// all, and each page has a third slot, for the capability by which a device has it: a page is
    /// under one pin at most.
    #[must_use]
    pub fn of(parts: &[PoolPart], devices: u32) -> Option<Self> {
        let total = parts.iter().map(|part| u64::from(part.pages())).sum::<u64>();
        let total = u32::try_from(total).ok().filter(|total| *total <= POOL_PAGES_MAX)?;
        let largest = parts.iter().max_by_key(|part| part.pages())?;
        let slot_bits = total.next_power_of_two().ilog2().max(PAGE_CNODE_BITS);
        let block_bits = slot_bits.saturating_sub(BLOCK_PAGES_BITS).max(PAGE_CNODE_BITS);
        let piece_bits = slot_bits.saturating_sub(PIECE_PAGES_BITS).max(PAGE_CNODE_BITS);
        let cnode_pages = |bits: u32| 1_u32 << bits.saturating_sub(PAGE_CNODE_BITS);
        let cnodes = [slot_bits, slot_bits, block_bits, piece_bits].map(cnode_pages);
        let device_tables = parts.iter().map(PoolPart::device_tables).sum::<u32>();
        let for_devices = match devices {
            0 => 0,
            _ => device_tables.checked_mul(devices)?.checked_add(cnode_pages(slot_bits))?,
        };
        let overhead_pages = cnodes.into_iter().fold(1, u32::saturating_add);
        let overhead_pages = overhead_pages.checked_add(for_devices)?;
        let fits = overhead_pages <= largest.pages();
        let pages = total.saturating_sub(overhead_pages);
        let overhead_slot = largest.slot;
        fits.then_some(Self {
            slot_bits,
            block_bits,
            piece_bits,
            overhead_slot,
            device_tables,
            overhead_pages,
            pages,
        })
    }

    /// Returns the bytes of the pages that are left.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        PAGE_BYTES.saturating_mul(self.pages.into())
    }
}

/// Pages with consecutive numbers and physical addresses, all of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The number of the first page.
    pub first: u32,
    /// How many pages there are.
    pub pages: u32,
    /// The physical address of the first page.
    pub address: u64,
}

impl Run {
    /// Returns the number of the page after the last.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.first.saturating_add(self.pages)
    }

    /// Returns the physical address of a page of the run.
    #[must_use]
    pub fn address_of(&self, page: u32) -> u64 {
        let offset = PAGE_BYTES.saturating_mul(page.saturating_sub(self.first).into());
        self.address.saturating_add(offset)
    }

    /// Returns the first page of the first block, and the number of blocks: pages before and after
    /// them are in no block.
    #[must_use]
    pub fn blocks(&self) -> (u32, u32) {
        const BLOCK_BYTES: u64 = PAGE_BYTES * (1 << BLOCK_PAGES_BITS);
        let before = self.address.wrapping_neg() % BLOCK_BYTES / PAGE_BYTES;
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let count = self.pages.saturating_sub(before) / BLOCK_PAGES;
        (self.first.saturating_add(before), count)
    }

    /// Returns whether a block begins at a page.
    #[must_use]
    pub fn is_block(&self, page: u32) -> bool {
        let (first, count) = self.blocks();
        page.checked_sub(first)
            .is_some_and(|pages| pages % BLOCK_PAGES == 0 && pages / BLOCK_PAGES < count)
    }
}

/// Where pmserver maps the pages of the pool that it uses itself: page p at `WINDOW` plus p pages.
pub const WINDOW: u64 = 0x1000_0000;

/// Returns how many pages of a divided pool cannot be promised to accounts because pmserver uses
/// them itself: for the frame table, the page tables of the pool window, the page of zeros, and the
/// records of the accounts of the pool and of the peers.
#[must_use]
pub fn pages_without_account(pages: u32, peers: usize) -> u32 {
    const TABLE_ENTRIES_PER_PAGE: u32 = 128;
    const PAGES_PER_WINDOW_TABLE: u32 = 512;
    const GIB: u64 = 1 << 30;
    /// An account has two records.
    const ACCOUNTS_PER_PAGE: u32 = 32;
    const ZEROS: u32 = 1;
    let frame_table = pages.div_ceil(TABLE_ENTRIES_PER_PAGE);
    let window_tables = pages.div_ceil(PAGES_PER_WINDOW_TABLE);
    // A table for each GiB that the window reaches into; the first is there for pmserver's program.
    let end = PAGE_BYTES.saturating_mul(pages.into()).saturating_add(WINDOW);
    let upper_tables = u32::try_from(end.div_ceil(GIB)).unwrap_or(u32::MAX).saturating_sub(1);
    let accounts = u32::try_from(peers).unwrap_or(u32::MAX).saturating_add(1);
    [window_tables, upper_tables, ZEROS, accounts.div_ceil(ACCOUNTS_PER_PAGE)]
        .into_iter()
        .fold(frame_table, u32::saturating_add)
}
