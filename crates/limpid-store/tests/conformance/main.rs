//! What every engine of the store must do, run once for each.
//!
//! A topic is a module; its cases are functions that are given an empty place. The list at the end makes tests of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backups;
mod breaks;
mod concurrent;
mod damage;
mod events;
mod feeds;
mod fleet;
mod fleet_of;
mod moving;
mod partial_update;
mod place;
mod queue;
mod repository_cpes;
mod scores;
mod signed_sources;
mod upkeep;
mod values;

macro_rules! conformance {
    ($($topic:ident { $($case:ident,)* })*) => {
        mod sqlite {
            $($(
                #[test]
                fn $case() {
                    crate::$topic::$case(&crate::place::Place::file());
                }
            )*)*
        }

        mod postgres {
            $($(
                #[test]
                fn $case() {
                    if let Some(place) = crate::place::Place::database() {
                        crate::$topic::$case(&place);
                    }
                }
            )*)*
        }
    };
}

conformance! {
    partial_update {
        a_partial_update_writes_what_it_names_and_leaves_the_rest,
    }
    repository_cpes {
        only_what_differs_is_written_and_only_its_verdicts_are_forgotten,
    }
    scores {
        a_new_day_takes_the_place_of_the_old_one_and_makes_no_revision,
        an_update_that_is_dropped_leaves_the_scores_as_they_were,
        when_a_record_was_asked_for_is_kept,
    }
    signed_sources {
        what_is_said_of_their_source_makes_their_verdicts_stale,
    }
    events {
        events_are_kept,
    }
    queue {
        of_many_workers_each_job_goes_to_one,
    }
    upkeep {
        what_a_vulnerability_affects_follows_verdicts_updates_and_collections,
        a_forgotten_image_frees_exactly_what_only_it_used,
        an_image_that_is_forgotten_beside_a_collection_comes_back,
        what_is_unused_is_kept_for_a_while,
        an_id_that_somebody_holds_never_names_another_row,
        a_node_that_is_used_again_while_it_is_being_freed_stays,
        a_collection_that_ends_early_leaves_nothing_behind_for_ever,
        images_that_nobody_asks_for_are_found,
        an_image_that_is_forgotten_while_it_is_read_is_whole_or_not_there,
    }
    damage {
        every_damage_is_found,
    }
    values {
        texts_of_strangers_come_back_as_they_were,
        texts_that_look_alike_are_different,
        order_is_by_bytes,
        numbers_near_the_top_come_back,
        a_layer_is_kept_with_what_was_searched_for_in_it,
        an_image_is_refused_with_other_layers,
        references_lead_to_the_image_they_named_last,
        verdicts_are_kept_for_the_newest_revision_only,
    }
    feeds {
        what_was_said_is_told_for_every_revision,
        what_changed_between_revisions_is_told_once,
        how_updates_went_is_told,
        an_update_that_is_dropped_leaves_nothing,
        knowledge_comes_together_by_vulnerability,
    }
    fleet {
        occurrences_are_held_by_the_images_below_their_nodes,
        images_are_selected_by_all_that_a_filter_says,
        names_lead_to_occurrences,
    }
    concurrent {
        many_store_the_same_packages_and_images,
        feeds_are_updated_while_others_read,
        images_are_stored_beside_collections,
        a_task_is_leased_to_one,
        documents_are_updated_at_the_same_time,
    }
}
