//! What `decode` refuses, and that it then writes nothing.

use half::{bf16, f16};
use oxmla::{
    BlockTable, DType, Decode, Device, Element, Error, Location, Mask, MlaDims, Planner,
    PlannerConfig, Result, Step, StreamRef, TensorMut, TensorRef, decode,
};

const CONFIG: PlannerConfig = PlannerConfig {
    dims: MlaDims::deepseek_v3(),
    dtype: DType::Bf16,
    max_batch: 2,
    max_blocks_per_sequence: 2,
    max_s_q: 2,
    block_size: oxmla::BLOCK_SIZE,
    blocks_in_cache: 3,
};

/// The tensors of two requests with two query tokens.
struct Memory {
    q: Vec<bf16>,
    kv_cache: Vec<bf16>,
    out: Vec<bf16>,
    lse: Vec<f32>,
}

impl Memory {
    fn new() -> Self {
        let values = |len| vec![bf16::ONE; len];
        Self {
            q: values(2 * 2 * 128 * 576),
            kv_cache: values(3 * 64 * 576),
            out: values(2 * 2 * 128 * 512),
            lse: vec![1.0; 2 * 128 * 2],
        }
    }

    fn args(&mut self) -> Result<Decode<'_>> {
        Ok(Decode {
            q: TensorRef::from_slice(&self.q, &[2, 2, 128, 576])?,
            kv_cache: TensorRef::from_slice(&self.kv_cache, &[3, 64, 1, 576])?,
            out: TensorMut::from_slice(&mut self.out, &[2, 2, 128, 512])?,
            lse: TensorMut::from_slice(&mut self.lse, &[2, 128, 2])?,
            softmax_scale: 0.1,
            softcap: None,
        })
    }

    fn is_untouched(&self) -> bool {
        self.out.iter().all(|&value| value == bf16::ONE)
            && self.lse.iter().all(|&value| value == 1.0)
    }
}

fn table() -> Result<BlockTable> {
    BlockTable::from_rows(&[65, 1], &[&[0, 1], &[2]])
}

/// Elements enough for any tensor here, for the rest of the test.
fn elements<T: Element>() -> &'static [T] {
    vec![T::zeroed(); 3 * 2 * 128 * 576].leak()
}

