//! Opens an event's inventory, once.

use std::sync::Arc;

use kernel::{EventId, Failure, MAX_PLACES, OrganizationId, Timestamp};
use wire::Context;

use crate::{
    app::{App, operators_only},
    domain::plan::Plan,
    error::Error,
    store::inventories::{self, Inventory},
};

/// What is to be sold.
#[derive(Debug)]
pub struct OpenInventory {
    /// The event.
    pub event_id: EventId,
    /// Whose event it is.
    pub organization_id: OrganizationId,
    /// Its places.
    pub plan: Plan,
    /// The most places of one hold.
    pub max_per_hold: u32,
    /// Codes are good until then.
    pub ends_at: Timestamp,
}

/// Opens an event's inventory with all places free, and returns how many there are. Repeating it
/// with the same plan and terms changes nothing; other terms are taken until the first hold, since
/// a draft may be edited after its publication stopped half way.
///
/// # Errors
/// `INVENTORY_OPEN` if it is open with another plan, or sells under other terms.
pub async fn open_inventory(
    app: &App,
    context: &Context,
    command: OpenInventory,
) -> Result<u32, Error> {
    operators_only(context)?;
    if command.max_per_hold == 0 || command.max_per_hold > MAX_PLACES {
        return Err(Failure::invalid("max_per_hold", format!("1 to {MAX_PLACES}")).into());
    }
    if command.ends_at <= Timestamp::EPOCH {
        return Err(Failure::invalid("ends_at_us", "is required").into());
    }
    let wanted = Arc::new(Inventory {
        event_id: command.event_id,
        organization_id: command.organization_id,
        plan: Arc::new(command.plan),
        max_per_hold: command.max_per_hold,
        ends_at: command.ends_at,
    });
    let now = app.now();
    let inventory = wanted.clone();
    let opened = app.db.write(move |tx| {
        let inventory = inventory.clone();
        Box::pin(async move {
            if inventories::open(tx, &inventory, now).await? {
                return Ok(Opened::AsWanted);
            }
            match inventories::find(tx, inventory.event_id).await? {
                Some(found) if found == *inventory => Ok(Opened::AsWanted),
                Some(found)
                    if found.plan == inventory.plan
                        && found.organization_id == inventory.organization_id
                        && inventories::amend(tx, &inventory).await? =>
                {
                    Ok(Opened::Amended)
                }
                _ => Ok(Opened::Otherwise),
            }
        })
    });
    let opened: Result<_, db::Error> = opened.await;
    match opened? {
        Opened::AsWanted => {}
        Opened::Amended => app.maps.forget(wanted.event_id),
        Opened::Otherwise => return Err(Error::InventoryOpen),
    }
    Ok(wanted.plan.capacity())
}

/// How the inventory stands after all.
enum Opened {
    AsWanted,
    Amended,
    Otherwise,
}
