// SPDX-License-Identifier: BSD-2-Clause
//! Shares, for the owner of the container.

use core::fmt;

use pmserver_api::{ContainerHandle, ShareHandle, Shared};
use proto::Transport;

use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused};

impl<T: Transport> Release for Named<'_, T, ShareHandle> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        self.pm.call(Operation::Unshare, |calls| calls.unshare(self.name))
    }
}

/// A range of a container that is lent to a peer ([`Container::share`](crate::Container::share)).
/// Dropping it unshares.
///
/// If the peer holds a lease, dropping does not end the share, as a destructor cannot wait: no
/// further lease is granted, but what the peer has mapped stays mapped until the range is unshared
/// or the container is destroyed. To be sure, call [`unshare`](Self::unshare) or
/// [`unshare_waiting`](Self::unshare_waiting), and trust the contents only after that.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let (pm, fs) = (
/// #     pmserver_client::Pm::new(testbed.channel(1)),
/// #     pmserver_client::Pm::new(testbed.channel(2)),
/// # );
/// use pmserver_client::{LockMode, Micros, PmError, Rights, ShareTerms, WeakContainer};
///
/// let container = pm.account().create_container()?;
/// let server = fs.whoami()?.peer;
/// let lease_max = Micros::new(5000);
/// let terms = ShareTerms { peer: server, rights: Rights::all(), lease_max, once: false };
/// let share = container.share(.., terms)?;
///
/// // In the server, which was given the number:
/// let weak = WeakContainer::from_raw(&fs, share.weak());
/// let lease = weak.lock(0..16, LockMode::Exclusive, Micros::new(5000))?;
///
/// // In the owner: refused with the deadline, and the share is still there …
/// let refused = share.unshare().unwrap_err();
/// assert!(refused.error.is(PmError::Locked));
/// assert_eq!(refused.error.deadline(), Some(lease.deadline()));
/// // … but not for long: no further lease is granted.
/// refused.value.unshare_waiting()?;
/// assert!(weak.lock(0..16, LockMode::Read, lease_max).unwrap_err().is(PmError::InvalidCap));
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the share takes it back"]
pub struct Share<'pm, T: Transport> {
    held: Held<Named<'pm, T, ShareHandle>>,
    weak: u64,
}

impl<'pm, T: Transport> Share<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, shared: Shared) -> Self {
        Self::from_raw(pm, shared.share.raw(), shared.weak.raw())
    }

    /// Returns the share of this number, with the number of its weak handle: both as
    /// [`into_raw`](Self::into_raw) returned them.
    pub const fn from_raw(pm: &'pm Pm<T>, share: u64, weak: u64) -> Self {
        Self { held: Held::new(Named { pm, name: ShareHandle::from_raw(share) }), weak }
    }

    pub(crate) fn pm(&self) -> &'pm Pm<T> {
        self.held.pm
    }

    pub(crate) fn handle(&self) -> ShareHandle {
        self.held.name
    }

    /// Returns the number of the weak handle, which the owner sends to the peer. For anyone else it
    /// names nothing (PM-5).
    #[must_use]
    pub const fn weak(&self) -> u64 {
        self.weak
    }

    /// Returns the weak handle itself, for interfaces that pass it on by its type, such as
    /// fsserver's.
    #[must_use]
    pub const fn weak_handle(&self) -> ContainerHandle {
        ContainerHandle::from_raw(self.weak)
    }

    /// Takes the range back (operation 9, unshare). After success the peer has no access through
    /// this share any more, and cannot change the contents (PM-60). The peer need not cooperate.
    ///
    /// # Errors
    /// `Locked` with the deadline while the peer holds a lease through the share; no further lease
    /// is granted from now on (PM-61).
    pub fn unshare(self) -> Result<(), Refused<Self>> {
        let Self { held, weak } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, weak }))
    }

    /// Takes the range back as soon as the peer's leases have ended: after one second at most, and
    /// at once if there are none. Waits as [`Pm::wait_until`] does.
    ///
    /// # Errors
    /// As [`unshare`](Self::unshare), but for `Locked`.
    pub fn unshare_waiting(self) -> Result<(), Refused<Self>> {
        let Self { held, weak } = self;
        held.release_waiting().map_err(|refused| refused.map(|held| Self { held, weak }))
    }

    /// Forgets the share without ending it: it ends with the container. Returns its number and that
    /// of the weak handle.
    pub fn into_raw(self) -> (u64, u64) {
        (self.held.leak().name.raw(), self.weak)
    }
}

impl<T: Transport> fmt::Debug for Share<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Share", &self.held.name.raw())
    }
}
