//! What makes a registration acceptable. Pure.

use kernel::{Code, Failure, FieldError, Role, Secret};

/// A registration that passed all checks.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub email: String,
    pub password: Secret<String>,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
    /// Set with [`Role::Organization`].
    pub organization_name: Option<String>,
}

/// The longest address (RFC 5321), name and password, in bytes.
const MAX_EMAIL: usize = 254;
const MAX_NAME: usize = 100;
const MAX_PASSWORD: usize = 256;
const MIN_PASSWORD: usize = 8;

/// A registration as it comes over the wire.
pub(crate) struct Raw<'r> {
    pub email: &'r str,
    pub password: &'r str,
    pub first_name: &'r str,
    pub last_name: &'r str,
    pub role: &'r str,
    pub organization_name: &'r str,
}

impl Raw<'_> {
    /// Checks all fields, and tells of all that are wrong at once. `admin` only where `operator`
    /// says so.
    pub(crate) fn checked(&self, operator: bool) -> Result<Registration, Failure> {
        let mut wrong = Vec::new();
        let mut note = |field: &str, result: Result<(), &str>| {
            if let Err(detail) = result {
                wrong.push(FieldError { field: field.to_owned(), detail: detail.to_owned() });
            }
        };
        let role = match self.role {
            "" => Ok(Role::Individual),
            role => role.parse(),
        };
        let is_organization = matches!(role, Ok(Role::Organization));
        note("email", email(self.email));
        note("password", password(self.password, self.email));
        note("first_name", name(self.first_name));
        note("last_name", name(self.last_name));
        note(
            "role",
            match &role {
                Ok(Role::Admin) if !operator => Err("must be individual or organization"),
                Ok(_) => Ok(()),
                Err(_) => Err("must be individual or organization"),
            },
        );
        if is_organization {
            note("organization_name", name(self.organization_name));
        }
        match role {
            Ok(role) if wrong.is_empty() => Ok(Registration {
                email: normal(self.email),
                password: Secret::new(self.password.to_owned()),
                first_name: self.first_name.trim().to_owned(),
                last_name: self.last_name.trim().to_owned(),
                role,
                organization_name: is_organization
                    .then(|| self.organization_name.trim().to_owned()),
            }),
            _ => Err(refused(wrong)),
        }
    }
}

fn refused(fields: Vec<FieldError>) -> Failure {
    let list: Vec<_> = fields.iter().map(|wrong| wrong.field.as_str()).collect();
    let detail = format!("check {}", list.join(", "));
    Failure { fields, ..Failure::new(Code::Invalid, "INVALID_ARGUMENT", detail) }
}

/// The form in which addresses are compared and stored.
pub(crate) fn normal(email: &str) -> String {
    email.trim().to_lowercase()
}

/// A mail address as far as it can be told without sending a mail.
fn email(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    if text.len() > MAX_EMAIL {
        return Err("too long");
    }
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '\\');
    let dotted =
        |domain: &str| domain.contains('.') && domain.split('.').all(|part| !part.is_empty());
    match text.rsplit_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !local.contains('@')
                && text.chars().all(plain)
                && dotted(domain) =>
        {
            Ok(())
        }
        _ => Err("not a mail address"),
    }
}

fn password(text: &str, email: &str) -> Result<(), &'static str> {
    if text.len() > MAX_PASSWORD {
        return Err("too long");
    }
    if text.chars().count() < MIN_PASSWORD {
        return Err("at least 8 characters");
    }
    let has = |kind: fn(char) -> bool| text.chars().any(kind);
    if !(has(char::is_uppercase) && has(char::is_lowercase) && has(char::is_numeric)) {
        return Err("needs an upper-case letter, a lower-case letter and a digit");
    }
    if normal(text) == normal(email) {
        return Err("must not be the address");
    }
    Ok(())
}

fn name(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is required");
    }
    if text.len() > MAX_NAME {
        return Err("too long");
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Raw<'static> = Raw {
        email: " Ada@Example.org ",
        password: "Analytical1",
        first_name: "Ada",
        last_name: "Lovelace",
        role: "",
        organization_name: "",
    };

    fn wrong(raw: &Raw<'_>) -> Vec<String> {
        let failure = raw.checked(false).unwrap_err();
        failure.fields.into_iter().map(|wrong| wrong.field).collect()
    }

    #[test]
    fn a_good_registration_is_normalised() {
        let good = GOOD.checked(false).unwrap();
        assert_eq!((good.email.as_str(), good.role), ("ada@example.org", Role::Individual));
        assert!(good.organization_name.is_none());
    }

    #[test]
    fn nobody_registers_as_an_admin() {
        assert_eq!(wrong(&Raw { role: "admin", ..GOOD }), ["role"]);
        assert!(Raw { role: "admin", ..GOOD }.checked(true).is_ok());
        assert_eq!(wrong(&Raw { role: "organization", ..GOOD }), ["organization_name"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let raw =
            Raw { email: "", password: "", first_name: "", last_name: "\n", role: "x", ..GOOD };
        assert_eq!(wrong(&raw), ["email", "password", "first_name", "last_name", "role"]);
    }

    #[test]
    fn bad_addresses_and_passwords_are_refused() {
        let long = format!("{}@example.org", "x".repeat(300));
        for email in ["a", "a@", "@b.c", "a@b", "a b@c.de", "a@b..c", "a@@b.c", "<a@b.c>", &long] {
            assert_eq!(wrong(&Raw { email, ..GOOD }), ["email"], "{email}");
        }
        let long = "Aa1".repeat(100);
        for password in ["short1A", "alllower1", "ALLUPPER1", "NoDigits", &long] {
            assert_eq!(wrong(&Raw { password, ..GOOD }), ["password"], "{password}");
        }
    }
}
