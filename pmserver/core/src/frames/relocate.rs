// SPDX-License-Identifier: BSD-2-Clause
//! Moving contents to another page (R2).

use crate::frames::FrameManager;
use crate::frames::binding::Sharers;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::page::PageUse;

impl<K: Kernel> FrameManager<K> {
    /// Returns whether a page is free or can be made free by moving its contents.
    pub(crate) fn is_movable(&self, page: PageIndex) -> bool {
        if self.store.free_use(page).is_some() {
            return true;
        }
        let entry = self.store.entry(page);
        if entry.is_of_run() {
            // It can be taken out.
            return true;
        }
        let stays = entry.is_pinned() || entry.is_joined() || self.store.is_crowded(page);
        if !entry.is(PageUse::Frame) || stays {
            return false;
        }
        !self.store.holders(page).iter().any(|holder| self.is_in_place(*holder))
    }

    /// Moves the contents of a page, which is in no bound run, to another page, which frees it.
    pub(crate) fn relocate(&mut self, page: PageIndex) -> Result<(), KernelError> {
        let none = Sharers::new();
        self.forget_holders(page, &none)?;
        let other = self.copied_page(page)?;
        self.move_holders(page, &none, other)
    }
}
