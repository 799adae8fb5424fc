//! The CPU backend against files that numpy made: `golden/make_golden.py`.

mod tensors;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use half::{bf16, f16};
use oxmla::{
    DType, Decode, Device, Mask, MlaDims, Planner, PlannerConfig, Step, TensorMut, TensorRef,
    decode,
};
use oxmla_tests::compare::{self, Comparison};
use oxmla_tests::element::widen;
use safetensors::{Dtype, SafeTensors};

use tensors::Tensor;

/// A decode call, and what numpy made of it.
struct Golden {
    dtype: DType,
    q: Tensor<u16>,
    kv_cache: Tensor<u16>,
    block_table: Tensor<i32>,
    lengths: Tensor<i32>,
    out: Tensor<f32>,
    lse: Tensor<f32>,
    scale: f32,
    mask: Mask,
}

impl Golden {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().as_ref().context("no metadata")?;
        Ok(Self {
            dtype: if file.tensor("q")?.dtype() == Dtype::F16 { DType::F16 } else { DType::Bf16 },
            q: Tensor::read(&file, "q")?,
            kv_cache: Tensor::read(&file, "kv_cache")?,
            block_table: Tensor::read(&file, "block_table")?,
            lengths: Tensor::read(&file, "cache_seqlens")?,
            out: Tensor::read(&file, "expect_out")?,
            lse: Tensor::read(&file, "expect_lse")?,
            scale: metadata["softmax_scale"].parse()?,
            mask: if metadata["causal"] == "true" { Mask::Causal } else { Mask::None },
        })
    }

    /// Attends on the host's own memory; outputs by their bits, and LSE.
    fn attend(&self, device: &Device) -> oxmla::Result<(Vec<u16>, Vec<f32>)> {
        let (q, kv_cache) = (&self.q.shape, &self.kv_cache.shape);
        let config = PlannerConfig {
            dims: MlaDims::new(q[2] as u32, kv_cache[2] as u32)?,
            dtype: self.dtype,
            max_batch: q[0],
            max_blocks_per_sequence: self.block_table.shape[1],
            max_s_q: q[1] as u32,
            block_size: kv_cache[1],
            blocks_in_cache: kv_cache[0],
        };
        let mut planner = Planner::new(device, config)?;
        let stream = device.stream()?;
        let step = Step {
            lengths: &self.lengths.values,
            block_table: TensorRef::from_slice(&self.block_table.values, &self.block_table.shape)?,
            s_q: q[1] as u32,
            mask: self.mask,
        };
        let plan = planner.plan(stream.as_ref(), step)?;
        let (mut out, mut lse) = (vec![0; self.out.values.len()], vec![0.0; self.lse.values.len()]);
        let args = Decode {
            q: elements(self.dtype, &self.q)?,
            kv_cache: elements(self.dtype, &self.kv_cache)?,
            out: elements_mut(self.dtype, &mut out, &self.out.shape)?,
            lse: TensorMut::from_slice(&mut lse, &self.lse.shape)?,
            softmax_scale: self.scale,
            softcap: None,
        };
        decode(&planner, &plan, stream.as_ref(), args)?;
        Ok((out, lse))
    }
}

fn elements(dtype: DType, tensor: &Tensor<u16>) -> oxmla::Result<TensorRef<'_>> {
    let Tensor { values, shape } = tensor;
    match dtype {
        DType::F16 => TensorRef::from_slice(bytemuck::cast_slice::<u16, f16>(values), shape),
        _ => TensorRef::from_slice(bytemuck::cast_slice::<u16, bf16>(values), shape),
    }
}

fn elements_mut<'a>(
    dtype: DType,
    bits: &'a mut [u16],
    shape: &[usize],
) -> oxmla::Result<TensorMut<'a>> {
    match dtype {
        DType::F16 => TensorMut::from_slice(bytemuck::cast_slice_mut::<u16, f16>(bits), shape),
        _ => TensorMut::from_slice(bytemuck::cast_slice_mut::<u16, bf16>(bits), shape),
    }
}

fn check(path: &Path, device: &Device) -> Result<()> {
    let golden = Golden::read(path)?;
    let (bits, found_lse) = golden.attend(device)?;
    let mut found = vec![0.0; bits.len()];
    widen(golden.dtype, &bits, &mut found);
    for (name, tolerance, found, expected) in
        [("out", compare::OUT, found, golden.out), ("lse", compare::LSE, found_lse, golden.lse)]
    {
        let mut comparison = Comparison::new(tolerance);
        for (index, (found, expected)) in found.into_iter().zip(expected.values).enumerate() {
            comparison.add(found.into(), expected.into(), || format!("{name}, element {index}"));
        }
        comparison.verdict().map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

#[test]
fn the_backend_agrees_with_numpy() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut files = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            files += 1;
            for device in [Device::cpu(), Device::oracle()] {
                check(&path, &device)
                    .with_context(|| format!("{}, {}", path.display(), device.name()))?;
            }
        }
    }
    ensure!(files == 4, "{files} golden files instead of 4");
    Ok(())
}
