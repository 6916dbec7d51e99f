//! Real digits as requests: the first of the test split of `examples/digits`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;

use crate::contender::Question;
use crate::env::Env;

/// One digit.
pub(crate) struct Digit {
    pixels: Vec<u8>,
    /// Which one it is.
    pub(crate) class: usize,
}

impl Digit {
    /// The first of the test split.
    pub(crate) fn first(env: &Env) -> anyhow::Result<Self> {
        let images = unpack(env.root.join("examples/digits/test-images-idx3-ubyte.gz"))?;
        let labels = unpack(env.root.join("examples/digits/test-labels-idx1-ubyte.gz"))?;
        // Headers of 16 and 8 bytes: magic and dimensions.
        let pixels = images.get(16..16 + 784).context("no image")?.to_vec();
        let class = usize::from(*labels.get(8).context("no label")?);
        ensure!(class < 10, "the label is no digit");
        Ok(Digit { pixels, class })
    }

    /// Pixels from 0 to 1 as Python prints them after rounding to four places.
    fn numbers(&self) -> String {
        let number = |pixel: &u8| match pixel {
            0 => "0.0".to_owned(),
            255 => "1.0".to_owned(),
            pixel => format!("{}", (f64::from(*pixel) / 255.0 * 1e4).round() / 1e4),
        };
        self.pixels.iter().map(number).collect::<Vec<_>>().join(", ")
    }

    /// The body of a `/predict` that looks for the pixels under this name.
    pub(crate) fn predict_body(&self, key: &str) -> String {
        format!("{{\"{key}\": [{}]}}", self.numbers())
    }

    /// The body of a v2 request for a model with this input.
    pub(crate) fn v2_body(&self, input: &str) -> String {
        format!(
            "{{\"inputs\":[{{\"name\":\"{input}\",\"shape\":[1,784],\"datatype\":\"FP32\",\
             \"data\":[{}]}}]}}",
            self.numbers()
        )
    }

    /// `POST /predict`, with the pixels under this name.
    pub(crate) fn predict_question(&self, key: &str) -> Question {
        let body = self.predict_body(key).into_bytes();
        Question { path: "/predict".into(), body, class: Some(self.class) }
    }

    /// v2 REST, JSON.
    pub(crate) fn v2_question(&self, input: &str) -> Question {
        let (path, body) = ("/v2/models/model/infer".into(), self.v2_body(input).into_bytes());
        Question { path, body, class: Some(self.class) }
    }
}

/// The content of a gzip file.
pub(crate) fn unpack(path: PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut data = Vec::new();
    let file = File::open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    GzDecoder::new(file).read_to_end(&mut data)?;
    Ok(data)
}

/// Writes a file for the generator's `--input`.
pub(crate) fn scratch_file(env: &Env, name: &str, content: &[u8]) -> anyhow::Result<String> {
    let path = env.scratch.join(name);
    std::fs::write(&path, content)?;
    Ok(path.display().to_string())
}
