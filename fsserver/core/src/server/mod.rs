// SPDX-License-Identifier: BSD-2-Clause
//! The operations: decodes a request, does what it asks, and answers it.
//!
//! What memory can answer is answered at once. For the rest the file system gets a job
//! (`asking.rs`); a call whose job waits for the disk is answered with `Pending`, and the client
//! repeats it when it was notified.

mod asking;
mod changing;
mod reading;

use alloc::boxed::Box;
use alloc::vec::Vec;

use corosensei::stack::Stack;
use fsserver_api::{CallError, Failure, FsError, Identity, PROTOCOL_VERSION, Reply, Request};
use fsserver_setup::Setup;
use fsserver_volume::Inode;
use pmserver_client::{AddressSpace, Message, Micros, PeerId, Pm, PmError, Transport};
use proto::FrameNumber;

use crate::cache::{Cache, LEFT};
use crate::client::ClientId;
use crate::engine::{Engine, Found, Job};
use crate::kept::Kept;
use crate::known::{KnownPaths, hash_of};
use crate::lent::{PageBuffer, TAKEN_WINDOW, WINDOW, of_pm};
use crate::listing::ENTRIES_MAX;
use crate::memory::Memory;
use crate::open_file::OpenFiles;
use crate::path;
use crate::standing::{STANDING_WINDOWS, Standing};
use crate::time::PmClock;
use crate::under_way::{Asked, Known, Outcome, Then, UnderWay, Work};
use reading::{How, ReadRange};

/// The file server.
pub struct FileServer<T: Transport, A: AddressSpace, S: Stack> {
    pm: Pm<T>,
    space: A,
    peer: PeerId,
    engine: Engine<S>,
    memory: Memory,
    under_way: UnderWay,
    cache: Cache,
    known: KnownPaths<Found>,
    files: OpenFiles,
    /// What each client may do.
    setup: Setup<'static>,
    /// Files that were removed while they were open, and have to be released.
    held: Vec<Inode>,
    standing: Standing,
    kept: &'static Kept,
    /// Whether clients may wait for what was under way before a recovery.
    is_new: bool,
    clock: PmClock,
    page: Box<PageBuffer>,
}

