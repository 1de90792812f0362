// SPDX-License-Identifier: BSD-2-Clause
//! Requests that meet a known defect of pmserver. The fuzzer leaves them out, so that it finds what
//! is not known yet; each line here goes when its defect does.

use model::Model;
use pmserver_api::Request;
use proto::PeerId;

/// Returns whether a request meets a known defect.
pub(crate) fn is_known(model: &Model, caller: PeerId, request: &Request) -> bool {
    match *request {
        // It looks for a run of pages and then puts records into it, and panics (PM-2).
        Request::AllocateContiguous { .. } => true,
        // A copy within a container whose destination ends at the last number copies nothing, and
        // says that it did (PM-160).
        Request::Copy { destination_start, count, .. } => {
            destination_start.get().checked_add(count.get()).is_none()
        }
        // A page that shows zeros goes on showing them when its frame becomes absent (PM-280).
        Request::SetHandler { container, start, count, handler: Some(_), .. } => {
            let last = start.get().saturating_add(count);
            model.is_mapped(caller, container, (start.get(), last))
        }
        _ => false,
    }
}
