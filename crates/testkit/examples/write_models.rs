//! Writes every model of the testkit into a folder, to look at them with other tools:
//! `cargo run -p modelyard-testkit --example write_models -- DIR`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    for (name, model) in modelyard_testkit::models::all() {
        std::fs::write(folder.join(format!("{name}.onnx")), model.encode())?;
    }
    let external = folder.join("external");
    std::fs::create_dir_all(&external)?;
    modelyard_testkit::external::write(&external)?;
    let broken = folder.join("broken");
    std::fs::create_dir_all(&broken)?;
    for file in modelyard_testkit::broken::all() {
        std::fs::write(broken.join(format!("{}.onnx", file.name)), file.bytes)?;
    }
    Ok(())
}
