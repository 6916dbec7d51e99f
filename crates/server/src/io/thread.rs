//! One IO thread: a runtime, its connections, and the sweep that ends idle ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Accepted;
use super::connection::Speaker;
use super::traffic::{OpenConnection, Traffic};
use super::watch::{Order, Patience, TICK, Watch};

/// The way into an IO thread.
#[derive(Clone)]
pub(super) struct Door {
    /// Bounded by the places that connections hold.
    sender: UnboundedSender<Message>,
    traffic: Arc<Traffic>,
}

enum Message {
    Open(Accepted, OpenConnection),
    Tell(Order),
}

impl Door {
    /// Connections open or on their way.
    pub(super) fn connections(&self) -> usize {
        self.traffic.connections()
    }

    /// Hands a connection over.
    pub(super) fn open(&self, accepted: Accepted) {
        // Fails, and closes the connection, when the thread has ended.
        let _ = self.sender.send(Message::Open(accepted, self.traffic.connection()));
    }

    /// Tells every connection of the thread, and later ones. [`Order::Kill`] ends the thread.
    pub(super) fn tell(&self, order: Order) {
        let _ = self.sender.send(Message::Tell(order));
    }
}

/// Starts an IO thread.
pub(super) fn start(
    name: String,
    patience: Patience,
    speaker: Speaker,
    traffic: Arc<Traffic>,
) -> std::io::Result<(Door, JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, receiver) = unbounded_channel();
    let thread = IoThread {
        speaker: Arc::new(speaker),
        traffic: traffic.clone(),
        watches: Arc::default(),
        order: Order::Serve,
    };
    let body = move || runtime.block_on(thread.run(receiver, patience));
    let handle = modelyard_engine::threads::spawn(name, body)?;
    Ok((Door { sender, traffic }, handle))
}

struct IoThread {
    speaker: Arc<Speaker>,
    traffic: Arc<Traffic>,
    watches: Arc<Watches>,
    order: Order,
}

impl IoThread {
    async fn run(mut self, mut receiver: UnboundedReceiver<Message>, patience: Patience) {
        tokio::spawn(sweep(self.watches.clone(), patience));
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Open(accepted, open) => self.open(accepted, open),
                Message::Tell(order) => {
                    self.order = order;
                    self.watches.tell(order);
                }
            }
            if self.order == Order::Kill {
                break;
            }
        }
    }

    fn open(&self, accepted: Accepted, open: OpenConnection) {
        let watch = self.watches.open(self.order, accepted.peer, self.traffic.clone());
        let closing = Closing { watch: watch.clone(), _open: open };
        let speaker = self.speaker.clone();
        // A panic inside ends this task, and so this connection, and nothing else.
        tokio::spawn(async move {
            let Accepted { stream, protocol, place, .. } = accepted;
            let _closing = closing;
            let _place = place;
            match tokio::net::TcpStream::from_std(stream) {
                Ok(stream) => speaker.serve(stream, protocol, &watch).await,
                Err(error) => tracing::warn!(%error, "failed to take a connection over"),
            }
        });
    }
}

/// Counts a connection out, however it ends.
struct Closing {
    watch: Arc<Watch>,
    _open: OpenConnection,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.watch.close();
    }
}

/// The connections of one IO thread. Closed ones leave at the next sweep.
struct Watches {
    now: AtomicU32,
    open: Mutex<Vec<Arc<Watch>>>,
}

impl Default for Watches {
    fn default() -> Self {
        Watches { now: AtomicU32::new(1), open: Mutex::default() }
    }
}

impl Watches {
    fn open(&self, order: Order, peer: Option<SocketAddr>, traffic: Arc<Traffic>) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(self.now.load(Relaxed), peer, traffic));
        watch.tell(order);
        self.open.lock().push(watch.clone());
        watch
    }

    fn tell(&self, order: Order) {
        self.open.lock().iter().for_each(|watch| watch.tell(order));
    }

    fn sweep(&self, patience: &Patience) {
        let now = self.now.load(Relaxed).saturating_add(1);
        self.now.store(now, Relaxed);
        self.open.lock().retain(|watch| {
            watch.sweep(now, patience);
            !watch.is_closed()
        });
    }
}

async fn sweep(watches: Arc<Watches>, patience: Patience) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        watches.sweep(&patience);
    }
}
