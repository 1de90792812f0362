// SPDX-License-Identifier: BSD-2-Clause

//! Adds untyped objects, and the capabilities that Microkit does not give, to the capDL
//! specification.
//!
//! A capability refers to its object by the object's index, and capDL's initialiser needs the
//! objects sorted: those at a fixed physical address first, then by size, the largest first. So
//! after objects are added, all are sorted again and every reference is updated.

use std::cmp::Reverse;

use microkit_tool::capdl::spec::capdl_obj_physical_size_bits;
use microkit_tool::capdl::{CapDLNamedObject, CapDLSpecContainer, FrameFill, TcbBoundSlot};
use microkit_tool::sel4::Config;
use sel4_capdl_initializer_types::{
    Cap, CapSlot, CapTableEntry, Fill, Object, ObjectId, cap, object,
};

use pmserver_setup::slots;
use system_description::{Description, GivenCap, GivenObject, Node, PciDevice};

/// Slot of a PD's root CNode that holds its Microkit CNode.
const MICROKIT_CNODE_SLOT: u32 = 0;

/// Adds the objects and capabilities that the extensions in `description` ask for.
pub(crate) fn add(
    container: &mut CapDLSpecContainer,
    description: &Description,
    config: &Config,
) -> Result<(), String> {
    for cap in &description.caps {
        let capability = given(container, cap)?;
        let root = cspace_root(container, &cap.owner)?.obj();
        let node = match cap.node {
            Node::Root => root,
            Node::Leaf => entry(container, root, MICROKIT_CNODE_SLOT)?.obj(),
        };
        insert(container, node, cap.slot, capability)?;
    }
    for untyped in &description.untypeds {
        let root = cspace_root(container, &untyped.owner)?.obj();
        for slot in (untyped.slot..).take(usize::try_from(untyped.count).unwrap_or_default()) {
            let object = container.add_root_object(CapDLNamedObject {
                name: Some(format!("untyped_{}_{slot}", untyped.owner)),
                object: Object::Untyped(object::Untyped {
                    size_bits: untyped.size_bits,
                    paddr: None,
                }),
            });
            insert(container, root, slot, Cap::Untyped(cap::Untyped { object }))?;
        }
    }
    sort(container, |object| size_bits(object, config))
}

/// Runs `simulate` on a specification that has a frame of the same size for every untyped object:
/// microkit-tool's simulation of the allocation counts frames of any size, but ignores untyped.
pub(crate) fn with_frames_for_untypeds<R>(
    container: &mut CapDLSpecContainer,
    simulate: impl FnOnce(&mut CapDLSpecContainer) -> R,
) -> R {
    let mut untypeds = Vec::new();
    for (id, named) in container.spec.objects.iter_mut().enumerate() {
        if let Object::Untyped(untyped) = &named.object {
            let frame = Object::Frame(object::Frame {
                size_bits: untyped.size_bits,
                paddr: untyped.paddr,
                init: Fill { entries: Vec::new() },
            });
            untypeds.push((id, std::mem::replace(&mut named.object, frame)));
        }
    }
    let result = simulate(container);
    for (id, untyped) in untypeds {
        if let Some(named) = container.spec.objects.get_mut(id) {
            named.object = untyped;
        }
    }
    result
}

/// Sorts the objects as the initialiser needs them and updates every reference to one.
fn sort(
    container: &mut CapDLSpecContainer,
    size_bits: impl Fn(&Object<FrameFill>) -> u64,
) -> Result<(), String> {
    let spec = &mut container.spec;
    let mut objects: Vec<_> = std::mem::take(&mut spec.objects).into_iter().enumerate().collect();
    // The sort is stable: stock objects keep the order among themselves that they came in.
    objects.sort_by_key(|(_, named)| {
        let paddr = named.object.paddr().map(u64::from);
        (paddr.is_none(), paddr, Reverse(size_bits(&named.object)))
    });

    let mut new_ids = vec![ObjectId(0); objects.len()];
    for (new, (old, _)) in objects.iter().enumerate() {
        if let Some(id) = new_ids.get_mut(*old) {
            *id = ObjectId::from(new);
        }
    }
    let renew = |id: ObjectId| {
        let new = new_ids.get(usize::from(id)).copied();
        new.ok_or_else(|| {
            format!("the capDL specification refers to object {}, which it lacks", id.0)
        })
    };
    for (_, named) in &mut objects {
        for entry in named.object.slots_mut().into_iter().flatten() {
            entry.cap.set_obj(renew(entry.cap.obj())?);
        }
    }
    for irq in &mut spec.irqs {
        irq.handler = renew(irq.handler)?;
    }
    spec.objects = objects.into_iter().map(|(_, named)| named).collect();
    Ok(())
}

