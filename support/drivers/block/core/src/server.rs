// SPDX-License-Identifier: BSD-2-Clause
//! Decodes a request, queues it or refuses it, and follows what the device does.

use block_api::{
    BlockCount, BlockError, CallError, Failure, Geometry, Identity, PROTOCOL_VERSION, Place, Reply,
    Request, Tag,
};
use pmserver_client::api::{Calls, LeaseHandle};
use pmserver_client::{
    Error, ErrorKind, Lease, LockMode, Message, Micros, PeerId, Pm, PmError, Transport,
    WeakContainer,
};
use proto::FrameNumber;
use proto::limits::{
    BLOCK_FLUSH_MICROS_MAX, BLOCK_LEASE_LEFT_MICROS, BLOCK_MICROS_MAX, BLOCK_REQUESTS_MAX,
    CALL_FRAMES_MAX, FRAME_BLOCKS, LARGE_FRAMES, LEASE_MICROS_MAX, PEERS_MAX,
};

use crate::device::{Broken, Device, Refusal, RequestIndex};
use crate::requests::{Pinned, Requests, Room, UnderWay};
use crate::work::{Direction, Memory, Work};

/// Whether a client was told that a request of its has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// There is nothing to tell since it asked last.
    Nothing,
    /// It is to be notified.
    Due,
    /// It was notified, and has not asked yet.
    Sent,
}

/// A block server.
pub struct BlockServer<T: Transport, D: Device> {
    pm: Pm<T>,
    peer: PeerId,
    device: D,
    geometry: Geometry,
    /// Whether the last reset of the device succeeded.
    works: bool,
    requests: Requests,
    /// The pins of requests that have ended while the device may still access their frames.
    quarantine: [Option<u64>; BLOCK_REQUESTS_MAX],
    notices: [Notice; PEERS_MAX],
}

impl<T: Transport, D: Device> BlockServer<T, D> {
    /// Returns a server of a device that works and has nothing to do.
    ///
    /// # Errors
    /// [`BlockError::PmRefused`] if pmserver refuses to say which peer the server is.
    pub fn new(pmserver: T, device: D) -> Result<Self, Failure> {
        let pm = Pm::new(pmserver);
        let peer = pm.whoami().map_err(of_pm)?.peer;
        Ok(Self {
            pm,
            peer,
            geometry: device.geometry(),
            device,
            works: true,
            requests: Requests::new(),
            quarantine: [None; BLOCK_REQUESTS_MAX],
            notices: [Notice::Nothing; PEERS_MAX],
        })
    }

    /// Answers a request that came in from a client: the channel of the call has the number by
    /// which pmserver knows the client.
    pub fn call(&mut self, client: PeerId, message: &Message) -> Message {
        let reply = Request::decode(message)
            .and_then(|request| self.serve(client, request).map_err(CallError::from));
        match reply {
            Ok(reply) => reply.encode(),
            Err(error) => error.reply(),
        }
    }

    /// Looks at the device, after an interrupt or any other notification.
    pub fn wake(&mut self) {
        self.device.acknowledge();
        self.look();
    }

    /// Returns a client that is to be notified now; called until there is none, after every other
    /// call.
    pub fn take_notice(&mut self) -> Option<PeerId> {
        let (number, notice) =
            (0..).zip(&mut self.notices).find(|(_, notice)| **notice == Notice::Due)?;
        *notice = Notice::Sent;
        PeerId::new(number)
    }

    fn serve(&mut self, client: PeerId, request: Request) -> Result<Reply, Failure> {
        // pmserver would let the server use what another client has lent it. This client must not:
        // for it, that number names nothing.
        if request.container().is_some_and(|container| container.owner() != Some(client)) {
            return Err(PmError::InvalidCap.into());
        }
        match request {
            Request::Version => {
                let (version, peer) = (PROTOCOL_VERSION, self.peer);
                Ok(Reply::Identity(Identity { version, peer }))
            }
            Request::Geometry => Ok(Reply::Geometry(self.geometry)),
            Request::Read { to, block, count, tag } => {
                self.queue_blocks((client, tag), Direction::Read, to, (block, count))
            }
            Request::Write { from, block, count, tag } => {
                if self.geometry.features.is_read_only {
                    return Err(BlockError::ReadOnly.into());
                }
                self.queue_blocks((client, tag), Direction::Write, from, (block, count))
            }
            Request::Flush { tag } => {
                let has_it = self.geometry.features.has_flush;
                self.queue_alone((client, tag), has_it, Work::Flush, BLOCK_FLUSH_MICROS_MAX)
            }
            Request::Discard { block, count, tag } => {
                let features = self.geometry.features;
                self.check_range(block, count)?;
                let has_it = features.has_discard && !features.is_read_only;
                let work = Work::Discard { block, count };
                self.queue_alone((client, tag), has_it, work, BLOCK_MICROS_MAX)
            }
            Request::Completed => {
                self.look();
                if let Some(notice) = self.notices.get_mut(usize::from(client.get())) {
                    *notice = Notice::Nothing;
                }
                Ok(Reply::Completed(self.requests.take_ended(client)))
            }
        }
    }

