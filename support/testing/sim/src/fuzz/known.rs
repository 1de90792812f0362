// SPDX-License-Identifier: BSD-2-Clause
//! Requests that meet a known defect of pmserver. The fuzzer leaves them out, so that it finds what
//! is not known yet; each line here goes when its defect does.

use model::Model;
use pmserver_api::{Request, Rights};
use proto::PeerId;

/// Returns whether a request meets a known defect.
pub(crate) fn is_known(model: &Model, caller: PeerId, request: &Request) -> bool {
    match *request {
        // A page that shows zeros goes on showing them when its frame becomes absent (PM-280).
        Request::SetHandler { container, start, count, handler: Some(_), .. } => {
            let last = start.get().saturating_add(count);
            model.is_mapped(caller, container, (start.get(), last))
        }
        // A device can write to a frame that the handle allows to read and lock only (PM-6).
        Request::Pin { frames, .. } => {
            let is_lockable = model.gives(caller, frames, Rights::LOCK);
            is_lockable && !model.gives(caller, frames, Rights::READ | Rights::WRITE)
        }
        _ => false,
    }
}
