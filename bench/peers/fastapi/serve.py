"""Workers on one port, each with a listening socket of its own.

Of the one socket that `uvicorn --workers` shares among them, one worker often takes all of a few
connections, and the others idle.
"""

import multiprocessing
import os
import signal
import socket

import uvicorn


def work():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    config = uvicorn.Config("app:app", log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    workers = [multiprocessing.Process(target=work) for _ in range(int(os.environ["WORKERS"]))]
    for worker in workers:
        worker.start()
    signal.signal(signal.SIGTERM, lambda *_: [worker.terminate() for worker in workers])
    for worker in workers:
        worker.join()
