// SPDX-License-Identifier: BSD-2-Clause
//! How many frames a call can name, and from which number on (PM-7, PM-445).

use pmserver_api::{Frames, PmError, Request};
use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, FrameNumber};

use crate::answers::Expected;

/// Refuses 512 frames if the operation cannot name so many, or not from there on.
pub(super) fn check_count(request: &Request) -> Result<(), Expected> {
    let is_named = match *request {
        Request::Allocate { frames, .. }
        | Request::Deallocate { frames, .. }
        | Request::Map { frames, .. }
        | Request::Lock { frames, .. }
        | Request::Pin { frames, .. }
        | Request::Take { frames, .. } => is_few(frames.count) || is_aligned(frames.start),
        Request::Copy { source_start, destination_start, count, .. } => {
            is_few(count) || is_aligned(source_start) && is_aligned(destination_start)
        }
        Request::Renew { frames }
        | Request::Mark { frames, .. }
        | Request::Status { frames }
        | Request::AllocateContiguous { frames, .. }
        | Request::Grant { frames, .. }
        | Request::CreateFrom { source: frames, .. } => is_few(frames.count),
        Request::AllocateAnywhere { count, .. }
        | Request::CreateWith { count, .. }
        | Request::Ungrant { count, .. }
        | Request::EnsureTables { count, .. } => is_few(count),
        _ => true,
    };
    if is_named { Ok(()) } else { Err(PmError::Invalid.into()) }
}

fn is_few(count: FrameCount) -> bool {
    count.get() < LARGE_FRAMES
}

const fn is_aligned(start: FrameNumber) -> bool {
    start.get().is_multiple_of(LARGE_FRAMES)
}

/// Returns the part of a range of frames.
pub(super) fn part_of(frames: Frames, from: u64, count: u64) -> Option<Frames> {
    let start = frames.start.checked_add(from)?;
    Some(Frames { start, count: FrameCount::new(count)?, ..frames })
}
