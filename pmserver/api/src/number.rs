// SPDX-License-Identifier: BSD-2-Clause
//! The numbers of the modes of `lock` and `pin`, and of what `disturb` does.

pub(crate) const LOCK_READ: u16 = 0;
pub(crate) const LOCK_EXCLUSIVE: u16 = 1;

pub(crate) const DISTURB_UNMAP: u64 = 1;
pub(crate) const DISTURB_MOVE: u64 = 2;

/// Next to the rights of a share: the peer can only take it (PM-430).
pub(crate) const SHARE_ONCE: u16 = 1 << 3;
