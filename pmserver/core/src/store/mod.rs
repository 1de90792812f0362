// SPDX-License-Identifier: BSD-2-Clause
//! The store: the pages of the pool, the records in them, and the accounts that are charged for
//! them.
//!
//! Owns the kernel, the frame table and every page. It takes pages from the free lists, makes them
//! into kernel objects, and releases them. It knows nothing about what containers do with frames.

pub(crate) mod account_tree;
pub(crate) mod blocks;
pub(crate) mod bound_runs;
pub(crate) mod cells;
pub(crate) mod chain;
pub(crate) mod charges;
pub(crate) mod claims;
pub(crate) mod extra;
pub(crate) mod free;
pub(crate) mod holders;
pub(crate) mod metered;
pub(crate) mod opened;
pub(crate) mod pieces;
pub(crate) mod radix;
pub(crate) mod runs;
pub(crate) mod stock;

use proto::limits::PEERS_MAX;
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};
use zerocopy::FromBytes;

use crate::kernel::{
    FrameCap, Kernel, KernelError, ObjectKind, PIECE_PAGES, PageIndex, PageRights, VSpace,
};
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::{
    Alleged, CELL_BYTES, GENERATION_MAX, Kind, PAGES_MAX, Record, Ref, Stamp,
};
use crate::records::count::Count;
use crate::records::links::Link;
use crate::records::meter::{Meter, RECORD_WORK};
use crate::records::page::{BYTES_PER_PAGE, ENTRY_BYTES, PageEntry, PageUse};
use crate::records::places::Places;
use crate::store::account_tree::Allowances;
use crate::store::blocks::Splitting;
use crate::store::charges::Credit;
use crate::store::claims::Claims;
use crate::store::extra::{Demand, Pressed};
use crate::store::free::FreeList;
use crate::store::metered::Metered;

const WINDOW_TABLE_SPAN_BITS: u8 = 21;

const WINDOW_TABLE_PAGES: u32 = 512;

const DATA: PageRights = PageRights { write: true, execute: false };

/// The floor of pages, records and accounts.
#[derive(Clone)]
pub(crate) struct Store<K> {
    pub(crate) kernel: Metered<K>,
    page_count: u32,
    reserved: u32,
    /// The page of zeros, which frames without memory are mapped to for reading. Its original
    /// capability is mapped only briefly, to find out which page tables are missing.
    pub(crate) zero: PageIndex,
    pub(crate) untyped: FreeList,
    pub(crate) clean: FreeList,
    pub(crate) dirty: FreeList,
    pub(crate) empty_nodes: FreeList,
    pub(crate) blocks: FreeList,
    pub(crate) large_dirty: FreeList,
    pub(crate) pieces: FreeList,
    pub(crate) pieces_dirty: FreeList,
    /// Set if few untyped pages were left when one was taken.
    is_short: bool,
    /// Whether pages of cells that were set aside stay when they are empty: a split goes on.
    keeps_unfilled: bool,
    /// The large frame that is being split.
    pub(crate) splitting: Option<Splitting>,
    /// The deadline of a pin that kept the running call from splitting a large frame.
    pub(crate) held_until: Option<Micros>,
    /// The pool's account.
    pool: Link<Account>,
    /// How many large frames virtual frames are bound to.
    larges: Count<u32>,
    /// How many bound runs are on pieces.
    pub(crate) runs_on_pieces: Count<u32>,
    /// How many pieces are frames that are used one by one.
    pub(crate) pieces_in_parts: Count<u32>,
    /// How many pages the pool's account is charged for, so that what is in use as a whole can be
    /// copied.
    kept: u32,
    /// For each peer the generation of its last handle: nobody learns how many others got.
    generations: [u64; PEERS_MAX],
    /// The accounts that have extra frames.
    pub(crate) pressed: Pressed,
    /// The running request to give some of them back.
    pub(crate) demand: Demand,
    /// Who waits for promised memory.
    pub(crate) claims: Claims,
    /// What peers may still have charged to accounts above removed ones.
    pub(crate) allowances: Allowances,
    /// Set if promised memory was refused because extra frames occupy it.
    pub(crate) is_starved: bool,
    /// How many accounts are being destroyed, without those below them.
    pub(crate) dying_accounts: Count<u32>,
    /// What the running call has been charged for at once.
    credit: Option<Credit>,
}

