//! The service's SQL, and nothing else: one function, one promise.

mod documents;

use db::{Error, Row, Sql, Tx, Value};
use kernel::{EventId, OrganizationId, Timestamp, VenueId};
use uuid::Uuid;

use crate::domain::{Change, Event, Kind, Plan, Queue, Status, Terms, Venue};

/// Where a list of events goes on: after this start and id.
pub(crate) type After = (Timestamp, EventId);

/// Whose events a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Published, and not over at this moment.
    Public(Timestamp),
    /// Of one organization, in any state.
    Organization(OrganizationId),
    /// Of all, in any state.
    All,
}

macro_rules! event_columns {
    () => {
        "id, organization_id, venue_id, venue_name, venue_city, time_zone, capacity, name, \
         description, kind, starts_at, ends_at, sale_starts_at, sale_ends_at, currency, \
         categories, max_per_booking, queue_enabled, queue_admissions_per_minute, \
         queue_admission_ttl_seconds, status, version, created_at, updated_at, published_at"
    };
}

macro_rules! venue_columns {
    () => {
        "id, organization_id, name, address, city, country, time_zone, capacity, created_at"
    };
}

/// A page of events in the order of their start, of which every word of `$3` is in the search text.
macro_rules! events_page {
    ($where:literal) => {
        Sql::split(
            concat!(
                "select ",
                event_columns!(),
                " from events where (starts_at, id) > ($1, $2) and not exists (select 1 \
                 from unnest($3::text[]) word where strpos(search, word) = 0) and ",
                $where,
                " order by starts_at, id limit $4"
            ),
            concat!(
                "select ",
                event_columns!(),
                " from events where (starts_at, id) > ($1, $2) and not exists (select 1 \
                 from json_each($3) word where instr(search, word.value) = 0) and ",
                $where,
                " order by starts_at, id limit $4"
            ),
        )
    };
}

const PUBLIC_EVENTS: Sql =
    events_page!("status in ('published', 'on_sale', 'sold_out') and ends_at > $5");
const ORGANIZATION_EVENTS: Sql = events_page!("organization_id = $5");
const ALL_EVENTS: Sql = events_page!("true");

