//! `modelyard registry pull`.

use std::path::PathBuf;

use serde_json::json;

use super::place::{OpenDesk, coded};
use super::trust::TrustArgs;

/// Write the files of a version into a folder
///
/// Every file is checked against its digest; the folder appears whole or not at all.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// The folder, which must not be there yet [default: MODEL-VERSION]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) async fn run(args: &Args, desk: &OpenDesk) -> anyhow::Result<()> {
    let version = desk.find(&args.version).await?;
    let signed_by = args.trust.check(&version).map_err(coded)?;
    let manifest = &version.manifest;
    let (model, number) = (&manifest.model, manifest.version);
    let output = args.output.clone();
    let output = output.unwrap_or_else(|| PathBuf::from(format!("{model}-{number}")));
    desk.registry.fetch(&version, &output).await.map_err(coded)?;
    let told = json!({
        "model": model, "version": number, "manifest": version.digest, "folder": output,
        "files": manifest.files, "signed_by": signed_by,
    });
    desk.tell(&told, || {
        let files: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        format!("wrote {model}:{number} to {}: {}", output.display(), files.join(", "))
    })
}
