//! An event through its life: drafted, published, on sale, sold out and back, ended.

use kernel::{EventId, FieldError, OrganizationId, Timestamp, VenueId};

use super::{
    Category, Kind, Plan, Problems, Queue, Refusal, Status, Terms,
    status::{self},
};

/// An event with what it takes from its venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) organization: OrganizationId,
    pub(crate) venue: VenueId,
    pub(crate) venue_name: String,
    pub(crate) venue_city: String,
    pub(crate) time_zone: String,
    pub(crate) capacity: u32,
    pub(crate) terms: Terms,
    pub(crate) status: Status,
    /// Counts its changes, from 1.
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) published_at: Option<Timestamp>,
}

/// A step of the machine that was taken: a line of the event's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) event: EventId,
    /// The event's version after it.
    pub(crate) version: i64,
    pub(crate) from: Option<Status>,
    pub(crate) to: Status,
    pub(crate) at: Timestamp,
}

/// What to change; none: leave it as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edit {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) kind: Option<Kind>,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) sale_starts_at: Option<Option<Timestamp>>,
    pub(crate) sale_ends_at: Option<Option<Timestamp>>,
    pub(crate) categories: Option<Vec<Category>>,
    pub(crate) max_per_booking: Option<u32>,
    pub(crate) queue: Option<Queue>,
}

/// Why an event stays as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EditRefusal {
    /// It is over.
    Closed(Status),
    /// Buyers rely on these fields.
    Frozen(Vec<&'static str>),
    /// It would not be an event any more.
    Invalid(Vec<FieldError>),
}

impl Event {
    /// The first line of its history.
    pub(crate) fn drafted(&self) -> Change {
        let (event, version) = (self.id, self.version);
        Change { event, version, from: None, to: self.status, at: self.created_at }
    }

    /// Whether everybody may see it.
    pub(crate) fn is_public(&self) -> bool {
        self.published_at.is_some()
    }

    /// Whether tickets are sold at this moment.
    pub(crate) fn sale_is_open(&self, now: Timestamp) -> bool {
        let started = self.terms.sale_starts_at.is_some_and(|start| start <= now);
        self.is_public() && self.status.sells() && started && now < self.terms.sale_end()
    }

    /// When its status has to move by itself.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let ends_at = self.terms.ends_at;
        match self.status {
            Status::Published => Some(self.terms.sale_starts_at.unwrap_or(ends_at).min(ends_at)),
            Status::OnSale | Status::SoldOut => Some(ends_at),
            _ => None,
        }
    }

    /// All that keeps the draft from being published with `plan` now.
    pub(crate) fn check_publishable(
        &self,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        let terms = &self.terms;
        terms.check(&mut problems);
        problems.require(terms.starts_at > now, "starts_at", "must be in the future");
        problems.require(terms.sale_end() > now, "sale_ends_at", "must be in the future");
        problems.require(!terms.categories.is_empty(), "categories", "at least one");
        for category in plan.categories() {
            let has_price = terms.categories.iter().any(|priced| priced.key == category);
            problems.require(has_price, "categories", format!("{category} has no price"));
        }
        problems.into_result()
    }

    /// Publishes the draft, and opens its sale if it is time.
    pub(crate) fn publish(&mut self, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let published = self.step(Status::Published, now)?;
        self.published_at = Some(now);
        self.terms.sale_starts_at.get_or_insert(now);
        let mut changes = vec![published];
        changes.extend(self.advance(now)?);
        Ok(changes)
    }

    /// Moves on as the time tells.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        while self.due_at().is_some_and(|due| due <= now) {
            let over = self.terms.ends_at <= now;
            let next = if over { Status::Ended } else { Status::OnSale };
            changes.push(self.step(next, now)?);
        }
        Ok(changes)
    }

    /// Moves on as the seats tell: sold out when the last was sold, back when one is free.
    pub(crate) fn follow_seats(
        &mut self,
        available: i64,
        sold: bool,
        now: Timestamp,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = self.advance(now)?;
        match self.status {
            Status::OnSale if sold && available <= 0 => {
                changes.push(self.step(Status::SoldOut, now)?);
            }
            Status::SoldOut if available > 0 => changes.push(self.step(Status::OnSale, now)?),
            _ => {}
        }
        Ok(changes)
    }

    /// Changes what an organizer decides; `false` if that changes nothing.
    pub(crate) fn edit(&mut self, edit: Edit, now: Timestamp) -> Result<bool, EditRefusal> {
        if self.status.is_final() {
            return Err(EditRefusal::Closed(self.status));
        }
        let mut terms = edited(&self.terms, edit);
        let mut problems = Problems::default();
        if self.is_public() {
            terms.sale_starts_at.get_or_insert(now);
            let frozen = self.frozen(&terms);
            if !frozen.is_empty() {
                return Err(EditRefusal::Frozen(frozen));
            }
            for category in &self.terms.categories {
                let kept = terms.categories.iter().any(|next| next.key == category.key);
                problems.require(kept, "categories", format!("{} is on sale", category.key));
            }
        }
        terms.check(&mut problems);
        problems.into_result().map_err(EditRefusal::Invalid)?;
        if terms == self.terms {
            return Ok(false);
        }
        self.terms = terms;
        self.version += 1;
        self.updated_at = now;
        Ok(true)
    }

    /// What `next` changes and buyers rely on.
    fn frozen(&self, next: &Terms) -> Vec<&'static str> {
        let own = &self.terms;
        let sale_begun = matches!(self.status, Status::OnSale | Status::SoldOut);
        let changed = [
            ("kind", own.kind != next.kind),
            ("starts_at", own.starts_at != next.starts_at),
            ("ends_at", own.ends_at != next.ends_at),
            ("sale_starts_at", sale_begun && own.sale_starts_at != next.sale_starts_at),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(field, _)| field).collect()
    }

    fn step(&mut self, to: Status, now: Timestamp) -> Result<Change, Refusal> {
        let from = self.status;
        self.status = status::step(from, to)?;
        self.version += 1;
        self.updated_at = now;
        Ok(Change { event: self.id, version: self.version, from: Some(from), to, at: now })
    }
}

