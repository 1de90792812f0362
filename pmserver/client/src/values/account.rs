// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: who pays.

use core::fmt;
use core::ops::RangeBounds;

use pmserver_api::{
    AccountHandle, AccountInfo, CopyFlags, Created, FrameList, Frames, LimitFlags, ShareTerms,
};
use proto::{FrameNumber, PeerId, Transport};

use super::container::Container;
use super::container_ref::ContainerRef;
use super::share::Share;
use crate::connection::{Pm, Release, print};
use crate::terms::{Error, Operation, Span};

impl<T: Transport> Pm<T> {
    /// Returns the caller's own account.
    pub const fn account(&self) -> Account<'_, T> {
        Account { pm: self, handle: AccountHandle::OWN }
    }

    /// Returns the account of a peer (PM-112), for callers that may read or set it.
    pub fn account_of(&self, peer: PeerId) -> Account<'_, T> {
        Account { pm: self, handle: AccountHandle::of_peer(peer) }
    }

    /// Returns the account of the pool: all memory, and how much of it is free (PM-111).
    pub const fn pool(&self) -> Account<'_, T> {
        Account { pm: self, handle: AccountHandle::POOL }
    }
}

/// An account, and the rights that the caller has to it: its own ([`Pm::account`]), a peer's, the
/// pool's, one that was lent to it ([`from_raw`](Self::from_raw)), or one that it split off
/// ([`SplitAccount`](crate::SplitAccount), whose value destroys the account when it is dropped).
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// let before = pm.account().info()?;
/// let container = pm.account().create_container()?;
/// container.allocate(0..100)?;
/// let info = pm.account().info()?;
/// // Every frame is charged in full from its allocation on, whether it has memory yet or not.
/// assert_eq!(info.frames.get() - before.frames.get(), 100 * 4096);
/// drop(container);
/// assert_eq!(pm.account().info()?, before);
/// # Ok::<(), pmserver_client::Error>(())
/// ```
pub struct Account<'pm, T: Transport> {
    pub(super) pm: &'pm Pm<T>,
    pub(super) handle: AccountHandle,
}

// Not derived: what is copied is the reference, whatever the transport is.
impl<T: Transport> Clone for Account<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Transport> Copy for Account<'_, T> {}

impl<T: Transport> Release for Account<'_, T> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        self.destroy()
    }
}

