// SPDX-License-Identifier: BSD-2-Clause
//! Frames that a domain maps itself, with capabilities that pmserver has put into its CSpace
//! (protocol, `grant`).

use pmserver_client::{GrantMapper, KernelRefused, MapFlags, VirtAddr};
use sel4::{Cap, CapRights, ImplicitInvocationContext, InvocationContext, VmAttributes, cap};

/// The domain's own address space, in the slot where the platform puts it for every domain.
const VSPACE: cap::VSpace = Cap::from_bits(3);

/// Maps the frames that the domain was granted. After a fault, use
/// [`Recovered`](crate::recovery::Recovered) instead.
pub struct OwnGrants;

impl GrantMapper for OwnGrants {
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused> {
        map_with(ImplicitInvocationContext::new(), capability, vaddr, rights)
    }
}

/// Maps a granted frame; `ipc` gives access to the IPC buffer.
pub(crate) fn map_with<C: InvocationContext>(
    ipc: C,
    capability: u64,
    vaddr: VirtAddr,
    rights: MapFlags,
) -> Result<(), KernelRefused> {
    let frame: cap::Granule = Cap::from_bits(capability);
    let allowed = match rights.contains(MapFlags::WRITE) {
        true => CapRights::read_write(),
        false => CapRights::read_only(),
    };
    // Both targets have 64-bit addresses.
    let vaddr = usize::try_from(vaddr.get()).unwrap_or(usize::MAX);
    // CAP: a frame that the domain was granted, and its own VSpace: no other domain is affected. If
    // the slot holds no frame, the kernel refuses and nothing is mapped.
    let mapped = frame.with(ipc).frame_map(VSPACE, vaddr, allowed, attributes(rights));
    mapped.map_err(|_: sel4::Error| KernelRefused)
}

#[cfg(target_arch = "aarch64")]
fn attributes(rights: MapFlags) -> VmAttributes {
    if rights.contains(MapFlags::EXECUTE) {
        VmAttributes::default()
    } else {
        VmAttributes::default() | VmAttributes::EXECUTE_NEVER
    }
}

/// On x86-64 the kernel maps everything executable: it has no attribute for that.
#[cfg(target_arch = "x86_64")]
fn attributes(_: MapFlags) -> VmAttributes {
    VmAttributes::default()
}