/// Returns how many pages the frame table takes, with what stands behind it: four bytes for each
/// page (`store/holders.rs`), and a byte for each 64 (`store/pieces.rs`).
fn frame_table_pages(page_count: u32) -> u32 {
    let entries = u64::from(page_count).saturating_mul(BYTES_PER_PAGE.into());
    let bytes = entries.saturating_add((page_count / PIECE_PAGES).saturating_add(1).into());
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX)
}

/// What the page of a record that was freed was, and is.
#[derive(Clone, Copy)]
pub(super) struct Emptied {
    page: Ref<Places>,
    was_full: bool,
    is_empty: bool,
    is_aside: bool,
}

impl<K: Kernel> Store<K> {
    /// Takes over the pool: puts the frame table into its first pages and maps the pool window.
    ///
    /// # Errors
    /// The kernel's error if the pool is too small for its own table.
    pub(crate) fn new(kernel: K) -> Result<Self, KernelError> {
        let page_count = kernel.page_count();
        let mut pool = Self {
            kernel: Metered::new(kernel),
            page_count,
            reserved: 0,
            zero: PageIndex::new(0),
            untyped: FreeList::default(),
            clean: FreeList::default(),
            dirty: FreeList::default(),
            empty_nodes: FreeList::default(),
            blocks: FreeList::default(),
            large_dirty: FreeList::default(),
            pieces: FreeList::default(),
            pieces_dirty: FreeList::default(),
            is_short: false,
            keeps_unfilled: false,
            splitting: None,
            held_until: None,
            pool: Link::NONE,
            larges: Count::ZERO,
            runs_on_pieces: Count::ZERO,
            pieces_in_parts: Count::ZERO,
            kept: 0,
            generations: [0; PEERS_MAX],
            pressed: Pressed::default(),
            demand: Demand::NONE,
            claims: Claims::NONE,
            allowances: Allowances::NONE,
            is_starved: false,
            dying_accounts: Count::ZERO,
            credit: None,
        };
        if page_count > PAGES_MAX {
            return Err(KernelError::Refused);
        }
        let table_pages = frame_table_pages(page_count);
        pool.reserved = table_pages;
        for page in (0..table_pages).map(PageIndex::new) {
            pool.cut_reserved(page)?;
        }
        for table in 0..page_count.div_ceil(WINDOW_TABLE_PAGES) {
            let covered = PageIndex::new(table.saturating_mul(WINDOW_TABLE_PAGES));
            pool.install_window_table(pool.kernel.window_address(covered), WINDOW_TABLE_SPAN_BITS)?;
        }
        for page in (0..table_pages).map(PageIndex::new) {
            pool.kernel.make(page, ObjectKind::Frame)?;
            pool.window_map(page)?;
        }
        pool.zero = PageIndex::new(pool.reserved);
        pool.reserved = pool.reserved.saturating_add(1);
        pool.cut_reserved(pool.zero)?;
        pool.kernel.make(pool.zero, ObjectKind::Frame)?;
        for page in (0..pool.reserved).map(PageIndex::new) {
            *pool.entry_mut(page) = PageEntry::new(PageUse::Reserved);
        }
        pool.list_free()?;
        Ok(pool)
    }

    /// Cuts the block that begins at a page that pmserver reserves for itself.
    fn cut_reserved(&mut self, page: PageIndex) -> Result<(), KernelError> {
        if self.kernel.is_block(page) { self.kernel.cut(page) } else { Ok(()) }
    }

