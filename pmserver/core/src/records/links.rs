// SPDX-License-Identifier: BSD-2-Clause
//! The links by which records hang in chains. `store/chain.rs` has the operations on chains.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::Record;

/// The neighbours of a record in a chain.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Links {
    pub(crate) next: u32,
    pub(crate) previous: u32,
}

impl Links {
    /// The links of a record that is in no chain.
    pub(crate) const NONE: Self = Self { next: 0, previous: 0 };

    /// Returns whether the record is in no chain.
    pub(crate) const fn is_none(self) -> bool {
        self.next == 0
    }
}

/// A kind of chain: which records hang in it, and by which of their links.
pub(crate) trait Chain {
    /// What hangs in it.
    type Item: Record;

    fn links(item: &Self::Item) -> Links;

    fn links_mut(item: &mut Self::Item) -> &mut Links;
}

/// Implements [`Chain`] for a type of its own, given the record and the field.
macro_rules! chain {
    ($(#[$doc:meta])* $name:ident, $item:ident, $field:ident) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl crate::records::links::Chain for $name {
            type Item = $item;

            fn links(item: &$item) -> crate::records::links::Links {
                item.$field
            }

            fn links_mut(item: &mut $item) -> &mut crate::records::links::Links {
                &mut item.$field
            }
        }
    };
}

pub(crate) use chain;
