// SPDX-License-Identifier: BSD-2-Clause
//! Pages of the program's own address space, and the bytes in them.

use pmserver_api::{MapFlags, Mapped, MappedRun};
use proto::{AddressSpace, PAGE_BYTES, VirtAddr};

use super::error::Error;
use super::operation::Operation;

/// Consecutive pages of the program's own address space. Holding one proves that all of them lie in
/// user space; not that anything is mapped there.
///
/// Bytes go in and out by copy, through the [`AddressSpace`] of the program: no reference to memory
/// exists that another domain could change or pmserver could unmap. An access to a page where
/// nothing is mapped is a page fault of the program, as through a pointer (PM-121). If pmserver has
/// only suspended the mapping, the access succeeds, and the program does not notice (PM-124).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    start: VirtAddr,
    count: u64,
}

impl Pages {
    /// Returns `count` pages from `start` on; nothing if `count` is 0, `start` is not on a page
    /// boundary, or the pages end above user space.
    #[must_use]
    pub const fn new(start: VirtAddr, count: u64) -> Option<Self> {
        let Some(bytes) = count.checked_mul(PAGE_BYTES) else { return None };
        let Some(last) = bytes.checked_sub(1) else { return None };
        match (VirtAddr::new_page(start.get()), start.checked_add(last)) {
            (Some(start), Some(_)) => Some(Self { start, count }),
            _ => None,
        }
    }

    /// Returns the address of the first byte.
    #[must_use]
    pub const fn start(&self) -> VirtAddr {
        self.start
    }

    /// Returns how many pages there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.count.saturating_mul(PAGE_BYTES)
    }

    /// Copies bytes out of the pages, from `offset` on, into private memory.
    ///
    /// # Errors
    /// `Invalid` if they are not all in the pages: then none is copied.
    pub fn copy_in(
        &self,
        space: &impl AddressSpace,
        offset: u64,
        to: &mut [u8],
    ) -> Result<(), Error> {
        space.copy_in(self.within(Operation::CopyIn, offset, to.len())?, to);
        Ok(())
    }

    /// Copies private bytes into the pages, from `offset` on.
    ///
    /// # Errors
    /// `Invalid` if they do not all fit into the pages: then none is copied.
    pub fn copy_out(
        &self,
        space: &mut impl AddressSpace,
        from: &[u8],
        offset: u64,
    ) -> Result<(), Error> {
        space.copy_out(from, self.within(Operation::CopyOut, offset, from.len())?);
        Ok(())
    }

    /// Copies `bytes` bytes from another place of the address space into the pages, from `offset`
    /// on, without a private copy on the way: from one window on memory of others to another.
    ///
    /// # Errors
    /// As [`Self::copy_out`].
    pub fn copy_across(
        &self,
        space: &mut impl AddressSpace,
        (from, bytes): (VirtAddr, usize),
        offset: u64,
    ) -> Result<(), Error> {
        space.copy_across(from, self.within(Operation::CopyOut, offset, bytes)?, bytes);
        Ok(())
    }

    /// Returns the address of `length` bytes that all lie in the pages.
    fn within(&self, operation: Operation, offset: u64, length: usize) -> Result<VirtAddr, Error> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes());
        // No byte, at the end of the last page of user space, has no address.
        let address = end.and_then(|_| self.start.checked_add(offset));
        address.ok_or(Error::invalid(operation))
    }
}

/// The most runs that a mapping keeps apart: as many as one reply of pmserver has.
const RUNS_MAX: usize = 6;

/// Consecutive pages with the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Run {
    /// How many pages.
    pub pages: u64,
    /// The rights that they were given.
    pub rights: MapFlags,
}

/// The rights of consecutive pages, in runs. If there are more runs than fit, the last one is all
/// the rest, with the rights that all pages of the rest have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Runs {
    runs: [Run; RUNS_MAX],
}

