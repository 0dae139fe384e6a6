//! Who may connect, as whom, and when there is no more room.

use serde_json::json;

use super::*;

async fn refused(
    replica: &Replica,
    query: &str,
    headers: &[(&'static str, String)],
) -> (u16, String) {
    match Client::connect_with(replica.address, query, headers).await {
        Ok(_) => panic!("should be refused"),
        Err(refused) => (refused.status, refused.problem["code"].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn a_token_is_taken_from_header_or_query_and_a_bad_one_refused_before_the_upgrade() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (alice, token) = (account(1), world.token(account(1)));

    let mut by_header = replica.signed_in(&world, alice).await;
    let query = format!("?token={token}");
    let mut by_query = Client::connect(replica.address, &query, None).await.unwrap();
    let connected = by_query.expect("system:connected").await;
    assert_eq!(connected["payload"]["server_time"], world.clock.now().to_string());
    assert!(connected["payload"]["connection_id"].as_str().unwrap().parse::<Uuid>().is_ok());
    by_query.expect("room:joined").await;
    replica.post(Room::User(alice), "booking:confirmed", &json!({"n": 1})).await;
    assert_eq!(by_header.expect("booking:confirmed").await["payload"], json!({"n": 1}));
    assert_eq!(by_query.expect("booking:confirmed").await["payload"], json!({"n": 1}));

    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let no_bearer = vec![("authorization", "Basic YTpi".to_owned())];
    let forged = format!("{}x", &token[..token.len() - 1]);
    for (query, headers) in [
        ("", bearer(&forged)),
        ("", bearer("nonsense")),
        ("", no_bearer),
        ("?token=", Vec::new()),
        ("?token=nonsense", Vec::new()),
        (query.as_str(), bearer("nonsense")),
    ] {
        let problem = refused(&replica, query, &headers).await;
        assert_eq!(problem, (401, "UNAUTHENTICATED".to_owned()), "{query} {headers:?}");
    }
    world.clock.advance(Duration::from_secs(900));
    assert_eq!(refused(&replica, &query, &[]).await.0, 401, "an old token");
}

#[tokio::test]
async fn visitors_and_strange_pages_are_kept_out_where_so_configured() {
    let world = World::new().await;
    let allowed_origins = vec!["https://tickets.example".to_owned()];
    let closed = Config { allow_anonymous: false, allowed_origins, ..config() };
    let replica = world.replica(closed).await;
    assert_eq!(refused(&replica, "", &[]).await, (401, "UNAUTHENTICATED".to_owned()));
    replica.signed_in(&world, account(1)).await;

    let token = ("authorization", format!("Bearer {}", world.token(account(1))));
    let from = |origin: &str| [token.clone(), ("origin", origin.to_owned())];
    let evil = refused(&replica, "", &from("https://evil.example")).await;
    assert_eq!(evil, (403, "ORIGIN_NOT_ALLOWED".to_owned()));
    let ours = from("https://tickets.example");
    assert!(Client::connect_with(replica.address, "", &ours).await.is_ok());
}

#[tokio::test]
async fn there_is_room_for_so_many_and_it_comes_back() {
    let world = World::new().await;
    let replica = world.replica(Config { max_connections: 2, ..config() }).await;
    let (first, _second) = (replica.visitor().await, replica.signed_in(&world, account(1)).await);
    assert_eq!(refused(&replica, "", &[]).await, (503, "TOO_MANY_CONNECTIONS".to_owned()));
    let text = replica.metrics.encode();
    for line in ["connections 2", "authenticated 1", "anonymous 1"] {
        assert!(text.contains(&format!("realtime_websocket_{line}\n")), "{text}");
    }
    first.leave().await;
    until(|| replica.app.slots.available_permits() == 1).await;
    replica.visitor().await;
}

#[tokio::test]
async fn a_stop_closes_every_socket_and_lets_nobody_in() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(replica.signed_in(&world, account(number)).await);
    }
    let app = replica.app.clone();
    let (left, told) = tokio::join!(app.tasks.stop(Duration::from_secs(10)), async {
        let mut told = Vec::new();
        for client in &mut clients {
            told.push(client.closed().await.0);
        }
        told
    });
    assert_eq!((left, told), (0, vec![1_012; 20]));
    assert_eq!(app.meters.connections.get(), 0);
    assert_eq!(refused(&replica, "", &[]).await.0, 503);
}
