//! One case: everything that decides its inputs, in a form that can be printed and read back.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use oxmla::{BLOCK_SIZE, DType, Mask, MlaDims};

use crate::random::SplitMix64;

/// A decode step, and how its tensors lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// bf16 or f16.
    pub dtype: DType,
    /// Requests.
    pub batch: usize,
    /// Query tokens per request.
    pub s_q: usize,
    /// Query heads.
    pub h_q: usize,
    /// KV heads.
    pub h_k: usize,
    /// Cached tokens of each request.
    pub lengths: Lengths,
    /// Which of them a query token sees.
    pub mask: Mask,
    /// Tokens of a block of the cache.
    pub block_size: usize,
    /// How the tensors lie in memory.
    pub views: Views,
    /// Factor of the scores.
    pub scale: f32,
    /// Soft cap of the scores, if they are capped.
    pub softcap: Option<f32>,
    /// Decides all values, the order of blocks, and lengths that are drawn.
    pub seed: u64,
}

/// Cached tokens of each request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lengths {
    /// All the same.
    Fixed(i32),
    /// Normally distributed around a mean, half of it the deviation, from 1 to twice the mean.
    Varied(i32),
    /// The same, but about every fourth is 0, and one in the middle of the batch for certain.
    WithZeros(i32),
    /// One for each request.
    Listed(Vec<i32>),
}

/// How the tensors of a case lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Views {
    /// Without gaps.
    Packed,
    /// Gaps between rows, tokens, heads and requests in every tensor, and output heads outside its tokens.
    Strided,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            dtype: DType::Bf16,
            batch: 2,
            s_q: 1,
            h_q: 16,
            h_k: 1,
            lengths: Lengths::Fixed(140),
            mask: Mask::None,
            block_size: BLOCK_SIZE,
            views: Views::Packed,
            scale: DEFAULT_SCALE,
            softcap: None,
            seed: 0,
        }
    }
}

/// 576^-1/2.
pub const DEFAULT_SCALE: f32 = 1.0 / 24.0;

impl Case {
    /// Heads and widths.
    ///
    /// # Errors
    /// As for [`MlaDims::new`].
    pub fn dims(&self) -> oxmla::Result<MlaDims> {
        MlaDims::new(self.h_q as u32, self.h_k as u32)
    }

    /// Pairs of a query row and a cached token.
    #[must_use]
    pub fn pairs(&self) -> usize {
        let lengths = self.lengths.draw(self.batch, self.seed);
        let tokens: usize = lengths.into_iter().map(|length| length as usize).sum();
        tokens * self.s_q * self.h_q
    }

    /// Which tokens of a request of `length` query token `token` sees.
    #[must_use]
    pub fn visible(&self, length: i32, token: usize) -> Range<usize> {
        let own = i64::from(length) - self.s_q as i64 + token as i64;
        let end = if self.mask.is_causal() { own + 1 } else { length.into() };
        let first = self.mask.window().map_or(0, |window| own + 1 - i64::from(window));
        let end = end.max(0) as usize;
        (first.max(0) as usize).min(end)..end
    }

    /// Tokens at the beginning of a request of `length` that no query token sees.
    #[must_use]
    pub fn hidden(&self, length: i32) -> usize {
        self.mask.window().map_or(0, |_| self.visible(length, 0).start)
    }
}

impl Lengths {
    /// The lengths of `batch` requests.
    #[must_use]
    pub fn draw(&self, batch: usize, seed: u64) -> Vec<i32> {
        let mut random = SplitMix64::new(seed ^ 0x006c_656e_6774_6873);
        let mut varied = |mean: i32| {
            let drawn = f64::from(mean) * (1.0 + 0.5 * random.normal());
            (drawn as i32).clamp(1, 2 * mean)
        };
        match self {
            Self::Fixed(length) => vec![*length; batch],
            Self::Varied(mean) => (0..batch).map(|_| varied(*mean)).collect(),
            Self::WithZeros(mean) => {
                let mut lengths: Vec<i32> = (0..batch).map(|_| varied(*mean)).collect();
                for (request, length) in lengths.iter_mut().enumerate() {
                    if request == batch / 2 || random.below(4) == 0 {
                        *length = 0;
                    }
                }
                lengths
            }
            Self::Listed(lengths) => lengths.clone(),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, batch, s_q, h_q, h_k, lengths, block_size, .. } = self;
        let Self { mask, views, scale, softcap, seed, .. } = self;
        let (window, softcap) = (mask.window().unwrap_or(0), softcap.unwrap_or(0.0));
        let mask = if mask.is_causal() { "causal" } else { "none" };
        let views = if *views == Views::Strided { "strided" } else { "packed" };
        write!(f, "dtype={dtype} b={batch} s_q={s_q} h_q={h_q} h_k={h_k} len={lengths} ")?;
        write!(
            f,
            "block_size={block_size} mask={mask} window={window} views={views} scale={scale} softcap={softcap} "
        )?;
        write!(f, "seed={seed}")
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "fixed:{length}"),
            Self::Varied(mean) => write!(f, "varied:{mean}"),
            Self::WithZeros(mean) => write!(f, "zeros:{mean}"),
            Self::Listed(lengths) => {
                let lengths: Vec<String> = lengths.iter().map(i32::to_string).collect();
                write!(f, "list:{}", lengths.join("+"))
            }
        }
    }
}

