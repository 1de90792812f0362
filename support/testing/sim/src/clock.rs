// SPDX-License-Identifier: BSD-2-Clause
//! Virtual time, which advances by fixed steps when something happens, and never by itself.

use std::cell::Cell;
use std::rc::Rc;

use proto::Micros;

/// The clock of a simulated system. All clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<u64>>);

impl Clock {
    /// Returns the time since the system started.
    #[must_use]
    pub fn now(&self) -> Micros {
        Micros::new(self.0.get())
    }

    /// Returns a clock of its own that shows the same time now.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Rc::new(Cell::new(self.0.get())))
    }

    /// Advances the time.
    pub fn advance(&self, micros: u64) {
        self.0.set(self.0.get() + micros);
    }
}
