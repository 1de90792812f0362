// SPDX-License-Identifier: BSD-2-Clause
//! The memory server: the protection domain whose children have a `memory_account`. Collects its
//! pool and its peers, checks them, and derives the capabilities that it needs.

use pmserver_setup::{
    CallGraph, PeerConfig, PoolPart, Privileges, SETUP_BYTES, Setup, SetupError, Subject, decode,
    encode, slots,
};
use proto::{ByteCount, PeerId};
use roxmltree::NodeId;

use crate::account::{Account, confine};
use crate::claims::Claims;
use crate::element::Element;
use crate::{Fault, GivenCap, GivenObject, Node, PciDevice, UntypedCaps};

/// The name of the file with the setup, as the complete text gives it.
pub const SETUP_FILE: &str = "memory_setup.bin";
/// The name of the file with the code of the last resort (PM-370), which the image tool has.
pub const LAST_RESORT_FILE: &str = "last_resort.bin";

/// The memory server of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryServer {
    /// The name of its protection domain.
    pub name: String,
    /// Its setup, in the format that pmserver reads.
    pub(crate) page: Box<[u8; SETUP_BYTES]>,
    /// The devices behind an IOMMU, in the order of their peers.
    pub(crate) devices: Vec<PciDevice>,
}

impl MemoryServer {
    /// Returns the parts of its pool, and its peers.
    ///
    /// # Panics
    /// Never: the page was made from a setup.
    #[must_use]
    #[expect(clippy::expect_used, reason = "what encode writes, decode reads: a test says so")]
    pub fn setup(&self) -> Setup<'_> {
        decode(&self.page).expect("the page holds a setup")
    }

    /// Returns the capabilities that it needs for itself and its peers.
    pub(crate) fn caps(&self) -> Vec<GivenCap> {
        let give = |object, pd: &str, node, slot| GivenCap {
            owner: self.name.clone(),
            object,
            pd: pd.to_owned(),
            node,
            slot,
        };
        let mut caps = vec![give(GivenObject::Tcb, &self.name, Node::Root, slots::OWN_TCB)];
        let own = (0, self.name.as_str());
        let setup = self.setup();
        for (number, pd) in setup.peers().iter().map(|peer| (peer.peer, peer.name)).chain([own]) {
            let vspace = slots::VSPACES.saturating_add(number.into());
            let cnode = slots::ROOT_CNODES.saturating_add(number.into());
            caps.push(give(GivenObject::VSpace, pd, Node::Root, vspace));
            caps.push(give(GivenObject::CNode, pd, Node::Leaf, cnode));
        }
        for (device, slot) in self.devices.iter().zip(slots::IO_SPACES) {
            caps.push(give(GivenObject::IoSpace(*device), &self.name, Node::Leaf, slot));
        }
        caps
    }

    /// Returns the names of its peers' protection domains.
    pub(crate) fn peer_names(&self) -> Vec<String> {
        self.setup().peers().iter().map(|peer| peer.name.to_owned()).collect()
    }
}

/// A protection domain.
struct Domain<'a, 'input> {
    element: Element<'a, 'input>,
    account: Option<Account<'a, 'input>>,
}

/// An end of a channel.
pub(crate) struct ChannelEnd<'a, 'input> {
    pub(crate) channel: NodeId,
    pub(crate) element: Element<'a, 'input>,
}

/// All protection domains and channels of a description.
#[derive(Default)]
pub(crate) struct Domains<'a, 'input> {
    domains: Vec<Domain<'a, 'input>>,
    pub(crate) ends: Vec<ChannelEnd<'a, 'input>>,
    /// Whether the machine has an IOMMU.
    has_iommu: bool,
}

/// A protection domain with an account.
#[derive(Clone, Copy)]
struct Peer<'a, 'input> {
    element: Element<'a, 'input>,
    account: Account<'a, 'input>,
}

impl<'a, 'input> Domains<'a, 'input> {
    pub(crate) fn new(has_iommu: bool) -> Self {
        Self { has_iommu, ..Self::default() }
    }

    pub(crate) fn add(&mut self, element: Element<'a, 'input>) {
        self.domains.push(Domain { element, account: None });
    }

    /// Returns the protection domain of this name.
    pub(crate) fn element(&self, name: &str) -> Option<Element<'a, 'input>> {
        let found = self.domains.iter().find(|domain| domain.element.name() == name);
        found.map(|domain| domain.element)
    }

