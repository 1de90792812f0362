// SPDX-License-Identifier: BSD-2-Clause
//! The table of requests: of a fixed size, and none has more than its share of it.
//!
//! A request that has ended stays until its client has been told, so none is lost and nothing has
//! to be allocated for one.

use block_api::{BlockError, Completed, Completion, Tag};
use pmserver_client::{Micros, PeerId};
use proto::limits::{
    BLOCK_FRAMES_PER_CLIENT_MAX, BLOCK_REQUESTS_MAX, BLOCK_REQUESTS_PER_CLIENT_MAX,
};

use crate::device::RequestIndex;
use crate::work::Work;

/// A pin, by its number: the table holds no value that borrows the connection to pmserver.
#[derive(Clone, Copy)]
pub(crate) struct Pinned {
    pub(crate) lease: u64,
    pub(crate) frames: u64,
    pub(crate) deadline: Micros,
}

/// A request that has not ended.
pub(crate) struct UnderWay {
    pub(crate) client: PeerId,
    pub(crate) tag: Tag,
    /// What is left to begin.
    pub(crate) work: Work,
    /// Transfers that have begun and not ended.
    pub(crate) transfers: u32,
    /// What keeps the frames in place.
    pub(crate) pin: Option<Pinned>,
    /// When the device has had its time.
    pub(crate) deadline: Micros,
    /// How the transfers went so far.
    pub(crate) result: Result<(), BlockError>,
}

enum State {
    UnderWay(UnderWay),
    Ended { client: PeerId, completion: Completion },
}

/// A request, with its place in the order: in which it was queued, then in which it ended.
struct Entry {
    order: u64,
    state: State,
}

/// A place for another request of a client.
pub(crate) struct Room(RequestIndex);

/// All requests.
pub(crate) struct Requests {
    entries: [Option<Entry>; BLOCK_REQUESTS_MAX],
    next_order: u64,
}

impl Requests {
    pub(crate) const fn new() -> Self {
        Self { entries: [const { None }; BLOCK_REQUESTS_MAX], next_order: 0 }
    }

    /// Returns a place for a request of so many frames, if the client may have another.
    pub(crate) fn room(&self, client: PeerId, frames: u64) -> Result<Room, BlockError> {
        let of_client = |entry: &&Entry| entry.client() == client;
        let own = self.entries.iter().flatten().filter(of_client);
        let pinned = own.clone().fold(frames, |sum, entry| sum.saturating_add(entry.frames()));
        let free = self.entries.iter().position(Option::is_none);
        let is_allowed =
            own.count() < BLOCK_REQUESTS_PER_CLIENT_MAX && pinned <= BLOCK_FRAMES_PER_CLIENT_MAX;
        let free = free.filter(|_| is_allowed).ok_or(BlockError::TooManyRequests)?;
        Ok(Room(RequestIndex(free)))
    }

    /// Adds a request, behind all that are there.
    pub(crate) fn insert(&mut self, Room(index): Room, request: UnderWay) {
        self.put(index, State::UnderWay(request));
    }

    /// Returns a request that has not ended.
    pub(crate) fn get_mut(&mut self, index: RequestIndex) -> Option<&mut UnderWay> {
        match self.entries.get_mut(index.0)?.as_mut()? {
            Entry { state: State::UnderWay(request), .. } => Some(request),
            Entry { state: State::Ended { .. }, .. } => None,
        }
    }

    /// Returns the indices of all places.
    pub(crate) fn indices() -> impl Iterator<Item = RequestIndex> {
        (0..BLOCK_REQUESTS_MAX).map(RequestIndex)
    }

    /// Returns the first request of which something is left to begin.
    pub(crate) fn next_to_begin(&self) -> Option<RequestIndex> {
        let waiting = self.entries.iter().enumerate().filter_map(|(index, entry)| match entry {
            Some(Entry { order, state: State::UnderWay(request) })
                if !matches!(request.work, Work::Nothing) =>
            {
                Some((*order, index))
            }
            _ => None,
        });
        waiting.min().map(|(_, index)| RequestIndex(index))
    }

    /// Returns whether a request has not ended.
    pub(crate) fn has_work(&self) -> bool {
        self.under_way().next().is_some()
    }

    /// Returns whether a transfer is under way.
    pub(crate) fn has_transfers(&self) -> bool {
        self.under_way().any(|request| request.transfers > 0)
    }

    fn under_way(&self) -> impl Iterator<Item = &UnderWay> {
        self.entries.iter().flatten().filter_map(|entry| match &entry.state {
            State::UnderWay(request) => Some(request),
            State::Ended { .. } => None,
        })
    }

    /// Ends a request with this result; its client has yet to be told.
    pub(crate) fn end(&mut self, index: RequestIndex, result: Result<(), BlockError>) {
        let Some(&mut UnderWay { client, tag, .. }) = self.get_mut(index) else { return };
        self.put(index, State::Ended { client, completion: Completion { tag, result } });
    }

    /// Forgets requests of a client that have ended, the first to end first, and returns how they
    /// did.
    pub(crate) fn take_ended(&mut self, client: PeerId) -> Completed {
        let mut completed = Completed::default();
        while let Some((index, completion)) = self.first_ended(client) {
            if !completed.push(completion) {
                break;
            }
            if let Some(entry) = self.entries.get_mut(index) {
                *entry = None;
            }
        }
        let is_left = |entry: &&Entry| entry.has_ended_for(client);
        let left = self.entries.iter().flatten().filter(is_left).count();
        completed.waiting = u32::try_from(left).unwrap_or(u32::MAX);
        completed
    }

    fn first_ended(&self, client: PeerId) -> Option<(usize, Completion)> {
        let ended = self.entries.iter().enumerate().filter_map(|(index, entry)| match entry {
            Some(Entry { order, state: State::Ended { client: of, completion } })
                if *of == client =>
            {
                Some((*order, index, *completion))
            }
            _ => None,
        });
        ended.min_by_key(|(order, ..)| *order).map(|(_, index, completion)| (index, completion))
    }

    fn put(&mut self, index: RequestIndex, state: State) {
        if let Some(entry) = self.entries.get_mut(index.0) {
            *entry = Some(Entry { order: self.next_order, state });
            self.next_order = self.next_order.wrapping_add(1);
        }
    }
}

impl Entry {
    const fn client(&self) -> PeerId {
        match self.state {
            State::UnderWay(UnderWay { client, .. }) | State::Ended { client, .. } => client,
        }
    }

    fn frames(&self) -> u64 {
        match &self.state {
            State::UnderWay(request) => request.pin.map_or(0, |pin| pin.frames),
            State::Ended { .. } => 0,
        }
    }

    fn has_ended_for(&self, client: PeerId) -> bool {
        matches!(self.state, State::Ended { client: of, .. } if of == client)
    }
}
