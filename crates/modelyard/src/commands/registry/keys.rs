//! `modelyard keys`: Ed25519 keys that versions are signed with, and keys that contents are
//! encrypted by.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use modelyard_registry::EncryptionKey;
use modelyard_registry::keys::{Signer, Verifier};
use serde_json::json;

use super::place::coded;
use crate::output;

/// Make and show the keys that versions of models are signed with, and contents encrypted by
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard keys new team.pem\n  \
    modelyard registry push digits.onnx --key team.pem\n  \
    modelyard registry pull digits --trust team.pem.pub")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a key: FILE is the private one, FILE.pub the public one
    New(NewArgs),
    /// Show what a key is called, private or public
    Show(FileArgs),
}

#[derive(clap::Args)]
struct NewArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Make a key that contents are encrypted by: one file, 64 hexadecimal digits
    #[arg(long)]
    encryption: bool,
}

#[derive(clap::Args)]
struct FileArgs {
    /// The key file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::New(args) if args.encryption => new_encryption(&args.file),
        Action::New(args) => new(&args.file),
        Action::Show(args) => show(args),
    }
}

fn new(args: &FileArgs) -> anyhow::Result<()> {
    let mut seed = [0; 32];
    let random =
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
    random.context("failed to get random bytes from the operating system")?;
    let signer = Signer::new(&seed);
    let mut public = args.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    write_new(&args.file, &signer.to_pem().map_err(coded)?, true)?;
    write_new(&public, &signer.verifier().to_pem().map_err(coded)?, false)?;
    tell(args, &signer.verifier(), Some(&public))
}

fn new_encryption(args: &FileArgs) -> anyhow::Result<()> {
    let key = EncryptionKey::generate().map_err(coded)?;
    write_new(&args.file, &format!("{}\n", *key.to_hex()), true)?;
    let (id, file) = (key.id(), args.file.display());
    if args.json {
        return output::json(&json!({"key": id, "file": args.file, "encryption": true}));
    }
    let text = format!(
        "made encryption key {id}: without '{file}' nobody reads what it encrypts; keep a copy elsewhere"
    );
    Ok(output::line(text)?)
}

fn show(args: &FileArgs) -> anyhow::Result<()> {
    let verifier = match Verifier::read(&args.file) {
        Ok(verifier) => verifier,
        Err(_) if EncryptionKey::is_at(&args.file) => {
            let id = EncryptionKey::read(&args.file).map_err(coded)?.id();
            return match args.json {
                true => output::json(&json!({"key": id, "file": args.file, "encryption": true})),
                false => Ok(output::line(format!("encryption key {id}"))?),
            };
        }
        // What is no key at all is told as such, not by who can read it.
        Err(error) => match Signer::is_at(&args.file) {
            true => Signer::read(&args.file).map_err(coded)?.verifier(),
            false => return Err(coded(error)),
        },
    };
    tell(args, &verifier, None)
}

fn tell(args: &FileArgs, verifier: &Verifier, public: Option<&Path>) -> anyhow::Result<()> {
    let id = verifier.id();
    if args.json {
        let pem = verifier.to_pem().map_err(coded)?;
        return output::json(&json!({"key": id, "file": args.file, "public": public, "pem": pem}));
    }
    let text = match public {
        Some(public) => format!(
            "made key {id}: sign with '{}', which nobody else may have; give '{}' to those who are to \
             trust it",
            args.file.display(),
            public.display()
        ),
        None => format!("key {id}"),
    };
    Ok(output::line(text)?)
}

/// Writes a file that is not there yet; a private one for its owner alone.
fn write_new(path: &Path, text: &str, is_private: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("failed to write '{}'", path.display()))
}
