//! What requests are run against: a file, a version of a registry, a model of a server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use modelyard_registry::Reference;

use super::Args;
use super::side::{Local, Remote, Side};
use crate::cli::Globals;
use crate::commands::{local_model, registry};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;

/// Longest wait for a server.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What stands between a server's address and the name of a model.
const ROUTE: &str = "/v2/models/";

/// What was asked for.
pub(super) enum Which<'a> {
    /// A file or folder.
    Path(&'a str),
    /// A version of a registry.
    Version(&'a str),
    /// A model of a server: its address, and the route of the model.
    Server { url: &'a str, route: &'a str },
}

impl Which<'_> {
    /// Tells them apart: what is there as a file is one.
    pub(super) fn parse(text: &str) -> anyhow::Result<Which<'_>> {
        if text.contains("://") {
            let route = text.find(ROUTE).filter(|at| text.len() > at + ROUTE.len());
            let at = route.with_context(|| {
                format!("'{text}' names no model: expected http://HOST:PORT/v2/models/NAME")
            });
            let (url, route) = text.split_at(at.exit_with(Exit::Usage)?);
            return Ok(Which::Server { url, route: route.trim_end_matches('/') });
        }
        if Path::new(text).exists() {
            return Ok(Which::Path(text));
        }
        // What can only be meant as a path is said to be absent as such.
        match text.contains(':') && text.parse::<Reference>().is_ok() {
            true => Ok(Which::Version(text)),
            false => Ok(Which::Path(text)),
        }
    }

    /// Ready to run.
    pub(super) fn load(
        &self,
        (args, globals): (&Args, &Globals),
        progress: &Progress,
    ) -> anyhow::Result<Side> {
        match self {
            Which::Path(path) => {
                let model = local_model::load((path, None), &args.engine, globals, progress)?;
                Ok(Side::Local(Local { called: (*path).to_owned(), model, _folder: None }))
            }
            Which::Version(reference) => {
                let (folder, file) =
                    registry::materialize(reference, args.registry.as_ref(), globals)
                        .with_context(|| format!("there is no file '{reference}', and"))?;
                let path = file.to_str().ok_or_else(|| anyhow!("the path is not Unicode"))?;
                let model = local_model::load((path, None), &args.engine, globals, progress)?;
                let called = (*reference).to_owned();
                Ok(Side::Local(Local { called, model, _folder: Some(folder) }))
            }
            Which::Server { url, route } => {
                Ok(Side::Remote(Remote::ask(url, route, TIMEOUT).exit_with(Exit::Remote)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_versions_and_servers_are_told_apart() {
        assert!(matches!(Which::parse("Cargo.toml"), Ok(Which::Path(_))));
        for absent in ["none/digits", "none.onnx", "none/a:b"] {
            assert!(matches!(Which::parse(absent), Ok(Which::Path(_))), "{absent}");
        }
        assert!(matches!(Which::parse("digits:stable"), Ok(Which::Version("digits:stable"))));
        let server = Which::parse("http://h:1/p/v2/models/a/versions/2/").unwrap();
        let Which::Server { url, route } = server else { panic!("no server") };
        assert_eq!((url, route), ("http://h:1/p", "/v2/models/a/versions/2"));
        for wrong in ["http://h:1", "http://h:1/v2/models/"] {
            let error = Which::parse(wrong).err().unwrap().to_string();
            assert!(error.contains("names no model"), "{error}");
        }
    }
}
