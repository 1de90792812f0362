// SPDX-License-Identifier: BSD-2-Clause
//! inspect: what is mapped in address spaces, granted, and attached, by peer and address.
//!
//! ```text
//!   cursor:  | peer: 16 bits | address, or place of a grant: 48 bits |
//! ```

use pmserver_api::{
    BookRow, CURSOR_PEER_SHIFT, GrantRow, MapFlags, MappingRow, MappingState, RegionRow, Row,
};
use proto::limits::{INSPECT_PAGES_MAX, PEERS_MAX};
use proto::{FrameNumber, PAGE_BYTES};

use super::inspect::link_id;
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::cell::Ref;
use crate::records::id::{CLUSTER, indices, row};
use crate::records::leaf::Leaf;
use crate::records::mapping::{Installed, Mapping};
use crate::records::peer::Peer;
use crate::records::region::Region;

const KEY_MASK: u64 = (1 << CURSOR_PEER_SHIFT) - 1;

/// Mappings of a record that are of frames in a row, at pages in a row, installed in one way.
struct Run {
    mapping: Ref<Mapping>,
    /// The first one.
    index: u8,
    count: u16,
    /// The key of what is behind it.
    end: u64,
}

impl<K: Kernel> Operations<K> {
    pub(super) fn inspect_mappings(&self, cursor: u64, part: u8) -> Option<Row> {
        self.by_peer(cursor, |peer, key| {
            self.next_run(peer, false, key, |run| {
                let record = self.store.get(run.mapping);
                let frame = record.frame(run.index);
                MappingRow {
                    peer: peer.id,
                    vaddr: record.vaddr_of(run.index),
                    pages: run.count,
                    state: state_of(record, run.index),
                    container: link_id(self.store.get(frame.record).container),
                    share: link_id(record.share),
                    first: FrameNumber::new(self.store.number_of(frame)),
                }
                .part(part)
            })
        })
    }

    pub(super) fn inspect_grants(&self, cursor: u64, part: u8) -> Option<Row> {
        self.by_peer(cursor, |peer, key| {
            self.next_run(peer, true, key, |run| {
                let record = self.store.get(run.mapping);
                let frame = record.frame(run.index);
                GrantRow {
                    peer: peer.id,
                    place: record.vaddr_of(run.index),
                    count: run.count,
                    state: state_of(record, run.index),
                    container: link_id(self.store.get(frame.record).container),
                    share: link_id(record.share),
                    first: FrameNumber::new(self.store.number_of(frame)),
                }
                .part(part)
            })
        })
    }

    pub(super) fn inspect_regions(&self, cursor: u64, part: u8) -> Option<Row> {
        self.by_peer(cursor, |peer, key| {
            let region = self.store.tree_next::<Region>(peer.vspace.regions, key)?;
            let record = self.store.get(region);
            let end = record.last_page().saturating_add(PAGE_BYTES);
            let bytes = end.saturating_sub(record.first_page);
            let row = RegionRow {
                peer: peer.id,
                vaddr: record.first_page,
                pages: u32::try_from(bytes / PAGE_BYTES).unwrap_or(u32::MAX),
                flags: record.flags(),
                container: record.container(),
                first: FrameNumber::new(record.start),
            };
            Some(Row { cursor: end, words: row.part(part) })
        })
    }

    /// Returns the first row of the peer in a cursor, or of one behind it. `next` returns that of a
    /// peer from a key on, with the key behind it as its cursor.
    fn by_peer(&self, cursor: u64, next: impl Fn(&Peer, u64) -> Option<Row>) -> Option<Row> {
        let first =
            usize::try_from(cursor >> CURSOR_PEER_SHIFT).ok().filter(|peer| *peer < PEERS_MAX)?;
        let mut key = cursor & KEY_MASK;
        for peer in self.peers.iter().skip(first) {
            if let Some((peer, row)) = peer.as_ref().and_then(|peer| Some((peer, next(peer, key)?)))
            {
                let cursor = u64::from(peer.id.get()) << CURSOR_PEER_SHIFT | row.cursor;
                return Some(Row { cursor, ..row });
            }
            key = 0;
        }
        Some(Row::END)
    }

    /// Returns the words of the first run from a key on. Records that have none there are passed
    /// over, so many at most.
    fn next_run(
        &self,
        peer: &Peer,
        of_grants: bool,
        mut key: u64,
        words: impl FnOnce(&Run) -> [u64; 3],
    ) -> Option<Row> {
        for _ in 0..INSPECT_PAGES_MAX {
            let tree = peer.vspace.tree(of_grants);
            let mapping = self.store.tree_next::<Mapping>(tree, key)?;
            let record = self.store.get(mapping);
            let there = record.within(key, u64::MAX);
            if let Some(run) = first_run(mapping, record, there) {
                return Some(Row { cursor: run.end, words: words(&run) });
            }
            key = record.last().saturating_add(1);
        }
        Some(Row::none(key))
    }
}

/// Returns the first run of those mappings of a record that are in a mask.
fn first_run(mapping: Ref<Mapping>, record: &Mapping, there: u8) -> Option<Run> {
    let index = indices(there).next()?;
    let step = if record.is_grant() { 1 } else { PAGE_BYTES };
    if !record.is_cluster() {
        let end = record.last().saturating_add(step);
        let count = u16::try_from(record.pages_of(1)).unwrap_or(u16::MAX);
        return Some(Run { mapping, index, count, end });
    }
    let state = state_of(record, index);
    let is_like = |index: &u8| there >> index & 1 != 0 && state_of(record, *index) == state;
    let alike = indices(row(index, CLUSTER.saturating_sub(index))).take_while(is_like);
    let (last, count) =
        alike.fold((index, 0_u16), |(_, count), index| (index, count.saturating_add(1)));
    let end = record.vaddr_of(last).saturating_add(step);
    Some(Run { mapping, index, count, end })
}

fn state_of(record: &Mapping, index: u8) -> MappingState {
    let asked = record.asked();
    let mut state = MappingState::empty();
    for (flag, of) in [
        (MapFlags::READ, MappingState::READ),
        (MapFlags::WRITE, MappingState::WRITE),
        (MapFlags::FORCE_WRITE, MappingState::FORCE_WRITE),
        (MapFlags::EXECUTE, MappingState::EXECUTE),
        (MapFlags::FORCE_READ, MappingState::FORCE_READ),
    ] {
        state.set(of, asked.contains(flag));
    }
    let index = if record.is_cluster() { index } else { 0 };
    let installed = record.installed(index);
    state.set(MappingState::INSTALLED, installed != Installed::No);
    state.set(MappingState::WRITABLE, installed == Installed::ReadWrite);
    state.set(MappingState::LARGE, record.is_large());
    state
}
