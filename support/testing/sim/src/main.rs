// SPDX-License-Identifier: BSD-2-Clause
//! The simulator's command line: runs the demo or the scenarios and prints what the console prints,
//! byte for byte. Exit status 0 says that the last line is PASS.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use sim::fuzz::Plan;
use sim::machine::Architecture;
use sim::system::{Domain, End, Settings, System, client_demo, scenario_client};
use sim::system_file::SystemFile;

#[derive(Parser)]
#[command(about = "Runs the whole system on a model of the kernel's objects")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the demo: reads every file of the image and prints its checksum
    Run(Files),
    /// Runs the fault scenarios
    Scenarios(Files),
    /// Compares pmserver with the model of the protocol after each of many random operations
    Fuzz(Fuzz),
}

#[derive(Args)]
struct Fuzz {
    /// pm, self, wire or canary; or smoke: each of them for a short time
    name: String,
    /// What stands for the run; without it another each time
    #[arg(value_parser = seed)]
    seed: Option<u64>,
    /// How many seeds from there on
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many operations a seed has
    #[arg(long)]
    operations: Option<usize>,
    /// The operations to do, by number, as a failure tells them
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Prints every operation
    #[arg(long)]
    echo: bool,
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
    /// The file system image
    #[arg(long)]
    image: PathBuf,
}

/// What the clients of a system are.
struct Kind {
    /// Whether fsserver can be told to misbehave.
    sabotage: bool,
    client: &'static str,
    program: fn(&Domain) -> bool,
}

const DEMO: Kind = Kind { sabotage: false, client: "client-demo", program: client_demo };
const SCENARIOS: Kind =
    Kind { sabotage: true, client: "scenario-client", program: scenario_client };

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(files) => run(&files, &DEMO),
        Command::Scenarios(files) => run(&files, &SCENARIOS),
        Command::Fuzz(arguments) => return fuzz(&arguments),
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

/// Runs a fuzzer with one seed after the other, up to the first failure.
fn fuzz(arguments: &Fuzz) -> ExitCode {
    let first = arguments.seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs() << 32)
    });
    for seed in (0..arguments.seeds).map(|more| first.wrapping_add(more)) {
        let usual = Plan::of(seed);
        let plan = Plan {
            operations: arguments.operations.unwrap_or(usual.operations),
            only: arguments.only.clone(),
            echo: arguments.echo,
            ..usual
        };
        if let Err(line) = sim::fuzz::fuzz(&arguments.name, &plan) {
            println!("{line}");
            return ExitCode::FAILURE;
        }
    }
    println!("sim fuzz {} {first:#x} --seeds {} : well", arguments.name, arguments.seeds);
    ExitCode::SUCCESS
}

/// Runs the clients of a system, that of the highest priority first; returns whether all went well.
fn run(files: &Files, &Kind { sabotage, client, program }: &Kind) -> Result<bool, String> {
    let text = String::from_utf8(read(&files.system)?)
        .map_err(|_| format!("{} is no text", files.system.display()))?;
    let file =
        SystemFile::parse(&text).map_err(|error| format!("{}: {error}", files.system.display()))?;
    let clients = file.all_running(client);
    if clients.is_empty() {
        return Err(format!("{}: no domain runs {client}.elf", files.system.display()));
    }
    let image = read(&files.image)?;
    let architecture = Architecture::X86_64;
    let settings =
        Settings { file: &file, image: &image, architecture, sabotage, fail_nth: None, echo: true };
    let system = System::start(&settings)?;
    let mut all_passed = true;
    for index in clients {
        let name = &file.domains[index].name;
        all_passed &= match system.run_domain(index, program) {
            End::Finished(passed) => passed,
            End::Stopped => return Err(format!("{name} was stopped")),
            End::Redirected => return Err(format!("{name} was sent to a recovery entry")),
            End::Blocked { on } => return Err(format!("{name} waits for ever for {on}")),
            End::Hung { domain } => return Err(format!("{domain} hangs and nobody ends it")),
        };
    }
    Ok(all_passed)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
