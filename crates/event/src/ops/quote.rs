//! What tickets cost, and on which terms they are sold. The hot path: two for each booking.

use std::sync::Arc;

use kernel::{EventId, Failure, Money};

use crate::{
    app::App,
    domain::{Category, Event},
    error::Error,
};

/// The most lines of a quote.
const MAX_LINES: usize = 100;

/// So many places of a price category.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) category: String,
    pub(crate) quantity: u32,
}

/// A line with its price.
#[derive(Debug)]
pub(crate) struct QuotedLine {
    pub(crate) category: Category,
    pub(crate) quantity: u32,
}

/// Prices and terms at this moment.
#[derive(Debug)]
pub(crate) struct Quote {
    pub(crate) event: Arc<Event>,
    pub(crate) lines: Vec<QuotedLine>,
    pub(crate) total: Money,
    pub(crate) on_sale: bool,
}

pub(crate) async fn quote(app: &App, id: EventId, lines: &[Line]) -> Result<Quote, Error> {
    if lines.len() > MAX_LINES {
        return Err(Failure::invalid("lines", format!("at most {MAX_LINES}")).into());
    }
    let event = app.cache.event(id).await?;
    let mut total = Money::zero(event.terms.currency);
    let mut quoted = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let quantity = line.quantity;
        if quantity == 0 || quantity > kernel::MAX_PLACES {
            let field = format!("lines[{at}].quantity");
            let detail = format!("1 to {}", kernel::MAX_PLACES);
            return Err(Failure::invalid(field, detail).into());
        }
        let category = event.terms.categories.iter().find(|one| one.key == line.category);
        let category = category.ok_or_else(|| {
            let category = line.category.clone();
            Error::UnknownCategory { at, category }
        })?;
        let price = Money::new(category.price_minor, total.currency);
        let sum = price.times(quantity).and_then(|amount| total.plus(amount));
        total = sum.map_err(|error| Failure::invalid("lines", error))?;
        quoted.push(QuotedLine { category: category.clone(), quantity });
    }
    app.counters.quotes.inc();
    let on_sale = event.sale_is_open(app.clock.now());
    Ok(Quote { event, lines: quoted, total, on_sale })
}
