//! The facade's promises, each tested on both engines.

#[cfg(test)]
mod transactions;
#[cfg(test)]
mod types;
