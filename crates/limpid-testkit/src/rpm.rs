//! rpm's databases: headers, and the two forms that no tool at hand can write.
//!
//! `rpm` itself reads what [`rpm_berkeley_db`] writes (in little-endian byte order); the tests let it.

use std::collections::BTreeMap;

/// A header of few tags.
#[derive(Debug, Clone, Default)]
pub struct RpmHeader {
    entries: Vec<(u32, u32, u32, Vec<u8>)>,
}

impl RpmHeader {
    /// A package of that name, version and release.
    pub fn new(name: &str, version: &str, release: &str) -> Self {
        Self::default().text(1000, name).text(1001, version).text(1002, release)
    }

    /// Adds a text.
    pub fn text(self, tag: u32, text: &str) -> Self {
        self.entry(tag, 6, 1, [text.as_bytes(), &[0]].concat())
    }

    /// Adds texts.
    pub fn texts(self, tag: u32, texts: &[&str]) -> Self {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
        self.entry(tag, 8, texts.len(), bytes)
    }

    /// Adds numbers.
    pub fn numbers(self, tag: u32, numbers: &[u32]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        self.entry(tag, 4, numbers.len(), bytes)
    }

    /// Adds bytes.
    pub fn bytes(self, tag: u32, bytes: &[u8]) -> Self {
        self.entry(tag, 7, bytes.len(), bytes.to_vec())
    }

    fn entry(mut self, tag: u32, kind: u32, count: usize, data: Vec<u8>) -> Self {
        self.entries.push((tag, kind, u32::try_from(count).unwrap(), data));
        self
    }

    /// As databases keep it.
    pub fn blob(&self) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (tag, kind, count, bytes) in &self.entries {
            if *kind == 4 {
                data.resize(data.len().next_multiple_of(4), 0);
            }
            let offset = u32::try_from(data.len()).unwrap();
            index.extend([*tag, *kind, offset, *count].iter().flat_map(|number| number.to_be_bytes()));
            data.extend_from_slice(bytes);
        }
        let counts =
            [self.entries.len(), data.len()].map(|count| u32::try_from(count).unwrap().to_be_bytes());
        [counts.concat(), index, data].concat()
    }
}

/// `Packages.db`: headers with their numbers from one on.
pub fn rpm_ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let pages = (blobs.len() + 2).div_ceil(PAGE / 16);
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut file =
        [*b"RpmP", number(0), number(1), number(pages), number(blobs.len() + 1), [0; 4], [0; 4], [0; 4]]
            .concat();
    let mut data = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        let offset = pages * PAGE + data.len();
        let blocks = (16 + blob.len() + 12).div_ceil(16);
        file.extend([*b"Slot", number(index + 1), number(offset / 16), number(blocks)].concat());
        let start = data.len();
        data.extend([*b"BlbS", number(index + 1), number(7), number(blob.len())].concat());
        data.extend_from_slice(blob);
        data.resize(start + blocks * 16 - 12, 0);
        let sum = adler32(&data[start..]).to_le_bytes();
        data.extend([sum, number(blob.len()), *b"BlbE"].concat());
    }
    while file.len() < pages * PAGE {
        file.extend([*b"Slot", [0; 4], [0; 4], [0; 4]].concat());
    }
    file.extend(data);
    file
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

/// How a Berkeley DB hash is to be written.
#[derive(Debug, Clone, Copy)]
pub struct BerkeleyDb {
    /// Version of the hash, 7 to 10.
    pub version: u32,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// As a machine with that byte order would.
    pub big_endian: bool,
}

/// `Packages`: headers with their numbers from one on, in four buckets.
pub fn rpm_berkeley_db(form: BerkeleyDb, blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut file = HashFile { form, bytes: vec![0; form.page_bytes] };
    let mut buckets: BTreeMap<u32, Vec<Pair>> = BTreeMap::new();
    let counter = (0, file.u32(blobs.len()).to_vec());
    let numbered = blobs.iter().cloned().enumerate().map(|(index, blob)| (index + 1, blob));
    for (number, blob) in std::iter::once(counter).chain(numbered) {
        let key = file.u32(number).to_vec();
        let hash = key.iter().fold(0u32, |hash, byte| hash.wrapping_mul(16_777_619) ^ u32::from(*byte));
        buckets.entry(hash & 3).or_default().push((key, blob));
    }
    let mut spares = [0u32; 32];
    for (doubling, group) in [0..1u32, 1..2, 2..4].into_iter().enumerate() {
        let first = file.pages();
        spares[doubling] = u32::try_from(first).unwrap() - group.start;
        for _ in group.clone() {
            file.new_page();
        }
        for bucket in group.clone() {
            let pairs = buckets.remove(&bucket).unwrap_or_default();
            file.bucket(first + (bucket - group.start) as usize, &pairs);
        }
    }
    file.meta(&spares)
}

