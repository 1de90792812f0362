// SPDX-License-Identifier: BSD-2-Clause
//! Memory of the program's own that is there for as long as its account.

use pmserver_api::MapFlags;
use proto::Transport;

use crate::connection::Pm;
use crate::terms::{Error, Pages};

/// Memory for the program's allocator ([`Pm::reserve_heap`]). Holding one proves that its pages are
/// mapped for writing, that they show frames of the program's own container, which is never shared,
/// and that no allocator has them yet.
#[derive(Debug, PartialEq, Eq)]
pub struct HeapMemory(Pages);

impl HeapMemory {
    /// Returns the pages.
    #[must_use]
    pub const fn pages(&self) -> Pages {
        self.0
    }
}

impl<T: Transport> Pm<T> {
    /// Makes a container in the caller's own account and maps all of it at these pages, for the
    /// program's allocator.
    ///
    /// All frames have memory when this returns (PM-87): if the pool has too little, that is an
    /// error here, not a fault later at some store. The heap ends with the caller's account; a
    /// domain that recovers from a fault still has it.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # let pm = pmserver_client::Pm::new(testbed.channel(1));
    /// # let mut memory = testbed.memory(1);
    /// use pmserver_client::{Pages, VirtAddr};
    ///
    /// const HEAP: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 300).unwrap();
    ///
    /// pm.reserve_heap(HEAP)?;
    /// HEAP.copy_out(&mut memory, b"mine", HEAP.bytes() - 4)?;
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Container::allocate`](crate::Container::allocate) and
    /// [`ContainerRef::map`](crate::ContainerRef::map); nothing is left then.
    pub fn reserve_heap(&self, pages: Pages) -> Result<HeapMemory, Error> {
        let frames = 0..pages.count();
        let container = self.account().create_container()?;
        container.allocate(frames.clone())?;
        let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
        container.map(frames, pages.start(), flags)?.into_pages();
        container.into_raw();
        Ok(HeapMemory(pages))
    }
}
