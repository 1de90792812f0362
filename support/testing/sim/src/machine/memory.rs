// SPDX-License-Identifier: BSD-2-Clause
//! Physical memory. A page takes host memory only after it was written to.

use std::rc::Rc;

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
const PAGE_SIZE: usize = 4096;

/// One page of physical memory, aligned for the records that pmserver keeps in it.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub struct Page(pub [u8; PAGE_SIZE]);

static ZERO: Page = Page([0; PAGE_SIZE]);

/// Pages that a clone shares at once; two pages with the same contents may be shared as well.
const CHUNK_PAGES: usize = 64;
type Chunk = [Option<Rc<Page>>; CHUNK_PAGES];

/// The memory of the machine, from physical address 0; all zero at first. Clones share pages until
/// one of them writes.
#[derive(Clone)]
pub(crate) struct Memory {
    chunks: Vec<Rc<Chunk>>,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let empty = Rc::new([const { None }; CHUNK_PAGES]);
        Self { chunks: vec![empty; page_index(bytes).div_ceil(CHUNK_PAGES)] }
    }

    pub(crate) fn page(&self, address: u64) -> &Page {
        let index = page_index(address);
        self.chunks[index / CHUNK_PAGES][index % CHUNK_PAGES].as_deref().unwrap_or(&ZERO)
    }

    pub(crate) fn page_mut(&mut self, address: u64) -> &mut Page {
        Rc::make_mut(self.place(address).get_or_insert_with(|| Rc::new(ZERO.clone())))
    }

    fn place(&mut self, address: u64) -> &mut Option<Rc<Page>> {
        let index = page_index(address);
        &mut Rc::make_mut(&mut self.chunks[index / CHUNK_PAGES])[index % CHUNK_PAGES]
    }

    /// Returns the 8 bytes at an aligned address.
    pub(crate) fn word(&self, address: u64) -> u64 {
        let at = offset(address);
        let bytes = self.page(address).0[at..at + 8].try_into().expect("eight bytes were sliced");
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn set_word(&mut self, address: u64, word: u64) {
        let at = offset(address);
        self.page_mut(address).0[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// Copies one page to another.
    pub(crate) fn copy(&mut self, from: u64, to: u64) {
        let index = page_index(from);
        let page = self.chunks[index / CHUNK_PAGES][index % CHUNK_PAGES].clone();
        *self.place(to) = page;
    }

    /// Zeroes a range, and frees the pages that lie wholly in it.
    pub(crate) fn clear(&mut self, start: u64, bytes: u64) {
        let mut at = start;
        let end = start + bytes;
        while at < end {
            let stop = end.min((at / PAGE_BYTES + 1) * PAGE_BYTES);
            if stop - at == PAGE_BYTES {
                *self.place(at) = None;
            } else if self.place(at).is_some() {
                let length = usize::try_from(stop - at).expect("less than a page");
                self.page_mut(at).0[offset(at)..][..length].fill(0);
            }
            at = stop;
        }
    }
}

fn page_index(address: u64) -> usize {
    usize::try_from(address / PAGE_BYTES).expect("a 64-bit host")
}

fn offset(address: u64) -> usize {
    usize::try_from(address % PAGE_BYTES).expect("less than a page")
}
