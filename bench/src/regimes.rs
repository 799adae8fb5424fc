//! The regimes of dense decode, and what each is to reach beside the best peer.

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
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerRun;

    /// A misspelt name would leave its target unknown for ever.
    #[test]
    fn what_is_asked_beside_a_peer_has_one() {
        for goal in REGIMES.iter().flat_map(|regime| regime.goals) {
            let beside = !matches!(goal.target, Target::Reads(_) | Target::Host(_));
            for name in goal.names.iter().filter(|_| beside) {
                assert!(PeerRun::best(name, goal.method).is_some(), "{name}, {}", goal.method);
            }
        }
    }
}
