//! Questions about all images at once. One file a question; nothing here reads an image's layers again.
//!
//! A question has a [`Scope`]: which images it is about, and at which moment. Verdicts are on package versions in
//! their contexts, so the work of an answer grows with these, and with images only where they are listed.

mod affected;
mod candidates;
mod cursor;
mod pages;
mod placed;
mod scope;

pub use affected::{AffectedAnswer, affected};
pub use pages::Pages;
pub use scope::{Scope, VerdictFilter};
