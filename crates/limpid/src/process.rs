//! This process among those that use a store, and whether another still runs.
//!
//! A process is named by the kernel's boot id, its process namespace, its number and the tick at which it began:
//! numbers are given again, the four together never are. Source: proc(5), `/proc/PID/stat`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use limpid_index::ProcessState;

/// Field 22 of `/proc/PID/stat`, counted from the state, which is the first after the name in parentheses.
const START_FIELD: usize = 22 - 3;

#[derive(Debug, Clone)]
pub(crate) struct ThisProcess {
    /// The boot id and the process namespace, if both are known.
    place: Option<String>,
    name: String,
}

impl ThisProcess {
    pub(crate) fn new() -> Self {
        let number = std::process::id();
        let place = place();
        let name = match (&place, stat(number)) {
            (Some(place), Ok(Some(stat))) => format!("{place} {number} {}", stat.start),
            // Where there is no /proc nothing is known of others, but names must differ all the same.
            _ => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                format!("- {number} {}", since.unwrap_or_default().as_nanos())
            }
        };
        Self { place, name }
    }
}

impl limpid_index::Process for ThisProcess {
    fn name(&self) -> &str {
        &self.name
    }

    fn state_of(&self, name: &str) -> ProcessState {
        let parsed = name.rsplit_once(' ').and_then(|(name, start)| {
            let (place, number) = name.rsplit_once(' ')?;
            Some((place, number.parse().ok()?, start))
        });
        let Some((place, number, start)) = parsed else { return ProcessState::Unknown };
        if self.place.as_deref() != Some(place) {
            return ProcessState::Unknown;
        }
        match stat(number) {
            Ok(Some(stat)) if stat.start == start && !matches!(stat.state.as_str(), "Z" | "X") => {
                ProcessState::Alive
            }
            Ok(_) => ProcessState::Dead,
            Err(_) => ProcessState::Unknown,
        }
    }
}

fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

struct Stat {
    state: String,
    start: String,
}

/// What the kernel says of a process; nothing if there is none.
fn stat(number: u32) -> std::io::Result<Option<Stat>> {
    let text = match fs::read(Path::new("/proc").join(number.to_string()).join("stat")) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        // ESRCH: it ended between the opening and the reading.
        Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name may hold anything, parentheses and spaces too.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let mut fields = after.split_ascii_whitespace().map(str::to_owned);
    match (fields.next(), fields.nth(START_FIELD - 1)) {
        (Some(state), Some(start)) => Ok(Some(Stat { state, start })),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use limpid_index::Process as _;

    use super::*;

    #[test]
    fn the_living_and_the_dead_are_told_apart() {
        let this = ThisProcess::new();
        assert_eq!(this.state_of(this.name()), ProcessState::Alive);
        let (rest, start) = this.name().rsplit_once(' ').unwrap();
        let other_start: u64 = start.parse::<u64>().unwrap() + 1;
        assert_eq!(
            this.state_of(&format!("{rest} {other_start}")),
            ProcessState::Dead,
            "a number given again"
        );
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let name = |number: u32| {
            format!("{} {number} {}", this.place.clone().unwrap(), stat(number).unwrap().unwrap().start)
        };
        let name = name(child.id());
        assert_eq!(this.state_of(&name), ProcessState::Alive);
        child.kill().unwrap();
        // Dead from now on, whether its parent has asked for its end or not; the kernel takes a moment.
        while stat(child.id()).unwrap().is_some_and(|stat| stat.state != "Z") {
            std::thread::yield_now();
        }
        assert_eq!(this.state_of(&name), ProcessState::Dead);
        child.wait().unwrap();
        assert_eq!(this.state_of(&name), ProcessState::Dead);
        assert_eq!(this.state_of("elsewhere pid:[1] 1 1"), ProcessState::Unknown);
        assert_eq!(this.state_of("nonsense"), ProcessState::Unknown);
    }
}
