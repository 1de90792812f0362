// SPDX-License-Identifier: BSD-2-Clause
//! The IPC buffer after a fault. The only `unsafe` that the domains share.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use sel4::IpcBuffer;

/// The IPC buffer, for the time after a fault: what holds it before may then never give it back.
static IPC_BUFFER: AtomicPtr<IpcBuffer> = AtomicPtr::new(ptr::null_mut());

/// Remembers where the IPC buffer is. Called before a recovery can happen.
pub(crate) fn remember_ipc_buffer() {
    IPC_BUFFER.store(sel4::with_ipc_buffer_mut(ptr::from_mut), Ordering::Relaxed);
}

/// Returns the IPC buffer. Called once in a recovery, which uses no other way to it.
pub(crate) fn recovered_ipc_buffer() -> Option<&'static mut IpcBuffer> {
    let buffer = IPC_BUFFER.load(Ordering::Relaxed);
    // SAFETY: 1. Null, or the address of the buffer that the platform has set up for the domain's
    // life. 2. Whoever held a reference to it ran before the recovery and never goes on
    // (U3 recovery-abandons), and from now on this one is the only one.
    unsafe { buffer.as_mut() }
}
