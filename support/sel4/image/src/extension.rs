// SPDX-License-Identifier: BSD-2-Clause

//! What this project's system description has over Microkit's: `cap_untyped`, `cap_cnode` and the
//! `board` attribute.
//!
//! [`extract`] reads them, checks all that can be checked without an SDK, and returns the text
//! without them, for microkit-tool to parse. What is taken out is overwritten with spaces, so that
//! every other element keeps its line and column in microkit-tool's own messages. What the stock
//! elements mean stays microkit-tool's business; of `cap_tcb`, `cap_sc` and `cap_vspace` only the
//! slot is read, because it must not be used twice.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use roxmltree::{Document, Node};

use crate::blank::Blanking;

/// Slots of a PD's root CNode that the system description may fill; slot 0 is Microkit's own.
const ROOT_SLOTS: RangeInclusive<u64> = 1..=63;
/// Slots of a PD's 512-slot Microkit CNode that lie behind everything that Microkit puts there.
const LEAF_SLOTS: RangeInclusive<u64> = 458..=511;
/// From one page, below which nothing can be mapped, to the kernel's largest untyped.
const SIZE_BITS: RangeInclusive<u64> = 12..=47;

const STOCK_CAPS: [&str; 3] = ["cap_tcb", "cap_sc", "cap_vspace"];

/// A reason to refuse the system description.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Line of the element, from 1.
    pub(crate) line: u32,
    /// One sentence.
    pub(crate) sentence: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.sentence)
    }
}

/// One `cap_untyped`: `count` untyped objects in consecutive slots of the owner's root CNode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UntypedCaps {
    pub(crate) owner: String,
    pub(crate) slot: u32,
    pub(crate) size_bits: u8,
    pub(crate) count: u32,
    pub(crate) line: u32,
}

/// One `cap_cnode`: the root CNode of `pd`, in the owner's Microkit CNode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CNodeCap {
    pub(crate) owner: String,
    pub(crate) slot: u32,
    pub(crate) pd: String,
}

/// All that [`extract`] took out of a system description.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) untypeds: Vec<UntypedCaps>,
    pub(crate) cnodes: Vec<CNodeCap>,
}

/// Returns the stock Microkit description for `board` that is in `xml`, and what else was in it.
pub(crate) fn extract(xml: &str, board: &str) -> Result<(String, Extensions), Fault> {
    let doc = Document::parse(xml).map_err(|err| Fault {
        line: err.pos().row,
        sentence: format!("this is not well-formed XML: {err}."),
    })?;
    let mut reader = Reader {
        board,
        doc: &doc,
        blanking: Blanking::new(xml),
        taken: HashMap::new(),
        pd_names: Vec::new(),
        pd_lines: Vec::new(),
        extensions: Extensions::default(),
    };
    reader.element(doc.root_element())?;
    reader.check_pd_names()?;
    Ok((reader.blanking.into_text(), reader.extensions))
}

/// The two CNodes of a PD.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Root,
    Leaf,
}

/// An element that fills a slot, to name it when another wants the same.
struct Holder<'a> {
    tag: &'a str,
    line: u32,
}

struct Reader<'a, 'input> {
    board: &'a str,
    doc: &'a Document<'input>,
    blanking: Blanking,
    taken: HashMap<(String, Place, u64), Holder<'a>>,
    pd_names: Vec<String>,
    /// Line of each of `extensions.cnodes`.
    pd_lines: Vec<u32>,
    extensions: Extensions,
}

impl<'a, 'input> Reader<'a, 'input> {
    /// Reads one element and all below it.
    fn element(&mut self, node: Node<'a, 'input>) -> Result<(), Fault> {
        if let Some(board) = node.attribute("board") {
            if board.is_empty() {
                return Err(self.fault(node, "the attribute board is empty.".to_owned()));
            }
            if board != self.board {
                if node == self.doc.root_element() {
                    let sentence = format!("the whole system is for the board '{board}'.");
                    return Err(self.fault(node, sentence));
                }
                self.blanking.element(node);
                return Ok(());
            }
            self.blanking.attribute(node, "board");
        }

        let tag = node.tag_name().name();
        match (tag, cspace_owner(node)) {
            ("cap_untyped", Some(owner)) => self.cap_untyped(node, owner)?,
            ("cap_cnode", Some(owner)) => self.cap_cnode(node, owner)?,
            ("cap_untyped" | "cap_cnode", None) => {
                let sentence = format!("{tag} stands outside the cspace of a protection domain.");
                return Err(self.fault(node, sentence));
            }
            (_, Some(owner)) if STOCK_CAPS.contains(&tag) => self.stock_cap(node, owner)?,
            (_, Some(_)) => {
                let sentence = format!(
                    "{tag} is none of the elements of cspace: cap_untyped, cap_cnode, {}.",
                    STOCK_CAPS.join(", ")
                );
                return Err(self.fault(node, sentence));
            }
            ("protection_domain", None) => self.pd_names.push(name(node)),
            _ => {}
        }
        for child in node.children().filter(Node::is_element) {
            self.element(child)?;
        }
        Ok(())
    }

