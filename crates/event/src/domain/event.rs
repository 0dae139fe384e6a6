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
