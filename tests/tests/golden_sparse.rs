//! Sparse attention on the CPU against files that numpy made: `golden/make_sparse.py`.

mod tensors;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use half::bf16;
use oxmla::{
    Device, Element, Selection, SparseAttention, SparsePlanner, SparsePlannerConfig, SparseStep,
    TensorMut, TensorRef, sparse_decode, sparse_prefill,
};
use oxmla_tests::compare::{self, Comparison};
use safetensors::SafeTensors;

use tensors::Tensor;

impl<T: Element> Tensor<T> {
    /// A tensor that not every file has.
    fn find(file: &SafeTensors<'_>, name: &str) -> Result<Option<Self>> {
        file.tensor(name).is_ok().then(|| Self::read(file, name)).transpose()
    }

    fn view(&self) -> oxmla::Result<TensorRef<'_>> {
        TensorRef::from_slice(&self.values, &self.shape)
    }
}

/// A cache and lists of its rows.
struct List {
    kv_cache: Tensor<bf16>,
    indices: Tensor<i32>,
    lengths: Option<Tensor<i32>>,
}

impl List {
    fn find(file: &SafeTensors<'_>, prefix: &str) -> Result<Option<Self>> {
        let Some(kv_cache) = Tensor::find(file, &format!("{prefix}kv_cache"))? else {
            return Ok(None);
        };
        let indices = Tensor::read(file, &format!("{prefix}indices"))?;
        let lengths = Tensor::find(file, &format!("{prefix}lengths"))?;
        Ok(Some(Self { kv_cache, indices, lengths }))
    }

    fn view(&self) -> oxmla::Result<Selection<'_>> {
        Ok(Selection {
            kv_cache: self.kv_cache.view()?,
            indices: self.indices.view()?,
            lengths: self.lengths.as_ref().map(Tensor::view).transpose()?,
        })
    }

    fn topk(&self) -> usize {
        self.indices.shape[1]
    }
}

/// A call.
struct Golden {
    q: Tensor<bf16>,
    list: List,
    extra: Option<List>,
    sink: Option<Tensor<f32>>,
    scale: f32,
}

/// Outputs, LSE and largest scores.
type Results = [Vec<f32>; 3];

impl Golden {
    fn read(bytes: &[u8]) -> Result<(Self, Results)> {
        let file = SafeTensors::deserialize(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref().context("no metadata")?;
        let golden = Self {
            q: Tensor::read(&file, "q")?,
            list: List::find(&file, "")?.context("no cache")?,
            extra: List::find(&file, "extra_")?,
            sink: Tensor::find(&file, "sink")?,
            scale: metadata["softmax_scale"].parse()?,
        };
        let expected = |name| Ok::<_, anyhow::Error>(Tensor::<f32>::read(&file, name)?.values);
        let names = ["expect_out", "expect_lse", "expect_max_logits"];
        let [out, lse, largest] = names.map(expected);
        Ok((golden, [out?, lse?, largest?]))
    }

    /// What a device makes of it: as a decode, without largest scores, or as a prefill.
    fn attend(&self, device: &Device, is_prefill: bool) -> oxmla::Result<Results> {
        let [tokens, h_q] = [0, 1].map(|axis| self.q.shape[axis]);
        let mut out = vec![bf16::NAN; tokens * h_q * 512];
        let (mut lse, mut largest) = (vec![f32::NAN; tokens * h_q], vec![f32::NAN; tokens * h_q]);
        let args = SparseAttention {
            q: self.q.view()?,
            selection: self.list.view()?,
            extra: self.extra.as_ref().map(List::view).transpose()?,
            sink: self.sink.as_ref().map(Tensor::view).transpose()?,
            out: TensorMut::from_slice(&mut out, &[tokens, h_q, 512])?,
            lse: TensorMut::from_slice(&mut lse, &[tokens, h_q])?,
            softmax_scale: self.scale,
        };
        let stream = device.stream()?;
        if is_prefill {
            let largest = TensorMut::from_slice(&mut largest, &[tokens, h_q])?;
            sparse_prefill(device, stream.as_ref(), args, Some(largest))?;
        } else {
            let config = SparsePlannerConfig { h_q: h_q as u32, max_tokens: tokens };
            let planner = SparsePlanner::new(device, config)?;
            let extra_topk = self.extra.as_ref().map_or(0, List::topk);
            let plan = planner.plan(SparseStep { tokens, topk: self.list.topk(), extra_topk })?;
            sparse_decode(&planner, &plan, stream.as_ref(), args)?;
        }
        Ok([out.into_iter().map(bf16::to_f32).collect(), lse, largest])
    }
}

fn check(path: &Path, device: &Device) -> Result<()> {
    let (golden, expected) = Golden::read(&std::fs::read(path)?)?;
    for is_prefill in [true, false] {
        let found = golden.attend(device, is_prefill)?;
        let names = ["out", "lse", "max_logits"];
        let tolerances = [compare::OUT, compare::LSE, compare::LSE];
        let compared = if is_prefill { 3 } else { 2 };
        for quantity in 0..compared {
            let mut comparison = Comparison::new(tolerances[quantity]);
            let pairs = found[quantity].iter().zip(&expected[quantity]);
            ensure!(found[quantity].len() == expected[quantity].len(), "{}", names[quantity]);
            for (index, (&found, &expected)) in pairs.enumerate() {
                let place = || format!("{}, element {index}", names[quantity]);
                comparison.add(found.into(), expected.into(), place);
            }
            comparison.verdict().map_err(anyhow::Error::msg)?;
        }
    }
    Ok(())
}

#[test]
fn the_backend_agrees_with_numpy() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/sparse");
    let mut files = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        files += 1;
        for device in [Device::cpu(), Device::oracle()] {
            check(&path, &device)
                .with_context(|| format!("{}, {}", path.display(), device.name()))?;
        }
    }
    ensure!(files == 3, "{files} golden files instead of 3");
    Ok(())
}
