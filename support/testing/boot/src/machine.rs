// SPDX-License-Identifier: BSD-2-Clause
//! The QEMU process, which runs in its own process group and is always ended.
//!
//! The group makes sure that processes which QEMU started end with it, and that a Ctrl-C in the
//! terminal reaches only this program, which then ends QEMU. QEMU keeps running only if this
//! program is killed by a signal that it cannot catch (SIGKILL).

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Chunks of output that may be queued. A full queue makes QEMU wait, so that endless output takes
/// bounded memory.
const WAITING_CHUNKS_MAX: usize = 64;
const CHUNK_BYTES: usize = 4096;

/// What happens while a machine runs.
pub(crate) enum Event {
    /// The console printed these bytes.
    Bytes(Vec<u8>),
    /// The console was closed: QEMU has ended.
    Closed,
    /// This program received a signal to stop.
    Interrupted,
}

/// State shared by the thread that handles signals and the one that owns the machine.
#[derive(Default)]
struct Group {
    /// The process group of QEMU, while it runs.
    number: Mutex<Option<Pid>>,
    /// A signal asked to stop. QEMU then ends, and [`Event::Closed`] may arrive before
    /// [`Event::Interrupted`].
    interrupted: AtomicBool,
}

impl Group {
    fn set(&self, group: Option<Pid>) -> Option<Pid> {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut number, group)
    }

    /// Kills the group. Takes its number first, so that the number is never used after the process
    /// was waited for: the operating system may then reuse it.
    fn kill(&self) {
        if let Some(group) = self.set(None) {
            // An error means that it has already ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// A running QEMU. Dropping it ends it.
pub(crate) struct Machine {
    child: Child,
    /// Its end of what is typed.
    serial: Option<ChildStdin>,
    group: Arc<Group>,
}

impl Machine {
    /// Starts the command; returns it and the channel of its events. Unless something is to be
    /// typed, it has nothing to read.
    pub(crate) fn start(
        command: &[String],
        is_typed_to: bool,
    ) -> Result<(Self, Receiver<Event>), String> {
        let (program, arguments) = command.split_first().ok_or("no QEMU command was given")?;
        let (sender, events) = sync_channel(WAITING_CHUNKS_MAX);
        let group = Arc::new(Group::default());
        stop_on_signals(Arc::clone(&group), sender.clone())?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(if is_typed_to { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| cannot_start(program, &error))?;
        group.set(i32::try_from(child.id()).ok().map(Pid::from_raw));
        let (console, serial) = (child.stdout.take(), child.stdin.take());
        let machine = Self { child, serial, group };
        let console = console.ok_or("QEMU's console could not be read")?;
        thread::spawn(move || forward(console, &sender));
        Ok((machine, events))
    }

    /// Types something. What QEMU cannot take, because it has ended, is lost.
    pub(crate) fn type_in(&mut self, bytes: &[u8]) {
        if let Some(serial) = &mut self.serial {
            let _ = serial.write_all(bytes).and_then(|()| serial.flush());
        }
    }

    /// Types what this program reads, from now on, until that ends.
    pub(crate) fn connect_keyboard(&mut self) {
        if let Some(mut serial) = self.serial.take() {
            thread::spawn(move || io::copy(&mut io::stdin(), &mut serial));
        }
    }

    /// Returns whether a signal asked to stop.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.group.interrupted.load(Ordering::SeqCst)
    }

    /// Ends a QEMU that has closed its console, and returns its exit status.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        // A program may close its output and not exit: without this, the wait might never end.
        self.group.kill();
        self.child.wait()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.group.kill();
        // A destructor cannot report an error.
        let _ = self.child.wait();
    }
}

/// Ends QEMU on Ctrl-C, SIGTERM and SIGHUP, even if the event queue is full.
fn stop_on_signals(group: Arc<Group>, sender: SyncSender<Event>) -> Result<(), String> {
    ctrlc::set_handler(move || {
        group.interrupted.store(true, Ordering::SeqCst);
        group.kill();
        // An error means that nothing receives events any more: the run has ended.
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
