//! What may happen to a pool, read from bytes: those of a random generator, of proptest or of a fuzzer.

#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A request with a prompt of `tokens` tokens of a text.
    Admit { text: u32, tokens: usize, watermark: usize },
    /// A request with what is cached of such a prompt.
    CachedPrefix { text: u32, tokens: usize },
    /// The text goes on in a request.
    Append { request: usize, text: u32, tokens: usize },
    /// The text goes on in every second or every request.
    AppendAll { every: usize, text: u32, tokens: usize },
    /// A second request with the same tokens.
    Fork { request: usize },
    /// A request keeps so many tokens of 256.
    Truncate { request: usize, kept: usize },
    /// So many tokens of 256 of a request become known to others.
    Publish { request: usize, known: usize },
    /// A request ends.
    Free { request: usize },
    /// All that is known is forgotten.
    ForgetPrefixes,
}

impl Action {
    /// Every four bytes mean something.
    pub fn from_bytes([kind, which, amount, text]: [u8; 4]) -> Self {
        let (request, part) = (usize::from(which), usize::from(amount));
        let (tokens, text) = (part + usize::from(which & 64), u32::from(text % 3));
        match kind {
            0..40 => Self::Admit { text, tokens, watermark: request % 4 },
            40..45 => Self::CachedPrefix { text, tokens: tokens * 2 },
            45..100 => Self::Append { request, text, tokens: tokens / 2 },
            100..130 => Self::AppendAll { every: 1 + request % 2, text, tokens: tokens / 8 },
            130..150 => Self::Fork { request },
            150..180 => Self::Truncate { request, kept: part },
            180..215 => Self::Publish { request, known: part + 1 },
            215..255 => Self::Free { request },
            255 => Self::ForgetPrefixes,
        }
    }
}
