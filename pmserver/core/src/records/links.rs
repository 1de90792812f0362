// SPDX-License-Identifier: BSD-2-Clause
//! Links between records: to one other record, and to the neighbours in a chain. `store/chain.rs`
//! has the operations on chains.

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Record, Ref};

/// A link from one record to another: the number of a cell, or 0 for none.
#[repr(transparent)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Link<T> {
    cell: u32,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Link<T> {}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> PartialEq for Link<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cell == other.cell
    }
}

impl<T> Eq for Link<T> {}

impl<T> Link<T> {
    /// The link to no record.
    pub(crate) const NONE: Self = Self { cell: 0, record: PhantomData };

    /// Returns the record that it refers to.
    pub(crate) const fn target(self) -> Option<Ref<T>> {
        Ref::from_cell(self.cell)
    }

    /// Returns whether it leads to no record.
    pub(crate) const fn is_none(self) -> bool {
        self.cell == 0
    }

    /// Returns the link with this number, for fields that link to records of several types.
    pub(crate) const fn from_raw(cell: u32) -> Self {
        Self { cell, record: PhantomData }
    }

    /// Returns its number.
    pub(crate) const fn raw(self) -> u32 {
        self.cell
    }
}

impl<T> Ref<T> {
    /// Returns the link to this record.
    pub(crate) const fn link(self) -> Link<T> {
        Link { cell: self.cell(), record: PhantomData }
    }
}

/// Returns the link to this record, or to none.
pub(crate) fn link_of<T>(record: Option<Ref<T>>) -> Link<T> {
    record.map_or(Link::NONE, Ref::link)
}

/// The neighbours of a record in a chain of such records.
#[repr(transparent)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Links<T> {
    /// The next and the previous record.
    cells: [u32; 2],
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Links<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Links<T> {}

impl<T> Links<T> {
    /// The links of a record that is in no chain.
    pub(crate) const NONE: Self = Self { cells: [0; 2], record: PhantomData };

    /// Returns the links of a record behind one and before another.
    pub(crate) const fn between(previous: Ref<T>, next: Ref<T>) -> Self {
        Self { cells: [next.cell(), previous.cell()], record: PhantomData }
    }

    /// Returns whether the record is in no chain.
    pub(crate) const fn is_none(self) -> bool {
        self.next().is_none()
    }

    pub(crate) const fn next(self) -> Link<T> {
        let [next, _] = self.cells;
        Link::from_raw(next)
    }

    pub(crate) const fn previous(self) -> Link<T> {
        let [_, previous] = self.cells;
        Link::from_raw(previous)
    }

    pub(crate) const fn set_next(&mut self, record: Ref<T>) {
        let [next, _] = &mut self.cells;
        *next = record.cell();
    }

    pub(crate) const fn set_previous(&mut self, record: Ref<T>) {
        let [_, previous] = &mut self.cells;
        *previous = record.cell();
    }
}

/// A kind of chain: which records it links, and by which of their fields.
pub(crate) trait Chain {
    /// The type of its records.
    type Item: Record;

    fn links(item: &Self::Item) -> Links<Self::Item>;

    fn links_mut(item: &mut Self::Item) -> &mut Links<Self::Item>;
}

/// Implements [`Chain`] for a type of its own, given the record and the field.
macro_rules! chain {
    ($(#[$doc:meta])* $name:ident, $item:ident, $field:ident) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl crate::records::links::Chain for $name {
            type Item = $item;

            fn links(item: &$item) -> crate::records::links::Links<$item> {
                item.$field
            }

            fn links_mut(item: &mut $item) -> &mut crate::records::links::Links<$item> {
                &mut item.$field
            }
        }
    };
}

pub(crate) use chain;
