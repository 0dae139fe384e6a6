//! Writes the mail that an event asks for, once: as a letter, which is rendered when it is
//! delivered. Events that meet are handled in one transaction.

use std::{collections::BTreeMap, time::Duration};

use db::{Coalescer, CoalescerSettings, Db, Tx};
use kernel::{AccountId, Failure, MailId, MessageId, Timestamp};
use platform::inbox;
use serde_json::Value;

use crate::{
    NAME,
    app::App,
    domain::{Mail, Status},
    error::Error,
    ops::deliver_mails::pace,
    store,
};

/// Mails that somebody waits for are due before those that have waited for less than this.
const HEAD_START: Duration = Duration::from_secs(24 * 3_600);

/// What to write.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// The event that asks for it.
    pub event: MessageId,
    /// Whom to write to.
    pub account: AccountId,
    pub template: &'static str,
    pub subject: String,
    /// The template's values, but for `first_name`.
    pub values: Values,
    /// Somebody waits for it at the screen.
    pub is_urgent: bool,
}

/// What a template is to say, by name.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// Stores letters that meet in one transaction.
pub(crate) type Letters = Coalescer<(Letter, MailId, Timestamp), (), Error>;

/// For the letters of a database.
pub(crate) fn letters(db: Db) -> Letters {
    let settings = CoalescerSettings { max_batch: 256, max_waiting: 4_096, lanes: 1 };
    Coalescer::new(db, settings, |tx, letters| Box::pin(write_all(tx, letters)))
}

/// Stores the mail to the letter's account, unless the event's mail is there.
pub(crate) async fn write_mail(app: &App, letter: Letter) -> Result<(), Error> {
    let now = app.clock.now();
    app.letters.call((letter, MailId::new(&*app.ids, now), now)).await?;
    pace(app, |pace| pace.give_way(1, now));
    app.due.notify_one();
    Ok(())
}

async fn write_all(
    tx: &mut Tx,
    letters: &[(Letter, MailId, Timestamp)],
) -> Result<Vec<Result<(), Error>>, Error> {
    let accounts = letters.iter().map(|(letter, ..)| letter.account).collect();
    let contacts = store::contacts(tx, accounts).await?;
    let known: Vec<_> = letters
        .iter()
        .filter_map(|written| Some((written, contacts.get(&written.0.account)?)))
        .collect();
    let events: Vec<_> = known.iter().map(|((letter, ..), _)| letter.event).collect();
    let news = inbox::first_times(tx, NAME, &events).await?;
    let mails = known.into_iter().zip(news).filter(|(_, is_new)| *is_new);
    let mails: Vec<_> = mails.map(|((written, contact), _)| mail(written, contact)).collect();
    let mails = mails.into_iter().collect::<Result<Vec<_>, Error>>()?;
    store::insert_mails(tx, &mails).await?;
    let result = |letter: &Letter| match contacts.contains_key(&letter.account) {
        true => Ok(()),
        false => Err(Error::NoContact(letter.account)),
    };
    Ok(letters.iter().map(|(letter, ..)| result(letter)).collect())
}

/// The mail, and when it is due.
fn mail(
    (letter, id, now): &(Letter, MailId, Timestamp),
    (to, first_name): &(String, String),
) -> Result<(Mail, Timestamp), Error> {
    let mut values = letter.values.clone();
    values.insert("first_name", first_name.as_str().into());
    let mail = Mail {
        id: *id,
        to: to.clone(),
        subject: letter.subject.clone(),
        template: letter.template.to_owned(),
        html: String::new(),
        text: String::new(),
        status: Status::Pending,
        attempts: 0,
        last_error: String::new(),
        created_at: *now,
        sent_at: None,
        letter: Some(serde_json::to_string(&values).map_err(Failure::internal)?),
    };
    Ok((mail, if letter.is_urgent { now.minus(HEAD_START) } else { *now }))
}
