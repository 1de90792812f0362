// SPDX-License-Identifier: BSD-2-Clause
//! Chains: doubly linked lists of records.
//!
//! A chain is a ring, identified by the link to its first record, which is none if the chain is
//! empty. Operations that change a chain return its new first record. Every operation takes
//! constant time, whatever the length.

use core::marker::PhantomData;

use crate::kernel::Kernel;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::links::{Chain, Link, Links, link_of};
use crate::records::meter::LINK_WORK;
use crate::store::Store;

/// An iterator over the records of a chain, first to last.
struct Walk<'a, K, C: Chain> {
    store: &'a Store<K>,
    first: Link<C::Item>,
    next: Link<C::Item>,
    chain: PhantomData<C>,
}

impl<K: Kernel, C: Chain> Iterator for Walk<'_, K, C> {
    type Item = Ref<C::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next.target()?;
        self.next = link_of(self.store.next_of::<C>(self.first, item));
        Some(item)
    }
}

impl<K: Kernel> Store<K> {
    /// Returns the records of a chain, first to last.
    pub(crate) fn chain<C: Chain>(
        &self,
        chain: Link<C::Item>,
    ) -> impl Iterator<Item = Ref<C::Item>> {
        Walk::<'_, K, C> { store: self, first: chain, next: chain, chain: PhantomData }
    }

    /// Returns the record after one in a chain.
    pub(crate) fn next_of<C: Chain>(
        &self,
        chain: Link<C::Item>,
        item: Ref<C::Item>,
    ) -> Option<Ref<C::Item>> {
        self.meter().charge(LINK_WORK);
        C::links(self.get(item)).next().target().filter(|next| next.link() != chain)
    }

    /// Returns the last record of a chain.
    pub(crate) fn last_of<C: Chain>(&self, chain: Link<C::Item>) -> Option<Ref<C::Item>> {
        C::links(self.get(chain.target()?)).previous().target()
    }

    /// Adds a record that is in no chain of this kind at the front.
    #[inline]
    pub(crate) fn add_first<C: Chain>(
        &mut self,
        chain: Link<C::Item>,
        item: Ref<C::Item>,
    ) -> Link<C::Item> {
        self.add_last::<C>(chain, item);
        item.link()
    }

    /// Adds a record that is in no chain of this kind at the back.
    #[inline]
    pub(crate) fn add_last<C: Chain>(
        &mut self,
        chain: Link<C::Item>,
        item: Ref<C::Item>,
    ) -> Link<C::Item> {
        let Some(first) = chain.target() else {
            *C::links_mut(self.get_mut(item)) = Links::between(item, item);
            return item.link();
        };
        let links = C::links_mut(self.get_mut(first));
        let Some(last) = links.previous().target() else { broken("chain with an end") };
        links.set_previous(item);
        C::links_mut(self.get_mut(last)).set_next(item);
        *C::links_mut(self.get_mut(item)) = Links::between(last, first);
        chain
    }

    /// Adds a record that is in no chain of this kind behind another.
    pub(super) fn add_behind<C: Chain>(&mut self, before: Ref<C::Item>, item: Ref<C::Item>) {
        let after = C::links(self.get(before)).next().target();
        self.set_neighbours::<C>(before, item);
        self.set_neighbours::<C>(item, after.unwrap_or(before));
    }

    /// Removes a record from its chain.
    #[inline]
    pub(crate) fn remove_from_chain<C: Chain>(
        &mut self,
        chain: Link<C::Item>,
        item: Ref<C::Item>,
    ) -> Link<C::Item> {
        let links = C::links(self.get(item));
        *C::links_mut(self.get_mut(item)) = Links::NONE;
        let (Some(previous), Some(next)) = (links.previous().target(), links.next().target())
        else {
            broken("taken out of a chain that it is not in")
        };
        if next == item {
            return Link::NONE;
        }
        self.set_neighbours::<C>(previous, next);
        if chain == item.link() { next.link() } else { chain }
    }

    /// Appends a chain to another.
    pub(super) fn join<C: Chain>(
        &mut self,
        first: Link<C::Item>,
        second: Link<C::Item>,
    ) -> Link<C::Item> {
        let (Some(first_of_first), Some(first_of_second)) = (first.target(), second.target())
        else {
            return if first.is_none() { second } else { first };
        };
        let lasts = (self.last_of::<C>(first), self.last_of::<C>(second));
        let (Some(last_of_first), Some(last_of_second)) = lasts else {
            broken("chain with an end")
        };
        self.set_neighbours::<C>(last_of_first, first_of_second);
        self.set_neighbours::<C>(last_of_second, first_of_first);
        first
    }

    fn set_neighbours<C: Chain>(&mut self, before: Ref<C::Item>, after: Ref<C::Item>) {
        C::links_mut(self.get_mut(before)).set_next(after);
        C::links_mut(self.get_mut(after)).set_previous(before);
    }
}
