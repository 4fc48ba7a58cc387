//! What an HTTP request costs before anybody has looked at it.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::LocalSet;

/// As long as what the switch answers to the request of the load.
pub const ANSWER: &str = concat!(
    r#"{"topic":"tel","message":"get-calls","timestamp":1291231721391,"sequence-id":0,"request-id":1,"response":0,"error":0,"calls":"#,
    r#"[["call-id","state","direction","number","name","start"]],"permissions":["make-call","drop","hold","unhold","send-digits","get-calls"]}"#
);

pub(super) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        super::tell(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let serving = hyper::server::conn::http1::Builder::new();
            let connection = serving.serve_connection(TokioIo::new(stream), service_fn(answer));
            // An error is the end of a connection, and the load counts it.
            tokio::task::spawn_local(async { drop(connection.await) });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
