// SPDX-License-Identifier: BSD-2-Clause
//! Who asks.

use pmserver_client::ContainerHandle;

/// A client: the channel that its calls come in on, which a client cannot choose. The channel has
/// the number by which pmserver knows the client (microkit-system.xml).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(u8);

impl ClientId {
    /// Returns the client at the other end of a channel.
    #[must_use]
    pub const fn of_channel(channel: u8) -> Self {
        Self(channel)
    }

    /// Returns the channel.
    #[must_use]
    pub const fn channel(self) -> u8 {
        self.0
    }

    /// Returns whether a container is the client's own: the handle names an owner, and pmserver
    /// refuses a handle that names the wrong one.
    pub(crate) fn owns(self, container: ContainerHandle) -> bool {
        container.owner().is_some_and(|owner| owner.get() == self.0)
    }
}
