//! The key of a CVE in tables: its year and number in one integer, which is a third of the size of its name.

/// Numbers of one year stay below this.
const NUMBERS_PER_YEAR: i64 = 10_000_000_000;

/// The key of a CVE's id.
pub(crate) fn key(id: &str) -> Option<i64> {
    let (year, number) = id.strip_prefix("CVE-")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // A number with more leading zeros than four digits need would be another name of the same key.
    let is_plain = number.len() >= 4 && (number.len() == 4 || !number.starts_with('0'));
    if year.len() != 4 || number.len() > 10 || !digits(year) || !digits(number) || !is_plain {
        return None;
    }
    Some(year.parse::<i64>().ok()? * NUMBERS_PER_YEAR + number.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cve_has_a_key_of_its_own_and_nothing_else_has_one() {
        assert_eq!(key("CVE-2014-0160"), Some(20_140_000_000_160));
        assert_eq!(key("CVE-2014-1000160"), Some(20_140_001_000_160));
        for id in
            ["", "CVE-2014-160", "CVE-2014-00160", "CVE-2014-0160x", "GHSA-1", "CVE-14-0160", "CVE-2014-+160"]
        {
            assert_eq!(key(id), None, "{id}");
        }
    }
}
