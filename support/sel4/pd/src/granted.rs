// SPDX-License-Identifier: BSD-2-Clause
//! Frames that a domain maps by itself: capabilities that pmserver has put into its CSpace
//! (protocol, `grant`).

use pmserver_api::MapFlags;
use proto::VirtAddr;
use sel4::{
    Cap, CapRights, ImplicitInvocationContext, InvocationContext, Result, VmAttributes, cap,
};

/// The domain's own address space, in a slot that the platform promises to every domain.
const VSPACE: cap::VSpace = Cap::from_bits(3);

/// Maps the granted frame with this address at a page of the own address space, whose page table
/// has to be there (protocol, `ensure_tables`). Of the rights those that the grant has are given.
///
/// # Errors
/// The kernel's, where there is no such grant or table.
pub fn map_granted(capability: u64, vaddr: VirtAddr, rights: MapFlags) -> Result<()> {
    map_with(ImplicitInvocationContext::new(), capability, vaddr, rights)
}

/// The same with a way to the IPC buffer.
pub(crate) fn map_with<C: InvocationContext>(
    ipc: C,
    capability: u64,
    vaddr: VirtAddr,
    rights: MapFlags,
) -> Result<()> {
    let frame: cap::Granule = Cap::from_bits(capability);
    let allowed = match rights.contains(MapFlags::WRITE) {
        true => CapRights::read_write(),
        false => CapRights::read_only(),
    };
    // Both targets have 64-bit addresses.
    let vaddr = usize::try_from(vaddr.get()).unwrap_or(usize::MAX);
    // CAP: a frame that the domain was granted, and its own VSpace: nobody else has anything of it.
    // Where the address holds no frame the kernel refuses, and nothing is mapped.
    frame.with(ipc).frame_map(VSPACE, vaddr, allowed, attributes(rights))
}

#[cfg(target_arch = "aarch64")]
fn attributes(rights: MapFlags) -> VmAttributes {
    if rights.contains(MapFlags::EXECUTE) {
        VmAttributes::default()
    } else {
        VmAttributes::default() | VmAttributes::EXECUTE_NEVER
    }
}

/// The kernel maps everything executable on x86-64: it has no attribute for that.
#[cfg(target_arch = "x86_64")]
fn attributes(_: MapFlags) -> VmAttributes {
    VmAttributes::default()
}
