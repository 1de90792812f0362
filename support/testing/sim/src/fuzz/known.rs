// SPDX-License-Identifier: BSD-2-Clause
//! Requests that meet a known defect of pmserver. The fuzzer leaves them out, so that it finds what
//! is not known yet; each line here goes when its defect does.

use pmserver_api::Request;

/// Returns whether a request meets a known defect.
pub(crate) const fn is_known(request: &Request) -> bool {
    match *request {
        // It looks for a run of pages and then puts records into it, and panics (PM-2).
        Request::AllocateContiguous { .. } => true,
        // A copy within a container whose destination ends at the last number copies nothing, and
        // says that it did (PM-160).
        Request::Copy { destination_start, count, .. } => {
            destination_start.get().checked_add(count.get()).is_none()
        }
        _ => false,
    }
}
