//! The registry's images as a scan hands them to the store: layers' findings, what each layer changed, and the image's
//! own description. Sizes follow what scans of real images keep: whole databases in the findings of a layer that
//! changes packages, the hashes of some files of each package that it brings, some links in any layer.

use std::collections::{BTreeMap, HashMap, HashSet};

use limpid_extract::EXTRACTORS;
use limpid_index::COMPOSER_VERSION;
use limpid_model::{
    Digest, ExtractorVersion, FileOwner, FileRecord, Hasher, ImageMetadata, LayerFindings, LayerMetadata,
    Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Platform, Record, TreeEntry,
    TreeEntryKind,
};
use limpid_store::LayerRecord;

use super::lists::BaseList;
use super::random::rng;
use super::registry::{Build, Changes, LAYERS, PackageSet, Registry};

/// When the first image came, in seconds since the epoch: 2026-01-01.
pub(crate) const EPOCH: i64 = 1_767_225_600;
/// Seconds between two images.
const SECONDS_PER_IMAGE: i64 = 15;

/// An image, ready to be stored.
pub(crate) struct Image {
    /// Its number in the registry.
    pub(crate) number: u32,
    pub(crate) metadata: ImageMetadata,
    /// What its layers say, base first. Of layers that an image before had only the digest: the store looks at no more
    /// of a layer that it knows.
    pub(crate) layers: Vec<LayerRecord>,
    /// For each layer, the key of the chain that ends with it, and what it changed if the set is new.
    pub(crate) steps: Vec<(Digest, PackageDiff)>,
    /// The tag that is this image's alone.
    pub(crate) reference: String,
    /// The tag that moves to it, if it is a build that does that.
    pub(crate) moving: Option<String>,
    pub(crate) seen_at: i64,
}

/// When an image is seen first.
pub(crate) fn seen_at(number: u32) -> i64 {
    EPOCH + i64::from(number) * SECONDS_PER_IMAGE
}

/// The digest of an image's manifest.
pub(crate) fn manifest_digest(registry: &Registry, number: u32) -> Digest {
    digest(&[registry.seed, 100, u64::from(number)])
}

/// The repository that an image is in.
pub(crate) fn repository(registry: &Registry, set: PackageSet) -> String {
    let team = registry.stacks[usize::from(set.stack)].team;
    format!("registry.example/team-{team}/service-{}", set.repository)
}

/// Which layer it is: the same for all images that share it.
type LayerKey = [u64; 4];

/// Makes images; knows which layers came before.
pub(crate) struct Images<'a> {
    registry: &'a Registry,
    extractors: Vec<ExtractorVersion>,
    known_layers: HashSet<LayerKey>,
    /// The chain below the repositories' own layers, by stack and build of the base.
    below: HashMap<(u16, u16), Vec<Digest>>,
    /// The chain up to the repository's own layer.
    own: HashMap<u32, (PackageSet, Digest)>,
    /// Whether every image comes with all that its layers say.
    whole: bool,
}

