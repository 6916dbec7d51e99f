//! Takes connections in and spreads them over the IO threads.
//!
//! It has a thread of its own, so that connections are taken in, and refused, while the IO
//! threads run models.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Accepted;
use super::connection::Protocol;
use super::thread::Door;

/// How many refused clients are spoken to at once; further ones are just closed.
const REFUSALS: usize = 64;

/// What clients are told for whom there is no place.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 45\r\n\r\n{\"error\":\"the server has no connection left\"}";

/// Takes in connections until told to stop.
pub(super) struct Acceptor {
    pub(super) doors: Arc<[Door]>,
    pub(super) places: Arc<Semaphore>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Acceptor {
    /// Runs on the calling thread until told to stop.
    pub(super) fn run(self, listeners: Vec<(Protocol, StdListener)>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut stop = self.stop.clone();
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let acceptor = Arc::new(self);
        runtime.block_on(async {
            for (protocol, listener) in listeners {
                let listener = TcpListener::from_std(listener)?;
                tokio::spawn(acceptor.clone().accept(protocol, listener, refusals.clone()));
            }
            // Dropping the runtime closes the listeners.
            let _ = stop.wait_for(|stop| *stop).await;
            Ok(())
        })
    }

    async fn accept(
        self: Arc<Self>,
        protocol: Protocol,
        listener: TcpListener,
        refusals: Arc<Semaphore>,
    ) {
        const PAUSE: Duration = Duration::from_millis(50);
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly out of file descriptors: it passes when connections close.
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            match self.places.clone().try_acquire_owned() {
                Ok(place) => self.hand_over((stream, peer), protocol, place),
                Err(_) => {
                    if let Ok(permit) = refusals.clone().try_acquire_owned() {
                        tokio::spawn(refuse(stream, protocol, permit));
                    }
                }
            }
        }
    }

    /// Gives the connection to the thread that has the fewest.
    fn hand_over(
        &self,
        (stream, peer): (TcpStream, SocketAddr),
        protocol: Protocol,
        place: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let door = self.doors.iter().min_by_key(|door| door.connections());
        if let (Some(door), Ok(stream)) = (door, stream.into_std()) {
            door.open(Accepted { stream, protocol, peer: Some(peer), place });
        }
    }
}

/// Tells a client that there is no place for it. gRPC clients understand the closing alone.
async fn refuse(mut stream: TcpStream, protocol: Protocol, _permit: OwnedSemaphorePermit) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if protocol == Protocol::Grpc {
        return;
    }
    let speak = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // Closing before the client has sent its request would reset the connection under the
        // answer.
        let mut dropped = [0; 1024];
        while stream.read(&mut dropped).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PATIENCE, speak).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_states_its_own_length() {
        let answer = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let stated = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(stated, Some(body.len().to_string().as_str()));
    }
}
