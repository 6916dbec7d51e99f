//! Floats from their text: correctly rounded, and fast for the numbers that clients send.

use super::digits::{self, FITTING};
use super::integer::{Misfit, Number};

/// 10^0 to 10^22, the powers that `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A number in the form that floats mostly have: one digit, a point, one to eighteen digits.
/// Gives its value before the one rounding to `f32`, and what is left of the text.
#[inline(always)]
fn common(text: &[u8]) -> Option<(f64, &[u8])> {
    let window = text.first_chunk::<27>()?;
    let digit = window[0].wrapping_sub(b'0');
    if digit > 9 || window[1] != b'.' {
        return None;
    }
    if let Some(value) = one_place(digit, window[2], window[3]) {
        return Some((value, &text[3..]));
    }
    let [_, _, places @ .., _] = window;
    let (places, _) = places.as_chunks::<8>();
    let mut mantissa = u64::from(digit);
    let mut count = 0;
    for eight in places {
        let found = digits::leading(*eight);
        mantissa = digits::append(mantissa, found);
        count += found.1;
        if found.1 < 8 {
            break;
        }
    }
    let rest = &text[2 + count..];
    if count == 0 || count >= FITTING || matches!(rest[0], b'e' | b'E') {
        return None;
    }
    // At most nineteen digits: one rounding for the mantissa, one for the division.
    Some((mantissa as f64 / POWERS[count], rest))
}

/// The value of a number with one place behind the point (`0.0`, `1.0`) that ends there.
///
/// Data that is mostly zeros is mostly this. The branch is guessed right then, so that the next
/// number is begun before this one is done; by its length, each would have to wait.
#[inline(always)]
fn one_place(digit: u8, place: u8, next: u8) -> Option<f64> {
    let place = place.wrapping_sub(b'0');
    let ends = matches!(next, b',' | b']' | b' ');
    (ends && place <= 9).then(|| f64::from(10 * digit + place) / 10.0)
}

/// A number of JSON's grammar.
struct Decimal<'a> {
    text: &'a [u8],
    negative: bool,
    /// All digits as one number; meaningless when there are more than [`FITTING`].
    mantissa: u64,
    digits: usize,
    /// Power of ten that the mantissa is multiplied by.
    exponent: i32,
}

impl<'a> Decimal<'a> {
    #[inline(always)]
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let text = *rest;
        let negative = text.first() == Some(&b'-');
        if negative {
            *rest = &text[1..];
        }
        let whole = *rest;
        let mut mantissa = 0;
        let mut digits = digits::take(rest, &mut mantissa);
        if digits == 0 || (digits > 1 && whole[0] == b'0') {
            return None;
        }
        let mut exponent = 0;
        if let [b'.', fraction @ ..] = *rest {
            *rest = fraction;
            let places = digits::take(rest, &mut mantissa);
            if places == 0 {
                return None;
            }
            digits += places;
            exponent = -i32::try_from(places).ok()?;
        }
        if let [b'e' | b'E', ..] = *rest {
            exponent = exponent.saturating_add(take_exponent(rest)?);
        }
        let text = &text[..text.len() - rest.len()];
        Some(Decimal { text, negative, mantissa, digits, exponent })
    }

    /// Mantissa times power of ten in `f64`, rounded at most twice; `None` where that is not so.
    #[inline(always)]
    fn scaled(&self) -> Option<f64> {
        if self.digits > FITTING {
            return None;
        }
        let mantissa = self.mantissa as f64;
        if self.exponent <= 0 {
            Some(mantissa / POWERS.get(self.exponent.unsigned_abs() as usize)?)
        } else {
            Some(mantissa * POWERS.get(self.exponent as usize)?)
        }
    }
}

/// The exponent with its `e`; so large ones are cut that the number is zero or infinite anyway.
#[cold]
fn take_exponent(rest: &mut &[u8]) -> Option<i32> {
    const LARGEST: u64 = 100_000_000;
    let (negative, mut tail) = match *rest {
        [_, b'-', tail @ ..] => (true, tail),
        [_, b'+', tail @ ..] => (false, tail),
        [_, tail @ ..] => (false, tail),
        [] => return None,
    };
    let mut value = 0;
    let count = digits::take(&mut tail, &mut value);
    *rest = tail;
    let value = match count {
        0 => return None,
        1..=FITTING => value.min(LARGEST) as i32,
        _ => LARGEST as i32,
    };
    Some(if negative { -value } else { value })
}

