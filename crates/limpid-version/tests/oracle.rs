//! Our orders against the ecosystems' own tools, on generated pairs.
//!
//! `LIMPID_ORACLE_PAIRS` sets how many pairs (default 5000) go through one Python process with dpkg's and rpm's
//! own libraries, `LIMPID_ORACLE_DPKG` how many (default 200) through `dpkg --compare-versions`, a process each.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::cmp::Ordering;
use std::io::Write as _;
use std::process::{Command, Stdio};

use limpid_version::Scheme;

/// xorshift64*: the same pairs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const DPKG_PIECES: [&str; 22] = [
    "0",
    "1",
    "9",
    "10",
    "007",
    "a",
    "Z",
    ".",
    "..",
    "+",
    "~",
    "~~",
    "rc",
    "deb7u1",
    "+b1",
    "99999999999999999999",
    "-",
    "~bpo",
    "git",
    "ubuntu",
    "+dfsg",
    ".0",
];
const RPM_PIECES: [&str; 20] = [
    "0",
    "1",
    "9",
    "10",
    "007",
    "a",
    "Z",
    ".",
    "..",
    "+",
    "~",
    "~~",
    "^",
    "rc",
    "el8",
    "_",
    "99999999999999999999",
    "^git",
    ".0",
    "fc39",
];

/// A version that dpkg accepts: begins with a digit, has a revision that is not empty.
fn dpkg_version(random: &mut Random) -> String {
    let mut text = ["", "", "", "0:", "1:", "12:"][random.below(6)].to_owned();
    text.push_str(random.pick(&["0", "1", "2", "10", "01"]));
    for _ in 0..random.below(6) {
        text.push_str(random.pick(&DPKG_PIECES));
    }
    if text.ends_with('-') {
        text.push('1');
    }
    text
}

fn rpm_part(random: &mut Random) -> String {
    let mut text = random.pick(&["0", "1", "2", "10", "a"]).to_owned();
    for _ in 0..random.below(5) {
        text.push_str(random.pick(&RPM_PIECES));
    }
    text
}

fn rpm_version(random: &mut Random) -> String {
    let epoch = ["", "", "0:", "1:", "12:"][random.below(5)];
    format!("{epoch}{}-{}", rpm_part(random), rpm_part(random))
}

/// Two versions, the second often a small change of the first.
fn pair(random: &mut Random, version: fn(&mut Random) -> String) -> (String, String) {
    let a = version(random);
    let b = match random.below(3) {
        0 => version(random),
        1 => format!("{a}{}", random.pick(&["1", "a", "+", ".0", "~1"])),
        _ => {
            let cut = (1..a.len()).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(a.len());
            let cut = a[..cut].trim_end_matches(['-', ':']);
            if cut.is_empty() || cut.ends_with(':') { version(random) } else { format!("{cut}1") }
        }
    };
    (a, b)
}

fn count(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn skip(what: &str) {
    assert!(std::env::var_os("LIMPID_REQUIRE_ORACLES").is_none(), "{what}");
    eprintln!("skipped: {what}");
}

/// What a Python program answers for each pair: a negative number, 0 or a positive one a line.
fn python(program: &str, pairs: &[(String, String)]) -> Option<Vec<Ordering>> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let input: String = pairs.iter().map(|(a, b)| format!("{a}\t{b}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    if !output.status.success() || written.is_err() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.parse::<i64>().unwrap().cmp(&0)).collect())
}

fn check(scheme: Scheme, pairs: &[(String, String)], expected: &[Ordering]) {
    assert_eq!(pairs.len(), expected.len());
    for ((a, b), expected) in pairs.iter().zip(expected) {
        assert_eq!(scheme.compare(a, b), *expected, "{scheme}: {a} against {b}");
    }
}

#[test]
fn dpkgs_library_agrees() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let pairs: Vec<_> =
        (0..count("LIMPID_ORACLE_PAIRS", 5000)).map(|_| pair(&mut random, dpkg_version)).collect();
    let program = "import sys, apt_pkg\napt_pkg.init_system()\nfor l in sys.stdin:\n a, b = l.rstrip('\\n').split('\\t')\n print(apt_pkg.version_compare(a, b))";
    match python(program, &pairs) {
        Some(expected) => check(Scheme::Dpkg, &pairs, &expected),
        None => skip("python3-apt is not installed, so dpkg's order was not compared with its library's"),
    }
}

#[test]
fn rpms_library_agrees() {
    let mut random = Random(0x0fed_cba9_8765_4321);
    let pairs: Vec<_> =
        (0..count("LIMPID_ORACLE_PAIRS", 5000)).map(|_| pair(&mut random, rpm_version)).collect();
    let program = "import sys, rpm\ndef s(x):\n e, _, r = x.rpartition(':')\n v, _, q = r.rpartition('-')\n return (e or '0', v, q)\nfor l in sys.stdin:\n a, b = l.rstrip('\\n').split('\\t')\n print(rpm.labelCompare(s(a), s(b)))";
    match python(program, &pairs) {
        Some(expected) => check(Scheme::Rpm, &pairs, &expected),
        None => skip("python3-rpm is not installed, so rpm's order was not compared with its library's"),
    }
}

#[test]
fn dpkg_itself_agrees() {
    if Command::new("dpkg").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("dpkg is not installed, so its order was not compared with it");
    }
    let mut random = Random(0x5555_aaaa_1234_4321);
    for _ in 0..count("LIMPID_ORACLE_DPKG", 200) {
        let (a, b) = pair(&mut random, dpkg_version);
        let says = |relation: &str| {
            let arguments = ["--compare-versions", &a, relation, &b];
            let output = Command::new("dpkg").args(arguments).output().unwrap();
            assert!(output.stderr.is_empty(), "dpkg refuses {a} or {b}: {:?}", output.stderr);
            output.status.success()
        };
        let expected = match (says("lt"), says("eq")) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Equal,
            _ => Ordering::Greater,
        };
        assert_eq!(Scheme::Dpkg.compare(&a, &b), expected, "{a} against {b}");
    }
}
