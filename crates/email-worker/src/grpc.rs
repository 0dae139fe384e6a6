//! Wire in, verb, wire out.

use std::sync::Arc;

use kernel::Failure;
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::email_worker::v1::{self as pb, email_worker_service_server::EmailWorkerService},
};

use crate::{
    app::App,
    domain::{self, Mail},
    ops,
};

pub(crate) struct Api {
    pub app: Arc<App>,
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

#[tonic::async_trait]
impl EmailWorkerService for Api {
    async fn list_mails(
        &self,
        request: Request<pb::ListMailsRequest>,
    ) -> Result<Response<pb::ListMailsResponse>, Status> {
        let context = Context::of(&request);
        let pb::ListMailsRequest { page, to } = request.into_inner();
        let page = wire::page(page.as_ref()).map_err(refused)?;
        let to = (!to.is_empty()).then(|| to.trim().to_lowercase());
        let (mails, next_cursor) =
            ops::list_mails(&self.app, &context, to, page).await.map_err(refused)?;
        let mails = mails.into_iter().map(to_wire).collect();
        Ok(Response::new(pb::ListMailsResponse { mails, next_cursor }))
    }

    async fn get_mail(
        &self,
        request: Request<pb::GetMailRequest>,
    ) -> Result<Response<pb::Mail>, Status> {
        let context = Context::of(&request);
        let id = wire::id("mail_id", &request.get_ref().mail_id).map_err(refused)?;
        let mail = ops::get_mail(&self.app, &context, id).await.map_err(refused)?;
        Ok(Response::new(to_wire(mail)))
    }

    async fn retry_mail(
        &self,
        request: Request<pb::RetryMailRequest>,
    ) -> Result<Response<pb::Mail>, Status> {
        let context = Context::of(&request);
        let id = wire::id("mail_id", &request.get_ref().mail_id).map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::retry_mail(&app, &context, id).await };
        let mail = self.app.tasks.finish(work).await.map_err(refused)?;
        Ok(Response::new(to_wire(mail)))
    }
}

fn to_wire(mail: Mail) -> pb::Mail {
    let status = match mail.status {
        domain::Status::Pending => pb::MailStatus::Pending,
        domain::Status::Processing => pb::MailStatus::Processing,
        domain::Status::Sent => pb::MailStatus::Sent,
        domain::Status::Failed => pb::MailStatus::Failed,
        domain::Status::Cancelled => pb::MailStatus::Cancelled,
    };
    pb::Mail {
        mail_id: mail.id.to_string(),
        to: mail.to,
        subject: mail.subject,
        template: mail.template,
        status: status.into(),
        html: mail.html,
        text: mail.text,
        attempts: mail.attempts,
        last_error: mail.last_error,
        created_at_us: mail.created_at.micros(),
        sent_at_us: mail.sent_at.map_or(0, kernel::Timestamp::micros),
    }
}
