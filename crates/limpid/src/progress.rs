//! Progress bars on a terminal, nothing in a pipe.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use limpid_model::Digest;

/// Shows the flow's progress on standard error.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
    feeds: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn layer(&self, layer: &Digest) -> Option<ProgressBar> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(layer).cloned()
    }

    fn feed(&self, name: &str) -> Option<ProgressBar> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl limpid_index::Progress for Bars {
    fn layer_begins(&self, layer: &Digest, size_bytes: u64) {
        let bar = self.all.add(ProgressBar::new(size_bytes));
        bar.set_style(style("layer {prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}"));
        bar.set_prefix(layer.short());
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(*layer, bar);
    }

    fn layer_advances(&self, layer: &Digest, bytes: u64) {
        if let Some(bar) = self.layer(layer) {
            bar.set_position(bytes);
        }
    }

    fn layer_ends(&self, layer: &Digest) {
        if let Some(bar) = self.layer(layer) {
            bar.finish_and_clear();
        }
    }

    fn feed_begins(&self, name: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style("feed {prefix} {spinner} {pos} advisories"));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bar);
    }

    fn feed_advances(&self, name: &str, advisories: u64) {
        if let Some(bar) = self.feed(name) {
            bar.set_position(advisories);
        }
    }

    fn feed_ends(&self, name: &str, _: &str) {
        if let Some(bar) = self.feed(name) {
            bar.finish_and_clear();
        }
    }
}