/// Returns the size of an object as a power of two; microkit-tool's function returns 0 for untyped.
fn size_bits(object: &Object<FrameFill>, config: &Config) -> u64 {
    match object {
        Object::Untyped(untyped) => u64::from(untyped.size_bits),
        _ => capdl_obj_physical_size_bits(object, config),
    }
}

/// Returns the capability that a PD is given.
fn given(container: &mut CapDLSpecContainer, cap: &GivenCap) -> Result<Cap, String> {
    Ok(match cap.object {
        // A copy of the capability to the thread's CSpace, with the same guard: an address resolves
        // in it as it does for the thread itself.
        GivenObject::CNode => cspace_root(container, &cap.pd)?.clone(),
        GivenObject::VSpace => entry(container, thread(container, &cap.pd)?, VSPACE)?.clone(),
        GivenObject::Tcb => Cap::Tcb(cap::Tcb { object: thread(container, &cap.pd)? }),
        GivenObject::IoSpace(device) => io_space(container, device, cap.slot)?,
    })
}

/// Makes the address space of a device behind an IOMMU, with the page table below which the memory
/// server puts its own, and those that a kernel with more levels needs above it. Its number for the
/// IOMMU follows from its slot: the first ones may be the kernel's own, for memory that firmware
/// reserves.
fn io_space(
    container: &mut CapDLSpecContainer,
    device: PciDevice,
    slot: u32,
) -> Result<Cap, String> {
    const FIRST_DOMAIN: u32 = 32;
    let domain = slot.saturating_sub(*slots::IO_SPACES.start()).saturating_add(FIRST_DOMAIN);
    let PciDevice { bus, device, function } = device;
    let name = format!("{bus:02x}_{device:02x}_{function}");
    let object = container.add_root_object(CapDLNamedObject {
        name: Some(format!("io_space_{name}")),
        object: Object::IOSpace(object::IOSpace {
            slots: Vec::new(),
            domain_id: u64::from(domain).into(),
            pci_device: object::PCIDevice { bus, device, function },
        }),
    });
    // The first is the root of three levels; the others are for levels above them.
    for (slot, level) in [(0, 0_u64), (1, 1), (2, 1), (3, 1)] {
        let table = container.add_root_object(CapDLNamedObject {
            name: Some(format!("io_table_{name}_{slot}")),
            object: Object::IOPageTable(object::IOPageTable {
                slots: Vec::new(),
                level: level.into(),
            }),
        });
        insert(container, object, slot, Cap::IOPageTable(cap::IOPageTable { object: table }))?;
    }
    Ok(Cap::IOSpace(cap::IOSpace { object }))
}

/// Returns the capability that a PD's thread has to its own root CNode.
fn cspace_root<'a>(container: &'a CapDLSpecContainer, pd: &str) -> Result<&'a Cap, String> {
    entry(container, thread(container, pd)?, CSPACE)
}

/// Returns a PD's thread.
fn thread(container: &CapDLSpecContainer, pd: &str) -> Result<ObjectId, String> {
    let name = format!("tcb_{pd}");
    let tcb = container.spec.objects.iter().position(|named| named.name.as_ref() == Some(&name));
    let tcb = tcb.ok_or_else(|| format!("the capDL specification has no thread of PD '{pd}'"))?;
    Ok(ObjectId::from(tcb))
}

/// Slot of a thread that holds its CSpace root.
#[expect(clippy::as_conversions, reason = "a field-less enumeration of another crate")]
const CSPACE: u32 = TcbBoundSlot::CSpace as u32;
/// Slot of a thread that holds its VSpace.
#[expect(clippy::as_conversions, reason = "a field-less enumeration of another crate")]
const VSPACE: u32 = TcbBoundSlot::VSpace as u32;

fn entry(container: &CapDLSpecContainer, holder: ObjectId, slot: u32) -> Result<&Cap, String> {
    let slots = container.get_root_object(holder).and_then(|named| named.object.slots());
    let found = slots.unwrap_or_default().iter().find(|entry| entry.slot == CapSlot(slot));
    found
        .map(|entry| &entry.cap)
        .ok_or_else(|| format!("the capDL object {} has nothing in slot {slot}", holder.0))
}

