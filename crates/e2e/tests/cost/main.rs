//! What a booking costs, counted. In a process of its own: allocations can be counted of a whole
//! process only.

#[cfg(test)]
mod booking;
#[cfg(test)]
#[expect(dead_code, reason = "shared with the other scenarios, which use all of it")]
#[path = "../it/system.rs"]
mod system;
