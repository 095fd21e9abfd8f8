# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between the clients and the gate, whose connections can be made to suffer."""
import random
import select
import socket
import threading
import time


class Proxy:
    """Listens on loopback for as long as it lives. Set `delay` (seconds) and `hole` (nothing passes,
    nothing ends) at any time; cut() and half_close() meet the connections that are open."""

    MOST_CONNECTIONS = 200

    def __init__(self):
        self.target = 0  # the port that it passes on to
        self.delay = 0.0
        self.hole = False
        self._lock = threading.Lock()
        self._pairs = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        while self.hole:
            time.sleep(0.05)
        with self._lock:
            full = len(self._pairs) >= self.MOST_CONNECTIONS
        try:
            server = None if full else socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            server = None
        if server is None:
            client.close()
            return
        pair = (client, server)
        for end in pair:
            end.settimeout(5)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()

    def _pump(self, source, sink):
        """Until the source ends. An end is passed on as one: the other direction may go on."""
        try:
            while True:
                if self.hole:
                    time.sleep(0.05)
                    continue
                if not select.select([source], [], [], 0.2)[0]:
                    continue
                data = source.recv(65536)
                if not data:
                    break
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            try:
                end.shutdown(how)
            except OSError:
                pass

    def _open(self):
        with self._lock:
            return list(self._pairs)

    def cut(self):
        for pair in self._open():
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def half_close(self, seed):
        """One direction of each connection ends, the other goes on."""
        chance = random.Random(seed)
        for pair in self._open():
            try:
                chance.choice(pair).shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def close(self):
        self._listener.close()
        self.hole = False
        self.cut()
