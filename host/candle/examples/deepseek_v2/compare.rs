//! The same tokens through both models.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::deepseek2::{DeepSeekV2, DeepSeekV2Config};
use oxmla::layer::MlaConfig;

use crate::model::Model;
use crate::weights::{self, Sizes};

/// What both models say behind the same tokens.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Tokens so far.
    pub tokens: usize,
    /// Logits of candle's model.
    pub candle: Vec<f32>,
    /// Logits with oxmla's attention.
    pub oxmla: Vec<f32>,
}

impl Outcome {
    /// Largest difference of two logits, as a share of the root mean square of candle's.
    #[must_use]
    pub fn distance(&self) -> f32 {
        let squares: f32 = self.candle.iter().map(|x| x * x).sum();
        let differences = self.candle.iter().zip(&self.oxmla).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, |worst: f32, x| if x <= worst { worst } else { x });
        worst / (squares / self.candle.len() as f32).sqrt()
    }

    /// The tokens that both would choose: candle's, then oxmla's.
    #[must_use]
    pub fn choices(&self) -> (usize, usize) {
        let largest = |logits: &[f32]| {
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            best.unwrap_or(0)
        };
        (largest(&self.candle), largest(&self.oxmla))
    }
}

/// Runs both models of a `config.json`, with the same random weights, on a prompt and on `generated` tokens that
/// candle's chooses; one outcome for the prompt and one for each token. candle takes the prompt whole, oxmla in
/// chunks of `chunk` tokens.
///
/// # Errors
/// What is wrong with the file or in one of the models.
pub fn compare(
    config: &Path,
    prompt: &[u32],
    chunk: usize,
    generated: usize,
) -> Result<Vec<Outcome>> {
    let json = fs::read(config)?;
    let sizes: Sizes = serde_json::from_slice(&json)?;
    let theirs: DeepSeekV2Config = serde_json::from_slice(&json)?;
    let weights = weights::random(&sizes)?;
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let mut ours = Model::new(&MlaConfig::from_json(config)?, &sizes, &vb)?;
    let mut theirs = DeepSeekV2::new(&theirs, vb)?;

    let mut outcomes = Vec::new();
    let (mut tokens, mut seen) = (prompt.to_vec(), 0);
    for _ in 0..=generated {
        let input = Tensor::new(&tokens[..], &Device::Cpu)?.unsqueeze(0)?;
        let candle = theirs.forward(&input, seen)?.flatten_all()?.to_vec1()?;
        let mut oxmla = Vec::new();
        for chunk in tokens.chunks(chunk) {
            oxmla = ours.forward(chunk)?.to_vec1()?;
        }
        seen += tokens.len();
        let outcome = Outcome { tokens: seen, candle, oxmla };
        tokens = vec![u32::try_from(outcome.choices().0).context("a token beyond u32")?];
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
