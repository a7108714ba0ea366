//! Amazon Linux, by the errata in its repositories: binary packages with the builds that fix.
//!
//! Topics of Amazon Linux 2's extras (`extras/kernel-5.15`, `extras/php8.1`) hold other versions under names that core
//! has too. A package is compared with the errata of the repository that it came from, where yum's history names it
//! (`amzn2extra-kernel-5.15`). Where it does not, a topic whose own number the installed version begins with counts
//! in core's place; else core's errata; and those of all topics if core has none for the name. Live patches of
//! kernels are packages of their own, with the kernel's version in the name. What is not fixed is not in the errata.
//!
//! Source: <https://alas.aws.amazon.com/>.

use limpid_model::{Explanation, Package, PackageFact, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Rules, Statement, Subject, rpm};

pub(crate) struct Amazon;

impl Rules for Amazon {
    fn distribution(&self) -> &'static str {
        "amzn"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["amazon-updateinfo"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        rpm::names(package)
    }

    /// Which repositories have errata for a name at all tells which of them count.
    fn judges_each(&self) -> bool {
        false
    }

    fn judge_all(&self, subject: &Subject<'_>, statements: &[Statement<'_>]) -> Vec<Explanation> {
        let package = subject.package;
        let origin = Origin::of(package, statements);
        let counting =
            statements.iter().filter(|statement| origin.includes(&statement.affected.channel, package));
        counting
            .filter_map(|statement| rpm::judge(self.distribution(), package, statement, &origin.note()))
            .collect()
    }

    fn blind_spot(&self, _: &str) -> Option<&'static str> {
        Some(rpm::ERRATA_ONLY)
    }
}

/// Which repositories' errata count for a package.
enum Origin {
    /// The one that it came from, as a channel; core's is empty.
    Known(String),
    /// Those topics whose number its version begins with.
    Numbered,
    Core,
    Any,
}

impl Origin {
    fn of(package: &Package, statements: &[Statement<'_>]) -> Self {
        let named = package.facts.iter().find(|(fact, _)| *fact == PackageFact::Repository);
        if let Some((_, name)) = named {
            if let Some(topic) = name.strip_prefix("amzn2extra-") {
                return Self::Known(format!("extras/{topic}"));
            }
            if name.starts_with("amzn2-core") || name == "amzn-main" || name == "amzn-updates" {
                return Self::Known(String::new());
            }
        }
        let mut channels = statements.iter().map(|statement| statement.affected.channel.as_str());
        if channels.clone().any(|channel| is_numbered_for(channel, package)) {
            Self::Numbered
        } else if channels.any(str::is_empty) {
            Self::Core
        } else {
            Self::Any
        }
    }

    fn includes(&self, channel: &str, package: &Package) -> bool {
        match self {
            Self::Known(own) => channel == own,
            Self::Numbered => is_numbered_for(channel, package),
            Self::Core => channel.is_empty(),
            Self::Any => true,
        }
    }

    fn note(&self) -> String {
        match self {
            Self::Known(own) if own.is_empty() => "errata of core, where it came from".to_owned(),
            Self::Known(own) => format!("errata of {own}, where it came from"),
            Self::Numbered => "errata of the topic whose number its version begins with".to_owned(),
            Self::Core => String::new(),
            Self::Any => "errata of any topic: core has none for it".to_owned(),
        }
    }
}

/// Whether the number at the end of a topic's name begins the package's version (`kernel-5.15`, 5.15.79-55).
fn is_numbered_for(channel: &str, package: &Package) -> bool {
    let Some(topic) = channel.strip_prefix("extras/") else { return false };
    let number = topic.trim_start_matches(|character: char| !character.is_ascii_digit());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let version = package.version.split_once(':').map_or(&*package.version, |(_, rest)| rest);
    is_number
        && version.strip_prefix(number).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Products;
    use crate::rpm::tests::{fixed, package, statement};
    use limpid_model::{Affected, Context, VerdictState};

    fn state(version: &str, repository: Option<&str>, said: &[(&str, &str)]) -> Vec<VerdictState> {
        let facts: Vec<_> = repository.map(|name| (PackageFact::Repository, name)).into_iter().collect();
        let package = package("kernel", version, "x86_64", &facts);
        let rows: Vec<Affected> = said
            .iter()
            .map(|(channel, fix)| Affected { channel: (*channel).to_owned(), ..fixed("kernel", fix) })
            .collect();
        let statements: Vec<Statement<'_>> = rows.iter().map(statement).collect();
        let (context, products) = (Context::default(), Products::default());
        let subject = Subject { package: &package, context: &context, products: &products };
        Amazon.judge_all(&subject, &statements).into_iter().map(|e| e.verdict.state).collect()
    }

    #[test]
    fn a_topics_kernel_is_not_cores() {
        let said = [("", "4.14.300-1.amzn2"), ("extras/kernel-5.15", "5.15.79-55.amzn2")];
        let core = [VerdictState::Fixable];
        assert_eq!(state("4.14.200-1.amzn2", None, &said), core);
        assert_eq!(state("4.14.300-1.amzn2", None, &said), [VerdictState::FixedAlready]);
        assert_eq!(state("5.15.10-1.amzn2", None, &said), [VerdictState::Fixable]);
        assert_eq!(state("5.15.10-1.amzn2", Some("amzn2extra-kernel-5.15"), &said), [VerdictState::Fixable]);
        assert_eq!(state("5.15.10-1.amzn2", Some("amzn2extra-kernel-5.4"), &said), []);
        assert_eq!(state("4.14.200-1.amzn2", Some("amzn2-core/2/x86_64"), &said), core);
        // A topic without a number, and no word of core.
        assert_eq!(state("20.10-1.amzn2", None, &[("extras/docker", "25.0-1.amzn2")]), core);
        assert_eq!(state("5.150.1-1.amzn2", None, &said), [VerdictState::FixedAlready]);
    }
}
