// SPDX-License-Identifier: BSD-2-Clause
//! Frames with a byte in each, which tests find again.

use std::ops::Range;

use pmserver_api::{ContainerHandle, DeallocateFlags, MapFlags, PmError};
use sim::Refusal;

use super::{Pm, World, all, at, filled, frames, page};

/// The byte that [`stored`] stores in a frame.
pub(crate) fn byte_of(number: u64) -> u8 {
    u8::try_from(number % 251 + 1).unwrap()
}

/// Frames `0..count` of a peer, mapped from a page on, with a byte in each.
pub(crate) fn stored(world: &World, number: u64, count: u64, first: u64) -> (Pm, ContainerHandle) {
    let mut pm = world.as_peer(number);
    let container = filled(&mut pm, count);
    let forced = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    assert_eq!(pm.map(container, at(0), frames(count), page(first), forced).unwrap().count, count);
    for place in 0..count {
        world.store(number, byte_of(place), page(first + place)).unwrap();
    }
    (pm, container)
}

/// Checks that these pages show the bytes of these frames.
pub(crate) fn check_bytes(world: &World, number: u64, first: u64, of: Range<u64>) {
    for (place, frame) in of.enumerate() {
        let shown = first + u64::try_from(place).unwrap();
        assert_eq!(world.load(number, page(shown)), Ok(byte_of(frame)), "page {shown}");
    }
}

/// Frees one frame of what is split for that, in a new world each time, in which the kernel refuses
/// another step. `look` sees what was not freed. Returns how many steps were refused.
pub(crate) fn refuse_each_step_of_a_split(
    steps: impl Iterator<Item = u64>,
    begin: impl Fn() -> (World, Pm, ContainerHandle),
    number: u64,
    look: impl Fn(&World),
) -> u32 {
    let mut refused = 0;
    for nth in steps {
        let (world, mut pm, container) = begin();
        let mut result = Ok(0);
        let was_made = world.refuse(Refusal { nth, error: 0 }, || {
            let holes = DeallocateFlags::empty();
            result = all(|| pm.deallocate(container, at(number), frames(1), holes));
        });
        world.check();
        look(&world);
        if let Err(error) = result {
            assert_eq!(error.refusal(), Some(PmError::Kernel), "{nth}");
            refused += 1;
        } else if !was_made {
            break;
        }
        all(|| pm.container_destroy(container)).unwrap();
        world.check();
    }
    refused
}
