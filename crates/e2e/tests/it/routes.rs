//! Wrong input on every route of the public interface: a clear refusal, and nothing changed.

mod bodies;
mod callers;
mod chaos;
mod repeats;
mod stage;
mod table;
mod values;

use std::collections::BTreeMap;

use self::stage::Stage;

/// What the stage has to be left in peace by: nothing must happen by itself.
pub(crate) use self::stage::VALUES;

/// What is told wrong values and strangers in one process is told at this gateway, too, and what
/// comes twice has one effect.
pub(crate) async fn are_the_same_at(gateway: &str, passwords: &BTreeMap<String, String>) {
    let stage = Stage::at(gateway, passwords).await;
    bodies::no_json(&stage).await;
    bodies::wrong_fields(&stage).await;
    callers::strangers(&stage).await;
    callers::wrong_ids(&stage).await;
    values::impossible_values(&stage).await;
    values::wrong_queries(&stage).await;
    values::wrong_states(&stage).await;
    repeats::one_key(&stage).await;
    repeats::once(&stage).await;
    println!("routes: {} requests were answered as in one process", stage.asked());
}
