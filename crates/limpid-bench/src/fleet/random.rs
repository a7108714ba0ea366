//! Random numbers that are the same in every run: each has its seed from what it is drawn for, so that anything can
//! be drawn again without what was drawn before it.

use fastrand::Rng;

/// A generator for what `parts` name.
pub(crate) fn rng(parts: &[u64]) -> Rng {
    // FNV-1a over the words; the generator mixes the seed itself.
    let mixed = parts.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, part| {
        part.to_le_bytes()
            .iter()
            .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    });
    Rng::with_seed(mixed)
}

/// Draws positions of which the first are drawn more often, by Zipf's law.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(positions: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weight = |position: usize| 1.0 / ((position + 1) as f64).powf(exponent);
        let cumulated = (0..positions).map(|position| {
            sum += weight(position);
            sum
        });
        Self { cumulated: cumulated.collect() }
    }

    /// A position; 0 if there is none at all.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.f64() * self.cumulated.last().copied().unwrap_or_default();
        self.cumulated.partition_point(|sum| *sum <= at).min(self.cumulated.len().saturating_sub(1))
    }
}
