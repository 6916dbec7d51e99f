//! The options about data that all commands share which take some.

use std::path::PathBuf;

use super::{DataSet, Options, TaskKind};
use crate::exit::{Exit, ExitWith};

/// Which data, and how to read it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// The data: a folder with the files of MNIST or with pictures in folders by class, or a CSV,
    /// TSV, Parquet, .npy, .npz or JSON lines file
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// The targets, as a .npy file, of inputs that are a .npy file
    #[arg(long, value_name = "FILE")]
    pub(crate) targets: Option<PathBuf>,
    /// Column, key or array with the target [default: label, target, class or y; else the last
    /// column]
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// What targets are [default: text and up to 100 different whole numbers are classes]
    #[arg(long, value_enum)]
    pub(crate) task: Option<TaskKind>,
    /// Size that pictures are resized to, as HEIGHTxWIDTH or one number for both [default: what
    /// the model takes, or the size of the first picture]
    #[arg(long, value_name = "SIZE", value_parser = image_size)]
    pub(crate) image_size: Option<(usize, usize)>,
    /// Columns or keys to leave out
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Go on without files, rows and lines that cannot be used, and count them
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

impl DataArgs {
    /// The options for the readers.
    pub(crate) fn options(&self) -> Options {
        Options {
            targets: self.targets.clone(),
            target: self.target.clone(),
            task: self.task,
            image_size: self.image_size,
            image_channels: None,
            ignore: self.ignore.clone(),
            skip_bad: self.skip_bad,
        }
    }

    /// Reads the data. What is wrong with it is the caller's mistake.
    pub(crate) fn open(&self, options: &Options) -> anyhow::Result<DataSet> {
        DataSet::open(&self.data, options).exit_with(Exit::Usage)
    }
}

/// The same options for commands that can do without data.
///
/// An `Option` of [`DataArgs`] does not do: clap asks for `--data` all the same.
#[derive(Clone, Debug)]
pub(crate) struct DataIfAny(pub(crate) Option<DataArgs>);

impl clap::Args for DataIfAny {
    fn augment_args(command: clap::Command) -> clap::Command {
        DataArgs::augment_args(command).mut_arg("data", |data| data.required(false))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        DataArgs::augment_args_for_update(command)
    }
}

impl clap::FromArgMatches for DataIfAny {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<DataIfAny, clap::Error> {
        match matches.contains_id("data") {
            true => Ok(DataIfAny(Some(DataArgs::from_arg_matches(matches)?))),
            false => Ok(DataIfAny(None)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = DataIfAny::from_arg_matches(matches)?;
        Ok(())
    }
}

fn image_size(text: &str) -> Result<(usize, usize), String> {
    const MAX: usize = 4096;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MAX).contains(side));
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    side(height)
        .zip(side(width))
        .ok_or_else(|| format!("expected HEIGHTxWIDTH such as 32x32, each 1 to {MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(image_size("28"), Ok((28, 28)));
        assert_eq!(image_size("32x48"), Ok((32, 48)));
        assert!(image_size("0").is_err() && image_size("9x").is_err());
        assert!(image_size("5000").is_err());
    }
}
