// SPDX-License-Identifier: BSD-2-Clause
//! S65: large frames.

use pmserver_api::{CallError, CopyFlags, DeallocateFlags, Failure, MapFlags, PmError};
use proto::limits::LARGE_FRAMES;
use proto::{AddressSpace, Transport, VirtAddr};

use crate::cast::Actor::Parent;
use crate::error::{Outcome, expect, pm, same};
use crate::world::{READ_WRITE, World, at, frames, page};

/// Where large frames are mapped: nothing else is near.
const FIRST: VirtAddr = VirtAddr::new(0x3800_0000).unwrap();
const SECOND: VirtAddr = VirtAddr::new(0x3820_0000).unwrap();
/// The pages that are written to, each so far from the next.
const STEP: usize = 73;
const THIRD: VirtAddr = VirtAddr::new(0x3840_0000).unwrap();
/// More often than the pool has blocks: some are used again.
const ROUNDS: u64 = 40;

/// S65: 512 frames get memory at once, and are copied as one. A store to the copy, then an unmap of
/// a page of the original, make single frames of both. What was written stays where it was. Large
/// frames that are used again are clean.
pub(crate) fn s65<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let source = world.filled_container(Parent, LARGE_FRAMES)?;
    let forced = READ_WRITE | MapFlags::FORCE_WRITE;
    world.map(Parent, source, LARGE_FRAMES, FIRST, forced)?;
    for number in pages() {
        world.space.copy_out(&word_of(number, 0), page(FIRST, number));
    }
    let copy = world.filled_container(Parent, LARGE_FRAMES)?;
    let (from, to) = ((source, at(0)), (copy, at(0)));
    let copied = world.calls(Parent).copy(from, to, frames(LARGE_FRAMES), CopyFlags::empty());
    same("frames copied", pm("copying", copied)?, LARGE_FRAMES)?;
    world.map(Parent, copy, LARGE_FRAMES, SECOND, READ_WRITE)?;
    world.has_words("the copy", SECOND, 0)?;
    for number in pages().skip(1).step_by(2) {
        world.space.copy_out(&word_of(number, 1), page(SECOND, number));
    }
    world.has_words("the original, after stores to the copy", FIRST, 0)?;
    let alone = page(FIRST, 5);
    let unmapped = loop {
        match world.calls(Parent).unmap(alone, frames(1)) {
            Err(CallError::Refused(Failure { error: PmError::Pending, at: 0, .. })) => {}
            result => break pm("unmapping a page", result)?,
        }
    };
    same("pages unmapped", unmapped, 1)?;
    world.has_words("the original, without a page", FIRST, 0)?;
    world.is_clean_again()?;
    for number in pages() {
        let written = u64::from(number % 2 != 0);
        world.has_word(
            "the copy, where it was written to",
            page(SECOND, number),
            (number, written),
        )?;
    }
    Ok(())
}

/// Returns the pages that are written to.
fn pages() -> impl Iterator<Item = u64> {
    (0..LARGE_FRAMES).step_by(STEP)
}

/// Returns what is written to a page the first time, or the second.
fn word_of(number: u64, time: u64) -> [u8; 8] {
    number.wrapping_mul(0x0101_0101).wrapping_add(time << 56 | 1).to_le_bytes()
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes a large frame, writes to it and frees it, again and again: nothing is seen of what was
    /// written before.
    fn is_clean_again(&mut self) -> Outcome {
        let container = self.container(Parent)?;
        for round in 0..ROUNDS {
            self.allocate(Parent, container, LARGE_FRAMES)?;
            let forced = READ_WRITE | MapFlags::FORCE_WRITE;
            self.map(Parent, container, LARGE_FRAMES, THIRD, forced)?;
            for vaddr in pages().map(|number| page(THIRD, number)) {
                let mut word = [1; 8];
                self.space.copy_in(vaddr, &mut word);
                expect(word == [0; 8], "what was written to a large frame before")?;
                self.space.copy_out(&word_of(round, 2), vaddr);
            }
            self.unmap(Parent, THIRD, LARGE_FRAMES)?;
            let none = DeallocateFlags::empty();
            let freed = self.calls(Parent).deallocate(container, at(0), frames(LARGE_FRAMES), none);
            same("frames freed", pm("freeing", freed)?, LARGE_FRAMES)?;
        }
        Ok(())
    }

    fn has_words(&mut self, what: &'static str, window: VirtAddr, time: u64) -> Outcome {
        pages().try_for_each(|number| self.has_word(what, page(window, number), (number, time)))
    }

    fn has_word(
        &mut self,
        what: &'static str,
        vaddr: VirtAddr,
        (number, time): (u64, u64),
    ) -> Outcome {
        let mut word = [0; 8];
        self.space.copy_in(vaddr, &mut word);
        expect(word == word_of(number, time), what)
    }
}
