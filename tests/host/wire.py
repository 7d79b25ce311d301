"""A cable between two network interfaces that can be cut, one way or both, delayed and made lossy: it carries raw frames
between two packet sockets. Runs as a process of its own inside the namespace that has both interfaces.

usage: wire.py INTERFACE INTERFACE
Reads lines from standard input, answers each with "ok":
  there|back|both  cut | heal | delay MILLISECONDS | loss PERCENT"""

import heapq
import random
import selectors
import socket
import sys
import time

SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
PACKET_VNET_HDR = 15  # checksums and segments that the kernel has not made yet pass as they are
ETH_P_ALL = 3


class Direction:
    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.cut = False
        self.delay_s = 0.0
        self.loss = 0.0
        self.queue = []
        self.count = 0

    def take(self, now):
        while True:
            try:
                frame = self.source.recv(70000)
            except BlockingIOError:
                return
            if self.cut or (self.loss and random.random() < self.loss):
                continue
            self.count += 1
            heapq.heappush(self.queue, (now + self.delay_s, self.count, frame))

    def deliver(self, now):
        while self.queue and self.queue[0][0] <= now:
            _, _, frame = heapq.heappop(self.queue)
            try:
                self.sink.send(frame)
            except OSError:
                pass  # the other end is down: a cable does not mind


def packet_socket(interface):
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    found.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    found.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    found.bind((interface, ETH_P_ALL))
    found.setblocking(False)
    return found


def obey(words, directions):
    chosen = {"there": directions[:1], "back": directions[1:], "both": directions}[words[0]]
    for direction in chosen:
        if words[1] == "cut":
            direction.cut = True
            direction.queue.clear()
        elif words[1] == "heal":
            direction.cut, direction.delay_s, direction.loss = False, 0.0, 0.0
        elif words[1] == "delay":
            direction.delay_s = float(words[2]) / 1000
        elif words[1] == "loss":
            direction.loss = float(words[2]) / 100
        else:
            raise ValueError(words[1])


def main():
    one, other = packet_socket(sys.argv[1]), packet_socket(sys.argv[2])
    directions = [Direction(one, other), Direction(other, one)]
    ready = selectors.DefaultSelector()
    for direction in directions:
        ready.register(direction.source, selectors.EVENT_READ, direction)
    ready.register(sys.stdin, selectors.EVENT_READ)
    print("ok", flush=True)
    while True:
        due = [direction.queue[0][0] for direction in directions if direction.queue]
        wait = max(min(due) - time.monotonic(), 0) if due else None
        for key, _ in ready.select(wait):
            if key.data is not None:
                key.data.take(time.monotonic())
                continue
            line = sys.stdin.readline()
            if not line:
                return
            obey(line.split(), directions)
            print("ok", flush=True)
        now = time.monotonic()
        for direction in directions:
            direction.deliver(now)


if __name__ == "__main__":
    main()
