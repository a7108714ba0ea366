//! What an image is called, as far as the reference that it was asked for says.

use limpid_model::Report;

/// The parts of an image's name. Empty where the reference does not say: a file has no repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ImageName {
    /// Registry and path, in full (`docker.io/library/debian`).
    pub(crate) repository: String,
    /// The tag.
    pub(crate) tag: String,
    /// The last part of the path, or what stands for it: the name of the file or folder. Never empty.
    pub(crate) short: String,
}

impl ImageName {
    pub(crate) fn of(report: &Report) -> Self {
        Self::parse(&report.reference)
    }

    /// The reference without tag and digest, for what must stay the same when an image is built anew.
    pub(crate) fn stable(&self, reference: &str) -> String {
        if self.repository.is_empty() { reference.to_owned() } else { self.repository.clone() }
    }

    /// `repository:tag`, in full, if both are known.
    pub(crate) fn tagged(&self) -> Option<String> {
        let known = !self.repository.is_empty() && !self.tag.is_empty();
        known.then(|| format!("{}:{}", self.repository, self.tag))
    }

    fn parse(reference: &str) -> Self {
        const FILES: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "dir:"];
        for prefix in FILES {
            let Some(path) = reference.strip_prefix(prefix) else { continue };
            // What may follow the path is a tag, a digest or another name.
            let path = path.split('@').next().unwrap_or(path).trim_end_matches('/');
            let mut last = path.rsplit('/').next().unwrap_or(path).split(':').next().unwrap_or(path);
            if matches!(last, "oci" | "image" | "rootfs") {
                // Such a folder is named after its form; what it holds, the one above says.
                last = path.rsplit('/').nth(1).filter(|above| !above.is_empty()).unwrap_or(last);
            }
            return Self { short: non_empty(last.trim_end_matches(".tar")), ..Self::default() };
        }
        let engine = ["docker-daemon:", "podman:"].iter().find_map(|prefix| reference.strip_prefix(prefix));
        let name = engine.or(reference.strip_prefix("docker://")).unwrap_or(reference);
        let name = name.split('@').next().unwrap_or(name);
        let (path, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (name, ""),
        };
        let tag = if tag.is_empty() && !reference.contains('@') { "latest" } else { tag };
        let short = non_empty(path.rsplit('/').next().unwrap_or(path));
        // An engine's image may be named by its id.
        if path.starts_with("sha256") || path.is_empty() {
            return Self { short, ..Self::default() };
        }
        let repository = match path.split_once('/') {
            None => format!("docker.io/library/{path}"),
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => path.to_owned(),
            Some(_) => format!("docker.io/{path}"),
        };
        Self { repository, tag: tag.to_owned(), short }
    }
}

fn non_empty(name: &str) -> String {
    if name.is_empty() { "image" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_and_files_have_none() {
        let parts = |reference: &str| {
            let name = ImageName::parse(reference);
            [name.repository, name.tag, name.short].join(" ")
        };
        assert_eq!(parts("debian:12"), "docker.io/library/debian 12 debian");
        assert_eq!(parts("docker://grafana/loki"), "docker.io/grafana/loki latest loki");
        assert_eq!(parts("host:5000/a/b:c"), "host:5000/a/b c b");
        assert_eq!(parts("localhost/a@sha256:00"), "localhost/a  a");
        assert_eq!(parts("docker-daemon:app:1"), "docker.io/library/app 1 app");
        assert_eq!(parts("docker-daemon:sha256:0011"), "  sha256");
        assert_eq!(parts("oci:/images/web/oci:latest"), "  web");
        assert_eq!(parts("docker-archive:./app.tar:app:1"), "  app");
        assert_eq!(parts("dir:/"), "  image");
    }
}
