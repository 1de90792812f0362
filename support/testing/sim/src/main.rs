// SPDX-License-Identifier: BSD-2-Clause
//! The simulator's command line: runs the demo, an example, the scenarios or a test of disks, and
//! prints what the console prints, byte for byte. Exit status 0 says that the last line is PASS.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use sim::disk::DiskPlan;
use sim::fuzz::{Plan, Tally};
use sim::machine::Architecture;
use sim::stop::{Choice, Play, Point, sweep};
use sim::system::{
    Client, EXAMPLES, End, Settings, System, c_client, client_demo, crash_writer, disk_test,
    scenario_client, shell,
};
use sim::system_file::SystemFile;

#[derive(Parser)]
#[command(about = "Runs the whole system on a model of the kernel's objects")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the demo, the shell, or the crash test or the example whose system that is
    Run(Files),
    /// Runs the fault scenarios
    Scenarios(Files),
    /// Runs the twin of the client in C
    CClient(Files),
    /// Reads, writes and compares blocks of the disk
    Disk(Files),
    /// Compares pmserver with the model of the protocol after each of many random operations
    Fuzz(Fuzz),
    /// Stops each domain at every call, and refuses every kernel invocation, in a run of its own
    Stop(Stop),
    /// Tries every order of what the peers of small systems can do
    Explore(Explore),
}

#[derive(Args)]
struct Explore {
    /// Only this system
    #[arg(long)]
    system: Option<String>,
    /// How many states to search in each system
    #[arg(long, default_value_t = 20_000)]
    states: usize,
}

#[derive(Args)]
struct Stop {
    #[command(flatten)]
    files: Files,
    /// Only this scenario
    #[arg(long)]
    play: Option<String>,
    /// Only this point, as printed by a failure
    #[arg(long)]
    only: Option<Point>,
    /// Only so many points, chosen at random
    #[arg(long)]
    sample: Option<usize>,
    /// The seed of the choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs go on at the same time; as many as there are processors, if it is not said
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Args)]
struct Fuzz {
    /// pm, self, wire or canary; or smoke: a short run of each
    name: String,
    /// The seed, which determines the whole run; without it, a new one each time
    #[arg(value_parser = seed)]
    seed: Option<u64>,
    /// How many consecutive seeds to run
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many operations to run for each seed
    #[arg(long)]
    operations: Option<usize>,
    /// Run only the operations with these numbers, as printed by a failure
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Prints every operation
    #[arg(long)]
    echo: bool,
    /// Prints how often each operation succeeded and was refused
    #[arg(long)]
    tally: bool,
}

fn seed(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| error.to_string())
}

#[derive(Args)]
struct Files {
    /// The system description file
    #[arg(long)]
    system: PathBuf,
    /// The file system image, for systems without a disk
    #[arg(long, required_unless_present = "disk")]
    image: Option<PathBuf>,
    /// What is on the disk, before and after the run
    #[arg(long)]
    disk: Option<PathBuf>,
    /// The machine has an IOMMU
    #[arg(long)]
    iommu: bool,
    /// A block of the disk that cannot be read
    #[arg(long)]
    bad_block: Option<u64>,
    /// Microseconds between the ends of two transfers of the disk
    #[arg(long, default_value_t = 0)]
    pace: u64,
}

/// What the clients of a system are: the name of their program, and the program.
type Kind = (&'static str, Client);

const DEMO: Kind = ("client-demo", client_demo);
const CRASH: Kind = ("crash-writer", crash_writer);
const SHELL: Kind = ("shell", shell);
const C_CLIENT: Kind = ("client-demo", c_client);
const DISK: Kind = ("disk-test", disk_test);
const SCENARIOS: Kind = ("scenario-client", scenario_client);

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(files) => run(&files, &[&[DEMO, CRASH, SHELL], EXAMPLES].concat()),
        Command::Scenarios(files) => run(&files, &[SCENARIOS]),
        Command::CClient(files) => run(&files, &[C_CLIENT]),
        Command::Disk(files) => run(&files, &[DISK]),
        Command::Fuzz(arguments) => return fuzz(&arguments),
        Command::Stop(arguments) => stop(&arguments),
        Command::Explore(arguments) => explore(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("sim: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a fuzzer with consecutive seeds until one fails.
fn fuzz(arguments: &Fuzz) -> ExitCode {
    let first = arguments.seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs() << 32)
    });
    let mut tally = Tally::default();
    for seed in (0..arguments.seeds).map(|more| first.wrapping_add(more)) {
        let usual = Plan::of(seed);
        let plan = Plan {
            operations: arguments.operations.unwrap_or(usual.operations),
            only: arguments.only.clone(),
            echo: arguments.echo,
            ..usual
        };
        match sim::fuzz::fuzz(&arguments.name, &plan) {
            Ok(reached) => tally.add(&reached),
            Err(line) => {
                println!("{line}");
                return ExitCode::FAILURE;
            }
        }
    }
    if arguments.tally {
        print!("{tally}");
    }
    println!("sim fuzz {} {first:#x} --seeds {} : well", arguments.name, arguments.seeds);
    println!("fuzz: executions {}, seeds {}", tally.total(), arguments.seeds);
    ExitCode::SUCCESS
}

