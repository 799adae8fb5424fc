//! The description of a tensor and of the box that one TMA instruction copies: what a host passes to
//! `cuTensorMapEncodeTiled`. CUDA Driver API: Tensor Map Object Management.

use std::fmt;

/// How 16-byte chunks are permuted in shared memory, so that columns of a tile spread over the banks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Swizzle {
    /// Not at all.
    #[default]
    None,
    /// Rows of 32 bytes: address bit 4 flips with bit 7.
    B32,
    /// Rows of 64 bytes: bits 4–5 with bits 7–8.
    B64,
    /// Rows of 128 bytes: bits 4–6 with bits 7–9.
    B128,
}

impl Swizzle {
    /// Bytes of a row of the pattern; 16, a chunk, without one.
    #[must_use]
    pub const fn span(self) -> u32 {
        match self {
            Self::None => 16,
            Self::B32 => 32,
            Self::B64 => 64,
            Self::B128 => 128,
        }
    }

    /// Where the byte that would lie at shared-memory address `address` lies.
    #[must_use]
    pub const fn apply(self, address: u32) -> u32 {
        let phase = match self {
            Self::None => 0,
            Self::B32 => 1,
            Self::B64 => 3,
            Self::B128 => 7,
        };
        address ^ (address >> 7 & phase) << 4
    }
}

/// A tensor of rank 1–5 in global memory and a box of it. Dimensions run from the innermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Device address of element 0; 16-byte aligned.
    pub address: u64,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub element_bytes: u32,
    /// Elements along each dimension.
    pub dimensions: Vec<u64>,
    /// Bytes from one element to the next along dimensions 1 and up; multiples of 16.
    pub strides: Vec<u64>,
    /// Elements of the box along each dimension, at most 256.
    pub tile: Vec<u32>,
    /// Every how many elements one is copied, along each dimension; 1 for all, and along dimension 0, where the
    /// TMA unit knows no other.
    pub element_strides: Vec<u32>,
    /// Permutation in shared memory.
    pub swizzle: Swizzle,
}

/// Why the driver would refuse a tensor map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTensorMap(String);

impl fmt::Display for InvalidTensorMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid tensor map: {}", self.0)
    }
}

impl std::error::Error for InvalidTensorMap {}

impl TensorMap {
    /// Checks what the driver checks.
    ///
    /// # Errors
    /// Names the field that breaks a rule, and the rule.
    pub fn validate(&self) -> Result<(), InvalidTensorMap> {
        let rank = self.dimensions.len();
        let rule = |holds: bool, text: &str| {
            if holds { Ok(()) } else { Err(InvalidTensorMap(format!("{text}: {self:?}"))) }
        };
        rule((1..=5).contains(&rank), "rank is 1–5")?;
        rule(self.strides.len() == rank - 1, "strides has one entry less than dimensions")?;
        rule(self.tile.len() == rank, "tile has as many entries as dimensions")?;
        rule(self.element_strides.len() == rank, "so has element_strides")?;
        rule(self.address.is_multiple_of(16), "address is 16-byte aligned")?;
        rule(matches!(self.element_bytes, 1 | 2 | 4 | 8), "element_bytes is 1, 2, 4 or 8")?;
        rule(self.dimensions.iter().all(|d| (1..=1 << 32).contains(d)), "dimensions: 1–2^32")?;
        rule(
            self.strides.iter().all(|s| s % 16 == 0 && *s < 1 << 40),
            "strides are multiples of 16 below 2^40",
        )?;
        rule(self.tile.iter().all(|t| (1..=256).contains(t)), "tile: 1–256")?;
        rule(self.element_strides.iter().all(|s| (1..=8).contains(s)), "element_strides: 1–8")?;
        rule(self.element_strides[0] == 1, "element_strides begins with 1")?;
        let inner = u64::from(self.tile[0]) * u64::from(self.element_bytes);
        rule(inner % 16 == 0, "the inner row of the box is a multiple of 16 bytes")?;
        rule(
            self.swizzle == Swizzle::None || inner <= self.swizzle.span().into(),
            "the inner row of the box fits into the swizzle",
        )
    }

    /// Elements of the box along dimension `d` that are copied.
    #[must_use]
    pub fn copied(&self, d: usize) -> u32 {
        self.tile[d].div_ceil(self.element_strides[d])
    }

    /// Bytes that one instruction copies, elements out of bounds included.
    #[must_use]
    pub fn box_bytes(&self) -> u32 {
        self.box_rows() * self.row_bytes()
    }

    /// Rows of the box: elements along all dimensions but the innermost.
    #[must_use]
    pub fn box_rows(&self) -> u32 {
        (1..self.tile.len()).map(|d| self.copied(d)).product()
    }

    /// Bytes of a row of the box.
    #[must_use]
    pub fn row_bytes(&self) -> u32 {
        self.copied(0) * self.element_bytes
    }

    /// Bytes from one row to the next in shared memory: with a swizzle, rows are as wide as its pattern, and what
    /// a narrower box leaves of them is not written. (Recorded on an H100: `tests/recorded`.)
    #[must_use]
    pub fn row_pitch(&self) -> u32 {
        if self.swizzle == Swizzle::None { self.row_bytes() } else { self.swizzle.span() }
    }

    /// Bytes of shared memory that the box spans, from its start to the end of its last row's pattern.
    #[must_use]
    pub fn footprint(&self) -> u32 {
        self.box_rows() * self.row_pitch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> TensorMap {
        TensorMap {
            address: 0x1000,
            element_bytes: 2,
            dimensions: vec![576, 10],
            strides: vec![1152],
            tile: vec![64, 64],
            element_strides: vec![1, 1],
            swizzle: Swizzle::B128,
        }
    }

    #[test]
    fn the_rules_of_the_driver() {
        assert_eq!(rows().validate(), Ok(()));
        let broken = [
            TensorMap { address: 0x1008, ..rows() },
            TensorMap { element_bytes: 3, ..rows() },
            TensorMap { strides: vec![1150], ..rows() },
            TensorMap { strides: vec![], ..rows() },
            TensorMap { tile: vec![128, 64], ..rows() },
            TensorMap { tile: vec![64, 257], ..rows() },
            TensorMap { element_strides: vec![1, 9], ..rows() },
            TensorMap { element_strides: vec![2, 1], ..rows() },
            TensorMap { dimensions: vec![0, 10], ..rows() },
        ];
        for map in broken {
            assert!(map.validate().is_err(), "{map:?}");
        }
    }

    /// Every swizzle is a permutation of each 1,024 bytes that moves whole chunks.
    #[test]
    fn swizzles_permute_chunks() {
        for swizzle in [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128] {
            let mut seen = [false; 64];
            for chunk in 0..64 {
                let place = swizzle.apply(chunk * 16 + 5);
                assert_eq!(place % 16, 5);
                assert!(!std::mem::replace(&mut seen[(place / 16) as usize], true));
            }
        }
        assert_eq!(Swizzle::B128.apply(0x380), 0x3f0);
        assert_eq!(Swizzle::B64.apply(0x380), 0x3b0);
        assert_eq!(Swizzle::B32.apply(0x380), 0x390);
    }
}
