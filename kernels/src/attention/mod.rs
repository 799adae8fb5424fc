//! What every attention kernel shares: masks, the online softmax, sinks and the epilogue, on the fragments of one
//! warpgroup.

pub mod epilogue;
pub mod limits;
pub mod quad;
pub mod rows;
pub mod scaled;
pub mod sink;
pub mod softcap;
pub mod softmax;
