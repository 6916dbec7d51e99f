//! The command line: what is common to all commands. Each command has its own file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::exit::Exit;
use crate::{bench, commands};

/// Trains ONNX models, and serves them over REST and gRPC.
///
/// `modelyard serve model.onnx` is all it takes to serve one: the Open Inference Protocol v2 on HTTP
/// port 8000 and gRPC port 8001, a plain `POST /predict`, metrics, health and an OpenAPI page.
/// `modelyard train --help` shows how to get one.
#[derive(Parser)]
#[command(name = "modelyard", version, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What every command understands.
    #[command(flatten)]
    pub(crate) globals: Globals,
}

/// One variant, one file.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve models over REST and gRPC
    Serve(Box<commands::serve::Args>),
    /// Run a model once on given inputs, locally or on a server
    Predict(Box<commands::predict::Args>),
    /// Measure how good a model's answers are on data
    Evaluate(Box<commands::evaluate::Args>),
    /// Convert a trained model of another framework to ONNX
    Convert(Box<commands::convert::Args>),
    /// Write an ONNX model for TensorFlow Lite or TensorFlow
    Export(Box<commands::export::Args>),
    /// Train a new model from a description of its layers
    Train(Box<commands::train::Args>),
    /// Train a model further, or give it a new head for other classes
    Finetune(Box<commands::finetune::Args>),
    /// Train a small model to answer as a large one does
    Distill(Box<commands::distill::Args>),
    /// Find the smallest or fastest model whose answers are good enough
    Optimize(Box<commands::optimize::Args>),
    /// Remove channels, heads and neurons that matter least, and train what is left to make up for it
    Prune(Box<commands::prune::Args>),
    /// Merge several models into one: an ensemble, or the average of their weights
    Merge(Box<commands::merge::Args>),
    /// Make a model of small integers: smaller and faster
    Quantize(Box<commands::quantize::Args>),
    /// Show what a model takes, gives, costs, and which engines run it
    Inspect(commands::inspect::Args),
    /// Check configuration and models without serving them
    Validate(commands::validate::Args),
    /// Measure throughput and latency of a server or of a model in process
    Bench(Box<bench::Args>),
    /// Run recorded requests again, against another model
    Replay(Box<commands::replay::Args>),
    /// Keep models as numbered versions, and the names that point to them
    Registry(Box<commands::registry::Args>),
    /// Make and show the keys that versions of models are signed with
    Keys(commands::registry::keys::Args),
    /// List or install engines
    Engine(commands::engine::Args),
    /// Serve a digit classifier and try it on real handwritten digits
    Quickstart(commands::quickstart::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
}

/// Switches that take `true` or `false`, but need not.
const SWITCHES: [&str; 5] = [
    "--strict-readiness",
    "--exit-on-error",
    "--exit-with-parent",
    "--access-log",
    "--require-signed",
];

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// Configuration file [default: ./modelyard.toml where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "MODELYARD_CONFIG",
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) config: Option<PathBuf>,
    /// Set any configuration key, such as --set drain_timeout=10s (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where engines and other downloads live [default: ~/.local/share/modelyard]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// How much to log: off, error, warn, info, debug, trace, or per target as info,hyper=warn
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(["text", "json"]))]
    pub(crate) log_format: Option<String>,
}

/// Options of commands that run models.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct EngineArgs {
    /// Engine to run models with: auto (the best that loads the model), rten, onnxruntime
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<String>,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
    /// Threads that run models [default: what the cgroup quota and the CPU affinity allow]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<String>,
}

/// Options of commands that look at engines.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LibraryArgs {
    /// ONNX Runtime library to use [default: $ORT_DYLIB_PATH, then what `modelyard engine
    /// install onnxruntime` installed]
    #[arg(long, value_name = "FILE")]
    pub(crate) onnxruntime_lib: Option<String>,
}

/// A time such as `90s`, `30m`, `2h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" | "" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let number = number.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let total = number.zip(seconds).map(|(number, seconds)| number * seconds);
    let total = total.and_then(|total| Duration::try_from_secs_f64(total).ok());
    total.ok_or_else(|| format!("expected a time such as 90s, 30m, 2h or 7d, found '{text}'"))
}

fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  \
         modelyard serve model.onnx                       serve one model as 'model'\n  \
         modelyard serve digits=mnist.onnx net.onnx       serve several, the first as 'digits'\n  \
         modelyard serve --repository models              serve a model repository folder\n  \
         modelyard inspect model.onnx                     what the model takes and gives\n  \
         modelyard evaluate model.onnx --data photos      how often the model is right\n  \
         modelyard validate --repository models           find all mistakes before a release\n\n\
         Exit codes:\n",
    );
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("  {:<3}  {meaning}\n", exit as u8));
    }
    text
}

/// The arguments of this process, switches with a value of their own in the form that clap takes.
///
/// `--strict-readiness model.onnx` is a switch and a model, `--strict-readiness false` is not:
/// clap alone can have the one or the other.
pub(crate) fn arguments() -> impl Iterator<Item = OsString> {
    join_switches(std::env::args_os())
}

fn join_switches(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut arguments = arguments.peekable();
    std::iter::from_fn(move || {
        let mut argument = arguments.next()?;
        let is_switch = argument.to_str().is_some_and(|flag| SWITCHES.contains(&flag));
        if is_switch
            && let Some(value) = arguments.next_if(|next| next == "true" || next == "false")
        {
            argument.push("=");
            argument.push(value);
        }
        Some(argument)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn times_are_read() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("1.5h"), Ok(5400));
        assert_eq!([seconds("90s"), seconds("5m"), seconds("7d")], [Ok(90), Ok(300), Ok(604_800)]);
        for bad in ["1y", "-1s", "s", "", "99999999999999999999d", "1e400s"] {
            assert!(duration(bad).unwrap_err().contains("expected a time such as"), "{bad}");
        }
    }

    #[test]
    fn a_switch_takes_true_and_false_from_the_word_after_it() {
        let check = |arguments: &str, expected: &str| {
            let joined = join_switches(arguments.split(' ').map(OsString::from));
            let joined: Vec<String> = joined.map(|word| word.into_string().unwrap()).collect();
            assert_eq!(joined.join(" "), expected);
        };
        check("serve --strict-readiness false a.onnx", "serve --strict-readiness=false a.onnx");
        check("serve --exit-on-error a.onnx true", "serve --exit-on-error a.onnx true");
        check("serve --access-log=false true", "serve --access-log=false true");
        check("serve --strict-readiness", "serve --strict-readiness");
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        for switch in SWITCHES {
            assert!(
                serve
                    .get_arguments()
                    .any(|arg| format!("--{}", arg.get_id()).replace('_', "-") == switch)
            );
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
