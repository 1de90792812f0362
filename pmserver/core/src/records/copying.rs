// SPDX-License-Identifier: BSD-2-Clause
//! The two sides of a copy.

use pmserver_api::{CopyFlags, PmError, Rights};

use crate::records::range::Range;
use crate::records::share::Access;

/// Both sides of a copy, and its flags.
#[derive(Clone, Copy)]
pub(crate) struct Copying {
    pub(crate) from: Access,
    pub(crate) to: Access,
    pub(crate) flags: CopyFlags,
    /// The numbers that a range is moved to in the container that it comes from.
    pub(crate) moved_to: Option<Range>,
}

impl Copying {
    pub(crate) fn is_logical(&self) -> bool {
        !self.flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE)
    }

    pub(crate) fn makes_new(&self) -> bool {
        self.flags.contains(CopyFlags::NEW)
    }

    /// Refuses ranges that the handles do not give access to.
    pub(crate) fn check_rights(&self, from: Range, to: Range) -> Result<(), PmError> {
        let is_given = self.from.allows(from, Rights::READ) && self.to.allows(to, Rights::WRITE);
        if is_given { Ok(()) } else { Err(PmError::NoRight) }
    }

    /// Refuses pairs whose result would depend on their order.
    pub(crate) fn check_pairs(&self, pairs: &[(u64, u64)]) -> Result<(), PmError> {
        let is_moved = self.flags.contains(CopyFlags::MOVE);
        for (index, (from, to)) in pairs.iter().enumerate() {
            let mut others = pairs.iter().skip(index.saturating_add(1));
            if others.any(|other| other.1 == *to || is_moved && other.0 == *from) {
                return Err(PmError::Invalid);
            }
            let is_read = |other: &(u64, u64)| other.0 == *to && other.1 != *to;
            if !self.is_logical() && self.is_within() && pairs.iter().any(is_read) {
                return Err(PmError::Invalid);
            }
        }
        Ok(())
    }

    pub(crate) fn moves_to(&self, number: u64) -> bool {
        self.moved_to.is_some_and(|range| range.contains(number))
    }

    pub(crate) const fn is_within(&self) -> bool {
        self.from.container.cell() == self.to.container.cell()
    }
}
