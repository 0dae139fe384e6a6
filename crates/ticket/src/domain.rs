//! Pure decisions: the plan, the seat map that chooses, who gets what in a batch, what a ticket may
//! become.

pub mod batch;
pub mod choose;
pub mod hold;
pub mod plan;
pub mod seatmap;
pub mod ticket;
