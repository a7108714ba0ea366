//! Questions about all images at once. One file a question; nothing here reads an image's layers again.
//!
//! A question has a [`Scope`]: which images it is about, and at which moment. Verdicts are on package versions in
//! their contexts, so the work of an answer grows with these, and with images only where they are listed.

mod affected;
mod candidates;
mod compare;
mod cursor;
mod exposed;
mod layers;
mod package;
mod pages;
mod placed;
mod range;
mod rebase;
mod scope;
mod status;
mod vulnerabilities;

pub use affected::{AffectedAnswer, affected};
pub use compare::{KnownImage, difference};
pub use layers::{LAYERS_MAX, LayersQuestion, layers};
pub use package::{PackageAnswer, PackageQuestion, package};
pub use pages::Pages;
pub use range::{RangeError, VersionRange};
pub use rebase::rebase;
pub use scope::{Scope, VerdictFilter};
pub use status::status;
pub use vulnerabilities::{VULNERABILITIES_MAX, WidespreadQuestion, vulnerabilities};
