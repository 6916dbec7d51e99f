//! Limits, timeouts, draining.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use modelyard_serving::Phase;

use crate::{Bench, Client};

const SOON: Duration = Duration::from_millis(200);
const POST: &str = "POST /predict/digits HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n";

#[test]
fn slow_headers_end_the_connection() {
    let bench = Bench::with(|limits| limits.header_timeout = SOON);
    let mut silent = bench.client();
    let mut slow = bench.client();
    slow.send("POST /predict/digits HTTP/1.1\r\nhost:");
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    let mut used = bench.client();
    assert_eq!(used.request("GET", "/v2", &[], b"").status, 200);
    used.send("GET /v2");
    assert!(used.is_closed());
    bench.check_alive();
}

#[test]
fn slow_bodies_are_refused() {
    let bench = Bench::with(|limits| limits.body_timeout = SOON);
    let mut client = bench.client();
    client.send(POST);
    client.send("{\"image\"");
    client.read(false).unwrap().check_error(408, &["slowly"]);
    bench.check_alive();
}

#[test]
fn idle_connections_are_closed() {
    let bench = Bench::with(|limits| limits.idle_timeout = SOON);
    let mut client = bench.client();
    assert_eq!(client.request("GET", "/v2", &[], b"").status, 200);
    assert!(client.is_closed());
    bench.check_alive();
}

#[test]
fn who_takes_no_answer_is_closed() {
    let bench = Bench::with(|limits| limits.write_timeout = SOON);
    let mut client = bench.client();
    // More answers than the socket buffers hold, and none is read.
    let request = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    client.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut closed = false;
    while !closed && Instant::now() < deadline {
        if let Err(error) = client.stream().write_all(request.as_bytes()) {
            closed = error.kind() != std::io::ErrorKind::WouldBlock;
        }
    }
    assert!(closed, "the server still takes requests");
    bench.check_alive();
}

#[test]
fn resets_and_half_closed_connections_hurt_nobody() {
    let bench = Bench::start();
    for text in ["", "P", "POST", "\u{0}\u{1}\r\n\r\n", POST, "GET /v2 HTTP/9.9\r\n\r\n"] {
        let mut client = bench.client();
        client.send(text);
        drop(client);
    }
    // A client that has said all may close its side and still gets its answer.
    let mut client = bench.client();
    client.send(POST.to_owned() + "{\"image\":[1,2,3,0.00]}".get(..21).unwrap());
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.read(false).is_some());
    bench.check_alive();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.running.connections() > 1 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(bench.running.connections() <= 1);
}

#[test]
fn headers_beyond_the_limits_are_refused() {
    let bench = Bench::start();
    let long = "x".repeat(64 << 10);
    let response = bench.client().request("GET", "/v2", &[("long", &long)], b"");
    assert_eq!(response.status, 431);
    let many: Vec<(&str, &str)> = (0..100).map(|_| ("a", "b")).collect();
    assert_eq!(bench.client().request("GET", "/v2", &many, b"").status, 431);
    let two_lengths = [("Content-Length", "1"), ("Content-Length", "2")];
    assert_eq!(bench.client().request("GET", "/v2", &two_lengths, b"").status, 400);
    // Answered by the HTTP library, and counted all the same.
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = "modelyard_responses_total{protocol=\"http\",status=\"4xx\"} 3\n";
    while !bench.get("/metrics").text().contains(refused) {
        assert!(Instant::now() < deadline, "{}", bench.get("/metrics").text());
    }
    bench.check_alive();
}

