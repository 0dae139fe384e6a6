//! The pages as a browser gets them, over services that answer what a test says.

mod services;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use kernel::{Caller, Failure};
use platform::{Metrics, Tasks, Unit};
use tower::ServiceExt;
use wire::pb::{email_worker::v1::Mail, event::v1 as pb};

use services::{World, event, mail};

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn get(pages: &Router, path: &str) -> Got {
    let request = Request::get(path)
        .header("accept", "text/html,application/xhtml+xml")
        .header("x-correlation-id", "req-1")
        .body(Body::empty())
        .unwrap();
    let (head, body) = pages.clone().oneshot(request).await.unwrap().into_parts();
    let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Got { status: head.status, headers: head.headers, html }
}

#[tokio::test]
async fn the_programme_tells_what_a_buyer_has_to_know() {
    let world = World::new();
    world.events(vec![
        event(1, "The Tempest", |_| {}),
        event(2, "The Return", |event| {
            event.queue = Some(pb::QueueMode { enabled: true, ..pb::QueueMode::default() });
            event.categories.truncate(1);
        }),
        event(3, "Gone", |event| event.status = pb::EventStatus::SoldOut.into()),
        event(4, "Not yet", |event| event.sale_starts_at_us = services::NOW_US + 86_400_000_000),
    ]);
    let got = get(&world.pages(true), "/").await;
    assert_eq!(got.status, StatusCode::OK);
    let expected = [
        "<h2 id=\"month-1\">January 2026</h2>",
        "The Tempest",
        "Old Playhouse, Berlin",
        "20:00 – 22:30 CET",
        "from 19.00 EUR",
        "49.00 EUR",
        ">on sale</p>",
        ">on sale by queue</p>",
        ">sold out</p>",
        ">on sale from 2 Jan, 13:00</p>",
        "href=\"/api/docs\"",
        "href=\"/mailbox\"",
        "ws://127.0.0.1:3003/ws",
    ];
    for text in expected {
        let escaped = text.replace("/ws", "&#x2f;ws").replace("://", ":&#x2f;&#x2f;");
        assert!(got.html.contains(text) || got.html.contains(&escaped), "{text}\n{}", got.html);
    }
    assert!(got.header("content-security-policy").starts_with("default-src 'none'; style-src"));
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    assert_eq!(got.header("referrer-policy"), "no-referrer");
    assert_eq!(world.callers(), [Caller::Anonymous], "as a visitor, not as the gateway");
}

