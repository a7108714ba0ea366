//! A bare DEFLATE stream in memory.

use crate::error::Error;
use crate::inflate::{INPUT_AHEAD, Inflate, Stop};
use crate::input::Input;
use crate::window::Window;

/// Decodes a DEFLATE stream without a container into memory, and gives up to `limit` bytes of its output.
///
/// Also returns how many bytes of `stream` were used. Output that passes the limit is cut off, unread.
pub fn inflate_raw(stream: &[u8], limit: usize) -> Result<(Vec<u8>, usize), Error> {
    let mut reader = stream;
    let mut input = Input::new();
    let mut window = Window::new();
    let mut inflate = Inflate::new();
    let mut output = Vec::new();
    loop {
        window.start_chunk();
        let stop = loop {
            match inflate.run(&mut input, &mut window) {
                Ok(Stop::InputWanted) => input.ensure(INPUT_AHEAD, &mut reader)?,
                Ok(stop) => break stop,
                Err(defect) => return Err(Error::from_defect(defect, input.offset())),
            }
        };
        let room = limit - output.len();
        output.extend(window.chunk().iter().take(room));
        if stop == Stop::StreamEnd || output.len() == limit {
            return Ok((output, input.offset() as usize));
        }
    }
}
