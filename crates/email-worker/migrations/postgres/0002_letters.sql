-- A mail is written as a letter first, what its template is to say as JSON, and rendered only when it is delivered: pictures
-- and pages cost more than all else of a booking, and must not take the processor of a sale. Null once it is rendered.
alter table mails add column letter text;
