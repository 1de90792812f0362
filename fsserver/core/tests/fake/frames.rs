// SPDX-License-Identifier: BSD-2-Clause
//! Who may reach which frames; copies and mappings of them.

use pmserver_api::{CallError, ContainerHandle, Failure, MapFlags, Mapped, PmError, Reply, Rights};
use proto::{FrameNumber, PAGE_BYTES, VirtAddr};

use super::{FSSERVER, Mapping, RUN_FRAMES, State, table_of};

impl State {
    pub(super) fn copy(
        &mut self,
        peer: u64,
        (from, first): (ContainerHandle, u64),
        (to, start): (ContainerHandle, u64),
        count: u64,
    ) -> Result<Reply, CallError> {
        let (from, _) = self.access(peer, from, first..first + count, Rights::READ)?;
        let (to, _) = self.access(peer, to, start..start + count, Rights::WRITE)?;
        for frame in 0..count {
            let page = self.containers[&from].get(&(first + frame));
            let page = page.ok_or(Failure { error: PmError::NotFound, done: frame, at: 0 })?;
            let page = page.clone();
            self.containers.get_mut(&to).unwrap().insert(start + frame, page);
        }
        Ok(Reply::Number(count))
    }

    /// What fsserver has mapped that is not its own.
    pub(super) fn lent_mappings(&self) -> impl Iterator<Item = &Mapping> {
        let of_fsserver = self.mappings.iter().filter(|((peer, _), _)| *peer == FSSERVER);
        let mappings = of_fsserver.map(|(_, mapping)| mapping);
        mappings.filter(|mapping| !self.of_fsserver.contains(&mapping.container))
    }

    pub(super) fn access(
        &self,
        peer: u64,
        handle: ContainerHandle,
        frames: std::ops::Range<u64>,
        needed: Rights,
    ) -> Result<(u64, Option<u64>), PmError> {
        let is_own = self.of_fsserver.contains(&handle.raw()) == (peer == FSSERVER);
        if is_own && self.containers.contains_key(&handle.raw()) {
            return Ok((handle.raw(), None));
        }
        let share = self.shares.get(&handle.raw()).ok_or(PmError::InvalidCap)?;
        let covers = share.frames.start <= frames.start && frames.end <= share.frames.end;
        if share.peer != peer {
            return Err(PmError::InvalidCap);
        }
        if !covers || !share.rights.contains(needed) {
            return Err(PmError::NoRight);
        }
        Ok((share.container, Some(handle.raw())))
    }

    pub(super) fn map(
        &mut self,
        peer: u64,
        handle: ContainerHandle,
        (start, count): (FrameNumber, u64),
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Reply, CallError> {
        let is_writable = flags.contains(MapFlags::WRITE);
        let needed = if is_writable { Rights::READ | Rights::WRITE } else { Rights::READ };
        let frames = start.get()..start.get() + count;
        let (container, share) = self.access(peer, handle, frames.clone(), needed)?;
        let mut done = 0;
        for (frame, page) in frames.zip(0..RUN_FRAMES) {
            let address = vaddr.get() + page * PAGE_BYTES;
            if !self.containers[&container].contains_key(&frame) {
                if done > 0 {
                    break;
                }
                return Err(Failure { error: PmError::NotFound, done: 0, at: frame }.into());
            }
            if self.mappings.contains_key(&(peer, address)) {
                return Err(Failure { error: PmError::Occupied, done: 0, at: address }.into());
            }
            let mapping = Mapping { container, frame, share, grant: None, is_writable };
            self.tables.insert(table_of((peer, address)));
            self.mappings.insert((peer, address), mapping);
            done += 1;
        }
        let mut rights = MapFlags::READ;
        rights.set(MapFlags::WRITE, is_writable);
        let mut mapped = Mapped::default();
        for _ in 0..done {
            mapped.push(rights);
        }
        Ok(Reply::Mapped(mapped))
    }
}
