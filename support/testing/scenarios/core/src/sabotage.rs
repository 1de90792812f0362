// SPDX-License-Identifier: BSD-2-Clause
//! A file server that misbehaves when it is told to. The domain around it is `sabotaged-fsserver`.
//!
//! [`Sabotaged`] stands between fsserver's core and its memory, [`SabotagedServer`] between
//! fsserver's core and its clients. The core itself is the unchanged one. Each order makes it
//! misbehave once. A restart forgets all orders.
//!
//! | no | operation | r0 | r1 | reply |
//! |---|---|---|---|---|
//! | 0xF001 | arm | what: 1 fault, 2 hang, 3 skip, 4 die | pages | |
//! | 0xF002 | late | | | the reply to the request that was skipped |

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use corosensei::stack::Stack;
use fsserver_api::{FsError, Reply, Request};
use fsserver_core::{CACHE_WINDOWS, ClientId, Engine, FileServer, Kept, Memory};
use fsserver_setup::Setup;
use pmserver_api::Calls;
use pmserver_client::Pm;
use proto::{AddressSpace, Message, Micros, PAGE_BYTES, ProtocolError, Transport, VirtAddr};

const OP_ARM: u64 = 0xF001;
const OP_LATE: u64 = 0xF002;

const ARM_FAULT: u64 = 1;
const ARM_HANG: u64 = 2;
const ARM_SKIP: u64 = 3;
const ARM_DIE: u64 = 4;

/// An address that is mapped in no protection domain.
const UNMAPPED_VADDR: u64 = 0x3000_0000;

/// Bytes of a page.
const PAGE: usize = 4096;

/// How the server is to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Copy so many pages to a client, then access memory that is not mapped.
    FaultAfter(u64),
    /// Copy so many pages to a client, then never continue.
    HangAfter(u64),
    /// Answer the next read with success, and do nothing.
    Skip,
    /// The same as `FaultAfter`, and fault again at the recovery entry.
    DieAfter(u64),
}

impl Sabotage {
    /// Returns the request that arms it.
    #[must_use]
    pub const fn request(self) -> Message {
        let registers = match self {
            Self::FaultAfter(pages) => [ARM_FAULT, pages],
            Self::HangAfter(pages) => [ARM_HANG, pages],
            Self::Skip => [ARM_SKIP, 0],
            Self::DieAfter(pages) => [ARM_DIE, pages],
        };
        Message::new(OP_ARM, registers)
    }

    /// Returns the request for the late call: the server now does what it has skipped.
    #[must_use]
    pub const fn late_request() -> Message {
        Message::new(OP_LATE, [])
    }

    fn decode(message: &Message) -> Result<Self, ProtocolError> {
        match message.exactly()? {
            [ARM_FAULT, pages] => Ok(Self::FaultAfter(pages)),
            [ARM_HANG, pages] => Ok(Self::HangAfter(pages)),
            [ARM_SKIP, _] => Ok(Self::Skip),
            [ARM_DIE, pages] => Ok(Self::DieAfter(pages)),
            _ => Err(ProtocolError::UnknownOperation),
        }
    }
}

/// fsserver's memory, in which an access may fault or hang.
#[derive(Clone)]
pub struct Sabotaged<A> {
    space: A,
    armed: Rc<Cell<Option<Sabotage>>>,
}

impl<A: AddressSpace> Sabotaged<A> {
    /// Returns the memory, not armed.
    #[must_use]
    pub fn new(space: A) -> Self {
        Self { space, armed: Rc::new(Cell::new(None)) }
    }

    /// Does what was ordered, if it was ordered for the page that is copied next. What goes to the
    /// cache is not copied to a client.
    fn before_page(&mut self, to: VirtAddr) {
        let skipped = to.get().checked_sub(CACHE_WINDOWS.start().get());
        if skipped.is_none_or(|skipped| skipped >= CACHE_WINDOWS.bytes()) {
            self.before_step();
        }
    }