impl Number for f32 {
    #[inline(always)]
    fn take(rest: &mut &[u8]) -> Result<Self, Misfit> {
        let start = *rest;
        let negative = start.first() == Some(&b'-');
        if let Some((scaled, tail)) = common(&start[usize::from(negative)..])
            && let Some(value) = narrow(scaled)
        {
            *rest = tail;
            return Ok(if negative { -value } else { value });
        }
        let Some(decimal) = Decimal::take(rest) else {
            return special(start, rest).map(|value| value as f32);
        };
        match decimal.scaled().and_then(narrow) {
            Some(value) => Ok(if decimal.negative { -value } else { value }),
            None => exact::<f32>(decimal.text, |value| value.is_finite()),
        }
    }
}

/// The `f32` nearest to the number that `scaled` stands for.
///
/// Two roundings left `scaled` less than four units from the true number in its last place, and
/// an `f32` has 29 bits less: unless those bits are within four of the middle between two `f32`,
/// both round to the same.
#[inline(always)]
fn narrow(scaled: f64) -> Option<f32> {
    const BELOW: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    const DOUBT: u64 = 4;
    let below = scaled.to_bits() & BELOW;
    let value = scaled as f32;
    // Powers of ten are few enough here that no result is subnormal.
    let doubtful = below.wrapping_sub(MIDDLE - DOUBT) <= 2 * DOUBT;
    (!doubtful && value.is_finite()).then_some(value)
}

impl Number for f64 {
    #[inline(always)]
    fn take(rest: &mut &[u8]) -> Result<Self, Misfit> {
        // Below this the mantissa is exact, and one rounding is the right one.
        const EXACT: u64 = 1 << 53;
        let start = *rest;
        let Some(decimal) = Decimal::take(rest) else {
            return special(start, rest);
        };
        match decimal.scaled().filter(|_| decimal.mantissa <= EXACT) {
            Some(value) => Ok(if decimal.negative { -value } else { value }),
            None => exact::<f64>(decimal.text, |value| value.is_finite()),
        }
    }
}

/// The slow way, for long numbers, large exponents and numbers close to a middle.
#[cold]
fn exact<T: fast_float2::FastFloat>(
    text: &[u8],
    is_finite: impl Fn(&T) -> bool,
) -> Result<T, Misfit> {
    match fast_float2::parse(text) {
        Ok(value) if is_finite(&value) => Ok(value),
        Ok(_) => Err(Misfit::Range),
        Err(_) => Err(Misfit::Syntax),
    }
}

