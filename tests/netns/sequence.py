#!/usr/bin/python3
"""Sequence-numbered UDP frames: loss, duplicates and reordering are counted, not estimated.

    sequence.py receive PORT            until SIGTERM; then one line of JSON
    sequence.py send HOST PORT RATE N   N frames at RATE a second
"""

import json
import signal
import socket
import struct
import sys
import time


def receive(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("", port))
    sock.settimeout(0.2)
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    print("ready", flush=True)
    seen, duplicates, late, highest = set(), 0, 0, -1
    while not ending:
        try:
            data = sock.recv(2048)
        except TimeoutError:
            continue
        number = struct.unpack("!Q", data[:8])[0]
        if number in seen:
            duplicates += 1
        seen.add(number)
        if number < highest:
            late += 1
        highest = max(highest, number)
    missing = [n for n in range(highest + 1) if n not in seen]
    print(json.dumps({"received": len(seen), "highest": highest, "duplicates": duplicates, "late": late,
                      "missing": len(missing), "first_missing": missing[:20]}), flush=True)


def send(host, port, rate, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    begin = time.monotonic()
    for number in range(count):
        wait = begin + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sock.sendto(struct.pack("!Q", number) + b"s" * (number % 900), (host, port))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
