//! FIRST's Exploit Prediction Scoring System: for each CVE how likely it is to be exploited in the next 30
//! days.
//!
//! Source: <https://www.first.org/epss/data_stats>. A line `#model_version:…,score_date:…` (missing in
//! 2021), a header `cve,epss[,percentile]` (the percentile came in September 2021), and one line for each
//! CVE.

use std::io::{BufRead, Read};

use crate::error::FeedError;
use crate::feed::Document;
use crate::limits::Limits;
use crate::scores::{Score, ScoreFeed, ScoreSink, ScoreSummary};

const URL: &str = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz";
/// The longest line has 45 bytes, the first one some more.
const LINE_BYTES_MAX: u64 = 1 << 10;
const COLUMNS: &str = "cve,epss";

/// The exploit prediction scores of the day.
pub struct Epss;

impl ScoreFeed for Epss {
    fn name(&self) -> &'static str {
        "epss"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn document(&self) -> Document {
        Document::new("current", URL)
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut ScoreSink<'_>,
    ) -> Result<ScoreSummary, FeedError> {
        let name = || document.name.clone();
        let mut lines = Lines { input: document.decoded(input, limits)?, offset: 0, line: String::new() };
        let mut summary = ScoreSummary::default();
        let mut is_headed = false;
        let mut records = 0_u64;
        while let Some(line) = lines.next(&document.name)? {
            if let Some(comment) = line.strip_prefix('#') {
                head(comment, &mut summary);
            } else if !is_headed {
                if line != COLUMNS && !line.starts_with("cve,epss,percentile") {
                    return Err(
                        lines.malformed(&document.name, "the header `cve,epss,percentile` is missing")
                    );
                }
                is_headed = true;
            } else {
                records += 1;
                if records > limits.records_max {
                    return Err(FeedError::TooLarge {
                        document: name(),
                        what: "lines",
                        limit: limits.records_max,
                    });
                }
                match score(line) {
                    Some((id, score)) => {
                        summary.scores += 1;
                        sink(id, score).map_err(|source| FeedError::Sink { document: name(), source })?;
                    }
                    None => summary.skipped += 1,
                }
            }
        }
        if summary.scores == 0 {
            return Err(FeedError::Empty { document: name() });
        }
        Ok(summary)
    }
}

fn head(comment: &str, summary: &mut ScoreSummary) {
    for part in comment.split(',') {
        match part.split_once(':') {
            Some(("model_version", version)) => version.clone_into(&mut summary.model_version),
            // 2022's dates end in +0000, which RFC 3339 writes as +00:00.
            Some(("score_date", date)) => summary.date = date.replace("+0000", "Z"),
            _ => {}
        }
    }
}

fn score(line: &str) -> Option<(&str, Score)> {
    let mut columns = line.split(',');
    let id = columns.next().filter(|id| crate::cve_records::is_cve_id(id))?;
    let probability_e5 = hundred_thousandths(columns.next()?)?;
    let percentile_e5 = match columns.next() {
        None | Some("") => None,
        Some(text) => Some(hundred_thousandths(text)?),
    };
    Some((id, Score { probability_e5, percentile_e5 }))
}

/// A share between 0 and 1 as a whole number of hundred-thousandths.
fn hundred_thousandths(text: &str) -> Option<u32> {
    let share: f64 = text.parse().ok()?;
    // A float to integer cast saturates; the range was checked.
    (0.0..=1.0).contains(&share).then(|| (share * 100_000.0).round() as u32)
}

struct Lines<'a> {
    input: Box<dyn BufRead + 'a>,
    offset: u64,
    line: String,
}

impl Lines<'_> {
    /// The next line without its end, or `None` at the end of the document.
    fn next(&mut self, document: &str) -> Result<Option<&str>, FeedError> {
        self.line.clear();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_line(&mut self.line);
        let read = read.map_err(|source| FeedError::Read { document: document.to_owned(), source })?;
        self.offset += read as u64;
        if read as u64 == LINE_BYTES_MAX {
            return Err(FeedError::TooLarge {
                document: document.to_owned(),
                what: "bytes in one line",
                limit: LINE_BYTES_MAX,
            });
        }
        Ok((read > 0).then(|| self.line.trim_end_matches(['\n', '\r'])))
    }

    fn malformed(&self, document: &str, reason: &str) -> FeedError {
        FeedError::Malformed { document: document.to_owned(), offset: self.offset, reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Scores = Vec<(String, u32, Option<u32>)>;

    fn parse(text: &str) -> Result<(Scores, ScoreSummary), FeedError> {
        let mut found = Vec::new();
        let summary =
            Epss.parse(&Epss.document(), &mut text.as_bytes(), &Limits::default(), &mut |id, score| {
                found.push((id.to_owned(), score.probability_e5, score.percentile_e5));
                Ok(())
            })?;
        Ok((found, summary))
    }

    #[test]
    fn every_form_of_the_header_that_was_published_is_read() {
        for (text, percentile, version, date) in [
            ("cve,epss\nCVE-2020-5902,0.65117\n", None, "", ""),
            ("cve,epss,percentile\nCVE-2020-5902,0.65117,0.9981063485700858\n", Some(99_811), "", ""),
            (
                "#model_version:v2022.01.01,score_date:2022-02-04T00:00:00+0000\ncve,epss,percentile\nCVE-2020-5902,0.65117,0.99999\n",
                Some(99_999),
                "v2022.01.01",
                "2022-02-04T00:00:00Z",
            ),
            (
                "#model_version:v2025.03.14,score_date:2026-01-11T12:55:00Z\r\ncve,epss,percentile\r\nCVE-2020-5902,0.65117,1\r\n",
                Some(100_000),
                "v2025.03.14",
                "2026-01-11T12:55:00Z",
            ),
        ] {
            let (found, summary) = parse(text).unwrap();
            assert_eq!(found, [("CVE-2020-5902".to_owned(), 65_117, percentile)]);
            assert_eq!((summary.model_version.as_str(), summary.date.as_str()), (version, date));
        }
    }

    #[test]
    fn bad_lines_are_counted_and_what_is_no_list_of_scores_is_an_error() {
        let (found, summary) =
            parse("cve,epss\nCVE-2020-0001,0.1\nCVE-2020-0002,1.1\nCVE-2020-0003,-0\nx,0.1\nCVE-2020-0004,NaN\nCVE-2020-0005\n").unwrap();
        assert_eq!((found.len() as u64 + summary.skipped, summary.scores), (6, 2));
        for text in [
            "",
            "<html>",
            "cve,epss\n",
            "a,b\nCVE-2020-0001,0.1\n",
            &format!("cve,epss\n{}", "x".repeat(5000)),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
