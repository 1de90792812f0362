// SPDX-License-Identifier: BSD-2-Clause
//! The file server: the protection domain that runs `fsserver.elf`, or a program whose name ends
//! so. Collects what its clients may do there, which each of them has a `file_access` for.

use fsserver_setup::{ClientConfig, Rights, SETUP_BYTES, Setup, decode, encode};

use crate::Fault;
use crate::element::Element;
use crate::server::Domains;

/// The name of the file with the setup, as the complete text gives it.
pub const FILE_SETUP_FILE: &str = "file_setup.bin";
/// How the name of the program ends that a file server runs.
const PROGRAM: &str = "fsserver.elf";

/// The file server of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileServer {
    /// The name of its protection domain.
    pub name: String,
    /// Its setup, in the format that fsserver reads.
    pub pages: Box<[u8; SETUP_BYTES]>,
}

impl FileServer {
    /// Returns what its clients may do.
    ///
    /// # Panics
    /// Never: the pages were made from a setup.
    #[must_use]
    #[expect(clippy::expect_used, reason = "what encode writes, decode reads: a test says so")]
    pub fn setup(&self) -> Setup<'_> {
        decode(&self.pages).expect("the pages hold a setup")
    }
}

/// Returns the file server with what each `file_access` says; `None` if there are none.
pub(crate) fn file_server(
    domains: &Domains<'_, '_>,
    accesses: &[Element<'_, '_>],
) -> Result<Option<FileServer>, Fault> {
    let mut found: Option<(String, Setup<'_>)> = None;
    let mut holders = Vec::new();
    for access in accesses {
        access.check_shape(&["rights", "root", "files"])?;
        let holder = access
            .parent("protection_domain")
            .ok_or_else(|| access.fault("file_access must be in a protection domain."))?;
        if holders.contains(&holder.0) {
            return Err(access.fault(format!("'{}' has a file_access already.", holder.name())));
        }
        holders.push(holder.0);
        let mut calls = false;
        for end in domains.called_ends(holder) {
            let Some(name) = end.attribute("pd").filter(|pd| is_file_server(domains, pd)) else {
                continue;
            };
            calls = true;
            let (server, setup) = found.take().unwrap_or((name.to_owned(), Setup::EMPTY));
            if server != name {
                let sentence = format!(
                    "'{}' calls '{name}', others call '{server}': what clients may do is said for \
                     one file server.",
                    holder.name()
                );
                return Err(access.fault(sentence));
            }
            let client = client(*access, end.narrow(end.number("id")?)?)?;
            let setup = setup.with(client).map_err(|error| access.fault(format!("{error}.")))?;
            found = Some((server, setup));
        }
        if !calls {
            let sentence = format!(
                "'{}' has a file_access, but calls no domain that runs {PROGRAM}.",
                holder.name()
            );
            return Err(access.fault(sentence));
        }
    }
    Ok(found.map(|(name, setup)| FileServer { name, pages: Box::new(encode(&setup)) }))
}

/// Returns what an element says of the client on a channel.
fn client<'a>(access: Element<'a, '_>, channel: u8) -> Result<ClientConfig<'a>, Fault> {
    let mut client = ClientConfig::default_of(channel);
    if let Some(word) = access.attribute("rights") {
        let named = Rights::NAMES.iter().find(|(_, name)| *name == word);
        let (rights, _) = named
            .ok_or_else(|| access.fault(format!("rights '{word}' is neither read nor write.")))?;
        client.rights = *rights;
    }
    if access.attribute("files").is_some() {
        client.files = access.narrow(access.number("files")?)?;
    }
    client.root = access.attribute("root").unwrap_or(client.root);
    Ok(client)
}

/// Returns whether a domain runs a file server.
fn is_file_server(domains: &Domains<'_, '_>, name: &str) -> bool {
    let program = domains.element(name).and_then(|domain| domain.program());
    program.is_some_and(|program| program.ends_with(PROGRAM))
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;
    use crate::{Hardware, read};

    const SYSTEM: &str = include_str!("../../testing/systems/region.xml");

    /// The demo, whose client has this element.
    fn demo_with(element: &str) -> String {
        let program = r#"<program_image path="client-demo.elf" />"#;
        SYSTEM.replace(program, &format!("{program}{element}"))
    }

    #[test]
    fn what_a_client_may_do_is_for_its_channel_at_the_file_server() {
        let element = r#"<file_access rights="write" root="/own/a" files="0x20"/>"#;
        let description = read(&demo_with(element), None).unwrap();
        let complete = description.complete(&Hardware::default());
        let server = description.file_server.unwrap();
        assert_eq!(server.name, "fsserver");
        let expected =
            ClientConfig { channel: 2, rights: Rights::Write, files: 32, root: "/own/a" };
        assert_eq!(server.setup().clients(), [expected]);
        assert!(!description.text.contains("file_access"));

        let doc = Document::parse(&complete.text).unwrap();
        let map = doc.descendants().find(|node| node.attribute("mr") == Some("file_setup"));
        let map = map.unwrap();
        assert_eq!(map.attribute("setvar_vaddr"), Some("file_setup_vaddr"));
        assert_eq!(map.parent_element().unwrap().attribute("name"), Some("fsserver"));
        let region = doc.descendants().find(|node| node.attribute("name") == Some("file_setup"));
        assert_eq!(region.unwrap().attribute("prefill_path"), Some(FILE_SETUP_FILE));
    }

    #[test]
    fn what_an_element_does_not_say_is_the_default() {
        let description = read(&demo_with("<file_access />"), None).unwrap();
        let server = description.file_server.unwrap();
        assert_eq!(server.setup().clients(), [ClientConfig::default_of(2)]);
    }

    #[test]
    fn nobody_is_told_of_clients_of_which_nothing_is_said() {
        let description = read(SYSTEM, None).unwrap();
        assert_eq!(description.file_server, None);
        let complete = description.complete(&Hardware::default());
        assert!(!complete.text.contains("file_setup"));
    }
}
