// SPDX-License-Identifier: BSD-2-Clause
//! How a server continues after a fault, or after a rescue (decision D11).
//!
//! ```text
//!   fault or rescue -> the domain's entry: rebuild state, register the entry again
//!                        |
//!                        v
//!                answer the pending caller -> wait -> serve -> answer -> wait …
//! ```
//!
//! The server runs on the scheduling context that the pending caller lent it, and returns that with
//! its reply; one system call replies and waits for the next request. The code that the fault
//! interrupted never continues, and may hold the platform's handle to the IPC buffer. [`Recovered`]
//! is therefore a separate handle, which all later calls use.

use core::cell::RefCell;

use pmserver_client::{
    Error, GrantMapper, KernelRefused, MapFlags, Message, Pm, ProtocolError, Transport, VirtAddr,
};
use sel4::{IpcBuffer, MessageInfo};
use sel4_microkit::Channel;
use sel4_stack::Stack;

use crate::events::{INPUT, REPLY, REQUEST_BADGE};
use crate::granted::map_with;
use crate::{put, regions, take};

const STACK_BYTES: usize = 0x1_0000;
static STACK: Stack<STACK_BYTES> = Stack::new();

/// Bytes that a function expects on the stack when it starts: on x86-64, its return address.
const STACK_OFFSET: u64 = if cfg!(target_arch = "x86_64") { 8 } else { 0 };

/// Tells pmserver to send the domain to `entry` after its next fault. pmserver uses the entry only
/// once, so that a recovery that faults again does not loop for ever.
///
/// # Errors
/// Those of the operation `register_recovery`.
pub fn register<T: Transport>(pm: &Pm<T>, entry: extern "C" fn() -> !) -> Result<(), Error> {
    // A function has no other way to its address, and addresses are 64 bits wide.
    #[allow(clippy::as_conversions)]
    let entry = entry as *const () as u64;
    let top = u64::try_from(STACK.bottom().ptr().expose_provenance()).unwrap_or_default();
    let top = top.saturating_sub(STACK_OFFSET);
    let entry = VirtAddr::new(regions::entry_with_stack(entry, top));
    let Some((entry, stack)) = entry.zip(VirtAddr::new(top)) else {
        unreachable!("a domain's code and its stack lie in user space")
    };
    pm.register_recovery(entry, stack)
}

/// Makes a recovery possible. Called once, before the first [`register`].
pub fn prepare() {
    regions::remember_ipc_buffer();
}

/// Why a domain was woken.
pub enum Event {
    /// A call of a protected procedure, which must be answered.
    Request {
        /// The channel of the caller.
        channel: usize,
        /// The request.
        message: Result<Message, ProtocolError>,
    },
    /// A notification, which is not answered.
    Notification,
}

/// Access to the kernel for a domain that recovers from a fault.
pub struct Recovered(RefCell<&'static mut IpcBuffer>);

impl Recovered {
    /// Returns the handle. Called once in each recovery, before anything else.
    ///
    /// # Panics
    /// If the domain did not call [`prepare`] before the fault.
    #[must_use]
    pub fn enter() -> Self {
        let Some(buffer) = regions::recovered_ipc_buffer() else {
            unreachable!("prepare() must come before register()")
        };
        Self(RefCell::new(buffer))
    }

    /// Returns the channel with this identifier.
    #[must_use]
    pub const fn channel(&self, identifier: usize) -> RecoveredChannel<'_> {
        RecoveredChannel { kernel: self, channel: Channel::new(identifier) }
    }

    /// Sends `reply` to the pending caller, then serves for ever: `serve` returns the reply to each
    /// request.
    pub fn serve(&self, reply: Message, mut serve: impl FnMut(Event) -> Option<Message>) -> ! {
        let mut reply = Some(reply);
        loop {
            let (info, badge) = match reply.take() {
                Some(reply) => INPUT.with(&self.0).reply_recv(self.send(&reply), REPLY),
                None => INPUT.with(&self.0).recv(REPLY),
            };
            reply = serve(match badge & REQUEST_BADGE {
                0 => Event::Notification,
                _ => Event::Request {
                    channel: usize::try_from(badge & !REQUEST_BADGE).unwrap_or(usize::MAX),
                    message: self.receive(&info),
                },
            });
        }
    }

    /// Notifies the other end of a channel.
    pub fn notify(&self, identifier: usize) {
        Channel::new(identifier).notification().with(&self.0).signal();
    }

    fn send(&self, message: &Message) -> MessageInfo {
        let count = put(message, self.0.borrow_mut().msg_regs_mut());
        MessageInfo::new(message.label(), 0, 0, count)
    }

    fn receive(&self, info: &MessageInfo) -> Result<Message, ProtocolError> {
        take(info.label(), info.length(), self.0.borrow().msg_regs())
    }
}

impl GrantMapper for &Recovered {
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused> {
        map_with(&self.0, capability, vaddr, rights)
    }
}

/// A channel on which a recovered domain may call protected procedures of the other end.
pub struct RecoveredChannel<'a> {
    kernel: &'a Recovered,
    channel: Channel,
}

impl Transport for RecoveredChannel<'_> {
    fn call(&mut self, request: Message) -> Message {
        let endpoint = self.channel.endpoint().with(&self.kernel.0);
        let info = endpoint.call(self.kernel.send(&request));
        self.kernel.receive(&info).unwrap_or(ProtocolError::BadReply.reply())
    }
}
