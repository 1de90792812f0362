// SPDX-License-Identifier: BSD-2-Clause
//! Trees that find records by a key (`store/radix.rs`).

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::Record;

/// A record that is a leaf of a tree.
pub(crate) trait Leaf: Record {
    /// Returns its key, which never changes while it is in a tree.
    fn key(&self) -> u64;

    /// Returns the last number that it stands for: a record for one number has only its key.
    fn last(&self) -> u64 {
        self.key()
    }
}

/// A tree of records: a link to its topmost node, or to its only leaf.
#[repr(transparent)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Tree<T> {
    /// The number of that cell, 0 when the tree is empty.
    pub(crate) top: u32,
    leaf: PhantomData<fn() -> T>,
}

impl<T> Clone for Tree<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Tree<T> {}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> Tree<T> {
    /// The tree without a leaf.
    pub(crate) const EMPTY: Self = Self::new(0);

    /// Returns the tree with this topmost cell.
    pub(crate) const fn new(top: u32) -> Self {
        Self { top, leaf: PhantomData }
    }

    /// Returns whether it has no leaf.
    pub(crate) const fn is_empty(self) -> bool {
        self.top == 0
    }
}
