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

    pub(crate) const fn is_within(&self) -> bool {
        self.from.container.cell() == self.to.container.cell()
    }
}