impl Runs {
    pub(crate) fn push(&mut self, next: Run) {
        if next.pages == 0 {
            return;
        }
        let used = self.iter().count();
        match used.checked_sub(1).and_then(|last| self.runs.get_mut(last)) {
            Some(last) if used == RUNS_MAX || last.rights == next.rights => {
                last.pages = last.pages.saturating_add(next.pages);
                last.rights &= next.rights;
            }
            _ => {
                if let Some(free) = self.runs.get_mut(used) {
                    *free = next;
                }
            }
        }
    }

    /// Adds what one call mapped.
    pub(crate) fn push_all(&mut self, mapped: &Mapped) {
        for MappedRun { count, rights } in mapped.runs() {
            self.push(Run { pages: count.into(), rights });
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs.into_iter().take_while(|run| run.pages > 0)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.iter().fold(0, |sum, run| sum.saturating_add(run.pages))
    }

    /// Returns the rights that all pages have.
    pub(crate) fn rights(&self) -> MapFlags {
        self.iter().fold(MapFlags::all(), |rights, run| rights & run.rights)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::Cell;
    use std::vec::Vec;

    use super::*;

    /// Notes where bytes were copied, and copies none.
    #[derive(Default)]
    struct Noted(Cell<Option<(u64, usize)>>);

    impl AddressSpace for Noted {
        fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
            self.0.set(Some((from.get(), to.len())));
        }

        fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
            self.0.set(Some((to.get(), from.len())));
        }

        fn relax(&mut self) {}
    }

    fn start() -> VirtAddr {
        VirtAddr::new(0x10_0000).unwrap()
    }

    #[test]
    fn bytes_are_copied_within_the_pages_alone() {
        let pages = Pages::new(start(), 2).unwrap();
        let mut space = Noted::default();
        let mut buffer = [0; 16];
        assert_eq!(pages.copy_in(&space, 8176, &mut buffer), Ok(()));
        assert_eq!(space.0.take(), Some((0x10_1FF0, 16)));
        assert_eq!(pages.copy_out(&mut space, &buffer, 0), Ok(()));
        assert_eq!(space.0.take(), Some((0x10_0000, 16)));
        assert_eq!(pages.copy_across(&mut space, (start(), 300), 4096), Ok(()));
        assert_eq!(space.0.take(), Some((0x10_1100, 44)), "the last part of them");
        for offset in [8177, 8192, u64::MAX - 15, u64::MAX] {
            let invalid = Error::invalid(Operation::CopyIn);
            assert_eq!(pages.copy_in(&space, offset, &mut buffer), Err(invalid));
            let invalid = Error::invalid(Operation::CopyOut);
            assert_eq!(pages.copy_out(&mut space, &buffer, offset), Err(invalid));
            assert_eq!(pages.copy_across(&mut space, (start(), 16), offset), Err(invalid));
        }
        assert_eq!(space.0.take(), None, "nothing is copied that does not fit");
    }

    #[test]
    fn pages_lie_in_user_space() {
        let top = VirtAddr::new_page((1 << 47) - 4096).unwrap();
        assert!(Pages::new(top, 1).is_some());
        assert!(Pages::new(top, 2).is_none());
        assert!(Pages::new(start(), 0).is_none());
        assert!(Pages::new(start(), u64::MAX).is_none());
        assert!(Pages::new(VirtAddr::new(0x10_0001).unwrap(), 1).is_none());
    }

    #[test]
    fn more_runs_than_fit_are_told_as_less_than_they_are() {
        let mut runs = Runs::default();
        let (read, write) = (MapFlags::READ, MapFlags::READ | MapFlags::WRITE);
        for _ in 0..2 {
            runs.push(Run { pages: 70_000, rights: write });
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [Run { pages: 140_000, rights: write }]);
        for _ in 0..4 {
            runs.push(Run { pages: 1, rights: read });
            runs.push(Run { pages: 1, rights: write });
        }
        assert_eq!(runs.iter().count(), RUNS_MAX);
        assert_eq!(runs.pages(), 140_008);
        assert_eq!(runs.iter().last(), Some(Run { pages: 4, rights: read }));
        runs.push(Run { pages: 0, rights: MapFlags::empty() });
        assert_eq!(runs.rights(), read);
    }
}
