//! A layer on a GPU says which kernel is missing before it reads a weight.

use anyhow::{Result, ensure};
use half::bf16;
use oxmla::layer::{HeadShard, MlaAttention, MlaConfig, MlaWeights, QueryWeights};
use oxmla::{DType, Error, TensorRef};

use crate::fake::Fake;

#[test]
fn the_missing_kernel_is_named() -> Result<()> {
    let fake = Fake::driver();
    let session = crate::session()?;
    let live = fake.live();
    let empty: [bf16; 0] = [];
    let nothing = TensorRef::from_slice(&empty, &[0, 0])?;
    let weights = MlaWeights {
        q: QueryWeights::Direct { q_proj: nothing },
        kv_a_proj_with_mqa: nothing,
        kv_a_layernorm: nothing,
        kv_b_proj: nothing,
        o_proj: nothing,
    };
    let config = MlaConfig::deepseek_v3();
    let layer =
        MlaAttention::new(session.device(), &config, &weights, DType::Bf16, HeadShard::WHOLE);
    let error = layer.map(|_| ()).unwrap_err();
    let expected = Error::NoKernel {
        operation: "the matrix product of a layer's projections",
        device: "fake H100".into(),
    };
    ensure!(error == expected, "{error}");
    ensure!(fake.live() == live, "something was allocated");
    Ok(())
}
