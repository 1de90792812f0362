// SPDX-License-Identifier: BSD-2-Clause
//! Virtual time: it moves by fixed steps when something happens, and never by itself.

use std::cell::Cell;
use std::rc::Rc;

use proto::Micros;

/// The one clock of a simulated system. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<u64>>);

impl Clock {
    /// Returns the time since the system started.
    #[must_use]
    pub fn now(&self) -> Micros {
        Micros::new(self.0.get())
    }

    /// Moves time on.
    pub fn advance(&self, micros: u64) {
        self.0.set(self.0.get() + micros);
    }
}
