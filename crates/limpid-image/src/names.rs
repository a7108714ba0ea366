//! Which of an archive's images a name means.
//!
//! Users write names as they type them elsewhere; exports hold them in full
//! (`docker.io/library/debian:12`). The most exact reading that fits any image counts.

/// How exactly a name is meant: the smaller, the more.
fn distance(name: &str, wanted: &str) -> Option<u8> {
    let with_tag = format!("{wanted}:latest");
    let ends = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('/'));
    if name == wanted {
        Some(0)
    } else if name == with_tag {
        Some(1)
    } else if ends(wanted) || ends(&with_tag) {
        Some(2)
    } else if name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted) {
        Some(3)
    } else {
        None
    }
}

/// The places of the images that `wanted` names, given the names of each image.
pub(crate) fn named<'a>(images: impl Iterator<Item = Vec<&'a str>>, wanted: &str) -> Vec<usize> {
    let nearest = |names: Vec<&str>| names.iter().filter_map(|name| distance(name, wanted)).min();
    let distances: Vec<Option<u8>> = images.map(nearest).collect();
    let best = distances.iter().flatten().min().copied();
    let hits = distances.iter().enumerate().filter(|(_, distance)| distance.is_some() && **distance == best);
    hits.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_reading_counts() {
        let images = [
            vec!["docker.io/library/debian:12", "12"],
            vec!["docker.io/library/debian:latest", "latest"],
            vec!["example.org/debian:12", "12"],
            vec!["12:12"],
        ];
        let find = |wanted: &str| named(images.iter().cloned(), wanted);
        assert_eq!(find("docker.io/library/debian:12"), [0]);
        assert_eq!(find("docker.io/library/debian"), [1]);
        assert_eq!(find("library/debian:12"), [0]);
        assert_eq!(find("debian"), [1]);
        assert_eq!(find("debian:12"), [0, 2]);
        assert_eq!(find("12"), [0, 2]);
        assert_eq!(find("ian:12"), [] as [usize; 0]);
        assert_eq!(find("13"), [] as [usize; 0]);
    }
}
