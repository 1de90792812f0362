// SPDX-License-Identifier: BSD-2-Clause
//! The configuration of peers. `pmserver_setup` has the types, and the system description file has
//! the values. This module has the part that the server keeps.

use heapless::String;
pub use pmserver_setup::{CallGraph, NAME_BYTES_MAX, PeerConfig, Privileges};

/// The name of a peer on the console.
pub(crate) type PeerName = String<NAME_BYTES_MAX>;

/// Returns the name of a peer as it is kept.
pub(crate) fn name_of(config: &PeerConfig<'_>) -> PeerName {
    // A checked setup has no name that is too long; such a name is dropped.
    PeerName::try_from(config.name).unwrap_or_default()
}