    fn check_range(&self, block: u64, count: u32) -> Result<(), Failure> {
        let blocks = self.geometry.blocks;
        let end = block.checked_add(count.into()).filter(|end| *end <= blocks);
        end.map(drop).ok_or(Failure { error: BlockError::PastEnd, detail: blocks })
    }

    /// Pins the frames of a request and queues it.
    fn queue_blocks(
        &mut self,
        (client, tag): (PeerId, Tag),
        direction: Direction,
        Place { container, offset }: Place,
        (block, count): (u64, BlockCount),
    ) -> Result<Reply, Failure> {
        self.check_range(block, count.get())?;
        let count = u64::from(count.get());
        let (Some(frame), Some(skip)) =
            (offset.checked_div(FRAME_BLOCKS), offset.checked_rem(FRAME_BLOCKS))
        else {
            return Err(BlockError::BadRange.into());
        };
        let frames = match skip.saturating_add(count).div_ceil(FRAME_BLOCKS) {
            few @ ..=CALL_FRAMES_MAX => few,
            // No part of a large frame is pinned without the rest.
            ..=LARGE_FRAMES if frame.is_multiple_of(LARGE_FRAMES) => LARGE_FRAMES,
            _ => return Err(BlockError::BadRange.into()),
        };
        self.make_ready()?;
        let room = self.requests.room(client, frames)?;
        let mode = match direction {
            Direction::Read => LockMode::Exclusive,
            Direction::Write => LockMode::Read,
        };
        // The last frame that a block has is far below the last number of a frame.
        let range = frame..frame.saturating_add(frames);
        let pin = WeakContainer::from_handle(&self.pm, container)
            .pin(range, mode, Micros::new(LEASE_MICROS_MAX))
            .map_err(of_pm)?;
        // From here on, dropping the pin ends it: the device knows nothing of it yet.
        let now = self.pm.clock().map_err(of_pm)?;
        let deadline = now.saturating_add(Micros::new(BLOCK_MICROS_MAX));
        if pin.deadline() < deadline.saturating_add(Micros::new(BLOCK_LEASE_LEFT_MICROS)) {
            return Err(BlockError::LeaseTooShort.into());
        }
        let (until, run) = (pin.deadline(), pin.first());
        let pin = Some(Pinned { lease: pin.into_raw(), frames, deadline: until });
        let memory = Memory { frame, skip, run };
        let work = Work::Blocks { direction, block, count, memory };
        Ok(self.queue(room, (client, tag), work, pin, deadline))
    }

    /// Queues a request that needs no memory.
    fn queue_alone(
        &mut self,
        (client, tag): (PeerId, Tag),
        has_it: bool,
        work: Work,
        micros: u64,
    ) -> Result<Reply, Failure> {
        if !has_it {
            return Err(BlockError::Unsupported.into());
        }
        self.make_ready()?;
        let room = self.requests.room(client, 0)?;
        let now = self.pm.clock().map_err(of_pm)?;
        let deadline = now.saturating_add(Micros::new(micros));
        Ok(self.queue(room, (client, tag), work, None, deadline))
    }

    fn queue(
        &mut self,
        room: Room,
        (client, tag): (PeerId, Tag),
        work: Work,
        pin: Option<Pinned>,
        deadline: Micros,
    ) -> Reply {
        let request = UnderWay { client, tag, work, transfers: 0, pin, deadline, result: Ok(()) };
        self.requests.insert(room, request);
        self.begin();
        Reply::Queued
    }

    /// Makes room if something has ended, and the device work if it can.
    fn make_ready(&mut self) -> Result<(), Failure> {
        self.look();
        if !self.works {
            self.works = self.device.reset().is_ok();
            self.release_quarantine();
        }
        if self.works { Ok(()) } else { Err(BlockError::NoDisk.into()) }
    }

