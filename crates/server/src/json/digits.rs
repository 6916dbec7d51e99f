//! Runs of decimal digits, eight at a time.

/// 10^0 to 10^8.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// As many digits always fit a `u64`.
pub(super) const FITTING: usize = 19;

/// The digits at the start of eight bytes: their value and how many there are.
#[inline(always)]
pub(super) fn leading(text: [u8; 8]) -> (u64, usize) {
    let word = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is above 9. A carry reaches only higher bytes, so the lowest
    // bit is right, and the lowest is the first in the text.
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    if others == 0 {
        return (eight(word), 8);
    }
    let found = others.trailing_zeros() as usize / 8;
    // Moved up, the digits have zeros in front; in two steps, since there may be none at all.
    (eight(word << (56 - 8 * found) << 8), found)
}

/// `number` with `found` (at most 8) further digits behind it; wraps around.
#[inline(always)]
pub(super) fn append(number: u64, (value, found): (u64, usize)) -> u64 {
    number.wrapping_mul(POWERS[found]).wrapping_add(value)
}

/// Takes the digits at the start of `rest` and appends them to `number`, which wraps around
/// after [`FITTING`] digits. Returns how many there were.
#[inline(always)]
pub(super) fn take(rest: &mut &[u8], number: &mut u64) -> usize {
    let mut count = 0;
    while let Some(chunk) = rest.first_chunk::<8>() {
        let (value, found) = leading(*chunk);
        *number = append(*number, (value, found));
        *rest = &rest[found..];
        count += found;
        if found < 8 {
            return count;
        }
    }
    count + take_singly(rest, number)
}

/// The value of eight digits (0 to 9 each, the first in the lowest byte): pairs, then fours,
/// then all, each step in all lanes at once.
#[inline(always)]
fn eight(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// The same for the last seven bytes of a text.
fn take_singly(rest: &mut &[u8], number: &mut u64) -> usize {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, tail) = rest.split_at(count);
    for digit in digits {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
    }
    *rest = tail;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: u64, left: &str) {
        let (mut rest, mut number) = (text.as_bytes(), 0);
        let count = take(&mut rest, &mut number);
        assert_eq!((number, count), (expected, text.len() - left.len()), "{text}");
        assert_eq!(rest, left.as_bytes(), "{text}");
    }

    #[test]
    fn takes_digits_and_nothing_else() {
        check("", 0, "");
        check("7", 7, "");
        check("12345678", 12_345_678, "");
        check("123456789", 123_456_789, "");
        check("1234567890123456789,", 1_234_567_890_123_456_789, ",");
        check("98765, 1234567890", 98_765, ", 1234567890");
        check("00000001]        ", 1, "]        ");
        for other in [0, b'/', b':', 0x7f, 0x80, 0xb0, 0xff] {
            let text = [b'4', b'2', other, b'1', b'1', b'1', b'1', b'1', b'1'];
            let (mut rest, mut number) = (&text[..], 0);
            assert_eq!((take(&mut rest, &mut number), number), (2, 42), "{other}");
        }
    }
}
