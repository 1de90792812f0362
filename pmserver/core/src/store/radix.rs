// SPDX-License-Identifier: BSD-2-Clause
//! Ordered maps from a 64-bit key to a record: frames of a container, mappings and tables of a
//! VSpace.
//!
//! A radix tree over groups of three bits. It skips groups in which all keys agree, so every inner
//! node has at least two children: a tree of n records has fewer than n nodes and is at most 22
//! nodes deep, whatever keys a client chooses. The leaves are the records themselves; one may stand
//! for all keys below a node that is not there, or be in several groups of a node. Nodes are
//! records too, and the account that pays for the leaves pays for them. A tree is identified by one
//! link; operations that change it return the new link.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{CELL_BYTES, Kind, Ref, Stamp, record};
use crate::records::leaf::{Leaf, Tree};
use crate::records::meter::NODE_WORK;
use crate::store::Store;

const GROUP_BITS: u32 = 3;

pub(super) const FANOUT: usize = 8;

const GROUP_MASK: u64 = 7;

/// An inner node: the keys below agree in all bits above the group that begins at `shift`.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Node {
    stamp: Stamp,
    /// The bits above the group.
    prefix: u64,
    children: [u32; FANOUT],
    shift: u32,
    /// A set bit for every group with a child.
    taken: u32,
    padding: [u32; 2],
}

record!(Node, Node);

impl Node {
    /// Returns the node of eight leaves, of which the first has this key.
    pub(super) const fn full(key: u64, shift: u32, children: [u32; FANOUT]) -> Self {
        let prefix = above(key, shift);
        let taken = (1 << FANOUT) - 1;
        Self { stamp: Stamp::UNSET, prefix, children, shift, taken, padding: [0; 2] }
    }

    /// Returns a node without children.
    const fn empty(key: u64, shift: u32) -> Self {
        Self { taken: 0, ..Self::full(key, shift, [0; FANOUT]) }
    }

    fn group(&self, key: u64) -> usize {
        group_at(key, self.shift)
    }

    fn covers(&self, key: u64) -> bool {
        above(key, self.shift) == self.prefix
    }

    fn child(&self, group: usize) -> u32 {
        self.children.get(group).copied().unwrap_or(0)
    }

    /// Returns the first child in the groups from `start` on.
    fn first_from(&self, start: usize) -> u32 {
        let rest = u32::try_from(start).ok().and_then(|start| self.taken.checked_shr(start));
        let next = rest.unwrap_or(0).trailing_zeros();
        self.child(usize::try_from(next).map_or(FANOUT, |next| start.saturating_add(next)))
    }

    fn set_child(&mut self, group: usize, child: u32) {
        if let Some(place) = self.children.get_mut(group) {
            *place = child;
            let bit = 1 << group;
            self.taken = if child == 0 { self.taken & !bit } else { self.taken | bit };
        }
    }

    /// Puts a leaf into all groups that it stands for.
    fn set_leaf(&mut self, (key, last): (u64, u64), leaf: u32) {
        let first = self.group(key);
        self.set_child(first, leaf);
        if last != key && self.covers(last) {
            (first..=self.group(last)).for_each(|group| self.set_child(group, leaf));
        }
    }

    /// Takes a child out of all its groups. Returns the only other one, if there is only one.
    fn remove_child(&mut self, child: u32) -> Option<u32> {
        for group in 0..FANOUT {
            if self.child(group) == child {
                self.set_child(group, 0);
            }
        }
        let only = self.first_from(0);
        self.children.iter().all(|other| *other == 0 || *other == only).then_some(only)
    }
}

/// A node of a tree, at which an insertion begins if it covers the key.
pub(crate) type Near = Option<Ref<Node>>;

/// A place that links to a node or a leaf: the tree's own link, or a child of a node.
type Place = Option<(Ref<Node>, usize)>;

impl<K: Kernel> Store<K> {
    /// Returns the node at a link, if that leads to one.
    fn node(&self, link: u32) -> Option<(Ref<Node>, &Node)> {
        self.meter().charge(NODE_WORK);
        let reference = Ref::from_cell(link)?;
        let node = Node::ref_from_bytes(self.kernel.record_piece::<CELL_BYTES>(link)).ok()?;
        node.stamp.is(Kind::Node).then_some((reference, node))
    }

    fn leaf<T: Leaf>(&self, link: u32) -> Ref<T> {
        match Ref::from_cell(link) {
            Some(leaf) if self.is_of_kind(link, T::KIND) => leaf,
            _ => broken("leaf of another tree"),
        }
    }

