// SPDX-License-Identifier: BSD-2-Clause
//! Requests of clients that wait for the file system, and how they have ended.
//!
//! ```text
//!   queued --> running --> ended --the client repeats its call--> gone
//! ```

use alloc::vec::Vec;
use core::ops::Range;

use fsserver_api::{Failure, FsError, Reply, Request};
use fsserver_volume::{Entry as DirectoryEntry, Inode};
use pmserver_client::ContainerHandle;
use proto::limits::FS_REQUESTS_PER_CLIENT_MAX;

use crate::cache::Key;
use crate::client::ClientId;
use crate::engine::{Change, Job};

/// Who asks, and what: by this a repeated call is recognised (FS-102).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) client: ClientId,
    pub(crate) request: Request,
    /// What the paths that are lent with it are, by their hash; 0 without one.
    pub(crate) paths: u64,
}

/// What is to be done for a request.
pub(crate) enum Work {
    /// Ask the file system.
    Ask(Job, Then),
    /// Let it change something, for who has this root.
    Change(&'static str, Change, Then),
    /// Let it write these frames of a lent container to a file, from an offset on.
    Write { inode: Inode, offset: u64, from: (ContainerHandle, Range<u64>), bytes: u64 },
    /// Read a window of a file into the cache.
    Fill {
        key: Key,
        /// Into memory that is not taken back meanwhile.
        is_lasting: bool,
    },
}

/// What is done with the answer of the file system.
pub(crate) enum Then {
    /// Keep the answer for the client.
    Tell,
    /// Open the file that was found; this is its path, and where that begins.
    Open(&'static str, Vec<u8>),
    /// Open the file that was made.
    Created,
    /// Tell what is known of a file.
    Status,
    /// The contents of a window have come: where it is, and how many bytes they are.
    Filled { key: Key, place: usize, bytes: u64 },
    /// Bytes were written to a file; they are where writes are taken to.
    Written { inode: Inode, offset: u64, bytes: u64 },
    /// A file has another size.
    Resized(Inode),
    /// A file has other times.
    Learn,
    /// Names have changed.
    Renamed,
}

/// What a client gets when it repeats its call.
pub(crate) enum Outcome {
    /// A reply.
    Reply(Reply),
    /// What it asked for can be had now.
    Again,
    /// It has not ended: this is to be done for it.
    More(Work),
    /// Entries of a directory.
    Entries(Vec<DirectoryEntry>),
    /// Where a symbolic link leads to.
    Link(Vec<u8>),
}

enum State {
    Queued(Work),
    Running(Then),
    Ended(Result<Outcome, Failure>),
}

struct Entry {
    /// Whose request it is; nobody's if fsserver does it for itself.
    of: Option<Asked>,
    state: State,
    /// Whether the client was told that it has ended.
    is_told: bool,
}

/// All requests that are under way or whose end was not asked for, the oldest first.
pub(crate) struct UnderWay(Vec<Entry>);

/// What is known of a request.
pub(crate) enum Known {
    /// Nothing: it is a new one.
    No,
    /// It is under way.
    Yes,
    /// It has ended so.
    Ended(Result<Outcome, Failure>),
}

impl UnderWay {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns whether there is nothing.
    #[inline]
    pub(crate) const fn is_idle(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether there is something to do, or to wait for.
    pub(crate) fn has_work(&self) -> bool {
        self.0.iter().any(|entry| !matches!(entry.state, State::Ended(_)))
    }

    /// Returns what is known of a request, and forgets it if it has ended.
    pub(crate) fn take(&mut self, asked: Asked) -> Known {
        let is_it = |entry: &Entry| entry.of == Some(asked);
        let Some(index) = self.0.iter().position(is_it) else { return Known::No };
        if !matches!(self.0.get(index), Some(Entry { state: State::Ended(_), .. })) {
            return Known::Yes;
        }
        match self.0.remove(index).state {
            State::Ended(result) => Known::Ended(result),
            _ => Known::Yes,
        }
    }

    /// Makes room for a request of a client. If that has as many as it may, the oldest end that it
    /// has not asked for is forgotten, and returned.
    ///
    /// # Errors
    /// [`FsError::Busy`] if so many of the client are under way.
    pub(crate) fn make_room(&mut self, client: ClientId) -> Result<Option<Outcome>, FsError> {
        let is_of = |entry: &Entry| entry.of.is_some_and(|of| of.client == client);
        let is_full =
            self.0.iter().filter(|entry| is_of(entry)).count() >= FS_REQUESTS_PER_CLIENT_MAX;
        let has_ended = |entry: &Entry| is_of(entry) && matches!(entry.state, State::Ended(_));
        let forgotten = match self.0.iter().position(has_ended).filter(|_| is_full) {
            Some(index) => Some(self.0.remove(index).state),
            None if is_full => return Err(FsError::Busy),
            None => None,
        };
        match forgotten {
            Some(State::Ended(Ok(outcome))) => Ok(Some(outcome)),
            _ => Ok(None),
        }
    }

    /// Returns how many files are to be made, and opened, for a client.
    pub(crate) fn created_for(&self, client: ClientId) -> u16 {
        let is_one = |entry: &&Entry| {
            let then = match &entry.state {
                State::Queued(Work::Change(.., then)) | State::Running(then) => then,
                _ => return false,
            };
            matches!(then, Then::Created) && entry.of.is_some_and(|of| of.client == client)
        };
        u16::try_from(self.0.iter().filter(is_one).count()).unwrap_or(u16::MAX)
    }

    /// Adds what is to be done for a request, or for nobody.
    pub(crate) fn push(&mut self, of: Option<Asked>, work: Work) {
        self.0.push(Entry { of, state: State::Queued(work), is_told: false });
    }

    /// Returns what is to be done next; it is running then, with the answer to be dealt with by
    /// [`Self::end`].
    pub(crate) fn next(&mut self) -> Option<Work> {
        let is_queued = |entry: &&mut Entry| matches!(entry.state, State::Queued(_));
        let entry = self.0.iter_mut().find(is_queued)?;
        match core::mem::replace(&mut entry.state, State::Running(Then::Tell)) {
            State::Queued(work) => Some(work),
            _ => None,
        }
    }

    /// Says what is to be done with the answer for what runs.
    pub(crate) fn run(&mut self, then: Then) {
        if let Some(entry) = self.running() {
            entry.state = State::Running(then);
        }
    }

    /// Returns for whom something runs, and what is to be done with the answer.
    pub(crate) fn answered(&mut self) -> (Option<ClientId>, Then) {
        match self.running() {
            Some(entry) => {
                let of = entry.of.map(|of| of.client);
                match core::mem::replace(&mut entry.state, State::Running(Then::Tell)) {
                    State::Running(then) => (of, then),
                    _ => (of, Then::Tell),
                }
            }
            None => (None, Then::Tell),
        }
    }

    /// Ends what runs, unless there is more to do for it.
    pub(crate) fn end(&mut self, result: Result<Outcome, Failure>) {
        if let Some(entry) = self.running() {
            entry.state = match result {
                Ok(Outcome::More(work)) => State::Queued(work),
                result => State::Ended(result),
            };
        }
        self.0.retain(|entry| entry.of.is_some() || !matches!(entry.state, State::Ended(_)));
    }

    /// Returns a client that has to be told that a request of its has ended.
    pub(crate) fn take_notice(&mut self) -> Option<ClientId> {
        let is_new = |entry: &&mut Entry| {
            !entry.is_told && matches!(entry.state, State::Ended(_)) && entry.of.is_some()
        };
        let entry = self.0.iter_mut().find(is_new)?;
        entry.is_told = true;
        entry.of.map(|of| of.client)
    }

    /// Ends all that is queued with a failure.
    pub(crate) fn fail_queued(&mut self, failure: Failure) {
        for entry in &mut self.0 {
            if matches!(entry.state, State::Queued(_)) {
                entry.state = State::Ended(Err(failure));
            }
        }
        self.0.retain(|entry| entry.of.is_some());
    }

    fn running(&mut self) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| matches!(entry.state, State::Running(_)))
    }
}
