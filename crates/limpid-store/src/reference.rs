//! How references are divided. Any string is divided in one way, the same for a reference and for a repository that it is
//! asked by.

/// A reference's repository and the rest: `@` begins a digest, and a `:` behind the last `/` a tag.
///
/// Whatever of `@…` or `:tag` is added to a string, its repository stays the same, unless there was none of both: then it is
/// the whole string. So all references of a repository, and of one that is itself named with a tag or a digest, are found
/// under the repository of the name that was asked for.
pub(crate) fn divide(reference: &str) -> (&str, &str) {
    let named = reference.find('@').unwrap_or(reference.len());
    let last_part = reference[..named].rfind('/').map_or(0, |slash| slash + 1);
    let end = reference[last_part..named].find(':').map_or(named, |colon| last_part + colon);
    reference.split_at(end)
}

/// Whether a reference is of the repository, or of one below if that ends in `/`.
pub(crate) fn is_of(reference: &str, repository: &str) -> bool {
    reference.strip_prefix(repository).is_some_and(|rest| {
        repository.ends_with('/')
            || rest.is_empty()
            || rest.starts_with('@')
            || (rest.starts_with(':') && !rest.contains('/'))
    })
}
