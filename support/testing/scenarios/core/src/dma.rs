// SPDX-License-Identifier: BSD-2-Clause
//! S19 to S21, S55: memory for devices.
//!
//! The scenario system has no device: its driver writes in its place. The bus addresses show what a
//! device could still reach.

use pmserver_api::{
    ContainerHandle, CopyFlags, Disturbance, FrameState, LockMode, PmError, Rights,
};
use proto::{AddressSpace, FrameCount, Micros, Transport};

use crate::cast::Actor::{Client, Driver, Parent};
use crate::error::{Outcome, did, expect, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames, page};

const EXCLUSIVE: LockMode = LockMode::Exclusive;
/// A page's alignment, as a power of two.
const PAGE_BITS: u8 = 12;
/// An address below this power of two is any.
const ANYWHERE_BITS: u8 = 64;
/// More single frames than two pages of records have room for.
const SINGLES: u64 = 130;

/// S19: "Lease expires during device DMA: with IOMMU: bus mapping removed before C regains access,
/// device fault logged; without: physical frame quarantined and charged to the driver account until
/// unpin/reset, C gets zeroed or copied frame and an explicit event; never device writes into C's
/// live data." Without an IOMMU: nothing that this runs on has one.
pub(crate) fn s19<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 1)?;
    let weak = world.share(Client, container, Driver, Rights::all())?.weak;
    world.map(Client, container, 1, WINDOW, READ_WRITE)?;
    did("C filling the frame", world.puppet(Client).fill(WINDOW, 1, 19))?;
    let driver_before = world.frames_of(Driver)?;
    for resets in [false, true] {
        let short = Micros::new(50_000);
        let pin = world.calls(Driver).pin(weak, at(0), FrameCount::ONE, EXCLUSIVE, short);
        let pin = pm("pinning", pin)?;
        let charge = world.frames_of(Driver)?;
        same("the driver's charge for the pin", charge, driver_before.saturating_add(1))?;
        world.wait_until(pin.lease.deadline.get())?;

        world.holds(Client, "C's frame after the deadline", WINDOW, 1, 19)?;
        let state = world.state(Client, container, 0)?;
        expect(state.contains(FrameState::TAKEN_OVER), "C is not told that the pin ran out")?;
        let late = world.calls(Driver).bus_address(pin.lease.lease, at(0));
        refused("the driver asking late", late, PmError::InvalidCap)?;
        let charge = world.frames_of(Driver)?;
        same("the driver's charge for the old memory", charge, driver_before.saturating_add(1))?;
        let now_at = world.bus_address(Client, container)?;
        expect(now_at != pin.bus.address, "a late device would write into C's data")?;
        did("C filling the frame again", world.puppet(Client).fill(WINDOW, 1, 19))?;

        if resets {
            let driver = world.peer(Driver);
            pm("resetting the device", world.calls(Parent).device_reset(driver))?;
        } else {
            pm("the driver unlocking", world.calls(Driver).unlock(pin.lease.lease))?;
        }
        same("the driver's charge at last", world.frames_of(Driver)?, driver_before)?;
    }
    Ok(())
}

/// S20: "pin for device WRITE a COW-shared frame: COW broken first; sibling data unchanged after
/// DMA."
pub(crate) fn s20<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 1)?;
    world.map(Client, container, 1, WINDOW, READ_WRITE)?;
    did("C filling the frame", world.puppet(Client).fill(WINDOW, 1, 20))?;
    let sibling = world.container(Client)?;
    let copied = world.calls(Client).copy(
        (container, at(0)),
        (sibling, at(0)),
        FrameCount::ONE,
        CopyFlags::NEW,
    );
    pm("copying", copied)?;
    let weak = world.share(Client, container, Driver, Rights::all())?.weak;

    let pin = world.calls(Driver).pin(weak, at(0), FrameCount::ONE, EXCLUSIVE, LONG);
    let pin = pm("pinning", pin)?;
    let is_cow = world.state(Client, container, 0)?.contains(FrameState::COW);
    expect(!is_cow, "the pinned frame still shares its memory")?;
    let sibling_at = world.bus_address(Client, sibling)?;
    expect(sibling_at != pin.bus.address, "the sibling is where the device writes")?;
    world.map(Driver, weak, 1, WINDOW, READ_WRITE)?;
    did("the device writing", world.puppet(Driver).fill(WINDOW, 1, 21))?;
    pm("unlocking", world.calls(Driver).unlock(pin.lease.lease))?;
    world.map(Client, sibling, 1, WINDOW_2, READ_WRITE)?;
    world.holds(Client, "the sibling", WINDOW_2, 1, 20)?;
    world.holds(Client, "what the device wrote", WINDOW, 1, 21)
}

