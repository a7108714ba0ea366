//! Progress on a terminal, nothing in a pipe: a line for the whole, and a bounded number for what is being read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use limpid_model::Digest;

/// Lines for layers that are being read; of more than that only the whole tells.
const LAYER_LINES_MAX: usize = 6;
/// Terminals with fewer columns than this have no room for bars.
const BAR_COLUMNS_MIN: u16 = 64;

/// Shows the flow's progress on standard error.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    narrow: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The line for the whole; there once anything is to be done.
    whole: Option<ProgressBar>,
    images: u64,
    images_done: u64,
    bytes: u64,
    bytes_done: u64,
    /// Layers that are being read, with their lines if they have any, and how much of them was read.
    layers: HashMap<Digest, (Option<ProgressBar>, u64)>,
    feeds: HashMap<String, ProgressBar>,
}

impl Default for Bars {
    fn default() -> Self {
        let size = terminal_size::terminal_size_of(std::io::stderr());
        let narrow = size.is_some_and(|(width, _)| width.0 < BAR_COLUMNS_MIN);
        Self { all: MultiProgress::new(), narrow, state: Mutex::default() }
    }
}

impl Bars {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn style(&self, wide: &str, narrow: &str) -> ProgressStyle {
        let template = if self.narrow { narrow } else { wide };
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    }

    /// Brings the line for the whole up to date.
    fn show(&self, state: &mut State) {
        if state.images_done >= state.images {
            if let Some(whole) = state.whole.take() {
                whole.finish_and_clear();
            }
            return;
        }
        let whole = state.whole.get_or_insert_with(|| {
            let bar = self.all.insert(0, ProgressBar::new(0));
            bar.set_style(self.style("{prefix} {bar:24} {bytes}/{total_bytes}", "{prefix} {percent}%"));
            bar
        });
        let read: u64 = state.layers.values().map(|(_, read)| read).sum();
        whole.set_prefix(format!("images {}/{}", state.images_done, state.images));
        whole.set_length(state.bytes);
        whole.set_position((state.bytes_done + read).min(state.bytes));
    }
}

impl limpid_index::Progress for Bars {
    fn images_found(&self, images: u64) {
        let mut state = self.state();
        state.images += images;
        self.show(&mut state);
    }

    fn image_ends(&self) {
        let mut state = self.state();
        state.images_done += 1;
        self.show(&mut state);
    }

    fn layer_is_due(&self, size_bytes: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(size_bytes);
        self.show(&mut state);
    }

    fn layer_is_there(&self, size_bytes: u64) {
        let mut state = self.state();
        state.bytes_done = state.bytes_done.saturating_add(size_bytes);
        self.show(&mut state);
    }

    fn layer_begins(&self, layer: &Digest, size_bytes: u64) {
        let mut state = self.state();
        let shown = state.layers.values().filter(|(bar, _)| bar.is_some()).count();
        let bar = (shown < LAYER_LINES_MAX).then(|| {
            let bar = self.all.add(ProgressBar::new(size_bytes));
            bar.set_style(self.style(
                "  layer {prefix} {bar:16} {bytes}/{total_bytes} {bytes_per_sec}",
                "  {prefix} {percent}%",
            ));
            bar.set_prefix(layer.short());
            bar
        });
        state.layers.insert(*layer, (bar, 0));
    }

    fn layer_advances(&self, layer: &Digest, bytes: u64) {
        let mut state = self.state();
        let Some((bar, read)) = state.layers.get_mut(layer) else { return };
        *read = bytes;
        if let Some(bar) = bar {
            bar.set_position(bytes);
        }
        self.show(&mut state);
    }

    fn layer_ends(&self, layer: &Digest) {
        if let Some((Some(bar), _)) = self.state().layers.remove(layer) {
            bar.finish_and_clear();
        }
    }

    fn feed_begins(&self, name: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(self.style("feed {prefix} {spinner} {pos} advisories", "{prefix:.24} {pos}"));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        self.state().feeds.insert(name.to_owned(), bar);
    }

    fn feed_advances(&self, name: &str, advisories: u64) {
        if let Some(bar) = self.state().feeds.get(name) {
            bar.set_position(advisories);
        }
    }

    fn feed_ends(&self, name: &str, _: &str) {
        if let Some(bar) = self.state().feeds.remove(name) {
            bar.finish_and_clear();
        }
    }
}