impl<'a> Images<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        let mut extractors: Vec<ExtractorVersion> = EXTRACTORS
            .iter()
            .map(|extractor| ExtractorVersion {
                name: extractor.name().to_owned(),
                version: extractor.version(),
            })
            .collect();
        extractors.sort();
        let (known_layers, below, own) = (HashSet::new(), HashMap::new(), HashMap::new());
        Self { registry, extractors, known_layers, below, own, whole: false }
    }

    /// Images that come with all that their layers say, for a store that may have forgotten what it knew.
    pub(crate) fn whole(registry: &'a Registry) -> Self {
        Self { whole: true, ..Self::new(registry) }
    }

    pub(crate) fn image(&mut self, build: &Build) -> Image {
        let keys = self.keys(build);
        let changes = (build.is_new_set || self.whole).then(|| self.registry.layers(build.set));
        let mut layers = Vec::with_capacity(LAYERS);
        for (position, key) in keys.iter().enumerate() {
            // Those of a repository are new by what the build says; only shared ones must be remembered.
            let is_new = self.whole
                || match position {
                    0..=6 => build.is_new_set && self.known_layers.insert(*key),
                    7 => build.is_new_set,
                    8 => build.dependencies == build.number,
                    _ => true,
                };
            let changes = changes.as_ref();
            let findings = is_new.then(|| self.findings(key, position, build.set, changes));
            layers.push(self.layer(key, findings.unwrap_or_default()));
        }
        let chain = self.chain(build, &keys, changes.as_ref());
        let base = self.base(build.set);
        let diff_at = |position: usize| changes.as_ref().map(|changes| diff(base, &changes[position]));
        let steps = chain.into_iter().enumerate();
        let steps = steps.map(|(position, key)| (key, diff_at(position).unwrap_or_default())).collect();
        let repository = repository(self.registry, build.set);
        let moving = build.nth.is_multiple_of(4).then(|| format!("{repository}:latest"));
        Image {
            number: build.number,
            metadata: self.metadata(build, &keys, &repository),
            layers,
            steps,
            reference: format!("{repository}:1.{}.{}", build.nth / 10, build.nth % 10),
            moving,
            seen_at: seen_at(build.number),
        }
    }

    fn base(&self, set: PackageSet) -> &'a BaseList {
        &self.registry.bases[self.registry.stacks[usize::from(set.stack)].base]
    }

    fn keys(&self, build: &Build) -> [LayerKey; LAYERS] {
        let repository = u64::from(build.set.repository);
        std::array::from_fn(|position| match position {
            0..=7 => key_of_set(self.registry, build.set, position),
            8 => [18, repository, u64::from(build.dependencies), 0],
            _ => [19, repository, u64::from(build.number), 0],
        })
    }

    /// What a scan keeps of the layer.
    fn layer(&self, key: &LayerKey, findings: LayerFindings) -> LayerRecord {
        let size_bytes = rng(key).u64(1 << 10..1 << 26);
        let uncompressed_bytes = size_bytes * 3;
        let digest = layer_digest(self.registry, key);
        LayerRecord { digest, size_bytes, uncompressed_bytes, findings, searched: Default::default() }
    }

    fn findings(
        &self,
        key: &LayerKey,
        position: usize,
        set: PackageSet,
        changes: Option<&[Changes; LAYERS]>,
    ) -> LayerFindings {
        let mut rng = rng(key);
        let mut findings = LayerFindings { extractors: self.extractors.clone(), ..LayerFindings::default() };
        let changed = changes.map(|changes| changes[position].as_slice()).unwrap_or_default();
        if changed.is_empty() {
            for link in 0..rng.usize(0..4) {
                let path = format!("srv/app/bin/tool-{}", rng.u16(..));
                let target = format!("../lib/node_modules/tool/bin-{link}.js");
                findings.entries.push(TreeEntry { path, kind: TreeEntryKind::Symlink(target) });
            }
            return findings;
        }
        let base = self.base(set);
        let database = base.database;
        let mut record = |path: &str, extractor: &str, record, owners| {
            findings.entries.push(TreeEntry { path: path.to_owned(), kind: TreeEntryKind::File });
            let (path, extractor) = (path.to_owned(), extractor.to_owned());
            findings.records.push(FileRecord { path, extractor, record, owners });
        };
        if position == 0 {
            record(
                "etc/os-release",
                "os-release",
                Record::Distribution(base.distribution.clone()),
                Vec::new(),
            );
        }
        let after = changes.map(|changes| packages(&changes[..=position])).unwrap_or_default();
        record(database.path, database.extractor, Record::Packages(after), Vec::new());
        if database.kind == PackageType::Deb {
            for (_, package) in changed {
                let paths: Vec<u64> = (0..rng.usize(0..8)).map(|_| rng.u64(..)).collect();
                if !paths.is_empty() {
                    let path = format!("var/lib/dpkg/info/{}.list", package.name);
                    record(
                        &path,
                        "dpkg-files",
                        Record::Files,
                        vec![FileOwner { package: String::new(), paths }],
                    );
                }
            }
        }
        findings.records.sort_by(|a, b| (&a.path, &a.extractor).cmp(&(&b.path, &b.extractor)));
        findings
    }

    /// The keys of the chain of layers, as composition makes them.
    fn chain(
        &mut self,
        build: &Build,
        keys: &[LayerKey; LAYERS],
        changes: Option<&[Changes; LAYERS]>,
    ) -> Vec<Digest> {
        let shared = (build.set.stack, build.set.build);
        let mut chain = match self.below.get(&shared) {
            Some(below) => below.clone(),
            None => {
                let mut below = Vec::new();
                (0..7).for_each(|position| self.extend(&mut below, keys, position, build.set, changes));
                self.below.insert(shared, below.clone());
                below
            }
        };
        match self.own.get(&build.set.repository).filter(|(set, _)| *set == build.set) {
            Some((_, own)) => chain.push(*own),
            None => {
                self.extend(&mut chain, keys, 7, build.set, changes);
                self.own.insert(build.set.repository, (build.set, chain[7]));
            }
        }
        (8..LAYERS).for_each(|position| self.extend(&mut chain, keys, position, build.set, None));
        chain
    }

    fn extend(
        &self,
        chain: &mut Vec<Digest>,
        keys: &[LayerKey; LAYERS],
        position: usize,
        set: PackageSet,
        changes: Option<&[Changes; LAYERS]>,
    ) {
        let findings = self.findings(&keys[position], position, set, changes);
        let findings = postcard::to_stdvec(&findings).unwrap_or_default();
        let mut hasher = Hasher::new();
        hasher.update(&COMPOSER_VERSION.to_le_bytes());
        if let Some(parent) = chain.last() {
            hasher.update(parent.as_bytes());
        }
        hasher.update(Digest::of(&findings).as_bytes());
        chain.push(hasher.finish());
    }

    fn metadata(&self, build: &Build, keys: &[LayerKey; LAYERS], repository: &str) -> ImageMetadata {
        let number = u64::from(build.number);
        let revision = digest(&[self.registry.seed, 101, number]).hex();
        let stack = self.registry.stacks[usize::from(build.set.stack)];
        let version = format!("1.{}.{}", build.nth / 10, build.nth % 10);
        let label = |name: &str, value: String| (name.to_owned(), value);
        ImageMetadata {
            manifest_digest: manifest_digest(self.registry, build.number),
            config_digest: Some(digest(&[self.registry.seed, 102, number])),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: String::new(),
            },
            os_version: String::new(),
            created: time(seen_at(build.number) - 60),
            environment: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                "LANG=C.UTF-8".to_owned(),
                format!("STACK_VERSION={}.{}", build.set.stack, build.set.build),
                format!("APP_VERSION={version}"),
            ],
            labels: vec![
                label("org.opencontainers.image.created", time(seen_at(build.number) - 60)),
                label("org.opencontainers.image.revision", revision[..40].to_owned()),
                label(
                    "org.opencontainers.image.source",
                    format!("https://git.example/{}", &repository[17..]),
                ),
                label("org.opencontainers.image.version", version),
                label("team", format!("team-{}", stack.team)),
            ],
            layers: keys
                .iter()
                .enumerate()
                .map(|(position, key)| self.layer_metadata(build, position, key))
                .collect(),
        }
    }

    fn layer_metadata(&self, build: &Build, position: usize, key: &LayerKey) -> LayerMetadata {
        let set = build.set;
        let created = match position {
            0..=6 => EPOCH + i64::from(set.build) * 86_400,
            7 => seen_at(set.since) - 300,
            8 => seen_at(build.dependencies) - 200,
            _ => seen_at(build.number) - 60,
        };
        let digest = layer_digest(self.registry, key);
        LayerMetadata {
            digest,
            diff_id: Some(Digest::of(digest.as_bytes())),
            size_bytes: rng(key).u64(1 << 10..1 << 26),
            command: command(self.registry, set, position, key),
            created: time(created),
        }
    }
}

