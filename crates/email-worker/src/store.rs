//! The SQL of email-worker; one function, one promise.

use db::{Error, Row, Sql, Tx, Value};
use kernel::{AccountId, MailId, Page, Timestamp};

use crate::domain::{Mail, Status};

/// Notes where to write to an account.
pub(crate) async fn put_contact(
    tx: &mut Tx,
    account: AccountId,
    (email, first_name): (&str, &str),
) -> Result<(), Error> {
    tx.execute(
        "insert into contacts (account_id, email, first_name) values ($1, $2, $3)
         on conflict (account_id) do update
         set email = excluded.email, first_name = excluded.first_name",
        &[account.into(), email.into(), first_name.into()],
    )
    .await?;
    Ok(())
}

/// An account's address and first name.
pub(crate) async fn contact(
    tx: &mut Tx,
    account: AccountId,
) -> Result<Option<(String, String)>, Error> {
    let row = tx
        .query_opt(
            "select email, first_name from contacts where account_id = $1",
            &[account.into()],
        )
        .await?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Stores a mail that is to be delivered at once.
pub(crate) async fn insert_mail(tx: &mut Tx, mail: &Mail) -> Result<(), Error> {
    tx.execute(
        "insert into mails (mail_id, to_address, subject, template, html, text, status, attempts,
                            due_at, last_error, created_at)
         values ($1, $2, $3, $4, $5, $6, 'pending', 0, $7, '', $8)",
        &[
            mail.id.into(),
            mail.to.clone().into(),
            mail.subject.clone().into(),
            mail.template.clone().into(),
            mail.html.clone().into(),
            mail.text.clone().into(),
            mail.created_at.into(),
            mail.created_at.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes up to `limit` due mails for delivery until `lease`: nobody else takes them before.
pub(crate) async fn take_due(
    tx: &mut Tx,
    now: Timestamp,
    lease: Timestamp,
    limit: u32,
) -> Result<Vec<Mail>, Error> {
    const TAKE: Sql = Sql::split(
        "update mails set status = 'processing', attempts = attempts + 1, due_at = $2
         where mail_id in (select mail_id from mails where due_at <= $1 order by due_at limit $3
                           for update skip locked)
         returning mail_id, to_address, subject, template, html, text, status, attempts,
                   last_error, created_at, sent_at",
        "update mails set status = 'processing', attempts = attempts + 1, due_at = $2
         where mail_id in (select mail_id from mails where due_at <= $1 order by due_at limit $3)
         returning mail_id, to_address, subject, template, html, text, status, attempts,
                   last_error, created_at, sent_at",
    );
    let rows = tx.query(TAKE, &[now.into(), lease.into(), limit.into()]).await?;
    rows.iter().map(mail).collect()
}

/// Notes that a provider took the mail; nothing if another worker has taken it over meanwhile.
pub(crate) async fn mark_sent(
    tx: &mut Tx,
    id: MailId,
    attempts: u32,
    now: Timestamp,
) -> Result<bool, Error> {
    let marked = tx
        .execute(
            "update mails set status = 'sent', sent_at = $3, due_at = null, last_error = ''
             where mail_id = $1 and attempts = $2 and status = 'processing'",
            &[id.into(), attempts.into(), now.into()],
        )
        .await?;
    Ok(marked == 1)
}

/// Notes a failed try; without a time for the next the mail is given up.
pub(crate) async fn mark_failed(
    tx: &mut Tx,
    (id, attempts): (MailId, u32),
    error: &str,
    next_at: Option<Timestamp>,
) -> Result<bool, Error> {
    let status = if next_at.is_some() { Status::Pending } else { Status::Failed };
    let marked = tx
        .execute(
            "update mails set status = $3, due_at = $4, last_error = $5
             where mail_id = $1 and attempts = $2 and status = 'processing'",
            &[id.into(), attempts.into(), status.as_str().into(), next_at.into(), error.into()],
        )
        .await?;
    Ok(marked == 1)
}

/// Has a failed mail delivered again; `false` if it is not failed.
pub(crate) async fn revive(tx: &mut Tx, id: MailId, now: Timestamp) -> Result<bool, Error> {
    let revived = tx
        .execute(
            "update mails set status = 'pending', attempts = 0, due_at = $2
             where mail_id = $1 and status = 'failed'",
            &[id.into(), now.into()],
        )
        .await?;
    Ok(revived == 1)
}

/// One mail.
pub(crate) async fn mail_by_id(tx: &mut Tx, id: MailId) -> Result<Option<Mail>, Error> {
    let row = tx
        .query_opt(
            "select mail_id, to_address, subject, template, html, text, status, attempts,
                    last_error, created_at, sent_at
             from mails where mail_id = $1",
            &[id.into()],
        )
        .await?;
    row.as_ref().map(mail).transpose()
}

/// Mails older than `before`, newest first, without their bodies; of one address, if given.
pub(crate) async fn mails(
    tx: &mut Tx,
    to: Option<&str>,
    before: Option<MailId>,
    page: &Page,
) -> Result<Vec<Mail>, Error> {
    let before = before.map_or(uuid::Uuid::max(), MailId::uuid);
    let limit: Value = (page.limit + 1).into();
    let rows = match to {
        Some(to) => {
            tx.query(
                "select mail_id, to_address, subject, template, '', '', status, attempts,
                        last_error, created_at, sent_at
                 from mails where to_address = $1 and mail_id < $2 order by mail_id desc limit $3",
                &[to.into(), before.into(), limit],
            )
            .await?
        }
        None => {
            tx.query(
                "select mail_id, to_address, subject, template, '', '', status, attempts,
                        last_error, created_at, sent_at
                 from mails where mail_id < $1 order by mail_id desc limit $2",
                &[before.into(), limit],
            )
            .await?
        }
    };
    rows.iter().map(mail).collect()
}

/// How many mails wait, and how many were given up.
pub(crate) async fn waiting(tx: &mut Tx) -> Result<(i64, i64), Error> {
    let row = tx
        .query_one(
            "select (select count(*) from mails where due_at is not null),
                    (select count(*) from mails where status = 'failed')",
            &[],
        )
        .await?;
    Ok((row.get(0)?, row.get(1)?))
}

/// Removes up to `limit` mails that were made before `before` and wait for nothing. Ids sort by
/// time.
pub(crate) async fn remove_old(tx: &mut Tx, before: Timestamp, limit: u32) -> Result<u64, Error> {
    tx.execute(
        "delete from mails where mail_id in
             (select mail_id from mails where created_at < $1 and due_at is null
              order by mail_id limit $2)",
        &[before.into(), limit.into()],
    )
    .await
}

fn mail(row: &Row) -> Result<Mail, Error> {
    let status: String = row.get(6)?;
    let attempts: i64 = row.get(7)?;
    Ok(Mail {
        id: row.get(0)?,
        to: row.get(1)?,
        subject: row.get(2)?,
        template: row.get(3)?,
        html: row.get(4)?,
        text: row.get(5)?,
        status: Status::parse(&status)
            .ok_or_else(|| Error::Corrupt { column: "mails.status".into(), detail: status })?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        last_error: row.get(8)?,
        created_at: row.get(9)?,
        sent_at: row.get(10)?,
    })
}
