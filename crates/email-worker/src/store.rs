//! The SQL of email-worker; one function, one promise.

use std::collections::HashMap;

use db::{Engine, Error, Row, Sql, Tx, Value};
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

/// The addresses and first names of these accounts, as far as they are known.
pub(crate) async fn contacts(
    tx: &mut Tx,
    accounts: Vec<AccountId>,
) -> Result<HashMap<AccountId, (String, String)>, Error> {
    const FIND: Sql = Sql::split(
        "select account_id, email, first_name from contacts where account_id = any($1)",
        "select account_id, email, first_name from contacts
         where account_id in (select unhex(value) from json_each($1))",
    );
    let rows = tx.query(FIND, &[accounts.into()]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).collect()
}

/// Stores mails that are to be delivered from the moment beside them on.
pub(crate) async fn insert_mails(tx: &mut Tx, mails: &[(Mail, Timestamp)]) -> Result<(), Error> {
    const INSERT: Sql = Sql::split(
        "insert into mails (mail_id, to_address, subject, template, html, text, status, attempts,
                            due_at, last_error, created_at, letter)
         select mail_id, to_address, subject, template, '', '', 'pending', 0, due_at, '',
                created_at, letter
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                     $6::timestamptz[], $7::text[])
           as mail (mail_id, to_address, subject, template, due_at, created_at, letter)",
        "insert into mails (mail_id, to_address, subject, template, html, text, status, attempts,
                            due_at, last_error, created_at, letter)
         values ($1, $2, $3, $4, '', '', 'pending', 0, $5, '', $6, $7)",
    );
    let letter = |mail: &Mail| mail.letter.clone().unwrap_or_default();
    if mails.is_empty() {
        return Ok(());
    }
    if tx.engine() == Engine::Sqlite {
        let rows = mails.iter().map(|(mail, due_at)| {
            let (to, subject) = ((&mail.to).into(), (&mail.subject).into());
            let (template, created_at) = ((&mail.template).into(), mail.created_at.into());
            let due_at = (*due_at).into();
            vec![mail.id.into(), to, subject, template, due_at, created_at, letter(mail).into()]
        });
        tx.execute_many(INSERT, &rows.collect::<Vec<_>>()).await?;
        return Ok(());
    }
    let texts = |of: fn(&Mail) -> &String| -> Value {
        mails.iter().map(|(mail, _)| of(mail).clone()).collect::<Vec<_>>().into()
    };
    let columns = [
        mails.iter().map(|(mail, _)| mail.id).collect::<Vec<_>>().into(),
        texts(|mail| &mail.to),
        texts(|mail| &mail.subject),
        texts(|mail| &mail.template),
        mails.iter().map(|(_, due_at)| *due_at).collect::<Vec<_>>().into(),
        mails.iter().map(|(mail, _)| mail.created_at).collect::<Vec<_>>().into(),
        mails.iter().map(|(mail, _)| letter(mail)).collect::<Vec<_>>().into(),
    ];
    tx.execute(INSERT, &columns).await?;
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
                   last_error, created_at, sent_at, letter",
        "update mails set status = 'processing', attempts = attempts + 1, due_at = $2
         where mail_id in (select mail_id from mails where due_at <= $1 order by due_at limit $3)
         returning mail_id, to_address, subject, template, html, text, status, attempts,
                   last_error, created_at, sent_at, letter",
    );
    let rows = tx.query(TAKE, &[now.into(), lease.into(), limit.into()]).await?;
    rows.iter().map(mail).collect()
}

/// How a try to deliver a mail ended.
#[derive(Debug, Clone)]
pub(crate) enum Tried {
    /// A provider took it, as it was rendered.
    Sent(Mail),
    /// Without a time for the next try it is given up.
    Failed { id: MailId, attempts: u32, error: String, next_at: Option<Timestamp> },
}

/// Notes how tries ended, and answers for how many: nothing for mails that another worker has
/// taken over meanwhile.
pub(crate) async fn mark(tx: &mut Tx, tried: &[Tried], now: Timestamp) -> Result<u64, Error> {
    const SENT: Sql = Sql::split(
        "update mails m set status = 'sent', sent_at = t.at, due_at = null,
             last_error = '', html = t.html, text = t.text, letter = null
         from (select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[],
                                    $5::text[]) t (id, attempts, at, html, text) limit $6) t
         where m.mail_id = t.id and m.attempts = t.attempts and m.status = 'processing'",
        "update mails set status = 'sent', sent_at = $3, due_at = null,
             last_error = '', html = $4, text = $5, letter = null
         where mail_id = $1 and attempts = $2 and status = 'processing'",
    );
    const FAILED: Sql = Sql::split(
        "update mails m set status = t.status, due_at = t.due_at, last_error = t.error
         from (select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[],
                                    $5::text[]) t (id, attempts, status, due_at, error) limit $6) t
         where m.mail_id = t.id and m.attempts = t.attempts and m.status = 'processing'",
        "update mails set status = $3, due_at = $4, last_error = $5
         where mail_id = $1 and attempts = $2 and status = 'processing'",
    );
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    for tried in tried {
        match tried {
            Tried::Sent(Mail { id, attempts, html, text, .. }) => {
                let key = [(*id).into(), (*attempts).into()];
                sent.push([&key[..], &[now.into(), html.into(), text.into()]].concat());
            }
            Tried::Failed { id, attempts, error, next_at } => {
                let status =
                    if next_at.is_some() { Status::Pending } else { Status::Failed }.as_str();
                let key = [(*id).into(), (*attempts).into()];
                failed.push([&key[..], &[status.into(), (*next_at).into(), error.into()]].concat());
            }
        }
    }
    let mut marked = 0;
    for (sql, rows) in [(SENT, sent), (FAILED, failed)] {
        marked += tx.execute_all(sql, rows).await?;
    }
    Ok(marked)
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
                    last_error, created_at, sent_at, letter
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
                        last_error, created_at, sent_at, null
                 from (select mail_id as done from mails
                         where to_address = $1 and mail_id < $2 and due_at is null
                         order by mail_id desc limit $3) d
                   join mails on mail_id = done
                 union all
                 select mail_id, to_address, subject, template, '', '', status, attempts,
                        last_error, created_at, sent_at, null
                 from mails where to_address = $1 and mail_id < $2 and due_at is not null
                 order by mail_id desc limit $3",
                &[to.into(), before.into(), limit],
            )
            .await?
        }
        None => {
            tx.query(
                "select mail_id, to_address, subject, template, '', '', status, attempts,
                        last_error, created_at, sent_at, null
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
        letter: row.get(11)?,
    })
}
