// SPDX-License-Identifier: BSD-2-Clause
//! The pool as the initialiser hands it over, in place of `cap_untyped`: all untyped memory that is
//! left, in a CNode of its own, and a page that lists it (microkit #436 with rust-sel4 #322, whose
//! authors call the form provisional; this is that of August 2026).
//!
//! ```text
//!   byte 0    first slot in the CNode          8   slot after the last
//!       16    the objects in them, 16 bytes each: physical address (8 bytes), size as a power of
//!             two (1 byte), whether it is memory of devices (1 byte), 6 bytes without a meaning
//! ```
//!
//! Numbers are little-endian, of 8 bytes if no other size is given.

use proto::PAGE_BYTES;

use crate::pool::{PARTS_MAX, POOL_PAGES_MAX, PoolPart, SIZE_BITS};
use crate::setup::SetupError;
use crate::slots;

/// Bytes of the list.
pub const LIST_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES == 4096);

const HEADER_BYTES: usize = 16;
const OBJECT_BYTES: usize = 16;

/// An untyped object that becomes a part of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Its slot in the CNode [`slots::HANDED_OVER`].
    pub from: u64,
    /// What it is when it has been moved to pmserver's root CNode.
    pub part: PoolPart,
}

/// Chooses the parts of a pool from a list: the largest that are memory, as many as there are slots
/// for and as pmserver can manage. The others stay where they are.
///
/// An object must be whole: the kernel refuses to divide one of which something was made before,
/// and pmserver does not start then.
///
/// # Errors
/// `UntypedList` if the page cannot be such a list.
pub fn parts_of(
    list: &[u8; LIST_BYTES],
) -> Result<impl Iterator<Item = HandedOver> + Clone + use<>, SetupError> {
    let (header, objects) = list.split_at(HEADER_BYTES);
    let (first, end) = header.split_at(HEADER_BYTES / 2);
    let (first, end) = (number(first), number(end));
    let count = end.checked_sub(first).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count <= objects.len() / OBJECT_BYTES);
    let count = count.ok_or(SetupError::UntypedList)?;
    let mut largest = [None; PARTS_MAX];
    for (slot, object) in (first..).zip(objects.chunks_exact(OBJECT_BYTES).take(count)) {
        let [.., size_bits, is_device, _, _, _, _, _, _] = object else { continue };
        let size_bits = u32::from(*size_bits);
        if *is_device == 0 && SIZE_BITS.contains(&size_bits) {
            insert(&mut largest, (size_bits, slot));
        }
    }
    let mut pages = 0_u32;
    let parts = slots::POOL.zip(largest.into_iter().flatten());
    Ok(parts.map_while(move |(slot, (size_bits, from))| {
        let part = PoolPart { slot, size_bits };
        pages = pages.saturating_add(part.pages());
        (pages <= POOL_PAGES_MAX).then_some(HandedOver { from, part })
    }))
}

/// Inserts an object before the first smaller one. What is behind the last place is left out.
fn insert(largest: &mut [Option<(u32, u64)>], object: (u32, u64)) {
    let mut next = Some(object);
    for place in largest {
        let size_of = |object: Option<(u32, u64)>| object.map_or(0, |(size_bits, _)| size_bits);
        if size_of(*place) < size_of(next) {
            core::mem::swap(place, &mut next);
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
