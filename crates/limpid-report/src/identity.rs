//! Ids that formats want, derived from what they name: the same content has the same ids in every run.

use limpid_model::Digest;

/// A UUID (RFC 9562, version 8) of `parts`, which are kept apart by their lengths.
pub(crate) fn uuid(parts: &[&str]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(parts).as_bytes()[..16]);
    bytes[6] = 0x80 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The digest of `parts`, which are kept apart by their lengths.
pub(crate) fn digest(parts: &[&str]) -> Digest {
    let mut text = String::new();
    for part in parts {
        text.push_str(&format!("{}:{part}", part.len()));
    }
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(uuid(&["a", "bc"]), uuid(&["ab", "c"]));
        assert_eq!(uuid(&["a"]), uuid(&["a"]));
        let uuid = uuid(&["a"]);
        assert_eq!((uuid.len(), uuid.as_bytes()[14], uuid.matches('-').count()), (36, b'8', 4));
    }
}
