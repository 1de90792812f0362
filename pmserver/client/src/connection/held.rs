// SPDX-License-Identifier: BSD-2-Clause
//! What all owning values have in common: they release what they stand for, once.

use core::fmt;
use core::mem;
use core::ops::Deref;

use proto::Transport;

use super::pm::Pm;
use super::waiting::Patience;
use crate::terms::{Error, Refused};

/// The name of something that pmserver keeps for the caller, and the connection to release it by.
pub(crate) struct Named<'pm, T: Transport, N> {
    pub(crate) pm: &'pm Pm<T>,
    pub(crate) name: N,
}

// Not derived: what is copied is the reference, whatever the transport is.
impl<T: Transport, N: Copy> Clone for Named<'_, T, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Transport, N: Copy> Copy for Named<'_, T, N> {}

/// Something that can be released.
pub(crate) trait Release: Copy {
    /// The transport of the connection.
    type Transport: Transport;

    /// Returns the connection to release it by.
    fn pm(&self) -> &Pm<Self::Transport>;

    /// Releases it. If this fails, it is still there, or part of it.
    fn release(&self) -> Result<(), Error>;
}

/// Releases something when it is dropped.
pub(crate) struct Held<R: Release>(R);

impl<R: Release> Held<R> {
    pub(crate) const fn new(thing: R) -> Self {
        Self(thing)
    }

    /// Releases it now.
    pub(crate) fn release(self) -> Result<(), Refused<Self>> {
        match self.0.release() {
            Ok(()) => {
                mem::forget(self);
                Ok(())
            }
            Err(error) => Err(Refused { error, value: self }),
        }
    }

    /// Releases it, and waits for the deadlines that pmserver names.
    pub(crate) fn release_waiting(mut self) -> Result<(), Refused<Self>> {
        let mut patience = Patience::default();
        loop {
            let Refused { error, value } = match self.release() {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if let Err(error) = patience.wait(value.0.pm(), error) {
                return Err(Refused { error, value });
            }
            self = value;
        }
    }

    /// Forgets it without releasing it.
    pub(crate) fn leak(self) -> R {
        let thing = self.0;
        mem::forget(self);
        thing
    }
}

impl<R: Release> Drop for Held<R> {
    fn drop(&mut self) {
        // A destructor can neither wait nor report. What is left is what a stopped domain leaves:
        // leases end by themselves, and pmserver frees the rest with its owner.
        let _ = self.0.release();
    }
}

impl<R: Release> Deref for Held<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

/// Prints a value by its name and number.
pub(crate) fn print(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    number: &dyn fmt::Debug,
) -> fmt::Result {
    f.debug_tuple(name).field(number).finish()
}