    /// Ends what has ended or had its time, and begins what can begin.
    fn look(&mut self) {
        if !self.requests.has_work() {
            return;
        }
        if self.collect().is_err() {
            self.reset();
        }
        let Ok(now) = self.pm.clock() else { return };
        let mut is_late = false;
        for index in Requests::indices() {
            let Some(request) = self.requests.get_mut(index) else { continue };
            let had_its_time = request.deadline <= now;
            if request.transfers > 0 {
                is_late |= had_its_time;
            } else if matches!(request.work, Work::Nothing) {
                self.end(index, now);
            } else if had_its_time {
                self.give_up(index);
            }
        }
        if is_late {
            self.reset();
        }
        self.begin();
    }

    /// Counts the transfers that have ended.
    fn collect(&mut self) -> Result<(), Broken> {
        while self.requests.has_transfers() {
            let Some((index, is_done)) = self.device.ended()? else { break };
            let request = self.requests.get_mut(index).ok_or(Broken)?;
            request.transfers = request.transfers.checked_sub(1).ok_or(Broken)?;
            if !is_done {
                request.result = Err(BlockError::Failed);
                request.work = Work::Nothing;
            }
        }
        Ok(())
    }

    /// Begins transfers until the device has no room, in the order of the requests.
    fn begin(&mut self) {
        let limits = self.device.limits();
        while let Some(index) = self.requests.next_to_begin() {
            let Some(request) = self.requests.get_mut(index) else { break };
            if let (Some(frame), Some(pin)) = (request.work.needs_address(), request.pin) {
                let lease = LeaseHandle::from_raw(pin.lease);
                match Calls::new(&self.pm).bus_address(lease, FrameNumber::new(frame)) {
                    Ok(run) => request.work.set_address(run),
                    // Only after the deadline.
                    Err(_) => self.give_up(index),
                }
                continue;
            }
            let Some(transfer) = request.work.next(&limits) else { break };
            match self.device.begin(index, &transfer) {
                Ok(()) => {
                    request.transfers = request.transfers.saturating_add(1);
                    request.work.take_off(&transfer);
                }
                Err(Refusal::Full) => break,
                Err(Refusal::Broken) => {
                    self.reset();
                    self.give_up(index);
                }
            }
        }
    }

    /// Begins nothing more of a request. It ends when nothing of it is under way.
    fn give_up(&mut self, index: RequestIndex) {
        let Some(request) = self.requests.get_mut(index) else { return };
        request.work = Work::Nothing;
        request.result = request.result.and(Err(BlockError::Aborted));
        if request.transfers == 0 {
            self.end(index, Micros::new(u64::MAX));
        }
    }

    /// Resets the device. All that it was doing ends with an error; what it had not begun waits on,
    /// but if the device does not work any more.
    fn reset(&mut self) {
        self.works = self.device.reset().is_ok();
        for index in Requests::indices() {
            let Some(request) = self.requests.get_mut(index) else { continue };
            let was_begun = request.transfers > 0;
            // What is over already ends as it went.
            let waits_on = self.works || matches!(request.work, Work::Nothing);
            if !was_begun && waits_on {
                continue;
            }
            request.transfers = 0;
            request.result = Err(if was_begun { BlockError::Aborted } else { BlockError::NoDisk });
            if was_begun && !self.works {
                let free = self.quarantine.iter_mut().find(|entry| entry.is_none());
                if let (Some(free), Some(pin)) = (free, request.pin.take()) {
                    *free = Some(pin.lease);
                }
            }
            self.end(index, Micros::new(u64::MAX));
        }
        self.release_quarantine();
    }

    /// Ends the pins of requests that ended before the device had stopped: it has now.
    fn release_quarantine(&mut self) {
        for entry in self.quarantine.iter_mut().filter(|_| self.works) {
            if let Some(lease) = entry.take() {
                drop(Lease::from_raw(&self.pm, lease, Micros::new(0)));
            }
        }
    }

    /// Ends a request of which nothing is under way, and its pin. If the pin had ended before, the
    /// device did not move what the client has in its frames now.
    fn end(&mut self, index: RequestIndex, now: Micros) {
        let Some(request) = self.requests.get_mut(index) else { return };
        let mut result = request.result;
        if let Some(pin) = request.pin.take() {
            if pin.deadline <= now {
                result = result.and(Err(BlockError::Aborted));
            }
            drop(Lease::from_raw(&self.pm, pin.lease, pin.deadline));
        }
        let client = usize::from(request.client.get());
        self.requests.end(index, result);
        if let Some(notice @ Notice::Nothing) = self.notices.get_mut(client) {
            *notice = Notice::Due;
        }
    }
}

/// Returns what a client is told if pmserver refuses the server something.
fn of_pm(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Refused(PmError::NotFound) => BlockError::ContainerTooSmall.into(),
        kind => Failure::pm_refused(kind.status()),
    }
}
