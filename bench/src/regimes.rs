//! The regimes of decode and prefill, and what each is to reach beside the best peer or another kernel of ours.

use crate::{Method, Target};

/// Configurations that the same thing bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regime {
    /// What bounds them.
    pub title: &'static str,
    /// What is asked of them.
    pub goals: &'static [Goal],
}

/// A target for some configurations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The time that it is about.
    pub method: Method,
    /// The target.
    pub target: Target,
    /// The configurations.
    pub names: &'static [&'static str],
}

const fn goal(method: Method, target: Target, names: &'static [&'static str]) -> Goal {
    Goal { method, target, names }
}

/// Queries of two tokens by 128 heads: 480 FLOP a byte.
const COMPUTE: &[&str] = &[
    "b128_sq2_h128_sk4096_var",
    "b128_sq2_h128_sk8192_var",
    "b128_sq2_h128_sk16384_var",
    "b128_sq2_h128_sk32768_var",
    "b128_sq2_h128_sk4096_var_causal",
    "b128_sq2_h128_sk8192_var_causal",
    "b128_sq2_h128_sk16384_var_causal",
    "b128_sq2_h128_sk32768_var_causal",
];
/// The same with lengths fixed, for which no peer's kernel alone is recorded.
const COMPUTE_FIXED: &[&str] = &["b128_sq2_h128_sk4096_causal", "b128_sq2_h128_sk16384_causal"];
const MEMORY: &[&str] = &[
    "b128_sq1_h16_sk4096",
    "b128_sq1_h16_sk8192",
    "b128_sq1_h16_sk16384",
    "b128_sq1_h16_sk32768",
    "b128_sq1_h64_sk4096",
    "b128_sq1_h64_sk8192",
    "b128_sq1_h64_sk16384",
    "b128_sq1_h64_sk32768",
];
const LATENCY: &[&str] = &[
    "b1_sq1_h128_sk1024",
    "b1_sq1_h128_sk8192",
    "b1_sq1_h128_sk32768",
    "b1_sq1_h16_sk8192",
    "b4_sq1_h128_sk4096",
    "b2_sq1_h16_sk1024",
];

const fn beside(least: f64, other: &'static str, name: &'static [&'static str]) -> Goal {
    goal(Method::Call, Target::Beside(least, other), name)
}

/// Every regime.
pub const REGIMES: &[Regime] = &[
    Regime {
        title: "compute-bound",
        goals: &[
            goal(Method::Kernel, Target::Rate(1.08), COMPUTE),
            goal(Method::Call, Target::Rate(1.08), COMPUTE_FIXED),
            goal(Method::Sustained, Target::Rate(1.1), COMPUTE),
            goal(Method::Sustained, Target::Rate(1.1), COMPUTE_FIXED),
        ],
    },
    Regime {
        title: "both roofs",
        goals: &[
            goal(Method::Call, Target::Micros(225.0), &["b128_sq1_h128_sk4096"]),
            goal(Method::Call, Target::Micros(850.0), &["b128_sq1_h128_sk16384"]),
        ],
    },
    Regime {
        title: "memory-bound",
        goals: &[
            goal(Method::Call, Target::Reads(0.97), MEMORY),
            goal(Method::Sustained, Target::Reads(0.97), MEMORY),
        ],
    },
    Regime {
        title: "short",
        goals: &[
            goal(
                Method::Call,
                Target::Time(0.85),
                &["b128_sq1_h128_sk1024_ramp_causal", "b128_sq1_h16_sk1024"],
            ),
            goal(Method::Sustained, Target::Time(0.85), &["b128_sq1_h16_sk1024"]),
        ],
    },
    Regime { title: "latency", goals: &[goal(Method::Call, Target::Time(0.5), LATENCY)] },
    Regime {
        title: "host",
        goals: &[goal(
            Method::Host,
            Target::Host(3.0),
            &["b128_sq1_h128_sk4096", "b1_sq1_h128_sk1024"],
        )],
    },
    Regime {
        title: "dense decode over an FP8 cache",
        goals: &[
            beside(1.55, "b128_sq1_h16_sk4096", &["b128_sq1_h16_sk4096_fp8"]),
            beside(1.55, "b128_sq1_h16_sk16384", &["b128_sq1_h16_sk16384_fp8"]),
            beside(1.55, "b128_sq1_h16_sk32768", &["b128_sq1_h16_sk32768_fp8"]),
            beside(0.95, "b128_sq2_h128_sk4096_causal", &["b128_sq2_h128_sk4096_causal_fp8"]),
            beside(0.95, "b128_sq2_h128_sk16384_causal", &["b128_sq2_h128_sk16384_causal_fp8"]),
        ],
    },
    Regime {
        title: "sparse decode",
        goals: &[
            goal(Method::Kernel, Target::Rate(1.25), &["sdec_b128_sq2_h128_sk32768_top2048"]),
            // 0.6 of the 21.3 µs from the start of the peer's first kernel to the end of its last.
            goal(Method::Call, Target::Micros(12.8), &["sdec_b2_sq2_h128_sk32768_top2048"]),
            beside(0.9, "b256_sq1_h128_sk2048", &["sdec_b128_sq2_h128_sk32768_top2048_bf16"]),
            beside(0.9, "b4_sq1_h128_sk2048", &["sdec_b2_sq2_h128_sk32768_top2048_bf16"]),
        ],
    },
    Regime {
        title: "sparse prefill",
        goals: &[
            goal(Method::Kernel, Target::Rate(1.08), &["spre_d576_h128_sq4096_skv8192_top2048"]),
            goal(Method::Kernel, Target::Rate(1.15), &["spre_d576_h128_sq4096_skv131072_top2048"]),
        ],
    },
];

/// Whether a configuration, by its name, is one of dense decode; those of sparse attention are called `sdec_…` and
/// `spre_…`.
#[must_use]
pub fn is_dense(name: &str) -> bool {
    name.starts_with('b')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerRun;

    /// A misspelt name would leave its target unknown for ever.
    #[test]
    fn what_is_asked_beside_a_peer_has_one() {
        for goal in REGIMES.iter().flat_map(|regime| regime.goals) {
            let alone = matches!(goal.target, Target::Reads(_) | Target::Host(_));
            let beside = !alone && !matches!(goal.target, Target::Beside(..));
            for name in goal.names.iter().filter(|_| beside) {
                assert!(PeerRun::best(name, goal.method).is_some(), "{name}, {}", goal.method);
            }
        }
    }
}
