//! Both models must say the same.

use std::path::Path;

/// f16 queries and caches leave up to 0.018; queries rotated by one position too many make more than 1.
const TOLERANCE: f32 = 0.04;

fn check(config: &str, chunk: usize) {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(config);
    let prompt: Vec<u32> = (0..70).map(|i| i * 29 % 96).collect();
    let outcomes = oxmla_candle::compare(&config, &prompt, chunk, 20).unwrap();
    assert_eq!(outcomes.len(), 21);
    for outcome in outcomes {
        let distance = outcome.distance();
        assert!(distance < TOLERANCE, "{} tokens: {distance}", outcome.tokens);
        let (candle, oxmla) = outcome.choices();
        assert_eq!(candle, oxmla, "{} tokens", outcome.tokens);
    }
}

#[test]
fn compressed_queries_and_yarn() {
    check("compressed.json", 32);
}

#[test]
fn queries_at_once_without_yarn() {
    check("direct.json", 70);
}
