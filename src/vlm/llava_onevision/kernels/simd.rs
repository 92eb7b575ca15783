//! Loops compiled for the instruction sets that processors differ in; the best is chosen when they run.

/// Defines a function that runs `$body`, an `#[inline(always)]` function, compiled for AVX-512, for AVX2 or for the
/// baseline.
macro_rules! widened {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? = $body:path;) => {
        $(#[$doc])*
        // What follows is safe to call; the blocks within say why.
        #[allow(unsafe_code)]
        pub fn $name($($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $kind),*) $(-> $out)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $kind),*) $(-> $out)? {
                    $body($($arg),*)
                }
                let has_avx512 = std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl");
                let has_avx2 =
                    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
                if has_avx512 && has_avx2 {
                    // SAFETY: the processor has these instructions.
                    return unsafe { avx512($($arg),*) };
                }
                if has_avx2 {
                    // SAFETY: the processor has these instructions.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(super) use widened;

/// Independent sums, so that they can be added side by side.
const LANES: usize = 32;

/// The scalar product.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    total(sums) + rest
}

/// The sum of `values` after `map`.
#[inline(always)]
pub fn sum_of(values: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += map(*value);
        }
    }
    total(sums) + rest.iter().map(|value| map(*value)).sum::<f32>()
}

/// The largest value.
#[inline(always)]
pub fn largest(values: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (most, value) in most.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    most.iter().chain(rest).fold(
        f32::NEG_INFINITY,
        |most, value| if *value > most { *value } else { most },
    )
}

#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for index in 0..width {
            sums[index] += sums[index + width];
        }
        width /= 2;
    }
    sums[0]
}

/// `e^x` to about 2 units in the last place, without branches. Cephes' polynomial.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding this rounds to a whole number, which then lies in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let mut y = 1.987_569_1e-4;
    y = y * rest + 1.398_199_9e-3;
    y = y * rest + 8.333_452e-3;
    y = y * rest + 4.166_579_6e-2;
    y = y * rest + 1.666_666_5e-1;
    y = y * rest + 0.5;
    let y = y * rest * rest + rest + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    y * power
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_a_few_units_in_the_last_place() {
        for step in -8700..8800 {
            let x = step as f32 / 100.0 + 0.003;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(
                (found / expected - 1.0).abs() < 3e-7,
                "exp({x}) is {expected}, found {found}"
            );
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn sums_count_every_value_once() {
        for length in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..length).map(|value| value as f32).collect();
            let expected: f32 = values.iter().map(|value| value * value).sum();
            assert_eq!(dot(&values, &values), expected);
            assert_eq!(sum_of(&values, |value| value * value), expected);
            assert_eq!(
                largest(&values),
                if length == 0 {
                    f32::NEG_INFINITY
                } else {
                    length as f32 - 1.0
                }
            );
        }
    }
}
