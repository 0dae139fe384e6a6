//! Whole-system scenarios: a platform as a library or as a process, used by its public faces.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod distributed;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod rush;
#[cfg(test)]
mod sale;
#[cfg(test)]
mod start;
#[cfg(test)]
mod system;
