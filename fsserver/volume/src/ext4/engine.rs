// SPDX-License-Identifier: BSD-2-Clause
//! The engine: how it is mounted, and what its errors mean.

use rsext4::{
    Ext4, Ext4Error, Ext4ErrorKind, Ext4Result, Ext4Timestamp, FileName, InodeNumber, MountOptions,
    MountServices, MountedServices, NoopObserver,
};

use super::disk::Disk;
use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::volume::{Clock, Inode};

/// A volume that rsext4 has mounted.
pub(super) type Engine<D> = Ext4<Disk<D>, MountedServices<(), NoopObserver>>;

/// The clock, as the engine asks for it.
struct EngineClock<C>(C);

impl<C: Clock> rsext4::Clock for EngineClock<C> {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        Ok(timestamp(self.0.now()))
    }
}

pub(super) fn timestamp(time: crate::volume::Time) -> Ext4Timestamp {
    Ext4Timestamp::new(time.seconds.into(), time.nanoseconds)
}

pub(super) fn mount<D: BlockDevice, C: Clock>(
    disk: Disk<D>,
    clock: C,
    options: MountOptions,
) -> Result<Engine<D>, Error> {
    let services = MountServices::new(EngineClock(clock), (), NoopObserver);
    Engine::mount(disk, services, options).map_err(error)
}

pub(super) fn number(inode: Inode) -> Result<InodeNumber, Error> {
    InodeNumber::new(inode.number()).map_err(error)
}

pub(super) fn inode(number: InodeNumber) -> Result<Inode, Error> {
    Inode::new(number.raw()).ok_or(Error::Damaged)
}

/// Returns a name to look up.
pub(super) fn name(bytes: &[u8]) -> Result<FileName<'_>, Error> {
    if bytes.len() > 255 {
        return Err(Error::NameTooLong);
    }
    FileName::new(bytes).map_err(|_: Ext4Error| Error::BadName)
}

/// Returns a name that a file can be given.
pub(super) fn new_name(bytes: &[u8]) -> Result<FileName<'_>, Error> {
    let name = name(bytes)?;
    if name.is_reserved() { Err(Error::BadName) } else { Ok(name) }
}

/// Returns what an error of the engine means here.
pub(super) fn error(error: Ext4Error) -> Error {
    match error.kind() {
        Ext4ErrorKind::Io | Ext4ErrorKind::Timeout | Ext4ErrorKind::JournalAborted => Error::Io,
        Ext4ErrorKind::Corrupted
        | Ext4ErrorKind::ChecksumMismatch
        | Ext4ErrorKind::BadSuperblock
        | Ext4ErrorKind::Overflow => Error::Damaged,
        Ext4ErrorKind::UnsupportedFeature
        | Ext4ErrorKind::UnsupportedCapability
        | Ext4ErrorKind::Unsupported => Feature::Unknown.into(),
        Ext4ErrorKind::ReadOnly | Ext4ErrorKind::PermissionDenied => Error::ReadOnly,
        Ext4ErrorKind::NoSpace | Ext4ErrorKind::QuotaExceeded => Error::NoSpace,
        Ext4ErrorKind::NoMemory | Ext4ErrorKind::FileTooLarge => Error::TooLarge,
        Ext4ErrorKind::TooManyLinks => Error::TooManyLinks,
        Ext4ErrorKind::NotFound | Ext4ErrorKind::BadFileDescriptor => Error::NotFound,
        Ext4ErrorKind::AlreadyExists => Error::Exists,
        Ext4ErrorKind::NotDirectory => Error::NotADirectory,
        Ext4ErrorKind::IsDirectory => Error::IsADirectory,
        Ext4ErrorKind::NotEmpty => Error::NotEmpty,
        Ext4ErrorKind::Busy => Error::Busy,
        Ext4ErrorKind::InvalidInput => Error::BadName,
        Ext4ErrorKind::InvalidMagic => Error::NotExt4,
    }
}
