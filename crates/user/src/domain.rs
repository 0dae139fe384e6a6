//! Profiles, and which edits of them are acceptable. Pure.

use kernel::{AccountId, Failure, Timestamp};

/// A person's profile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub account_id: AccountId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub phone: String,
    /// YYYY-MM-DD, or empty.
    pub date_of_birth: String,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The fields to change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edit {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone: Option<String>,
    pub date_of_birth: Option<String>,
}

const MAX_NAME: usize = 100;

impl Edit {
    /// The edit with its texts trimmed, if all of them are acceptable.
    pub(crate) fn checked(self, now: Timestamp) -> Result<Self, Failure> {
        let trim = |text: Option<String>| text.map(|text| text.trim().to_owned());
        let edit = Self {
            first_name: trim(self.first_name),
            last_name: trim(self.last_name),
            phone: trim(self.phone),
            date_of_birth: trim(self.date_of_birth),
        };
        for (field, name) in [("first_name", &edit.first_name), ("last_name", &edit.last_name)] {
            let Some(name) = name else { continue };
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(Failure::invalid(field, format!("1 to {MAX_NAME} characters")));
            }
        }
        if let Some(phone) = &edit.phone {
            check_phone(phone)?;
        }
        if let Some(date) = edit.date_of_birth.as_deref().filter(|date| !date.is_empty()) {
            check_date(date, now)?;
        }
        Ok(edit)
    }

    /// The profile with the edit made.
    pub(crate) fn apply(self, profile: Profile, now: Timestamp) -> Profile {
        Profile {
            first_name: self.first_name.unwrap_or(profile.first_name),
            last_name: self.last_name.unwrap_or(profile.last_name),
            phone: self.phone.unwrap_or(profile.phone),
            date_of_birth: self.date_of_birth.unwrap_or(profile.date_of_birth),
            version: profile.version + 1,
            updated_at: now,
            ..profile
        }
    }
}

/// Empty, or as E.164 with room for spaces and dashes.
fn check_phone(phone: &str) -> Result<(), Failure> {
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '/');
    if phone.is_empty() || (phone.len() <= 32 && digits >= 4 && phone.chars().all(plain)) {
        return Ok(());
    }
    Err(Failure::invalid("phone", "not a phone number"))
}

fn check_date(date: &str, now: Timestamp) -> Result<(), Failure> {
    let born = Timestamp::parse(&format!("{date}T00:00:00Z"));
    match born {
        Ok(born) if date.len() == 10 && born <= now && date >= "1900-01-01" => Ok(()),
        _ => Err(Failure::invalid("date_of_birth", "not a date (YYYY-MM-DD) in the past")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_that_make_no_sense_are_refused() {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let check = |edit: Edit| edit.checked(now).map(|_| ());
        let name = |name: &str| Edit { first_name: Some(name.into()), ..Edit::default() };
        let phone = |phone: &str| Edit { phone: Some(phone.into()), ..Edit::default() };
        let born = |date: &str| Edit { date_of_birth: Some(date.into()), ..Edit::default() };
        assert!(check(Edit::default()).is_ok());
        for bad in [name(" "), name(&"x".repeat(101)), name("a\u{7}b")] {
            assert!(check(bad).is_err());
        }
        for bad in ["call me", "123", "+49<script>", &"1".repeat(40)] {
            assert!(check(phone(bad)).is_err(), "{bad}");
        }
        assert!(check(phone("")).is_ok() && check(phone("+49 (40) 123-456")).is_ok());
        for bad in ["tomorrow", "2027-01-01", "1899-12-31", "2001-02-30", "2001-2-3"] {
            assert!(check(born(bad)).is_err(), "{bad}");
        }
        assert!(check(born("")).is_ok() && check(born("2001-02-28")).is_ok());
    }
}