    /// Returns the record that stands for this key.
    #[inline]
    pub(crate) fn tree_get<T: Leaf>(&self, tree: Tree<T>, key: u64) -> Option<Ref<T>> {
        self.tree_look_up(tree, key).map(|(leaf, _)| leaf)
    }

    /// Does the same, and returns what the record says, too.
    #[inline]
    pub(crate) fn tree_look_up<T: Leaf>(&self, tree: Tree<T>, key: u64) -> Option<(Ref<T>, &T)> {
        if tree.is_empty() { None } else { self.look_up_below(tree, key) }
    }

    fn look_up_below<T: Leaf>(&self, tree: Tree<T>, key: u64) -> Option<(Ref<T>, &T)> {
        let mut link = tree.top;
        while let Some((_, node)) = self.node(link) {
            link = if node.covers(key) { node.child(node.group(key)) } else { 0 };
        }
        let leaf = Ref::from_cell(link).map(|_: Ref<T>| self.leaf::<T>(link))?;
        let record = self.get(leaf);
        (record.key() <= key && key <= record.last()).then_some((leaf, record))
    }

    /// Returns the first record that is not below `key`.
    #[inline]
    pub(crate) fn tree_next<T: Leaf>(&self, tree: Tree<T>, key: u64) -> Option<Ref<T>> {
        self.tree_next_near(tree, key, &mut None)
    }

    /// Does the same and says which node a record with this key would be below.
    pub(crate) fn tree_next_near<T: Leaf>(
        &self,
        tree: Tree<T>,
        key: u64,
        near: &mut Near,
    ) -> Option<Ref<T>> {
        let mut link = tree.top;
        // The nearest subtree to the right of the path; everything in it is above the key.
        let mut right = 0;
        while let Some((reference, node)) = self.node(link) {
            if !node.covers(key) {
                if above(key, node.shift) < node.prefix {
                    right = link;
                }
                return self.smallest(right);
            }
            *near = Some(reference);
            let group = node.group(key);
            let sibling = node.first_from(group.saturating_add(1));
            if sibling != 0 {
                right = sibling;
            }
            link = node.child(group);
        }
        if link != 0 {
            let leaf = self.leaf::<T>(link);
            if self.get(leaf).last() >= key {
                return Some(leaf);
            }
        }
        self.smallest(right)
    }

    fn smallest<T: Leaf>(&self, mut link: u32) -> Option<Ref<T>> {
        while let Some((_, node)) = self.node(link) {
            link = node.first_from(0);
        }
        Ref::from_cell(link).map(|_: Ref<T>| self.leaf(link))
    }

    /// Inserts a record into a tree that has none with its key; returns the tree.
    ///
    /// # Errors
    /// If the account cannot pay for a node; nothing has changed then.
    #[inline(always)]
    pub(crate) fn tree_insert<T: Leaf>(
        &mut self,
        account: Ref<Account>,
        tree: Tree<T>,
        leaf: Ref<T>,
    ) -> Result<Tree<T>, Shortage> {
        if tree.is_empty() {
            return Ok(Tree::new(leaf.cell()));
        }
        self.tree_insert_near(account, tree, leaf, &mut None)
    }

    /// Does the same, without going through the nodes above `near` again. That says afterwards
    /// which node the record is below.
    ///
    /// # Errors
    /// As [`Self::tree_insert`].
    pub(super) fn tree_insert_near<T: Leaf>(
        &mut self,
        account: Ref<Account>,
        tree: Tree<T>,
        leaf: Ref<T>,
        near: &mut Near,
    ) -> Result<Tree<T>, Shortage> {
        self.insert_with(tree, leaf, near, |store, node| store.alloc(account, node))
    }

    /// Does the same with a cell that was set aside for the node.
    ///
    /// # Errors
    /// The kernel's error if it refuses a page for the node; nothing has changed then.
    pub(crate) fn tree_insert_aside<T: Leaf>(
        &mut self,
        account: Ref<Account>,
        tree: Tree<T>,
        leaf: Ref<T>,
    ) -> Result<Tree<T>, KernelError> {
        let alloc = |store: &mut Self, node| store.alloc_set_aside(account, node);
        self.insert_with(tree, leaf, &mut None, alloc)
    }