/// The floats that JSON has no number for.
#[cold]
fn special<'a>(start: &'a [u8], rest: &mut &'a [u8]) -> Result<f64, Misfit> {
    const TOKENS: [(&[u8], f64); 3] =
        [(b"NaN", f64::NAN), (b"Infinity", f64::INFINITY), (b"-Infinity", f64::NEG_INFINITY)];
    for (token, value) in TOKENS {
        if let Some(tail) = start.strip_prefix(token) {
            *rest = tail;
            return Ok(value);
        }
    }
    *rest = start;
    Err(Misfit::Syntax)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<T: Number>(text: &str) -> Result<(T, usize), Misfit> {
        let mut rest = text.as_bytes();
        T::take(&mut rest).map(|value| (value, text.len() - rest.len()))
    }

    #[test]
    fn takes_what_json_calls_a_number() {
        let cases = [
            ("0", 0.0, 1),
            ("-0.0,", -0.0, 4),
            ("1.5]", 1.5, 3),
            ("12.25e2 ", 1225.0, 7),
            ("1E+2", 100.0, 4),
            ("5e-1", 0.5, 4),
            ("0.49411764705882355, 1", 0.494_117_647_058_823_55, 19),
            ("123456789012345678901234567890", 123_456_789_012_345_678_901_234_567_890.0, 30),
            ("1e-400", 0.0, 6),
        ];
        for (text, value, length) in cases {
            let (found, taken) = parse::<f64>(text).expect(text);
            assert_eq!((found.to_bits(), taken), (f64::to_bits(value), length), "{text}");
            let (found, _) = parse::<f32>(text).expect(text);
            assert_eq!(found.to_bits(), (value as f32).to_bits(), "{text}");
        }
    }

    #[test]
    fn refuses_what_json_does_not_call_a_number() {
        for text in ["", "-", ".5", "1.", "01", "-01.5", "+1", "1e", "1e+", "1.e5", "nan", "inf"] {
            assert_eq!(parse::<f32>(text), Err(Misfit::Syntax), "{text}");
            assert_eq!(parse::<f64>(text), Err(Misfit::Syntax), "{text}");
        }
        assert_eq!(parse::<f32>("1e39"), Err(Misfit::Range));
        assert_eq!(parse::<f64>("-1e999999999999999999999"), Err(Misfit::Range));
        assert_eq!(parse::<f32>("3.5e38"), Err(Misfit::Range));
    }

    #[test]
    fn knows_the_tokens_for_what_is_no_number() {
        assert!(parse::<f32>("NaN").expect("a token").0.is_nan());
        assert_eq!(parse::<f32>("-Infinity,"), Ok((f32::NEG_INFINITY, 9)));
        assert_eq!(parse::<f64>("Infinity"), Ok((f64::INFINITY, 8)));
    }

    #[test]
    fn rounds_ties_and_near_ties_as_the_standard_library_does() {
        let texts = [
            "16777217",
            "16777219",
            "1.00000005960464477539",
            "1.0000000596046447",
            "1.0000000596046449",
            "3.4028235677973366e38",
            "7.006492321624085e-46",
            "0.1000000014901161193847656250",
            "9007199254740993",
            "1.17549435e-38",
        ];
        for text in texts {
            let (narrow, _) = parse::<f32>(text).unwrap_or((f32::INFINITY, 0));
            assert_eq!(narrow.to_bits(), text.parse::<f32>().expect(text).to_bits(), "{text}");
            let (wide, _) = parse::<f64>(text).expect(text);
            assert_eq!(wide.to_bits(), text.parse::<f64>().expect(text).to_bits(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(
            text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?"
        ) {
            let wide: f64 = text.parse().expect("JSON's numbers are Rust's");
            match parse::<f64>(&text) {
                Ok((value, _)) => prop_assert_eq!(value.to_bits(), wide.to_bits()),
                Err(_) => prop_assert!(wide.is_infinite()),
            }
            let narrow: f32 = text.parse().expect("JSON's numbers are Rust's");
            match parse::<f32>(&text) {
                Ok((value, _)) => prop_assert_eq!(value.to_bits(), narrow.to_bits()),
                Err(_) => prop_assert!(narrow.is_infinite()),
            }
        }

        #[test]
        fn every_float_survives_its_own_text(bits: u64) {
            let wide = f64::from_bits(bits);
            let narrow = f32::from_bits(bits as u32);
            if wide.is_finite() {
                let text = serde_json::to_string(&wide).expect("finite");
                prop_assert_eq!(parse::<f64>(&text).expect("valid").0.to_bits(), bits);
            }
            if narrow.is_finite() {
                for text in [format!("{narrow:e}"), format!("{:e}", f64::from(narrow))] {
                    prop_assert_eq!(parse::<f32>(&text).expect("valid").0.to_bits(), narrow.to_bits());
                }
            }
        }

        // Doubles close to the middle between two floats are where a double rounding shows.
        #[test]
        fn rounds_once_near_the_middle(bits in 0x3000_0000u32..0x6000_0000, off in -6i64..=6) {
            let middle = (f64::from(f32::from_bits(bits)).to_bits() | 1 << 28) as i64 + off;
            let text = format!("{}", f64::from_bits(middle as u64));
            let expected: f32 = text.parse().expect("a float's text");
            prop_assert_eq!(parse::<f32>(&text).expect("valid").0.to_bits(), expected.to_bits());
        }
    }
}
