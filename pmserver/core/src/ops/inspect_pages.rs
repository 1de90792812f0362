// SPDX-License-Identifier: BSD-2-Clause
//! inspect: the pages of the pool, by what they are used as.

use pmserver_api::{BookRow, PageMarks, PageState, PagesRow, RecordId, Row};
use proto::limits::INSPECT_PAGES_MAX;

use super::inspect::{id_of, link_id};
use crate::kernel::{BLOCK_PAGES, Kernel, PIECE_PAGES, PageIndex};
use crate::ops::Operations;
use crate::records::page::{PageEntry, PageUse};

/// What a row calls the uses of pages. `InBlock` is none of them: it is a use of the block.
const STATES: [(PageState, &[PageUse]); 11] = [
    (PageState::Reserved, &[PageUse::Reserved]),
    (PageState::Untyped, &[PageUse::Untyped, PageUse::Block, PageUse::Piece]),
    (PageState::Clean, &[PageUse::Clean, PageUse::PartClean]),
    (
        PageState::Dirty,
        &[PageUse::Dirty, PageUse::LargeDirty, PageUse::PieceDirty, PageUse::PartDirty],
    ),
    (PageState::EmptyNode, &[PageUse::EmptyNode]),
    (PageState::Records, &[PageUse::Records]),
    (PageState::Table, &[PageUse::Table]),
    (PageState::Slots, &[PageUse::Slots]),
    (PageState::Frame, &[PageUse::Frame, PageUse::Run, PageUse::InRun, PageUse::Copied]),
    (PageState::Large, &[PageUse::Large]),
    (PageState::Quarantine, &[PageUse::Quarantine, PageUse::LargeQuarantine]),
];

impl<K: Kernel> Operations<K> {
    /// Returns the pages from a number on that are used in one way. The cursor is the number of the
    /// page behind them.
    pub(super) fn inspect_pages(&self, cursor: u64, part: u8) -> Option<Row> {
        let end = self.store.page_count();
        let start = u32::try_from(cursor).ok().filter(|start| *start <= end)?;
        if start == end {
            return Some(Row::END);
        }
        let mut row = self.pages_at(start);
        for _ in 1..INSPECT_PAGES_MAX {
            let next = start.saturating_add(row.pages);
            if next >= end || self.store.meter().begin_frame(0).is_err() {
                break;
            }
            let other = self.pages_at(next);
            if (PagesRow { start, pages: row.pages, ..other }) != row {
                break;
            }
            row.pages = row.pages.saturating_add(other.pages);
        }
        Some(Row { cursor: start.saturating_add(row.pages).into(), words: row.part(part) })
    }

    /// Returns what a page is used as, with those that are used as one with it from there on.
    fn pages_at(&self, start: u32) -> PagesRow {
        let (first, behind) = self.first_of_block(start);
        let entry = self.store.entry(first);
        let is_used_so = |(_, uses): &&(PageState, &[PageUse])| entry.is_one_of(uses);
        // What is in no block was never written to.
        let state = STATES.iter().find(is_used_so).map_or(PageState::Untyped, |(state, _)| *state);
        let pages = entry.pages().saturating_sub(behind).max(1);
        let (mut marks, mut container) = (PageMarks::empty(), None);
        let mut account = None;
        match state {
            PageState::Frame | PageState::Large => {
                (marks, container, account) = self.frame_on(first, entry);
            }
            PageState::Records => account = link_id(self.store.cells_of(first).account),
            PageState::Slots => {
                account = link_id(self.store.get(self.store.slots_of(first)).account);
            }
            _ => {}
        }
        PagesRow { start, pages, state, marks, container, account }
    }

    /// Returns the first page of the block or piece that a page is in, and how far that is before.
    fn first_of_block(&self, start: u32) -> (PageIndex, u32) {
        let entry = |back: u32| self.store.entry(PageIndex::new(start.saturating_sub(back)));
        let back = (0..BLOCK_PAGES.min(start.saturating_add(1)))
            .find(|back| !entry(*back).is(PageUse::InBlock))
            .filter(|back| entry(*back).pages() > *back)
            .unwrap_or(0);
        (PageIndex::new(start.saturating_sub(back)), back)
    }

    /// Returns what holds for the first frame on a page, its container, and who pays for it.
    fn frame_on(
        &self,
        page: PageIndex,
        entry: &PageEntry,
    ) -> (PageMarks, Option<RecordId>, Option<RecordId>) {
        let first = if entry.is(PageUse::InRun) { self.first_of_run(page) } else { page };
        let mut marks = PageMarks::empty();
        marks.set(PageMarks::COW, self.store.is_held_twice(first));
        marks.set(PageMarks::PINNED, entry.is_pinned());
        if entry.is(PageUse::Copied) {
            return (marks, None, None);
        }
        let Some(frame) = self.store.holders(first).first().copied() else {
            return (marks, None, None);
        };
        let Some(container) = self.store.get(frame.record).container.target() else {
            return (marks, None, None);
        };
        marks.set(PageMarks::LENT, self.is_shared(container, self.store.number_of(frame)));
        let account = self.store.payer_of_container(container);
        (marks, Some(id_of(container)), Some(id_of(account)))
    }

    /// Returns the page of a bound run that names its holders.
    fn first_of_run(&self, page: PageIndex) -> PageIndex {
        let mut first = page;
        for _ in 0..PIECE_PAGES {
            let entry = self.store.entry(first);
            if entry.is(PageUse::Run) {
                break;
            }
            first = entry.next_in_run();
        }
        first
    }
}
