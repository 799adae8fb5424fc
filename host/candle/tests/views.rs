//! Views are candle's own elements.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use oxmla_candle::{CpuRef, Error, Result, new_tensor, write};

const TYPES: [(DType, oxmla::DType); 4] = [
    (DType::BF16, oxmla::DType::Bf16),
    (DType::F16, oxmla::DType::F16),
    (DType::F32, oxmla::DType::F32),
    (DType::I32, oxmla::DType::I32),
];

fn address(tensor: &Tensor) -> u64 {
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
    let start = match storage {
        CpuStorage::BF16(all) => all.as_ptr().addr(),
        CpuStorage::F16(all) => all.as_ptr().addr(),
        CpuStorage::F32(all) => all.as_ptr().addr(),
        CpuStorage::I32(all) => all.as_ptr().addr(),
        _ => panic!("another type"),
    };
    start as u64
}

#[test]
fn nothing_is_copied() -> Result<()> {
    for (theirs, ours) in TYPES {
        let whole = Tensor::zeros((5, 4, 3), theirs, &Device::Cpu)?;
        let first = address(&whole) + 12 * theirs.size_in_bytes() as u64;
        let part = whole.narrow(0, 1, 2)?.transpose(1, 2)?;
        let borrowed = CpuRef::new(&part)?;
        let view = borrowed.view()?;
        assert_eq!((view.dtype(), view.location()), (ours, oxmla::Location::Host));
        assert_eq!(view.address(), first);
        assert_eq!((&view.shape()[..], &view.strides()[..]), (&[2, 3, 4][..], &[12, 1, 3][..]));
        drop(borrowed);
        write(&part, |view| {
            assert_eq!(view.address(), first);
            assert_eq!((&view.shape()[..], &view.strides()[..]), (&[2, 3, 4][..], &[12, 1, 3][..]));
            Ok(())
        })?;
        let (new, address_there) = new_tensor(theirs, &[2, 3], |out| Ok(out.address()))?;
        assert_eq!((new.dtype(), new.dims(), address(&new)), (theirs, &[2, 3][..], address_there));
    }
    Ok(())
}

/// What a decode of ours writes into a tensor of candle's is what candle then reads.
#[test]
fn a_decode_between_candles_tensors() -> Result<()> {
    use oxmla::{
        BLOCK_SIZE, BlockPool, BlockTable, Decode, Mask, MlaDims, Planner, PlannerConfig, Step,
        StreamRef, TensorMut, decode,
    };
    const HEADS: usize = 2;
    let device = oxmla::Device::cpu();
    let config = PlannerConfig {
        dims: MlaDims::new(HEADS as u32, 1)?,
        dtype: oxmla::DType::F16,
        max_batch: 1,
        max_blocks_per_sequence: 1,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: 1,
    };
    let mut planner = Planner::new(&device, config)?;
    let mut pool = BlockPool::new(1)?;
    let mut request = pool.sequence();
    let _ = pool.append(&mut request, 3)?;
    let table = BlockTable::from_sequences(&[&request])?;
    let plan = planner.plan(StreamRef::cpu(), Step::new(&table, 1, Mask::Causal))?;

    let cache =
        Tensor::full(0.5f32, (1, BLOCK_SIZE, 1, 576), &Device::Cpu)?.to_dtype(DType::F16)?;
    let q = Tensor::zeros((1, 1, HEADS, 576), DType::F16, &Device::Cpu)?;
    let out = Tensor::zeros((1, 1, HEADS, 512), DType::F16, &Device::Cpu)?;
    let (q, kv_cache) = (CpuRef::new(&q)?, CpuRef::new(&cache)?);
    let (q, kv_cache) = (q.view()?, kv_cache.view()?);
    let (lse, ()) = write(&out, |out| {
        let work = |lse: TensorMut<'_>| {
            decode(
                &planner,
                &plan,
                StreamRef::cpu(),
                Decode { q, kv_cache, out, lse, softmax_scale: 1.0, softcap: None },
            )
        };
        new_tensor(DType::F32, &[1, HEADS, 1], work).map_err(|error| match error {
            Error::Oxmla(error) => error,
            other => panic!("{other}"),
        })
    })?;
    assert_eq!(out.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?, [0.5; HEADS * 512]);
    for lse in lse.flatten_all()?.to_vec1::<f32>()? {
        assert!((lse - 3f32.ln()).abs() < 1e-6, "{lse}");
    }
    Ok(())
}

#[test]
fn refusals() -> Result<()> {
    let whole = Tensor::zeros((2, 3), DType::F64, &Device::Cpu)?;
    let unsupported = |error| matches!(error, Error::UnsupportedDType { got: DType::F64 });
    assert!(unsupported(CpuRef::new(&whole).unwrap_err()));
    assert!(unsupported(write(&whole, |_| Ok(())).unwrap_err()));
    assert!(unsupported(new_tensor(DType::F64, &[1], |_| Ok(())).unwrap_err()));

    let deep = Tensor::zeros((1, 1, 1, 1, 1), DType::F32, &Device::Cpu)?;
    let too_deep = |error| matches!(error, Error::Oxmla(oxmla::Error::RankMismatch { got: 5, .. }));
    assert!(too_deep(CpuRef::new(&deep)?.view().unwrap_err()));
    assert!(too_deep(write(&deep, |_| Ok(())).unwrap_err()));
    assert!(too_deep(new_tensor(DType::F32, &[1; 5], |_| Ok(())).unwrap_err()));

    let broadcast = Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?.broadcast_as((2, 3))?;
    assert_eq!(CpuRef::new(&broadcast)?.view()?.strides()[..], [0, 1]);
    assert!(matches!(write(&broadcast, |_| Ok(())), Err(Error::Candle(_))));
    let said = oxmla::Error::SizeOverflow { what: "test" };
    let outcome = write(&deep.squeeze(0)?, |_| Err::<(), _>(said.clone()));
    assert!(matches!(outcome, Err(Error::Oxmla(error)) if error == said));
    Ok(())
}
