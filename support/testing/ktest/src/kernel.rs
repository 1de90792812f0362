// SPDX-License-Identifier: BSD-2-Clause
//! Performs the list's operations on seL4. It calls the kernel with plain words instead of
//! rust-sel4's types, because the list contains invocations that these types rule out.

use ktest_list::{Destination, Kernel, Node, Operation, Place, Reply, Rights, Slot, Transfer};
use sel4::init_thread::slot;
use sel4::sys::{seL4_CapRights, seL4_IPCBuffer};
use sel4::{MessageInfo, Word, cap};

use crate::probe::Access;
use crate::stage::Stage;
use crate::types;

/// The address of a slot: the CNode where the walk starts, and the address from there with its
/// number of bits.
struct Address {
    node: Word,
    index: Word,
    depth: u8,
}

impl Kernel for Stage {
    fn perform(&mut self, operation: &Operation) -> Reply {
        match *operation {
            Operation::Load(vaddr) => match self.probe.load(vaddr) {
                Access::Done(byte) => Reply::Value(byte.into()),
                Access::Fault => Reply::Fault,
                Access::Unknown => Reply::Impossible,
            },
            Operation::Store(vaddr, byte) => match self.probe.store(vaddr, byte) {
                Access::Done(_) => Reply::Done,
                Access::Fault => Reply::Fault,
                Access::Unknown => Reply::Impossible,
            },
            Operation::Poll(slot) => {
                let (_, flags) = cap::Notification::from_bits(self.cptr(slot)).poll();
                Reply::Value(flags)
            }
            Operation::PageAddress(frame) => sel4::with_ipc_buffer_mut(|buffer| {
                match types::page_address(buffer.inner_mut(), self.cptr(frame)) {
                    (0, address) => Reply::Value(address.wrapping_sub(self.pool_address)),
                    (code, _) => reply(code.into(), buffer.msg_regs()),
                }
            }),
            ref invocation => sel4::with_ipc_buffer_mut(|buffer| {
                let code = self.invoke(buffer.inner_mut(), invocation);
                code.map_or(Reply::Impossible, |code| reply(code, buffer.msg_regs()))
            }),
        }
    }
}

impl Stage {
    const fn cptr(&self, slot: Slot) -> Word {
        self.first_slot.wrapping_add(slot.0)
    }

    fn address(&self, place: Place) -> Address {
        let depth = place.depth;
        match place.node {
            Node::Root => {
                let index = self.cptr(Slot(place.index));
                Address { node: slot::CNODE.cptr_bits(), index, depth }
            }
            Node::In(slot) => Address { node: self.cptr(slot), index: place.index, depth },
        }
    }

    /// Makes an invocation; returns the label of the reply, or `None` if it cannot be made.
    fn invoke(&self, buffer: &mut seL4_IPCBuffer, operation: &Operation) -> Option<Word> {
        let code = match *operation {
            Operation::Retype(untyped, object_type, size_bits, to) => {
                let object_type = types::object_type(object_type)?;
                self.retype(buffer, untyped, object_type, size_bits, to)
            }
            Operation::Transfer(how, to, from) => self.transfer(buffer, how, to, from),
            Operation::Delete(place) => {
                let at = self.address(place);
                buffer.seL4_CNode_Delete(at.node, at.index, at.depth)
            }
            Operation::Revoke(place) => {
                let at = self.address(place);
                buffer.seL4_CNode_Revoke(at.node, at.index, at.depth)
            }
            // A call and not a send, so that the kernel replies with an error.
            Operation::Signal(slot) => {
                let info = MessageInfo::new(0, 0, 0, 0).into_inner();
                return Some(buffer.seL4_Call(self.cptr(slot), info).get_label());
            }
            Operation::PageMap(frame, vspace, vaddr, rights) => {
                let (frame, vspace) = (self.cptr(frame), self.cptr(vspace));
                types::page_map(buffer, frame, vspace, vaddr, words(rights))
            }
            Operation::PageUnmap(frame) => types::page_unmap(buffer, self.cptr(frame)),
            Operation::TableMap(kind, table, vspace, vaddr) => {
                let (table, vspace) = (self.cptr(table), self.cptr(vspace));
                types::table_map(buffer, kind, table, vspace, vaddr)?
            }
            Operation::TableUnmap(kind, table) => {
                types::table_unmap(buffer, kind, self.cptr(table))?
            }
            Operation::AsidAssign(pool, vspace) => {
                types::asid_assign(buffer, self.cptr(pool), self.cptr(vspace))
            }
            Operation::Poll(_)
            | Operation::PageAddress(_)
            | Operation::Load(_)
            | Operation::Store(..) => return None,
        };
        Some(code.into())
    }

    fn retype(
        &self,
        buffer: &mut seL4_IPCBuffer,
        untyped: Slot,
        object_type: Word,
        size_bits: Word,
        to: Destination,
    ) -> u32 {
        let cnode = self.address(to.cnode);
        let in_root = to.cnode.node == Node::Root && to.cnode.depth == 0;
        let offset = if in_root { self.cptr(Slot(to.offset)) } else { to.offset };
        let (index, depth) = (cnode.index, cnode.depth.into());
        let untyped = self.cptr(untyped);
        buffer.seL4_Untyped_Retype(
            untyped,
            object_type,
            size_bits,
            cnode.node,
            index,
            depth,
            offset,
            to.count,
        )
    }

    fn transfer(&self, buffer: &mut seL4_IPCBuffer, how: Transfer, to: Place, from: Place) -> u32 {
        let Address { node, index, depth } = self.address(to);
        let from = self.address(from);
        let (root, from_index, from_depth) = (from.node, from.index, from.depth);
        match how {
            Transfer::Copy(rights) => {
                let rights = words(rights);
                buffer.seL4_CNode_Copy(node, index, depth, root, from_index, from_depth, rights)
            }
            Transfer::Mint(rights, data) => {
                let rights = words(rights);
                buffer
                    .seL4_CNode_Mint(node, index, depth, root, from_index, from_depth, rights, data)
            }
            Transfer::Move => {
                buffer.seL4_CNode_Move(node, index, depth, root, from_index, from_depth)
            }
            Transfer::Mutate(data) => {
                buffer.seL4_CNode_Mutate(node, index, depth, root, from_index, from_depth, data)
            }
        }
    }
}

fn words(rights: Rights) -> seL4_CapRights {
    seL4_CapRights::new(0, 0, rights.read().into(), rights.write().into())
}

fn reply(code: Word, registers: &[Word]) -> Reply {
    if code == 0 {
        return Reply::Done;
    }
    let mut words = [0; 5];
    for (word, register) in words.iter_mut().zip(registers) {
        *word = *register;
    }
    Reply::Refused { code, words }
}