    fn cap_untyped(&mut self, node: Node<'a, 'input>, owner: String) -> Result<(), Fault> {
        self.check_shape(node, &["slot", "size_bits", "count"])?;
        let slot = self.number(node, "slot")?;
        let size_bits = self.number(node, "size_bits")?;
        let count = self.number(node, "count")?;
        if !SIZE_BITS.contains(&size_bits) {
            let sentence = format!(
                "size_bits {size_bits} is outside {} to {}, from one page to the kernel's largest \
                 untyped.",
                SIZE_BITS.start(),
                SIZE_BITS.end()
            );
            return Err(self.fault(node, sentence));
        }
        if count == 0 {
            let sentence = "count is 0: leave the element out instead.".to_owned();
            return Err(self.fault(node, sentence));
        }
        self.take(node, &owner, Place::Root, slot, count)?;
        self.extensions.untypeds.push(UntypedCaps {
            owner,
            slot: self.narrow(node, slot)?,
            size_bits: self.narrow(node, size_bits)?,
            count: self.narrow(node, count)?,
            line: self.line(node),
        });
        self.blanking.element(node);
        Ok(())
    }

    fn cap_cnode(&mut self, node: Node<'a, 'input>, owner: String) -> Result<(), Fault> {
        self.check_shape(node, &["slot", "pd"])?;
        let slot = self.number(node, "slot")?;
        let pd = self.value(node, "pd")?.to_owned();
        self.take(node, &owner, Place::Leaf, slot, 1)?;
        self.pd_lines.push(self.line(node));
        self.extensions.cnodes.push(CNodeCap { owner, slot: self.narrow(node, slot)?, pd });
        self.blanking.element(node);
        Ok(())
    }

    /// Takes note of the slot of a stock element, which stays where it is.
    fn stock_cap(&mut self, node: Node<'a, 'input>, owner: String) -> Result<(), Fault> {
        let slot = self.number(node, "slot")?;
        self.take(node, &owner, Place::Root, slot, 1)
    }

    /// Claims `count` slots from `first` for `node`, or says what is wrong with them.
    fn take(
        &mut self,
        node: Node<'a, 'input>,
        owner: &str,
        place: Place,
        first: u64,
        count: u64,
    ) -> Result<(), Fault> {
        let (slots, cnode) = match place {
            Place::Root => (ROOT_SLOTS, "the slots of a PD's root CNode that are free"),
            Place::Leaf => (LEAF_SLOTS, "the slots of a PD's Microkit CNode that are free"),
        };
        let (from, to) = (slots.start(), slots.end());
        let tag = node.tag_name().name();
        let last = first.checked_add(count.saturating_sub(1));
        let Some(last) = last.filter(|last| slots.contains(&first) && slots.contains(last)) else {
            let which = match count {
                1 => format!("slot {first} is"),
                _ => format!("slot {first} with count {count} reaches"),
            };
            let sentence = format!("{tag} {which} outside {from} to {to}, {cnode}.");
            return Err(self.fault(node, sentence));
        };
        let line = self.line(node);
        for slot in first..=last {
            let key = (owner.to_owned(), place, slot);
            if let Some(holder) = self.taken.insert(key, Holder { tag, line }) {
                let sentence = format!(
                    "{tag} takes slot {slot}, which {} in line {} has already.",
                    holder.tag, holder.line
                );
                return Err(self.fault(node, sentence));
            }
        }
        Ok(())
    }

    /// Refuses attributes and contents that mean nothing: they would be dropped without a word.
    fn check_shape(&self, node: Node<'_, '_>, allowed: &[&str]) -> Result<(), Fault> {
        let tag = node.tag_name().name();
        let unknown =
            node.attributes().find(|a| a.name() != "board" && !allowed.contains(&a.name()));
        if let Some(attribute) = unknown {
            let sentence = format!(
                "{tag} has no attribute '{}'; it takes {}.",
                attribute.name(),
                allowed.join(", ")
            );
            return Err(self.fault(node, sentence));
        }
        let is_blank = |child: Node<'_, '_>| {
            child.is_comment() || child.text().is_some_and(|text| text.trim().is_empty())
        };
        if !node.children().all(is_blank) {
            return Err(self.fault(node, format!("{tag} must be empty.")));
        }
        Ok(())
    }

    /// Checks, once all PDs are known, that those that `cap_cnode` names are among them.
    fn check_pd_names(&self) -> Result<(), Fault> {
        for (cap, &line) in self.extensions.cnodes.iter().zip(&self.pd_lines) {
            if !self.pd_names.contains(&cap.pd) {
                let sentence = format!(
                    "cap_cnode names the PD '{}', which this system does not have.",
                    cap.pd
                );
                return Err(Fault { line, sentence });
            }
        }
        Ok(())
    }

