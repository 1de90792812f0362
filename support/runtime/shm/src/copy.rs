// SPDX-License-Identifier: BSD-2-Clause
//! Copies between private memory and raw addresses in the program's own address space.
//!
//! Every access through a raw address is volatile, and a whole word if the alignment allows it.
//! Another domain may change the memory at any time, so each word is read exactly once and only
//! the private copy is used afterwards (decision D10). A loop over words is as fast as `memcpy` on
//! aarch64, and faster than `rep movs` under emulation.

use proto::{AddressSpace, VirtAddr};
use zerocopy::FromBytes;

use crate::access::{load, store};

const WORD_BYTES: usize = 8;
const PAGE_BYTES: usize = 4096;

/// The address space of the running program.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnMemory;

impl AddressSpace for OwnMemory {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        let Pieces { head, words, tail } = Pieces::of(from, to.len());
        let (head_bytes, rest) = to.split_at_mut_checked(head.bytes).unwrap_or_default();
        let (word_bytes, tail_bytes) = rest.split_at_mut_checked(words.bytes).unwrap_or_default();
        copy_bytes_in(head.at, head_bytes);
        match <[u64]>::mut_from_bytes(word_bytes) {
            Ok(private) => {
                for (word, at) in private.iter_mut().zip((words.at..).step_by(WORD_BYTES)) {
                    *word = load(at);
                }
            }
            Err(unaligned) => copy_bytes_in(words.at, unaligned.into_src()),
        }
        copy_bytes_in(tail.at, tail_bytes);
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        let Pieces { head, words, tail } = Pieces::of(to, from.len());
        let (head_bytes, rest) = from.split_at_checked(head.bytes).unwrap_or_default();
        let (word_bytes, tail_bytes) = rest.split_at_checked(words.bytes).unwrap_or_default();
        copy_bytes_out(head_bytes, head.at);
        match <[u64]>::ref_from_bytes(word_bytes) {
            Ok(private) => {
                for (word, at) in private.iter().zip((words.at..).step_by(WORD_BYTES)) {
                    store(at, *word);
                }
            }
            Err(unaligned) => copy_bytes_out(unaligned.into_src(), words.at),
        }
        copy_bytes_out(tail_bytes, tail.at);
    }

    fn relax(&mut self) {
        core::hint::spin_loop();
    }
}

/// Copies one page to another; both are mapped in the program's own address space.
pub fn copy_page(from: VirtAddr, to: VirtAddr) {
    let words = |page: VirtAddr| {
        let Piece { at, bytes } = Pieces::of(page, PAGE_BYTES).words;
        (at..at.saturating_add(bytes)).step_by(WORD_BYTES)
    };
    for (from, to) in words(from).zip(words(to)) {
        store::<u64>(to, load(from));
    }
}

/// A run of bytes at a raw address.
struct Piece {
    at: usize,
    bytes: usize,
}

/// A range of raw addresses, split at its first and its last word boundary.
struct Pieces {
    head: Piece,
    words: Piece,
    tail: Piece,
}

impl Pieces {
    fn of(address: VirtAddr, bytes: usize) -> Self {
        // Both targets and every host that the tests run on have 64-bit pointers.
        let at = usize::try_from(address.get()).unwrap_or(usize::MAX);
        let head = Piece { at, bytes: bytes.min(at.wrapping_neg() % WORD_BYTES) };
        let left = bytes.saturating_sub(head.bytes);
        let in_tail = left % WORD_BYTES;
        let words =
            Piece { at: at.saturating_add(head.bytes), bytes: left.saturating_sub(in_tail) };
        let tail = Piece { at: words.at.saturating_add(words.bytes), bytes: in_tail };
        Self { head, words, tail }
    }
}

fn copy_bytes_in(from: usize, to: &mut [u8]) {
    for (byte, at) in to.iter_mut().zip(from..) {
        *byte = load(at);
    }
}

fn copy_bytes_out(from: &[u8], to: usize) {
    for (byte, at) in from.iter().zip(to..) {
        store(at, *byte);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn copy_page_copies_the_whole_page_and_nothing_else() {
        let memory = vec![0_u64; 4 * 512].leak();
        let base = memory.as_mut_ptr().expose_provenance().next_multiple_of(PAGE_BYTES);
        let page = |number: usize| {
            VirtAddr::new(u64::try_from(base + number * PAGE_BYTES).unwrap()).unwrap()
        };
        let pattern: Vec<u8> = (0..PAGE_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
        OwnMemory.copy_out(&pattern, page(0));
        copy_page(page(0), page(1));
        let mut seen = vec![0xFF; 3 * PAGE_BYTES];
        OwnMemory.copy_in(page(0), &mut seen);
        assert_eq!(seen, [&pattern[..], &pattern, &[0; PAGE_BYTES]].concat());
    }

    /// Copies between all alignments of both sides; compares the copy and the bytes around it.
    #[test]
    fn every_alignment_and_length_copies_exactly_its_bytes() {
        const ROOM: usize = 64;
        let pattern: Vec<u8> = (1..=u8::try_from(ROOM).unwrap()).collect();
        for shared_start in 0..9 {
            for private_start in 0..9 {
                for length in 0..40 {
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
