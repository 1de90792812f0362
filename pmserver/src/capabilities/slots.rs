// SPDX-License-Identifier: BSD-2-Clause
//! Addresses of capabilities in pmserver's CSpace, which `pmserver_setup::slots` lays out.

use pmserver_core::kernel::{CapRights as DerivedRights, KernelError, VSpace};
use pmserver_setup::HandedOver;
use pmserver_setup::slots::{HANDED_OVER, ROOT_CNODES, VSPACES};
use proto::PeerId;
use sel4::cap::CNode;
use sel4::sys::seL4_Error;
use sel4::{AbsoluteCPtr, CPtr, Cap, CapRights, Error, ObjectBlueprint, cap};

use crate::capabilities::objects::to_usize;

/// Bits of an address.
pub(crate) const WORD_BITS: u32 = 64;
/// Bits of an address that select a slot of a root CNode.
pub(crate) const ROOT_BITS: u32 = 6;

/// Returns pmserver's own root CNode.
pub(crate) fn root_cnode() -> CNode {
    leaf_cnode(ROOT_CNODES)
}

/// Returns the root CNode of a peer.
pub(crate) fn root_cnode_of(peer: PeerId) -> CNode {
    leaf_cnode(ROOT_CNODES.saturating_add(peer.get().into()))
}

/// Returns the CNode in a slot of the leaf CNode: an address below 512 is the number of one.
pub(crate) fn leaf_cnode(slot: u32) -> CNode {
    Cap::from_bits(slot.into())
}

/// Returns the address of a capability in a root CNode.
pub(crate) fn root_address(slot: u32) -> u64 {
    u64::from(slot) << WORD_BITS.saturating_sub(ROOT_BITS)
}

/// Returns a slot of pmserver's root CNode, for operations on slots.
pub(crate) fn root_slot(slot: u32) -> AbsoluteCPtr {
    root_cnode().absolute_cptr_from_bits_with_depth(slot.into(), to_usize(ROOT_BITS))
}

/// Returns the capability to an address space.
pub(crate) fn vspace(vspace: VSpace) -> cap::VSpace {
    let number = match vspace {
        VSpace::Own => 0,
        VSpace::Peer(peer) => peer.get().into(),
    };
    Cap::from_bits(root_address(VSPACES.saturating_add(number)))
}

/// Puts a CNode that is in pmserver's root CNode into its leaf CNode as well.
pub(crate) fn put_into_leaf(slot: u32, leaf: u32) -> Result<(), KernelError> {
    // CAP: pmserver's own CSpace; the slot is kept empty for this. On a refusal pmserver does not
    // start.
    let to = root_cnode().absolute_cptr(CPtr::from_bits(leaf.into()));
    copy(&to, &root_slot(slot), CapRights::all())
}

/// Moves untyped memory that the initialiser has handed over to where parts of the pool are.
pub(crate) fn take(object: &HandedOver) -> Result<(), KernelError> {
    let from = CPtr::from_bits(root_address(HANDED_OVER) | object.from);
    // CAP: memory that was given to pmserver as its pool. On a refusal pmserver does not start.
    root_slot(object.part.slot).move_(&root_cnode().absolute_cptr(from)).map_err(refusal)
}

/// Makes an object from a part of the pool, in an empty slot of pmserver's root CNode.
pub(crate) fn make_from_part(
    part: u32,
    blueprint: &ObjectBlueprint,
    to: u32,
) -> Result<(), KernelError> {
    let untyped: cap::Untyped = Cap::from_bits(root_address(part));
    // CAP: the pool, given to pmserver for this. If refused, nothing was made.
    untyped
        .untyped_retype(blueprint, &root_cnode().absolute_cptr_for_self(), to_usize(to), 1)
        .map_err(refusal)
}

/// Copies the capability in a slot to an empty one. Inline, as [`delete`], because the methods of
/// `AbsoluteCPtr` are not: what is the same for all slots is loaded for each then.
#[inline(always)]
pub(crate) fn copy(
    to: &AbsoluteCPtr,
    from: &AbsoluteCPtr,
    rights: CapRights,
) -> Result<(), KernelError> {
    let rights = rights.into_inner();
    let (root, index, depth) = parts(to);
    let (from, from_index, from_depth) = parts(from);
    // CAP: pmserver's own CNodes. If refused, nothing was copied.
    done(sel4::with_ipc_buffer_mut(|ipc| {
        ipc.inner_mut().seL4_CNode_Copy(root, index, depth, from, from_index, from_depth, rights)
    }))
}

/// Returns the rights of a derived capability.
#[inline(always)]
pub(crate) fn rights(rights: DerivedRights) -> CapRights {
    match rights {
        DerivedRights::All => CapRights::all(),
        DerivedRights::Read => CapRights::read_only(),
    }
}

/// Empties a slot.
#[inline(always)]
pub(crate) fn delete(slot: &AbsoluteCPtr) -> Result<(), KernelError> {
    let (root, index, depth) = parts(slot);
    // CAP: pmserver's own CNodes, or a peer's root CNode. If refused, the slot is as it was.
    done(sel4::with_ipc_buffer_mut(|ipc| ipc.inner_mut().seL4_CNode_Delete(root, index, depth)))
}

/// Returns the arguments that name a slot: the CNode, and the index and the depth in it.
#[allow(clippy::as_conversions)] // A depth is at most 64.
fn parts(slot: &AbsoluteCPtr) -> (u64, u64, u8) {
    (slot.root().bits(), slot.path().bits(), slot.path().depth() as u8)
}

/// Returns the result of an invocation.
fn done(code: seL4_Error::Type) -> Result<(), KernelError> {
    Error::from_sys(code).map_or(Ok(()), |error| Err(refusal(error)))
}

/// Returns the core's error for a refusal. The core distinguishes only a lack of memory.
pub(crate) fn refusal(error: Error) -> KernelError {
    match error {
        Error::NotEnoughMemory => KernelError::NotEnoughMemory,
        _ => KernelError::Refused,
    }
}
