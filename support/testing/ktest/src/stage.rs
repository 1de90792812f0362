// SPDX-License-Identifier: BSD-2-Clause
//! The setup: creates what the list needs before its first operation, from the memory that the
//! kernel gives to the first thread.

use sel4::init_thread::{Slot, slot};
use sel4::{BootInfoPtr, CapRights, FrameObjectType, ObjectBlueprint, cap};

use crate::probe::{self, Probe};
use crate::serial;

/// The slots that the list uses, and the probe that loads and stores for it.
pub(crate) struct Stage {
    /// The first slot of the first thread's CNode that the list may use.
    pub(crate) first_slot: u64,
    /// The physical address of the pool.
    pub(crate) pool_address: u64,
    pub(crate) probe: Probe,
}

impl Stage {
    /// Returns the first slot behind those that the list and the probe use.
    pub(crate) fn end(bootinfo: &BootInfoPtr) -> usize {
        let slots = usize::try_from(ktest_list::SLOTS).unwrap_or_default();
        bootinfo.empty().start().saturating_add(slots).saturating_add(probe::SLOTS)
    }

    /// Creates the pool and the probe. The probe uses the slots after those of the list.
    pub(crate) fn prepare(bootinfo: &BootInfoPtr) -> Result<Self, &'static str> {
        let empty = bootinfo.empty();
        let slots = usize::try_from(ktest_list::SLOTS).map_err(|_| "a 64-bit machine")?;
        let own = empty.start().checked_add(slots).ok_or("no slot is empty")?;
        if Self::end(bootinfo).saturating_add(serial::SLOTS) > empty.end() {
            return Err("too few slots are empty");
        }
        let first_slot = u64::try_from(empty.start()).map_err(|_| "a 64-bit machine")?;
        let memory = largest_untyped(bootinfo)?;
        let size_bits =
            usize::try_from(ktest_list::POOL_SIZE_BITS).map_err(|_| "a 64-bit machine")?;
        let pool = ObjectBlueprint::Untyped { size_bits };
        let list_slot = |slot: ktest_list::Slot| {
            first_slot.checked_add(slot.0).ok_or("no such slot in the CNode")
        };
        let root = slot::CNODE.cap();
        memory
            .untyped_retype(&pool, &root.absolute_cptr_for_self(), empty.start(), 1)
            .map_err(|_| "the pool cannot be made")?;
        let pool_address = address(empty.start(), own).map_err(|_| "the pool cannot be found")?;
        for (from, to) in [
            (slot::VSPACE.cptr_bits(), list_slot(ktest_list::VSPACE)?),
            (slot::ASID_POOL.cptr_bits(), list_slot(ktest_list::ASID_POOL)?),
        ] {
            root.absolute_cptr_from_bits_with_depth(to, 64)
                .copy(&root.absolute_cptr_from_bits_with_depth(from, 64), CapRights::all())
                .map_err(|_| "a capability of the first thread cannot be copied")?;
        }
        let sched_control = bootinfo.sched_control().index(0).cap();
        let probe = Probe::start(memory, sched_control, own)
            .map_err(|_| "the probe cannot be made to run")?;
        Ok(Self { first_slot, pool_address, probe })
    }
}

/// Returns the physical address of an untyped object that has no children; needs an empty slot.
fn address(untyped: usize, scratch: usize) -> sel4::Result<u64> {
    let [untyped, frame] = [untyped, scratch].map(Slot::from_index);
    let (untyped, frame): (cap::Untyped, cap::Granule) =
        (untyped.downcast().cap(), frame.downcast().cap());
    let root = slot::CNODE.cap();
    let blueprint = FrameObjectType::GRANULE.blueprint();
    untyped.untyped_retype(&blueprint, &root.absolute_cptr_for_self(), scratch, 1)?;
    let address = frame.frame_get_address()?;
    root.absolute_cptr(frame).delete()?;
    Ok(u64::try_from(address).unwrap_or(u64::MAX))
}

fn largest_untyped(bootinfo: &BootInfoPtr) -> Result<cap::Untyped, &'static str> {
    let (number, _) = bootinfo
        .untyped_list()
        .iter()
        .enumerate()
        .filter(|(_, description)| !description.is_device())
        .max_by_key(|(_, description)| description.size_bits())
        .ok_or("there is no memory")?;
    Ok(bootinfo.untyped().index(number).cap())
}
