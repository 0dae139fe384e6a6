//! Who asks: the identity that travels, signed, with every call between services.

use std::{fmt, str::FromStr};

use crate::{AccountId, Code, Failure, OrganizationId, SessionId};

/// What an account may do in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the platform.
    Admin,
    /// Sells tickets for an organization.
    Organization,
    /// Buys tickets.
    Individual,
}

impl Role {
    /// The role's name in tokens and databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Organization => "organization",
            Self::Individual => "individual",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "admin" => Ok(Self::Admin),
            "organization" => Ok(Self::Organization),
            "individual" => Ok(Self::Individual),
            _ => Err(Failure::invalid("role", "must be admin, organization or individual")),
        }
    }
}

/// Who asks. Made at the edge from a verified token, or by a service that acts for itself or for an
/// account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular: a visitor without a token.
    Anonymous,
    /// A signed-in account.
    Account {
        /// The account.
        id: AccountId,
        /// Its role.
        role: Role,
        /// The organization it acts for, if its role is [`Role::Organization`].
        organization: Option<OrganizationId>,
        /// The session, if the call stems from one; none where a service acts for the account
        /// later.
        session: Option<SessionId>,
    },
    /// A service of the platform acting for itself, by its name, such as `booking`.
    Service(String),
}

impl Caller {
    /// The account that asks.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for anyone who is not signed in.
    pub fn account(&self) -> Result<AccountId, Failure> {
        match self {
            Self::Account { id, .. } => Ok(*id),
            _ => Err(Failure::new(Code::Unauthenticated, "UNAUTHENTICATED", "sign in first")),
        }
    }

    /// Whether the caller runs the platform: an admin, or the platform itself.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self, Self::Account { role: Role::Admin, .. } | Self::Service(_))
    }

    /// Whether the caller is the service called `name`.
    #[must_use]
    pub fn is_service(&self, name: &str) -> bool {
        matches!(self, Self::Service(service) if service == name)
    }

    /// Whether the caller may act as `account`: it is that account, or an operator.
    #[must_use]
    pub fn may_act_for(&self, account: AccountId) -> bool {
        self.is_operator() || matches!(self, Self::Account { id, .. } if *id == account)
    }

    /// Whether the caller may act for `organization`: it belongs to it, or is an operator.
    #[must_use]
    pub fn may_act_for_organization(&self, organization: OrganizationId) -> bool {
        self.is_operator()
            || matches!(
                self,
                Self::Account { role: Role::Organization, organization: Some(own), .. }
                    if *own == organization
            )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_the_owner_and_operators_may_act() {
        let id = AccountId::from_uuid(Uuid::from_u128(1));
        let other = AccountId::from_uuid(Uuid::from_u128(2));
        let own = OrganizationId::from_uuid(Uuid::from_u128(3));
        let foreign = OrganizationId::from_uuid(Uuid::from_u128(4));
        let account =
            |role, organization| Caller::Account { id, role, organization, session: None };

        let buyer = account(Role::Individual, Some(own));
        assert!(buyer.may_act_for(id) && !buyer.may_act_for(other));
        assert!(!buyer.may_act_for_organization(own), "a buyer never acts for an organization");

        let organizer = account(Role::Organization, Some(own));
        assert!(organizer.may_act_for_organization(own));
        assert!(!organizer.may_act_for_organization(foreign));

        assert!(account(Role::Admin, None).may_act_for(other));
        assert!(Caller::Service("booking".into()).may_act_for(other));
        assert!(!Caller::Anonymous.may_act_for(id));
        assert!(Caller::Anonymous.account().is_err());
    }
}
