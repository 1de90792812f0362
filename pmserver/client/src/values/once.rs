// SPDX-License-Identifier: BSD-2-Clause
//! Shares that are used once at a time: for the owner, whose bytes can be touched only between the
//! confirmation that they were given back and the next arming, and for the borrower.

use core::fmt;
use core::ops::Deref;

use pmserver_api::{ContainerHandle, LeaseHandle};
use proto::{Micros, Transport};

use super::mapping::Mapping;
use super::share::Share;
use crate::connection::{Held, Named, Patience, Pm, print};
use crate::terms::{Error, Operation, Pages, Refused};

/// A range that the owner has mapped, and has lent to a peer that can only take it, once each time
/// that the owner arms it ([`Container::share_once`](crate::Container::share_once); PM-430).
/// Dropping it unshares and unmaps.
///
/// It is not armed: nobody else has access. So it dereferences to the owner's [`Pages`], which copy
/// bytes. An [`ArmedShare`] does not.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let (pm, fs) = (
/// #     pmserver_client::Pm::new(testbed.channel(1)),
/// #     pmserver_client::Pm::new(testbed.channel(2)),
/// # );
/// # let (memory, mut servers_memory) = (testbed.memory(1), testbed.memory(2));
/// use pmserver_client::{MapFlags, Micros, PmError, Rights, ShareTerms, VirtAddr, WeakContainer};
///
/// const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
///
/// let container = pm.account().create_container()?;
/// container.allocate(0..16)?;
/// let server = fs.whoami()?.peer;
/// let lease_max = Micros::new(5000);
/// let terms = ShareTerms { peer: server, rights: Rights::WRITE, lease_max, once: true };
/// let share = container.share_once(0..16, WINDOW, terms)?;
///
/// let armed = share.arm()?;
/// // In the server, which was given the number:
/// let weak = WeakContainer::from_raw(&fs, armed.weak());
/// let taken = weak.take(0..16, WINDOW, MapFlags::WRITE)?;
/// taken.copy_out(&mut servers_memory, b"data", 0)?;
/// taken.give_back()?;
/// // It cannot take it a second time.
/// assert!(weak.take(0..16, WINDOW, MapFlags::WRITE).unwrap_err().is(PmError::NotArmed));
///
/// // In the owner: its bytes are its own again.
/// let share = armed.confirm()?;
/// let mut bytes = [0; 4];
/// share.copy_in(&memory, 0, &mut bytes)?;
/// assert_eq!(&bytes, b"data");
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the share takes it back"]
pub struct OnceShare<'pm, T: Transport> {
    // Fields are dropped in this order.
    share: Share<'pm, T>,
    mapping: Mapping<'pm, T>,
}

impl<'pm, T: Transport> OnceShare<'pm, T> {
    pub(crate) const fn new(share: Share<'pm, T>, mapping: Mapping<'pm, T>) -> Self {
        Self { share, mapping }
    }

    /// Lets the peer take the range once (operation 51, arm; PM-432).
    ///
    /// # Errors
    /// None that pmserver gives, as long as the container is there.
    #[allow(clippy::result_large_err)] // The value that is returned holds its runs.
    pub fn arm(self) -> Result<ArmedShare<'pm, T>, Refused<Self>> {
        let handle = self.share.handle();
        match self.share.pm().call(Operation::Arm, |calls| calls.arm(handle)) {
            Ok(()) => Ok(ArmedShare { share: self }),
            Err(error) => Err(Refused { error, value: self }),
        }
    }

    /// Returns the number of the weak handle, which the owner sends to the peer.
    #[must_use]
    pub const fn weak(&self) -> u64 {
        self.share.weak()
    }

    /// Returns the weak handle itself.
    #[must_use]
    pub const fn weak_handle(&self) -> ContainerHandle {
        self.share.weak_handle()
    }

    /// Returns the share and the owner's mapping: the share is not armed.
    pub fn into_parts(self) -> (Share<'pm, T>, Mapping<'pm, T>) {
        (self.share, self.mapping)
    }
}