/// The packages after some layers, sorted.
pub(crate) fn packages(layers: &[Changes]) -> Vec<Package> {
    let mut all = BTreeMap::new();
    for (_, package) in layers.iter().flatten() {
        all.insert((package.name.clone(), package.arch.clone()), package.clone());
    }
    let mut all: Vec<Package> = all.into_values().collect();
    all.sort();
    all
}

/// A package in the world of its base, as composition puts it there.
pub(crate) fn occurrence(base: &BaseList, package: &Package) -> Occurrence {
    let context = limpid_match::context(Some(&base.distribution), package, &[]);
    Occurrence { package: package.clone(), context, owner: Owner::default() }
}

fn diff(base: &BaseList, changes: &Changes) -> PackageDiff {
    let placed = |package: &Package| PlacedOccurrence {
        occurrence: occurrence(base, package),
        path: base.database.path.to_owned(),
    };
    let mut diff = PackageDiff::default();
    for (before, after) in changes {
        match before {
            Some(before) => diff.upgraded.push((occurrence(base, before), placed(after))),
            None => diff.installed.push(placed(after)),
        }
    }
    diff.installed.sort();
    diff.upgraded.sort();
    diff
}

fn layer_digest(registry: &Registry, key: &LayerKey) -> Digest {
    digest(&[registry.seed, key[0], key[1], key[2], key[3]])
}

