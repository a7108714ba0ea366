-- Schema 3: freeing what nothing uses (collection.rs).

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
