//! Predictions, over the smallest HTTP client that does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::contender::Question;

/// An answer.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// One request over a connection of its own.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).context("no status")?;
    Ok(Answer { status, head, body: answer.split_off(end + 4) })
}

/// Whether a v2 server there is ready.
pub(crate) fn is_ready(address: &str) -> bool {
    ask(address, "GET", "/v2/health/ready", b"").is_ok_and(|answer| answer.status == 200)
}

/// Asks the question and gives the numbers of the prediction.
pub(crate) fn predict(address: &str, question: &Question) -> anyhow::Result<Vec<f64>> {
    let answer = ask(address, "POST", &question.path, &question.body)?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 200, "status {}: {text}", answer.status);
    let json: Value = serde_json::from_str(text.trim())
        .with_context(|| format!("the answer is not JSON: {text:.200}"))?;
    // v2, /predict, and furnace-server's own /predict.
    let places = [&json["outputs"][0]["data"], &json["prediction"], &json["output"]];
    let data = places.into_iter().find(|data| !data.is_null()).unwrap_or(&Value::Null);
    let mut numbers = Vec::new();
    flatten(data, &mut numbers);
    ensure!(!numbers.is_empty(), "the answer has no prediction: {text:.200}");
    if let Some(class) = question.class {
        let best = (0..numbers.len()).max_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
        ensure!(best == Some(class), "predicted {best:?}, but the digit is {class}");
    }
    Ok(numbers)
}

fn flatten(value: &Value, numbers: &mut Vec<f64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, numbers)),
        value => numbers.extend(value.as_f64()),
    }
}

/// Whether two servers agree.
pub(crate) fn agree(name: &str, found: &[f64], expected: &[f64]) -> anyhow::Result<()> {
    ensure!(found.len() == expected.len(), "{name} answers {} numbers", found.len());
    let scale = expected.iter().fold(1e-6, |scale: f64, value| scale.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        if (found - expected).abs() > 1e-3 * scale {
            bail!("{name} predicts {found} where the first server predicts {expected}");
        }
    }
    Ok(())
}
