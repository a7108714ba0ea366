//! Invariants between rows, each as a query for the rows that break it. Every engine's `check.rs` asks them all, so they
//! are written in what the engines' SQL has in common. What differs stands in braces: `{event}` is the last event's number.

use crate::upkeep::{Broken, CheckReport};

/// A lease that runs for longer was made by a clock that is wrong, or by nobody of ours.
pub(crate) const LEASE_SECONDS_MAX: i64 = 24 * 3600;

/// Table, what is wrong, and a query for what names each such row.
pub(crate) type Rule = (&'static str, &'static str, &'static str);

/// Invariants between rows. `?1` is the latest end that a lease can have.
pub(crate) const RULES: &[Rule] = &[
    ("node", "whose parent is missing", "SELECT 'node ' || node_id FROM node n WHERE parent_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM node p WHERE p.node_id = n.parent_id)"),
    // Collections rely on it, and there is no way in a circle.
    ("node", "that are not newer than their parent", "SELECT 'node ' || node_id FROM node WHERE parent_id >= node_id"),
    ("node", "whose key is not 32 bytes", "SELECT 'node ' || node_id FROM node WHERE length(node_key) != 32"),
    ("chain", "that lead to no node", "SELECT 'chain to node ' || node_id FROM chain c
        WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.node_id = c.node_id)"),
    ("node_change", "of nodes that are missing", "SELECT 'node ' || node_id || ', occurrence ' || occurrence_id
        FROM node_change c WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.node_id = c.node_id)"),
    ("node_change", "of occurrences that are missing", "SELECT 'node ' || node_id || ', occurrence ' || occurrence_id
        FROM node_change c WHERE NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.occurrence_id = c.occurrence_id)"),
    ("image", "whose last node is missing", "SELECT 'image ' || image_id FROM image i WHERE node_id != 0
        AND NOT EXISTS (SELECT 1 FROM node n WHERE n.node_id = i.node_id)"),
    ("image", "first seen before one with a lower id", "SELECT 'image ' || image_id FROM (SELECT image_id, first_seen,
        max(first_seen) OVER (ORDER BY image_id ROWS UNBOUNDED PRECEDING) AS latest FROM image) AS i WHERE first_seen < latest"),
    ("image", "whose config is missing", "SELECT 'image ' || image_id FROM image i
        WHERE NOT EXISTS (SELECT 1 FROM config c WHERE c.config_id = i.config_id)"),
    ("image", "that are there more than once", "SELECT 'image ' || max(image_id) FROM image GROUP BY manifest_digest HAVING count(*) > 1"),
    ("layer", "that are there more than once", "SELECT 'layer ' || max(layer_id) FROM layer GROUP BY digest HAVING count(*) > 1"),
    ("layer", "whose extractors are missing", "SELECT 'layer ' || layer_id FROM layer l
        WHERE NOT EXISTS (SELECT 1 FROM extractors e WHERE e.extractors_id = l.extractors_id)"),
    ("node", "that are there more than once", "SELECT 'node ' || max(node_id) FROM node GROUP BY node_key HAVING count(*) > 1"),
    ("image_former", "of images that are missing", "SELECT 'image ' || image_id FROM image_former f
        WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.image_id = f.image_id)"),
    ("image_former", "whose node is missing", "SELECT 'image ' || image_id FROM image_former f WHERE node_id != 0
        AND NOT EXISTS (SELECT 1 FROM node n WHERE n.node_id = f.node_id)"),
    ("segment", "that do not cover the images behind the one before", "SELECT 'segment ' || segment_id FROM (
        SELECT segment_id, first_image, last_image, coalesce(lag(last_image) OVER (ORDER BY first_image), 0) AS before FROM segment) AS s
        WHERE first_image != before + 1 OR last_image < first_image"),
    ("segment_part", "of segments that are missing", "SELECT 'segment ' || segment_id || ', ' || first FROM segment_part p
        WHERE NOT EXISTS (SELECT 1 FROM segment s WHERE s.segment_id = p.segment_id)"),
    ("config", "that no image has", "SELECT 'config ' || config_id FROM config c
        WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.config_id = c.config_id)"),
    ("label", "that no image has", "SELECT 'label ' || label_id FROM label l
        WHERE NOT EXISTS (SELECT 1 FROM image_label i WHERE i.label_id = l.label_id)"),
    ("image_label", "of images that are missing", "SELECT 'image ' || image_id FROM image_label l
        WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.image_id = l.image_id)"),
    ("image_label", "whose label is missing", "SELECT 'image ' || image_id || ', label ' || label_id FROM image_label i
        WHERE NOT EXISTS (SELECT 1 FROM label l WHERE l.label_id = i.label_id)"),
    ("description", "that no image has", "SELECT 'layer ' || layer_id || ', ' || number FROM description d
        WHERE NOT EXISTS (SELECT 1 FROM image_layer i WHERE i.layer_id = d.layer_id AND i.number = d.number)"),
    ("image_layer", "of images that are missing", "SELECT 'image ' || image_id FROM image_layer l
        WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.image_id = l.image_id)"),
    ("image_layer", "whose layer is missing", "SELECT 'image ' || image_id || ', layer ' || layer_id FROM image_layer l
        WHERE NOT EXISTS (SELECT 1 FROM layer y WHERE y.layer_id = l.layer_id)"),
    ("image_layer", "whose description is missing", "SELECT 'image ' || image_id || ', layer ' || layer_id FROM image_layer l
        WHERE NOT EXISTS (SELECT 1 FROM description d WHERE d.layer_id = l.layer_id AND d.number = l.number)"),
    ("repository", "without a reference", "SELECT name FROM repository p
        WHERE NOT EXISTS (SELECT 1 FROM reference r WHERE r.repository_id = p.repository_id)"),
    ("reference", "whose repository is missing", "SELECT 'image ' || image_id FROM reference r
        WHERE NOT EXISTS (SELECT 1 FROM repository p WHERE p.repository_id = r.repository_id)"),
    ("reference", "to images that are missing", "SELECT 'image ' || image_id FROM reference r
        WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.image_id = r.image_id)"),
    ("reference", "last seen before they were first seen", "SELECT 'image ' || image_id FROM reference WHERE last_seen < first_seen"),
    ("occurrence", "whose package is missing", "SELECT 'occurrence ' || occurrence_id FROM occurrence o
        WHERE NOT EXISTS (SELECT 1 FROM package p WHERE p.package_id = o.package_id)"),
    ("occurrence", "whose context is missing", "SELECT 'occurrence ' || occurrence_id FROM occurrence o
        WHERE NOT EXISTS (SELECT 1 FROM context c WHERE c.context_id = o.context_id)"),
    ("job", "that run without a worker", "SELECT 'job ' || job_id FROM job j WHERE state = 1
        AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.worker = j.worker)"),
    ("job", "whose state is none", "SELECT 'job ' || job_id FROM job WHERE state NOT BETWEEN 0 AND 4"),
    ("job", "whose key is not 32 bytes", "SELECT 'job ' || job_id FROM job WHERE length(job_key) != 32"),
    ("job", "that are done and still have options", "SELECT 'job ' || job_id FROM job WHERE state IN (2, 4)
        AND length(options) != 0"),
    ("verdict", "of packages that are missing", "SELECT 'package ' || package_id FROM verdict v
        WHERE NOT EXISTS (SELECT 1 FROM package p WHERE p.package_id = v.package_id)"),
    ("verdict", "of contexts that are missing", "SELECT 'context ' || context_id FROM verdict v
        WHERE NOT EXISTS (SELECT 1 FROM context c WHERE c.context_id = v.context_id)"),
    ("exposure", "whose text is missing", "SELECT 'text ' || vulnerability_text FROM exposure e
        WHERE NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = e.vulnerability_text)"),
    ("unlisted", "that are missing", "SELECT 'occurrence ' || occurrence_id FROM unlisted u
        WHERE NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.occurrence_id = u.occurrence_id)"),
    ("occurrence", "that are neither judged nor noted as unlisted", "SELECT 'occurrence ' || occurrence_id FROM occurrence o
        WHERE NOT EXISTS (SELECT 1 FROM unlisted u WHERE u.occurrence_id = o.occurrence_id)
        AND NOT EXISTS (SELECT 1 FROM verdict v WHERE v.package_id = o.package_id AND v.context_id = o.context_id
            AND v.listed IS NOT NULL)"),
    ("signed_source", "of packages that are missing", "SELECT 'package ' || package_id FROM signed_source s
        WHERE NOT EXISTS (SELECT 1 FROM package p WHERE p.package_id = s.package_id)"),
    ("revision", "of documents that are missing", "SELECT 'revision ' || revision FROM revision r
        WHERE NOT EXISTS (SELECT 1 FROM feed f WHERE f.feed_id = r.feed_id)"),
    ("revision", "that know of fewer images than one before", "SELECT 'revision ' || revision FROM (SELECT revision, last_image,
        max(last_image) OVER (ORDER BY revision ROWS UNBOUNDED PRECEDING) AS latest FROM revision) AS r WHERE last_image < latest"),
    ("feed", "whose revision is missing", "SELECT feed || ' ' || document FROM feed f WHERE revision != 0
        AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = f.revision)"),
    ("advisory", "of documents that are missing", "SELECT 'advisory ' || advisory_id FROM advisory d
        WHERE NOT EXISTS (SELECT 1 FROM feed f WHERE f.feed_id = d.feed_id)"),
    ("advisory", "that end before they begin", "SELECT 'advisory ' || advisory_id FROM advisory WHERE to_revision <= from_revision"),
    ("advisory", "whose first revision is missing", "SELECT 'advisory ' || advisory_id FROM advisory d
        WHERE NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = d.from_revision AND r.feed_id = d.feed_id)"),
    ("advisory", "whose last revision is missing", "SELECT 'advisory ' || advisory_id FROM advisory d WHERE to_revision IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = d.to_revision AND r.feed_id = d.feed_id)"),
    ("advisory", "that are current more than once", "SELECT 'advisory ' || min(advisory_id) FROM advisory
        WHERE to_revision IS NULL GROUP BY feed_id, id_text HAVING count(*) > 1"),
    ("advisory", "whose texts are missing", "SELECT 'advisory ' || advisory_id FROM advisory d
        WHERE NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = d.id_text)
        OR NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = d.vulnerability_text)"),
    ("alias", "whose texts are missing", "SELECT 'alias ' || alias_text || ' of ' || id_text FROM alias a
        WHERE NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = a.alias_text)
        OR NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = a.id_text)"),
    ("affected", "of documents that are missing", "SELECT 'range ' || affected_id FROM affected a
        WHERE NOT EXISTS (SELECT 1 FROM feed f WHERE f.feed_id = a.feed_id)"),
    ("affected", "that end before they begin", "SELECT 'range ' || affected_id FROM affected WHERE to_revision <= from_revision"),
    ("affected", "whose first revision is missing", "SELECT 'range ' || affected_id FROM affected a
        WHERE NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = a.from_revision AND r.feed_id = a.feed_id)"),
    ("affected", "whose last revision is missing", "SELECT 'range ' || affected_id FROM affected a WHERE to_revision IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = a.to_revision AND r.feed_id = a.feed_id)"),
    ("affected", "that are current with the same bytes", "SELECT 'range ' || min(affected_id) FROM affected
        WHERE to_revision IS NULL GROUP BY feed_id, id_text, package_text, release_text, body HAVING count(*) > 1"),
    ("affected", "whose advisory is not current", "SELECT 'range ' || affected_id FROM affected a WHERE to_revision IS NULL
        AND NOT EXISTS (SELECT 1 FROM advisory d WHERE d.id_text = a.id_text AND d.feed_id = a.feed_id AND d.to_revision IS NULL)"),
    ("affected", "whose texts are missing", "SELECT 'range ' || affected_id FROM affected a
        WHERE NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = a.id_text)
        OR NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = a.package_text)
        OR NOT EXISTS (SELECT 1 FROM text t WHERE t.text_id = a.release_text)"),
    ("feed_release", "that count other than the current ranges", "SELECT 'feed ' || r.feed_id || ', release ' || r.release_text
        FROM feed_release r LEFT JOIN (SELECT feed_id, release_text, count(*) AS current FROM affected
            WHERE to_revision IS NULL GROUP BY feed_id, release_text) AS c USING (feed_id, release_text)
        WHERE r.records != coalesce(current, 0)"),
    ("feed_release", "that lack a release", "SELECT 'feed ' || feed_id || ', release ' || release_text FROM affected a
        WHERE to_revision IS NULL AND NOT EXISTS (SELECT 1 FROM feed_release r
            WHERE r.release_text = a.release_text AND r.feed_id = a.feed_id) GROUP BY feed_id, release_text"),
    ("repository_cpe", "that end before they begin", "SELECT repository FROM repository_cpe WHERE to_revision <= from_revision"),
    ("repository_cpe", "whose revision is missing", "SELECT repository FROM repository_cpe c
        WHERE NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = c.from_revision)
        OR (to_revision IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = c.to_revision))"),
    ("repository_cpe", "that are current more than once", "SELECT repository FROM repository_cpe
        WHERE to_revision IS NULL GROUP BY repository, cpe HAVING count(*) > 1"),
    ("score", "of documents that are missing", "SELECT 'score ' || cve FROM score s
        WHERE NOT EXISTS (SELECT 1 FROM feed f WHERE f.feed_id = s.feed_id)"),
    ("score", "that are no probability", "SELECT 'score ' || cve FROM score
        WHERE probability NOT BETWEEN 0 AND 100000 OR percentile NOT BETWEEN 0 AND 100000"),
    ("event", "that are about nothing", "SELECT 'event ' || number FROM event
        WHERE (kind = 0) != (image_id IS NOT NULL) OR (kind = 0) != (body IS NULL) OR (body IS NULL) != (event_id IS NULL)"),
    ("event", "of revisions that are missing", "SELECT 'event ' || number FROM event e WHERE revision != 0
        AND NOT EXISTS (SELECT 1 FROM revision r WHERE r.revision = e.revision)"),
    ("event_state", "that is ahead of the revisions", "SELECT 'revision ' || revision FROM event_state
        WHERE revision > coalesce((SELECT max(revision) FROM revision), 0) OR step_revision < revision"),
    ("former_verdict", "of packages that are missing", "SELECT 'package ' || package_id FROM former_verdict v
        WHERE NOT EXISTS (SELECT 1 FROM package p WHERE p.package_id = v.package_id)"),
    ("channel", "that are ahead of the events", "SELECT name FROM channel
        WHERE cursor > {event}"),
    ("dead_letter", "of channels that are missing", "SELECT channel FROM dead_letter d
        WHERE NOT EXISTS (SELECT 1 FROM channel c WHERE c.name = d.channel)"),
    ("dead_letter", "of events that are missing", "SELECT channel FROM dead_letter d
        WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.number = d.number)"),
    ("lease", "without a task or an owner", "SELECT task FROM lease WHERE task = '' OR owner = ''"),
    ("lease", "that run for longer than a day", "SELECT task FROM lease WHERE expires_at > ?1"),
];

/// Rows that break an invariant.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) count: u64,
    pub(crate) example: Option<String>,
}

impl Found {
    pub(crate) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        self.example.get_or_insert_with(name);
    }

    /// Notes in a report how an invariant came out.
    pub(crate) fn note(self, report: &mut CheckReport, table: &'static str, what: &'static str) {
        report.invariants += 1;
        if let Some(example) = self.example {
            report.broken.push(Broken { table, what, count: self.count, example });
        }
    }
}
