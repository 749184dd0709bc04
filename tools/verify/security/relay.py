"""Joins two network namespaces by a relay that delays packets and loses some.

usage: relay.py NAMESPACE_A NAMESPACE_B DELAY_MS

Each gets an interface "lossy", 10.78.0.1 and 10.78.0.2. Prints "ready", then reads the
part of the packets to lose, one number a line, from its standard input; "0.1" loses one
packet in ten in each direction. Ends with its standard input. For kernels without netem.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKETS_AT_ONCE = 64

libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


def interface(namespace, address):
    """Makes a TUN interface in a namespace."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter(os.open("/var/run/netns/" + namespace, os.O_RDONLY))
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"lossy", IFF_TUN | IFF_NO_PI))
    for command in (
        f"ip address add {address}/24 dev lossy",
        "ip link set lossy up mtu 1500",
        "ip link set lo up",
    ):
        subprocess.check_call(command.split())
    enter(own)
    return tun


def relay(a, b, delay):
    other = {a: b, b: a}
    chance = random.Random(1)
    loss = 0.0
    waiting = []  # by when they leave, then by when they came
    count = 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(waiting)
            try:
                os.write(target, packet)
            except BlockingIOError:
                pass  # lost, as by a full queue
        timeout = max(0, waiting[0][0] - now) if waiting else None
        readable, _, _ = select.select([a, b, sys.stdin], [], [], timeout)
        now = time.monotonic()
        if sys.stdin in readable:
            line = os.read(sys.stdin.fileno(), 100)
            if not line:
                return
            loss = float(line)
        for source in (a, b):
            if source not in readable:
                continue
            for _ in range(PACKETS_AT_ONCE):
                try:
                    packet = os.read(source, 65536)
                except BlockingIOError:
                    break
                if chance.random() < loss:
                    continue
                count += 1
                heapq.heappush(waiting, (now + delay, count, other[source], packet))


def main():
    first, second, delay = sys.argv[1:]
    a, b = interface(first, "10.78.0.1"), interface(second, "10.78.0.2")
    os.write(1, b"ready\n")  # in one piece: the reader leaves after the first
    relay(a, b, float(delay) / 1000)


main()