impl<T: Transport, A: AddressSpace + Clone, S: Stack + 'static> FileServer<T, A, S> {
    /// Returns a server of the file system that `engine` makes; the memory that it is given is what
    /// the server caches in. Clients that have waited before a recovery are notified: what they
    /// wait for is lost.
    ///
    /// It first unmaps what an unfinished call may have left in the window, and what stood; leases
    /// have ended then. It keeps nothing of before. A file system that cannot be read is no error
    /// here: clients are told so when they ask.
    ///
    /// # Errors
    /// [`FsError::PmRefused`] if pmserver refuses, and those of `engine`.
    pub fn new(
        pmserver: T,
        space: A,
        setup: Setup<'static>,
        kept: &'static Kept,
        engine: impl FnOnce(&Pm<T>, &Memory) -> Result<Engine<S>, Failure>,
    ) -> Result<Self, Failure> {
        let pm = Pm::new(pmserver);
        for window in [WINDOW, STANDING_WINDOWS, TAKEN_WINDOW] {
            pm.unmap(window.start(), window.count()).map_err(of_pm)?;
        }
        let peer = pm.whoami().map_err(of_pm)?.peer;
        let now = pm.clock().map_err(of_pm)?;
        let memory = Memory::new(&pm, kept)?;
        let engine = engine(&pm, &memory)?;
        Ok(Self {
            pm,
            space,
            peer,
            engine,
            memory,
            under_way: UnderWay::new(),
            cache: Cache::new(),
            known: KnownPaths::new(),
            files: OpenFiles::new(now.get()),
            setup,
            held: Vec::new(),
            standing: Standing::new(),
            kept,
            is_new: true,
            clock: PmClock::default(),
            page: Box::new([0; 4096]),
        })
    }

    /// Answers a request that came in from `client` at `now`, on any clock that does not go back.
    /// Where the domain has none that it can read without a call, pmserver is asked.
    pub fn call(&mut self, client: ClientId, request: &Message, now: Option<Micros>) -> Message {
        match Request::decode(request) {
            Ok(request) => match self.serve(client, request, now) {
                Ok(reply) => reply.encode(),
                Err(failure) => self.refuse(client, request, now, failure),
            },
            Err(error) => CallError::reply(&error),
        }
    }

    /// Answers a request that has failed; serves it once more if there is more memory for it then.
    #[cold]
    fn refuse(
        &mut self,
        client: ClientId,
        request: Request,
        now: Option<Micros>,
        failure: Failure,
    ) -> Message {
        let mut result = Err(failure);
        if self.gives_way(failure, LEFT) {
            result = self.serve(client, request, now);
        }
        match result {
            Ok(reply) => reply.encode(),
            Err(failure) => {
                if failure.error == FsError::Pending {
                    self.kept.waits(client);
                }
                failure.reply()
            }
        }
    }

    /// Gives up parts of what is cached if pmserver has refused something for want of memory, until
    /// fsserver's account has so many pages left. Returns whether there were any.
    #[cold]
    fn gives_way(&mut self, failure: Failure, needed: u64) -> bool {
        let is_full = [PmError::QuotaExceeded, PmError::NoTableQuota].map(Failure::from);
        if !is_full.contains(&failure) {
            return false;
        }
        self.memory.sweep(&self.pm);
        let mut has_given = false;
        while self.memory.pages_left(&self.pm) < needed
            && self.cache.make_room(&self.pm, &self.memory)
        {
            has_given = true;
        }
        has_given
    }

    /// Goes on with what waits for the disk: the domain was notified.
    pub fn wake(&mut self) {
        self.memory.sweep(&self.pm);
        if let Some(ended) = self.engine.wake() {
            self.answered(ended);
            self.pump();
        }
    }

    /// Returns a client that is to be notified, as a request of its has ended. Called after each
    /// call, each notification and each recovery, until there is none.
    pub fn take_notice(&mut self) -> Option<ClientId> {
        if self.under_way.is_idle() && !self.is_new {
            return None;
        }
        let ended = self.under_way.take_notice();
        let client = ended.or_else(|| self.kept.waiting().filter(|_| self.is_new));
        match client {
            Some(client) => self.kept.notified(client),
            None => self.is_new = false,
        }
        client
    }

    #[inline(always)]
    fn serve(
        &mut self,
        client: ClientId,
        request: Request,
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        // pmserver would let fsserver use what another client has lent it. This client must not:
        // for it, that number names nothing.
        if let Some(container) = request.container() {
            if !client.owns(container) {
                return Err(PmError::InvalidCap.into());
            }
            if !matches!(request, Request::Read { stands: true, .. }) {
                self.standing.end(&self.pm, client, container);
            }
        }
        let paths = self.copy_paths(request)?;
        let asked = Asked { client, request, paths };
        if !self.under_way.is_idle() {
            match self.ended(asked)? {
                Some(Outcome::Again) | None => {}
                Some(outcome) => return self.finish(asked, outcome),
            }
        }
        self.answer(asked, now)
    }

    #[inline(always)]
    fn answer(&mut self, asked: Asked, now: Option<Micros>) -> Result<Reply, Failure> {
        let Asked { client, request, .. } = asked;
        match request {
            Request::Version => {
                Ok(Reply::Identity(Identity { version: PROTOCOL_VERSION, peer: self.peer }))
            }
            Request::Lookup { path_bytes, .. } => {
                let path = self.page.get(..path_bytes.into()).ok_or(FsError::PathTooLong)?;
                // What is known was checked when it was found.
                match self.known.get((self.root_of(client), path), asked.paths).copied() {
                    Some(found) => self.open_found(client, found),
                    None => self.find(asked, path.to_vec()),
                }
            }
            Request::LookupShort { path } => {
                let path = path.bytes();
                match self.known.get((self.root_of(client), path), hash_of(path)).copied() {
                    Some(found) => self.open_found(client, found),
                    None => self.find(asked, path.to_vec()),
                }
            }
            Request::Stat { file } => {
                let file = self.files.get(client, file)?;
                if !file.is_stale {
                    return Ok(Reply::Status(file.status));
                }
                let job = Job::Status(file.inode);
                self.ask(asked, Work::Ask(job, Then::Status))
            }
            Request::ReadDir { file, cookie, .. } => {
                let (directory, listing) = reading::directory(self.files.get(client, file)?)?;
                listing.check(cookie)?;
                let job = Job::List { directory, from: listing.at(), most: ENTRIES_MAX };
                self.ask(asked, Work::Ask(job, Then::Tell))
            }
            Request::ReadTaken { file, container, offset, frames, length } => {
                let (start, how) = (FrameNumber::new(0), How::Taken(frames));
                let range = ReadRange { file, container, start, offset, length, how };
                self.read(asked, &range, now)
            }
            Request::ReadLent { file, container, offset, start } => {
                self.read_lent(asked, (file, offset), (container, start))
            }
            Request::Read { file, container, offset, start, length, stands } => {
                let how = if stands { How::Standing } else { How::Once };
                let range = ReadRange { file, container, start, offset, length, how };
                let result = self.read(asked, &range, now);
                if stands && result.is_err() {
                    self.standing.end(&self.pm, client, container);
                }
                result
            }
            Request::Close { file } => {
                let closed = self.files.close(client, file)?;
                if closed.is_some() && !self.held.is_empty() {
                    self.release(closed);
                    self.pump();
                }
                Ok(Reply::Done)
            }
            Request::Release { .. } => Ok(Reply::Done),
            _ => self.serve_seldom(asked),
        }
    }

    #[cold]
    fn serve_seldom(&mut self, asked: Asked) -> Result<Reply, Failure> {
        let client = asked.client;
        let work = match asked.request {
            Request::Change(change) => self.change(client, change)?,
            Request::Trim => {
                self.memory.sweep(&self.pm);
                self.cache.trim(&self.pm, &self.memory);
                return Ok(Reply::Done);
            }
            Request::SyncFile { file } => {
                self.files.get(client, file)?;
                Work::Ask(Job::Sync, Then::Tell)
            }
            Request::Sync => Work::Ask(Job::Sync, Then::Tell),
            Request::Space => Work::Ask(Job::Space, Then::Tell),
            Request::ReadLink { file, .. } => {
                let file = self.files.get(client, file)?;
                Work::Ask(Job::ReadLink(file.inode), Then::Tell)
            }
            _ => return Ok(Reply::Done),
        };
        self.ask(asked, work)
    }

    /// Opens what a path leads to.
    #[cold]
    fn find(&mut self, asked: Asked, path: Vec<u8>) -> Result<Reply, Failure> {
        let root = self.root_of(asked.client);
        self.room(asked.client)?;
        path::checked(&path)?;
        let job = Job::Find { root, path: path.clone() };
        self.ask(asked, Work::Ask(job, Then::Open(root, path)))
    }

    fn root_of(&self, client: ClientId) -> &'static str {
        self.setup.client(client.channel()).root
    }

    /// Gives the file system something to do, and answers the request if that needs no waiting.
    fn ask(&mut self, asked: Asked, work: Work) -> Result<Reply, Failure> {
        let outcome = self.carry_out(asked, work)?;
        self.finish(asked, outcome)
    }

    /// Answers a request for which the file system has done its part.
    fn finish(&mut self, asked: Asked, outcome: Outcome) -> Result<Reply, Failure> {
        match (outcome, asked.request) {
            (Outcome::Reply(reply), _) => Ok(reply),
            (Outcome::Entries(entries), Request::ReadDir { file, container, frames, cookie }) => {
                self.write_entries(asked.client, (file, cookie), &entries, (container, frames))
            }
            (Outcome::Link(target), Request::ReadLink { container, .. }) => {
                self.write_bytes(container, &target)
            }
            _ => Err(FsError::Busy.into()),
        }
    }

    /// Returns how a request has ended that was made before; nothing if it is a new one.
    ///
    /// # Errors
    /// [`FsError::Pending`] if it has not, else what it failed with.
    fn ended(&mut self, asked: Asked) -> Result<Option<Outcome>, Failure> {
        let mut known = self.under_way.take(asked);
        if matches!(known, Known::Yes) {
            // Somebody who asks again finds out whether the disk still works.
            self.wake();
            known = self.under_way.take(asked);
        }
        match known {
            Known::No => Ok(None),
            Known::Yes => Err(FsError::Pending.into()),
            Known::Ended(result) => result.map(Some),
        }
    }
}