/// The digest of the layer at a position of an image, and the command that made it, where all images with its package
/// set share it.
pub(crate) fn layer_of_set(registry: &Registry, set: PackageSet, position: usize) -> (Digest, String) {
    let key = key_of_set(registry, set, position);
    (layer_digest(registry, &key), command(registry, set, position, &key))
}

/// The key of a layer up to the repository's own.
fn key_of_set(registry: &Registry, set: PackageSet, position: usize) -> LayerKey {
    let base = registry.stacks[usize::from(set.stack)].base;
    match position {
        0..=3 => [10 + position as u64, base as u64, u64::from(set.build), 0],
        4..=6 => [10 + position as u64, u64::from(set.stack), u64::from(set.build), 0],
        _ => [17, u64::from(set.repository), u64::from(set.since), 0],
    }
}

/// The command that made a layer.
fn command(registry: &Registry, set: PackageSet, position: usize, key: &LayerKey) -> String {
    let PackageSet { stack, repository, .. } = set;
    let install = "RUN /bin/sh -c set -eux; apt-get update; apt-get install -y --no-install-recommends";
    let clean = "rm -rf /var/lib/apt/lists/* # buildkit";
    match position {
        0 => format!("ADD file:{} in / ", layer_digest(registry, key).hex()),
        1 => "ENV LANG=C.UTF-8".to_owned(),
        2 => format!("{install} ca-certificates netbase tzdata; {clean}"),
        3 => "CMD [\"bash\"]".to_owned(),
        4 => format!("{install} runtime-{stack}; {clean}"),
        5 => format!("{install} framework-{stack} && ldconfig; {clean}"),
        6 => "COPY docker-entrypoint.sh /usr/local/bin/ # buildkit".to_owned(),
        7 => format!("{install} service-{repository}-dependencies && apt-get upgrade -y; {clean}"),
        8 => format!("COPY --chown=app:app vendor/ /srv/service-{repository}/vendor/ # buildkit"),
        _ => format!("COPY --chown=app:app . /srv/service-{repository}/ # buildkit"),
    }
}

fn digest(parts: &[u64]) -> Digest {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
    Digest::of(&bytes)
}

/// Seconds since the epoch as RFC 3339.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
