// SPDX-License-Identifier: BSD-2-Clause
//! Refuses budgets that would let one domain hold up the clients of a server that it shares.
//!
//! A passive server runs on its caller's time. If the caller's budget ends in a call, the server
//! stands still until the caller's next period, and with it everybody who calls it (decision 0026).
//! A fault is such a call, too: the parent handles it on the time of the child.

use proto::limits::SUPERVISOR_GAP_MICROS_MAX;

use crate::Fault;
use crate::element::Element;
use crate::server::Domains;

/// The budget of a domain that does not name one (Microkit manual, "protection_domain").
const DEFAULT_BUDGET: u64 = 1000;

/// Checks every domain.
pub(crate) fn check(domains: &Domains<'_, '_>) -> Result<(), Fault> {
    for domain in domains.elements() {
        let micros = |attribute, otherwise| match domain.attribute(attribute) {
            Some(_) => domain.number(attribute),
            None => Ok(otherwise),
        };
        let budget = micros("budget", DEFAULT_BUDGET)?;
        let gap = micros("period", budget)?.saturating_sub(budget);
        let most = if domains.may_supervise(domain) { SUPERVISOR_GAP_MICROS_MAX } else { 0 };
        if gap <= most {
            continue;
        }
        if let Some(server) = shared_server(domains, domain) {
            let (name, server) = (domain.name(), server.name());
            let sentence = format!(
                "'{name}' calls '{server}', which serves others as well: if the budget ends in a \
                 call, they wait for {gap} microseconds, and {most} are allowed (period - budget)."
            );
            return Err(domain.fault(sentence));
        }
    }
    Ok(())
}

/// Returns a passive domain that runs on the time of this one, and of another.
fn shared_server<'a, 'input>(
    domains: &Domains<'a, 'input>,
    caller: Element<'a, 'input>,
) -> Option<Element<'a, 'input>> {
    let mut reached = vec![caller];
    let mut next: usize = 0;
    while let Some(&from) = reached.get(next) {
        next = next.saturating_add(1);
        for server in domains.called_by(from) {
            let is_called = |other: &Element<'_, '_>| {
                other.0 != from.0 && domains.called_by(*other).any(|called| called.0 == server.0)
            };
            if domains.elements().any(|other| is_called(&other)) {
                return Some(server);
            }
            if reached.iter().all(|seen| seen.0 != server.0) {
                reached.push(server);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    const SYSTEM: &str = include_str!("../../testing/scenarios/microkit-system.xml");

    #[test]
    fn the_supervisor_of_the_scenarios_may_sleep_and_nobody_else() {
        assert!(crate::read(SYSTEM, None).is_ok());
        let privileged = r#"limit="0x100000" privileges="supervise""#;
        let plain = SYSTEM.replace(privileged, r#"limit="0x100000""#);
        assert_ne!(plain, SYSTEM);
        let refusal = crate::read(&plain, None).unwrap_err();
        assert!(refusal.sentence.starts_with("'supervisor' calls 'pmserver',"), "{refusal}");
    }

    #[test]
    fn who_shares_a_server_with_nobody_may_have_any_budget() {
        let alone = "<system><protection_domain name='s' passive='true'>\
            <cspace><cap_untyped slot='8' size_bits='26' count='1'/></cspace>\
            <protection_domain name='c' id='1' budget='1' period='1000'>\
            <memory_account limit='0x1000'/></protection_domain></protection_domain>\
            <channel><end pd='s' id='1'/><end pd='c' id='0' pp='true'/></channel></system>";
        assert!(crate::read(alone, None).is_ok());
    }
}
