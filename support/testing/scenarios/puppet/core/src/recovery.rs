// SPDX-License-Identifier: BSD-2-Clause
//! How a puppet goes on where pmserver sends it after a fault or a rescue.

use proto::Message;

use crate::order::Order;

/// What a puppet does at its recovery entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Registers the entry again, answers that it has faulted, and serves.
    #[default]
    Serve,
    /// Answers and serves, but does not register the entry again.
    ServeOnce,
    /// Hangs.
    Hang,
    /// Registers the entry again, and hangs.
    RegisterAndHang,
}

impl Recovery {
    /// Returns what a request tells a puppet to do from now on, if it is about that. The domain
    /// remembers it, because the puppet itself forgets everything.
    #[must_use]
    pub fn of(request: &Message) -> Option<Self> {
        match Order::decode(request) {
            Ok(Order::RecoverBy(recovery)) => Some(recovery),
            _ => None,
        }
    }

    /// Returns whether the entry is registered again.
    #[must_use]
    pub const fn registers(self) -> bool {
        matches!(self, Self::Serve | Self::RegisterAndHang)
    }

    /// Returns whether it ends there.
    #[must_use]
    pub const fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::RegisterAndHang)
    }

    /// Returns it as a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Serve => 0,
            Self::ServeOnce => 1,
            Self::Hang => 2,
            Self::RegisterAndHang => 3,
        }
    }

    /// Returns what a number stands for.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Serve,
            1 => Self::ServeOnce,
            2 => Self::Hang,
            3 => Self::RegisterAndHang,
            _ => return None,
        })
    }
}
