//! The verbs, one file each.

pub mod cancel_tickets;
pub mod expire_holds;
pub mod get_availability;
pub mod get_signing_keys;
pub mod get_ticket;
pub mod hold_seats;
pub mod issue_tickets;
pub mod list_tickets;
pub mod open_inventory;
pub mod release_hold;
pub mod use_ticket;
pub mod validate_ticket;

pub use cancel_tickets::{CancelTickets, cancel_tickets};
pub use expire_holds::expire_holds;
pub use get_availability::{Availability, get_availability};
pub use get_signing_keys::get_signing_keys;
pub use get_ticket::get_ticket;
pub use hold_seats::{HoldSeats, hold_seats};
pub use issue_tickets::{IssueTickets, issue_tickets};
pub use list_tickets::{ListTickets, list_tickets};
pub use open_inventory::{OpenInventory, open_inventory};
pub use release_hold::{ReleaseHold, release_hold};
pub use use_ticket::{UseTicket, use_ticket};
pub use validate_ticket::{ValidateTicket, Validation, validate_ticket};
