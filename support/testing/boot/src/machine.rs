// SPDX-License-Identifier: BSD-2-Clause
//! The QEMU process: started in a process group of its own, and never left behind.
//!
//! A group, so that what QEMU itself started ends with it, and so that a Ctrl-C in the terminal
//! reaches this program alone, which then ends QEMU. Only a kill of this program that it cannot
//! catch (SIGKILL) leaves QEMU running.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Chunks that wait to be handled; more make QEMU wait, so that a flood takes bounded memory.
const WAITING_CHUNKS_MAX: usize = 64;
const CHUNK_BYTES: usize = 4096;

/// What happens while a machine runs.
pub(crate) enum Event {
    /// Bytes came from the console.
    Bytes(Vec<u8>),
    /// The console was closed: QEMU has ended.
    Closed,
    /// The user, or whoever started this program, asked it to stop.
    Interrupted,
}

/// What the thread that watches for Ctrl-C shares with the one that owns the machine.
#[derive(Default)]
struct Group {
    /// The process group of a running QEMU; none before it has started and after it was ended.
    number: Mutex<Option<Pid>>,
    /// Somebody asked to stop. QEMU's end, which follows, may be seen before the event.
    interrupted: AtomicBool,
}

impl Group {
    fn set(&self, group: Option<Pid>) -> Option<Pid> {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut number, group)
    }

    /// Kills the group. Taking its number first makes sure that it is never used after the process
    /// was waited for, when the number may belong to somebody else.
    fn kill(&self) {
        if let Some(group) = self.set(None) {
            // It may have ended a moment ago, which is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// A running QEMU. Dropping it ends it.
pub(crate) struct Machine {
    child: Child,
    group: Arc<Group>,
}

impl Machine {
    /// Starts the command and returns it with what will happen to it.
    pub(crate) fn start(command: &[String]) -> Result<(Self, Receiver<Event>), String> {
        let (program, arguments) = command.split_first().ok_or("no QEMU command was given")?;
        let (sender, events) = sync_channel(WAITING_CHUNKS_MAX);
        let group = Arc::new(Group::default());
        stop_when_asked(Arc::clone(&group), sender.clone())?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| cannot_start(program, &error))?;
        group.set(i32::try_from(child.id()).ok().map(Pid::from_raw));
        let console = child.stdout.take();
        let machine = Self { child, group };
        let console = console.ok_or("QEMU's console could not be read")?;
        thread::spawn(move || forward(console, &sender));
        Ok((machine, events))
    }

    /// Tells whether somebody asked to stop.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.group.interrupted.load(Ordering::SeqCst)
    }

    /// Waits for a QEMU that has closed its console, and returns how it ended.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        // A program that closes its output and runs on must not be waited for.
        self.group.kill();
        self.child.wait()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.group.kill();
        // Nobody is left to tell where even this fails.
        let _ = self.child.wait();
    }
}

/// Ends QEMU on Ctrl-C, SIGTERM and SIGHUP, also while nobody takes events.
fn stop_when_asked(group: Arc<Group>, sender: SyncSender<Event>) -> Result<(), String> {
    ctrlc::set_handler(move || {
        group.interrupted.store(true, Ordering::SeqCst);
        group.kill();
        // Where nobody listens any more, the run is over anyway.
        let _ = sender.send(Event::Interrupted);
    })
    .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))
}

fn forward(mut console: impl Read, sender: &SyncSender<Event>) {
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let event = match console.read(&mut chunk) {
            Ok(count) if count > 0 => {
                Event::Bytes(chunk.iter().take(count).copied().collect::<Vec<u8>>())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => Event::Closed,
        };
        let closed = matches!(event, Event::Closed);
        if sender.send(event).is_err() || closed {
            return;
        }
    }
}

fn cannot_start(program: &str, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::NotFound {
        return format!("cannot start {program}: {error}");
    }
    let package = match program {
        _ if program.contains("aarch64") => "qemu-system-arm",
        _ if program.contains("x86_64") => "qemu-system-x86",
        _ => "qemu-system",
    };
    format!("{program} is not installed: run `make setup`, or install Debian's package {package}")
}
