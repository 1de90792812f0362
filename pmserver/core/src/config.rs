// SPDX-License-Identifier: BSD-2-Clause
//! Who the peers are and what each may use: `pmserver_setup` has the types, and the system
//! description file the values. Here is what the server keeps of them.

use heapless::String;
pub use pmserver_setup::{NAME_BYTES_MAX, PeerConfig, Privileges};

/// The name of a peer on the console.
pub(crate) type PeerName = String<NAME_BYTES_MAX>;

/// Returns as much of a name as is kept of one.
pub(crate) fn name_of(config: &PeerConfig<'_>) -> PeerName {
    // A name of a checked setup is not too long; of one that is, nothing is kept.
    PeerName::try_from(config.name).unwrap_or_default()
}
