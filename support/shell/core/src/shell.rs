// SPDX-License-Identifier: BSD-2-Clause
//! The whole program: reads lines, and does what they say.

use client_demo_core::{DemoError, Transfer};
use console_api::Client as Console;
use fsserver_api::Client;
use pmserver_client::{GrantMapper, Pm, Transport};
use proto::{Console as _, Domain, Waiter};
use scenarios_core::Sabotage;

use crate::accounts::print_accounts;
use crate::client::Neighbour;
use crate::command::{Editor, Line};
use crate::dump::print_snapshot;
use crate::error::ShellError;
use crate::files::Files;
use crate::holdings::{print_containers, print_map, print_shares};
use crate::layout::{CLIENT, CONSOLE, FSSERVER, PMSERVER};
use crate::watched::Watched;

/// What is typed, as control and D, for the end.
const END_OF_TRANSMISSION: u8 = 0x04;

/// Reads lines and does what they say, until one says that it is the end. The last line that is
/// printed is PASS, or FAIL and why. Returns whether that is PASS.
///
/// `waiter` waits for the keyboard and for servers, and `grants` is the kernel, for the page that
/// the program maps itself.
pub fn run<D: Domain, W: Waiter + Clone>(
    domain: &D,
    waiter: W,
    grants: &mut impl GrantMapper,
) -> bool {
    console_api::run(domain, CONSOLE, |domain| shell(domain, waiter, grants))
}

fn shell<D: Domain, W: Waiter + Clone>(
    domain: &D,
    mut waiter: W,
    grants: &mut impl GrantMapper,
) -> Result<(), ShellError> {
    let pm = Pm::new(domain.channel(PMSERVER));
    let identity = Client::waiting(domain.channel(FSSERVER), waiter.clone())
        .version()
        .map_err(|error| DemoError::Fs("asking for the version", error))?;
    let channel = domain.channel(FSSERVER);
    let watched = Watched { pm: Pm::new(domain.channel(PMSERVER)), server: identity.peer, channel };
    let mut fs = Client::waiting(watched, waiter.clone());
    let (mut space, mut keyboard) = (domain.memory(), Console::new(domain.channel(CONSOLE)));
    let transfer = Transfer::new(&pm, &mut fs, &mut space, grants, identity.peer)?;
    let mut session: Session<'_, D, W> = Session {
        pm: &pm,
        fsserver: domain.channel(FSSERVER),
        console: Console::new(domain.channel(CONSOLE)),
        space: domain.memory(),
        files: Files::new(transfer),
        client: Neighbour::new(&pm, [CLIENT; 2].map(|id| domain.channel(id))),
        is_over: false,
    };
    session.console.write(b"help lists the commands\n");
    let mut editor = Editor::new(Console::new(domain.channel(CONSOLE)));
    while !session.is_over {
        let text = keyboard.read(&mut waiter);
        if text.bytes().is_empty() {
            return Err(ShellError::Usage("the console does not say what is typed"));
        }
        for byte in text.bytes() {
            if *byte == END_OF_TRANSMISSION || session.is_over {
                session.is_over = true;
                break;
            }
            editor.take(*byte, |line| session.perform(line));
        }
    }
    // After the last question.
    session.console.write(b"\n");
    Ok(())
}

/// Who does what a line says.
struct Session<'a, D: Domain, W: Waiter> {
    pm: &'a Pm<D::Channel>,
    /// For orders, which are no operations.
    fsserver: D::Channel,
    console: Console<D::Channel>,
    space: D::Memory,
    files: Files<'a, D::Channel, Watched<D::Channel>, W, D::Memory>,
    client: Neighbour<'a, D::Channel>,
    is_over: bool,
}

impl<D: Domain, W: Waiter> Session<'_, D, W> {
    fn perform(&mut self, line: Line<'_>) {
        if let Err(error) = self.attempt(line) {
            self.console.print(format_args!("error: {error}\n"));
        }
    }

    fn attempt(&mut self, line: Line<'_>) -> Result<(), ShellError> {
        let Self { pm, console, space, files, client, .. } = self;
        match line {
            Line::Ls { path } => files.list(path.unwrap_or("/"), console),
            Line::Cat { path } => files.cat(path, console),
            Line::Stat { path, times } => files.stat(path, times, console),
            Line::Sha256sum { path } => files.checksum(path, console),
            Line::Bench { what: "read", path } => files.bench(path, pm, console),
            Line::Bench { .. } => Err(ShellError::Usage("what there is to measure is read")),
            Line::Mem { dump: false } => print_accounts(pm, console),
            Line::Mem { dump: true } => print_snapshot(pm, console),
            Line::Containers => print_containers(pm, console),
            Line::Shares => print_shares(pm, console),
            Line::Map { domain } => print_map(pm, domain, console),
            Line::Lend { pages } => client.lend(pages, console),
            Line::TakeBack => client.take_back(space, console),
            Line::Crash { server, pages } => {
                self.order(server, Sabotage::FaultAfter(pages.unwrap_or(0)))
            }
            Line::Hang { server, pages } => {
                self.order(server, Sabotage::HangAfter(pages.unwrap_or(0)))
            }
            Line::Kill { victim: "client" } => client.kill(),
            Line::Kill { .. } => Err(ShellError::Usage("who can be killed is client")),
            Line::Exit => {
                self.is_over = true;
                Ok(())
            }
        }
    }

    /// Gives fsserver an order.
    fn order(&mut self, server: &str, order: Sabotage) -> Result<(), ShellError> {
        if server != "fsserver" {
            return Err(ShellError::Usage("who takes such orders is fsserver"));
        }
        let reply = self.fsserver.call(order.request());
        (reply.label() == 0).then_some(()).ok_or(ShellError::Usage("fsserver takes no orders"))
    }
}
