//! Wire shapes that several services share, to and from the words of `kernel`.

use std::{fmt::Display, str::FromStr};

use kernel::{Choice, Failure, Money, Page};

use crate::pb::{kernel::v1 as pb, ticket::v1::Place};

/// Reads an id (or anything else made from text) of field `field`.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the field.
pub fn id<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::invalid(field, error))
}

/// Reads an amount of field `field`.
///
/// # Errors
/// If it is missing or its currency is unknown.
pub fn money(field: &str, amount: Option<&pb::Money>) -> Result<Money, Failure> {
    let amount = amount.ok_or_else(|| Failure::invalid(field, "is required"))?;
    let currency = id(field, &amount.currency)?;
    Ok(Money::new(amount.minor, currency))
}

/// An amount as it goes over the wire.
#[must_use]
pub fn to_money(amount: Money) -> pb::Money {
    pb::Money { minor: amount.minor, currency: amount.currency.to_string() }
}

/// Reads which page is wanted; the first one where nothing is said.
///
/// # Errors
/// As [`Page::new`].
pub fn page(page: Option<&pb::Page>) -> Result<Page, Failure> {
    page.map_or_else(|| Page::new(0, ""), |page| Page::new(page.limit, &page.cursor))
}

/// Reads a buyer's wish.
///
/// # Errors
/// If there is none, a seat is no seat, or it makes no sense: see [`Choice::checked`].
pub fn choice(choice: Option<&pb::Choice>) -> Result<Choice, Failure> {
    use pb::choice::Wish;
    let wish = choice.and_then(|choice| choice.wish.as_ref());
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    match wish.ok_or_else(|| Failure::invalid("choice", "is required"))? {
        Wish::Seats(wanted) => {
            if wanted.seats.len() > kernel::MAX_PLACES as usize {
                return Err(Failure::invalid("choice.seats", "too many seats"));
            }
            let seats = wanted.seats.iter().enumerate();
            let seats = seats.map(|(at, seat)| id(&format!("choice.seats[{at}]"), seat));
            Choice::Seats(seats.collect::<Result<_, _>>()?)
        }
        Wish::BestAvailable(best) => Choice::BestAvailable {
            quantity: best.quantity,
            section: some(&best.section),
            category: some(&best.category),
            wheelchair: best.wheelchair,
        },
        Wish::Admissions(admissions) => Choice::Admissions {
            section: admissions.section.clone(),
            quantity: admissions.quantity,
        },
    }
    .checked()
}

/// A buyer's wish as it goes over the wire.
#[must_use]
pub fn to_choice(choice: &Choice) -> pb::Choice {
    use pb::choice::{Admissions, BestAvailable, Seats, Wish};
    let wish = match choice {
        Choice::Seats(seats) => {
            Wish::Seats(Seats { seats: seats.iter().map(ToString::to_string).collect() })
        }
        Choice::BestAvailable { quantity, section, category, wheelchair } => {
            Wish::BestAvailable(BestAvailable {
                quantity: *quantity,
                section: section.clone().unwrap_or_default(),
                category: category.clone().unwrap_or_default(),
                wheelchair: *wheelchair,
            })
        }
        Choice::Admissions { section, quantity } => {
            Wish::Admissions(Admissions { section: section.clone(), quantity: *quantity })
        }
    };
    pb::Choice { wish: Some(wish) }
}

/// Reads a place.
///
/// # Errors
/// If its seat is no seat.
pub fn place(place: &Place) -> Result<kernel::Place, Failure> {
    let seat = match place.seat.as_str() {
        "" => None,
        seat => Some(id("place.seat", seat)?),
    };
    Ok(kernel::Place {
        section: place.section.clone(),
        seat,
        category: place.category.clone(),
        wheelchair: place.wheelchair,
    })
}

/// A place as it goes over the wire.
#[must_use]
pub fn to_place(place: &kernel::Place) -> Place {
    Place {
        section: place.section.clone(),
        seat: place.seat.as_ref().map(ToString::to_string).unwrap_or_default(),
        category: place.category.clone(),
        wheelchair: place.wheelchair,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_arrives_as_it_was_sent() {
        let best = |section: Option<&str>, wheelchair| Choice::BestAvailable {
            quantity: 3,
            section: section.map(str::to_owned),
            category: None,
            wheelchair,
        };
        let wishes = [
            Choice::Seats(vec!["A/1/2".parse().unwrap(), "A/1/3".parse().unwrap()]),
            best(Some("stalls"), 0),
            best(None, 3),
            Choice::Admissions { section: "standing".to_owned(), quantity: 2 },
        ];
        for wish in wishes {
            assert_eq!(choice(Some(&to_choice(&wish))).unwrap(), wish);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        let seats = |seats: Vec<String>| {
            let wish = pb::choice::Wish::Seats(pb::choice::Seats { seats });
            choice(Some(&pb::Choice { wish: Some(wish) })).unwrap_err()
        };
        assert_eq!(seats(vec!["A/1/2".into(), "\n".into()]).fields[0].field, "choice.seats[1]");
        assert_eq!(seats(vec!["A/1/2".into(); 10_000]).fields[0].field, "choice.seats");
        assert_eq!(choice(None).unwrap_err().fields[0].field, "choice");
        let amount = pb::Money { minor: 1, currency: "nonsense".into() };
        assert_eq!(money("price", Some(&amount)).unwrap_err().fields[0].field, "price");
        assert_eq!(money("price", None).unwrap_err().fields[0].field, "price");
        assert_eq!(page(None).unwrap(), Page::new(0, "").unwrap());
    }

    #[test]
    fn amounts_and_places_arrive_as_they_were_sent() {
        let amount = Money::new(-1_250, "EUR".parse().unwrap());
        assert_eq!(money("price", Some(&to_money(amount))).unwrap(), amount);
        for seat in [None, Some("A/1/2".parse().unwrap())] {
            let sent = kernel::Place {
                section: "A".into(),
                seat,
                category: "front".into(),
                wheelchair: true,
            };
            assert_eq!(place(&to_place(&sent)).unwrap(), sent);
        }
    }
}
