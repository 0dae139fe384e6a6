//! Every step is one that its state machine knows.

use super::{Rule, rule};

/// Machine, status, where it may go; written down here once more, on purpose. A step from a status
/// to itself is one of the money alone, or a second try.
pub(crate) const WAYS: &[(&str, &str, &[&str])] = &[
    ("booking", "PENDING", &["RESERVING", "CANCELLED", "FAILED", "EXPIRED"]),
    ("booking", "RESERVING", &["SEATS_RESERVED", "CANCELLED", "FAILED", "EXPIRED"]),
    (
        "booking",
        "SEATS_RESERVED",
        &["SEATS_RESERVED", "PAYMENT_PENDING", "CONFIRMED", "CANCELLED", "FAILED", "EXPIRED"],
    ),
    (
        "booking",
        "PAYMENT_PENDING",
        &["PAYMENT_PROCESSING", "PAYMENT_FAILED", "CANCELLED", "FAILED", "EXPIRED"],
    ),
    (
        "booking",
        "PAYMENT_FAILED",
        &[
            "PAYMENT_PENDING",
            "PAYMENT_PROCESSING",
            "PAYMENT_FAILED",
            "CANCELLED",
            "FAILED",
            "EXPIRED",
        ],
    ),
    ("booking", "PAYMENT_PROCESSING", &["PAYMENT_PROCESSING", "CONFIRMED", "CANCELLED", "FAILED"]),
    ("booking", "CONFIRMED", &["CONFIRMED", "CANCELLED"]),
    ("booking", "CANCELLED", &["CANCELLED"]),
    ("booking", "FAILED", &["FAILED"]),
    ("booking", "EXPIRED", &["EXPIRED"]),
    ("payment", "", &["requires_payment"]),
    (
        "payment",
        "requires_payment",
        &["requires_payment", "processing", "authorized", "captured", "failed", "cancelled"],
    ),
    (
        "payment",
        "processing",
        &["requires_payment", "authorized", "captured", "failed", "cancelled"],
    ),
    ("payment", "authorized", &["captured", "failed", "cancelled"]),
    ("payment", "captured", &["captured", "partially_refunded", "refunded"]),
    // Back, where a refund that had succeeded fails after all.
    ("payment", "partially_refunded", &["captured", "partially_refunded", "refunded"]),
    ("payment", "refunded", &["captured", "partially_refunded"]),
    ("ticket", "", &["issued"]),
    ("ticket", "issued", &["used", "cancelled", "refunded", "transferred"]),
    ("event", "", &["draft"]),
    ("event", "draft", &["published", "postponed", "cancelled"]),
    ("event", "published", &["on_sale", "ended", "postponed", "cancelled"]),
    ("event", "on_sale", &["sold_out", "ended", "postponed", "cancelled"]),
    ("event", "sold_out", &["on_sale", "ended", "postponed", "cancelled"]),
    ("event", "postponed", &["published", "cancelled"]),
];

pub(super) const RULES: &[Rule] = &[
    rule(
        "every step is one of its state machine",
        "step",
        "with walked as (
           select machine, subject, to_status, input, lag(to_status) over history as was,
             coalesce(from_status, lag(to_status) over history, '') as from_status
           from step window history as (partition by machine, subject order by n))
         select w.subject, 'history of ' || w.machine || ': no way from ' || w.from_status || ' to '
           || w.to_status || ' by ' || w.input
         from walked w left join way on way.machine = w.machine
           and way.from_status = w.from_status and way.to_status = w.to_status
         where way.machine is null
         union all
         select w.subject, 'history of ' || w.machine || ': a gap: from ' || w.from_status
           || ' after ' || coalesce(w.was, s.start)
         from walked w join standing s on s.machine = w.machine and s.id = w.subject
         where w.from_status <> coalesce(w.was, s.start)",
    ),
    rule(
        "every step is in its history once",
        "step",
        "select subject, 'history of ' || machine || ': step ' || n || ' is there ' || count(*)
           || ' times'
         from step group by machine, subject, n having count(*) > 1",
    ),
    rule(
        "every history ends where its subject is",
        "step",
        "select s.id, 'history of ' || s.machine || ' ends ' || coalesce(h.to_status, s.start)
           || ', but it is ' || s.status
         from standing s left join step h on h.machine = s.machine and h.subject = s.id
           and h.n = (select max(n) from step where machine = s.machine and subject = s.id)
         where s.status <> coalesce(h.to_status, s.start)
         union all
         select h.subject, 'history of a ' || h.machine || ' that there is not'
         from (select distinct machine, subject from step) h
         left join standing s on s.machine = h.machine and s.id = h.subject where s.id is null",
    ),
];
