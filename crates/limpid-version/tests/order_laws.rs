//! Every order is a total order over any text.

use std::cmp::Ordering;

use limpid_version::Scheme;
use proptest::prelude::*;

fn ugly() -> impl Strategy<Value = String> {
    prop_oneof![
        "[019aZ.+~:^_-]{0,8}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}([a-z])?(_(alpha|rc|p|git)[0-9]{0,2}){0,2}(~[0-9a-f]{2})?(-r[0-9]{1,2})?",
        "([0-9]:)?[0-9]{1,2}(\\.[0-9a-z~+]{1,3}){0,2}(-[0-9a-z.+~]{1,4})?",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn orders_are_total(a in ugly(), b in ugly(), c in ugly()) {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse());
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|x, y| scheme.compare(x, y));
            prop_assert_ne!(scheme.compare(sorted[0], sorted[2]), Ordering::Greater);
            if scheme.compare(&a, &b).is_eq() && scheme.compare(&b, &c).is_eq() {
                prop_assert_eq!(scheme.compare(&a, &c), Ordering::Equal);
            }
            if scheme.compare(&a, &b).is_lt() && scheme.compare(&b, &c).is_le() {
                prop_assert_eq!(scheme.compare(&a, &c), Ordering::Less, "{}", scheme);
            }
        }
    }
}
