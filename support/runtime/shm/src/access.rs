// SPDX-License-Identifier: BSD-2-Clause
//! One access of one word at a raw address, never split, merged or left out.

use core::ptr;

/// Integers that are read or written in one access, and any pattern of whose bits is a value.
pub trait Word: Copy {}
impl Word for u8 {}
impl Word for u32 {}
impl Word for u64 {}

/// Reads a word of a window or of a device's registers.
///
/// # Panics
/// Where the address is not a multiple of the word's size.
#[must_use]
pub fn load<T: Word>(at: usize) -> T {
    let at = ptr::with_exposed_provenance::<T>(at);
    assert!(at.is_aligned());
    // SAFETY: 1. The address is aligned. 2. It is outside every Rust object, in a window that is
    // only copied from and to or in a device region, and so no reference to it exists (U1
    // window-never-referenced). 3. Where nothing is mapped the access is a page fault that stops
    // the domain; no value comes of it. 4. Any bits are a value of a `Word`.
    unsafe { at.read_volatile() }
}

/// Writes a word of a window or of a device's registers.
///
/// # Panics
/// Where the address is not a multiple of the word's size.
pub fn store<T: Word>(at: usize, value: T) {
    let at = ptr::with_exposed_provenance_mut::<T>(at);
    assert!(at.is_aligned());
    // SAFETY: 1. Aligned. 2. No reference to the memory exists, so no other Rust code sees it
    // change (U1 window-never-referenced). 3. Where nothing is mapped for writing the access is a
    // page fault that stops the domain.
    unsafe { at.write_volatile(value) }
}
