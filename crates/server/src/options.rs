//! Request parameters that mean the same over REST and gRPC.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use modelyard_serving::{ErrorCode, InferError, RequestOptions};

use crate::wording::shown;

/// The value of a parameter, however it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Integer(i128),
    Text(Cow<'a, str>),
    /// A fraction, a list, nothing: what no parameter here is.
    Other,
}

/// Takes in one parameter of a request. A client's own parameters are for nobody.
pub(crate) fn parameter(
    options: &mut RequestOptions,
    name: &str,
    value: &Value<'_>,
) -> Result<(), InferError> {
    match name {
        "priority" => options.priority = priority(unsigned(name, value)?),
        "timeout" => {
            let timeout = unsigned(name, value)?;
            options.deadline = deadline(options.deadline, options.arrived, timeout);
        }
        // Every model here answers a request once, so the answer is always the final one.
        "triton_enable_empty_final_response" => drop(boolean(name, value)?),
        "sequence_id" | "sequence_start" | "sequence_end" => no_sequence(name, value)?,
        name if name.starts_with("triton_") => {
            return Err(InferError::invalid(format!(
                "parameter '{}' is unknown: of those that begin with 'triton_', expected \
                 triton_enable_empty_final_response",
                shown(name)
            )));
        }
        _ => {}
    }
    Ok(())
}

/// Whether [`parameter`] looks at the value of a parameter with this name.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(name, "priority" | "timeout")
        || name.starts_with("sequence_")
        || name.starts_with("triton_")
}

/// Clients send these with every request; what they mean unless set is what happens here.
fn no_sequence(name: &str, value: &Value<'_>) -> Result<(), InferError> {
    match (name, value) {
        ("sequence_id", Value::Integer(0)) | (_, Value::Bool(false)) => Ok(()),
        ("sequence_id", Value::Text(id)) if id.is_empty() => Ok(()),
        ("sequence_id", Value::Integer(_) | Value::Text(_)) | (_, Value::Bool(true)) => {
            let message = format!(
                "parameter '{name}' is set, but sequence batching is not offered: every request \
                 stands for itself"
            );
            Err(InferError::new(ErrorCode::Unimplemented, message))
        }
        ("sequence_id", _) => Err(expected(name, value, "an integer or a string")),
        _ => Err(expected(name, value, "true or false")),
    }
}

/// A number that is not negative.
pub(crate) fn unsigned(name: &str, value: &Value<'_>) -> Result<u64, InferError> {
    match value {
        Value::Integer(number) => u64::try_from(*number)
            .map_err(|_| expected(name, value, "an integer of 64 bits that is not negative")),
        _ => Err(expected(name, value, "an integer")),
    }
}

fn boolean(name: &str, value: &Value<'_>) -> Result<bool, InferError> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err(expected(name, value, "true or false")),
    }
}

#[cold]
fn expected(name: &str, value: &Value<'_>, expected: &str) -> InferError {
    let found = match value {
        Value::Bool(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(_) => "a string".to_owned(),
        Value::Other => "another type".to_owned(),
    };
    InferError::invalid(format!("parameter '{}' is {found}, expected {expected}", shown(name)))
}

/// The protocol's priority levels in the core's order.
///
/// Over the wire 1 is the highest level and 0 means the default. The default is below every
/// level, since who names a level asks for more than who does not.
fn priority(level: u64) -> i32 {
    match level.checked_sub(1) {
        None => 0,
        Some(below) => i32::MAX.saturating_sub(i32::try_from(below).unwrap_or(i32::MAX)).max(1),
    }
}

/// The earlier of `deadline` and `timeout_us` microseconds after `arrived`; 0 means no timeout.
fn deadline(deadline: Option<Instant>, arrived: Instant, timeout_us: u64) -> Option<Instant> {
    let timeout = (timeout_us > 0).then(|| arrived.checked_add(Duration::from_micros(timeout_us)));
    // A timeout past the end of the clock is none.
    match (deadline, timeout.flatten()) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_levels_go_first_and_the_default_last() {
        let order: Vec<i32> = [1, 2, 3, u64::MAX].into_iter().map(priority).collect();
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
        assert!(order.iter().all(|&level| level > priority(0)));
    }

    fn taken(name: &str, value: Value<'_>) -> Result<(), ErrorCode> {
        let mut options = RequestOptions::arrived(Instant::now());
        parameter(&mut options, name, &value).map_err(|error| error.code)
    }

    #[test]
    fn sequences_are_not_offered_but_their_absence_may_be_said() {
        let refused = Err(ErrorCode::Unimplemented);
        assert_eq!(taken("sequence_id", Value::Integer(0)), Ok(()));
        assert_eq!(taken("sequence_id", Value::Text("".into())), Ok(()));
        assert_eq!(taken("sequence_start", Value::Bool(false)), Ok(()));
        assert_eq!(taken("sequence_id", Value::Integer(7)), refused);
        assert_eq!(taken("sequence_id", Value::Text("a".into())), refused);
        assert_eq!(taken("sequence_end", Value::Bool(true)), refused);
        assert_eq!(taken("sequence_end", Value::Other), Err(ErrorCode::InvalidArgument));
    }

    #[test]
    fn names_of_triton_are_its_own_and_others_the_clients() {
        let refused = Err(ErrorCode::InvalidArgument);
        assert_eq!(taken("triton_enable_empty_final_response", Value::Bool(true)), Ok(()));
        assert_eq!(taken("triton_enable_empty_final_response", Value::Integer(1)), refused);
        assert_eq!(taken("triton_something", Value::Bool(true)), refused);
        assert_eq!(taken("my_own", Value::Other), Ok(()));
        assert_eq!(taken("timeout", Value::Integer(-1)), refused);
        assert_eq!(taken("priority", Value::Text("high".into())), refused);
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let now = Instant::now();
        let later = |us| now + Duration::from_micros(us);
        assert_eq!(deadline(None, now, 0), None);
        assert_eq!(deadline(Some(later(5)), now, 0), Some(later(5)));
        assert_eq!(deadline(Some(later(5)), now, 3), Some(later(3)));
        assert_eq!(deadline(Some(later(5)), now, 9), Some(later(5)));
        assert_eq!(deadline(None, now, 3), Some(later(3)));
    }
}