impl FromStr for Case {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes; what is left out is as in [`Case::default`].
    fn from_str(text: &str) -> Result<Self> {
        let mut case = Self::default();
        for pair in text.split_whitespace() {
            let (key, value) = pair.split_once('=').with_context(|| format!("`{pair}`: no `=`"))?;
            case.set(key, value).with_context(|| format!("`{pair}`"))?;
        }
        ensure!(case.batch > 0 && case.s_q > 0, "`b` and `s_q` must be at least 1");
        if let Lengths::Listed(lengths) = &case.lengths {
            let (listed, batch) = (lengths.len(), case.batch);
            ensure!(listed == batch, "{listed} lengths are listed for {batch} requests");
        }
        case.dims()?;
        Ok(case)
    }
}

impl Case {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match (key, value) {
            ("dtype", "bf16") => self.dtype = DType::Bf16,
            ("dtype", "f16") => self.dtype = DType::F16,
            ("b", _) => self.batch = value.parse()?,
            ("s_q", _) => self.s_q = value.parse()?,
            ("h_q", _) => self.h_q = value.parse()?,
            ("h_k", _) => self.h_k = value.parse()?,
            ("len", _) => self.lengths = value.parse()?,
            ("mask", "none") => self.mask = Mask::None,
            ("mask", "causal") => self.mask = Mask::Causal,
            ("window", "0") | ("softcap", "0") => (),
            ("window", _) => self.mask = self.mask.within(value.parse()?),
            ("softcap", _) => self.softcap = Some(value.parse()?),
            ("views", "packed") => self.views = Views::Packed,
            ("views", "strided") => self.views = Views::Strided,
            ("block_size", _) => self.block_size = value.parse()?,
            ("scale", _) => self.scale = value.parse()?,
            ("seed", _) => self.seed = value.parse()?,
            _ => bail!("no such key or value"),
        }
        Ok(())
    }
}

impl FromStr for Lengths {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, value) = text.split_once(':').context("no `:`")?;
        let length = |text: &str| -> Result<i32> {
            let length = text.parse()?;
            ensure!(length >= 0, "{length} is negative");
            Ok(length)
        };
        Ok(match kind {
            "fixed" => Self::Fixed(length(value)?),
            "varied" => Self::Varied(length(value)?.max(1)),
            "zeros" => Self::WithZeros(length(value)?.max(1)),
            "list" => Self::Listed(value.split('+').map(length).collect::<Result<_>>()?),
            _ => bail!("no such kind of lengths"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() -> Result<()> {
        let lengths = [
            Lengths::Fixed(0),
            Lengths::Varied(140),
            Lengths::WithZeros(4096),
            Lengths::Listed(vec![3, 0, 77]),
        ];
        for lengths in lengths {
            let case = Case {
                dtype: DType::F16,
                batch: 3,
                s_q: 4,
                h_q: 126,
                h_k: 3,
                lengths,
                mask: Mask::Causal.within(70),
                views: Views::Strided,
                block_size: 16,
                scale: 0.3,
                softcap: Some(2.5),
                seed: 9,
            };
            assert_eq!(case.to_string().parse::<Case>()?, case);
        }
        assert_eq!("".parse::<Case>()?, Case::default());
        Ok(())
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["b", "b=x", "b=0", "dtype=f32", "len=fixed:-1", "len=list:1", "h_q=9 h_k=2"] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }

    #[test]
    fn drawn_lengths_are_in_range() {
        let varied = Lengths::Varied(20).draw(1000, 1);
        assert!(varied.iter().all(|length| (1..=40).contains(length)));
        let zeros = Lengths::WithZeros(20).draw(5, 1);
        assert_eq!(zeros[2], 0);
        assert!(zeros.iter().any(|&length| length > 0));
    }
}