/// The error with which `decode` refuses arguments that `change` has spoilt.
fn refused(change: impl FnOnce(&mut Decode<'_>) -> Result<()>) -> Result<Error> {
    let mut planner = Planner::new(&Device::cpu(), CONFIG)?;
    let plan = planner.plan(StreamRef::cpu(), Step::new(&table()?, 2, Mask::Causal))?;
    let mut memory = Memory::new();
    let mut args = memory.args()?;
    change(&mut args)?;
    let error = decode(&planner, &plan, StreamRef::cpu(), args).expect_err("must be refused");
    assert!(memory.is_untouched(), "{error}");
    Ok(error)
}

#[test]
fn the_arguments_that_are_spoilt_below_are_fine() -> Result<()> {
    let mut planner = Planner::new(&Device::cpu(), CONFIG)?;
    let plan = planner.plan(StreamRef::cpu(), Step::new(&table()?, 2, Mask::Causal))?;
    let mut memory = Memory::new();
    decode(&planner, &plan, StreamRef::cpu(), memory.args()?)?;
    assert!(!memory.is_untouched());
    Ok(())
}

#[test]
fn shapes() -> Result<()> {
    let elements = elements::<bf16>();
    let shape = |arg, axis, expected, got| Error::ShapeMismatch { arg, axis, expected, got };
    let q = |sizes: [usize; 4]| {
        refused(|args| TensorRef::from_slice(elements, &sizes).map(|view| args.q = view))
    };
    assert_eq!(q([3, 2, 128, 576])?, shape("q", "batch", 2, 3));
    assert_eq!(q([2, 1, 128, 576])?, shape("q", "s_q", 2, 1));
    assert_eq!(q([2, 2, 127, 576])?, shape("q", "h_q", 128, 127));
    assert_eq!(q([2, 2, 128, 512])?, shape("q", "d_qk", 576, 512));

    let kv_cache = |sizes: [usize; 4]| {
        refused(|args| TensorRef::from_slice(elements, &sizes).map(|view| args.kv_cache = view))
    };
    assert_eq!(kv_cache([4, 64, 1, 576])?, shape("kv_cache", "blocks", 3, 4));
    assert_eq!(kv_cache([3, 32, 1, 576])?, shape("kv_cache", "block_size", 64, 32));
    assert_eq!(kv_cache([3, 64, 2, 576])?, shape("kv_cache", "h_k", 1, 2));
    assert_eq!(kv_cache([3, 64, 1, 577])?, shape("kv_cache", "d_qk", 576, 577));
    let rank = refused(|args| {
        args.kv_cache = TensorRef::from_slice(elements, &[3, 64, 576])?;
        Ok(())
    })?;
    assert_eq!(rank, Error::RankMismatch { arg: "kv_cache", expected: 4, got: 3 });
    Ok(())
}

#[test]
fn shapes_of_the_results() -> Result<()> {
    let shape = |arg, axis, expected, got| Error::ShapeMismatch { arg, axis, expected, got };
    let out = |sizes: [usize; 4]| -> Result<Error> {
        let mut elements = vec![bf16::ONE; sizes.iter().product()];
        let mut planner = Planner::new(&Device::cpu(), CONFIG)?;
        let plan = planner.plan(StreamRef::cpu(), Step::new(&table()?, 2, Mask::Causal))?;
        let mut memory = Memory::new();
        let mut args = memory.args()?;
        args.out = TensorMut::from_slice(&mut elements, &sizes)?;
        let refused = decode(&planner, &plan, StreamRef::cpu(), args);
        Ok(refused.expect_err("must be refused"))
    };
    assert_eq!(out([2, 2, 128, 576])?, shape("out", "d_v", 512, 576));
    assert_eq!(out([2, 128, 2, 512])?, shape("out", "s_q", 2, 128));
    Ok(())
}

#[test]
fn types() -> Result<()> {
    let elements = elements::<f16>();
    let (expected, got) = (DType::Bf16, DType::F16);
    let error = refused(|args| {
        args.q = TensorRef::from_slice(elements, &[2, 2, 128, 576])?;
        Ok(())
    })?;
    assert_eq!(error, Error::DTypeMismatch { arg: "q", expected, got });
    let error = refused(|args| {
        args.kv_cache = TensorRef::from_slice(elements, &[3, 64, 1, 576])?;
        Ok(())
    })?;
    assert_eq!(error, Error::DTypeMismatch { arg: "kv_cache", expected, got });
    Ok(())
}

#[test]
fn addresses_and_places() -> Result<()> {
    let gpu = Location::Cuda { ordinal: 0 };
    let raw = |address, location| {
        // SAFETY: `decode` refuses the view before it reads through it.
        unsafe {
            let strides = [2 * 128 * 576, 128 * 576, 576, 1];
            TensorRef::from_raw(address, DType::Bf16, &[2, 2, 128, 576], &strides, location)
        }
    };
    let error = refused(|args| raw(4096, gpu).map(|view| args.q = view))?;
    let (expected, got) = (Location::Host, gpu);
    assert_eq!(error, Error::LocationMismatch { arg: "q", expected, got });
    let error = refused(|args| raw(4097, Location::Host).map(|view| args.q = view))?;
    assert_eq!(error, Error::Misaligned { arg: "q", required: 2, got: 4097 });
    Ok(())
}

#[test]
fn scales() -> Result<()> {
    for got in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY] {
        let error = refused(|args| {
            args.softmax_scale = got;
            Ok(())
        })?;
        assert_eq!(error, Error::InvalidScale { got });
    }
    let error = refused(|args| {
        args.softmax_scale = f32::NAN;
        Ok(())
    })?;
    assert!(matches!(error, Error::InvalidScale { got } if got.is_nan()));
    Ok(())
}

#[test]
fn soft_caps() -> Result<()> {
    for got in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, 1e38] {
        let error = refused(|args| {
            args.softmax_scale = 1e-3;
            args.softcap = Some(got);
            Ok(())
        })?;
        assert_eq!(error, Error::InvalidSoftcap { got });
    }
    let error = refused(|args| {
        args.softcap = Some(f32::NAN);
        Ok(())
    })?;
    assert!(matches!(error, Error::InvalidSoftcap { got } if got.is_nan()));
    Ok(())
}

#[test]
fn plans() -> Result<()> {
    let mut planner = Planner::new(&Device::cpu(), CONFIG)?;
    let table = table()?;
    let step = Step::new(&table, 2, Mask::Causal);
    let old = planner.plan(StreamRef::cpu(), step)?;
    let mut memory = Memory::new();

    let bad = Step { s_q: 3, ..step };
    assert!(planner.plan(StreamRef::cpu(), bad).is_err());
    decode(&planner, &old, StreamRef::cpu(), memory.args()?)?;

    let mut memory = Memory::new();
    planner.plan(StreamRef::cpu(), step)?;
    let refused = decode(&planner, &old, StreamRef::cpu(), memory.args()?);
    assert_eq!(refused, Err(Error::StalePlan { plan: 1, planner: 2 }));

    let other = Planner::new(&Device::cpu(), CONFIG)?;
    let refused = decode(&other, &old, StreamRef::cpu(), memory.args()?);
    assert!(matches!(refused, Err(Error::PlanOfAnotherPlanner { .. })), "{refused:?}");
    assert!(memory.is_untouched());
    Ok(())
}
