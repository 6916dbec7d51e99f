//! Shares of traffic.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A share of traffic in basis points: 1 is 0.01 %, 10,000 is all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

/// A share that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WeightError {
    #[error("a share of {0} basis points is more than all (10000)")]
    TooLarge(u64),
    #[error("expected a percentage from 0% to 100% with at most two decimals, found '{0}'")]
    Text(String),
}

impl BasisPoints {
    /// No traffic.
    pub const NONE: BasisPoints = BasisPoints(0);
    /// All traffic.
    pub const ALL: BasisPoints = BasisPoints(10_000);

    /// A share of `basis_points` ten-thousandths.
    pub fn new(basis_points: u16) -> Result<Self, WeightError> {
        match basis_points {
            0..=10_000 => Ok(BasisPoints(basis_points)),
            more => Err(WeightError::TooLarge(more.into())),
        }
    }

    /// The share as a whole number, 0 to 10,000.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The share as a fraction, 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// What is left for others.
    pub fn rest(self) -> Self {
        BasisPoints(10_000 - self.0)
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = WeightError;

    fn try_from(basis_points: u16) -> Result<Self, WeightError> {
        BasisPoints::new(basis_points)
    }
}

impl From<BasisPoints> for u16 {
    fn from(share: BasisPoints) -> u16 {
        share.0
    }
}

/// A percentage, such as `10%` or `0.25%`.
impl FromStr for BasisPoints {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, WeightError> {
        parse(text).ok_or_else(|| WeightError::Text(text.chars().take(32).collect()))
    }
}

fn parse(text: &str) -> Option<BasisPoints> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || !(1..=2).contains(&decimals.len()) {
        return None;
    }
    let scale = if decimals.len() == 1 { 10 } else { 1 };
    let hundredths = decimals.parse::<u32>().ok()? * scale;
    let total = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    BasisPoints::new(u16::try_from(total).ok()?).ok()
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_reads_back_as_it_is_written() {
        for basis_points in 0..=10_000 {
            let share = BasisPoints(basis_points);
            assert_eq!(share.to_string().parse(), Ok(share), "{share}");
        }
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "%", "1", "-1%", "1.234%", "100.01%", "1e2%", "1.%", ".5.5%", "99999999%"]
        {
            assert!(text.parse::<BasisPoints>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<BasisPoints>("10001").is_err());
    }
}
