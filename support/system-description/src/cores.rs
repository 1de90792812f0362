// SPDX-License-Identifier: BSD-2-Clause
//! Refuses passive servers that are called from another core.
//!
//! Microkit's monitor takes a passive domain's own time away when the domain waits for its first
//! call. Callers on its own core run after that, as their priorities are lower. One on another core
//! does not wait: if its call comes first, the server loses its time in the middle of it, and
//! nobody is ever answered again (decision 0068).

use crate::Fault;
use crate::element::Element;
use crate::server::Domains;

/// Checks every domain.
pub(crate) fn check(domains: &Domains<'_, '_>) -> Result<(), Fault> {
    for caller in domains.elements() {
        let core = core_of(caller)?;
        for server in domains.called_by(caller) {
            if core_of(server)? != core {
                let (name, server) = (caller.name(), server.name());
                let sentence = format!(
                    "'{name}' calls '{server}' from another core (cpu), and that is passive: a \
                     call that comes while it starts would stop it for ever."
                );
                return Err(caller.fault(sentence));
            }
        }
    }
    Ok(())
}

/// Returns on which core a domain is.
fn core_of(domain: Element<'_, '_>) -> Result<u64, Fault> {
    domain.attribute("cpu").map_or(Ok(0), |_| domain.number("cpu"))
}

#[cfg(test)]
mod tests {
    const SYSTEM: &str = include_str!("../../../microkit-system.xml");

    /// Puts a domain on the second core.
    fn moved(text: &str, name: &str) -> String {
        let name = format!("protection_domain name=\"{name}\"");
        assert!(text.contains(&name));
        text.replace(&name, &format!("{name} cpu=\"1\""))
    }

    #[test]
    fn a_passive_server_has_its_callers_on_its_own_core() {
        let read = |text: &str| crate::read(text, None).map(drop).map_err(|fault| fault.sentence);
        for name in ["client-demo", "virtio-blk", "fsserver"] {
            let refused = read(&moved(SYSTEM, name)).unwrap_err();
            assert!(refused.starts_with(&format!("'{name}' calls '")), "{refused}");
        }
        let refused = read(&moved(SYSTEM, "console")).unwrap_err();
        assert!(refused.starts_with("'pmserver' calls 'console' from another core"), "{refused}");
    }

    #[test]
    fn one_with_time_of_its_own_has_them_anywhere() {
        let active = SYSTEM.replace(" passive=\"true\"", "");
        assert!(crate::read(&moved(&active, "client-demo"), None).is_ok());
        let all = ["console", "pmserver", "virtio-blk", "fsserver", "client-demo"];
        let elsewhere = all.into_iter().fold(SYSTEM.to_owned(), |text, name| moved(&text, name));
        assert!(crate::read(&elsewhere, None).is_ok(), "all on one core");
    }
}
