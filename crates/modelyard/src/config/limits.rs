//! The bounds of the network side: keys under `[limits]`.

use std::time::Duration;

use modelyard_server::Limits;

use super::key::{Stack, keys};
use super::kind::Count;
use super::mistake::Mistakes;
use super::units::{ByteSize, Span};

const BYTES: ByteSize = ByteSize { min: 1, max: 1 << 40 };
const WAIT: Span = Span { min: Duration::from_millis(1), max: Duration::from_secs(86_400) };

keys! { ALL:
    /// Bytes of a request body or gRPC message as sent.
    BODY_BYTES: ByteSize = "limits.body_bytes", "64MiB", BYTES;
    /// Bytes of all request bodies under way together, small ones aside.
    ALL_BODIES_BYTES: ByteSize = "limits.all_bodies_bytes", "1GiB", BYTES;
    /// Bytes of a request body after its content coding is undone.
    DECOMPRESSED_BYTES: ByteSize = "limits.decompressed_bytes", "64MiB", BYTES;
    /// Bytes of an answer from which on it is compressed for clients that ask for it.
    COMPRESS_FROM_BYTES: ByteSize =
        "limits.compress_from_bytes", "1KiB", ByteSize { min: 0, max: 1 << 40 };
    /// Nesting of JSON arrays and objects.
    JSON_DEPTH: Count = "limits.json_depth", "64", Count { min: 4, max: 1024 };
    /// Elements of one tensor.
    TENSOR_ELEMENTS: Count = "limits.tensor_elements", "67108864", Count { min: 1, max: 1 << 40 };
    /// Header fields of one request.
    HEADER_COUNT: Count = "limits.header_count", "64", Count { min: 8, max: 4096 };
    /// Bytes of all header fields of one request.
    HEADER_BYTES: ByteSize =
        "limits.header_bytes", "16KiB", ByteSize { min: 1 << 10, max: 1 << 24 };
    /// Open connections, all ports together.
    CONNECTIONS: Count = "limits.connections", "10000", Count { min: 1, max: 1 << 20 };
    /// Requests under way on one HTTP/2 connection.
    CONCURRENT_STREAMS: Count =
        "limits.concurrent_streams", "256", Count { min: 1, max: 1 << 20 };
    /// From the first byte of a request to the end of its header.
    HEADER_TIMEOUT: Span = "limits.header_timeout", "15s", WAIT;
    /// How long a connection without a request under way stays open.
    IDLE_TIMEOUT: Span = "limits.idle_timeout", "620s", WAIT;
    /// How long a client may take for its body, besides what its rate grants it.
    BODY_TIMEOUT: Span = "limits.body_timeout", "15s", WAIT;
    /// The slowest rate, in bytes a second, at which a client may send its body.
    BODY_BYTES_PER_SECOND: ByteSize =
        "limits.body_bytes_per_second", "16KiB", ByteSize { min: 1, max: 1 << 31 };
    /// How long a client may refuse to take any byte of an answer.
    WRITE_TIMEOUT: Span = "limits.write_timeout", "30s", WAIT;
    /// How long a request may wait for its model to be loaded, where that is not in memory.
    LOAD_TIMEOUT: Span = "limits.load_timeout", "60s", WAIT;
    /// Requests that wait for models to be loaded, all together.
    LOAD_WAITING: Count = "limits.load_waiting", "1024", Count { min: 1, max: 1 << 20 };
}

/// The checked limits.
pub(super) fn check(stack: &Stack<'_>, mistakes: &mut Mistakes) -> Limits {
    // The bounds of the keys fit their types; the largest value stands in where they would not.
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        body_bytes: stack.take(&BODY_BYTES, mistakes),
        all_bodies_bytes: stack.take(&ALL_BODIES_BYTES, mistakes),
        decompressed_bytes: stack.take(&DECOMPRESSED_BYTES, mistakes),
        compress_from_bytes: stack.take(&COMPRESS_FROM_BYTES, mistakes),
        json_depth: stack.take(&JSON_DEPTH, mistakes),
        tensor_elements: stack.take(&TENSOR_ELEMENTS, mistakes),
        header_count: stack.take(&HEADER_COUNT, mistakes),
        header_bytes: stack.take(&HEADER_BYTES, mistakes),
        connections: stack.take(&CONNECTIONS, mistakes),
        concurrent_streams: small(stack.take(&CONCURRENT_STREAMS, mistakes)),
        header_timeout: stack.take(&HEADER_TIMEOUT, mistakes),
        idle_timeout: stack.take(&IDLE_TIMEOUT, mistakes),
        body_timeout: stack.take(&BODY_TIMEOUT, mistakes),
        body_bytes_per_second: small(stack.take(&BODY_BYTES_PER_SECOND, mistakes)),
        write_timeout: stack.take(&WRITE_TIMEOUT, mistakes),
        load_timeout: stack.take(&LOAD_TIMEOUT, mistakes),
        load_waiting: stack.take(&LOAD_WAITING, mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_server() {
        assert!(ALL.iter().all(|key| key.default_is_valid()));
        let limits = check(&Stack { layers: Vec::new() }, &mut Mistakes::default());
        assert_eq!(limits, Limits::default());
    }
}
