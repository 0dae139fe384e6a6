//! How long the hot parts take: `cargo xtask bench -- micro`, with a part of a name for some.

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for workload in hot::WORKLOADS {
        let mut once = (workload.prepare)();
        criterion.bench_function(workload.name, |bencher| bencher.iter(&mut once));
    }
    criterion.final_summary();
}
