// SPDX-License-Identifier: BSD-2-Clause
//! How a program waits for a server that will notify it.

/// The notifications of the domain that holds this value.
pub trait Waiter {
    /// Blocks until the domain is notified. Returns at once if it was notified since the last call.
    fn wait(&mut self);
}
