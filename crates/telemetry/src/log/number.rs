//! Numbers as decimal digits, without the formatting machinery.

/// `00` to `99`, two digits each.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Writes a number.
pub(super) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        start -= 1;
        digits[start] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[start..]);
}

/// Two digits of a number below 100.
#[inline]
pub(super) fn two_digits(number: u32) -> [u8; 2] {
    let pair = number as usize % 100 * 2;
    [PAIRS[pair], PAIRS[pair + 1]]
}

/// Three digits of a number below 1,000.
#[inline]
pub(super) fn three_digits(number: u32) -> [u8; 3] {
    let [tens, ones] = two_digits(number % 100);
    [b'0' + (number / 100 % 10) as u8, tens, ones]
}

/// Writes microseconds as milliseconds with three decimals.
pub(super) fn millis(out: &mut Vec<u8>, micros: u64) {
    decimal(out, micros / 1_000);
    out.push(b'.');
    out.extend_from_slice(&three_digits((micros % 1_000) as u32));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_read_as_usual(number in prop_oneof![0..2_000_u64, any::<u64>()]) {
            let mut out = Vec::new();
            decimal(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            let mut out = Vec::new();
            millis(&mut out, number);
            let expected = format!("{}.{:03}", number / 1_000, number % 1_000);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
