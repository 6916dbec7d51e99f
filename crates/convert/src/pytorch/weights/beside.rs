//! What stands beside a `config.json`: what images go through before, and (of sentence-transformers)
//! how the states of all tokens become one.

use serde::Deserialize;

use super::templates::Pooling;
use crate::ConvertError;
use crate::input::{Input, Source};

/// How large these files may be.
const LIMIT: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Modes {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

/// What other files beside the weights say.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// How the states of all tokens become one.
    pub(super) pooling: Option<Pooling>,
    /// What images go through before, as JSON.
    pub(super) preprocessing: Option<String>,
}

impl Beside {
    /// Reads them.
    pub(super) fn read(source: &Source) -> Result<Beside, ConvertError> {
        Ok(Beside { pooling: pooling(source)?, preprocessing: preprocessing(source)? })
    }
}

/// What `preprocessor_config.json` says of images.
fn preprocessing(source: &Source) -> Result<Option<String>, ConvertError> {
    const KEPT: [&str; 10] = [
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
    ];
    let found: Option<serde_json::Map<String, serde_json::Value>> =
        json(source.beside("preprocessor_config.json")?);
    let Some(mut found) = found else { return Ok(None) };
    found.retain(|name, _| KEPT.contains(&name.as_str()));
    Ok((!found.is_empty()).then(|| serde_json::Value::Object(found).to_string()))
}

/// The pooling that `modules.json` describes; `None` where there is none, or one that is not built
/// in (the states of all tokens are an output anyway).
fn pooling(source: &Source) -> Result<Option<Pooling>, ConvertError> {
    let Some(modules) = json::<Vec<Module>>(source.beside("modules.json")?) else {
        return Ok(None);
    };
    let kinds: Vec<&str> =
        modules.iter().map(|module| module.kind.rsplit('.').next().unwrap_or_default()).collect();
    let normalize = match kinds.as_slice() {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => return Ok(None),
    };
    let folder = modules.get(1).map_or("", |module| module.path.trim_end_matches('/'));
    let modes = json::<Modes>(source.beside(&format!("{folder}/config.json"))?);
    let Some(modes) = modes else { return Ok(None) };
    if modes.pooling_mode_max_tokens || modes.pooling_mode_mean_sqrt_len_tokens {
        return Ok(None);
    }
    Ok(match (modes.pooling_mode_cls_token, modes.pooling_mode_mean_tokens) {
        (false, true) => Some(Pooling { mean: true, normalize }),
        (true, false) => Some(Pooling { mean: false, normalize }),
        _ => None,
    })
}

fn json<T: serde::de::DeserializeOwned>(input: Option<Input>) -> Option<T> {
    let text = input?.read_all(LIMIT).ok()?;
    serde_json::from_slice(&text).ok()
}
