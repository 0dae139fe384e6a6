//! One set of assertions over a wire inside the process and a wire over a real socket, and what
//! only one of them has.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod process;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod world;
