//! One file a command.

mod affected;
mod config;
mod coverage;
mod deliveries;
mod demo;
mod events;
mod explain;
mod feed_changes;
mod feed_status;
mod feeds;
mod fleet;
mod layers;
mod owner;
mod packages;
mod queue;
mod queue_list;
mod scan;
mod serve;
mod store;
mod store_status;
mod version;

use crate::arguments::{Arguments, Command};
use crate::error::{Error, Exit};

/// Runs the command and says how the program ends.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Scan(command) => scan::run(global, command),
        Command::Packages(command) => packages::run(global, command),
        Command::Layers(command) => layers::run(global, command),
        Command::Explain(command) => explain::run(global, command),
        Command::Owner(command) => owner::run(global, command),
        Command::Affected(command) => affected::run(global, command),
        Command::Fleet(command) => fleet::run(global, command),
        Command::Feeds(command) => feeds::run(global, command),
        Command::Events(command) => events::run(global, command),
        Command::Queue(command) => queue::run(global, command),
        Command::Serve(command) => serve::run(global, command),
        Command::Store(command) => store::run(global, command),
        Command::Config(command) => config::run(global, command),
        Command::Version(command) => version::run(command),
        Command::Coverage => coverage::run(),
        Command::Demo => demo::run(global),
    }
}
