//! What the calls cost the host.

use allocation_counter::measure;
use anyhow::{Result, ensure};
use oxmla::gemm::{Absorb, Expand, Gemm, Workspace, absorb, expand, gemm};
use oxmla::{DType, ROPE_PAIRS};

use crate::session::Session;

/// Nothing is allocated on the host, whatever is multiplied.
pub fn allocations(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let workspace = Workspace::new(&device)?;
    let operand = device.alloc_zeroed(1 << 20)?;
    let (rotations, lengths) = (device.alloc_zeroed(4 * 64 * 4)?, device.upload(&[4i32])?);
    let mut result = device.alloc(1 << 20)?;
    let stream = session.stream().as_ref();
    let mut calls = || -> oxmla::Result<()> {
        // Inputs shared by CTAs, and not.
        for k in [64, 4096] {
            let args = Gemm {
                x: operand.view(DType::Bf16, &[2, k])?,
                weight: operand.view(DType::Bf16, &[64, k])?,
                y: result.view_mut(DType::Bf16, &[2, 64])?,
            };
            gemm(&device, stream, &workspace, args)?;
        }
        let args = Absorb {
            q: operand.view(DType::Bf16, &[2, 3, 192])?,
            w_uk: operand.view(DType::Bf16, &[3, 512, 128])?,
            rotations: rotations.view(DType::F32, &[4, ROPE_PAIRS, 2])?,
            lengths: lengths.view(DType::I32, &[1])?,
            absorbed: result.view_mut(DType::Bf16, &[2, 3, 576])?,
        };
        absorb(&device, stream, &workspace, args)?;
        let args = Expand {
            o: operand.view(DType::Bf16, &[2, 3, 512])?,
            w_uv: operand.view(DType::Bf16, &[3, 128, 512])?,
            values: result.view_mut(DType::Bf16, &[2, 3, 128])?,
        };
        expand(&device, stream, &workspace, args)
    };
    calls()?;
    let mut outcome = Ok(());
    let counted = measure(|| outcome = (0..20).try_for_each(|_| calls()));
    outcome?;
    session.stream().synchronize()?;
    let count = counted.count_total;
    ensure!(count == 0, "80 calls made {count} allocations");
    Ok(())
}
