//! `limpid demo`: the first minute, offline.

use crate::arguments::{Global, ImageArguments};
use crate::error::{Error, Exit};
use crate::registry_options::RegistryArguments;
use crate::session::{Session, print, style};
use limpid_index::Moment;
use limpid_index::fleet::{Scope, VerdictFilter};
use limpid_store::{ImageFilter, NEWEST};

/// The example images, as `examples/images` has them.
const IMAGES: [(&str, &[u8]); 3] = [
    ("debian-7-ghost", include_bytes!("../../../../examples/images/debian-7-ghost.tar")),
    ("debian-7-upgraded", include_bytes!("../../../../examples/images/debian-7-upgraded.tar")),
    ("debian-12-ssh", include_bytes!("../../../../examples/images/debian-12-ssh.tar")),
];
/// The starter set of advisories, in OSV format.
const ADVISORIES: &[u8] = include_bytes!("../../../../examples/advisories/starter.json");
/// GHOST, the vulnerability that Clair's first talk asked a whole registry for.
const GHOST: &str = "CVE-2015-0235";

pub(crate) fn run(global: &Global) -> Result<Exit, Error> {
    let folder = tempfile::tempdir().map_err(Error::io("a temporary folder cannot be made"))?;
    crate::interrupt::remove_if_interrupted(folder.path());
    let session = Session::with_store(global, limpid_store::open(folder.path().join("demo.db"))?)?;
    session.import_documents("starter set", &[("starter.json".to_owned(), ADVISORIES.to_vec())])?;
    for (name, archive) in IMAGES {
        let path = folder.path().join(format!("{name}.tar"));
        std::fs::write(&path, archive).map_err(Error::io("an example image cannot be written"))?;
        let image = ImageArguments {
            reference: format!("oci-archive:{}", path.display()),
            platform: None,
            registry: RegistryArguments::default(),
        };
        let mut report = session.report_as_is(&image)?;
        name.clone_into(&mut report.reference);
        print(&limpid_report::table(&report, style()))?;
        print("\n")?;
    }
    print(&format!("$ limpid affected {GHOST}\n"))?;
    let moment = Moment { revision: NEWEST, today: "", as_of: "", now: "" };
    let scope = Scope { moment, filter: ImageFilter::default() };
    let mut answer = limpid_index::fleet::affected(
        session.store.as_ref(),
        GHOST,
        &scope,
        &VerdictFilter::default(),
        None,
    )?;
    for mut affected in answer.take(session.store.as_ref(), IMAGES.len())? {
        for name in &mut affected.image.references {
            let file = name.rsplit('/').next().unwrap_or(name);
            *name = file.trim_end_matches(".tar").to_owned();
        }
        print(&limpid_report::affected_image_table(&affected))?;
    }
    print(&limpid_report::affected_table_end(&answer.head, None, true, style()))?;
    Ok(Exit::Success)
}
