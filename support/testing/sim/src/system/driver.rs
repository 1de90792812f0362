// SPDX-License-Identifier: BSD-2-Clause
//! The driver of the disk as a simulated program: the block server over the model of a disk.

use block_api::{BlockError, Failure};
use block_core::{BlockServer, Device};
use pmserver_client::{Error, LockMode, MapFlags, Micros, Pages, Pm};
use proto::{Message, PeerId, Service, VirtAddr};

use super::Settings;
use super::call::Channel;
use super::domain::{Domain, Program};
use super::programs::PMSERVER;
use crate::clock::Clock;
use crate::disk::Disk;

/// What `support/drivers/virtio-blk` has for its rings, and where.
const RINGS: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 3).unwrap();

/// The names of the program, and of the one that misbehaves if it is told to.
pub(super) const PROGRAM: &str = "virtio-blk";
/// See [`PROGRAM`].
pub(super) const SABOTAGED: &str = "sabotaged-virtio-blk";

/// Returns the disk of a system and the domain that drives it, if it has both.
pub(super) fn attach(settings: &Settings<'_>, clock: &Clock) -> Option<(usize, Disk)> {
    let driver = [PROGRAM, SABOTAGED].into_iter().find_map(|name| settings.file.running(name))?;
    let (_, number) = settings.file.domains[driver].parent?;
    let disk = Disk::new(settings.disk.as_ref()?, PeerId::new(number.into())?, clock.clone());
    Some((driver, disk))
}

/// The program of the driver, with its disk, if there is one, and what it makes of that.
pub(super) struct DriverProgram<D>(Option<Disk>, fn(Disk) -> D);

impl<D: Device> DriverProgram<D> {
    pub(super) const fn new(disk: Option<Disk>, wrap: fn(Disk) -> D) -> Self {
        Self(disk, wrap)
    }
}

impl<D: Device + 'static> Program for DriverProgram<D> {
    fn start(&self, domain: &Domain) -> Box<dyn Service> {
        let disk = self.0.clone().map(self.1).ok_or_else(|| BlockError::NoDisk.into());
        let disk = reserve_rings(domain).and(disk);
        let server = disk.and_then(|disk| BlockServer::new(domain.channel(PMSERVER), disk));
        Box::new(DriverService { domain: domain.clone(), server })
    }

    fn recover(&self, _: &Domain) -> (Box<dyn Service>, Message) {
        panic!("the driver registers no recovery entry")
    }
}

/// Makes the memory that the driver of a real disk shares with it: the accounts are the same then.
fn reserve_rings(domain: &Domain) -> Result<(), Failure> {
    let pm = Pm::new(domain.channel(PMSERVER));
    let made = pm.account().create_container().and_then(|container| {
        let frames = 0..RINGS.count();
        container.allocate_contiguous(frames.clone(), 12, 64)?;
        container.pin(frames.clone(), LockMode::Exclusive, Micros::NEVER)?.into_raw();
        let flags = MapFlags::WRITE | MapFlags::FORCE_WRITE;
        container.map(frames, RINGS.start(), flags)?.into_pages();
        container.into_raw();
        Ok(())
    });
    made.map_err(|error: Error| Failure::pm_refused(error.kind.status()))
}

/// The server, or why there is none.
struct DriverService<D: Device> {
    domain: Domain,
    server: Result<BlockServer<Channel, D>, Failure>,
}

impl<D: Device> DriverService<D> {
    /// Notifies the clients of which a request has ended.
    fn notify(&mut self) {
        let Ok(server) = &mut self.server else { return };
        while let Some(client) = server.take_notice() {
            self.domain.notify(client.get());
        }
    }
}

impl<D: Device> Service for DriverService<D> {
    fn protected(&mut self, channel: u8, request: &Message) -> Message {
        let client = PeerId::new(channel.into()).expect("a client's channel is its peer number");
        let reply = match &mut self.server {
            Ok(server) => server.call(client, request),
            Err(failure) => failure.reply(),
        };
        self.notify();
        reply
    }

    /// The interrupt, or anybody who wants the driver to look whether the disk hangs.
    fn notified(&mut self) {
        if let Ok(server) = &mut self.server {
            server.wake();
        }
        self.notify();
    }
}