impl<T: Transport> Deref for OnceShare<'_, T> {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        &self.mapping
    }
}

impl<T: Transport> fmt::Debug for OnceShare<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "OnceShare", &self.share.weak())
    }
}

/// A share that its peer may take, has taken, or has given back: nobody knows which before
/// [`confirm`](Self::confirm). Dropping it unshares and unmaps.
#[must_use = "dropping the share takes it back"]
pub struct ArmedShare<'pm, T: Transport> {
    share: OnceShare<'pm, T>,
}

impl<'pm, T: Transport> ArmedShare<'pm, T> {
    /// Makes sure that the peer has no access, and gets none before the range is armed again
    /// (operation 52, disarm; PM-433).
    ///
    /// # Errors
    /// `Locked` with the deadline while it is taken.
    #[allow(clippy::result_large_err)] // The value that is returned holds its runs.
    pub fn confirm(self) -> Result<OnceShare<'pm, T>, Refused<Self>> {
        match self.disarm() {
            Ok(()) => Ok(self.share),
            Err(error) => Err(Refused { error, value: self }),
        }
    }

    /// Does the same, and waits for the deadline while it is taken, as [`Pm::wait_until`] does.
    ///
    /// # Errors
    /// As [`confirm`](Self::confirm), but for `Locked`.
    #[allow(clippy::result_large_err)] // The value that is returned holds its runs.
    pub fn confirm_waiting(self) -> Result<OnceShare<'pm, T>, Refused<Self>> {
        let mut patience = Patience::default();
        loop {
            let Err(error) = self.disarm() else { return Ok(self.share) };
            if let Err(error) = patience.wait(self.share.share.pm(), error) {
                return Err(Refused { error, value: self });
            }
        }
    }

    fn disarm(&self) -> Result<(), Error> {
        let handle = self.share.share.handle();
        self.share.share.pm().call(Operation::Disarm, |calls| calls.disarm(handle).map(drop))
    }

    /// Returns the number of the weak handle, which the owner sends to the peer.
    #[must_use]
    pub const fn weak(&self) -> u64 {
        self.share.weak()
    }

    /// Returns the weak handle itself.
    #[must_use]
    pub const fn weak_handle(&self) -> ContainerHandle {
        self.share.weak_handle()
    }
}

impl<T: Transport> fmt::Debug for ArmedShare<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "ArmedShare", &self.weak())
    }
}

/// Frames of an armed share that are locked and mapped for its borrower
/// ([`WeakContainer::take`](crate::WeakContainer::take)). Dropping it gives them back. It
/// dereferences to its [`Pages`], which copy bytes.
///
/// At the deadline it ends by itself: the pages are unmapped then, and an access to them faults.
#[must_use = "dropping it gives the frames back"]
pub struct Taken<'pm, T: Transport> {
    held: Held<Named<'pm, T, LeaseHandle>>,
    pages: Pages,
    deadline: Micros,
}

impl<'pm, T: Transport> Taken<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, lease: pmserver_api::Lease, pages: Pages) -> Self {
        let held = Held::new(Named { pm, name: lease.lease });
        Self { held, pages, deadline: lease.deadline }
    }

    /// Returns when it ends by itself.
    #[must_use]
    pub const fn deadline(&self) -> Micros {
        self.deadline
    }

    /// Returns the pages.
    #[must_use]
    pub const fn pages(&self) -> Pages {
        self.pages
    }

    /// Unmaps the frames, and ends the lease (operation 11, unlock; PM-436).
    ///
    /// # Errors
    /// `InvalidCap` if it has ended already: they are unmapped then, too. `Kernel` if the kernel
    /// refuses.
    pub fn give_back(self) -> Result<(), Refused<Self>> {
        let Self { held, pages, deadline } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, pages, deadline }))
    }
}

impl<T: Transport> Deref for Taken<'_, T> {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        &self.pages
    }
}

impl<T: Transport> fmt::Debug for Taken<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Taken", &self.held.name.raw())
    }
}
