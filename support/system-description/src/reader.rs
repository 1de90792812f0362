// SPDX-License-Identifier: BSD-2-Clause
//! Walks through the elements of a description, and removes those that Microkit does not know.

use std::ops::RangeInclusive;

use roxmltree::Document;

use crate::additions::Places;
use crate::budgets;
use crate::claims::Claims;
use crate::cores;
use crate::element::Element;
use crate::file_server::file_server;
use crate::serial::{self, SerialOwner};
use crate::server::{ChannelEnd, Domains};
use crate::text::Text;
use crate::{Description, Fault, GivenCap, GivenObject, Machine, Node, UntypedCaps};

/// Sizes of untyped objects, as powers of two: from one page, the least that can be mapped, to the
/// kernel's largest untyped.
const SIZE_BITS: RangeInclusive<u64> = 12..=47;

/// Microkit's own elements of `cspace`.
const STOCK_CAPS: [&str; 3] = ["cap_tcb", "cap_sc", "cap_vspace"];

/// Reads the system description in `xml` for `board`, without an IOMMU, as [`read_for`].
///
/// # Errors
/// The first thing that is wrong.
pub fn read(xml: &str, board: Option<&str>) -> Result<Description, Fault> {
    read_for(xml, Machine { board, has_iommu: false })
}

/// Reads the system description in `xml`.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_for(xml: &str, machine: Machine<'_>) -> Result<Description, Fault> {
    let Machine { board, has_iommu } = machine;
    let doc = Document::parse(xml).map_err(|err| Fault {
        line: err.pos().row,
        sentence: format!("this is not well-formed XML: {err}."),
    })?;
    let root = Element(doc.root_element());
    let mut reader = Reader {
        board,
        root,
        text: Text::new(xml),
        claims: Claims::default(),
        cnode_elements: Vec::new(),
        untypeds: Vec::new(),
        caps: Vec::new(),
        domains: Domains::new(has_iommu),
        file_accesses: Vec::new(),
        serial: None,
    };
    reader.element(root)?;
    reader.check_pd_names()?;
    let Reader { text, claims, untypeds, mut caps, domains, file_accesses, serial, .. } = reader;
    let server = domains.server(&untypeds, &claims)?;
    cores::check(&domains)?;
    if let Some(server) = &server {
        budgets::check(&domains)?;
        caps.extend(server.caps());
    }
    let file_server = file_server(&domains, &file_accesses)?;
    let end_of = |pd: &str| text.closing_tag(domains.element(pd).unwrap_or(root).0);
    let end = |pd: Option<&String>| pd.map_or_else(usize::default, |pd| end_of(pd));
    let places = Places {
        system: text.closing_tag(root.0),
        server: end(server.as_ref().map(|server| &server.name)),
        peers: server.iter().flat_map(|server| server.peer_names()).map(|pd| end_of(&pd)).collect(),
        file_server: end(file_server.as_ref().map(|server| &server.name)),
        serial: serial.map(|owner| (end_of(&owner.name), owner)),
    };
    Ok(Description { text: text.text(), untypeds, caps, server, file_server, places })
}

struct Reader<'a, 'input> {
    board: Option<&'a str>,
    root: Element<'a, 'input>,
    text: Text,
    claims: Claims,
    /// The element that each of `caps` comes from.
    cnode_elements: Vec<Element<'a, 'input>>,
    untypeds: Vec<UntypedCaps>,
    caps: Vec<GivenCap>,
    domains: Domains<'a, 'input>,
    file_accesses: Vec<Element<'a, 'input>>,
    serial: Option<SerialOwner>,
}

