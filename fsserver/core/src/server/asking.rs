// SPDX-License-Identifier: BSD-2-Clause
//! Jobs for the file system: gives it one after the other, and deals with the answers.

use corosensei::stack::Stack;
use fsserver_api::{Failure, Feature, FileKind, FsError, Reply, Space};
use fsserver_volume::Inode;
use pmserver_client::{AddressSpace, Transport};

use super::FileServer;
use crate::cache::{Key, WINDOW_BYTES};
use crate::client::ClientId;
use crate::engine::{Answer, Change, Ended, Found, Job};
use crate::lent::of_pm;
use crate::listing::Listing;
use crate::memory;
use crate::open_file::{Content, OpenFile, Room};
use crate::under_way::{Asked, Known, Outcome, Then, Work};

impl<T: Transport, A: AddressSpace + Clone, S: Stack + 'static> FileServer<T, A, S> {
    /// Gives the file system something to do for a request.
    ///
    /// # Errors
    /// [`FsError::Pending`] if it waits for the disk; [`FsError::Busy`] if too many requests of the
    /// client do; what it failed with.
    pub(super) fn carry_out(&mut self, asked: Asked, work: Work) -> Result<Outcome, Failure> {
        let forgotten = self.under_way.make_room(asked.client)?;
        self.under_way.push(Some(asked), work);
        if let Some(Outcome::Reply(Reply::File(file))) = forgotten {
            // Nobody knows that it is open.
            let closed = self.files.close(asked.client, file)?;
            self.release(closed);
        }
        self.pump();
        match self.under_way.take(asked) {
            Known::Ended(result) => result,
            Known::Yes | Known::No => Err(FsError::Pending.into()),
        }
    }

    /// Gives the file system what is to be done next, as long as it waits for nothing.
    pub(super) fn pump(&mut self) {
        while !self.engine.is_busy() {
            let Some(work) = self.under_way.next() else { return };
            match self.prepare(work) {
                Ok(Some((job, then))) => {
                    self.under_way.run(then);
                    if let Some(ended) = self.engine.start(job) {
                        self.answered(ended);
                    }
                }
                Ok(None) => self.under_way.end(Ok(Outcome::Again)),
                Err(failure) => self.under_way.end(Err(failure)),
            }
        }
    }

    /// Returns the job for what is to be done now; nothing if it was done meanwhile.
    fn prepare(&mut self, work: Work) -> Result<Option<(Job, Then)>, Failure> {
        match work {
            Work::Ask(job, then) => Ok(Some((job, then))),
            Work::Change(root, change, then) => {
                if matches!(then, Then::Renamed | Then::Created) {
                    self.known.forget(|_| true);
                    self.files.all().for_each(|file| file.is_stale = true);
                }
                self.changing(root, change, then).map(Some)
            }
            Work::Write { inode, offset, from, bytes } => {
                let from = self.take_written(from)?;
                let then = Then::Written { inode, offset, bytes };
                let writing = self.changing("", Change::Write { inode, offset, from, bytes }, then);
                writing.inspect_err(|_| self.drop_written()).map(Some)
            }
            Work::Fill { key, is_lasting } => {
                let file = self.files.of(key.inode).next().ok_or(FsError::BadHandle)?;
                let bytes = left_in(key, file.status.size_bytes);
                let what = (key, is_lasting);
                let claimed = self.cache.claim(&self.pm, &self.memory, what, bytes)?;
                Ok(claimed.map(|(place, target)| {
                    let job = Job::Fill { inode: key.inode, offset: key.start(), bytes, target };
                    (job, Then::Filled { key, place, bytes })
                }))
            }
        }
    }

    /// Returns the job for a change.
    fn changing(
        &mut self,
        root: &'static str,
        change: Change,
        then: Then,
    ) -> Result<(Job, Then), Failure> {
        let now = self.pm.clock().map_err(of_pm)?;
        Ok((Job::Change { root, change, now, open: self.files.inodes() }, then))
    }

    /// Deals with an answer of the file system.
    pub(super) fn answered(&mut self, Ended { answer, is_lost }: Ended) {
        let (client, then) = self.under_way.answered();
        let result = self.conclude(client, then, answer);
        self.under_way.end(result);
        if is_lost {
            self.start_anew();
        }
    }

    /// Forgets all that is known of the volume: what was not synced may be gone, and what has a
    /// number now may be another file.
    #[cold]
    fn start_anew(&mut self) {
        self.files.close_all();
        self.known.forget(|_| true);
        self.held.clear();
        self.cache.trim(&self.pm, &self.memory);
        self.under_way.fail_queued(FsError::DiskFailed.into());
    }

    fn conclude(
        &mut self,
        client: Option<ClientId>,
        then: Then,
        answer: Result<Answer, Failure>,
    ) -> Result<Outcome, Failure> {
        match then {
            Then::Tell => answer.map(outcome_of),
            Then::Open(root, path) => {
                let found = file_of(answer?)?;
                self.known.put((root, &path), found);
                self.open_found(client.ok_or(FsError::Busy)?, found).map(Outcome::Reply)
            }
            Then::Created => {
                let found = file_of(answer?)?;
                // What had this number before is gone.
                self.cache.forget(&self.pm, &self.memory, found.inode);
                self.open_found(client.ok_or(FsError::Busy)?, found).map(Outcome::Reply)
            }
            Then::Status => {
                let found = file_of(answer?)?;
                self.learn(found);
                Ok(Outcome::Reply(Reply::Status(found.status)))
            }
            Then::Filled { key, place, bytes } => self.filled(key, (place, bytes), answer),
            Then::Written { inode, offset, bytes } => {
                let found = answer.and_then(file_of);
                if let Ok(found) = found {
                    let from = memory::place_of(&memory::written())?;
                    let (what, from) = ((found, offset), (from, bytes));
                    self.cache.update(&self.pm, &self.memory, what, from, &mut self.space);
                } else {
                    self.cache.forget(&self.pm, &self.memory, inode);
                }
                self.drop_written();
                self.learn(found?);
                Ok(Outcome::Reply(Reply::Bytes(bytes)))
            }
            Then::Learn => {
                self.learn(file_of(answer?)?);
                Ok(Outcome::Reply(Reply::Done))
            }
            Then::Resized(inode) => {
                self.cache.forget(&self.pm, &self.memory, inode);
                self.learn(file_of(answer?)?);
                Ok(Outcome::Reply(Reply::Done))
            }
            Then::Renamed => {
                if let Answer::Done(Some(held)) = answer? {
                    self.held.push(held);
                    // It may have been closed meanwhile.
                    if self.files.of(held).next().is_none() {
                        self.release(Some(held));
                    }
                }
                Ok(Outcome::Reply(Reply::Done))
            }
        }
    }

    /// Deals with a window that was read. If its memory was taken back meanwhile, who has asked for
    /// it asks again.
    fn filled(
        &mut self,
        key: Key,
        (place, bytes): (usize, u64),
        answer: Result<Answer, Failure>,
    ) -> Result<Outcome, Failure> {
        let (pm, memory) = (&self.pm, &self.memory);
        let is_there = self.cache.filled(pm, memory, (place, bytes), &mut self.space).is_ok();
        match answer {
            Ok(Answer::Done(_)) if is_there => return Ok(Outcome::Again),
            _ => self.cache.drop_place(pm, memory, place),
        }
        match answer {
            Ok(Answer::Elsewhere) => Ok(Outcome::More(Work::Fill { key, is_lasting: true })),
            Err(failure) if is_there => Err(failure),
            _ => Ok(Outcome::Again),
        }
    }

    /// Opens a file that was found.
    pub(super) fn open_found(&mut self, client: ClientId, found: Found) -> Result<Reply, Failure> {
        let Found { inode, status } = found;
        let content = match status.kind {
            FileKind::Regular => Content::File(0),
            FileKind::Directory => Content::Directory(Listing::new()),
            FileKind::Symlink => Content::Other(Feature::Symlink),
            FileKind::Special => Content::Other(Feature::Special),
        };
        let file = OpenFile { inode, status, is_stale: false, content };
        Ok(Reply::File(self.files.insert(self.room(client)?, file)?))
    }

    /// Returns where a client may open a file: beside those that it has open, and those that are
    /// being made for it.
    pub(super) fn room(&self, client: ClientId) -> Result<Room, FsError> {
        let most = self.setup.client(client.channel()).files;
        self.files.room(client, most.saturating_sub(self.under_way.created_for(client)))
    }

    /// Lets go of a file that nobody has open any more, when [`Self::pump`] is called next.
    pub(super) fn release(&mut self, closed: Option<Inode>) {
        let Some(inode) = closed else { return };
        let Some(index) = self.held.iter().position(|held| *held == inode) else { return };
        self.held.swap_remove(index);
        self.under_way.push(None, Work::Ask(Job::Release(inode), Then::Tell));
    }

    /// Notes what is known of a file now.
    fn learn(&mut self, found: Found) {
        for file in self.files.of(found.inode) {
            (file.status, file.is_stale) = (found.status, false);
        }
        self.known.forget(|known| known.inode == found.inode);
    }
}

/// Returns how many bytes a file of such a size has in a window.
pub(super) fn left_in(key: Key, size_bytes: u64) -> u64 {
    size_bytes.saturating_sub(key.start()).min(WINDOW_BYTES)
}

fn file_of(answer: Answer) -> Result<Found, Failure> {
    match answer {
        Answer::File(found) => Ok(found),
        _ => Err(FsError::Busy.into()),
    }
}

fn outcome_of(answer: Answer) -> Outcome {
    match answer {
        Answer::Done(_) | Answer::Elsewhere => Outcome::Reply(Reply::Done),
        Answer::File(found) => Outcome::Reply(Reply::Status(found.status)),
        Answer::Entries(entries) => Outcome::Entries(entries),
        Answer::Link(target) => Outcome::Link(target),
        Answer::Space(space) => Outcome::Reply(Reply::Space(Space {
            block_bytes: space.block_bytes,
            blocks: space.blocks,
            free_blocks: space.free_blocks,
            inodes: space.inodes,
            free_inodes: space.free_inodes,
        })),
    }
}
