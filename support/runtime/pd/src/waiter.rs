// SPDX-License-Identifier: BSD-2-Clause
//! How a domain waits that only calls others.

use proto::Waiter;

use crate::events::wait;

/// What others signal the domain with. For a domain that has no callers and no children: a request
/// or a fault that arrived here would get no answer.
#[derive(Clone, Copy)]
pub struct OwnNotification;

impl Waiter for OwnNotification {
    fn wait(&mut self) {
        // Signals of several channels, and of several events, are one: there is nothing to look at.
        let _ = wait();
    }
}
