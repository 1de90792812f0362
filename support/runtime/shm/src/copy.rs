// SPDX-License-Identifier: BSD-2-Clause
//! Copies between private memory and raw addresses in the program's own address space.
//!
//! Another domain may change the memory at any time, so each byte is read exactly once and only the
//! private copy is used afterwards (decision D10). All of them are one loop (D15): `bytes.rs`.

use core::ptr;

use proto::{AddressSpace, VirtAddr};

use crate::bytes;

/// The address space of the running program.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnMemory;

impl AddressSpace for OwnMemory {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        bytes::copy(ptr::with_exposed_provenance(address(from)), to.as_mut_ptr(), to.len());
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        bytes::copy(from.as_ptr(), ptr::with_exposed_provenance_mut(address(to)), from.len());
    }

    fn copy_across(&mut self, from: VirtAddr, to: VirtAddr, bytes: usize) {
        copy(from, to, bytes);
    }

    fn relax(&mut self) {
        core::hint::spin_loop();
    }
}

/// Copies `bytes` bytes from one raw address to another; the ranges do not overlap.
pub fn copy(from: VirtAddr, to: VirtAddr, bytes: usize) {
    let [from, to] = [from, to].map(address);
    bytes::copy(ptr::with_exposed_provenance(from), ptr::with_exposed_provenance_mut(to), bytes);
}

/// Clears `bytes` bytes from a raw address on.
pub fn clear(at: VirtAddr, bytes: usize) {
    bytes::clear(ptr::with_exposed_provenance_mut(address(at)), bytes, false);
}

/// The same for whole pages, which can be fetched by instructions then.
pub fn copy_code(from: VirtAddr, to: VirtAddr, bytes: usize) {
    let [from, to] = [from, to].map(address);
    let to = ptr::with_exposed_provenance_mut(to);
    bytes::copy_code(ptr::with_exposed_provenance(from), to, bytes, to);
}

/// Clears whole pages, which can be fetched by instructions then.
pub fn clear_code(at: VirtAddr, bytes: usize) {
    bytes::clear(ptr::with_exposed_provenance_mut(address(at)), bytes, true);
}

fn address(address: VirtAddr) -> usize {
    // Both targets and every host that the tests run on have 64-bit pointers.
    usize::try_from(address.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    const PAGE_BYTES: usize = 4096;

    #[test]
    fn a_page_is_copied_whole_and_nothing_else() {
        let memory = vec![0_u64; 4 * 512].leak();
        let base = memory.as_mut_ptr().expose_provenance().next_multiple_of(PAGE_BYTES);
        let page = |number: usize| {
            VirtAddr::new(u64::try_from(base + number * PAGE_BYTES).unwrap()).unwrap()
        };
        let pattern: Vec<u8> = (0..PAGE_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
        OwnMemory.copy_out(&pattern, page(0));
        copy(page(0), page(1), PAGE_BYTES);
        let mut seen = vec![0xFF; 3 * PAGE_BYTES];
        OwnMemory.copy_in(page(0), &mut seen);
        assert_eq!(seen, [&pattern[..], &pattern, &[0; PAGE_BYTES]].concat());
    }

    #[test]
    fn every_alignment_and_length_clears_exactly_its_bytes() {
        const ROOM: usize = 8448;
        for start in (0..9).chain([255]) {
            for length in (0..40).chain([63, 64, 127, 128, 129, 200, 255, 256, 257, 4096, 8192]) {
                let memory = vec![0x5A_u8; ROOM].leak();
                let base =
                    VirtAddr::new(memory.as_mut_ptr().expose_provenance().try_into().unwrap());
                let at = VirtAddr::new(base.unwrap().get() + u64::try_from(start).unwrap());
                clear(at.unwrap(), length);
                let mut expected = [0x5A; ROOM];
                expected[start..start + length].fill(0);
                let mut seen = [0; ROOM];
                OwnMemory.copy_in(base.unwrap(), &mut seen);
                assert_eq!(seen, expected, "{start} {length}");
            }
        }
    }

    /// Copies between all alignments of both sides; compares the copy and the bytes around it.
    #[test]
    fn every_alignment_and_length_copies_exactly_its_bytes() {
        const ROOM: usize = 256;
        let pattern: Vec<u8> = (0..ROOM).map(|at| u8::try_from(at % 251 + 1).unwrap()).collect();
        for shared_start in 0..9 {
            for private_start in 0..9 {
                for length in (0..40).chain([63, 64, 65, 71, 127, 128, 129, 200]) {
                    let shared = vec![0_u8; ROOM].leak();
                    let base = shared.as_mut_ptr().expose_provenance();
                    let at = VirtAddr::new(u64::try_from(base + shared_start).unwrap()).unwrap();
                    let private = &pattern[private_start..private_start + length];

                    OwnMemory.copy_out(private, at);
                    let mut expected = [0; ROOM];
                    expected[shared_start..shared_start + length].copy_from_slice(private);
                    let mut seen = [0xFF; ROOM];
                    let whole = VirtAddr::new(u64::try_from(base).unwrap()).unwrap();
                    OwnMemory.copy_in(whole, &mut seen);
                    assert_eq!(seen, expected);

                    let mut back = [0xFF; ROOM];
                    OwnMemory.copy_in(at, &mut back[private_start..private_start + length]);
                    let mut expected = [0xFF; ROOM];
                    expected[private_start..private_start + length].copy_from_slice(private);
                    assert_eq!(back, expected);
                }
            }
        }
    }
}
