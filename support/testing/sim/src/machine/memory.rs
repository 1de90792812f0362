// SPDX-License-Identifier: BSD-2-Clause
//! Physical memory. A page takes host memory only after it was written to.

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
const PAGE_SIZE: usize = 4096;

/// One page of physical memory.
#[repr(C, align(4096))]
#[derive(Clone, Debug)]
pub struct Page(pub [u8; PAGE_SIZE]);

static ZERO: Page = Page([0; PAGE_SIZE]);

/// The memory of the machine, from physical address 0; all zero at first.
pub(crate) struct Memory {
    pages: Vec<Option<Box<Page>>>,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { pages: vec![None; usize::try_from(bytes / PAGE_BYTES).expect("a 64-bit host")] }
    }

    pub(crate) fn page(&self, address: u64) -> &Page {
        self.pages[page_index(address)].as_deref().unwrap_or(&ZERO)
    }

    pub(crate) fn page_mut(&mut self, address: u64) -> &mut Page {
        self.pages[page_index(address)].get_or_insert_with(|| Box::new(ZERO.clone()))
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

    /// Zeroes a range, and frees the pages that lie wholly in it.
    pub(crate) fn clear(&mut self, start: u64, bytes: u64) {
        let mut at = start;
        let end = start + bytes;
        while at < end {
            let stop = end.min((at / PAGE_BYTES + 1) * PAGE_BYTES);
            if stop - at == PAGE_BYTES {
                self.pages[page_index(at)] = None;
            } else if self.pages[page_index(at)].is_some() {
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