    /// Installs a page table of the window, and first those above it that are missing.
    fn install_window_table(&mut self, vaddr: VirtAddr, span_bits: u8) -> Result<(), KernelError> {
        let page = PageIndex::new(self.reserved);
        self.reserved = self.reserved.saturating_add(1);
        self.cut_reserved(page)?;
        self.kernel.make(page, ObjectKind::Table { span_bits })?;
        // Bounded by the number of levels: each miss names a level above the last.
        let mut result = self.kernel.map_table(page, span_bits, VSpace::Own, vaddr);
        while let Err(KernelError::TableMissing { span_bits: above }) = result {
            if above <= span_bits {
                return Err(KernelError::Refused);
            }
            self.install_window_table(vaddr, above)?;
            result = self.kernel.map_table(page, span_bits, VSpace::Own, vaddr);
        }
        // The program image may have brought the first table of the window. Whether it has is asked
        // twice: the server would run without the table if one wrong answer were believed.
        if result == Err(KernelError::AlreadyMapped) {
            result = self.kernel.map_table(page, span_bits, VSpace::Own, vaddr);
        }
        match result {
            Err(KernelError::AlreadyMapped) => Ok(()),
            result => result,
        }
    }

    /// Returns the meter of the running call.
    pub(crate) const fn meter(&self) -> &Meter {
        &self.kernel.meter
    }

    /// Returns how many pages the pool has.
    pub(crate) const fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Returns how many pages the frame table, the window's page tables and the page of zeros take.
    pub(crate) const fn reserved(&self) -> u32 {
        self.reserved
    }

    pub(crate) fn entry(&self, page: PageIndex) -> &PageEntry {
        let entry = self.kernel.record_piece::<ENTRY_BYTES>(page.get());
        match PageEntry::ref_from_bytes(entry) {
            Ok(entry) => entry,
            Err(_) => broken("frame table entry"),
        }
    }

    pub(crate) fn entry_mut(&mut self, page: PageIndex) -> &mut PageEntry {
        let entry = self.kernel.record_piece_mut::<ENTRY_BYTES>(page.get());
        match PageEntry::mut_from_bytes(entry) {
            Ok(entry) => entry,
            Err(_) => broken("frame table entry"),
        }
    }

    fn window_map(&mut self, page: PageIndex) -> Result<(), KernelError> {
        let vaddr = self.kernel.window_address(page);
        self.kernel.map_frame(FrameCap::Original(page), VSpace::Own, vaddr, DATA)
    }

    /// Takes a page for records: all its cells are free but the first, which says so.
    pub(crate) fn take_record_page(
        &mut self,
        owner: Link<Account>,
    ) -> Result<Ref<Places>, KernelError> {
        let page = self.take(ObjectKind::Frame, PageUse::Records)?;
        if let Err(error) = self.window_map(page) {
            self.release_frame(page);
            return Err(error);
        }
        let Some(places) = Ref::at(page, 0) else { broken("page beyond the last cell") };
        let stamp = Stamp::unnamed(Kind::Places);
        Ok(self.store_at(places, &Places::of_records(page, owner), stamp))
    }

    /// Releases a page whose cells are all free.
    pub(crate) fn release_record_page(&mut self, places: Ref<Places>) {
        let (page, _) = places.place();
        // If the kernel refuses, the mapping goes when the page is taken again: that deletes the
        // capability.
        let _ = self.kernel.unmap_frame(FrameCap::Original(page));
        self.release_frame(page);
    }

    /// Returns the next generation for a record that a peer has named; after the last one, it
    /// starts again at 1.
    pub(crate) fn next_generation(&mut self, maker: PeerId) -> u64 {
        let Some(last) = self.generations.get_mut(usize::from(maker.get())) else {
            broken("a peer above the highest")
        };
        *last = if *last >= GENERATION_MAX { 1 } else { last.saturating_add(1) };
        *last
    }

