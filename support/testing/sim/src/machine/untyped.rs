// SPDX-License-Identifier: BSD-2-Clause
//! Untyped memory: the watermark, its reset, and Retype (seL4 manual, "Untyped Retype").

use super::capability::{CapRights, FrameRights};
use super::invocation::Destination;
use super::object::{FrameSize, ObjectType, object_bits};
use super::slots::SlotRef;
use super::{Cap, Error, LookupFault, Machine};

/// The most objects that one Retype can make, in this kernel configuration.
pub const FAN_OUT_MAX: u64 = 256;
const UNTYPED_BITS_MIN: u64 = 4;
const UNTYPED_BITS_MAX: u64 = 47;
const SIZE_BITS_END: u64 = 64;

impl Machine {
    pub(crate) fn retype(
        &mut self,
        untyped: SlotRef,
        object_type: ObjectType,
        size_bits: u64,
        root: Cap,
        to: &Destination,
    ) -> Result<(), Error> {
        let Cap::Untyped { base, size_bits: untyped_bits, free } = self.slots.cap(untyped) else {
            return Err(Error::IllegalOperation);
        };
        let (user_bits, bits) = self.check_object(object_type, size_bits)?;
        let node = self.window(root, to)?;
        // Without children all memory is free again, whatever the watermark is.
        let reset = self.slots.ensure_no_children(untyped).is_ok();
        let start = if reset { 0 } else { free };
        let left = (1 << untyped_bits) - start;
        if left >> bits < to.count {
            return Err(Error::NotEnoughMemory { left });
        }
        if reset {
            self.memory.clear(base, free);
            self.slots.clear(base, free);
            self.threads.clear(base, free);
        }
        let first = (base + start).next_multiple_of(1 << bits);
        let free = first - base + (to.count << bits);
        self.slots.set_cap(untyped, Cap::Untyped { base, size_bits: untyped_bits, free });
        for number in 0..to.count {
            let cap = self.create(object_type, user_bits, first + (number << bits));
            let slot = SlotRef { node, index: to.offset + number };
            self.slots.insert_new(untyped, slot, cap);
        }
        Ok(())
    }

    /// Returns the size that the caller chose and the size of the object, as powers of two.
    fn check_object(&self, object_type: ObjectType, size_bits: u64) -> Result<(u8, u8), Error> {
        let out_of_range = Error::RangeError { min: 0, max: UNTYPED_BITS_MAX };
        // Larger sizes, which may not fit in a `u8`, fail in the same way as this bound.
        let user_bits = u8::try_from(size_bits.min(SIZE_BITS_END)).expect("at most 64");
        let bits = object_bits(self.architecture, object_type, user_bits)
            .ok_or(Error::InvalidArgument(0))?;
        if size_bits >= SIZE_BITS_END || u64::from(bits) > UNTYPED_BITS_MAX {
            return Err(out_of_range);
        }
        match object_type {
            ObjectType::CapTable if size_bits == 0 => Err(Error::InvalidArgument(1)),
            ObjectType::Untyped if size_bits < UNTYPED_BITS_MIN => Err(Error::InvalidArgument(1)),
            _ => Ok((user_bits, bits)),
        }
    }

    /// Returns the CNode for the new capabilities, after checking that the destination slots exist
    /// and are empty.
    fn window(&self, root: Cap, to: &Destination) -> Result<u64, Error> {
        let node = if to.depth == 0 {
            root
        } else {
            self.slots.cap(self.slot_for_operation(false, root, to.index, to.depth)?)
        };
        let Cap::CNode { base, radix, .. } = node else {
            let fault = LookupFault::MissingCapability { bits_left: to.depth };
            return Err(Error::FailedLookup { source: false, fault });
        };
        let size = 1 << radix;
        if to.offset > size - 1 {
            return Err(Error::RangeError { min: 0, max: size - 1 });
        }
        if !(1..=FAN_OUT_MAX).contains(&to.count) {
            return Err(Error::RangeError { min: 1, max: FAN_OUT_MAX });
        }
        if to.count > size - to.offset {
            return Err(Error::RangeError { min: 1, max: size - to.offset });
        }
        for index in to.offset..to.offset + to.count {
            self.slots.ensure_empty(SlotRef { node: base, index })?;
        }
        Ok(base)
    }

    const fn new_frame(base: u64, size: FrameSize) -> Cap {
        Cap::Frame { base, size, rights: FrameRights::ReadWrite, mapped: None }
    }

    fn create(&mut self, object_type: ObjectType, user_bits: u8, base: u64) -> Cap {
        match object_type {
            ObjectType::Untyped => Cap::Untyped { base, size_bits: user_bits, free: 0 },
            ObjectType::CapTable => {
                self.slots.add_node(base, user_bits);
                Cap::CNode { base, radix: user_bits, guard: 0, guard_bits: 0 }
            }
            ObjectType::Frame => Self::new_frame(base, FrameSize::Small),
            ObjectType::LargeFrame => Self::new_frame(base, FrameSize::Large),
            ObjectType::Table(kind) => Cap::Table { base, kind, mapped: None },
            ObjectType::VSpace => Cap::VSpace { base, asid: None },
            ObjectType::Tcb => {
                self.threads.add_thread(base);
                Cap::Tcb { base }
            }
            ObjectType::Notification => {
                self.threads.add_notification(base);
                Cap::Notification { base, badge: 0, rights: CapRights::ALL }
            }
        }
    }
}
