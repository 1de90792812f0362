// SPDX-License-Identifier: BSD-2-Clause
//! Stops anything anywhere: runs a system again and again, and each time one thing goes wrong.
//!
//! First a run without a mishap records every call, fault and kernel invocation. Then each domain
//! is stopped in turn at every call that it makes or receives, and each of pmserver's invocations
//! is refused with every error that seL4 can return there. After each run [`audit`] says what is
//! wrong.

pub(crate) mod audit;
mod points;
mod sweep;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use disk_test_core::{BAD_BLOCK, FIRST_LINE};

use crate::disk::DiskPlan;
use crate::machine::Architecture;
use crate::system::{
    Domain, End, Mishap, Settings, System, chosen_scenarios, client_demo, disk_test, scenario_names,
};
use crate::system_file::SystemFile;

use self::audit::Audit;

pub use self::audit::with_janitor;
pub use self::points::{Point, points};
pub use self::sweep::{Choice, Report, sweep};

/// The size of the disk of the disk test.
const DISK_BYTES: usize = 16 << 20;

/// A program of a client; it returns whether it succeeded.
pub type Client = Box<dyn Fn(&Domain) -> bool + Send + Sync>;

/// A system and what its clients do.
pub struct Play {
    name: String,
    file: SystemFile,
    image: Vec<u8>,
    /// What is on the disk, if there is one, and which blocks cannot be read.
    disk: Option<(Arc<[u8]>, Range<u64>)>,
    client: String,
    program: Client,
    audit: Audit,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Well,
    /// Something else is wrong.
    Wrong(String),
}

