// SPDX-License-Identifier: BSD-2-Clause
//! Three-valued truth, for what depends on something that the model cannot know
//! (`observed.rs` lists those things).

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Doubt {
    #[default]
    No,
    Perhaps,
    Yes,
}

impl Doubt {
    pub(crate) fn surely(self) -> bool {
        self == Self::Yes
    }

    pub(crate) fn perhaps(self) -> bool {
        self != Self::No
    }

    /// Returns `Perhaps` for what may be gone, else `Yes`.
    pub(crate) const fn there(is_doubtful: bool) -> Self {
        if is_doubtful { Self::Perhaps } else { Self::Yes }
    }
}

impl From<bool> for Doubt {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}
