//! The facade's promises, each tested on both engines.

#[cfg(test)]
mod cancellation;
#[cfg(test)]
mod coalescing;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod migrating;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod replicating;
#[cfg(test)]
mod securing;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod types;
