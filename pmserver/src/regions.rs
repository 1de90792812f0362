// SPDX-License-Identifier: BSD-2-Clause
//! Gives access to pmserver's record pages and its setup. `unsafe` is allowed in this
//! file only.
#![allow(unsafe_code)]

use core::ptr;

use pmserver_setup::{LIST_BYTES, SETUP_BYTES};
use proto::{AddressSpace, VirtAddr};
use shm::OwnMemory;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The part of pmserver's address space in which the pages that hold records are mapped.
///
/// Only one exists, so a borrow of it is a borrow of all records.
pub(crate) struct PoolWindow(());

impl PoolWindow {
    /// Returns the window. Called once (U5 records-private).
    pub(crate) const fn open() -> Self {
        Self(())
    }

    /// Returns the record page at `address`, or a piece of one, whose size divides a page, at a
    /// multiple of that.
    pub(crate) fn piece<T: FromBytes + Immutable>(&self, address: u64) -> &T {
        // SAFETY: 1. The core passes only pages that it has made frames, mapped for reading and
        // writing at their place in the window, and shares with nobody. The reference borrows the
        // only window, so that no other reference writes (U5 records-private). 2. A page, and a
        // piece at a multiple of its size, is aligned for what it is read as, and any bytes are a
        // valid one (U4 page-contents-plain).
        unsafe { &*pointer(address) }
    }

    /// Returns the same for writing.
    pub(crate) fn piece_mut<T: FromBytes + IntoBytes>(&mut self, address: u64) -> &mut T {
        // SAFETY: as in `piece`; the borrow of the window is exclusive (U5 records-private).
        unsafe { &mut *pointer(address) }
    }
}

fn pointer<T>(address: u64) -> *mut T {
    // Both targets have 64-bit addresses.
    ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or_default())
}

/// Returns a copy of the setup page that the image tool wrote; `None` if the image has none.
pub(crate) fn setup_page() -> Option<[u8; SETUP_BYTES]> {
    copy_of(*sel4_microkit::var!(memory_setup_vaddr: u64 = 0))
}

/// Returns a copy of the list of untyped memory that the initialiser hands over; `None` if it hands
/// none over.
pub(crate) fn untyped_list() -> Option<[u8; LIST_BYTES]> {
    copy_of(*sel4_microkit::var!(remaining_untypeds_vaddr: u64 = 0))
}

/// Returns a copy of the region at an address; `None` if that is 0: the image has none then.
fn copy_of<const N: usize>(region: u64) -> Option<[u8; N]> {
    let region = VirtAddr::new(region).filter(|_| region != 0)?;
    let mut page = [0; N];
    OwnMemory.copy_in(region, &mut page);
    Some(page)
}
