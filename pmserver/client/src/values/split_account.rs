// SPDX-License-Identifier: BSD-2-Clause
//! Accounts that the caller has split off, and accounts that it lends.

use core::fmt;
use core::ops::Deref;

use pmserver_api::{AccountHandle, AccountRights, LimitFlags};
use proto::{PeerId, Transport};

use super::account::Account;
use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused};

impl<'pm, T: Transport> Account<'pm, T> {
    /// Splits an account off this one that may use `limit_pages` pages (operation 34,
    /// account_split; PM-230): [`split_with`](Self::split_with) without flags.
    ///
    /// # Errors
    /// As [`split_with`](Self::split_with).
    pub fn split(&self, limit_pages: u32) -> Result<SplitAccount<'pm, T>, Error> {
        self.split_with(limit_pages, LimitFlags::empty())
    }

    /// Splits an account off this one (operation 34, account_split). Its limit is reserved for it
    /// as long as it exists (PM-230), and every charge to it is also a charge to this account
    /// (PM-231). EXTRA allows it extra frames. The caller has all rights to it. Needs ALLOCATE.
    ///
    /// # Errors
    /// `QuotaExceeded` for more than this account has left; `NotEligible`; `NoRight`.
    pub fn split_with(
        &self,
        limit_pages: u32,
        flags: LimitFlags,
    ) -> Result<SplitAccount<'pm, T>, Error> {
        let handle = self.pm.call(Operation::AccountSplit, |calls| {
            calls.account_split(self.handle, limit_pages, flags)
        })?;
        Ok(SplitAccount::from_raw(self.pm, handle.raw()))
    }

    /// Allows a peer to use the account with these rights (operation 38, account_lend; PM-245). The
    /// caller then sends it [`LentAccount::raw`]. Only for an account that the caller has split
    /// off.
    ///
    /// # Errors
    /// `TooMany` beyond 16 peers; `NoRight`, `Invalid`.
    pub fn lend(&self, peer: PeerId, rights: AccountRights) -> Result<LentAccount<'pm, T>, Error> {
        let handle = self
            .pm
            .call(Operation::AccountLend, |calls| calls.account_lend(self.handle, peer, rights))?;
        Ok(LentAccount::from_raw(self.pm, handle.raw()))
    }
}

/// An account that the caller has split off another ([`Account::split`]). Dropping it destroys it,
/// with all that it pays for. Its operations are in [`Account`].
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let (pm, fs) = (
/// #     pmserver_client::Pm::new(testbed.channel(1)),
/// #     pmserver_client::Pm::new(testbed.channel(2)),
/// # );
/// use pmserver_client::{Account, AccountRights, PmError};
///
/// let before = pm.account().info()?;
/// let account = pm.account().split(100)?;
/// let lent = account.lend(fs.whoami()?.peer, AccountRights::ALLOCATE)?;
///
/// // In the peer, which was given the number: the account pays for what the peer makes.
/// let container = Account::from_raw(&fs, lent.raw()).create_container()?;
/// container.allocate(0..50)?;
/// assert!(container.allocate(50..100).unwrap_err().is(PmError::QuotaExceeded));
///
/// // Destroying the account frees all of that, whoever has made it.
/// account.destroy()?;
/// assert!(container.allocate(50..51).unwrap_err().is(PmError::InvalidCap));
/// assert_eq!(pm.account().info()?, before);
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the account destroys it"]
pub struct SplitAccount<'pm, T: Transport> {
    held: Held<Account<'pm, T>>,
}

impl<'pm, T: Transport> SplitAccount<'pm, T> {
    /// Returns the account of this number, as [`into_raw`](Self::into_raw) returned it.
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64) -> Self {
        Self { held: Held::new(Account::from_raw(pm, number)) }
    }

    /// Forgets the account without destroying it, and returns its number. It ends with the account
    /// that it was split off.
    pub fn into_raw(self) -> u64 {
        self.held.leak().raw()
    }

    /// Destroys the account, and those below it, with all that they pay for (operation 35,
    /// account_destroy; PM-235): containers with their frames, shares and leases, page tables and
    /// mappings, accounts. After success the account that it was split off may use the reserved
    /// limit itself.
    ///
    /// # Errors
    /// `Pending` with the deadline while a lease keeps something; all else is freed (PM-236).
    /// Dropping it is enough: pmserver frees the rest in later calls of [`Pm::reclaim`].
    pub fn destroy(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Destroys the account as soon as the leases that keep something have ended: after one second
    /// at most, and at once if there are none. Waits as [`Pm::wait_until`] does.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy), but for `Pending`.
    pub fn destroy_waiting(self) -> Result<(), Refused<Self>> {
        self.held.release_waiting().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Removes the account, and transfers its charges to the one that it was split off (operation
    /// 36, account_remove; PM-237). Containers keep their owners.
    ///
    /// # Errors
    /// `InvalidCap` if it no longer exists.
    pub fn remove(self) -> Result<(), Refused<Self>> {
        match self.held.remove() {
            Ok(()) => {
                self.held.leak();
                Ok(())
            }
            Err(error) => Err(Refused { error, value: self }),
        }
    }
}

impl<'pm, T: Transport> Deref for SplitAccount<'pm, T> {
    type Target = Account<'pm, T>;

    fn deref(&self) -> &Account<'pm, T> {
        &self.held
    }
}

impl<T: Transport> fmt::Debug for SplitAccount<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "SplitAccount", &self.raw())
    }
}

/// A peer's handle to an account of the caller's.
#[derive(Clone, Copy)]
struct Lent(AccountHandle);

impl<T: Transport> Release for Named<'_, T, Lent> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let Lent(handle) = self.name;
        self.pm.call(Operation::AccountRecall, |calls| calls.account_recall(handle))
    }
}

/// An account that a peer may use ([`Account::lend`]), for the one who lends it.
/// Dropping it recalls it.
#[must_use = "dropping the lent account recalls it"]
pub struct LentAccount<'pm, T: Transport> {
    held: Held<Named<'pm, T, Lent>>,
}

impl<'pm, T: Transport> LentAccount<'pm, T> {
    /// Returns the lent account of this number, as [`into_raw`](Self::into_raw) returned it.
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64) -> Self {
        let name = Lent(AccountHandle::from_raw(number));
        Self { held: Held::new(Named { pm, name }) }
    }

    /// Returns the number to send to the peer, for its [`Account::from_raw`].
    #[must_use]
    pub fn raw(&self) -> u64 {
        let Lent(handle) = self.held.name;
        handle.raw()
    }

    /// Ends the peer's use of the account; what the peer has made stays (operation 39,
    /// account_recall; PM-246).
    ///
    /// # Errors
    /// `InvalidCap` if it has ended already, with the account.
    pub fn recall(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Forgets it without recalling it: it ends with the account. Returns the number.
    pub fn into_raw(self) -> u64 {
        let Lent(handle) = self.held.leak().name;
        handle.raw()
    }
}

impl<T: Transport> fmt::Debug for LentAccount<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "LentAccount", &self.raw())
    }
}