#[test]
fn connections_beyond_the_limit_are_refused_at_once() {
    let bench = Bench::with(|limits| limits.connections = 2);
    let mut kept: Vec<Client> = (0..2).map(|_| bench.client()).collect();
    kept.iter_mut().for_each(|client| {
        assert_eq!(client.request("GET", "/v2", &[], b"").status, 200);
    });
    let response = bench.client().request("GET", "/v2", &[], b"");
    response.check_error(503, &["connection"]);
    assert!(response.header("retry-after").is_some());
    kept.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    let again = || bench.client().request("GET", "/v2", &[], b"").status == 200;
    while !again() {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn all_bodies_together_are_bounded() {
    let bench = Bench::with(|limits| limits.all_bodies_bytes = 512 << 10);
    let post = |bytes: usize| bench.post("/predict/digits", vec![b'x'; bytes]);
    post(1 << 20).check_error(503, &["together", "524288"]);
    // What a body took is free again once it is answered: one after another there is room.
    (0..4).for_each(|_| post(400 << 10).check_error(400, &["found 'x'"]));
    bench.check_alive();
}

/// As load tests and proxies do it: every caller keeps its connection.
#[test]
fn refused_callers_keep_their_connections() {
    const CALLERS: usize = 16;
    let bench = Bench::start();
    let call = || {
        let mut client = bench.client();
        let body = vec![0; 600_000];
        let statuses = (0..8).map(|_| {
            let headers = [("Inference-Header-Content-Length", "0")];
            let response = client.request("POST", "/v2/models/busy/infer", &headers, &body);
            assert_eq!(response.header("connection"), None);
            response.status
        });
        statuses.collect::<Vec<u16>>()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    assert!(count(200) > 0 && count(429) > 0, "{statuses:?}");
    assert_eq!(count(200) + count(429), statuses.len(), "{statuses:?}");
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let bench = Bench::start();
    let mut client = bench.client();
    for path in ["/nowhere", "/v2/models/none/infer", "/v2/repository/models/digits/load"] {
        client.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n"));
        let response = client.read(false).unwrap();
        assert!([404, 501].contains(&response.status), "{path}");
        client.send([b'x'; 9000]);
    }
    // What is never read because it has no meaning does not hurt either.
    let answer = client.request("GET", "/v2", &[("Content-Length", "9000")], &[b'x'; 9000]);
    assert_eq!(answer.status, 200);
    assert_eq!(client.request("GET", "/v2", &[], b"").status, 200);
    // Who asks before it sends may leave it at that.
    client.send("POST /nowhere HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n");
    client.send("content-length: 9000\r\n\r\n");
    assert_eq!(client.read(false).unwrap().header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn draining_does_not_wait_for_who_says_nothing() {
    let bench = Bench::start();
    let mut silent = bench.client();
    let mut hesitant = bench.client();
    hesitant.send("P");
    while bench.running.connections() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let started = Instant::now();
    assert!(bench.running.shutdown(Duration::from_secs(20)));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(silent.is_closed() && hesitant.is_closed());
}

#[test]
fn draining_finishes_what_is_under_way() {
    let bench = Bench::start();
    let address = bench.http();
    let mut idle = Client::new(address);
    assert_eq!(idle.request("GET", "/v2", &[], b"").status, 200);
    let mut busy = Client::new(address);
    let body = r#"{"x":[7]}"#;
    busy.send(format!(
        "POST /predict/slow HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    std::thread::sleep(Duration::from_millis(100));
    bench.service.set_phase(Phase::Draining);
    bench.running.stop_accepting();
    assert!(bench.running.shutdown(Duration::from_secs(10)));
    let response = busy.read(false).unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, r#"{"prediction":[7.0]}"#));
    assert!(idle.is_closed());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn the_grace_ends() {
    let bench = Bench::start();
    let mut stuck = bench.client();
    stuck.send(POST);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!bench.running.shutdown(Duration::from_millis(50)));
    assert!(stuck.is_closed());
}

#[test]
fn http2_with_prior_knowledge_is_spoken_too() {
    let bench = Bench::start();
    let mut client = bench.client();
    // The preface in two pieces, then an empty SETTINGS frame.
    client.send("PR");
    std::thread::sleep(Duration::from_millis(20));
    client.send("I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut frame = [0; 9];
    client.stream().read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "the server's own SETTINGS come first");
}
