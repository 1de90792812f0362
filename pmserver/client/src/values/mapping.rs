// SPDX-License-Identifier: BSD-2-Clause
//! Mappings, and regions whose pages are mapped when they are touched.

use core::fmt;
use core::ops::Deref;

use pmserver_api::{MapFlags, PmError};
use proto::Transport;

use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Pages, Refused, Run, Runs, Span, page};

impl<T: Transport> Release for Named<'_, T, Pages> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        self.pm.unmap(self.name.start(), self.name.count()).map(drop)
    }
}

/// Frames that are mapped in the program's own address space
/// ([`ContainerRef::map`](crate::ContainerRef::map)). Dropping it unmaps. It dereferences to its
/// [`Pages`], which copy bytes.
///
/// It does not borrow the container: the owner may unshare, destroy or empty that at any time, and
/// then the pages are unmapped although this value exists. Map nothing else at these pages as long
/// as the value exists: dropping it would unmap that.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// # let mut memory = testbed.memory(1);
/// use pmserver_client::{MapFlags, VirtAddr};
///
/// const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
///
/// let container = pm.account().create_container()?;
/// container.allocate(0..1000)?;
/// let mapping = container.map(0..1000, WINDOW, MapFlags::WRITE)?;
/// assert_eq!(mapping.count(), 1000);
///
/// mapping.copy_out(&mut memory, b"far in", 900 * 4096)?;
/// let mut bytes = [0; 6];
/// mapping.copy_in(&memory, 900 * 4096, &mut bytes)?;
/// assert_eq!(&bytes, b"far in");
///
/// mapping.unmap()?;
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the mapping unmaps"]
pub struct Mapping<'pm, T: Transport> {
    held: Held<Named<'pm, T, Pages>>,
    runs: Runs,
}

impl<'pm, T: Transport> Mapping<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, pages: Pages, runs: Runs) -> Self {
        Self { held: Held::new(Named { pm, name: pages }), runs }
    }

    /// Returns the mapping of these pages, as [`into_pages`](Self::into_pages) returned them, with
    /// the rights that they were given.
    pub fn from_pages(pm: &'pm Pm<T>, pages: Pages, rights: MapFlags) -> Self {
        let mut runs = Runs::default();
        runs.push(Run { pages: pages.count(), rights });
        Self::new(pm, pages, runs)
    }

    /// Returns the pages.
    #[must_use]
    pub fn pages(&self) -> Pages {
        self.held.name
    }

    /// Returns the rights that all pages were given: fewer than asked for if memory is shared
    /// copy-on-write and not yet written to (PM-86). Leases of other peers may suspend the mapping.
    #[must_use]
    pub fn rights(&self) -> MapFlags {
        self.runs.rights()
    }

    /// Returns the rights of each page, in runs of pages with the same rights. If there are more
    /// than six runs, the last ones are returned as one, with the rights that all of them have.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.iter()
    }

    /// Maps suspended pages again, with these rights and under the same conditions as `map`
    /// (operation 20, remap; PM-140). Not needed for pages that are touched, as pmserver maps them
    /// again then (PM-124): it is for other rights, and to learn whether it is possible.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # let pm = pmserver_client::Pm::new(testbed.channel(1));
    /// # use pmserver_client::{CopyFlags, MapFlags, VirtAddr};
    /// # let window = VirtAddr::new_page(0x1000_0000).unwrap();
    /// # let container = pm.account().create_container()?;
    /// # container.allocate(0..2)?;
    /// # container.map(0..2, window, MapFlags::WRITE | MapFlags::FORCE_WRITE)?.unmap()?;
    /// # container.copy_with(1..2, &container, 7, CopyFlags::NEW)?;
    /// // Frame 1 shares its memory with a copy.
    /// let mut mapping = container.map(0..2, window, MapFlags::WRITE)?;
    /// assert_eq!(mapping.rights(), MapFlags::READ);
    /// mapping.remap(MapFlags::WRITE | MapFlags::FORCE_WRITE)?;
    /// assert!(mapping.rights().contains(MapFlags::WRITE));
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for `map`, with how many pages are done. [`rights`](Self::rights) are none for the
    /// others.
    pub fn remap(&mut self, flags: MapFlags) -> Result<(), Error> {
        let pages = self.held.name;
        let span = Span::first(pages.count());
        let (mut runs, stopped) =
            self.held.pm.in_runs(Operation::Remap, span, |calls, done, (_, count)| {
                calls.remap(page(pages.start(), done).ok_or(PmError::Invalid)?, count, flags)
            });
        let left = pages.count().saturating_sub(runs.pages());
        runs.push(Run { pages: left, rights: MapFlags::empty() });
        self.runs = runs;
        stopped.map_or(Ok(()), Err)
    }

    /// Unmaps the pages (operation 13, unmap; PM-90).
    ///
    /// # Errors
    /// `Kernel` if the kernel refuses.
    #[allow(clippy::result_large_err)] // The value that is returned holds its runs.
    pub fn unmap(self) -> Result<(), Refused<Self>> {
        let Self { held, runs } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, runs }))
    }

    /// Forgets the mapping without unmapping it, and returns its pages. [`Pm::unmap`] and
    /// [`from_pages`](Self::from_pages) can unmap them later.
    pub fn into_pages(self) -> Pages {
        self.held.leak().name
    }
}

