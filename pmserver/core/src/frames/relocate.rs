// SPDX-License-Identifier: BSD-2-Clause
//! Moving contents to another page (R2).

use proto::limits::MOVE_HOLDERS_MAX;

use crate::frames::FrameManager;
use crate::frames::binding::Sharers;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::frame::{FrameMarks, FramesOfPage};
use crate::records::page::PageUse;

impl<K: Kernel> FrameManager<K> {
    /// Returns whether a page is free or can be made free by moving its contents.
    pub(crate) fn is_movable(&self, page: PageIndex) -> bool {
        if self.store.free_use(page).is_some() {
            return true;
        }
        let entry = self.store.entry(page);
        if !entry.is(PageUse::Frame) || entry.is_pinned() || entry.holders() > MOVE_HOLDERS_MAX {
            return false;
        }
        let mut holders = self.store.chain::<FramesOfPage>(entry.first_frame());
        !holders.any(|frame| self.store.get(frame).has(FrameMarks::CONTIGUOUS))
    }

    /// Moves the contents of a page to another page, which frees the page.
    pub(crate) fn relocate(&mut self, page: PageIndex) -> Result<(), KernelError> {
        self.forget_holders(page, &Sharers::new())?;
        let other = self.copied_page(page)?;
        // The reference keeps the new page until all frames are on it.
        self.add_page_reference(Some(other));
        let mut result = Ok(());
        while let Some(frame) = self.store.entry(page).first_frame().target() {
            result = self.rebind(frame, Some(other));
            // The page is free when its last frame has left it, and may be reused at once.
            if result.is_err() || !self.store.entry(page).is(PageUse::Frame) {
                break;
            }
        }
        self.drop_page_reference(Some(other));
        result
    }
}