    fn insert_with<T: Leaf, E>(
        &mut self,
        tree: Tree<T>,
        leaf: Ref<T>,
        near: &mut Near,
        alloc: impl Fn(&mut Self, Node) -> Result<Ref<Node>, E>,
    ) -> Result<Tree<T>, E> {
        let record = self.get(leaf);
        let (key, last) = (record.key(), record.last());
        let mut place: Place = None;
        let near_key = near.filter(|near| self.get(*near).covers(key));
        let mut link = near_key.map_or(tree.top, Ref::cell);
        while let Some((node, record)) = self.node(link) {
            if !record.covers(key) {
                break;
            }
            let group = record.group(key);
            place = Some((node, group));
            link = record.child(group);
        }
        if link == 0 {
            let Some((node, _)) = place else { return Ok(Tree::new(leaf.cell())) };
            *near = Some(node);
            self.get_mut(node).set_leaf((key, last), leaf.cell());
            return Ok(tree);
        }
        let fork = self.fork::<T>(link, (key, last), leaf.cell());
        let fork = alloc(self, fork)?;
        *near = Some(fork);
        Ok(self.set_place(tree, place, fork.cell()))
    }

    /// Returns the node whose children are the subtree at `link` and a new leaf.
    fn fork<T: Leaf>(&self, link: u32, (key, last): (u64, u64), leaf: u32) -> Node {
        let (other, other_last, shift) = match self.node(link) {
            Some((_, node)) => {
                let own = node.shift.saturating_add(GROUP_BITS);
                let first = node.prefix.checked_shl(own).unwrap_or(0);
                // The key differs from the node's above the node's own group.
                let shift = differing_shift(above(key, node.shift), node.prefix);
                (first, first, shift.saturating_add(own))
            }
            None => {
                let leaf = self.get(self.leaf::<T>(link));
                assert!(leaf.key() != key, "a key is in a tree once");
                (leaf.key(), leaf.last(), differing_shift(key, leaf.key()))
            }
        };
        let mut fork = Node::empty(key, shift);
        fork.set_leaf((other, other_last), link);
        fork.set_leaf((key, last), leaf);
        fork
    }

    /// Removes a record from the tree that it is in; returns the tree.
    #[inline(always)]
    pub(crate) fn tree_remove<T: Leaf>(&mut self, tree: Tree<T>, leaf: Ref<T>) -> Tree<T> {
        if tree.top == leaf.cell() { Tree::EMPTY } else { self.remove_below(tree, leaf) }
    }

    #[inline(never)]
    fn remove_below<T: Leaf>(&mut self, tree: Tree<T>, leaf: Ref<T>) -> Tree<T> {
        let key = self.get(leaf).key();
        let mut parent: Place = None;
        let mut place: Place = None;
        let mut link = tree.top;
        while let Some((node, record)) = self.node(link) {
            let group = record.group(key);
            parent = place;
            place = Some((node, group));
            link = record.child(group);
        }
        let Some((node, _)) = place.filter(|_| link == leaf.cell()) else {
            broken("record of another tree")
        };
        let Some(only) = self.get_mut(node).remove_child(link) else { return tree };
        self.free(node);
        self.set_place(tree, parent, only)
    }

    /// Puts a node in the place of the leaf with this key; returns the tree.
    pub(super) fn tree_replace<T>(&mut self, tree: Tree<T>, key: u64, node: Ref<Node>) -> Tree<T> {
        let mut place: Place = None;
        let mut link = tree.top;
        while let Some((above, record)) = self.node(link) {
            let group = record.group(key);
            place = Some((above, group));
            link = record.child(group);
        }
        self.set_place(tree, place, node.cell())
    }

    fn set_place<T>(&mut self, tree: Tree<T>, place: Place, link: u32) -> Tree<T> {
        match place {
            Some((node, group)) => {
                self.get_mut(node).set_child(group, link);
                tree
            }
            None => Tree::new(link),
        }
    }
}

fn group_at(key: u64, shift: u32) -> usize {
    usize::try_from(key.checked_shr(shift).unwrap_or(0) & GROUP_MASK).unwrap_or(0)
}

/// Returns the bits of a key above the group at `shift`; none are left above the topmost group.
const fn above(key: u64, shift: u32) -> u64 {
    match key.checked_shr(shift.saturating_add(GROUP_BITS)) {
        Some(bits) => bits,
        None => 0,
    }
}

/// Returns the shift of the highest group in which two keys differ.
fn differing_shift(left: u64, right: u64) -> u32 {
    let highest = 63_u32.saturating_sub((left ^ right).leading_zeros());
    highest.saturating_sub(highest % GROUP_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_prefixes_at_both_ends() {
        assert_eq!(differing_shift(0, 1), 0);
        assert_eq!(differing_shift(0, 8), 3);
        assert_eq!(differing_shift(0, u64::MAX), 63);
        assert_eq!(above(u64::MAX, 63), 0);
        assert_eq!(above(u64::MAX, 60), 1);
        assert_eq!(group_at(u64::MAX, 63), 1);
        assert_eq!(group_at(0o7654, 3), 5);
    }
}