    /// Does what was ordered, if it was ordered for the step that comes next.
    fn before_step(&mut self) {
        match self.armed.get() {
            Some(Sabotage::FaultAfter(0) | Sabotage::DieAfter(0)) => self.fault(),
            Some(Sabotage::HangAfter(0)) => self.hang(),
            Some(Sabotage::FaultAfter(pages)) => {
                self.armed.set(Some(Sabotage::FaultAfter(pages.saturating_sub(1))));
            }
            Some(Sabotage::HangAfter(pages)) => {
                self.armed.set(Some(Sabotage::HangAfter(pages.saturating_sub(1))));
            }
            Some(Sabotage::DieAfter(pages)) => {
                self.armed.set(Some(Sabotage::DieAfter(pages.saturating_sub(1))));
            }
            Some(Sabotage::Skip) | None => {}
        }
    }

    fn fault(&mut self) {
        self.armed.set(None);
        if let Some(vaddr) = VirtAddr::new(UNMAPPED_VADDR) {
            self.space.copy_out(&[0], vaddr);
        }
    }

    fn hang(&mut self) {
        self.armed.set(None);
        loop {
            self.space.relax();
        }
    }
}

impl<A: AddressSpace> AddressSpace for Sabotaged<A> {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        self.space.copy_in(from, to);
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        self.before_page(to);
        self.space.copy_out(from, to);
    }

    fn copy_across(&mut self, from: VirtAddr, to: VirtAddr, bytes: usize) {
        let mut places = Some((from, to));
        let mut left = bytes;
        while let (Some((from, to)), 1..) = (places, left) {
            let length = left.min(PAGE);
            self.before_page(to);
            self.space.copy_across(from, to, length);
            left = left.saturating_sub(length);
            places = from.checked_add(PAGE_BYTES).zip(to.checked_add(PAGE_BYTES));
        }
    }

    fn relax(&mut self) {
        self.space.relax();
    }
}

/// A channel on which a call counts as a page.
struct SabotagedChannel<T, A> {
    channel: T,
    memory: Sabotaged<A>,
}

impl<T: Transport, A: AddressSpace> Transport for SabotagedChannel<T, A> {
    fn call(&mut self, request: Message) -> Message {
        self.memory.before_step();
        self.channel.call(request)
    }
}

/// The channel to pmserver, which the server shares with its sabotage.
struct SharedChannel<T>(Rc<RefCell<T>>);

impl<T: Transport> Transport for SharedChannel<T> {
    fn call(&mut self, request: Message) -> Message {
        self.0.borrow_mut().call(request)
    }
}

/// The file server over its sabotaged memory. Made and called like [`FileServer`].
pub struct SabotagedServer<T: Transport, A: AddressSpace, S: Stack> {
    server: FileServer<SharedChannel<T>, Sabotaged<A>, S>,
    pmserver: SharedChannel<T>,
    armed: Rc<Cell<Option<Sabotage>>>,
    skipped: Option<Message>,
}

impl<T: Transport, A: AddressSpace + Clone + 'static, S: Stack + 'static> SabotagedServer<T, A, S> {
    /// Returns a server of the image of `bytes` bytes at `vaddr`, without orders. See
    /// [`FileServer::new`].
    ///
    /// # Errors
    /// As [`FileServer::new`].
    pub fn new(
        pmserver: T,
        space: A,
        stack: S,
        (vaddr, bytes): (VirtAddr, u64),
        kept: &'static Kept,
    ) -> Result<Self, fsserver_api::Failure> {
        // What it does for itself is not sabotaged.
        let engine = Engine::of_region(stack, space.clone(), vaddr, bytes);
        Self::with(pmserver, space, Setup::EMPTY, kept, |_, _, _| Ok(engine))
    }

