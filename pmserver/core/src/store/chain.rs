// SPDX-License-Identifier: BSD-2-Clause
//! Chains: lists that records hang in, to be taken out of again wherever they are.
//!
//! A chain is a ring that is named by the link of its first record, 0 when it is empty; operations
//! that change it return the new first. Its last record is the one before the first. All of them
//! take constant time, so that an account can have any number of anything.

use core::marker::PhantomData;

use crate::broken;
use crate::kernel::Kernel;
use crate::records::cell::{Ref, link_of};
use crate::records::links::{Chain, Links};
use crate::store::Store;

/// The records of a chain, first to last, as it is while nobody changes it.
struct Walk<'a, K, C: Chain> {
    store: &'a Store<K>,
    first: u32,
    next: u32,
    chain: PhantomData<C>,
}

impl<K: Kernel, C: Chain> Iterator for Walk<'_, K, C> {
    type Item = Ref<C::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = Ref::from_link(self.next)?;
        self.next = link_of(self.store.next_of::<C>(self.first, item));
        Some(item)
    }
}

impl<K: Kernel> Store<K> {
    /// Returns the records of a chain, first to last.
    pub(crate) fn chain<C: Chain>(&self, chain: u32) -> impl Iterator<Item = Ref<C::Item>> {
        Walk::<'_, K, C> { store: self, first: chain, next: chain, chain: PhantomData }
    }

    /// Returns the record after one in a chain.
    pub(crate) fn next_of<C: Chain>(&self, chain: u32, item: Ref<C::Item>) -> Option<Ref<C::Item>> {
        Ref::from_link(C::links(self.get(item)).next).filter(|next| next.link() != chain)
    }

    /// Returns the last record of a chain.
    pub(super) fn last_of<C: Chain>(&self, chain: u32) -> Option<Ref<C::Item>> {
        let first = Ref::<C::Item>::from_link(chain)?;
        Ref::from_link(C::links(self.get(first)).previous)
    }

    /// Puts a record, which is in no such chain, before all others.
    pub(crate) fn add_first<C: Chain>(&mut self, chain: u32, item: Ref<C::Item>) -> u32 {
        self.add_last::<C>(chain, item);
        item.link()
    }

    /// Puts a record, which is in no such chain, behind all others.
    pub(crate) fn add_last<C: Chain>(&mut self, chain: u32, item: Ref<C::Item>) -> u32 {
        *C::links_mut(self.get_mut(item)) = Links { next: item.link(), previous: item.link() };
        self.join::<C>(chain, item.link())
    }

    /// Takes a record out of the chain that it is in.
    pub(crate) fn take_out<C: Chain>(&mut self, chain: u32, item: Ref<C::Item>) -> u32 {
        let Links { next, previous } = C::links(self.get(item));
        *C::links_mut(self.get_mut(item)) = Links::NONE;
        if next == item.link() {
            return 0;
        }
        self.set_neighbours::<C>(previous, next);
        if chain == item.link() { next } else { chain }
    }

    /// Puts a chain behind another.
    pub(super) fn join<C: Chain>(&mut self, first: u32, second: u32) -> u32 {
        let lasts = (self.last_of::<C>(first), self.last_of::<C>(second));
        let (Some(last_of_first), Some(last_of_second)) = lasts else {
            return if first == 0 { second } else { first };
        };
        self.set_neighbours::<C>(last_of_first.link(), second);
        self.set_neighbours::<C>(last_of_second.link(), first);
        first
    }

    fn set_neighbours<C: Chain>(&mut self, before: u32, after: u32) {
        let ends = (Ref::<C::Item>::from_link(before), Ref::<C::Item>::from_link(after));
        let (Some(before), Some(after)) = ends else { broken("chain with an end") };
        C::links_mut(self.get_mut(before)).next = after.link();
        C::links_mut(self.get_mut(after)).previous = before.link();
    }
}
