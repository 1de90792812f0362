// SPDX-License-Identifier: BSD-2-Clause
//! What all protection domains share: messages over Microkit channels, how a program is made of a
//! function and how a server waits, the panic report, recovery after a fault, the mapping of
//! granted frames, the processor's counter, and the trace of what is served.
//!
//! Contains no policy: the `api` and `core` crates decide what a message means.
#![no_std]
#![deny(unsafe_code)]

mod channel;
mod clock;
mod events;
mod finished;
mod granted;
mod panic;
mod program;
pub mod recovery;
mod regions;
#[cfg_attr(feature = "trace", path = "traced.rs")]
#[cfg_attr(not(feature = "trace"), path = "untraced.rs")]
mod trace;
mod waiter;

pub use channel::{PpChannel, put, receive, send, take};
pub use clock::{micros, own_time};
pub use events::{Wake, Woken, reply_and_wait, wait, wait_first};
pub use finished::{Finished, finished};
pub use granted::OwnGrants;
pub use panic::report_panics;
pub use program::{OwnDomain, Serving};
pub use regions::counter;
pub use trace::Trace;
pub use waiter::OwnNotification;

#[doc(hidden)] // For the macros.
pub use {console_api, sel4_microkit};
