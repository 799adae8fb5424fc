//! Numbers that are the same on every machine: integers alone decide them.

/// The splitmix64 generator (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.state)
    }

    /// A number below `end`, which is greater than 0.
    pub const fn below(&mut self, end: usize) -> usize {
        ((self.next_u64() as u128 * end as u128) >> 64) as usize
    }

    /// A number with the distribution of a sum of eight dice, close to the normal one: mean 0, standard
    /// deviation 1, at most 4.9 either way.
    pub fn normal(&mut self) -> f64 {
        let dice = |bits: u64| (0..4).map(|i| (bits >> (16 * i)) as u16 as i64).sum::<i64>();
        let sum = dice(self.next_u64()) + dice(self.next_u64()) - 8 * 65_535 / 2;
        // Eight times the variance of a uniform 16-bit number, (2^32 − 1) / 12.
        const DEVIATION: f64 = 53_509.971_4;
        sum as f64 / DEVIATION
    }

    /// Puts `items` into an order in which every permutation is as likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A number that `key` and `seed` decide: what a generator would be too slow for, because its numbers must be
/// drawn in turn.
#[must_use]
pub const fn hash(seed: u64, key: u64) -> u64 {
    finish(finish(key.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ seed)
}

const fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published sequence for seed 1234567.
    #[test]
    fn known_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        let drawn = [random.next_u64(), random.next_u64(), random.next_u64()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, published);
    }

    #[test]
    fn moments_of_the_normal_numbers() {
        let mut random = SplitMix64::new(0);
        let numbers: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_keeps_all_items() {
        let mut items: Vec<u32> = (0..100).collect();
        SplitMix64::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
