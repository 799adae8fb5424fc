//! The online softmax (Milakov and Gimelshein 2018), for the rows of a unit.

/// What a row needs to remember of the scores seen so far.
#[derive(Clone, Copy)]
struct Row {
    /// Largest scaled score.
    maximum: f32,
    /// Sum of exponentials of the scaled scores, relative to the maximum.
    sum: f32,
}

/// Running maxima and sums of several rows.
pub struct OnlineSoftmax {
    rows: Vec<Row>,
    scale: f32,
}

impl OnlineSoftmax {
    /// Rows that have seen no score; scores are multiplied by `scale`.
    pub fn new(rows: usize, scale: f32) -> Self {
        Self { rows: vec![Row { maximum: f32::NEG_INFINITY, sum: 0.0 }; rows], scale }
    }

    /// Turns new scores into probabilities relative to the new maxima, and brings the rows of `o` to them:
    /// both have as many rows as this.
    pub fn step(&mut self, scores: &mut [f32], o: &mut [f32]) {
        let columns = scores.len() / self.rows.len();
        let width = o.len() / self.rows.len();
        let rows = self.rows.iter_mut().zip(scores.chunks_exact_mut(columns));
        for ((row, scores), o) in rows.zip(o.chunks_exact_mut(width)) {
            let factor = row.step(scores, self.scale);
            if factor != 1.0 {
                o.iter_mut().for_each(|o| *o *= factor);
            }
        }
    }

    /// By what the output of a row is to be multiplied, and its LSE: 0 and −∞ if it has seen no score.
    pub fn finish(&self, row: usize) -> (f32, f32) {
        let Row { maximum, sum } = self.rows[row];
        if sum == 0.0 { (0.0, f32::NEG_INFINITY) } else { (sum.recip(), maximum + sum.ln()) }
    }

    /// By what the output of a row is to be multiplied if another score, already scaled, takes its share of the softmax.
    pub fn normaliser_beside(&self, row: usize, score: f32) -> f32 {
        let Row { maximum, sum } = self.rows[row];
        if sum == 0.0 { 0.0 } else { (sum + (score - maximum).exp()).recip() }
    }

    /// Largest scaled score of a row: −∞ if it has seen none.
    pub fn maximum(&self, row: usize) -> f32 {
        self.rows[row].maximum
    }
}

impl Row {
    /// The factor that brings what was relative to the old maximum to the new one.
    fn step(&mut self, scores: &mut [f32], scale: f32) -> f32 {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let maximum = self.maximum.max(largest * scale);
        // Where all scores are −∞, any finite reference makes them 0.
        let reference = if maximum == f32::NEG_INFINITY { 0.0 } else { maximum };
        let factor = (self.maximum - reference).exp();
        for score in &mut *scores {
            *score = (*score * scale - reference).exp();
        }
        self.sum = self.sum * factor + scores.iter().sum::<f32>();
        self.maximum = maximum;
        factor
    }
}
