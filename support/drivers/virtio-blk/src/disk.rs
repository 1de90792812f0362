// SPDX-License-Identifier: BSD-2-Clause
//! The disk: transfers as chains of descriptors in one queue.
//!
//! ```text
//!   header (what, where on the disk) -> data, or a segment to discard -> status
//! ```

use core::mem::ManuallyDrop;

use bitflags::bitflags;
use block_api::{DiskFeatures, Geometry};
use block_core::{Broken, Device, Limits, Refusal, RequestIndex, Transfer};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport as _};

use crate::bus::Transport;
use crate::regions::{self, Buffer, Chain, DATA_BYTES_MAX, QUEUE_SIZE, Queue};
use crate::rings;

const QUEUE: u16 = 0;
/// Transfers at a time.
const TRANSFERS: usize = QUEUE_SIZE / 3;

/// The parts of the last page of the rings: for each transfer a header, a segment and a status.
const HEADERS: usize = 0;
const HEADER_BYTES: usize = 16;
const SEGMENTS: usize = 1024;
const SEGMENT_BYTES: usize = 16;
const STATUSES: usize = 2048;

/// Types of requests.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const DISCARD: u32 = 11;

/// What the device writes when it has done a transfer, and what is there before.
const STATUS_OK: u8 = 0;
const STATUS_NONE: u8 = 0xFF;

/// Where in the device's configuration its size is, and how much one request may discard.
const CAPACITY_LOW: usize = 0;
const CAPACITY_HIGH: usize = 4;
const DISCARD_BLOCKS_MAX: usize = 36;

/// How often the status is read until a reset has to be done.
const RESET_LOOKS: u32 = 100_000;

bitflags! {
    /// What the driver and the device agree on. `RING_EVENT_IDX` is left out: virtio-drivers 0.13.0
    /// would not notify the device of some transfers after 65,536 of them.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const READ_ONLY = 1 << 5;
        const FLUSH = 1 << 9;
        const DISCARD = 1 << 13;
        const VERSION_1 = 1 << 32;
        /// The device is behind an IOMMU, as far as it is concerned.
        const ACCESS_PLATFORM = 1 << 33;
    }
}

/// A transfer under way.
struct UnderWay {
    /// The number of its first descriptor, by which the device names it.
    token: u16,
    request: RequestIndex,
    chain: Chain,
}

/// The disk.
pub struct Disk {
    /// Never dropped: that may wait for the device without an end.
    transport: ManuallyDrop<Transport>,
    /// Nothing after a reset that failed.
    queue: Option<Queue>,
    geometry: Geometry,
    limits: Limits,
    under_way: [Option<UnderWay>; TRANSFERS],
}

impl Disk {
    /// Starts the device. Returns nothing if it is no disk, or does not work.
    pub(crate) fn start(transport: Transport) -> Option<Self> {
        let transport = ManuallyDrop::new(transport);
        let geometry = Geometry { blocks: 0, features: DiskFeatures::default() };
        let limits = Limits { bytes: u64::try_from(DATA_BYTES_MAX).ok()?, discard_blocks: 0 };
        let under_way = [const { None }; TRANSFERS];
        let mut disk = Self { transport, queue: None, geometry, limits, under_way };
        if disk.transport.device_type() != DeviceType::Block {
            return None;
        }
        let features = disk.set_up().ok()?;
        let word = |offset| disk.transport.read_config_space::<u32>(offset).ok();
        let blocks = u64::from(word(CAPACITY_HIGH)?) << 32 | u64::from(word(CAPACITY_LOW)?);
        let has_discard = features.contains(Features::DISCARD);
        let discard_blocks = if has_discard { word(DISCARD_BLOCKS_MAX)? } else { 0 };
        let features = DiskFeatures {
            is_read_only: features.contains(Features::READ_ONLY),
            has_flush: features.contains(Features::FLUSH),
            has_discard: discard_blocks > 0,
        };
        disk.geometry = Geometry { blocks, features };
        disk.limits.discard_blocks = discard_blocks;
        Some(disk)
    }

