//! Kinds of rows that may be marked as unused.

/// Kinds of rows in `unused` and `freed`. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Layer = 1,
    Node = 2,
    Occurrence = 3,
    Image = 4,
    Context = 5,
    Text = 6,
}

impl Kind {
    /// Its table, whose key is named after it.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Node => "node",
            Self::Occurrence => "occurrence",
            Self::Image => "image",
            Self::Context => "context",
            Self::Text => "text",
        }
    }
}
