//! The natural logarithm as plain arithmetic, so that loops over it become vectors.

/// `ln x` within 2 units in the last place.
///
/// The polynomial is that of Cephes' `logf` (Moshier, 1989): with `x = m 2^e` and m between
/// sqrt(1/2) and sqrt(2), `ln x = ln m + e ln 2`. Numbers below the smallest normal one are
/// scaled up first.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const SCALE: f32 = 8_388_608.0; // 2^23
    let tiny = x < f32::MIN_POSITIVE;
    let bits = if tiny { x * SCALE } else { x }.to_bits();
    // The exponent such that the rest lies around 1.
    let shifted = bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (shifted as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23)) - 1.0;
    let e = exponent as f32 - if tiny { 23.0 } else { 0.0 };
    let z = m * m;
    let mut y = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        y = y * m + coefficient;
    }
    // ln 2 in two parts, of which the first has few bits, so that its product is exact.
    let y = y * m * z + e * -2.121_944_4e-4 - 0.5 * z;
    let result = m + y + e * 0.693_359_4;
    let result = if x == f32::INFINITY { x } else { result };
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    // Also where x is NaN itself.
    if x >= 0.0 { result } else { f32::NAN }
}

/// `ln (1 + x)` for x between 0 and 1, exact also where it is small (Kahan's correction).
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let difference = sum - 1.0;
    let safe = if difference == 0.0 { 1.0 } else { difference };
    if difference == 0.0 { x } else { ln(sum) * (x / safe) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: f32, expected: f64) -> bool {
        let error = (f64::from(found) - expected).abs();
        error <= 2.0 * f64::from(f32::EPSILON) * expected.abs()
    }

    proptest! {
        #[test]
        fn is_the_logarithm(bits in 1u32..f32::INFINITY.to_bits(), around_one in 0.5f32..2.0) {
            for x in [f32::from_bits(bits), around_one] {
                prop_assert!(near(ln(x), f64::from(x).ln()), "{} {}", x, ln(x));
            }
        }

        #[test]
        fn is_the_logarithm_of_one_more(x in 0f32..=1.0, exponent in -40i32..0) {
            let x = x * 2f32.powi(exponent);
            prop_assert!(near(ln_1p(x), f64::from(x).ln_1p()), "{} {}", x, ln_1p(x));
        }
    }

    #[test]
    fn ends_of_the_line() {
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
    }
}