/// Searches small systems; returns whether all is well.
fn explore(arguments: &Explore) -> Result<bool, String> {
    let mut names = sim::explore::names();
    names.retain(|name| arguments.system.as_ref().is_none_or(|only| only == name));
    for name in names {
        let reached = sim::explore::explore(name, arguments.states)?;
        println!("explore: system {name} {reached}");
    }
    Ok(true)
}

/// Runs a system with one thing going wrong, again and again; returns whether all was well.
fn stop(arguments: &Stop) -> Result<bool, String> {
    let Files { system, image, .. } = &arguments.files;
    let image = image.as_deref().map_or(Ok(Vec::new()), read)?;
    let mut plays = Play::all(&text(system)?, &image)?;
    plays.retain(|play| arguments.play.as_ref().is_none_or(|name| play.name() == name));
    let choice = match (arguments.only, arguments.sample) {
        (Some(point), _) => Choice::One(point),
        (None, Some(count)) => Choice::Sample { seed: arguments.seed, count },
        (None, None) => Choice::All,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let report = sweep(&plays, choice, arguments.threads.unwrap_or(processors))?;
    print!("{report}");
    Ok(report.is_well())
}

/// Runs the clients of a system, that of the highest priority first; returns whether all succeeded.
/// They are of the first kind of which there is one.
fn run(files: &Files, kinds: &[Kind]) -> Result<bool, String> {
    let file = SystemFile::parse_for(&text(&files.system)?, files.iommu)
        .map_err(|error| format!("{}: {error}", files.system.display()))?;
    let of_kind = |(client, _): &&Kind| file.running(client).is_some();
    let &(client, program) = kinds.iter().find(of_kind).ok_or_else(|| {
        let names: Vec<&str> = kinds.iter().map(|(client, _)| *client).collect();
        format!("{}: no domain runs {}.elf", files.system.display(), names.join(".elf or "))
    })?;
    let clients = file.all_running(client);
    let architecture = Architecture::X86_64;
    let image = files.image.as_deref().map_or(Ok(Vec::new()), read)?;
    let contents = files.disk.as_deref().map(read).transpose()?;
    let plan = |contents| DiskPlan { pace_micros: files.pace, ..DiskPlan::new(contents) };
    let disk = contents.map(plan);
    let settings =
        Settings { file: &file, image: &image, disk, architecture, mishap: None, echo: true };
    let system = System::start(&settings)?;
    system.connect(std::io::stdin());
    let disk = system.disk();
    if let Some((disk, block)) = disk.as_ref().zip(files.bad_block) {
        disk.spoil(block..block.saturating_add(1));
    }
    let mut all_passed = true;
    for index in clients {
        let name = file.domains.get(index).map_or("", |domain| domain.name.as_str());
        all_passed &= match system.run_domain(index, program) {
            End::Finished(passed) => passed,
            End::Stopped => return Err(format!("{name} was stopped")),
            End::Redirected => return Err(format!("{name} was sent to a recovery entry")),
            End::Blocked { on } => return Err(format!("{name} waits for ever for {on}")),
            End::Hung { domain } => return Err(format!("{domain} hangs and nobody ends it")),
        };
    }
    if system.print_traces() {
        println!("{}", if all_passed { "PASS" } else { "FAIL" });
    }
    if let Some((disk, path)) = disk.zip(files.disk.as_deref()) {
        std::fs::write(path, disk.contents())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(all_passed)
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|_| format!("{} is no text", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