/// Key and value.
type Pair = (Vec<u8>, Vec<u8>);

struct HashFile {
    form: BerkeleyDb,
    bytes: Vec<u8>,
}

impl HashFile {
    fn u32(&self, number: usize) -> [u8; 4] {
        let number = u32::try_from(number).unwrap();
        if self.form.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn pages(&self) -> usize {
        self.bytes.len() / self.form.page_bytes
    }

    fn new_page(&mut self) -> usize {
        let number = self.pages();
        self.bytes.resize(self.bytes.len() + self.form.page_bytes, 0);
        self.put(number, 8, number);
        number
    }

    fn put(&mut self, page: usize, at: usize, value: usize) {
        let value = self.u32(value);
        self.put_bytes(page, at, &value);
    }

    fn put_half(&mut self, page: usize, at: usize, value: usize) {
        let value = u16::try_from(value).unwrap();
        let bytes = if self.form.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.put_bytes(page, at, &bytes);
    }

    fn put_bytes(&mut self, page: usize, at: usize, bytes: &[u8]) {
        let at = page * self.form.page_bytes + at;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Hash pages with their items from the end downwards; what does not fit goes to a further page.
    fn bucket(&mut self, first: usize, pairs: &[Pair]) {
        let kind = if self.form.version < 9 { 2 } else { 13 };
        let (mut page, mut entries, mut free) = (first, 0, self.form.page_bytes);
        self.put_bytes(page, 25, &[kind]);
        for (key, value) in pairs {
            let key = [&[1][..], key].concat();
            let value = if value.len() < self.form.page_bytes / 8 {
                [&[1][..], value].concat()
            } else {
                let (first, length) = (self.overflow(value), value.len());
                [&[3, 0, 0, 0][..], &self.u32(first), &self.u32(length)].concat()
            };
            if 26 + 2 * (entries + 2) + key.len() + value.len() > free {
                let next = self.new_page();
                self.put(page, 16, next);
                self.put(next, 12, page);
                (page, entries, free) = (next, 0, self.form.page_bytes);
                self.put_bytes(page, 25, &[kind]);
            }
            for item in [key, value] {
                free -= item.len();
                self.put_bytes(page, free, &item);
                self.put_half(page, 26 + 2 * entries, free);
                entries += 1;
            }
            self.put_half(page, 20, entries);
            self.put_half(page, 22, free);
        }
    }

    /// The first page of a chain that holds the value.
    fn overflow(&mut self, value: &[u8]) -> usize {
        let mut first = 0;
        let mut last = 0;
        for part in value.chunks(self.form.page_bytes - 26) {
            let page = self.new_page();
            self.put_half(page, 20, 1);
            self.put_half(page, 22, part.len());
            self.put_bytes(page, 25, &[7]);
            self.put_bytes(page, 26, part);
            if last == 0 {
                first = page;
            } else {
                self.put(last, 16, page);
                self.put(page, 12, last);
            }
            last = page;
        }
        first
    }

    fn meta(mut self, spares: &[u32; 32]) -> Vec<u8> {
        let last_page = self.pages() - 1;
        let version = self.form.version as usize;
        for (at, value) in [(12, 0x0006_1561), (16, version), (20, self.form.page_bytes), (32, last_page)] {
            self.put(0, at, value);
        }
        self.put_bytes(0, 25, &[8]);
        // The highest bucket, the masks of this doubling and the one before.
        for (at, value) in [(72, 3), (76, 3), (80, 1)] {
            self.put(0, at, value);
        }
        for (place, pages) in spares.iter().enumerate() {
            self.put(0, 96 + 4 * place, *pages as usize);
        }
        self.bytes
    }
}