/// S21: "pin while the server wants to move/defragment: frame not moved; bus address constant for
/// the whole lease." Frames that are not pinned move, and nobody notices.
pub(crate) fn s21<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 4)?;
    let unpinned = world.filled_container(Client, 4)?;
    for (container, vaddr) in [(container, WINDOW), (unpinned, WINDOW_2)] {
        world.map(Client, container, 4, vaddr, READ_WRITE)?;
        did("C filling frames", world.puppet(Client).fill(vaddr, 4, 22))?;
    }
    let unpinned_at = world.bus_address(Client, unpinned)?;
    let weak = world.share(Client, container, Driver, Rights::all())?.weak;
    let mut cursor = 0;
    loop {
        // A pin for each step, as all steps together may take longer than a lease lasts.
        let pin = world.calls(Driver).pin(weak, at(0), frames(4), LockMode::Read, LONG);
        let lease = pm("pinning", pin)?.lease.lease;
        let before = bus_addresses(world, lease)?;
        cursor = world.disturb_step(Disturbance::Move, cursor)?;
        let after = bus_addresses(world, lease)?;
        for (seen, expected) in after.into_iter().zip(before) {
            same("where a pinned frame is", seen, expected)?;
        }
        pm("unlocking", world.calls(Driver).unlock(lease))?;
        if cursor == 0 {
            break;
        }
    }
    world.holds(Client, "the pinned frames", WINDOW, 4, 22)?;
    let moved_to = world.bus_address(Client, unpinned)?;
    expect(moved_to != unpinned_at, "nothing was moved at all")?;
    world.holds(Client, "what was moved", WINDOW_2, 4, 22)?;
    world.writes(Client, "writing to what was moved", page(WINDOW_2, 3), 1)
}

fn bus_addresses<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    lease: pmserver_api::LeaseHandle,
) -> Outcome<[u64; 4]> {
    let mut address = |number| {
        let run = world.calls(Driver).bus_address(lease, at(number));
        pm("asking for a bus address", run).map(|run| run.address)
    };
    Ok([address(0)?, address(1)?, address(2)?, address(3)?])
}

/// S55: the first frames of a container are contiguous, so that the page for their records is free
/// memory like the run that was found; and single ones, until each page of records has been full.
pub(crate) fn s55<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    for count in [1, 31, 32, 55, 56, 64, 200] {
        let container = world.container(Driver)?;
        world.contiguous(container, 0, count)?;
        let pin = world.calls(Driver).pin(container, at(0), frames(count), LockMode::Read, LONG);
        let pin = pm("pinning", pin)?;
        same("frames in one run", pin.bus.frames, count)?;
        pm("unlocking", world.calls(Driver).unlock(pin.lease.lease))?;
        world.map(Driver, container, count, WINDOW, READ_WRITE)?;
        world.holds(Driver, "contiguous frames", WINDOW, count, 0)?;
        did("the driver filling them", world.puppet(Driver).fill(WINDOW, count, 55))?;
        world.holds(Driver, "contiguous frames", WINDOW, count, 55)?;
        pm("destroying", world.calls(Driver).container_destroy(container))?;
    }
    let before = world.frames_of(Driver)?;
    let container = world.container(Driver)?;
    (0..SINGLES).try_for_each(|number| world.contiguous(container, number.saturating_mul(3), 1))?;
    let charged = world.frames_of(Driver)?;
    same("frames charged", charged, before.saturating_add(SINGLES))
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes the driver allocate frames in one run.
    fn contiguous(&mut self, container: ContainerHandle, start: u64, count: u64) -> Outcome {
        let (start, count) = (at(start), frames(count));
        let mut driver = self.calls(Driver);
        let done = driver.allocate_contiguous(container, start, count, PAGE_BITS, ANYWHERE_BITS);
        same("contiguous frames", pm("allocating a run", done)?, count.get())
    }
}
