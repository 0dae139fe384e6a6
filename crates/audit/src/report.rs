//! What the audit says.

use std::fmt;

use rusqlite::types::Value;
use serde::Serialize;
use uuid::Uuid;

use crate::{Error, notes::Notes, rules::Rule};

/// How many findings of one rule are kept in words; all are counted.
const KEPT: usize = 100;

/// What was counted, and how: by name.
const COUNTS: [(&str, &str); 16] = [
    ("bookings", "select count(*) from booking"),
    ("confirmed", "select count(*) from booking where status = 'CONFIRMED'"),
    ("cancelled", "select count(*) from booking where status = 'CANCELLED'"),
    ("expired", "select count(*) from booking where status = 'EXPIRED'"),
    ("failed", "select count(*) from booking where status = 'FAILED'"),
    ("events on sale", "select count(*) from tally"),
    ("tickets", "select count(*) from ticket"),
    ("holds", "select count(*) from hold"),
    ("steps", "select count(*) from step"),
    ("payments", "select count(*) from payment"),
    ("refunds", "select count(*) from refund"),
    ("told events", "select count(*) from news"),
    ("mails", "select count(*) from mail"),
    ("places given", "select coalesce(sum(last), 0) from line"),
    ("places waiting", "select coalesce(sum(waiting), 0) from line"),
    ("journal entries", "select (select count(*) from told) + (select count(*) from given)"),
];

/// What was looked at and what was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How much was looked at, by name.
    pub looked_at: Vec<(&'static str, i64)>,
    /// The money, by currency.
    pub money: Vec<Money>,
    /// What each rule found.
    pub rules: Vec<Verdict>,
    /// What has yet to be done: no violation while it has time.
    pub unsettled: Verdict,
}

/// All the money of one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Money {
    /// ISO 4217.
    pub currency: String,
    /// What payments have taken.
    pub captured_minor: i64,
    /// What of it went back.
    pub refunded_minor: i64,
    /// What living tickets cost.
    pub tickets_minor: i64,
}

/// What one rule found.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The rule: what must hold.
    pub rule: &'static str,
    /// Of how much it was asked; none where it could not be: no provider's books, or no journal.
    pub looked_at: Option<i64>,
    /// How often it does not hold.
    pub count: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// What breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The id of what is wrong; empty where it has none.
    pub subject: String,
    /// What is wrong with it.
    pub words: String,
}

impl Report {
    /// How many violations there are.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.rules.iter().map(|verdict| verdict.count).sum()
    }

    /// The violations that are kept in words, a line each.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let each = |its: &Verdict| {
            let rule = its.rule;
            its.findings.iter().map(move |found| format!("{rule}: {found}")).collect::<Vec<_>>()
        };
        self.rules.iter().flat_map(each).collect()
    }

    /// The count of this name.
    #[must_use]
    pub fn count(&self, name: &str) -> i64 {
        self.looked_at.iter().find(|(its, _)| *its == name).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_str() {
            "" => f.write_str(&self.words),
            subject => write!(f, "{} [{subject}]", self.words),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(looked_at) = self.looked_at else {
            return write!(f, "-     {:<58} not looked at", self.rule);
        };
        let level = if self.count == 0 { "ok" } else { "WRONG" };
        write!(f, "{level:<5} {:<58} {looked_at:>10}", self.rule)?;
        if self.count > 0 {
            write!(f, "  {} wrong", self.count)?;
        }
        self.findings.iter().try_for_each(|found| write!(f, "\n        {found}"))?;
        match self.count.saturating_sub(self.findings.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n        and {more} more"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.looked_at.iter().map(|(name, count)| format!("{count} {name}"));
        writeln!(f, "{}", counts.collect::<Vec<_>>().join(", "))?;
        for its in &self.money {
            let Money { currency, captured_minor, refunded_minor, tickets_minor } = its;
            writeln!(
                f,
                "{currency}: {captured_minor} captured, {refunded_minor} given back, living \
                 tickets cost {tickets_minor} (minor units)"
            )?;
        }
        for verdict in &self.rules {
            writeln!(f, "{verdict}")?;
        }
        if self.unsettled.count > 0 {
            writeln!(f, "{} unsettled:", self.unsettled.count)?;
            self.unsettled.findings.iter().try_for_each(|its| writeln!(f, "        {its}"))?;
        }
        write!(f, "{} violations, {} unsettled", self.violations(), self.unsettled.count)
    }
}

impl Notes {
    /// How much there is of everything.
    pub(crate) fn counts(&self) -> Result<Vec<(&'static str, i64)>, Error> {
        COUNTS.into_iter().map(|(name, sql)| Ok((name, self.number(sql)?))).collect()
    }

    /// The money by currency.
    pub(crate) fn money(&self) -> Result<Vec<Money>, Error> {
        const MONEY: &str = "
            select currency, sum(captured), sum(refunded), sum(tickets) from (
              select currency, captured, refunded, 0 as tickets from payment
              union all select currency, 0, 0, price from live)
            group by currency order by currency";
        let mut select = self.0.prepare(MONEY)?;
        let rows = select.query_map([], |row| {
            Ok(Money {
                currency: row.get(0)?,
                captured_minor: row.get(1)?,
                refunded_minor: row.get(2)?,
                tickets_minor: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What breaks `rule`.
    pub(crate) fn ask(&self, rule: &Rule) -> Result<Verdict, Error> {
        let looked_at = self.number(&format!("select count(*) from {}", rule.of))?;
        let mut verdict = rule.unasked();
        verdict.looked_at = Some(looked_at);
        let mut breaks = self.0.prepare(rule.breaks)?;
        let mut rows = breaks.query([])?;
        while let Some(row) = rows.next()? {
            verdict.count += 1;
            if verdict.findings.len() < KEPT {
                let subject = text(row.get(0)?);
                verdict.findings.push(Finding { subject, words: text(row.get(1)?) });
            }
        }
        Ok(verdict)
    }
}

impl Rule {
    /// The verdict of a rule that could not be asked.
    pub(crate) const fn unasked(&self) -> Verdict {
        Verdict { rule: self.name, looked_at: None, count: 0, findings: Vec::new() }
    }
}

/// An id or a text, as a person reads it.
fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => match Uuid::from_slice(&bytes) {
            Ok(id) => id.to_string(),
            Err(_) => format!("{bytes:02x?}"),
        },
    }
}
