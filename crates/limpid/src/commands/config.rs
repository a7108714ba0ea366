//! `limpid config`

use crate::arguments::{ConfigCommand, Global};
use crate::commands::serve;
use crate::error::{Error, Exit};
use crate::session::print;

pub(crate) fn run(global: &Global, command: &ConfigCommand) -> Result<Exit, Error> {
    match command {
        ConfigCommand::Check { settings } => {
            serve::settings(global, settings)?;
            print("The settings are sound.\n")?;
        }
        ConfigCommand::Defaults => print(limpid_server::DEFAULTS)?,
    }
    Ok(Exit::Success)
}
