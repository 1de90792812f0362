// SPDX-License-Identifier: BSD-2-Clause
//! Where fsserver goes on after a fault, or after a rescue (design D11).
//!
//! ```text
//!   fault or rescue -> recover: heap emptied, server built anew from the image, entry registered
//!                        |
//!                        v
//!                answer the pending caller: Restarted -> wait -> serve -> answer -> wait …
//! ```
//!
//! It runs on the scheduling context that the pending caller has lent, and what keeps that moving
//! is one call: the reply that waits for the next request. Everything that ran before is abandoned
//! where it stood, with the platform's handle to the IPC buffer perhaps taken: this module uses a
//! handle of its own for every call.

use core::cell::RefCell;

use fsserver_api::{Failure, FsError};
use pmserver_api::{CallError, PmError};
use proto::{Message, ProtocolError, Transport, VirtAddr};
use sel4::cap::{Endpoint, Reply};
use sel4::{Cap, IpcBuffer, MessageInfo};
use sel4_stack::Stack;

use crate::{PMSERVER, answer, new_service, refused, regions};

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

/// The platform's way to the IPC buffer, shared by all who call.
type Ipc = RefCell<&'static mut IpcBuffer>;

/// Tells pmserver where to go on after the next fault. pmserver forgets it with that fault, so that
/// a recovery that faults does not go round in circles.
pub(crate) fn register<T: Transport>(pm: &mut pmserver_api::Client<T>) -> Result<(), CallError> {
    // A function has no other way to its address, and addresses are 64 bits wide.
    #[allow(clippy::as_conversions)]
    let entry = VirtAddr::new(recover as *const () as u64).ok_or(PmError::Invalid)?;
    let stack = u64::try_from(STACK.bottom().ptr().expose_provenance());
    let stack = stack.ok().and_then(|top| VirtAddr::new(top.saturating_sub(STACK_OFFSET)));
    pm.register_recovery(entry, stack.ok_or(PmError::Invalid)?)
}

extern "C" fn recover() -> ! {
    regions::install_heap();
    let Some(ipc) = regions::recovered_ipc_buffer().map(RefCell::new) else {
        unreachable!("register remembers the buffer")
    };
    let mut pm = pmserver_api::Client::new(RecoveredChannel(&ipc));
    let mut service = new_service(RecoveredChannel(&ipc))
        .and_then(|server| register(&mut pm).map(|()| server).map_err(refused));
    let mut reply = Some(Failure::from(FsError::Restarted).reply());
    loop {
        let (info, badge) = match reply.take() {
            Some(reply) => INPUT.with(&ipc).reply_recv(send(&ipc, &reply), REPLY),
            None => INPUT.with(&ipc).recv(REPLY),
        };
        // A notification has no such badge and asks for nothing.
        if badge & REQUEST_BADGE != 0 {
            let channel = usize::try_from(badge & !REQUEST_BADGE).unwrap_or(usize::MAX);
            reply = Some(answer(&mut service, channel, receive(&ipc, &info)));
        }
    }
}

/// The channel to pmserver, over a handle to the IPC buffer of its own.
struct RecoveredChannel<'a>(&'a Ipc);

impl Transport for RecoveredChannel<'_> {
    fn call(&mut self, request: Message) -> Message {
        let info = PMSERVER.endpoint().with(self.0).call(send(self.0, &request));
        receive(self.0, &info).unwrap_or(ProtocolError::BadReply.reply())
    }
}

fn send(ipc: &Ipc, message: &Message) -> MessageInfo {
    let count = pd::put(message, ipc.borrow_mut().msg_regs_mut());
    MessageInfo::new(message.label(), 0, 0, count)
}

fn receive(ipc: &Ipc, info: &MessageInfo) -> Result<Message, ProtocolError> {
    pd::take(info.label(), info.length(), ipc.borrow().msg_regs())
}
