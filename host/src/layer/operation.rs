//! What a layer does, one after the other.

/// An operation of a layer. On a GPU each is one launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Hidden states times `kv_a_proj_with_mqa`, and `q_a_proj` or `q_proj` beside it.
    ProjectHidden,
    /// The compressed query normalised: `q_a_layernorm`.
    Normalise,
    /// The compressed query expanded: `q_b_proj`.
    ProjectQuery,
    /// Queries times W_UK, and rotated.
    Absorb,
    /// New rows normalised, rotated, and put into the cache.
    Append,
    /// Attention.
    Attend,
    /// What attention wrote times W_UV.
    Expand,
    /// Back to hidden states: `o_proj`.
    ProjectOutput,
}

impl Operation {
    /// All of them, in their order. A layer without compressed queries lacks two.
    pub const ALL: [Self; 8] = [
        Self::ProjectHidden,
        Self::Normalise,
        Self::ProjectQuery,
        Self::Absorb,
        Self::Append,
        Self::Attend,
        Self::Expand,
        Self::ProjectOutput,
    ];

    /// What it is called in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProjectHidden => "project_hidden",
            Self::Normalise => "normalise",
            Self::ProjectQuery => "project_query",
            Self::Absorb => "absorb",
            Self::Append => "append",
            Self::Attend => "attend",
            Self::Expand => "expand",
            Self::ProjectOutput => "project_output",
        }
    }
}
