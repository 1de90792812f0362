// SPDX-License-Identifier: BSD-2-Clause
//! What fsserver on a disk is measured against, as a protection domain: a passive server of the
//! usual kind. It has a cache, which the driver of the same disk fills and reads, and copies
//! between that and memory that it shares with its client for good. It knows no files: a client
//! names blocks.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use block_api::Client;
use disk_rival::{Answer, Direction, Procedure, SHARE, SHARE_BYTES, SHARE_FRAMES, Transfer};
use pd::PpChannel;
use pmserver_client::{
    ContainerHandle, MapFlags, Mapping, Micros, Pages, Pm, Rights, Share, ShareTerms, VirtAddr,
};
use proto::PAGE_BYTES;
use proto::limits::{BLOCK_BYTES, LEASE_MICROS_MAX};
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
};

/// The channels, as the system file numbers them.
const PMSERVER: usize = 0;
const DISK: usize = 1;
const CLIENT: Channel = Channel::new(2);

/// Where the cache is mapped.
const CACHE: VirtAddr = VirtAddr::new_page(0x1100_0000).unwrap();
const CACHE_RIGHTS: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// The domain, or nothing if it has no memory or no disk: then it refuses everything.
struct Domain(Option<Rival>);

struct Rival {
    pm: Pm<PpChannel>,
    disk: Client<PpChannel>,
    /// The cache, as the driver knows it.
    cache: ContainerHandle,
    /// What is under way, and how many bytes of the cache it uses.
    transfer: Option<(Transfer, u64)>,
    /// Whether a transfer has failed: then nothing is done any more.
    has_failed: bool,
}

#[protection_domain]
fn init() -> Domain {
    Domain(Rival::new())
}

impl Rival {
    fn new() -> Option<Self> {
        let pm = Pm::new(PpChannel::new(PMSERVER));
        let mut disk = Client::new(PpChannel::new(DISK));
        let peer = disk.version().ok()?.peer;
        let cache = pm.account().create_container().ok()?;
        cache.allocate(0..SHARE_FRAMES).ok()?;
        cache.map(0..SHARE_FRAMES, CACHE, CACHE_RIGHTS).ok()?.into_pages();
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        let terms = ShareTerms { peer, rights, lease_max, once: false };
        let (_, lent) = cache.share(0..SHARE_FRAMES, terms).map(Share::into_raw).ok()?;
        cache.into_raw();
        Some(Self {
            pm,
            disk,
            cache: ContainerHandle::from_raw(lent),
            transfer: None,
            has_failed: false,
        })
    }

    fn answer(&mut self, request: &MessageInfo) -> Answer {
        match (&self.transfer, self.has_failed) {
            (Some(_), _) => Answer::Busy,
            (None, true) => Answer::Refused,
            (None, false) => self.serve(request).map_or(Answer::Refused, |()| Answer::Done),
        }
    }

    fn serve(&mut self, request: &MessageInfo) -> Option<()> {
        let [first, second] = with_msg_regs(|registers| {
            [0, 1].map(|at| registers.get(at).copied().unwrap_or_default())
        });
        match Procedure::of_label(request.label())? {
            Procedure::Nothing => Some(()),
            Procedure::Fetch => self.begin(Direction::Read, (first, second)),
            Procedure::Read => {
                let bytes = first.min(SHARE_BYTES);
                shm::copy(CACHE, SHARE, usize::try_from(bytes).ok()?);
                Some(())
            }
            Procedure::Store => {
                let bytes = second.checked_mul(BLOCK_BYTES)?.min(SHARE_BYTES);
                shm::copy(SHARE, CACHE, usize::try_from(bytes).ok()?);
                self.begin(Direction::Write, (first, second))
            }
            Procedure::Flush => self.begin(Direction::Flush, (0, 0)),
        }
    }

    fn begin(&mut self, direction: Direction, blocks: (u64, u64)) -> Option<()> {
        let transfer = Transfer::begin(&mut self.disk, direction, self.cache, blocks);
        self.transfer = Some((transfer.ok()?, blocks.1.checked_mul(BLOCK_BYTES)?));
        Some(())
    }

    /// Maps the start of the cache again, which a transfer has suspended.
    fn own(&self, bytes: u64) -> Option<()> {
        let Some(pages) = Pages::new(CACHE, bytes.div_ceil(PAGE_BYTES)).filter(|_| bytes > 0)
        else {
            return Some(());
        };
        let mut mapping = Mapping::from_pages(&self.pm, pages, CACHE_RIGHTS);
        let result = mapping.remap(CACHE_RIGHTS);
        mapping.into_pages();
        result.ok()
    }

    /// Returns whether a transfer has ended.
    fn wake(&mut self) -> bool {
        let Some((transfer, bytes)) = &mut self.transfer else { return false };
        let (result, bytes) = (transfer.wake(&mut self.disk), *bytes);
        let has_ended = result.unwrap_or(true);
        if has_ended {
            self.transfer = None;
            self.has_failed |= result.is_err() || self.own(bytes).is_none();
        }
        has_ended
    }
}

impl Handler for Domain {
    type Error = Infallible;

    fn protected(&mut self, _: Channel, request: MessageInfo) -> Result<MessageInfo, Infallible> {
        let answer = self.0.as_mut().map_or(Answer::Refused, |rival| rival.answer(&request));
        Ok(MessageInfo::new(answer.label(), 0))
    }

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        if self.0.as_mut().is_some_and(Rival::wake) {
            CLIENT.notify();
        }
        Ok(())
    }

    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
