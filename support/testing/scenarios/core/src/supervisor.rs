// SPDX-License-Identifier: BSD-2-Clause
//! What the supervisor does: ends calls that take too long.

use pmserver_api::{CallError, RescueReport};
use proto::Transport;

/// Rescues every server whose caller has waited long enough (decision D11). To be called again and
/// again by a domain that pmserver lets supervise, of a higher priority than the servers.
///
/// # Errors
/// What pmserver refuses.
pub fn supervisor_step<T: Transport>(
    pm: &mut pmserver_api::Calls<T>,
) -> Result<RescueReport, CallError> {
    pm.rescue()
}
