//! What the stores say once the sale is over: `boxoffice audit`, which shares no code with the
//! services, over the platform's own configuration and the journal of this run.

use std::{path::Path, process::Stdio, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::{Failure, house::House};

const AUDIT_TIME: Duration = Duration::from_secs(900);
/// How long the platform may take to finish what it has begun, mails included, in seconds.
const SETTLE_SECONDS: &str = "120";
/// So many findings of a rule are told in words.
const TOLD: usize = 5;

/// The part of an audit that says whether all is right.
#[derive(Deserialize)]
struct Audit {
    rules: Vec<Verdict>,
    unsettled: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    rule: String,
    looked_at: Option<i64>,
    count: u64,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    subject: String,
    words: String,
}

/// Audits a platform's stores.
///
/// # Errors
/// If the audit can't be run to its end.
pub(crate) async fn audit(binary: &Path, house: &House, journal: &Path) -> Result<Value, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(format!("audit: {what}"));
    let mut command = Command::new(binary);
    command.args(["audit", "--json", "--settle", SETTLE_SECONDS, "--journal"]).arg(journal);
    command.args(&house.stores).current_dir(house.directory());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(AUDIT_TIME, command.output()).await.map_err(|error| failed(&error))??;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        failed(&format!("{}: {error}: {said}", output.status))
    })
}

/// The violations that an audit tells of, and what is left undone: a sale that is over leaves
/// nothing.
///
/// # Errors
/// If it is no audit.
pub(crate) fn violations(audit: &Value) -> Result<Vec<String>, Failure> {
    let audit = read(audit)?;
    let mut found = Vec::new();
    for verdict in audit.rules.iter().chain([&audit.unsettled]).filter(|its| its.count > 0) {
        let rule = &verdict.rule;
        let told = verdict.findings.iter().take(TOLD);
        found.extend(told.map(|its| format!("audit: {rule}: {} {}", its.words, its.subject)));
        if verdict.count > verdict.findings.len().min(TOLD) as u64 {
            found.push(format!("audit: {rule}: {} in all", verdict.count));
        }
    }
    Ok(found)
}

/// How an audit went.
pub(crate) fn in_a_line(audit: &Value) -> String {
    let Ok(audit) = read(audit) else { return "not understood".to_owned() };
    let asked = audit.rules.iter().filter(|its| its.looked_at.is_some()).count();
    let broken = audit.rules.iter().filter(|its| its.count > 0).count();
    let undone = audit.unsettled.count;
    format!("{broken} of {asked} rules are broken, {undone} things are left undone")
}

fn read(audit: &Value) -> Result<Audit, Failure> {
    Audit::deserialize(audit).map_err(|error| Failure::new(format!("no audit: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn audit(count: u64, unsettled: u64) -> Value {
        let finding = json!({"subject": "b-1", "words": "twice"});
        json!({
            "looked_at": [["bookings", 3]], "money": [],
            "rules": [
                {"rule": "a seat once", "looked_at": 3, "count": count,
                 "findings": vec![finding; count as usize]},
                {"rule": "a journal", "looked_at": null, "count": 0, "findings": []},
            ],
            "unsettled": {"rule": "all is done", "looked_at": 1, "count": unsettled,
                          "findings": []},
        })
    }

    #[test]
    fn an_audit_s_violations_are_told() {
        assert!(violations(&audit(0, 0)).unwrap().is_empty());
        let told = "0 of 1 rules are broken, 0 things are left undone";
        assert_eq!(in_a_line(&audit(0, 0)), told);
        assert_eq!(violations(&audit(1, 0)).unwrap(), ["audit: a seat once: twice b-1"]);
        assert_eq!(violations(&audit(9, 0)).unwrap().len(), TOLD + 1);
        assert_eq!(violations(&audit(0, 9)).unwrap(), ["audit: all is done: 9 in all"]);
        assert!(violations(&json!({"rules": 1})).is_err());
    }
}