impl<'pm, T: Transport> Account<'pm, T> {
    /// Returns the account of this number, which the lender has told the caller.
    #[must_use]
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64) -> Self {
        Self { pm, handle: AccountHandle::from_raw(number) }
    }

    /// Returns the number of the handle.
    #[must_use]
    pub const fn raw(&self) -> u64 {
        self.handle.raw()
    }

    /// Returns the limit and the use of the account (operation 15, account_info; PM-110). Needs
    /// READ.
    ///
    /// # Errors
    /// `NoRight`, `InvalidCap`.
    pub fn info(&self) -> Result<AccountInfo, Error> {
        self.pm.call(Operation::AccountInfo, |calls| calls.account_info(self.handle))
    }

    /// Makes an empty container. The account is charged for it and for all frames in it (operation
    /// 4, container_create; PM-20). Needs ALLOCATE.
    ///
    /// # Errors
    /// `QuotaExceeded` for the record; `NoRight`.
    pub fn create_container(&self) -> Result<Container<'pm, T>, Error> {
        let handle = self
            .pm
            .call(Operation::ContainerCreate, |calls| calls.container_create(self.handle))?;
        Ok(Container::from_raw(self.pm, handle.raw()))
    }

    /// Makes a container with frames `0..count` and lends all of them (operation 26, create_with;
    /// PM-170): all or nothing. Needs ALLOCATE.
    ///
    /// More than 256 frames take several calls: create, allocate and share. If one of them is
    /// refused, the container is destroyed again.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # let (pm, fs) = (
    /// #     pmserver_client::Pm::new(testbed.channel(1)),
    /// #     pmserver_client::Pm::new(testbed.channel(2)),
    /// # );
    /// # let mut memory = testbed.memory(1);
    /// # let mut servers_memory = testbed.memory(2);
    /// # use pmserver_client::{MapFlags, Micros, Rights, ShareTerms, VirtAddr, WeakContainer};
    /// # let window = VirtAddr::new_page(0x1000_0000).unwrap();
    /// # let server = fs.whoami()?.peer;
    /// let rights = Rights::READ | Rights::WRITE;
    /// let terms = ShareTerms { peer: server, rights, lease_max: Micros::new(0), once: false };
    /// let (container, share) = pm.account().create_with(16, terms)?;
    /// // The server, which was given `share.weak()`, fills it …
    /// # let weak = WeakContainer::from_raw(&fs, share.weak());
    /// # let filled = weak.map(0..16, window, MapFlags::WRITE)?;
    /// # filled.copy_out(&mut servers_memory, b"from the server", 0)?;
    /// share.unshare()?;
    /// // … and only now does the client look at it.
    /// let mapping = container.map(0..16, window, MapFlags::READ)?;
    /// let mut bytes = [0; 15];
    /// mapping.copy_in(&memory, 0, &mut bytes)?;
    /// assert_eq!(&bytes, b"from the server");
    /// # drop(filled);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for `create_container`, `allocate` and `share`.
    pub fn create_with(
        &self,
        count: u64,
        terms: ShareTerms,
    ) -> Result<(Container<'pm, T>, Share<'pm, T>), Error> {
        let operation = Operation::CreateWith;
        let span = Span::long(operation, &(0..count))?;
        match span.whole() {
            Some((_, count)) => self
                .pm
                .call(operation, |calls| calls.create_with(self.handle, count, terms))
                .map(|created| self.created(created)),
            None => self.build(operation, terms, |container| container.allocate(0..count)),
        }
    }

    /// Makes a container with logical copies of frames of another, numbered from 0 on, and lends
    /// all of them (operation 27, create_from; PM-170): all or nothing. The source may be borrowed
    /// with READ. Needs ALLOCATE.
    ///
    /// More than 256 frames take several calls, as for [`create_with`](Self::create_with).
    ///
    /// # Errors
    /// As for `create_container`, `copy` and `share`.
    pub fn create_from(
        &self,
        source: &ContainerRef<'_, T>,
        frames: impl RangeBounds<u64>,
        terms: ShareTerms,
    ) -> Result<(Container<'pm, T>, Share<'pm, T>), Error> {
        let operation = Operation::CreateFrom;
        let span = Span::long(operation, &frames)?;
        match span.whole() {
            Some((start, count)) => {
                let source = Frames { container: source.handle, start, count };
                self.pm
                    .call(operation, |calls| calls.create_from(self.handle, source, terms))
                    .map(|created| self.created(created))
            }
            None => self.build(operation, terms, |container| {
                source.copy_with(frames, container, 0, CopyFlags::NEW)
            }),
        }
    }

    /// Makes a container with logical copies of listed frames of another, numbered from 0 on, and
    /// lends all of them (operation 28, create_gather; PM-170): all or nothing. At most 13 frames.
    /// Needs ALLOCATE.
    ///
    /// # Errors
    /// As for [`create_from`](Self::create_from); `Invalid` for no frame, or more than 13.
    pub fn create_gather(
        &self,
        source: &ContainerRef<'_, T>,
        frames: &[u64],
        terms: ShareTerms,
    ) -> Result<(Container<'pm, T>, Share<'pm, T>), Error> {
        let operation = Operation::CreateGather;
        let mut numbers = [FrameNumber::new(0); FrameList::MOST];
        for (number, frame) in numbers.iter_mut().zip(frames) {
            *number = FrameNumber::new(*frame);
        }
        let list = numbers.get(..frames.len()).and_then(FrameList::new);
        let list = list.ok_or(Error::invalid(operation))?;
        self.pm
            .call(operation, |calls| calls.create_gather(self.handle, source.handle, list, terms))
            .map(|created| self.created(created))
    }

    fn created(&self, created: Created) -> (Container<'pm, T>, Share<'pm, T>) {
        let container = Container::from_raw(self.pm, created.container.raw());
        (container, Share::new(self.pm, created.shared))
    }

    /// Makes, fills and lends a container in several calls. If one fails, the container is dropped,
    /// which undoes the others.
    fn build(
        &self,
        operation: Operation,
        terms: ShareTerms,
        fill: impl FnOnce(&Container<'pm, T>) -> Result<u64, Error>,
    ) -> Result<(Container<'pm, T>, Share<'pm, T>), Error> {
        let build = || {
            let container = self.create_container()?;
            let count = fill(&container)?;
            let share = container.share(0..count, terms)?;
            Ok((container, share))
        };
        build().map_err(|error: Error| Error { operation, done: 0, ..error })
    }

    /// Sets the limit of the account, and whether it may have extra frames (operation 37,
    /// account_set_limits; PM-240). With EXCESS, which needs the privilege `set_policy`, the limit
    /// may be below what is used: the newest frames then become extra (PM-241). Needs SET.
    ///
    /// # Errors
    /// `QuotaExceeded` for more than the parent has left or less than is used; `NoRight`.
    pub fn set_limits(&self, limit_pages: u32, flags: LimitFlags) -> Result<(), Error> {
        self.pm.call(Operation::AccountSetLimits, |calls| {
            calls.account_set_limits(self.handle, limit_pages, flags)
        })
    }

    /// Charges page tables, slots, mapping records and regions of the caller's VSpace to this
    /// account from now on (operation 40, vspace_account; PM-250). Needs ALLOCATE.
    ///
    /// # Errors
    /// `Occupied` with the first mapping if the VSpace has any of them already.
    pub fn pay_for_vspace(&self) -> Result<(), Error> {
        self.pm.call(Operation::VspaceAccount, |calls| calls.vspace_account(self.handle))
    }

    /// Destroys the account, and those below it, with all that they pay for (operation 35,
    /// account_destroy; PM-235). Needs DESTROY, which the privilege `set_policy` includes. An
    /// account that the caller split off itself,
    /// [`SplitAccount::destroy`](crate::SplitAccount::destroy) destroys.
    ///
    /// # Errors
    /// `Pending` with the deadline while a lease keeps something (PM-236); `NoRight`.
    pub fn destroy(&self) -> Result<(), Error> {
        self.pm.call(Operation::AccountDestroy, |calls| calls.account_destroy(self.handle))
    }

    /// Removes the account, and transfers its charges to its parent (operation 36, account_remove;
    /// PM-237). Needs REMOVE. An account that the caller split off itself,
    /// [`SplitAccount::remove`](crate::SplitAccount::remove) removes.
    ///
    /// # Errors
    /// `NoRight`, also for the account that a peer starts with, and for the pool.
    pub fn remove(&self) -> Result<(), Error> {
        self.pm.call(Operation::AccountRemove, |calls| calls.account_remove(self.handle))
    }
}

impl<T: Transport> fmt::Debug for Account<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Account", &self.raw())
    }
}
