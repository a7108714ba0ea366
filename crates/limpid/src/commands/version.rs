//! `limpid version compare`

use std::cmp::Ordering;
use std::io::BufRead as _;

use limpid_version::Scheme;

use crate::arguments::Version;
use crate::error::{Error, Exit};
use crate::session::print;

pub(crate) fn run(command: &Version) -> Result<Exit, Error> {
    let Version::Compare { scheme, a, b } = command;
    if let (Some(a), Some(b)) = (a, b) {
        print(&format!("{}\n", sign(*scheme, a, b)))?;
        return Ok(Exit::Success);
    }
    let mut output = String::new();
    for (number, line) in std::io::stdin().lock().split(b'\n').enumerate() {
        let line = line.map_err(Error::io("cannot read standard input"))?;
        let line = String::from_utf8_lossy(&line);
        let Some((a, b)) = line.split_once('\t') else {
            let message = format!("line {} of standard input has no tab between two versions", number + 1);
            return Err(Error::Usage { message });
        };
        output.push_str(sign(*scheme, a, b));
        output.push('\n');
        if output.len() > 1 << 16 {
            print(&output)?;
            output.clear();
        }
    }
    print(&output)?;
    Ok(Exit::Success)
}

fn sign(scheme: Scheme, a: &str, b: &str) -> &'static str {
    match scheme.compare(a, b) {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    }
}
