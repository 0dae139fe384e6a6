//! A new account gets its profile.

use kernel::{Failure, Timestamp};
use platform::bus::Delivery;
use wire::pb::auth::v1::AccountRegistered;

use crate::{app::App, domain::Profile, ops};

pub(crate) async fn handle(app: &App, delivery: &Delivery) -> Result<(), Failure> {
    let registered: AccountRegistered = delivery.read()?;
    let at = Timestamp::from_micros(registered.at_us);
    let profile = Profile {
        account_id: wire::id("account_id", &registered.account_id)?,
        email: registered.email,
        first_name: registered.first_name,
        last_name: registered.last_name,
        phone: String::new(),
        date_of_birth: String::new(),
        version: 1,
        created_at: at,
        updated_at: at,
    };
    Ok(ops::make_profile(app, profile).await?)
}
