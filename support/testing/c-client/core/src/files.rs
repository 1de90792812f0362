// SPDX-License-Identifier: BSD-2-Clause
//! Steps with a file.

use fsserver_api::ReadLength;
use pmserver_api::{ContainerHandle, MapFlags, Rights, ShareTerms};
use proto::limits::LEASE_MICROS_MAX;
use proto::{AddressSpace, Console, FrameCount, FrameNumber, Micros, PeerId, Transport, Waiter};

use crate::step::Twin;
use crate::{Stopped, TEXT, WINDOW};

const PATH: &[u8] = b"/twin.txt";

pub(crate) fn files<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
    container: ContainerHandle,
    fsserver: PeerId,
) -> Result<(), Stopped> {
    let (first, one) = (FrameNumber::new(0), FrameCount::ONE);
    let length = |bytes| ReadLength::new(bytes).ok_or(Stopped);
    let text_bytes = length(u64::try_from(TEXT.len()).map_err(|_| Stopped)?)?;

    let result = twin.pm.map(container, first, one, WINDOW, MapFlags::WRITE);
    twin.step("map for a path", &result.map(|mapped| mapped.count))?;
    twin.space.copy_out(PATH, WINDOW);
    let terms = ShareTerms {
        peer: fsserver,
        rights: Rights::READ | Rights::WRITE | Rights::LOCK,
        lease_max: Micros::new(LEASE_MICROS_MAX),
        once: false,
    };
    let shared = twin.pm.share_on(container, first, 16, terms);
    twin.step("share", &shared.map(|_| 0))?;
    let (share, weak) = shared.map(|shared| (shared.share, shared.weak))?;
    // It may be there from a run before.
    let _ = twin.fs.unlink(weak, PATH.len());
    let result = twin.fs.lookup_short(PATH);
    twin.file_step("lookup_short", &result.map(|_| 0))?;
    let file = twin.fs.create(weak, PATH.len());
    twin.file_step("create", &file.map(|_| 0))?;
    let file = file?;
    twin.space.copy_out(TEXT, WINDOW);
    let result = twin.fs.write(file, weak, 0, first, text_bytes);
    twin.file_step("write", &result)?;
    let result = twin.fs.sync_file(file);
    twin.file_step("sync_file", &result.map(|()| 0))?;
    let result = twin.fs.stat(file);
    twin.file_step("stat", &result.map(|status| status.size_bytes))?;
    let result = twin.fs.read(file, weak, 8, FrameNumber::new(3), length(4096)?);
    twin.file_step("read", &result)?;
    let result = twin.fs.read(file, weak, 8, FrameNumber::new(16), length(4096)?);
    twin.file_step("read into nothing", &result)?;
    let result = twin.fs.truncate(file, 4);
    twin.file_step("truncate", &result.map(|()| 0))?;
    let result = twin.fs.read(file, weak, 5, first, length(1)?);
    twin.file_step("read past the end", &result)?;
    for name in ["close", "close again"] {
        let result = twin.fs.close(file);
        twin.file_step(name, &result.map(|()| 0))?;
    }
    twin.space.copy_out(PATH, WINDOW);
    let result = twin.fs.unlink(weak, PATH.len());
    twin.file_step("unlink", &result.map(|()| 0))?;
    let result = twin.pm.unshare(share);
    twin.step("unshare", &result.map(|()| 0))?;
    // From here on nobody else can change it.
    let result = twin.pm.unmap(WINDOW, one);
    twin.step("unmap", &result)?;
    let result = twin.pm.map(container, FrameNumber::new(3), one, WINDOW, MapFlags::READ);
    twin.step("map", &result.map(|mapped| mapped.count))?;
    twin.look("the file", WINDOW, TEXT.get(8..).unwrap_or_default())?;
    let result = twin.pm.unmap(WINDOW, one);
    twin.step("unmap", &result)?;
    Ok(())
}