    /// Returns all protection domains.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Element<'a, 'input>> {
        self.domains.iter().map(|domain| domain.element)
    }

    /// Returns whether a domain has the privilege to supervise.
    pub(crate) fn may_supervise(&self, domain: Element<'a, 'input>) -> bool {
        let found = self.domains.iter().find(|other| other.element.0 == domain.0);
        let account = found.and_then(|domain| domain.account);
        account.is_some_and(|account| account.privileges.contains(Privileges::SUPERVISE))
    }

    /// Returns the domains that one calls by protected procedure.
    fn procedures_of(
        &self,
        caller: Element<'a, 'input>,
    ) -> impl Iterator<Item = Element<'a, 'input>> {
        self.called_ends(caller).filter_map(|end| self.element(end.attribute("pd")?))
    }

    /// Returns the ends of the channels on which a domain calls, at those that it calls.
    pub(crate) fn called_ends(
        &self,
        caller: Element<'a, 'input>,
    ) -> impl Iterator<Item = Element<'a, 'input>> {
        let name = caller.name();
        let calls = move |end: &Element<'_, '_>| {
            end.attribute("pd") == Some(&name) && end.attribute("pp") == Some("true")
        };
        self.ends.iter().filter(move |end| calls(&end.element)).filter_map(|own| {
            let is_other = |end: &&ChannelEnd<'_, '_>| {
                end.channel == own.channel && end.element.0 != own.element.0
            };
            self.ends.iter().find(is_other).map(|end| end.element)
        })
    }

    /// Returns the passive domains that one calls: by protected procedure, or by a fault.
    pub(crate) fn called_by(
        &self,
        caller: Element<'a, 'input>,
    ) -> impl Iterator<Item = Element<'a, 'input>> {
        let called = self.procedures_of(caller).chain(caller.parent("protection_domain"));
        called.filter(|server| server.attribute("passive") == Some("true"))
    }

    /// Reads a `memory_account`.
    pub(crate) fn add_account(&mut self, element: Element<'a, 'input>) -> Result<(), Fault> {
        let account = Account::read(element)?;
        let pd = element.parent("protection_domain");
        let pd = pd.filter(|pd| pd.parent("protection_domain").is_some()).ok_or_else(|| {
            element.fault("memory_account must be in a child of a protection domain.")
        })?;
        let domain = self.domains.iter_mut().find(|domain| domain.element.0 == pd.0);
        if let Some(twin) = domain.and_then(|domain| domain.account.replace(account)) {
            let line = twin.element.line();
            let sentence = format!("'{}' has a memory_account in line {line} already.", pd.name());
            return Err(element.fault(sentence));
        }
        Ok(())
    }

    /// Checks and returns the memory server; returns `None` if no domain has an account.
    pub(crate) fn server(
        &self,
        untypeds: &[UntypedCaps],
        claims: &Claims,
    ) -> Result<Option<MemoryServer>, Fault> {
        let Some(server) = self.find_server()? else { return Ok(None) };
        let peers = self.peers(server)?;
        let names: Vec<String> = peers.iter().map(|peer| peer.element.name()).collect();
        let mut configs = Vec::new();
        for (peer, name) in peers.iter().zip(&names) {
            configs.push(PeerConfig {
                peer: peer.element.narrow(peer.element.number("id")?)?,
                name,
                limit: ByteCount::new(peer.account.limit),
                privileges: peer.account.privileges,
            });
        }
        let name = server.name();
        let (parts, part_lines) = parts(&name, untypeds);
        let setup = Setup::new(parts, configs.iter().copied()).map_err(|(subject, error)| {
            let line = match subject {
                Subject::Setup => part_lines.first().copied(),
                Subject::Part(part) => part_lines.get(part).copied(),
                Subject::Peer(peer) => peers.get(peer).map(|peer| match error {
                    SetupError::PeerNumber(_) | SetupError::PeerNumberTwice(_) => {
                        peer.element.line()
                    }
                    _ => peer.account.element.line(),
                }),
            };
            fault_of(error, line.unwrap_or_else(|| server.line()), &name)
        })?;
        for (peer, config) in peers.iter().zip(&configs) {
            self.check_channel(server, *peer, config.peer.into())?;
        }
        check_slots(&name, &configs, claims)?;
        let accounts = configs.iter().zip(&peers).filter(|_| self.has_iommu);
        let accounts = accounts.map(|(config, peer)| (config.peer, peer.account));
        let (setup, devices) = confine(setup, accounts)?;
        let page = encode(&setup.with_calls(self.calls_between(&peers)?));
        Ok(Some(MemoryServer { page: Box::new(page), name, devices }))
    }

    /// Returns which peers call which.
    fn calls_between(&self, peers: &[Peer<'a, 'input>]) -> Result<CallGraph, Fault> {
        let mut calls = CallGraph::NONE;
        for caller in peers {
            for server in self.procedures_of(caller.element) {
                if peers.iter().any(|peer| peer.element.0 == server.0) {
                    let ids = PeerId::new(caller.element.number("id")?)
                        .zip(PeerId::new(server.number("id")?));
                    calls = ids.map_or(calls, |(caller, server)| calls.with(caller, server));
                }
            }
        }
        Ok(calls)
    }

    /// Returns the one parent of all domains with an account; `None` if there are none.
    fn find_server(&self) -> Result<Option<Element<'a, 'input>>, Fault> {
        let mut found: Option<Element<'a, 'input>> = None;
        for domain in &self.domains {
            let Some(account) = &domain.account else { continue };
            let Some(parent) = domain.element.parent("protection_domain") else { continue };
            match found {
                Some(server) if server.0 != parent.0 => {
                    let sentence = format!(
                        "'{}' has a memory_account as a child of '{}', others have theirs as \
                         children of '{}': a system has one memory server.",
                        domain.element.name(),
                        parent.name(),
                        server.name()
                    );
                    return Err(account.element.fault(sentence));
                }
                _ => found = Some(parent),
            }
        }
        Ok(found)
    }

    /// Returns the children of the memory server; fails if one has no account.
    fn peers(&self, server: Element<'a, 'input>) -> Result<Vec<Peer<'a, 'input>>, Fault> {
        let is_child = |domain: &&Domain<'a, 'input>| {
            domain.element.parent("protection_domain").is_some_and(|parent| parent.0 == server.0)
        };
        let children = self.domains.iter().filter(is_child);
        children
            .map(|domain| {
                let element = domain.element;
                let account = domain.account.ok_or_else(|| {
                    let (name, server) = (element.name(), server.name());
                    let sentence =
                        format!("'{name}' is a child of '{server}' but has no memory_account.");
                    element.fault(sentence)
                })?;
                Ok(Peer { element, account })
            })
            .collect()
    }

    /// Checks that a peer can call the memory server, on a channel with the peer's number there.
    fn check_channel(
        &self,
        server: Element<'a, 'input>,
        peer: Peer<'a, 'input>,
        number: u64,
    ) -> Result<(), Fault> {
        let (name, server) = (peer.element.name(), server.name());
        let is_at = |end: &&ChannelEnd<'_, '_>, pd: &str| end.element.attribute("pd") == Some(pd);
        let own_ends = self.ends.iter().filter(|end| is_at(end, &name));
        let joining = own_ends.filter_map(|own| {
            let theirs =
                self.ends.iter().find(|end| end.channel == own.channel && is_at(end, &server))?;
            Some((own.element, theirs.element))
        });
        let mut wrong = None;
        for (own, theirs) in joining {
            if theirs.number("id")? != number {
                let sentence = format!(
                    "the channel of '{name}' must have the id {number} at '{server}': its id as a \
                     child."
                );
                wrong = wrong.or(Some(theirs.fault(sentence)));
            } else if own.attribute("pp") == Some("true") {
                return Ok(());
            } else {
                let sentence = format!(
                    "'{name}' cannot call '{server}': its end of the channel lacks pp=\"true\"."
                );
                wrong = wrong.or(Some(own.fault(sentence)));
            }
        }
        Err(wrong.unwrap_or_else(|| {
            let sentence = format!("'{name}' has a memory_account but no channel to '{server}'.");
            peer.account.element.fault(sentence)
        }))
    }
}

