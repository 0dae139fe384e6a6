//! Where the demo plays: the addresses of a platform and the people who run it.

use kernel::Secret;
use serde_json::{Value, json};

use super::client::{Client, Surprise, list, text};
use crate::{Running, StartError, compose::DEMO_ACCOUNTS};

/// A platform to walk through.
pub struct Stage {
    /// The gateway, `http://host:port`.
    pub gateway: String,
    /// Nobody in particular, at the gateway.
    pub visitor: Client,
    people: Vec<(String, String, Secret<String>)>,
}

/// What a client needs beside the gateway, as the gateway tells it.
pub struct Directions {
    /// WebSocket address.
    pub realtime: String,
    /// The payment provider's address.
    pub provider: String,
    /// The key with which a browser talks to the provider.
    pub publishable_key: String,
}

impl Stage {
    /// The platform of this process, with the demo accounts that it has just made.
    ///
    /// # Errors
    /// If it has no gateway.
    pub fn of(running: &Running) -> Result<Self, StartError> {
        let gateway = running.addresses("gateway").http;
        let gateway = gateway.ok_or_else(|| StartError::Demo("there is no gateway".into()))?;
        let gateway = format!("http://{gateway}");
        let accounts = running.new_accounts().iter();
        Ok(Self {
            visitor: Client::new(&gateway),
            gateway,
            people: accounts
                .map(|a| (a.title.to_owned(), a.email.to_owned(), a.password.clone()))
                .collect(),
        })
    }

    /// The platform whose gateway is at `gateway`, `http://host:port`, with its demo accounts.
    ///
    /// # Errors
    /// If it can't be reached, or is no demo.
    pub async fn against(gateway: &str) -> Result<Self, Surprise> {
        let gateway = gateway.trim_end_matches('/').to_owned();
        let visitor = Client::new(&gateway);
        let (status, accounts) = visitor.get(DEMO_ACCOUNTS).answer().await?;
        if status != 200 {
            let detail = "is no demo on a loopback address (boxoffice.demo=true)";
            return Err(Surprise(format!("{gateway} {detail}: {DEMO_ACCOUNTS} answers {status}")));
        }
        let mut people = Vec::new();
        for account in list(&accounts, "accounts")? {
            let password = Secret::new(text(account, "password")?.to_owned());
            let (title, email) = (text(account, "title")?, text(account, "email")?);
            people.push((title.to_owned(), email.to_owned(), password));
        }
        Ok(Self { gateway, visitor, people })
    }

    /// A demo account by its title, signed in.
    ///
    /// # Errors
    /// If it can't sign in.
    pub async fn person(&self, title: &str) -> Result<Client, Surprise> {
        let found = self.people.iter().find(|(its, ..)| its == title);
        let (_, email, password) =
            found.ok_or_else(|| Surprise::new(format!("no demo account {title:?}")))?;
        let login = json!({"email": email, "password": password.expose()});
        let tokens = self.visitor.post("/api/v1/auth/login", &login).expect(200).await?;
        Ok(self.visitor.signed_in(text(&tokens, "access_token")?))
    }

    /// Where else to go.
    ///
    /// # Errors
    /// If the gateway doesn't tell.
    pub async fn directions(&self) -> Result<Directions, Surprise> {
        let settings = self.visitor.get("/api/v1/settings").expect(200).await?;
        let payment = settings.get("payment").cloned().unwrap_or_default();
        Ok(Directions {
            realtime: text(&settings, "realtime_url")?.to_owned(),
            provider: text(&payment, "api_base")?.to_owned(),
            publishable_key: text(&payment, "publishable_key")?.to_owned(),
        })
    }

    /// The demo event whose name contains `name`.
    ///
    /// # Errors
    /// If it is not on sale.
    pub async fn event(&self, name: &str) -> Result<Value, Surprise> {
        let events = self.visitor.get("/api/v1/events?limit=100").expect(200).await?;
        let found = list(&events, "items")?
            .iter()
            .find(|event| text(event, "name").is_ok_and(|its| its.contains(name)));
        found.cloned().ok_or_else(|| Surprise::new(format!("no event {name:?} on sale")))
    }
}
