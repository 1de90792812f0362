// SPDX-License-Identifier: BSD-2-Clause
//! What a recovery keeps.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::client::ClientId;

/// What fsserver has at pmserver.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    /// The container that its account pays for.
    Container,
    /// The account for extra frames.
    ExtraAccount,
    /// The container with extra frames.
    ExtraContainer,
}

/// What a recovery keeps: nothing at first, and the same value for the server that is made after a
/// recovery.
#[derive(Default)]
pub struct Kept {
    container: AtomicU64,
    extra_account: AtomicU64,
    extra_container: AtomicU64,
    /// The clients that were told to wait and not notified since, a bit for each channel.
    waiting: AtomicU64,
}

impl Kept {
    /// Returns what there is at first.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            container: AtomicU64::new(0),
            extra_account: AtomicU64::new(0),
            extra_container: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    /// Returns the number of something; 0 if there is none.
    pub(crate) fn number(&self, of: Number) -> u64 {
        self.place(of).load(Ordering::Relaxed)
    }

    pub(crate) fn set_number(&self, of: Number, raw: u64) {
        self.place(of).store(raw, Ordering::Relaxed);
    }

    /// Notes that a client waits.
    pub(crate) fn waits(&self, client: ClientId) {
        self.waiting.fetch_or(bit(client), Ordering::Relaxed);
    }

    /// Notes that a client is notified.
    pub(crate) fn notified(&self, client: ClientId) {
        self.waiting.fetch_and(!bit(client), Ordering::Relaxed);
    }

    /// Returns a client that waits.
    pub(crate) fn waiting(&self) -> Option<ClientId> {
        let channel = self.waiting.load(Ordering::Relaxed).trailing_zeros();
        (channel < u64::BITS).then(|| ClientId::of_channel(u8::try_from(channel).unwrap_or(0)))
    }

    const fn place(&self, of: Number) -> &AtomicU64 {
        match of {
            Number::Container => &self.container,
            Number::ExtraAccount => &self.extra_account,
            Number::ExtraContainer => &self.extra_container,
        }
    }
}

/// A domain has fewer channels than there are bits.
fn bit(client: ClientId) -> u64 {
    1_u64.checked_shl(client.channel().into()).unwrap_or(0)
}
