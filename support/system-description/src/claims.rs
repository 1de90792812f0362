// SPDX-License-Identifier: BSD-2-Clause
//! Which slots of the protection domains' CSpaces are taken, and by which element.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::element::Element;
use crate::{Fault, Node};

/// Slots of a PD's root CNode that the system description may fill; slot 0 is Microkit's own.
const ROOT_SLOTS: RangeInclusive<u64> = 1..=63;
/// Slots of a PD's 512-slot Microkit CNode after everything that Microkit puts there.
const LEAF_SLOTS: RangeInclusive<u64> = 458..=511;

/// The slots that elements take.
#[derive(Default)]
pub(crate) struct Claims {
    taken: HashMap<(String, Node, u64), Holder>,
}

/// The element that takes a slot, for the message about a second one.
struct Holder {
    tag: String,
    line: u32,
}

impl Claims {
    /// Claims `count` slots from `first` for `element`; fails if one is out of range or taken.
    pub(crate) fn take(
        &mut self,
        element: Element<'_, '_>,
        owner: &str,
        node: Node,
        first: u64,
        count: u64,
    ) -> Result<(), Fault> {
        let (slots, cnode) = match node {
            Node::Root => (ROOT_SLOTS, "the free slots of a PD's root CNode"),
            Node::Leaf => (LEAF_SLOTS, "the free slots of a PD's Microkit CNode"),
        };
        let (from, to) = (slots.start(), slots.end());
        let tag = element.tag();
        let last = first.checked_add(count.saturating_sub(1));
        let Some(last) = last.filter(|last| slots.contains(&first) && slots.contains(last)) else {
            let which = match count {
                1 => format!("slot {first} is"),
                _ => format!("slot {first} with count {count} reaches"),
            };
            let sentence = format!("{tag} {which} outside {from} to {to}, {cnode}.");
            return Err(element.fault(sentence));
        };
        for slot in first..=last {
            let holder = Holder { tag: tag.to_owned(), line: element.line() };
            if let Some(holder) = self.taken.insert((owner.to_owned(), node, slot), holder) {
                let sentence = format!(
                    "{tag} takes slot {slot}, which {} in line {} takes already.",
                    holder.tag, holder.line
                );
                return Err(element.fault(sentence));
            }
        }
        Ok(())
    }

    /// Fails if an element takes `slot`, which is reserved for `what`.
    pub(crate) fn check_free(
        &self,
        owner: &str,
        node: Node,
        slot: u32,
        what: &str,
    ) -> Result<(), Fault> {
        let Some(holder) = self.taken.get(&(owner.to_owned(), node, slot.into())) else {
            return Ok(());
        };
        let Holder { tag, line } = holder;
        let sentence =
            format!("{tag} takes slot {slot} of '{owner}', which is reserved for {what}.");
        Err(Fault { line: *line, sentence })
    }
}
