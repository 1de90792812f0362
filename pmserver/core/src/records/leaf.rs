// SPDX-License-Identifier: BSD-2-Clause
//! What a record needs to be found by a key in a tree (`store/radix.rs`).

use crate::records::cell::Record;

/// A record that is a leaf of a tree.
pub(crate) trait Leaf: Record {
    /// Returns its key, which never changes while it is in a tree.
    fn key(&self) -> u64;
}