#[tokio::test]
async fn what_others_wrote_is_shown_and_never_obeyed() {
    let world = World::new();
    let script = "<script>alert('1')</script>";
    world.events(vec![event(1, script, |event| {
        for text in [&mut event.description, &mut event.venue_name, &mut event.kind] {
            *text = script.to_owned();
        }
        event.event_id = "\" onclick=\"x".to_owned();
        event.categories.iter_mut().for_each(|category| category.name = script.to_owned());
    })]);
    world.mails(vec![Mail {
        to: script.to_owned(),
        subject: script.to_owned(),
        text: script.to_owned(),
        last_error: script.to_owned(),
        ..mail(1)
    }]);
    let pages = world.pages(true);
    let one = format!("/mailbox/{}", mail(1).mail_id);
    for path in ["/", "/mailbox", "/mailbox?to=%3Cscript%3E%22%20onclick=%22x", &one] {
        let got = get(&pages, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert!(got.html.contains("&lt;script&gt;"), "{path}: shown");
        assert!(!got.html.contains("<script"), "{path}: not obeyed\n{}", got.html);
        assert!(!got.html.contains("\" onclick"), "{path}: stays in its attribute");
    }
}

#[tokio::test]
async fn nothing_to_show_is_said() {
    let world = World::new();
    let pages = world.pages(true);
    assert!(get(&pages, "/").await.html.contains("Nothing is announced yet."));
    assert!(get(&pages, "/?cursor=0").await.html.contains("That was all."));
    assert!(get(&pages, "/mailbox").await.html.contains("No mail yet."));
    let filtered = get(&pages, "/mailbox?to=bea%40example.com").await.html;
    assert!(filtered.contains("No mail to bea@example.com."));
}

#[tokio::test]
async fn pages_lead_on_until_the_last_and_keep_the_filter() {
    let world = World::new();
    world.events((0..45).map(|n| event(n, &format!("Event {n:02}."), |_| {})).collect());
    world.mails((0..30).map(mail).collect());
    let pages = world.pages(true);
    let (mut path, mut seen) = ("/".to_owned(), Vec::new());
    loop {
        let html = get(&pages, &path).await.html;
        seen.extend((0..45).filter(|n| html.contains(&format!("Event {n:02}."))));
        assert_eq!(html.contains("From the start"), path != "/", "{path}");
        match next(&html) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, (0..45).collect::<Vec<_>>());

    let first = get(&pages, "/mailbox?to=a%2Bb%40example.com").await.html;
    let second = next(&first).expect("a second page");
    assert!(second.starts_with("/mailbox?to=a%2Bb%40example.com&cursor="), "{second}");
    let second = get(&pages, &second).await.html;
    assert_eq!(next(&second), None);
    assert!(second.contains("mailbox?to=a%2Bb%40example.com\">← Newest"), "{second}");
}

/// Where `rel=next` leads, as a browser reads it.
fn next(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("rel=\"next\" href=\"")?;
    let address = rest.split('"').next()?;
    Some(address.replace("&#x2f;", "/").replace("&amp;", "&"))
}

#[tokio::test]
async fn a_mail_is_shown_in_a_frame_that_can_do_nothing() {
    let world = World::new();
    world.mails(vec![mail(7)]);
    let pages = world.pages(true);
    let path = format!("/mailbox/{}", mail(7).mail_id);
    let page = get(&pages, &path).await;
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.html.contains(&format!("<iframe src=\"{path}/body\" sandbox title=")));
    assert!(page.html.contains("Your PIN is 123456"), "the text form\n{}", page.html);
    assert!(!page.html.contains("<b>123456</b>"), "the html is not in the page");

    let body = get(&pages, &format!("{path}/body")).await;
    assert_eq!(body.html, mail(7).html);
    assert_eq!(body.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(body.header("cache-control"), "no-store");
    assert_eq!(body.header("x-content-type-options"), "nosniff");
    assert_eq!(
        body.header("content-security-policy"),
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    );
    assert_eq!(get(&pages, "/mailbox").await.header("cache-control"), "no-store");
    assert!(world.callers().iter().all(|caller| caller.is_service("gateway")));
}

#[tokio::test]
async fn without_a_mailbox_there_is_no_way_to_a_mail() {
    let world = World::new();
    world.mails(vec![mail(7)]);
    let pages = world.pages(false);
    let one = format!("/mailbox/{}", mail(7).mail_id);
    for path in ["/mailbox", &one, &format!("{one}/body")] {
        assert_eq!(get(&pages, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(world.callers().is_empty(), "nobody was asked");
    assert!(!get(&pages, "/").await.html.contains("mailbox"), "nor does a link lead there");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_left_to_the_platform_for_programs() {
    let world = World::new();
    let pages = world.pages(true);
    let unknown = format!("/mailbox/{}", mail(9).mail_id);
    for path in ["/nothing", "/mailbox/nonsense", &unknown, &format!("{unknown}/body")] {
        let got = get(&pages, path).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert!(got.html.contains("There is nothing here") && got.html.contains("req-1"), "{path}");
        assert!(got.header("content-security-policy").contains("style-src 'self'"), "{path}");
        assert_eq!(got.header("cache-control"), "no-store", "{path}");
    }
    let unit = Unit::new("gateway", Metrics::new(), Tasks::new());
    let gateway = platform::http::stack(Router::new().merge(pages), &unit);
    let page = get(&gateway, "/nothing").await;
    assert!(page.html.contains("req-1") && page.header("x-correlation-id") == "req-1");
    let problem = get(&gateway, "/api/v1/nothing").await;
    assert_eq!(problem.header("content-type"), "application/problem+json");
    let program = Request::get("/nothing").body(Body::empty()).unwrap();
    let response = gateway.oneshot(program).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_service_that_fails_is_a_page_without_its_words() {
    let world = World::new();
    let pages = world.pages(true);
    for (failure, status) in [
        (Failure::unavailable("10.0.0.7 refused"), StatusCode::SERVICE_UNAVAILABLE),
        (Failure::invalid("page.cursor", "10.0.0.7"), StatusCode::UNPROCESSABLE_ENTITY),
        (Failure::internal("10.0.0.7"), StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        world.fail(failure);
        for path in ["/", "/mailbox", &format!("/mailbox/{}", mail(1).mail_id)] {
            let got = get(&pages, path).await;
            assert_eq!(got.status, status, "{path}");
            assert!(got.html.contains("<code>req-1</code>"), "{path}: {}", got.html);
            assert!(!got.html.contains("10.0.0.7"), "{path}");
            let down = status == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(got.headers.contains_key("retry-after"), down, "{path}");
            let again = got.headers.get("refresh");
            assert_eq!(again, got.headers.get("retry-after"), "it comes again by itself");
        }
    }
    let empty = World::without_services().pages(true);
    assert_eq!(get(&empty, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_stylesheet_is_kept_for_as_long_as_pages_name_its_version() {
    let pages = World::new().pages(true);
    let html = get(&pages, "/").await.html;
    let (_, rest) = html.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let named = get(&pages, rest.split('"').next().unwrap()).await;
    assert_eq!(named.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(named.header("cache-control"), "public, max-age=31536000, immutable");
    let other = get(&pages, "/style.css?v=1").await;
    assert_eq!(other.header("cache-control"), "public, max-age=60");
    assert!(!other.html.is_empty() && other.html == named.html);
}
