// SPDX-License-Identifier: BSD-2-Clause
//! Faults that the caller answers, as the handler of a range.

use core::fmt;

use pmserver_api::{AccessKind, FaultHandle, RangeHandle};
use proto::{FrameNumber, Transport};

use super::container_ref::ContainerRef;
use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused};

impl<T: Transport> Pm<T> {
    /// Returns the next fault that the caller must answer as the handler of a range; nothing if
    /// there is none (operation 47, next_fault; PM-281). A handler calls it when it is notified,
    /// until there is none.
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn next_fault(&self) -> Result<Option<PendingFault<'_, T>>, Error> {
        let fault = self.call(Operation::NextFault, |calls| calls.next_fault())?;
        Ok(fault.map(|fault| PendingFault {
            held: Held::new(Named { pm: self, name: fault.fault }),
            range: fault.range,
            cookie: fault.cookie,
            number: fault.number.get(),
            access: fault.access,
        }))
    }
}

impl<T: Transport> Release for Named<'_, T, FaultHandle> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        self.pm.call(Operation::Refuse, |calls| calls.refuse(self.name))
    }
}

/// A frame that a program has touched and that has no contents yet, in a range that the caller is
/// the handler of ([`Pm::next_fault`]). Dropping it unanswered refuses it, so that the program does
/// not wait in vain.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let (pm, channel) = (pmserver_client::Pm::new(testbed.channel(1)), testbed.channel(2));
/// # let (memory, mut handlers_memory) = (testbed.memory(1), testbed.memory(2));
/// # let handler = pmserver_client::Pm::new(testbed.channel(2)).whoami()?.peer;
/// use pmserver_client::{MapFlags, Pm, VirtAddr};
///
/// const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
///
/// let container = pm.account().create_container()?;
/// container.allocate(0..16)?;
/// container.set_handler(0..16, handler, 7)?;
/// let mapping = container.map(0..16, WINDOW, MapFlags::READ)?;
///
/// // In the handler, whenever it is notified:
/// let answer = move || {
///     let pm = Pm::new(channel.clone());
///     while let Some(fault) = pm.next_fault()? {
///         let contents = pm.account().create_container()?;
///         contents.allocate(0..1)?;
///         let filled = contents.map(0..1, WINDOW, MapFlags::WRITE)?;
///         let text = format!("frame {} of range {}", fault.frame(), fault.cookie());
///         filled.copy_out(&mut handlers_memory, text.as_bytes(), 0)?;
///         fault.supply(&contents, 0)?;
///     }
///     Ok::<(), pmserver_client::Error>(())
/// };
/// # let mut answer = answer;
/// # testbed.attend(move || answer().unwrap());
///
/// // In the client, which notices nothing but the time that it takes:
/// let mut bytes = [0; 18];
/// mapping.copy_in(&memory, 3 * 4096, &mut bytes)?;
/// assert_eq!(&bytes, b"frame 3 of range 7");
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the fault refuses it"]
pub struct PendingFault<'pm, T: Transport> {
    held: Held<Named<'pm, T, FaultHandle>>,
    range: RangeHandle,
    cookie: u32,
    number: u64,
    access: AccessKind,
}

impl<T: Transport> PendingFault<'_, T> {
    /// Returns the range, as `set_handler` returned it to the owner of the container, whom
    /// [`RangeHandle::owner`] tells. A handler that serves several owners decides by this and not
    /// by the cookie, which each of them chooses freely (PM-281).
    #[must_use]
    pub const fn range(&self) -> RangeHandle {
        self.range
    }

    /// Returns the number that the owner of the container has given to the range.
    #[must_use]
    pub const fn cookie(&self) -> u32 {
        self.cookie
    }

    /// Returns the number of the frame in its container.
    #[must_use]
    pub const fn frame(&self) -> u64 {
        self.number
    }

    /// Returns how it was touched. pmserver does not say by whom.
    #[must_use]
    pub const fn access(&self) -> AccessKind {
        self.access
    }

    /// Returns the number of the fault, by which pmserver knows it.
    #[must_use]
    pub fn raw(&self) -> u64 {
        self.held.name.raw()
    }

    /// Forgets the fault without answering it, and returns its number. The program that waits
    /// faults after one second (PM-283).
    pub fn into_raw(self) -> u64 {
        self.held.leak().name.raw()
    }

    /// Answers with a logical copy of a frame that the caller may read: no byte is copied, and
    /// nothing is charged (operation 48, supply; PM-282). The program that waits continues.
    ///
    /// # Errors
    /// `InvalidCap` if nobody waits any more, or the range was ended; as for `copy` if the frame
    /// cannot be read; `Locked` while a lease covers a frame that is one memory with the absent
    /// one.
    pub fn supply(self, container: &ContainerRef<'_, T>, number: u64) -> Result<(), Refused<Self>> {
        let (fault, number) = (self.held.name, FrameNumber::new(number));
        let supplied = self
            .held
            .pm
            .call(Operation::Supply, |calls| calls.supply(fault, container.handle, number));
        match supplied {
            Ok(()) => {
                self.held.leak();
                Ok(())
            }
            Err(error) => Err(Refused { error, value: self }),
        }
    }

    /// Answers with a fault: the program that waits for the frame is stopped, or continues at its
    /// recovery entry (operation 49, refuse; PM-283).
    ///
    /// # Errors
    /// `InvalidCap` if nobody waits any more.
    pub fn refuse(self) -> Result<(), Refused<Self>> {
        let Self { held, range, cookie, number, access } = self;
        let again = |held| Self { held, range, cookie, number, access };
        held.release().map_err(|refused| refused.map(again))
    }
}

impl<T: Transport> fmt::Debug for PendingFault<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "PendingFault", &self.held.name.raw())
    }
}
