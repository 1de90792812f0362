// SPDX-License-Identifier: BSD-2-Clause
//! How a server goes on after a fault, or after a rescue (design D11).
//!
//! ```text
//!   fault or rescue -> the domain's entry: state built anew, entry registered again
//!                        |
//!                        v
//!                answer the pending caller -> wait -> serve -> answer -> wait …
//! ```
//!
//! It runs on the scheduling context that the pending caller has lent, and what keeps that moving
//! is one call: the reply that waits for the next request. Everything that ran before is abandoned
//! where it stood, with the platform's handle to the IPC buffer perhaps taken: [`Recovered`] is a
//! handle of its own, for every call from then on.

use core::cell::RefCell;

use pmserver_client::{
    Error, GrantMapper, KernelRefused, MapFlags, Message, Pm, ProtocolError, Transport, VirtAddr,
};
use sel4::cap::{Endpoint, Reply};
use sel4::{Cap, IpcBuffer, MessageInfo};
use sel4_microkit::Channel;
use sel4_stack::Stack;

use crate::granted::map_with;
use crate::{put, regions, take};

/// The endpoint on which a domain waits, and the reply capability of its pending caller: the
/// platform's own, in slots that it promises to every domain.
const INPUT: Endpoint = Cap::from_bits(1);
const REPLY: Reply = Cap::from_bits(4);

/// Set in the badge of a request; the rest is the channel that it came in on.
const REQUEST_BADGE: u64 = 1 << 63;

const STACK_BYTES: usize = 0x1_0000;
static STACK: Stack<STACK_BYTES> = Stack::new();

/// What a function finds on the stack above it: on x86-64 the address that it returns to.
const STACK_OFFSET: u64 = if cfg!(target_arch = "x86_64") { 8 } else { 0 };

/// Tells pmserver to send the domain to `entry` after its next fault. pmserver forgets it with that
/// fault, so that a recovery that faults does not go round in circles.
///
/// # Errors
/// As the operation.
pub fn register<T: Transport>(
    pm: &Pm<T>,
    entry: extern "C" fn() -> !,
) -> Result<(), Error> {
    // A function has no other way to its address, and addresses are 64 bits wide.
    #[allow(clippy::as_conversions)]
    let entry = VirtAddr::new(entry as *const () as u64);
    let stack = u64::try_from(STACK.bottom().ptr().expose_provenance());
    let stack = stack.ok().and_then(|top| VirtAddr::new(top.saturating_sub(STACK_OFFSET)));
    let Some((entry, stack)) = entry.zip(stack) else {
        unreachable!("a domain's code and its stack lie in user space")
    };
    pm.register_recovery(entry, stack)
}

/// Makes a recovery possible. Called once, before the first [`register`].
pub fn prepare() {
    regions::remember_ipc_buffer();
}

/// What a domain is woken for.
pub enum Event {
    /// A protected procedure on a channel, to be answered.
    Request {
        /// Which channel.
        channel: usize,
        /// What was asked.
        message: Result<Message, ProtocolError>,
    },
    /// A notification, which is not answered.
    Notification,
}

/// The kernel, as a domain reaches it after a fault.
pub struct Recovered(RefCell<&'static mut IpcBuffer>);

impl Recovered {
    /// Returns it. Called once in a recovery, first.
    ///
    /// # Panics
    /// Where the domain did not [`prepare`] for it.
    #[must_use]
    pub fn enter() -> Self {
        let Some(buffer) = regions::recovered_ipc_buffer() else {
            unreachable!("a domain prepares before it registers")
        };
        Self(RefCell::new(buffer))
    }

    /// Returns the channel with this identifier.
    #[must_use]
    pub const fn channel(&self, identifier: usize) -> RecoveredChannel<'_> {
        RecoveredChannel { kernel: self, channel: Channel::new(identifier) }
    }

    /// Answers the pending caller with `reply`, and then everybody else with what `serve` returns.
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

    fn send(&self, message: &Message) -> MessageInfo {
        let count = put(message, self.0.borrow_mut().msg_regs_mut());
        MessageInfo::new(message.label(), 0, 0, count)
    }

    fn receive(&self, info: &MessageInfo) -> Result<Message, ProtocolError> {
        take(info.label(), info.length(), self.0.borrow().msg_regs())
    }
}

/// What the domain was granted, after a fault.
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

/// A channel on which protected procedures of the other end are called after a fault.
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