/// Returns the parts of the pool, and the line of each.
fn parts(server: &str, untypeds: &[UntypedCaps]) -> (Vec<PoolPart>, Vec<u32>) {
    let mut parts = Vec::new();
    let mut lines = Vec::new();
    for untyped in untypeds.iter().filter(|untyped| untyped.owner == server) {
        for index in 0..untyped.count {
            let slot = untyped.slot.saturating_add(index);
            parts.push(PoolPart { slot, size_bits: untyped.size_bits.into() });
            lines.push(untyped.line);
        }
    }
    (parts, lines)
}

fn fault_of(error: SetupError, line: u32, server: &str) -> Fault {
    let sentence = match error {
        SetupError::NoPool => format!("the memory server '{server}' has no cap_untyped."),
        other => format!("{other}."),
    };
    Fault { line, sentence }
}

/// Checks that no element takes a slot that is filled without an element.
fn check_slots(server: &str, peers: &[PeerConfig<'_>], claims: &Claims) -> Result<(), Fault> {
    let root = slots::FILLED_BY_PMSERVER.map(|slot| (Node::Root, slot));
    let leaf = slots::LEAF_FILLED_BY_PMSERVER.into_iter().chain(slots::IO_SPACES);
    for (node, slot) in root.into_iter().chain(leaf.map(|slot| (Node::Leaf, slot))) {
        claims.check_free(server, node, slot, "the memory server itself")?;
    }
    let tcb = "its own TCB, which needs no element";
    claims.check_free(server, Node::Root, slots::OWN_TCB, tcb)?;
    let own = PeerConfig {
        peer: 0,
        name: server,
        limit: ByteCount::new(0),
        privileges: Privileges::empty(),
    };
    for PeerConfig { peer: number, name, .. } in [&own].into_iter().chain(peers) {
        let what = format!("the VSpace of '{name}', which needs no element");
        let slot = slots::VSPACES.saturating_add((*number).into());
        claims.check_free(server, Node::Root, slot, &what)?;
        let what = format!("the root CNode of '{name}', which needs no element");
        let slot = slots::ROOT_CNODES.saturating_add((*number).into());
        claims.check_free(server, Node::Leaf, slot, &what)?;
    }
    for peer in peers {
        claims.check_free(peer.name, Node::Root, slots::GRANTS, "frames granted to it")?;
    }
    Ok(())
}
