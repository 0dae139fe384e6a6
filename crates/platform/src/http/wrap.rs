//! A layer around routes that is a function.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response, routing::Route};
use futures_util::{FutureExt, future::Map};
use tower::{Layer, Service};

/// A layer that has `with` answer each request, which may call the route that it is around. As
/// [`axum::middleware::from_fn`], which copies all that is below three times a request to hand it
/// out; where the route is called at once, this copies it once.
pub const fn wrap<F>(with: F) -> Wrap<F> {
    Wrap(with)
}

/// See [`wrap`].
#[derive(Clone)]
pub struct Wrap<F>(F);

/// A route with a function around it.
#[derive(Clone)]
pub struct Wrapped<F> {
    with: F,
    route: Route,
}

impl<F: Clone> Layer<Route> for Wrap<F> {
    type Service = Wrapped<F>;

    fn layer(&self, route: Route) -> Wrapped<F> {
        Wrapped { with: self.0.clone(), route }
    }
}

impl<F, A> Service<Request> for Wrapped<F>
where
    F: Fn(Request, &mut Route) -> A,
    A: Future<Output = Response>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Map<A, fn(Response) -> Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        (self.with)(request, &mut self.route).map(Ok)
    }
}