    /// Returns a server of a disk, which can be made to fault whenever it calls the driver, and in
    /// what it does for itself, too. See [`FileServer::new`].
    ///
    /// # Errors
    /// As [`FileServer::new`].
    pub fn of_driver<D: Transport + 'static>(
        pmserver: T,
        space: A,
        stack: S,
        driver: D,
        (setup, kept): (Setup<'static>, &'static Kept),
    ) -> Result<Self, fsserver_api::Failure> {
        Self::with(pmserver, space, setup, kept, |pm, memory, space| {
            let driver = SabotagedChannel { channel: driver, memory: space.clone() };
            Engine::of_driver(stack, space.clone(), driver, (pm, memory))
        })
    }

    fn with(
        pmserver: T,
        space: A,
        setup: Setup<'static>,
        kept: &'static Kept,
        engine: impl FnOnce(
            &Pm<SharedChannel<T>>,
            &Memory,
            &Sabotaged<A>,
        ) -> Result<Engine<S>, fsserver_api::Failure>,
    ) -> Result<Self, fsserver_api::Failure> {
        let sabotaged = Sabotaged::new(space);
        let armed = Rc::clone(&sabotaged.armed);
        let channel = Rc::new(RefCell::new(pmserver));
        let pmserver = SharedChannel(Rc::clone(&channel));
        let space = sabotaged.clone();
        let server = FileServer::new(SharedChannel(channel), space, setup, kept, |pm, memory| {
            engine(pm, memory, &sabotaged)
        })?;
        Ok(Self { server, pmserver, armed, skipped: None })
    }

    /// Goes on after a notification ([`FileServer::wake`]).
    pub fn wake(&mut self) {
        self.server.wake();
    }

    /// Returns a client to be notified ([`FileServer::take_notice`]).
    pub fn take_notice(&mut self) -> Option<ClientId> {
        self.server.take_notice()
    }

    /// Answers a request, or misbehaves. See [`FileServer::call`].
    pub fn call(&mut self, client: ClientId, request: &Message, now: Option<Micros>) -> Message {
        match request.label() {
            OP_ARM => match Sabotage::decode(request) {
                Ok(sabotage) => {
                    if matches!(sabotage, Sabotage::DieAfter(_)) {
                        self.recover_nowhere();
                    }
                    self.armed.set(Some(sabotage));
                    Reply::Done.encode()
                }
                Err(error) => error.reply(),
            },
            OP_LATE => match self.skipped.take() {
                Some(skipped) => self.server.call(client, &skipped, now),
                None => FsError::BadHandle.reply(),
            },
            _ => match Request::decode(request) {
                Ok(Request::Read { length, .. }) if self.armed.get() == Some(Sabotage::Skip) => {
                    self.armed.set(None);
                    self.skipped = Some(*request);
                    Reply::Bytes(length.get().into()).encode()
                }
                _ => self.server.call(client, request, now),
            },
        }
    }

    /// Names an entry where nothing is mapped.
    fn recover_nowhere(&mut self) {
        if let Some(nowhere) = VirtAddr::new(UNMAPPED_VADDR) {
            // If that is refused it recovers, and a scenario fails.
            let _ = Calls::new(&mut self.pmserver).register_recovery(nowhere, nowhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_and_nothing_else_is_one() {
        let all = [
            Sabotage::FaultAfter(6),
            Sabotage::HangAfter(0),
            Sabotage::Skip,
            Sabotage::DieAfter(6),
        ];
        for sabotage in all {
            assert_eq!(Sabotage::decode(&sabotage.request()), Ok(sabotage));
            let label = sabotage.request().label();
            assert_eq!(Request::decode(&Message::new(label, [])), unknown());
        }
        assert_eq!(Request::decode(&Sabotage::late_request()), unknown());
        let none = Message::new(OP_ARM, [5, 0]);
        assert_eq!(Sabotage::decode(&none), Err(ProtocolError::UnknownOperation));
        let short = Message::new(OP_ARM, [1]);
        assert_eq!(Sabotage::decode(&short), Err(ProtocolError::WrongLength));
    }

    fn unknown() -> Result<Request, fsserver_api::CallError> {
        Err(ProtocolError::UnknownOperation.into())
    }
}
