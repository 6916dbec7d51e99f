//! Integers from their text, exact to the last bit, and the trait of all numbers.

use modelyard_tensor::Element;

use super::digits::{self, FITTING};

/// Why a text is no element of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// No number of JSON's grammar.
    Syntax,
    /// A number that the type does not reach.
    Range,
    /// A number with a fraction, for an integer.
    Fraction,
    /// A NaN or infinity, for an integer.
    NotFinite,
}

/// An element of a tensor that has a number for a text.
pub(crate) trait Number: Element {
    /// Takes one number off the start of `rest`.
    fn take(rest: &mut &[u8]) -> Result<Self, Misfit>;
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(impl Number for $type {
            #[inline(always)]
            fn take(rest: &mut &[u8]) -> Result<Self, Misfit> {
                let (negative, magnitude) = take_integer(rest)?;
                if !negative {
                    return magnitude.try_into().map_err(|_| Misfit::Range);
                }
                // In 128 bits every magnitude can be negated.
                (-i128::from(magnitude)).try_into().map_err(|_| Misfit::Range)
            }
        })*
    };
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

/// Sign and magnitude of an integer.
#[inline(always)]
fn take_integer(rest: &mut &[u8]) -> Result<(bool, u64), Misfit> {
    let start = *rest;
    let negative = start.first() == Some(&b'-');
    if negative {
        *rest = &start[1..];
    }
    let whole = *rest;
    let mut magnitude = 0;
    let count = digits::take(rest, &mut magnitude);
    if count == 0 {
        return Err(no_digits(start));
    }
    if count > 1 && whole[0] == b'0' {
        return Err(Misfit::Syntax);
    }
    if count > FITTING || matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
        *rest = whole;
        magnitude = take_long(rest)?;
    }
    Ok((negative, magnitude))
}

#[cold]
fn no_digits(start: &[u8]) -> Misfit {
    let names = [&b"NaN"[..], b"Infinity", b"-Infinity"];
    match names.iter().any(|name| start.starts_with(name)) {
        true => Misfit::NotFinite,
        false => Misfit::Syntax,
    }
}

/// An integer in a long form: twenty digits, `5.0`, `12e3`.
#[cold]
fn take_long(rest: &mut &[u8]) -> Result<u64, Misfit> {
    let whole = take_digits(rest);
    let mut fraction: &[u8] = &[];
    if let [b'.', tail @ ..] = *rest {
        *rest = tail;
        fraction = take_digits(rest);
        if fraction.is_empty() {
            return Err(Misfit::Syntax);
        }
    }
    let exponent = match *rest {
        [b'e' | b'E', tail @ ..] => {
            *rest = tail;
            take_exponent(rest)?
        }
        _ => 0,
    };
    let digits = || whole.iter().chain(fraction).map(|digit| digit - b'0');
    // Digits that stand before the point once the exponent has moved it.
    let before = whole.len() as i64 + exponent;
    let place = |index: usize| index as i64;
    if digits().enumerate().any(|(index, digit)| digit != 0 && place(index) >= before) {
        return Err(Misfit::Fraction);
    }
    if digits().all(|digit| digit == 0) {
        return Ok(0);
    }
    let zeros = (before - (whole.len() + fraction.len()) as i64).max(0);
    digits()
        .take(usize::try_from(before).unwrap_or(0))
        .chain((0..zeros).map(|_| 0))
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit)))
        .ok_or(Misfit::Range)
}

fn take_digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, tail) = rest.split_at(count);
    *rest = tail;
    digits
}

/// An exponent, cut where no number but zero can have it and be an integer of 64 bits.
fn take_exponent(rest: &mut &[u8]) -> Result<i64, Misfit> {
    const LARGEST: u64 = 1 << 32;
    let negative = rest.first() == Some(&b'-');
    if let [b'-' | b'+', tail @ ..] = *rest {
        *rest = tail;
    }
    let mut value = 0;
    let value = match digits::take(rest, &mut value) {
        0 => return Err(Misfit::Syntax),
        1..=FITTING => value.min(LARGEST) as i64,
        _ => LARGEST as i64,
    };
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<T: Number>(text: &str) -> Result<T, Misfit> {
        let mut rest = text.as_bytes();
        T::take(&mut rest)
    }

    #[test]
    fn takes_integers_exactly() {
        assert_eq!(parse::<u64>("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse::<i64>("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse::<i64>("9007199254740993"), Ok(9_007_199_254_740_993));
        assert_eq!(parse::<u8>("255"), Ok(255));
        assert_eq!(parse::<i8>("-128"), Ok(-128));
        assert_eq!(parse::<u8>("-0"), Ok(0));
    }

    #[test]
    fn takes_integers_in_the_form_of_floats() {
        assert_eq!(parse::<i32>("5.0"), Ok(5));
        assert_eq!(parse::<i32>("-1.5e1"), Ok(-15));
        assert_eq!(parse::<i64>("12e3,"), Ok(12_000));
        assert_eq!(parse::<i64>("1200e-2"), Ok(12));
        assert_eq!(parse::<u64>("1844674407370955161.5e1"), Ok(u64::MAX));
        assert_eq!(parse::<u8>("0.000e99999999999999999999"), Ok(0));
        assert_eq!(parse::<u8>("0e-5"), Ok(0));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!(parse::<u8>("256"), Err(Misfit::Range));
        assert_eq!(parse::<u8>("-1"), Err(Misfit::Range));
        assert_eq!(parse::<i8>("128"), Err(Misfit::Range));
        assert_eq!(parse::<u64>("18446744073709551616"), Err(Misfit::Range));
        assert_eq!(parse::<i64>("9223372036854775808"), Err(Misfit::Range));
        assert_eq!(parse::<i64>("1e99999999999999999999"), Err(Misfit::Range));
        assert_eq!(parse::<i32>("1.5"), Err(Misfit::Fraction));
        assert_eq!(parse::<i32>("1e-99999999999999999999"), Err(Misfit::Fraction));
        assert_eq!(parse::<i32>("NaN"), Err(Misfit::NotFinite));
        assert_eq!(parse::<i32>("-Infinity"), Err(Misfit::NotFinite));
        for text in ["", "-", "00", "01", "1.", "1e", "x", "\"1\"", "true"] {
            assert_eq!(parse::<i32>(text), Err(Misfit::Syntax), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_survives_its_own_text(value: i64, natural: u64) {
            prop_assert_eq!(parse::<i64>(&value.to_string()), Ok(value));
            prop_assert_eq!(parse::<u64>(&natural.to_string()), Ok(natural));
            prop_assert_eq!(parse::<i64>(&format!("{value}.00")), Ok(value));
            let narrow = i16::try_from(value).map_err(|_| Misfit::Range);
            prop_assert_eq!(parse::<i16>(&value.to_string()), narrow);
        }
    }
}
