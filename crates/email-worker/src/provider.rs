//! How mails leave.

use crate::domain::Mail;

/// A way for mails to leave, chosen by the scheme of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Provider {
    /// Mails stay where they are, to be read on the mailbox page.
    Mailbox,
    /// Refuses mails to addresses that begin so.
    #[cfg(test)]
    Refusing(&'static str),
    /// Never answers.
    #[cfg(test)]
    Silent,
}

impl Provider {
    pub(crate) fn from_url(url: &str) -> Result<Self, String> {
        match url {
            "mailbox:" => Ok(Self::Mailbox),
            _ => Err(format!("{url:?} is not supported; use \"mailbox:\"")),
        }
    }

    /// Hands a mail over. An error is worth another try.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_async, reason = "a provider over the network awaits and fails")
    )]
    pub(crate) async fn deliver(&self, mail: &Mail) -> Result<(), String> {
        match self {
            Self::Mailbox => {
                tracing::debug!(mail = %mail.id, template = mail.template, "in the mailbox");
                Ok(())
            }
            #[cfg(test)]
            Self::Refusing(prefix) if mail.to.starts_with(prefix) => Err("refused".to_owned()),
            #[cfg(test)]
            Self::Refusing(_) => Ok(()),
            #[cfg(test)]
            Self::Silent => std::future::pending().await,
        }
    }
}