impl Play {
    /// Returns the plays of a system file: each scenario in a system of its own, or the demo, or
    /// the disk test.
    ///
    /// # Errors
    /// What cannot be run.
    pub fn all(text: &str, image: &[u8]) -> Result<Vec<Self>, String> {
        let text = with_janitor(text)?;
        if text.contains("scenario-client.elf") {
            let play = |name: &'static str| {
                let program = move |domain: &Domain| chosen_scenarios(domain, |one| one == name);
                Self::new(name, &text, image, "scenario-client", Box::new(program))
            };
            return scenario_names().into_iter().map(play).collect();
        }
        if text.contains("disk-test.elf") {
            let play = Self::new("disk", &text, image, "disk-test", Box::new(disk_test))?;
            let mut disk = vec![0; DISK_BYTES];
            disk[..FIRST_LINE.len()].copy_from_slice(FIRST_LINE);
            return Ok(vec![Self { disk: Some((disk.into(), BAD_BLOCK..BAD_BLOCK + 1)), ..play }]);
        }
        // The image is on the disk, if there is one, or else in a region.
        let has_disk = text.contains("virtio-blk.elf");
        let (disk, region) = if has_disk { (Some(image), &[][..]) } else { (None, image) };
        let play = Self::new("demo", &text, region, "client-demo", Box::new(client_demo))?;
        Ok(vec![Self { disk: disk.map(|disk| (disk.into(), 0..0)), ..play }])
    }

    /// Returns a play. `text` is a system file to which [`with_janitor`] was applied; `client` is
    /// the program that is run, in every domain that has it.
    ///
    /// # Errors
    /// What cannot be run.
    pub fn new(
        name: &str,
        text: &str,
        image: &[u8],
        client: &str,
        program: Client,
    ) -> Result<Self, String> {
        let file = SystemFile::parse(text).map_err(|error| error.to_string())?;
        let audit = Audit::new(&settings(&file, image, None))?;
        let (name, client, image) = (name.to_owned(), client.to_owned(), image.to_vec());
        Ok(Self { name, file, image, disk: None, client, program, audit })
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs everything without a mishap, and returns every point at which one can happen.
    ///
    /// # Errors
    /// What is wrong already without a mishap.
    pub fn rehearse(&self) -> Result<Vec<Point>, String> {
        let system = self.start(None)?;
        let ends = self.play(&system);
        if ends.iter().any(|end| *end != End::Finished(true)) {
            let transcript = system.transcript();
            let text = String::from_utf8_lossy(&transcript);
            return Err(format!("{}: without a mishap it ends with {ends:?}: {text}", self.name));
        }
        let points = points(&self.file, &system);
        let wrong = |sentence| format!("{}: without a mishap {sentence}", self.name);
        self.audit.after(&self.file, &system).map_err(wrong)?;
        Ok(points)
    }

    /// Runs everything once while this goes wrong.
    #[must_use]
    pub fn run(&self, point: Point) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| self.attempt(point.mishap())));
        let sentence = match result {
            Ok(Ok(())) => return Outcome::Well,
            Ok(Err(sentence)) => sentence,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                format!("a panic: {}", text.unwrap_or_default())
            }
        };
        Outcome::Wrong(format!("--play {} --only {point} : {sentence}", self.name))
    }

    fn attempt(&self, mishap: Mishap) -> Result<(), String> {
        let system = match self.start(Some(mishap)) {
            Ok(system) => system,
            // It does not start, and says so: no program has run.
            Err(_) if matches!(mishap, Mishap::Refusal(_)) => return Ok(()),
            Err(sentence) => return Err(sentence),
        };
        let struck = || system.struck();
        for end in self.play(&system) {
            match end {
                End::Finished(_) => {}
                // A refused invocation may be that of a fault, which then stops who faulted.
                End::Stopped | End::Redirected | End::Blocked { .. }
                    if matches!(mishap, Mishap::Refusal(_)) => {}
                End::Stopped if struck().as_deref() == Some(self.client_name()) => {}
                End::Blocked { ref on } if struck().as_ref() == Some(on) => {}
                // Nobody ends what hangs if the supervisor is who was stopped.
                End::Hung { .. } if struck().as_deref() == Some("supervisor") => {}
                // A puppet that a scenario has told to hangs where it recovers, and nobody ends
                // that before the scenario has announced its call.
                End::Hung { ref domain }
                    if struck().as_ref() == Some(domain) && self.is_puppet(domain) => {}
                end => return Err(format!("{:?} was stopped, and the client {end:?}", struck())),
            }
        }
        system.with_server(|server| server.kernel_mut().refuse(None));
        if self.audit.is_at_boot(mishap) {
            return Audit::new(&settings(&self.file, &self.image, Some(mishap)))?
                .after(&self.file, &system);
        }
        self.audit.after(&self.file, &system)
    }

    fn start(&self, mishap: Option<Mishap>) -> Result<System, String> {
        let disk = self.disk.as_ref().map(|(contents, _)| DiskPlan::new(Arc::clone(contents)));
        let settings = Settings { disk, ..settings(&self.file, &self.image, mishap) };
        let system = System::start(&settings)?;
        if let Some((disk, (_, bad_blocks))) = system.disk().zip(self.disk.as_ref()) {
            disk.spoil(bad_blocks.clone());
        }
        Ok(system)
    }

    fn is_puppet(&self, name: &str) -> bool {
        self.file.domains.iter().any(|domain| domain.name == name && domain.program == "puppet")
    }

    fn client_name(&self) -> &str {
        self.file.running(&self.client).map_or("", |index| &self.file.domains[index].name)
    }

    /// Runs each client that still runs.
    fn play(&self, system: &System) -> Vec<End<bool>> {
        let clients = self.file.all_running(&self.client).into_iter();
        let clients = clients.filter(|&index| !system.is_stopped(index));
        clients.map(|index| system.run_domain(index, &self.program)).collect()
    }
}

const fn settings<'a>(
    file: &'a SystemFile,
    image: &'a [u8],
    mishap: Option<Mishap>,
) -> Settings<'a> {
    let architecture = Architecture::X86_64;
    Settings { file, image, disk: None, architecture, mishap, echo: false }
}
