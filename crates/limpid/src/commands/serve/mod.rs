//! `limpid serve`: processes that stay. One file a role.

mod chores;
mod log;
mod worker;

use crate::arguments::Global;
use crate::error::{Error, Exit};
use crate::queue_arguments::Serve;

pub(crate) fn run(global: &Global, serve: &Serve) -> Result<Exit, Error> {
    match serve.role.as_str() {
        "worker" => worker::run(global, serve),
        other => {
            let message = format!("there is no role `{other}`; this Limpid has the role worker");
            Err(Error::Usage { message })
        }
    }
}