impl<T: Transport> Deref for Mapping<'_, T> {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        &self.held.name
    }
}

impl<T: Transport> fmt::Debug for Mapping<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Mapping", &self.held.name)
    }
}

/// The pages of a region.
#[derive(Clone, Copy)]
struct Attached(Pages);

impl<T: Transport> Release for Named<'_, T, Attached> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let Attached(pages) = self.name;
        self.pm.call(Operation::Detach, |calls| calls.detach(pages.start()))
    }
}

/// Pages that pmserver maps when they are touched
/// ([`ContainerRef::attach`](crate::ContainerRef::attach)). Dropping it detaches. It dereferences
/// to its [`Pages`], which copy bytes.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// # let mut memory = testbed.memory(1);
/// # use pmserver_client::{MapFlags, VirtAddr};
/// # let window = VirtAddr::new_page(0x1000_0000).unwrap();
/// let container = pm.account().create_container()?;
/// let region = container.attach(0..100_000, window, MapFlags::WRITE)?;
/// // A frame must exist when its page is touched, not earlier.
/// container.allocate(99_999..100_000)?;
/// region.copy_out(&mut memory, b"!", region.bytes() - 1)?;
/// region.detach()?;
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the region detaches"]
pub struct Region<'pm, T: Transport> {
    held: Held<Named<'pm, T, Attached>>,
}

impl<'pm, T: Transport> Region<'pm, T> {
    /// Returns the region that is attached at these pages, as [`into_pages`](Self::into_pages)
    /// returned them.
    pub const fn from_pages(pm: &'pm Pm<T>, pages: Pages) -> Self {
        Self { held: Held::new(Named { pm, name: Attached(pages) }) }
    }

    /// Returns the pages.
    #[must_use]
    pub fn pages(&self) -> Pages {
        **self
    }

    /// Ends the region and unmaps what is mapped in it (operation 30, detach; PM-202).
    ///
    /// # Errors
    /// `NotFound` if it has ended with the account of the VSpace; `Kernel` if the kernel refuses.
    pub fn detach(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Forgets the region without ending it, and returns its pages.
    pub fn into_pages(self) -> Pages {
        let Attached(pages) = self.held.leak().name;
        pages
    }
}

impl<T: Transport> Deref for Region<'_, T> {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        let Attached(pages) = &self.held.name;
        pages
    }
}

impl<T: Transport> fmt::Debug for Region<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Region", &self.pages())
    }
}
