// SPDX-License-Identifier: BSD-2-Clause
//! Single accesses to a word at a raw address, which the compiler never splits, merges or omits.

use core::ptr;

/// Integers that are read or written in one access. Every bit pattern is a valid value.
pub trait Word: Copy {}
impl Word for u8 {}
impl Word for u32 {}
impl Word for u64 {}

/// Reads a word from shared memory or from a device register.
///
/// # Panics
/// If the address is not a multiple of the word's size.
#[must_use]
pub fn load<T: Word>(at: usize) -> T {
    let at = ptr::with_exposed_provenance::<T>(at);
    assert!(at.is_aligned());
    // SAFETY: 1. The address is aligned. 2. It is outside every Rust object, in a device region or
    // in a window that is only accessed by copying, so no reference to it exists (U1
    // window-never-referenced). 3. If nothing is mapped there, the access is a page fault that
    // stops the domain and yields no value. 4. Every bit pattern is a valid `Word`.
    unsafe { at.read_volatile() }
}

/// Writes a word to shared memory or to a device register.
///
/// # Panics
/// If the address is not a multiple of the word's size.
pub fn store<T: Word>(at: usize, value: T) {
    let at = ptr::with_exposed_provenance_mut::<T>(at);
    assert!(at.is_aligned());
    // SAFETY: 1. The address is aligned. 2. No reference to the memory exists, so no other Rust
    // code sees it change (U1 window-never-referenced). 3. If nothing is mapped writable there, the
    // access is a page fault that stops the domain.
    unsafe { at.write_volatile(value) }
}
