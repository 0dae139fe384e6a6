//! Mails and their states. Pure.

mod pace;

use std::time::Duration;

use kernel::{MailId, Timestamp};

pub(crate) use self::pace::Pace;

/// A mail's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Processing,
    Sent,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 5] =
        [Self::Pending, Self::Processing, Self::Sent, Self::Failed, Self::Cancelled];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A mail as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mail {
    pub id: MailId,
    pub to: String,
    pub subject: String,
    pub template: String,
    pub html: String,
    pub text: String,
    pub status: Status,
    /// How often delivery was begun.
    pub attempts: u32,
    pub last_error: String,
    pub created_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    /// What the template is to say, as JSON; none once the mail is rendered.
    pub letter: Option<String>,
}

/// What follows a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another try, after this time.
    Retry(Duration),
    /// None: an operator has to look.
    GiveUp,
}

const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What follows the `attempts`th try, if it failed: waits double, up to an hour.
pub(crate) fn after_failure(attempts: u32, max_attempts: u32, first_wait: Duration) -> Next {
    if attempts >= max_attempts {
        return Next::GiveUp;
    }
    let doubled = first_wait.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    Next::Retry(doubled.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_then_an_operator_looks() {
        let after = |attempts| after_failure(attempts, 12, Duration::from_secs(5));
        assert_eq!(after(1), Next::Retry(Duration::from_secs(5)));
        assert_eq!(after(4), Next::Retry(Duration::from_secs(40)));
        assert_eq!(after(11), Next::Retry(LONGEST_WAIT));
        assert_eq!(after(12), Next::GiveUp);
        assert_eq!(after_failure(40, 100, Duration::from_secs(5)), Next::Retry(LONGEST_WAIT));
    }

    #[test]
    fn every_status_is_read_as_it_is_written() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("lost"), None);
    }
}