    /// Stores a record in a free cell of a page that has one. Returns whether it has more.
    #[inline(always)]
    pub(crate) fn fill<T: Record>(
        &mut self,
        page: Ref<Places>,
        record: &T,
        stamp: Stamp,
    ) -> (Ref<T>, bool) {
        let places = self.get_mut(page);
        let place = places.take_cell();
        let has_more = !places.is_full();
        self.meter().charge(RECORD_WORK);
        match place.and_then(|place| Ref::from_cell(page.cell() | place)) {
            Some(cell) => (self.store_at(cell, record, stamp), has_more),
            None => broken("a page in the list without a free cell"),
        }
    }

    /// Stores a record in a cell. It gets its stamp there: compilers copy a record that is not
    /// changed on the way inline.
    #[inline(always)]
    fn store_at<T: Record>(&mut self, cell: Ref<T>, record: &T, stamp: Stamp) -> Ref<T> {
        match T::mut_from_bytes(self.kernel.record_piece_mut::<CELL_BYTES>(cell.cell())) {
            Ok(place) => {
                *place = *record;
                place.set_stamp(stamp);
            }
            Err(_) => broken("record cell"),
        }
        cell
    }

    /// Frees a cell and returns how its page was, and is.
    #[inline(always)]
    pub(crate) fn empty<T: Record>(&mut self, record: Ref<T>) -> Emptied {
        self.meter().charge(RECORD_WORK);
        assert!(self.get(record).stamp().is(T::KIND), "freeing a record that is none");
        *self.kernel.record_piece_mut(record.cell()) = [0; CELL_BYTES];
        let page = record.places();
        let places = self.get_mut(page);
        let was_full = places.is_full();
        let (_, place) = record.place();
        places.leave_cell(place);
        Emptied { page, was_full, is_empty: places.is_empty(), is_aside: places.is_aside() }
    }

    /// Returns a record.
    pub(crate) fn get<T: Record>(&self, record: Ref<T>) -> &T {
        match T::ref_from_bytes(self.kernel.record_piece::<CELL_BYTES>(record.cell())) {
            Ok(record) if record.stamp().is(T::KIND) => record,
            _ => broken("record"),
        }
    }

    /// Returns a record for writing.
    pub(crate) fn get_mut<T: Record>(&mut self, record: Ref<T>) -> &mut T {
        match T::mut_from_bytes(self.kernel.record_piece_mut::<CELL_BYTES>(record.cell())) {
            Ok(record) if record.stamp().is(T::KIND) => record,
            _ => broken("record"),
        }
    }

    /// Returns whether a cell holds a record of this kind.
    pub(crate) fn is_of_kind(&self, cell: u32, kind: Kind) -> bool {
        cell != 0 && self.stamp_at(cell).is_some_and(|stamp| stamp.is(kind))
    }

    fn stamp_at(&self, cell: u32) -> Option<Stamp> {
        let bytes =
            self.kernel.record_piece::<CELL_BYTES>(cell).first_chunk::<{ size_of::<Stamp>() }>()?;
        Stamp::read_from_bytes(bytes).ok()
    }

    /// Returns the record that a handle names, if its kind, maker and generation match. Nothing
    /// else turns a client's number into a reference.
    pub(crate) fn look_up<T: Record>(&self, handle: u64) -> Option<Ref<T>> {
        self.find(handle).map(|(reference, _)| reference)
    }

    /// Does the same, and returns the record, too.
    pub(crate) fn find<T: Record>(&self, handle: u64) -> Option<(Ref<T>, &T)> {
        let alleged = Alleged::from_handle(handle)?;
        let reference = Ref::<T>::from_cell(alleged.cell)?;
        let (page, _) = reference.place();
        if page.get() >= self.page_count || !self.entry(page).is(PageUse::Records) {
            return None;
        }
        let record =
            T::ref_from_bytes(self.kernel.record_piece::<CELL_BYTES>(alleged.cell)).ok()?;
        (record.stamp() == alleged.stamp(T::KIND)).then_some((reference, record))
    }

    /// Returns the handle for a record.
    pub(crate) fn handle<T: Record>(&self, record: Ref<T>) -> u64 {
        record.handle(self.get(record).stamp())
    }
}