    /// Resets the device, agrees with it on features, and gives it the queue.
    fn set_up(&mut self) -> Result<Features, Broken> {
        self.queue = None;
        self.transport.set_status(DeviceStatus::empty());
        let is_reset = |_: &u32| self.transport.get_status().is_empty();
        (0..RESET_LOOKS).find(is_reset).ok_or(Broken)?;
        self.under_way = [const { None }; TRANSFERS];
        rings::restart();

        let features = self.transport.begin_init(Features::all());
        let is_agreed = self.transport.get_status().contains(DeviceStatus::FEATURES_OK);
        if !is_agreed || !features.contains(Features::VERSION_1) {
            return Err(Broken);
        }
        let queue = Queue::new(&mut *self.transport, QUEUE, false, false);
        self.queue = Some(queue.map_err(|_| Broken)?);
        self.transport.finish_init();
        Ok(features)
    }

    /// Writes the header of a transfer. Returns the buffers, and where the data is on the bus.
    fn chain(&self, index: usize, transfer: &Transfer) -> (Chain, u64) {
        let at = |part: usize, bytes: usize| {
            rings::address_in_last_page(part.saturating_add(index.saturating_mul(bytes)))
        };
        let (header, segment) = (at(HEADERS, HEADER_BYTES), at(SEGMENTS, SEGMENT_BYTES));
        let status = at(STATUSES, 1);
        shm::store(status, STATUS_NONE);
        let status = Buffer::of_rings(status, 1);
        let data = |bytes: u32| Buffer::data(usize::try_from(bytes).unwrap_or_default());
        let nothing = Buffer::NONE;
        let (kind, sector, second, written, bus) = match *transfer {
            Transfer::Read { block, to } => {
                (IN, block, nothing, [data(to.bytes), status], to.address)
            }
            Transfer::Write { block, from } => {
                (OUT, block, data(from.bytes), [status, nothing], from.address)
            }
            Transfer::Flush => (FLUSH, 0, nothing, [status, nothing], 0),
            Transfer::Discard { block, count } => {
                // The first block, how many, and no flags.
                shm::store(segment, block);
                shm::store(segment.saturating_add(8), u64::from(count));
                let segment = Buffer::of_rings(segment, SEGMENT_BYTES);
                (DISCARD, 0, segment, [status, nothing], 0)
            }
        };
        shm::store(header, u64::from(kind));
        shm::store(header.saturating_add(8), sector);
        let header = Buffer::of_rings(header, HEADER_BYTES);
        (Chain { read: [header, second], written }, bus)
    }
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn begin(&mut self, request: RequestIndex, transfer: &Transfer) -> Result<(), Refusal> {
        let free = self.under_way.iter().position(Option::is_none).ok_or(Refusal::Full)?;
        let (chain, data) = self.chain(free, transfer);
        let queue = self.queue.as_mut().ok_or(Refusal::Broken)?;
        let token = regions::add(queue, &chain, data).ok_or(Refusal::Broken)?;
        if let Some(place) = self.under_way.get_mut(free) {
            *place = Some(UnderWay { token, request, chain });
        }
        if queue.should_notify() {
            self.transport.notify(QUEUE);
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<(RequestIndex, bool)>, Broken> {
        let queue = self.queue.as_mut().ok_or(Broken)?;
        let Some(token) = queue.peek_used() else { return Ok(None) };
        let is_it = |entry: &Option<UnderWay>| entry.as_ref().is_some_and(|it| it.token == token);
        let index = self.under_way.iter().position(is_it).ok_or(Broken)?;
        let ended = self.under_way.get_mut(index).and_then(Option::take).ok_or(Broken)?;
        regions::pop(queue, token, &ended.chain).ok_or(Broken)?;
        let status = rings::address_in_last_page(STATUSES.saturating_add(index));
        Ok(Some((ended.request, shm::load::<u8>(status) == STATUS_OK)))
    }

    fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }

    fn reset(&mut self) -> Result<(), Broken> {
        self.set_up().map(drop)
    }
}
