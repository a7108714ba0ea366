//! CSAF 2.0 documents: as much of them as a VEX feed needs.
//!
//! Source of truth: <https://docs.oasis-open.org/csaf/csaf/v2.0/os/csaf-v2.0-os.html>, sections 3.2.1 (document),
//! 3.2.2 (product tree) and 3.2.3 (vulnerabilities). Strings are borrowed from the document where they have no
//! escapes. Depth is bounded by serde_json (128).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// A product may be a component of a component (a package of a module of a product); no deeper.
const RELATIONS_MAX: usize = 4;

pub(crate) type Text<'a> = Cow<'a, str>;

#[derive(Debug, Deserialize)]
pub(crate) struct Csaf<'a> {
    #[serde(borrow)]
    pub(crate) document: Head<'a>,
    #[serde(borrow, default)]
    pub(crate) product_tree: ProductTree<'a>,
    #[serde(borrow, default)]
    pub(crate) vulnerabilities: Vec<Vulnerability<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(borrow)]
    pub(crate) category: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) aggregate_severity: Option<Severity<'a>>,
    #[serde(borrow)]
    pub(crate) tracking: Tracking<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Severity<'a> {
    #[serde(borrow)]
    pub(crate) text: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tracking<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) current_release_date: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ProductTree<'a> {
    #[serde(borrow, default)]
    branches: Vec<Branch<'a>>,
    #[serde(borrow, default)]
    relationships: Vec<Relationship<'a>>,
}

#[derive(Debug, Deserialize)]
struct Branch<'a> {
    #[serde(borrow, default)]
    branches: Vec<Self>,
    #[serde(borrow, default)]
    product: Option<Product<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Product<'a> {
    #[serde(borrow)]
    pub(crate) product_id: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) product_identification_helper: Identification<'a>,
}

/// How a product is known elsewhere.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Identification<'a> {
    #[serde(borrow, default)]
    pub(crate) cpe: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) purl: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Relationship<'a> {
    #[serde(borrow)]
    full_product_name: FullName<'a>,
    #[serde(borrow)]
    product_reference: Text<'a>,
    #[serde(borrow)]
    relates_to_product_reference: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct FullName<'a> {
    #[serde(borrow)]
    product_id: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Vulnerability<'a> {
    #[serde(borrow, default)]
    pub(crate) cve: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) cwe: Option<Weakness<'a>>,
    #[serde(borrow, default)]
    pub(crate) notes: Vec<Note<'a>>,
    #[serde(borrow, default)]
    pub(crate) product_status: BTreeMap<Text<'a>, Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(crate) references: Vec<Reference<'a>>,
    #[serde(borrow, default)]
    pub(crate) release_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) remediations: Vec<Remediation<'a>>,
    #[serde(borrow, default)]
    pub(crate) scores: Vec<Score<'a>>,
    #[serde(borrow, default)]
    pub(crate) threats: Vec<Threat<'a>>,
    #[serde(borrow, default)]
    pub(crate) flags: Vec<Flag<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Weakness<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Note<'a> {
    #[serde(borrow, default)]
    pub(crate) category: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) text: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reference<'a> {
    #[serde(borrow)]
    pub(crate) url: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Remediation<'a> {
    #[serde(borrow)]
    pub(crate) category: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) details: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) url: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) product_ids: Vec<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Score<'a> {
    #[serde(borrow, default)]
    pub(crate) cvss_v2: Option<Cvss<'a>>,
    #[serde(borrow, default)]
    pub(crate) cvss_v3: Option<Cvss<'a>>,
    #[serde(borrow, default)]
    pub(crate) cvss_v4: Option<Cvss<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cvss<'a> {
    #[serde(borrow, default, rename = "vectorString")]
    pub(crate) vector: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Threat<'a> {
    #[serde(borrow, default)]
    pub(crate) category: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) details: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) product_ids: Vec<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Flag<'a> {
    #[serde(borrow, default)]
    pub(crate) label: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) product_ids: Vec<Text<'a>>,
}

/// The product tree by ids.
pub(crate) struct Products<'t> {
    products: HashMap<&'t str, &'t Identification<'t>>,
    /// The id of a product as part of another: what it is, and of what.
    relations: HashMap<&'t str, (&'t str, &'t str)>,
}

/// A component within a product, innermost first.
#[derive(Debug)]
pub(crate) struct Chain<'t> {
    /// What the outermost product is called.
    pub(crate) product: &'t str,
    /// The component itself, then what it is part of below the product.
    pub(crate) components: Vec<&'t str>,
}

impl<'t> Products<'t> {
    pub(crate) fn of(tree: &'t ProductTree<'t>) -> Self {
        let mut products = HashMap::new();
        let mut open: Vec<&Branch<'_>> = tree.branches.iter().collect();
        while let Some(branch) = open.pop() {
            if let Some(product) = &branch.product {
                products.insert(&*product.product_id, &product.product_identification_helper);
            }
            open.extend(&branch.branches);
        }
        let relations = tree.relationships.iter().map(|relation| {
            let parts = (&*relation.product_reference, &*relation.relates_to_product_reference);
            (&*relation.full_product_name.product_id, parts)
        });
        Self { products, relations: relations.collect() }
    }

    /// How a product is known elsewhere, if the tree has it.
    pub(crate) fn identification(&self, id: &str) -> Option<&'t Identification<'t>> {
        self.products.get(id).copied()
    }

    /// What a product id is made of; no components if it is a product by itself.
    pub(crate) fn chain(&self, id: &'t str) -> Option<Chain<'t>> {
        let mut components = Vec::new();
        let mut at = id;
        for _ in 0..RELATIONS_MAX {
            match self.relations.get(at) {
                Some((component, whole)) => {
                    components.push(*component);
                    at = whole;
                }
                None => return self.products.contains_key(at).then_some(Chain { product: at, components }),
            }
        }
        None
    }
}
