//! Numbers that follow from a seed, as `fixtures/splitmix.py` makes them, and sketches of arrays.
//!
//! Number `i` of a seed is that of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
//! Number Generators, 2014). A float between low and high is low + (high - low) * (z >> 40) / 2^24
//! in 64 bits, rounded to 32.

use modelyard_graph::Constant;
use modelyard_tensor::Shape;
use modelyard_train::Array;
use serde::Deserialize;

/// Numbers of a seed. Endless.
fn stream(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |number| {
        let z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// An array of floats that is made, not stored.
#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    shape: Vec<usize>,
    seed: u64,
    low: f64,
    high: f64,
}

impl Entry {
    fn values(&self) -> Vec<f32> {
        let float = |z: u64| {
            let unit = (z >> 40) as f64 / f64::from(1 << 24);
            (self.low + (self.high - self.low) * unit) as f32
        };
        stream(self.seed).map(float).take(self.shape.iter().product()).collect()
    }

    pub(crate) fn array(&self) -> Array {
        Array::floats(Shape::new(&self.shape), self.values())
    }

    pub(crate) fn constant(&self) -> Constant {
        Constant::floats(&self.name, &self.shape, &self.values())
    }
}

/// What stands for an array of any size.
#[derive(Deserialize)]
pub(crate) struct Sketch {
    pub(crate) name: String,
    /// Its norm.
    pub(crate) norm: f64,
    /// Some of its elements, with their index.
    elements: Vec<(usize, f64)>,
    /// Sums of its elements with vectors of signs, where vector k has a minus where bit k of
    /// number i of the seed is set.
    signs: [f64; 4],
}

impl Sketch {
    /// An estimate of the norm of the difference of `array` and the array behind the sketch: the
    /// largest of three.
    ///
    /// * the difference of their norms,
    /// * the root mean square of the differences of the signed sums: the square of a sum with
    ///   signs by chance is on average that of the norm,
    /// * the root mean square of the differences of the elements, times the root of how many the
    ///   array has.
    ///
    /// Not a number where `array` holds what is none.
    pub(crate) fn distance(&self, array: &Array) -> f64 {
        let values = array.as_floats().expect("sketches are of floats");
        let (norm, signs) = sums(values, u64::from(crc32(&format!("signs:{}", self.name))));
        let by_signs = mean_square(signs.iter().zip(&self.signs).map(|(one, other)| one - other));
        let by_elements = mean_square(
            self.elements.iter().map(|&(index, value)| f64::from(values[index]) - value),
        );
        let estimates =
            [(norm - self.norm).abs(), by_signs.sqrt(), (by_elements * values.len() as f64).sqrt()];
        // `f64::max` would forget what is no number.
        estimates.into_iter().max_by(f64::total_cmp).expect("there are three")
    }
}

fn mean_square(differences: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = differences.len() as f64;
    differences.map(|difference| difference * difference).sum::<f64>() / count
}

/// The norm, and the sums with four vectors of signs.
fn sums(values: &[f32], seed: u64) -> (f64, [f64; 4]) {
    let (mut square, mut signed) = (0.0, [0.0; 4]);
    for (&value, z) in values.iter().zip(stream(seed)) {
        let value = f64::from(value);
        square += value * value;
        for (k, sum) in signed.iter_mut().enumerate() {
            *sum += if (z >> k) & 1 == 1 { -value } else { value };
        }
    }
    (square.sqrt(), signed)
}

/// The checksum of zip files, which names become seeds by.
fn crc32(text: &str) -> u32 {
    !text.bytes().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn numbers_are_those_of_the_script() {
    // Published with SplitMix64: the first numbers of the seed 1234567.
    let first: Vec<u64> = stream(1_234_567).take(2).collect();
    assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    assert_eq!(crc32("123456789"), 0xcbf4_3926);
}

#[test]
fn a_sketch_sees_what_has_changed() {
    let values: Vec<f32> = (0..100).map(|index| (index as f32).sin()).collect();
    let (norm, signs) = sums(&values, u64::from(crc32("signs:x")));
    let elements = vec![(3, f64::from(values[3]))];
    let sketch = Sketch { name: "x".into(), norm, elements, signs };
    let distance = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut values = values.clone();
        change(&mut values);
        sketch.distance(&Array::floats([100], values))
    };
    assert_eq!(distance(&|_| {}), 0.0);
    assert!((distance(&|values| values[50] += 0.5) - 0.5).abs() < 1e-6);
    assert!(distance(&|values| values.swap(7, 8)) > 0.1);
    assert!(distance(&|values| values[3] = f32::NAN).is_nan());
}
