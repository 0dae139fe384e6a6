//! Register, prove the address with the PIN from the mailbox, log in.

use kernel::Secret;
use serde_json::{Value, json};

use super::{
    Client, Report, Stage, Surprise,
    client::{check, list, text},
};

/// Somebody who buys.
pub(super) struct Buyer {
    pub client: Client,
    pub email: String,
}

/// Registers and logs in, step by step.
pub(super) async fn sign_up(
    stage: &Stage,
    report: &mut Report,
    name: &str,
) -> Result<Buyer, Surprise> {
    let visitor = &stage.visitor;
    let operator = stage.person("operator").await?;
    let (email, password, body) = registration(name);

    let registered = visitor.post("/api/v1/auth/register", &body).expect(201).await?;
    report.step(&format!("{name} registers: account {}", text(&registered, "account_id")?));

    let login = json!({"email": email, "password": password.expose()});
    visitor.post("/api/v1/auth/login", &login).refused(403, "EMAIL_NOT_VERIFIED").await?;
    report.step("logging in before the address is proved is refused");

    let pin = pin_from_mail(&operator, &email).await?;
    let proof = json!({"email": email, "pin": pin});
    let account = visitor.post("/api/v1/auth/verify-email", &proof).expect(200).await?;
    check(account.get("verified") == Some(&Value::Bool(true)), || format!("{account}"))?;
    report.step(&format!("the PIN from the mail to {email} proves the address"));

    let tokens = visitor.post("/api/v1/auth/login", &login).expect(200).await?;
    let client = visitor.signed_in(text(&tokens, "access_token")?);
    let me = client.get("/api/v1/accounts/me").expect(200).await?;
    check(text(&me, "email")? == email, || format!("somebody else's account: {me}"))?;
    report.step("logs in");
    Ok(Buyer { client, email })
}

/// The same in one go, for one of many.
pub(super) async fn sign_up_quietly(
    visitor: &Client,
    operator: &Client,
    name: &str,
) -> Result<Client, Surprise> {
    let (email, password, body) = registration(name);
    visitor.post("/api/v1/auth/register", &body).expect(201).await?;
    let pin = pin_from_mail(operator, &email).await?;
    let proof = json!({"email": email, "pin": pin});
    visitor.post("/api/v1/auth/verify-email", &proof).expect(200).await?;
    let login = json!({"email": email, "password": password.expose()});
    let tokens = visitor.post("/api/v1/auth/login", &login).expect(200).await?;
    Ok(visitor.signed_in(text(&tokens, "access_token")?))
}

fn registration(name: &str) -> (String, Secret<String>, Value) {
    use kernel::Ids;
    let mut tail = [0_u8; 6];
    platform::SystemIds.fill(&mut tail);
    let tail: String = tail.iter().map(|byte| format!("{byte:02x}")).collect();
    let email = format!("{name}-{tail}@buyers.example");
    let password = format!("Correct-horse-{tail}");
    let body = json!({
        "email": email, "password": password, "first_name": name, "last_name": "Buyer",
    });
    (email, Secret::new(password), body)
}

/// The newest mail to `email` whose subject contains `subject`, once it has been sent.
pub(super) async fn mail(operator: &Client, email: &str, subject: &str) -> Result<Value, Surprise> {
    let matches = |mail: &&Value| {
        text(mail, "subject").is_ok_and(|its| its.to_lowercase().contains(subject))
            && text(mail, "status").is_ok_and(|status| status == "sent")
    };
    let path = format!("/api/v1/admin/mails?to={}", email.replace('+', "%2B"));
    let done =
        |mails: &Value| list(mails, "items").is_ok_and(|all| all.iter().any(|m| matches(&m)));
    let mails = operator.wait_for(&path, &format!("a mail about {subject:?}"), done).await?;
    let found = list(&mails, "items")?.iter().find(matches);
    let mail_id = text(found.unwrap_or(&Value::Null), "mail_id")?;
    operator.get(&format!("/api/v1/admin/mails/{mail_id}")).expect(200).await
}

async fn pin_from_mail(operator: &Client, email: &str) -> Result<String, Surprise> {
    let mail = mail(operator, email, "verif").await?;
    let words = text(&mail, "text")?.split(|c: char| !c.is_ascii_digit());
    let pin = words.filter(|word| word.len() == 6).map(ToOwned::to_owned).next();
    pin.ok_or_else(|| Surprise::new(format!("no PIN in {mail}")))
}