fn edited(terms: &Terms, edit: Edit) -> Terms {
    let own = terms.clone();
    Terms {
        name: edit.name.unwrap_or(own.name),
        description: edit.description.unwrap_or(own.description),
        kind: edit.kind.unwrap_or(own.kind),
        starts_at: edit.starts_at.unwrap_or(own.starts_at),
        ends_at: edit.ends_at.unwrap_or(own.ends_at),
        sale_starts_at: edit.sale_starts_at.unwrap_or(own.sale_starts_at),
        sale_ends_at: edit.sale_ends_at.unwrap_or(own.sale_ends_at),
        currency: own.currency,
        categories: edit.categories.unwrap_or(own.categories),
        max_per_booking: edit.max_per_booking.unwrap_or(own.max_per_booking),
        queue: edit.queue.unwrap_or(own.queue),
    }
}

#[cfg(test)]
mod tests {
    use kernel::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        plan::tests::{admission, seated},
        terms::tests::{DAY, category, terms},
    };

    fn day(day: i64) -> Timestamp {
        Timestamp::from_seconds(day * DAY)
    }

    fn draft() -> Event {
        Event {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            organization: OrganizationId::from_uuid(Uuid::from_u128(2)),
            venue: VenueId::from_uuid(Uuid::from_u128(3)),
            venue_name: "Volksbühne".into(),
            venue_city: "Berlin".into(),
            time_zone: "Europe/Berlin".into(),
            capacity: 10,
            terms: terms(),
            status: Status::Draft,
            version: 1,
            created_at: day(1),
            updated_at: day(1),
            published_at: None,
        }
    }

    fn on_sale() -> Event {
        let mut event = draft();
        event.publish(day(11)).unwrap();
        event
    }

    fn reached(changes: &[Change]) -> Vec<Status> {
        changes.iter().map(|change| change.to).collect()
    }

    #[test]
    fn time_opens_the_sale_and_ends_the_event() {
        let mut event = draft();
        assert_eq!(event.due_at(), None);
        assert_eq!(reached(&event.publish(day(2)).unwrap()), [Status::Published]);
        assert_eq!((event.published_at, event.due_at()), (Some(day(2)), Some(day(10))));
        assert!(!event.sale_is_open(day(9)) && event.sale_is_open(day(10)), "by the clock");
        assert!(event.advance(day(9)).unwrap().is_empty());
        assert_eq!(reached(&event.advance(day(10)).unwrap()), [Status::OnSale]);
        assert!(event.sale_is_open(day(99)) && !event.sale_is_open(day(100)), "until it starts");
        assert_eq!(event.due_at(), Some(event.terms.ends_at));
        assert_eq!(reached(&event.advance(day(101)).unwrap()), [Status::Ended]);
        assert_eq!((event.due_at(), event.version), (None, 4));
        assert!(event.publish(day(102)).is_err(), "what is over stays over");
    }

    #[test]
    fn a_sale_without_a_begin_begins_at_publication() {
        let mut event = draft();
        event.terms.sale_starts_at = None;
        let changes = event.publish(day(2)).unwrap();
        assert_eq!(reached(&changes), [Status::Published, Status::OnSale]);
        assert_eq!(event.terms.sale_starts_at, Some(day(2)));
        assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_last_seat_sold_sells_out_and_a_free_one_brings_the_sale_back() {
        let mut event = on_sale();
        let follow = |event: &mut Event, available, sold| {
            reached(&event.follow_seats(available, sold, day(12)).unwrap())
        };
        assert!(follow(&mut event, 1, true).is_empty());
        assert!(follow(&mut event, 0, false).is_empty(), "a hold may come back");
        assert_eq!(follow(&mut event, 0, true), [Status::SoldOut]);
        assert!(event.sale_is_open(day(12)), "ticket-service decides what is free");
        assert!(follow(&mut event, 0, true).is_empty());
        assert_eq!(follow(&mut event, 1, false), [Status::OnSale]);
        assert!(follow(&mut draft(), 0, true).is_empty());
    }

    #[test]
    fn a_sale_that_is_due_begins_before_it_is_sold_out() {
        let mut event = draft();
        event.publish(day(2)).unwrap();
        let changes = event.follow_seats(0, true, day(12)).unwrap();
        assert_eq!(reached(&changes), [Status::OnSale, Status::SoldOut]);
    }

    #[test]
    fn all_that_keeps_a_draft_from_publication_is_named() {
        let plan = Plan { sections: vec![seated("stalls", &[("A", 10)]), admission("floor", 5)] };
        assert_eq!(draft().check_publishable(&plan, day(2)), Ok(()));
        let wrong = |event: &Event, at| {
            let fields = event.check_publishable(&plan, at).unwrap_err();
            fields.into_iter().map(|field| field.field).collect::<Vec<_>>()
        };
        let mut event = draft();
        event.terms.categories = vec![category("premium", 1)];
        assert_eq!(wrong(&event, day(2)), ["categories"]);
        event.terms.categories.clear();
        let all = ["starts_at", "sale_ends_at", "categories", "categories"];
        assert_eq!(wrong(&event, day(100)), all);
    }

    #[test]
    fn a_draft_changes_freely_and_counts_its_versions() {
        let mut event = draft();
        let edit = Edit {
            name: Some("Matinée".into()),
            starts_at: Some(day(99)),
            sale_starts_at: Some(None),
            categories: Some(vec![]),
            ..Edit::default()
        };
        assert_eq!(event.edit(edit.clone(), day(3)), Ok(true));
        assert_eq!((event.version, event.updated_at), (2, day(3)));
        assert_eq!(event.edit(edit, day(4)), Ok(false), "nothing new");
        assert_eq!(event.version, 2);
        let edit = Edit { name: Some(String::new()), ..Edit::default() };
        assert!(matches!(event.edit(edit, day(4)), Err(EditRefusal::Invalid(_))));
        assert_eq!(event.terms.name, "Matinée", "a refused edit changes nothing");
    }

    #[test]
    fn what_buyers_rely_on_is_frozen_by_publication() {
        let refused = |edit: Edit| on_sale().edit(edit, day(12)).unwrap_err();
        let kind = Kind::parse("comedy");
        let edit = Edit { kind, starts_at: Some(day(99)), ..Edit::default() };
        assert_eq!(refused(edit), EditRefusal::Frozen(vec!["kind", "starts_at"]));
        let edit = Edit { sale_starts_at: Some(Some(day(20))), ..Edit::default() };
        assert_eq!(refused(edit), EditRefusal::Frozen(vec!["sale_starts_at"]));
        let edit = Edit { categories: Some(vec![category("standard", 1)]), ..Edit::default() };
        assert!(matches!(refused(edit), EditRefusal::Invalid(_)), "premium is on sale");

        let mut event = on_sale();
        let words = Edit {
            name: Some("Nordlicht Quartett".into()),
            starts_at: Some(event.terms.starts_at),
            sale_ends_at: Some(Some(day(50))),
            categories: Some(vec![category("standard", 1), category("premium", 2)]),
            max_per_booking: Some(4),
            queue: Some(Queue {
                enabled: true,
                admissions_per_minute: 60,
                admission_ttl_seconds: 60,
            }),
            ..Edit::default()
        };
        assert_eq!(event.edit(words, day(12)), Ok(true));
        event.advance(day(101)).unwrap();
        let refused = event.edit(Edit::default(), day(101));
        assert_eq!(refused, Err(EditRefusal::Closed(Status::Ended)));
    }
}
