//! One service as its callers see it: the replicas that may answer, and which is asked next.

use std::{
    cmp::Reverse,
    net::SocketAddr,
    ptr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kernel::{Code, Failure};

use crate::{
    guard::Guard,
    mesh::Shared,
    replica::{Address, Picked, Replica},
};

/// At most so many of a host's addresses are used.
const MAX_ADDRESSES: usize = 32;

/// The replicas of a service, as they were at one moment.
pub(crate) type Replicas = Arc<[Arc<Replica>]>;

pub(crate) struct Target {
    pub(crate) service: String,
    pub(crate) shared: Arc<Shared>,
    /// As configured; none for a service in this process.
    pub(crate) addresses: Vec<Address>,
    replicas: RwLock<Replicas>,
    /// Where the next call starts to look for a replica.
    turn: AtomicUsize,
    /// Whether anybody has been given a wire to it.
    wanted: AtomicBool,
}

impl Target {
    /// The service called `service`, in this process.
    pub(crate) fn local(service: &str, shared: Arc<Shared>) -> Self {
        let replicas = [Arc::new(Replica::local(service, &shared))];
        Self::new(service, shared, Vec::new(), replicas.into())
    }

    /// The service called `service`, at `addresses`.
    ///
    /// # Errors
    /// An address that is none, and what is wrong with it.
    pub(crate) fn remote(
        service: &str,
        addresses: &[String],
        shared: Arc<Shared>,
    ) -> Result<Self, (String, String)> {
        let tls = shared.identity().is_some();
        let parse =
            |text: &String| Address::parse(text, tls).map_err(|detail| (text.clone(), detail));
        let addresses: Vec<_> = addresses.iter().map(parse).collect::<Result<_, _>>()?;
        let replica = |address| Arc::new(Replica::remote(service, address, None, &shared));
        let replicas = addresses.iter().enumerate().map(replica).collect();
        Ok(Self::new(service, shared, addresses, replicas))
    }

    fn new(
        service: &str,
        shared: Arc<Shared>,
        addresses: Vec<Address>,
        replicas: Replicas,
    ) -> Self {
        let (service, replicas) = (service.to_owned(), RwLock::new(replicas));
        let (turn, wanted) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { service, shared, addresses, replicas, turn, wanted }
    }

    /// Notes that there is a wire to it.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Puts the server of this process in its place, if this is its place.
    pub(crate) fn fill(&self, guard: &Guard) {
        for replica in &*self.replicas() {
            replica.fill(guard);
        }
    }

    /// The replicas as they are now.
    pub(crate) fn replicas(&self) -> Replicas {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what the host of the `of`th address stands for now. Replicas that are still among
    /// it stay as they are; calls to those that aren't may end.
    pub(crate) fn found(&self, of: usize, mut found: Vec<SocketAddr>) {
        let Some(address) = self.addresses.get(of) else { return };
        found.sort_unstable();
        found.dedup();
        found.truncate(MAX_ADDRESSES);
        if found.is_empty() {
            return;
        }
        let mut replicas = self.replicas.write().unwrap_or_else(PoisonError::into_inner);
        let is_gone = |replica: &Replica| {
            let remote = replica.elsewhere().filter(|remote| remote.of == of);
            remote.is_some_and(|remote| !remote.at().is_some_and(|at| found.contains(&at)))
        };
        let (gone, mut kept): (Vec<_>, Vec<_>) =
            replicas.iter().cloned().partition(|replica| is_gone(replica));
        let known = |at: SocketAddr, kept: &[Arc<Replica>]| {
            let mut remotes = kept.iter().filter_map(|replica| replica.elsewhere());
            remotes.any(|remote| remote.of == of && remote.at() == Some(at))
        };
        for at in &found {
            if !known(*at, &kept) {
                let (service, shared) = (&self.service, &self.shared);
                kept.push(Arc::new(Replica::remote(service, (of, address), Some(*at), shared)));
            }
        }
        for remote in gone.iter().filter_map(|replica| replica.elsewhere()) {
            tracing::info!(service = self.service, address = remote.address, "replica gone");
            self.shared.forget(&self.service, &remote.address);
        }
        *replicas = kept.into();
    }

    /// A replica to call, and leave to call it. Healthy ones come first, then those that have not
    /// been `tried`, then those with the fewest calls under way, and among equals each in turn.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is none.
    pub(crate) fn pick<'a>(
        &self,
        replicas: &'a [Arc<Replica>],
        tried: &[&'a Replica],
    ) -> Result<Picked<'a>, Failure> {
        let mut shortest: Option<Duration> = None;
        let mut admit = |replica: &'a Replica| {
            if replica.is_empty() {
                return None;
            }
            let shorter =
                |left| shortest = Some(shortest.map_or(left, |other: Duration| other.min(left)));
            replica.admit().map_err(shorter).ok()
        };
        let picked = match replicas {
            [only] => admit(only),
            several => self.in_order(several, tried).into_iter().find_map(admit),
        };
        picked.ok_or_else(|| self.nobody(shortest))
    }

    fn in_order<'a>(
        &self,
        replicas: &'a [Arc<Replica>],
        tried: &[&'a Replica],
    ) -> Vec<&'a Replica> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % replicas.len().max(1);
        let (before, from) = replicas.split_at_checked(start).unwrap_or_default();
        let mut order: Vec<_> = from.iter().chain(before).map(|replica| &**replica).collect();
        order.sort_by_cached_key(|replica| {
            let again = tried.iter().any(|other| ptr::eq(*other, *replica));
            (Reverse(replica.is_healthy()), again, replica.under_way())
        });
        order
    }

    fn nobody(&self, pause: Option<Duration>) -> Failure {
        let Some(left) = pause else {
            return Failure::unavailable(format_args!("{} is not served yet", self.service));
        };
        let detail = format!("{} has failed too often, and is given a pause", self.service);
        let failure = Failure::new(Code::Unavailable, "CIRCUIT_OPEN", detail);
        failure.retry_after(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Secret, SystemClock};
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;
    use crate::{Mesh, MeshSettings};

    fn mesh(addresses: &[&str]) -> Mesh {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        let settings = MeshSettings {
            key: Secret::new(vec![7; 32]),
            calls: &[],
            remotes: [("user".to_owned(), addresses)].into(),
            tls: None,
            deadline: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        };
        Mesh::new(settings).unwrap()
    }

    fn names(replicas: &Replicas) -> Vec<String> {
        let remotes = replicas.iter().filter_map(|replica| replica.elsewhere());
        remotes.map(|remote| remote.address.clone()).collect()
    }

    #[test]
    fn what_a_host_name_stands_for_may_change() {
        let mesh = mesh(&["http://10.0.0.9:1", "http://users:1"]);
        let target = mesh.target("user");
        assert_eq!(names(&target.replicas()), ["http://10.0.0.9:1", "http://users:1"]);
        assert_eq!(target.addresses[0].name(), None, "there is nothing to look up");
        assert_eq!(target.addresses[1].name(), Some(("users", 1)));

        let at = |last: u8| SocketAddr::from(([10, 0, 0, last], 1));
        target.found(1, vec![at(2), at(1), at(2)]);
        let first = target.replicas();
        let (one, two) = ("http://users:1 10.0.0.1:1", "http://users:1 10.0.0.2:1");
        assert_eq!(names(&first), ["http://10.0.0.9:1", one, two]);
        target.found(1, Vec::new());
        assert_eq!(names(&target.replicas()).len(), 3, "what was last known is kept");

        target.found(1, vec![at(3), at(2)]);
        let second = target.replicas();
        assert_eq!(names(&second), ["http://10.0.0.9:1", two, "http://users:1 10.0.0.3:1"]);
        assert!(Arc::ptr_eq(&first[2], &second[1]), "with its connection and its past");
        let (mut registry, mut text) = (Registry::default(), String::new());
        mesh.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        assert!(text.contains(two) && !text.contains(one), "{text}");
    }

    #[test]
    fn the_well_come_first_then_the_untried_then_those_with_least_to_do() {
        let mesh = mesh(&["http://10.0.0.1:1", "http://10.0.0.2:1", "http://10.0.0.3:1"]);
        let target = mesh.target("user");
        let replicas = target.replicas();
        let place = |picked: &Picked<'_>| {
            replicas.iter().position(|replica| ptr::eq(&**replica, picked.replica)).unwrap()
        };
        let mut under_way: Vec<_> =
            (0..6).map(|_| target.pick(&replicas, &[]).unwrap_or_else(|_| panic!())).collect();
        let mut places: Vec<_> = under_way.iter().map(&place).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 0, 1, 1, 2, 2]);
        under_way.retain(|picked| place(picked) != 1);
        let next = || place(&target.pick(&replicas, &[]).unwrap_or_else(|_| panic!()));
        assert_eq!([next(), next(), next()], [1, 1, 1], "nothing to do");

        let pick = |tried: &[&Replica]| {
            let picked = target.pick(&replicas, tried);
            place(&picked.unwrap_or_else(|failure| panic!("{failure:?}")))
        };
        assert_ne!(pick(&[&replicas[1]]), 1, "not the same again");
        let ill = |at: usize| replicas[at].elsewhere().unwrap().mark(false);
        assert!(ill(0) && ill(2) && !ill(0));
        assert_eq!(pick(&[&replicas[1]]), 1, "better than one that is ill");
        assert!(ill(1));
        assert_ne!(pick(&[&replicas[1]]), 1, "when all are ill, all may be asked");
    }
}