impl<'a, 'input> Reader<'a, 'input> {
    /// Reads one element and all below it.
    fn element(&mut self, element: Element<'a, 'input>) -> Result<(), Fault> {
        if let Some(board) = element.attribute("board") {
            if board.is_empty() {
                return Err(element.fault("the attribute board is empty."));
            }
            if Some(board) != self.board {
                if element.0 == self.root.0 {
                    let sentence = format!("the whole system is for the board '{board}'.");
                    return Err(element.fault(sentence));
                }
                self.text.blank_element(element.0);
                return Ok(());
            }
            self.text.blank_attribute(element.0, "board");
        }

        let tag = element.tag();
        match (tag, cspace_owner(element)) {
            ("cap_untyped", Some(owner)) => self.cap_untyped(element, owner)?,
            ("cap_cnode", Some(owner)) => self.cap_cnode(element, owner)?,
            ("cap_untyped" | "cap_cnode", None) => {
                let sentence = format!("{tag} must be in the cspace of a protection domain.");
                return Err(element.fault(sentence));
            }
            (_, Some(owner)) if STOCK_CAPS.contains(&tag) => self.stock_cap(element, owner)?,
            (_, Some(_)) => {
                let sentence = format!(
                    "{tag} is not an element of cspace, which takes cap_untyped, cap_cnode, {}.",
                    STOCK_CAPS.join(", ")
                );
                return Err(element.fault(sentence));
            }
            ("protection_domain", None) => self.domains.add(element),
            ("memory_account", None) => {
                self.domains.add_account(element)?;
                self.text.blank_element(element.0);
            }
            ("file_access", None) => {
                self.file_accesses.push(element);
                self.text.blank_element(element.0);
            }
            ("serial_port", None) => {
                let owner = serial::owner(element)?;
                if let Some(other) = self.serial.replace(owner) {
                    let sentence = format!("'{}' has the serial port already.", other.name);
                    return Err(element.fault(sentence));
                }
                self.text.blank_element(element.0);
            }
            ("end", None) => {
                if let Some(channel) = element.parent("channel") {
                    let end = ChannelEnd { channel: channel.0.id(), element };
                    self.domains.ends.push(end);
                }
            }
            _ => {}
        }
        for child in element.0.children().filter(roxmltree::Node::is_element) {
            self.element(Element(child))?;
        }
        Ok(())
    }

    fn cap_untyped(&mut self, element: Element<'a, 'input>, owner: String) -> Result<(), Fault> {
        element.check_shape(&["slot", "size_bits", "count"])?;
        let slot = element.number("slot")?;
        let size_bits = element.number("size_bits")?;
        let count = element.number("count")?;
        if !SIZE_BITS.contains(&size_bits) {
            let sentence = format!(
                "size_bits {size_bits} is outside {} to {}, from one page to the kernel's largest \
                 untyped.",
                SIZE_BITS.start(),
                SIZE_BITS.end()
            );
            return Err(element.fault(sentence));
        }
        if count == 0 {
            return Err(element.fault("count is 0: leave the element out instead."));
        }
        self.claims.take(element, &owner, Node::Root, slot, count)?;
        self.untypeds.push(UntypedCaps {
            owner,
            slot: element.narrow(slot)?,
            size_bits: element.narrow(size_bits)?,
            count: element.narrow(count)?,
            line: element.line(),
        });
        self.text.blank_element(element.0);
        Ok(())
    }

    fn cap_cnode(&mut self, element: Element<'a, 'input>, owner: String) -> Result<(), Fault> {
        element.check_shape(&["slot", "pd"])?;
        let slot = element.number("slot")?;
        let pd = element.value("pd")?.to_owned();
        self.claims.take(element, &owner, Node::Leaf, slot, 1)?;
        let slot = element.narrow(slot)?;
        let object = GivenObject::CNode;
        self.caps.push(GivenCap { owner, object, pd, node: Node::Leaf, slot });
        self.cnode_elements.push(element);
        self.text.blank_element(element.0);
        Ok(())
    }

    /// Records the slot of a stock element, which is not removed.
    fn stock_cap(&mut self, element: Element<'a, 'input>, owner: String) -> Result<(), Fault> {
        let slot = element.number("slot")?;
        self.claims.take(element, &owner, Node::Root, slot, 1)
    }