fn insert(
    container: &mut CapDLSpecContainer,
    cnode: ObjectId,
    slot: u32,
    cap: Cap,
) -> Result<(), String> {
    let named = container.get_root_object_mut(cnode);
    let slots = named.and_then(|named| named.object.slots_mut());
    let slots = slots.ok_or_else(|| format!("the capDL object {} has no slots", cnode.0))?;
    if slots.iter().any(|entry| entry.slot == CapSlot(slot)) {
        return Err(format!("slot {slot} of the capDL object {} is filled already", cnode.0));
    }
    slots.push(CapTableEntry { slot: CapSlot(slot), cap });
    slots.sort_by_key(|entry| usize::from(entry.slot));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, object: Object<FrameFill>) -> CapDLNamedObject {
        CapDLNamedObject { name: Some(name.to_owned()), object }
    }

    fn frame(size_bits: u8, paddr: Option<u64>) -> Object<FrameFill> {
        let init = Fill { entries: Vec::new() };
        Object::Frame(object::Frame { size_bits, paddr: paddr.map(Into::into), init })
    }

    fn untyped(size_bits: u8) -> Object<FrameFill> {
        Object::Untyped(object::Untyped { size_bits, paddr: None })
    }

    fn size(object: &Object<FrameFill>) -> u64 {
        match object {
            Object::Untyped(untyped) => untyped.size_bits.into(),
            Object::Frame(frame) => frame.size_bits.into(),
            Object::CNode(_) => 14,
            _ => 0,
        }
    }

    /// A system from microkit-tool, which is sorted, with two untyped objects added at the end.
    fn container() -> CapDLSpecContainer {
        let mut container = CapDLSpecContainer::new();
        let device = container.add_root_object(object("device", frame(12, Some(0x1000))));
        let large = container.add_root_object(object("large", frame(21, None)));
        let cnode = Object::CNode(object::CNode { size_bits: 9, slots: Vec::new() });
        let cnode = container.add_root_object(object("cnode", cnode));
        let small = container.add_root_object(object("small", frame(12, None)));
        container.add_root_object(object("endpoint", Object::Endpoint));
        let big = container.add_root_object(object("untyped_26", untyped(26)));
        let page = container.add_root_object(object("untyped_12", untyped(12)));
        for (slot, id) in [(1, device), (2, large), (3, small)] {
            let cap = Cap::PageTable(cap::PageTable { object: id });
            insert(&mut container, cnode, slot, cap).unwrap();
        }
        for (slot, id) in [(8, big), (9, page)] {
            insert(&mut container, cnode, slot, Cap::Untyped(cap::Untyped { object: id })).unwrap();
        }
        container
    }

    fn names(container: &CapDLSpecContainer) -> Vec<&str> {
        container.spec.objects.iter().filter_map(|named| named.name.as_deref()).collect()
    }

    #[test]
    fn objects_are_sorted_by_address_then_by_size() {
        let mut container = container();
        sort(&mut container, size).unwrap();
        assert_eq!(
            names(&container),
            ["device", "untyped_26", "large", "cnode", "small", "untyped_12", "endpoint"]
        );
    }

    #[test]
    fn capabilities_name_the_same_objects_after_the_sort() {
        let mut container = container();
        sort(&mut container, size).unwrap();
        let cnode = names(&container).iter().position(|name| *name == "cnode").unwrap();
        let named = |slot| {
            let id = entry(&container, ObjectId::from(cnode), slot).unwrap().obj();
            names(&container)[usize::from(id)]
        };
        assert_eq!(
            [1, 2, 3, 8, 9].map(named),
            ["device", "large", "small", "untyped_26", "untyped_12"]
        );
    }

    #[test]
    fn a_slot_is_filled_once() {
        let mut container = container();
        let cap = Cap::Untyped(cap::Untyped { object: ObjectId(0) });
        insert(&mut container, ObjectId(2), 8, cap).unwrap_err();
    }

    #[test]
    fn the_simulation_sees_frames_and_the_image_untypeds() {
        let mut container = container();
        let untyped_ids = |container: &CapDLSpecContainer| {
            let ids = container.spec.objects.iter().enumerate();
            ids.filter(|(_, named)| matches!(named.object, Object::Untyped(_)))
                .map(|(id, named)| (id, size(&named.object)))
                .collect::<Vec<_>>()
        };
        assert_eq!(untyped_ids(&container), [(5, 26), (6, 12)]);
        let sizes = with_frames_for_untypeds(&mut container, |container| {
            assert_eq!(untyped_ids(container), []);
            container.spec.objects.iter().map(|named| size(&named.object)).collect::<Vec<_>>()
        });
        assert_eq!(sizes, [12, 21, 14, 12, 0, 26, 12]);
        assert_eq!(untyped_ids(&container), [(5, 26), (6, 12)]);
    }
}
