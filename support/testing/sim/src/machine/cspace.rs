// SPDX-License-Identifier: BSD-2-Clause
//! Lookup of capability addresses in CNodes (seL4 manual, "Capability Address Resolution").

use super::slots::SlotRef;
use super::{Cap, Error, LookupFault, Machine};

const WORD_BITS: u64 = 64;

/// Where a lookup ended, and how many bits of the address it did not use.
pub(crate) struct Resolved {
    pub(crate) slot: SlotRef,
    pub(crate) bits_left: u64,
}

fn low_bits(word: u64, bits: u64) -> u64 {
    if bits >= WORD_BITS { word } else { word & ((1 << bits) - 1) }
}

/// Shifts right; the result is 0 if the shift is a whole word or more.
fn shift_right(word: u64, bits: u64) -> u64 {
    if bits >= WORD_BITS { 0 } else { word >> bits }
}

impl Machine {
    /// Resolves `depth` bits of an address from a root. Ends early at a slot that holds no CNode.
    pub(crate) fn resolve(
        &self,
        root: Cap,
        address: u64,
        depth: u64,
    ) -> Result<Resolved, LookupFault> {
        let mut node = root;
        let mut bits_left = depth;
        let mut reached = None;
        loop {
            let Cap::CNode { base, radix, guard, guard_bits } = node else {
                return reached
                    .map(|slot| Resolved { slot, bits_left })
                    .ok_or(LookupFault::InvalidRoot);
            };
            let (radix, guard_bits) = (u64::from(radix), u64::from(guard_bits));
            let prefix = shift_right(address, bits_left.saturating_sub(guard_bits));
            let found = low_bits(prefix, guard_bits);
            if guard_bits > bits_left || found != guard {
                return Err(LookupFault::GuardMismatch {
                    guard,
                    bits_left,
                    bits_found: guard_bits,
                });
            }
            let level_bits = radix + guard_bits;
            if level_bits > bits_left {
                return Err(LookupFault::DepthMismatch { bits_found: level_bits, bits_left });
            }
            bits_left -= level_bits;
            let index = low_bits(shift_right(address, bits_left), radix);
            let slot = SlotRef { node: base, index };
            if bits_left == 0 {
                return Ok(Resolved { slot, bits_left });
            }
            reached = Some(slot);
            node = self.slots.cap(slot);
        }
    }

    /// Finds the slot of an invoked or extra capability: resolves 64 bits, and ignores unused ones.
    pub(crate) fn slot_of(&self, cspace: Cap, address: u64) -> Result<SlotRef, Error> {
        self.resolve(cspace, address, WORD_BITS)
            .map(|resolved| resolved.slot)
            .map_err(Error::CapFault)
    }

    /// Finds the slot that a CNode operation names; the address must have exactly `depth` bits.
    pub(crate) fn slot_for_operation(
        &self,
        source: bool,
        root: Cap,
        address: u64,
        depth: u64,
    ) -> Result<SlotRef, Error> {
        let failed = |fault| Error::FailedLookup { source, fault };
        if !matches!(root, Cap::CNode { .. }) {
            return Err(failed(LookupFault::InvalidRoot));
        }
        if !(1..=WORD_BITS).contains(&depth) {
            return Err(Error::RangeError { min: 1, max: WORD_BITS });
        }
        let Resolved { slot, bits_left } = self.resolve(root, address, depth).map_err(failed)?;
        if bits_left != 0 {
            return Err(failed(LookupFault::DepthMismatch { bits_found: 0, bits_left }));
        }
        Ok(slot)
    }
}
