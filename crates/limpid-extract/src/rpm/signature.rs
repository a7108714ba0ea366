//! Which key signed a package: the issuer of an OpenPGP signature.
//!
//! Source of truth: RFC 4880, sections 4.2 (packets) and 5.2 (signatures), RFC 9580 for issuer fingerprints. The
//! signature itself is not verified.

/// The id of the key that made a signature, 16 hex digits in lower case as rpm prints it.
pub(crate) fn issuer(packet: &[u8]) -> Option<String> {
    let body = signature_body(packet)?;
    let id: [u8; 8] = match body.first()? {
        // Version, 5, type, four bytes of time, key id.
        2 | 3 => *body.get(7..)?.first_chunk()?,
        4 => {
            let hashed = usize::from(u16::from_be_bytes(*body.get(4..)?.first_chunk()?));
            let hashed_area = body.get(6..)?.get(..hashed)?;
            let rest = body.get(6 + hashed..)?;
            let unhashed = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
            let unhashed_area = rest.get(2..)?.get(..unhashed)?;
            issuer_of(hashed_area).or_else(|| issuer_of(unhashed_area))?
        }
        6 => {
            let length = |at: usize| {
                let bytes: [u8; 4] = *body.get(at..)?.first_chunk()?;
                usize::try_from(u32::from_be_bytes(bytes)).ok()
            };
            let hashed = length(4)?;
            issuer_of(body.get(8..)?.get(..hashed)?)?
        }
        _ => return None,
    };
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The same of a packet in base64, as rpm 6 keeps signatures (RFC 4648, section 4).
pub(crate) fn issuer_of_base64(text: &[u8]) -> Option<String> {
    const BYTES_MAX: usize = 64 << 10;
    let mut packet = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().take(BYTES_MAX).filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            packet.push((bits >> count & 0xff) as u8);
        }
    }
    issuer(&packet)
}

/// The body of a signature packet (tag 2), in either form of packet header.
fn signature_body(packet: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = packet.split_first()?;
    let be = |bytes: &[u8]| bytes.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    let (kind, length, length_bytes) = match tag {
        0xc0..=0xff => {
            let (length, length_bytes) = new_length(rest)?;
            (tag & 0x3f, length, length_bytes)
        }
        0x80..=0xbf => {
            let length_bytes = 1 << (tag & 3);
            if length_bytes > 4 {
                // Of indeterminate length: the rest.
                (tag >> 2 & 0xf, rest.len(), 0)
            } else {
                (tag >> 2 & 0xf, be(rest.get(..length_bytes)?), length_bytes)
            }
        }
        _ => return None,
    };
    let body = rest.get(length_bytes..)?;
    (kind == 2).then(|| body.get(..length)).flatten()
}

/// A length of one, two or five bytes, and how many those are.
fn new_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        first @ 0..=191 => Some((usize::from(first), 1)),
        first @ 192..=254 => Some((((usize::from(first) - 192) << 8) + usize::from(*bytes.get(1)?) + 192, 2)),
        255 => {
            let length: [u8; 4] = *bytes.get(1..)?.first_chunk()?;
            Some((usize::try_from(u32::from_be_bytes(length)).ok()?, 5))
        }
    }
}

/// The key id that a list of subpackets names: as such, or as part of a fingerprint.
fn issuer_of(mut area: &[u8]) -> Option<[u8; 8]> {
    const ISSUER_KEY_ID: u8 = 16;
    const ISSUER_FINGERPRINT: u8 = 33;
    let mut fingerprint = None;
    while !area.is_empty() {
        let (length, length_bytes) = new_length(area)?;
        let packet = area.get(length_bytes..)?.get(..length)?;
        area = area.get(length_bytes + length..)?;
        let Some((&kind, value)) = packet.split_first() else { continue };
        // The highest bit says that whoever does not know it must refuse the signature.
        match (kind & 0x7f, value) {
            (ISSUER_KEY_ID, value) => return value.first_chunk().copied(),
            (ISSUER_FINGERPRINT, [4, value @ ..]) => fingerprint = value.last_chunk().copied(),
            (ISSUER_FINGERPRINT, [6, value @ ..]) => fingerprint = value.first_chunk().copied(),
            _ => {}
        }
    }
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_of_old_and_new_signatures() {
        let id = [0x19, 0x9e, 0x2f, 0x91, 0xfd, 0x43, 0x1d, 0x51];
        let v3 = [&[0x88, 15, 3, 5, 0, 1, 2, 3, 4][..], &id].concat();
        assert_eq!(issuer(&v3).as_deref(), Some("199e2f91fd431d51"));
        // Creation time hashed, key id not.
        let v4_body = [&[4, 0, 1, 8, 0, 6, 5, 2, 1, 2, 3, 4, 0, 10, 9, 16][..], &id].concat();
        let v4_old = [&[0x89, 0, v4_body.len() as u8][..], &v4_body].concat();
        let v4_new = [&[0xc2, v4_body.len() as u8][..], &v4_body].concat();
        assert_eq!(issuer(&v4_old).as_deref(), Some("199e2f91fd431d51"));
        assert_eq!(issuer(&v4_new).as_deref(), Some("199e2f91fd431d51"));
        // A fingerprint alone: its last eight bytes.
        let fingerprint = [&[7; 12][..], &id].concat();
        let body = [&[4, 0, 1, 8, 0, 23, 22, 33, 4][..], &fingerprint, &[0, 0]].concat();
        let packet = [&[0xc2, body.len() as u8][..], &body].concat();
        assert_eq!(issuer(&packet).as_deref(), Some("199e2f91fd431d51"));
        // The first of the packets above, as `base64` writes it.
        assert_eq!(issuer_of_base64(b"iA8DBQABAgMEGZ4vkf1DHVE=").as_deref(), Some("199e2f91fd431d51"));
        assert_eq!(issuer_of_base64(b"?"), None);
        for end in 0..v4_old.len() {
            assert_eq!(issuer(&v4_old[..end]), None);
        }
        assert_eq!(issuer(&[0xc6, 1, 4]), None);
    }
}