    /// Checks that every PD that a `cap_cnode` names exists. Called after all PDs are read.
    fn check_pd_names(&self) -> Result<(), Fault> {
        for (cap, element) in self.caps.iter().zip(&self.cnode_elements) {
            if self.domains.element(&cap.pd).is_none() {
                let sentence = format!(
                    "cap_cnode names the PD '{}', which this system does not have.",
                    cap.pd
                );
                return Err(element.fault(sentence));
            }
        }
        Ok(())
    }
}

/// Returns the name of the PD in whose `cspace` the element stands.
fn cspace_owner(element: Element<'_, '_>) -> Option<String> {
    let pd = element.parent("cspace")?.parent("protection_domain")?;
    Some(pd.name())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use pmserver_setup::{CallGraph, PoolPart};
    use proto::PeerId;

    use super::*;
    use crate::{Hardware, SETUP_FILE};

    const SYSTEM: &str = include_str!("../../testing/systems/region.xml");
    const DEMO: &str = include_str!("../../../microkit-system.xml");

    #[test]
    fn the_system_of_record_has_its_pool_its_peers_and_what_follows() {
        for board in [Some("qemu_virt_aarch64"), Some("x86_64_generic"), None] {
            let description = read(SYSTEM, board).unwrap();
            let server = description.server.as_ref().unwrap();
            assert_eq!(server.name, "pmserver");
            let setup = server.setup();
            assert_eq!(setup.parts(), [PoolPart { slot: 8, size_bits: 26 }]);
            let peers: Vec<_> = setup.peers().iter().map(|peer| (peer.peer, peer.name)).collect();
            assert_eq!(peers, [(1, "fsserver"), (2, "client-demo")]);
            let (fsserver, client) = (PeerId::new(1).unwrap(), PeerId::new(2).unwrap());
            assert_eq!(setup.calls(), CallGraph::NONE.with(client, fsserver));
            let caps: Vec<_> = description
                .caps
                .iter()
                .map(|cap| (cap.object, cap.pd.as_str(), cap.node, cap.slot))
                .collect();
            let of = |number: u32, pd| {
                [
                    (GivenObject::VSpace, pd, Node::Root, 32 + number),
                    (GivenObject::CNode, pd, Node::Leaf, 480 + number),
                ]
            };
            let mut expected = vec![(GivenObject::Tcb, "pmserver", Node::Root, 7)];
            expected.extend(of(1, "fsserver").into_iter().chain(of(2, "client-demo")));
            expected.extend(of(0, "pmserver"));
            assert_eq!(caps, expected);
        }
    }

    #[test]
    fn the_setup_is_mapped_into_the_memory_server_alone() {
        let description = read(SYSTEM, None).unwrap();
        let text = &description.complete(&Hardware::default()).text;
        let added = |tag: &str| text.matches(tag).count() - description.text.matches(tag).count();
        let peers = description.server.as_ref().unwrap().setup().peers().len();
        assert_eq!((added("<map "), added("<memory_region ")), (1 + peers, 2));
        let code = text.matches(r#"<map mr="last_resort" perms="rx" "#).count();
        assert_eq!(code, peers, "each peer has its last resort");
        let doc = Document::parse(text).unwrap();
        let map = doc.descendants().find(|node| node.attribute("mr") == Some("memory_setup"));
        let pd = map.unwrap().parent_element().unwrap();
        assert_eq!(pd.attribute("name"), Some("pmserver"));
        let region = doc.descendants().find(|node| node.attribute("name") == Some("memory_setup"));
        assert_eq!(region.unwrap().attribute("prefill_path"), Some(SETUP_FILE));
        assert_eq!(region.unwrap().parent_element().unwrap(), doc.root_element());
        let system = "<system><protection_domain name='p'/></system>";
        let description = read(system, None).unwrap();
        let complete = description.complete(&Hardware::default());
        assert_eq!((complete.text.as_str(), description.server.is_none()), (system, true));
    }

    #[test]
    fn the_hardware_decides_what_the_clock_and_the_serial_port_are() {
        let description = read(SYSTEM, None).unwrap();
        let complete = |port: Option<&str>, is_counter_measured| {
            let serial_port = port.map(|words| words.parse().unwrap());
            description.complete(&Hardware { serial_port, is_counter_measured })
        };
        let none = complete(None, false);
        assert!(!none.text.contains("serial_port") && !none.text.contains("tsc_frequency"));
        assert_eq!(none.variable, None);

        let arm = complete(Some("cadence_uart 0xff000000 53"), false);
        let doc = Document::parse(&arm.text).unwrap();
        let owner = |mr| {
            let map = doc.descendants().find(|node| node.attribute("mr") == Some(mr)).unwrap();
            map.parent_element().unwrap().attribute("name").unwrap()
        };
        assert_eq!((owner("serial_port"), owner("memory_setup")), ("console", "pmserver"));
        let variable = arm.variable.unwrap();
        assert_eq!((variable.pd.as_str(), variable.name.as_str()), ("console", "cadence_uart"));

        let pc = complete(Some("io_ports 0x3f8 4"), true);
        let doc = Document::parse(&pc.text).unwrap();
        let map = doc.descendants().find(|node| node.attribute("mr") == Some("tsc_frequency"));
        assert_eq!(map.unwrap().attribute("setvar_vaddr"), Some("tsc_frequency_vaddr"));
        assert!(pc.text.contains("<ioport ") && pc.variable.is_none());
    }

    #[test]
    fn what_is_left_keeps_its_place() {
        let text = read(DEMO, Some("x86_64_generic")).unwrap().text;
        assert!(DEMO.contains("board="));
        assert_eq!(text.len(), DEMO.len());
        for (before, after) in DEMO.bytes().zip(text.bytes()) {
            assert!(before == after || after == b' ' && before != b'\n');
        }
        for gone in ["<cap_untyped", "<memory_account", "<serial_port", "board=", "virtio\""] {
            assert!(!text.contains(gone), "{gone} is still there");
        }
        for kept in ["<ioport", "<cspace>"] {
            assert!(text.contains(kept), "{kept} is gone");
        }
    }

    #[test]
    fn an_element_stays_on_its_board_only() {
        let xml =
            "<system>\n<!-- \u{fc} --><map board='a' mr='x'/>\n<map\n board = \"b\"\n/></system>";
        let on_a = read(xml, Some("a")).unwrap().text;
        assert_eq!(
            on_a,
            "<system>\n<!-- \u{fc} --><map           mr='x'/>\n    \n            \n  </system>"
        );
        let on_b = read(xml, Some("b")).unwrap().text;
        assert_eq!(on_b.matches("<map").count(), 1);
        assert!(!on_b.contains("board"));
    }

    #[test]
    fn what_is_left_out_claims_no_slot() {
        let xml = "<system><protection_domain name='p'><cspace>\
            <cap_untyped board='a' slot='8' size_bits='20' count='1'/>\
            <cap_untyped board='b' slot='8' size_bits='0x1_5' count='2'/>\
            </cspace></protection_domain></system>";
        let description = read(xml, Some("b")).unwrap();
        let expected = UntypedCaps { owner: "p".into(), slot: 8, size_bits: 21, count: 2, line: 1 };
        assert_eq!(description.untypeds, [expected]);
    }

    #[test]
    fn the_same_slot_of_another_pd_is_another_slot() {
        let xml = "<system>\
            <protection_domain name='p'><cspace><cap_vspace slot='8' pd='q'/>\
            <cap_cnode slot='458' pd='q'/></cspace></protection_domain>\
            <protection_domain name='q'><cspace><cap_untyped slot='8' size_bits='12' count='56'/>\
            <cap_cnode slot='458' pd='p'/></cspace></protection_domain></system>";
        let description = read(xml, Some("any")).unwrap();
        assert_eq!((description.untypeds.len(), description.caps.len()), (1, 2));
        assert!(description.text.contains("<cap_vspace slot='8' pd='q'/>"));
    }
}
