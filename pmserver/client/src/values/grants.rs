// SPDX-License-Identifier: BSD-2-Clause
//! Capabilities to frames in the program's own CSpace.

use core::fmt;

use pmserver_api::{Granted, MapFlags, PmError};
use proto::Transport;

use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused, Span};

impl<T: Transport> Release for Named<'_, T, Granted> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let Granted { address, count, .. } = self.name;
        let grants = Span::any(Operation::Ungrant, &(0..count))?;
        let taken = self.pm.sweep(Operation::Ungrant, grants, |calls, index, count| {
            calls.ungrant(address.checked_add(index.get()).ok_or(PmError::Invalid)?, count)
        });
        taken.map(drop)
    }
}

/// Capabilities to frames, at consecutive addresses of the program's own CSpace
/// ([`ContainerRef::grant`](crate::ContainerRef::grant)). Dropping it gives them back.
///
/// pmserver revokes capabilities by itself, and unmaps what was mapped by them, when the container
/// is unshared, locked by another peer or destroyed, and when the frames are deallocated, renewed
/// or copied to (PM-212). New grants may then get the same addresses: drop revoked grants before
/// asking for new ones.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// use pmserver_client::{MapFlags, VirtAddr};
///
/// let container = pm.account().create_container()?;
/// container.allocate(0..4)?;
/// // Page tables for the pages at which the program will map them, charged to its account.
/// pm.ensure_tables(VirtAddr::new_page(0x1000_0000).unwrap(), 4)?;
/// let grants = container.grant(0..4, MapFlags::WRITE)?;
/// assert_eq!(grants.count(), 4);
/// let first = grants.address(0).unwrap();
/// assert_eq!(grants.address(3), Some(first + 3));
/// grants.ungrant()?;
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the grants gives them back"]
pub struct Grants<'pm, T: Transport> {
    held: Held<Named<'pm, T, Granted>>,
}

impl<'pm, T: Transport> Grants<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, granted: Granted) -> Self {
        Self { held: Held::new(Named { pm, name: granted }) }
    }

    /// Returns the grants at these addresses, as [`into_raw`](Self::into_raw) returned them.
    pub const fn from_raw(pm: &'pm Pm<T>, granted: Granted) -> Self {
        Self::new(pm, granted)
    }

    /// Returns how many there are: to the first frames of the range, not always to all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.held.name.count
    }

    /// Returns the rights of all of them: fewer than asked for if memory is shared copy-on-write.
    #[must_use]
    pub fn rights(&self) -> MapFlags {
        self.held.name.rights
    }

    /// Returns the address of the capability to the `index`-th frame.
    #[must_use]
    pub fn address(&self, index: u64) -> Option<u64> {
        let Granted { address, count, .. } = self.held.name;
        address.checked_add(index).filter(|_| index < count)
    }

    /// Gives the capabilities back, and unmaps what was mapped by them (operation 32, ungrant;
    /// PM-212).
    ///
    /// # Errors
    /// `Kernel` if the kernel refuses.
    pub fn ungrant(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Forgets the capabilities without giving them back.
    pub fn into_raw(self) -> Granted {
        self.held.leak().name
    }
}

impl<T: Transport> fmt::Debug for Grants<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Grants", &self.held.name)
    }
}