/// Keeps a new venue with its plan.
pub(crate) async fn insert_venue(tx: &mut Tx, venue: &Venue) -> Result<(), Error> {
    let plan = match &venue.plan {
        Some(plan) => documents::from_plan(plan)?,
        None => return Err(Error::Statement("a venue without a plan".to_owned())),
    };
    let params = [
        venue.id.into(),
        venue.organization.into(),
        Value::from(&venue.name),
        Value::from(&venue.address),
        Value::from(&venue.city),
        Value::from(&venue.country),
        Value::from(&venue.time_zone),
        venue.capacity.into(),
        venue.created_at.into(),
        plan.into(),
    ];
    let sql = concat!(
        "insert into venues (",
        venue_columns!(),
        ", plan) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    tx.execute(sql, &params).await?;
    Ok(())
}

/// The venue with its plan.
pub(crate) async fn venue(tx: &mut Tx, id: VenueId) -> Result<Option<Venue>, Error> {
    let sql = concat!("select ", venue_columns!(), ", plan from venues where id = $1");
    let Some(row) = tx.query_opt(sql, &[id.into()]).await? else { return Ok(None) };
    let plan = documents::to_plan(row.get(9)?)?;
    Ok(Some(Venue { plan: Some(plan), ..read_venue(&row)? }))
}

/// Venues without their plans, the newest first: of one organization, or of all.
pub(crate) async fn venues(
    tx: &mut Tx,
    organization: Option<OrganizationId>,
    before: Option<VenueId>,
    limit: u32,
) -> Result<Vec<Venue>, Error> {
    let before = before.unwrap_or(VenueId::from_uuid(Uuid::max()));
    let rows = match organization {
        Some(organization) => {
            let sql = concat!(
                "select ",
                venue_columns!(),
                " from venues where id < $1 and organization_id = $3 order by id desc limit $2"
            );
            tx.query(sql, &[before.into(), limit.into(), organization.into()]).await?
        }
        None => {
            let sql = concat!(
                "select ",
                venue_columns!(),
                " from venues where id < $1 order by id desc limit $2"
            );
            tx.query(sql, &[before.into(), limit.into()]).await?
        }
    };
    rows.iter().map(read_venue).collect()
}

/// Keeps a new event.
pub(crate) async fn insert_event(tx: &mut Tx, event: &Event) -> Result<(), Error> {
    let mut params = vec![
        event.organization.into(),
        event.venue.into(),
        Value::from(&event.venue_name),
        Value::from(&event.venue_city),
        Value::from(&event.time_zone),
        event.capacity.into(),
        event.terms.currency.as_str().into(),
        event.created_at.into(),
    ];
    params.extend(changeable(event)?);
    let sql = "insert into events (organization_id, venue_id, venue_name, venue_city, time_zone, \
               capacity, currency, created_at, id, name, description, kind, starts_at, ends_at, \
               sale_starts_at, sale_ends_at, categories, max_per_booking, queue_enabled, \
               queue_admissions_per_minute, queue_admission_ttl_seconds, status, version, \
               updated_at, published_at, due_at, search) values ($1, $2, $3, $4, $5, $6, $7, $8, \
               $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
               $25, $26, $27)";
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Writes what may change of an event, over the version `before`.
pub(crate) async fn update_event(tx: &mut Tx, event: &Event, before: i64) -> Result<(), Error> {
    let mut params = changeable(event)?;
    params.push(before.into());
    let sql = "update events set name = $2, description = $3, kind = $4, starts_at = $5, \
               ends_at = $6, sale_starts_at = $7, sale_ends_at = $8, categories = $9, \
               max_per_booking = $10, queue_enabled = $11, queue_admissions_per_minute = $12, \
               queue_admission_ttl_seconds = $13, status = $14, version = $15, updated_at = $16, \
               published_at = $17, due_at = $18, search = $19 where id = $1 and version = $20";
    match tx.execute(sql, &params).await? {
        1 => Ok(()),
        _ => Err(Error::Conflict),
    }
}

/// The event.
pub(crate) async fn event(tx: &mut Tx, id: EventId) -> Result<Option<Event>, Error> {
    let sql = concat!("select ", event_columns!(), " from events where id = $1");
    tx.query_opt(sql, &[id.into()]).await?.as_ref().map(read_event).transpose()
}

/// The event, locked until the transaction ends.
pub(crate) async fn event_for_update(tx: &mut Tx, id: EventId) -> Result<Option<Event>, Error> {
    let sql = Sql::split(
        concat!("select ", event_columns!(), " from events where id = $1 for update"),
        concat!("select ", event_columns!(), " from events where id = $1"),
    );
    tx.query_opt(sql, &[id.into()]).await?.as_ref().map(read_event).transpose()
}

/// The message about its seats that last changed the event's status; 0: none did.
pub(crate) async fn seats_sequence(tx: &mut Tx, id: EventId) -> Result<i64, Error> {
    let sql = "select seats_sequence from events where id = $1";
    tx.query_one(sql, &[id.into()]).await?.get(0)
}

/// Notes the message about its seats that changed the event's status.
pub(crate) async fn set_seats_sequence(
    tx: &mut Tx,
    id: EventId,
    sequence: i64,
) -> Result<(), Error> {
    let sql = "update events set seats_sequence = $2 where id = $1";
    tx.execute(sql, &[id.into(), sequence.into()]).await?;
    Ok(())
}

/// Events in the order of their start, of which name or city have every one of `words`.
pub(crate) async fn events(
    tx: &mut Tx,
    whose: Whose,
    words: Vec<String>,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<Event>, Error> {
    let (at, id) = after.unwrap_or((Timestamp::EPOCH, EventId::from_uuid(Uuid::nil())));
    let mut params = vec![at.into(), id.into(), Value::Texts(words), limit.into()];
    let sql = match whose {
        Whose::Public(now) => {
            params.push(now.into());
            PUBLIC_EVENTS
        }
        Whose::Organization(organization) => {
            params.push(organization.into());
            ORGANIZATION_EVENTS
        }
        Whose::All => ALL_EVENTS,
    };
    tx.query(sql, &params).await?.iter().map(read_event).collect()
}

/// Events whose status has to move, the longest due first, locked; those that another replica is
/// moving are left to it.
pub(crate) async fn due_events(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Event>, Error> {
    let sql = Sql::split(
        concat!(
            "select ",
            event_columns!(),
            " from events where due_at <= $1 order by due_at limit $2 for update skip locked"
        ),
        concat!(
            "select ",
            event_columns!(),
            " from events where due_at <= $1 order by due_at limit $2"
        ),
    );
    tx.query(sql, &[now.into(), limit.into()]).await?.iter().map(read_event).collect()
}

/// Writes down steps that events took, and who made them.
pub(crate) async fn append_history(
    tx: &mut Tx,
    changes: &[Change],
    actor: &str,
) -> Result<(), Error> {
    let row = |change: &Change| {
        vec![
            change.event.into(),
            change.version.into(),
            change.from.map(Status::as_str).into(),
            change.to.as_str().into(),
            actor.into(),
            change.at.into(),
        ]
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    let sql = "insert into event_history (event_id, version, from_status, to_status, actor, at) \
               values ($1, $2, $3, $4, $5, $6)";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// Keeps the plan that an event is published with.
pub(crate) async fn insert_plan(tx: &mut Tx, event: EventId, plan: &Plan) -> Result<(), Error> {
    let sql = "insert into event_plans (event_id, plan) values ($1, $2)";
    tx.execute(sql, &[event.into(), documents::from_plan(plan)?.into()]).await?;
    Ok(())
}

/// The plan that an event was published with.
pub(crate) async fn plan(tx: &mut Tx, event: EventId) -> Result<Option<Plan>, Error> {
    let sql = "select plan from event_plans where event_id = $1";
    let row = tx.query_opt(sql, &[event.into()]).await?;
    row.map(|row| documents::to_plan(row.get(0)?)).transpose()
}

/// The id, and what may change: the first parameters of an update.
fn changeable(event: &Event) -> Result<Vec<Value>, Error> {
    let terms = &event.terms;
    let search = format!("{}\n{}", terms.name, event.venue_city).to_lowercase();
    Ok(vec![
        event.id.into(),
        Value::from(&terms.name),
        Value::from(&terms.description),
        terms.kind.as_str().into(),
        terms.starts_at.into(),
        terms.ends_at.into(),
        terms.sale_starts_at.into(),
        terms.sale_ends_at.into(),
        documents::from_categories(&terms.categories)?.into(),
        terms.max_per_booking.into(),
        terms.queue.enabled.into(),
        terms.queue.admissions_per_minute.into(),
        terms.queue.admission_ttl_seconds.into(),
        event.status.as_str().into(),
        event.version.into(),
        event.updated_at.into(),
        event.published_at.into(),
        event.due_at().into(),
        search.into(),
    ])
}

fn read_venue(row: &Row) -> Result<Venue, Error> {
    Ok(Venue {
        id: row.get(0)?,
        organization: row.get(1)?,
        name: row.get(2)?,
        address: row.get(3)?,
        city: row.get(4)?,
        country: row.get(5)?,
        time_zone: row.get(6)?,
        plan: None,
        capacity: row.get(7)?,
        created_at: row.get(8)?,
    })
}

fn read_event(row: &Row) -> Result<Event, Error> {
    let currency: String = row.get(14)?;
    let terms = Terms {
        name: row.get(7)?,
        description: row.get(8)?,
        kind: known("kind", row.get(9)?, Kind::parse)?,
        starts_at: row.get(10)?,
        ends_at: row.get(11)?,
        sale_starts_at: row.get(12)?,
        sale_ends_at: row.get(13)?,
        currency: known("currency", currency, |text| text.parse().ok())?,
        categories: documents::to_categories(row.get(15)?)?,
        max_per_booking: row.get(16)?,
        queue: Queue {
            enabled: row.get(17)?,
            admissions_per_minute: row.get(18)?,
            admission_ttl_seconds: row.get(19)?,
        },
    };
    Ok(Event {
        id: row.get(0)?,
        organization: row.get(1)?,
        venue: row.get(2)?,
        venue_name: row.get(3)?,
        venue_city: row.get(4)?,
        time_zone: row.get(5)?,
        capacity: row.get(6)?,
        terms,
        status: known("status", row.get(20)?, Status::parse)?,
        version: row.get(21)?,
        created_at: row.get(22)?,
        updated_at: row.get(23)?,
        published_at: row.get(24)?,
    })
}

fn known<T>(column: &str, text: String, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    parse(&text).ok_or_else(|| Error::Corrupt { column: column.to_owned(), detail: text })
}
