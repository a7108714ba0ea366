-- Schema 5. Digests are 32-byte blobs, times are seconds since the epoch, texts compare by bytes.
--
-- Rows of which there are as many as images are kept small: an index on a digest has its first eight bytes, and the rest
-- is compared in the row; what many rows say alike is said once.

-- Strings that many rows share: package names of feeds, releases, advisory ids, paths of databases.
CREATE TABLE text (
    text_id INTEGER PRIMARY KEY,
    value TEXT NOT NULL UNIQUE
) STRICT;

-- Lists of extractors with their versions: one for every Limpid that read a layer. Never freed.
CREATE TABLE extractors (
    extractors_id INTEGER PRIMARY KEY,
    body BLOB NOT NULL UNIQUE
) STRICT;

-- First memo table: what a layer says, by its verified digest.
CREATE TABLE layer (
    layer_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    uncompressed_bytes INTEGER NOT NULL,
    -- How often it was read to its end.
    analysed INTEGER NOT NULL,
    extractors_id INTEGER NOT NULL,
    -- What was looked for in it beside what extractors want, encoded.
    searched BLOB NOT NULL,
    findings BLOB NOT NULL
) STRICT;
CREATE INDEX layer_digest ON layer (substr(digest, 1, 8));

CREATE TABLE lease (
    task TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE package (
    package_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    arch TEXT NOT NULL,
    source_name TEXT NOT NULL,
    source_version TEXT NOT NULL,
    facts BLOB NOT NULL
) STRICT;
CREATE INDEX package_name ON package (name, version);
CREATE INDEX package_source ON package (source_name);

CREATE TABLE context (
    context_id INTEGER PRIMARY KEY,
    release TEXT NOT NULL,
    body BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE occurrence (
    occurrence_id INTEGER PRIMARY KEY,
    package_id INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    owner TEXT NOT NULL,
    UNIQUE (package_id, context_id, owner)
) STRICT;

-- Second memo table: package set nodes, a tree. `node_key` is a digest of the parent's key and the diff.
CREATE TABLE node (
    node_id INTEGER PRIMARY KEY,
    node_key BLOB NOT NULL,
    parent_id INTEGER,
    diff BLOB NOT NULL
) STRICT;
CREATE INDEX node_node_key ON node (substr(node_key, 1, 8));
CREATE INDEX node_parent ON node (parent_id);

-- Which chain of layers leads to which node: layers that change no package collapse here.
CREATE TABLE chain (
    chain_key BLOB PRIMARY KEY,
    node_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which nodes bring (1) or take away (0) an occurrence.
CREATE TABLE node_change (
    occurrence_id INTEGER NOT NULL,
    node_id INTEGER NOT NULL,
    brings INTEGER NOT NULL,
    PRIMARY KEY (occurrence_id, node_id, brings)
) STRICT, WITHOUT ROWID;

-- Ids grow with first_seen, whatever the clock does.
CREATE TABLE image (
    image_id INTEGER PRIMARY KEY,
    manifest_digest BLOB NOT NULL,
    -- The node of its last layer, 0 without any.
    node_id INTEGER NOT NULL,
    config_id INTEGER NOT NULL,
    analysed_at INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    release TEXT NOT NULL,
    -- What only this image says, with its layers, their nodes and its labels by id: see images.rs.
    body BLOB NOT NULL
) STRICT;
CREATE INDEX image_manifest_digest ON image (substr(manifest_digest, 1, 8));
CREATE INDEX image_node ON image (node_id);
CREATE INDEX image_config ON image (config_id);

-- The node that an image had until it was analysed anew, up to a revision: what was said of it by then was said of that.
CREATE TABLE image_former (
    image_id INTEGER NOT NULL,
    until_revision INTEGER NOT NULL,
    node_id INTEGER NOT NULL,
    PRIMARY KEY (image_id, until_revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_former_node ON image_former (node_id);

-- What images say of themselves and many say alike: platform, environment, distribution. `hash` is of the body.
CREATE TABLE config (
    config_id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX config_hash ON config (hash);

-- Labels. `hash` is of key and value.
CREATE TABLE label (
    label_id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL
) STRICT;
CREATE INDEX label_hash ON label (hash);

CREATE TABLE image_label (
    label_id INTEGER NOT NULL,
    image_id INTEGER NOT NULL,
    PRIMARY KEY (label_id, image_id)
) STRICT, WITHOUT ROWID;

-- What configs say of a layer: its command, when it was made, what it is unpacked. Nearly always all that have the layer
-- say the same, number 0; the numbers of further ones are bits of a hash.
CREATE TABLE description (
    layer_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (layer_id, number)
) STRICT, WITHOUT ROWID;

-- Which images have a layer with a description.
CREATE TABLE image_layer (
    layer_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    image_id INTEGER NOT NULL,
    PRIMARY KEY (layer_id, number, image_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE repository (
    repository_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- `tag` is what follows the repository: `:tag`, `@digest`, both or nothing.
CREATE TABLE reference (
    repository_id INTEGER NOT NULL,
    tag TEXT NOT NULL,
    image_id INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (repository_id, tag, image_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_image ON reference (image_id);

-- The index over occurrences: see segment.rs. A segment covers all images from one id to another; the next begins behind it.
CREATE TABLE segment (
    segment_id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_image INTEGER NOT NULL,
    last_image INTEGER NOT NULL,
    -- How many images it has positions for.
    images INTEGER NOT NULL,
    -- Which they are, and their releases.
    body BLOB NOT NULL
) STRICT;

-- Its larger lists in pieces: kind 0, the images by position; kind 1, positions by occurrence. `first` is the first
-- position or occurrence of the piece.
CREATE TABLE segment_part (
    segment_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    first INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (segment_id, kind, first)
) STRICT;

-- Images of which a segment that covers them knows nothing, or something that holds no longer: forgotten, or analysed anew.
CREATE TABLE displaced (
    image_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE feed (
    feed_id INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    document TEXT NOT NULL,
    url TEXT NOT NULL,
    parser_version INTEGER NOT NULL,
    etag TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    revision INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    succeeded_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    date TEXT NOT NULL,
    records INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    UNIQUE (feed, document)
) STRICT;

CREATE TABLE revision (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    feed_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    added INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    -- What the source said of its data's date.
    date TEXT NOT NULL,
    -- Why there is a revision: see `RevisionOrigin`.
    origin INTEGER NOT NULL,
    -- The greatest id of an image by then: those with greater ids were judged at this revision or a later one from the start.
    last_image INTEGER NOT NULL
) STRICT;
CREATE INDEX revision_feed ON revision (feed_id);

-- An advisory's details held from from_revision until before to_revision (NULL: still). The severity and
-- whether it was withdrawn stand in the body too; a verdict needs them without the rest. What several feeds say
-- of one vulnerability comes together under vulnerability_text.
CREATE TABLE advisory (
    advisory_id INTEGER PRIMARY KEY,
    feed_id INTEGER NOT NULL,
    id_text INTEGER NOT NULL,
    vulnerability_text INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    severity_word TEXT NOT NULL,
    withdrawn INTEGER NOT NULL,
    body BLOB NOT NULL,
    from_revision INTEGER NOT NULL,
    to_revision INTEGER
) STRICT;
CREATE INDEX advisory_id_text ON advisory (id_text, feed_id);
CREATE INDEX advisory_vulnerability ON advisory (vulnerability_text);

CREATE TABLE alias (
    alias_text INTEGER NOT NULL,
    id_text INTEGER NOT NULL,
    PRIMARY KEY (alias_text, id_text)
) STRICT, WITHOUT ROWID;

-- What an advisory says of a package in a release, between revisions.
CREATE TABLE affected (
    affected_id INTEGER PRIMARY KEY,
    feed_id INTEGER NOT NULL,
    id_text INTEGER NOT NULL,
    package_text INTEGER NOT NULL,
    release_text INTEGER NOT NULL,
    body BLOB NOT NULL,
    from_revision INTEGER NOT NULL,
    to_revision INTEGER
) STRICT;
CREATE INDEX affected_package ON affected (package_text, release_text);
CREATE INDEX affected_id_text ON affected (id_text);
CREATE INDEX affected_current ON affected (feed_id) WHERE to_revision IS NULL;
CREATE INDEX affected_from ON affected (from_revision);
CREATE INDEX affected_to ON affected (to_revision) WHERE to_revision IS NOT NULL;
CREATE INDEX advisory_from ON advisory (from_revision);
CREATE INDEX advisory_to ON advisory (to_revision) WHERE to_revision IS NOT NULL;
CREATE INDEX advisory_current ON advisory (feed_id) WHERE to_revision IS NULL;

-- For which releases a document has anything to say, and since when.
CREATE TABLE feed_release (
    release_text INTEGER NOT NULL,
    feed_id INTEGER NOT NULL,
    records INTEGER NOT NULL,
    from_revision INTEGER NOT NULL,
    PRIMARY KEY (release_text, feed_id)
) STRICT, WITHOUT ROWID;

-- Third memo table: verdicts by package version and context. An update that names the package makes them stale:
-- `rules_version` is 0 then. `listed` has the vulnerabilities whose `exposure` has the occurrences, encoded; NULL for none yet.
CREATE TABLE verdict (
    package_id INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    rules_version INTEGER NOT NULL,
    body BLOB NOT NULL,
    listed BLOB,
    PRIMARY KEY (package_id, context_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdict_rules ON verdict (rules_version);

-- Verdicts turned round: the ids of the occurrences that a vulnerability affects, as a roaring bitmap.
CREATE TABLE exposure (
    vulnerability_text INTEGER PRIMARY KEY,
    occurrences BLOB NOT NULL
) STRICT;

-- Occurrences that `exposure` does not have as their verdicts are now.
CREATE TABLE unlisted (
    occurrence_id INTEGER PRIMARY KEY
) STRICT;

-- The source that a signed package's code comes from, of those that have verdicts: advisories name that.
CREATE TABLE signed_source (
    source_name TEXT NOT NULL,
    package_id INTEGER NOT NULL,
    PRIMARY KEY (source_name, package_id)
) STRICT, WITHOUT ROWID;

-- Which products (CPEs) a repository serves, between revisions (NULL: still).
CREATE TABLE repository_cpe (
    repository TEXT NOT NULL,
    cpe TEXT NOT NULL,
    from_revision INTEGER NOT NULL,
    to_revision INTEGER,
    PRIMARY KEY (repository, cpe, from_revision)
) STRICT, WITHOUT ROWID;

-- Scores of vulnerabilities that change daily, the newest day's only. `cve` is year and number; probability and
-- percentile are in hundred-thousandths.
CREATE TABLE score (
    feed_id INTEGER NOT NULL,
    cve INTEGER NOT NULL,
    probability INTEGER NOT NULL,
    percentile INTEGER,
    PRIMARY KEY (feed_id, cve)
) STRICT, WITHOUT ROWID;

CREATE TABLE score_day (
    feed_id INTEGER PRIMARY KEY,
    date TEXT NOT NULL,
    model_version TEXT NOT NULL
) STRICT;

-- When the record of a single CVE was last asked for, whether there was one or not.
CREATE TABLE record_check (
    cve INTEGER PRIMARY KEY,
    checked_at INTEGER NOT NULL
) STRICT;

-- What nothing was seen to use, and since when. Kinds are those of `Kind`.
CREATE TABLE unused (
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- The greatest id that was ever freed: who still holds an id must not find another row under it.
CREATE TABLE freed (
    kind INTEGER PRIMARY KEY,
    greatest_id INTEGER NOT NULL
) STRICT;

-- Work that waits, is being done, or was. States are those of `JobState`.
CREATE TABLE job (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    job_key BLOB NOT NULL,
    -- How to do it. May hold credentials: emptied when the job is done or called off.
    options BLOB NOT NULL,
    priority INTEGER NOT NULL,
    state INTEGER NOT NULL,
    -- How often it was taken.
    attempts INTEGER NOT NULL,
    -- How often it failed since it was added or was done last.
    failures INTEGER NOT NULL,
    -- Whether a worker died with it.
    lost INTEGER NOT NULL,
    -- Whether it was added once more while it ran.
    again INTEGER NOT NULL,
    -- Of those that wait the smallest is taken first: when it is due, earlier by its priority.
    turn INTEGER NOT NULL,
    added_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    worker TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX job_open ON job (kind, job_key) WHERE state IN (0, 1);
CREATE INDEX job_turn ON job (turn, job_id, due_at, kind) WHERE state = 0;
CREATE INDEX job_worker ON job (worker) WHERE state = 1;
CREATE INDEX job_ended ON job (state, ended_at) WHERE state >= 2;

-- Who holds jobs, and until when unless it says again that it lives.
CREATE TABLE worker (
    worker TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When what is done every so often was last begun, by whichever process.
CREATE TABLE schedule (
    task TEXT PRIMARY KEY,
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, in the order of commits: numbers are never given again. An event on an image has its id and nothing
-- else; one on a vulnerability has an id of its own and a body.
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    image_id INTEGER,
    event_id BLOB,
    body BLOB
) STRICT;
CREATE UNIQUE INDEX event_event_id ON event (event_id) WHERE event_id IS NOT NULL;

-- One row: what ids of events are derived with, and how far events were derived. `step_revision` and `step_after` are those
-- of a step that is under way.
CREATE TABLE event_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed BLOB NOT NULL,
    revision INTEGER NOT NULL,
    rules_version INTEGER NOT NULL,
    step_revision INTEGER,
    step_after TEXT
) STRICT;
INSERT INTO event_state (id, seed, revision, rules_version) VALUES (1, randomblob(16), 0, 0);

-- Verdicts by the rules before, until events have told what the new rules changed.
CREATE TABLE former_verdict (
    package_id INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    rules_version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (package_id, context_id)
) STRICT, WITHOUT ROWID;

-- Where events are delivered to. The cursor is the last event that the channel is done with.
CREATE TABLE channel (
    name TEXT PRIMARY KEY,
    target TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    last_error TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    channel TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    died_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    is_due INTEGER NOT NULL,
    PRIMARY KEY (channel, number)
) STRICT, WITHOUT ROWID;
