// SPDX-License-Identifier: BSD-2-Clause
//! The end of a server whose own state is wrong.

/// Stops the server because its state violates an invariant. No request can cause this. Going on
/// would hand out memory by tables that are known to be wrong.
#[allow(clippy::panic)]
pub(crate) fn broken(what: &str) -> ! {
    panic!("internal state broken: {what}")
}
