// SPDX-License-Identifier: BSD-2-Clause
//! Frames and mappings of which several are in one record.

use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::mapping::Mapping;

/// The order of a cluster: it has `2^3` frames or mappings.
pub(crate) const CLUSTER_ORDER: u8 = 3;

/// Frames of a cluster.
pub(crate) const CLUSTER: u8 = 1 << CLUSTER_ORDER;

/// The bits of a number that tell the place in a cluster.
#[allow(clippy::as_conversions)] // To a wider type.
pub(crate) const LAST_IN_CLUSTER: u64 = CLUSTER as u64 - 1;

/// A frame or a mapping: its record, and which one of those in the record it is. A record of a
/// run or of something large stands for itself, with index 0. It is as large and aligned as the
/// register that it is handed on in.
#[repr(C, align(8))]
pub(crate) struct Id<T> {
    pub(crate) record: Ref<T>,
    pub(crate) index: u8,
}

/// A virtual frame.
pub(crate) type FrameId = Id<Frame>;

/// A mapping or a grant.
pub(crate) type MappingId = Id<Mapping>;

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl<T> Eq for Id<T> {}

impl<T> Id<T> {
    pub(crate) const fn new(record: Ref<T>, index: u8) -> Self {
        Self { record, index }
    }

    /// Returns the only one in a record, or the first.
    pub(crate) const fn first(record: Ref<T>) -> Self {
        Self { record, index: 0 }
    }

    /// Returns its number: cells have 28 bits.
    #[allow(clippy::as_conversions)] // To a wider type.
    pub(crate) const fn raw(self) -> u32 {
        self.record.cell() << CLUSTER_ORDER | self.index as u32
    }

    /// Returns the one with this number; 0 is none.
    #[allow(clippy::as_conversions)] // The number is masked.
    pub(crate) const fn from_raw(raw: u32) -> Option<Self> {
        let index = (raw as u8) & (CLUSTER - 1);
        match Ref::from_cell(raw >> CLUSTER_ORDER) {
            Some(record) => Some(Self { record, index }),
            None => None,
        }
    }

    /// Returns the mask with its bit alone.
    pub(crate) const fn bit(self) -> u8 {
        1 << self.index
    }
}

/// Returns the place of a number in its cluster.
pub(crate) fn place_in_cluster(number: u64) -> u8 {
    u8::try_from(number & LAST_IN_CLUSTER).unwrap_or(0)
}

/// Returns the indices of the bits that are set in a mask, lowest first.
pub(crate) fn indices(mut mask: u8) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let index = u8::try_from(mask.trailing_zeros()).ok().filter(|_| mask != 0)?;
        mask &= mask.wrapping_sub(1);
        Some(index)
    })
}

/// Returns the mask of so many bits from one on, of which there are at most eight.
pub(crate) fn row(first: u8, count: u8) -> u8 {
    let above = u8::MAX.checked_shr(CLUSTER.saturating_sub(count).into());
    above.unwrap_or(0) << first
}

/// Returns the lowest bits of a mask, at most so many.
pub(crate) fn lowest(mask: u8, most: u64) -> u8 {
    if most >= CLUSTER.into() {
        return mask;
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    indices(mask).take(most).fold(0, |mask, index| mask | 1 << index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_record_and_index() {
        let record = Ref::<Frame>::from_cell((1 << 28) - 1).unwrap();
        let id = FrameId::new(record, 7);
        assert!(FrameId::from_raw(id.raw()) == Some(id));
        assert_eq!(id.raw(), (1 << 31) - 1);
        assert!(FrameId::from_raw(0).is_none());
    }

    #[test]
    fn the_indices_of_a_mask_are_those_of_its_bits() {
        assert!(indices(0b1010_0001).eq([0, 5, 7]));
        assert!(indices(0).next().is_none());
        assert!(indices(row(2, 3)).eq([2, 3, 4]));
        assert_eq!((row(0, 8), row(5, 0)), (u8::MAX, 0));
    }
}