    fn value(&self, node: Node<'a, 'input>, attribute: &str) -> Result<&'a str, Fault> {
        node.attribute(attribute).ok_or_else(|| {
            let tag = node.tag_name().name();
            self.fault(node, format!("{tag} lacks the attribute {attribute}."))
        })
    }

    /// Returns a number as microkit-tool reads them: decimal or 0x, with underscores anywhere.
    fn number(&self, node: Node<'a, 'input>, attribute: &str) -> Result<u64, Fault> {
        let value = self.value(node, attribute)?;
        let digits = value.replace('_', "");
        let parsed = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        parsed.map_err(|_| self.fault(node, format!("{attribute} '{value}' is not a number.")))
    }

    /// Narrows a number that was checked to be small.
    fn narrow<T: TryFrom<u64>>(&self, node: Node<'_, '_>, number: u64) -> Result<T, Fault> {
        T::try_from(number).map_err(|_| self.fault(node, format!("{number} is too large.")))
    }

    fn line(&self, node: Node<'_, '_>) -> u32 {
        self.doc.text_pos_at(node.range().start).row
    }

    fn fault(&self, node: Node<'_, '_>, sentence: String) -> Fault {
        Fault { line: self.line(node), sentence }
    }
}

/// Returns the name of the PD in whose `cspace` the node stands.
fn cspace_owner(node: Node<'_, '_>) -> Option<String> {
    let cspace = node.parent_element().filter(|parent| parent.has_tag_name("cspace"))?;
    let pd = cspace.parent_element().filter(|pd| pd.has_tag_name("protection_domain"))?;
    Some(name(pd))
}

/// Returns the attribute `name`. Microkit-tool refuses a PD without one, so "" gets no further.
fn name(pd: Node<'_, '_>) -> String {
    pd.attribute("name").unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = include_str!("../../../../microkit-system.xml");

    #[test]
    fn the_system_of_record_has_its_pool_and_its_cnodes() {
        for board in ["qemu_virt_aarch64", "x86_64_generic"] {
            let (_, extensions) = extract(SYSTEM, board).unwrap();
            let [pool] = extensions.untypeds.as_slice() else { panic!("one pool") };
            assert_eq!((pool.owner.as_str(), pool.slot, pool.count), ("pmserver", 8, 1));
            let cnodes = extensions.cnodes.iter();
            let cnodes: Vec<_> =
                cnodes.map(|cap| (cap.owner.as_str(), cap.slot, cap.pd.as_str())).collect();
            let slots = [(500, "pmserver"), (501, "fsserver"), (502, "client-demo")];
            assert_eq!(cnodes, slots.map(|(slot, pd)| ("pmserver", slot, pd)));
        }
    }

    #[test]
    fn what_is_left_keeps_its_place() {
        let (text, _) = extract(SYSTEM, "x86_64_generic").unwrap();
        assert!(SYSTEM.contains("board="));
        assert_eq!(text.len(), SYSTEM.len());
        for (before, after) in SYSTEM.bytes().zip(text.bytes()) {
            assert!(before == after || after == b' ' && before != b'\n');
        }
        for gone in ["<cap_untyped", "<cap_cnode", "board=", "pl011\""] {
            assert!(!text.contains(gone), "{gone} is still there");
        }
        for kept in ["<ioport", "<cap_vspace slot=\"32\""] {
            assert!(text.contains(kept), "{kept} is gone");
        }
    }

    #[test]
    fn an_element_stays_on_its_board_only() {
        let xml =
            "<system>\n<!-- \u{fc} --><map board='a' mr='x'/>\n<map\n board = \"b\"\n/></system>";
        let (on_a, _) = extract(xml, "a").unwrap();
        assert_eq!(
            on_a,
            "<system>\n<!-- \u{fc} --><map           mr='x'/>\n    \n            \n  </system>"
        );
        let (on_b, _) = extract(xml, "b").unwrap();
        assert_eq!(on_b.matches("<map").count(), 1);
        assert!(!on_b.contains("board"));
    }

    #[test]
    fn what_is_left_out_claims_no_slot() {
        let xml = "<system><protection_domain name='p'><cspace>\
            <cap_untyped board='a' slot='8' size_bits='20' count='1'/>\
            <cap_untyped board='b' slot='8' size_bits='0x1_5' count='2'/>\
            </cspace></protection_domain></system>";
        let (_, extensions) = extract(xml, "b").unwrap();
        let expected = UntypedCaps { owner: "p".into(), slot: 8, size_bits: 21, count: 2, line: 1 };
        assert_eq!(extensions.untypeds, [expected]);
    }

    #[test]
    fn the_same_slot_of_another_pd_is_another_slot() {
        let xml = "<system>\
            <protection_domain name='p'><cspace><cap_vspace slot='8' pd='q'/>\
            <cap_cnode slot='458' pd='q'/></cspace></protection_domain>\
            <protection_domain name='q'><cspace><cap_untyped slot='8' size_bits='12' count='56'/>\
            <cap_cnode slot='458' pd='p'/></cspace></protection_domain></system>";
        let (text, extensions) = extract(xml, "any").unwrap();
        assert_eq!((extensions.untypeds.len(), extensions.cnodes.len()), (1, 2));
        assert!(text.contains("<cap_vspace slot='8' pd='q'/>"));
    }
}
