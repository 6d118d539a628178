"""port_attack.py PID...: attacks the port of a run's watchdog while its ranks join. PIDs are
those of the ranks. Prints "listens ADDRESS" for each address on which a rank listens,
attacks the loopback ones in eight ways, and prints "closed" once these no longer listen;
then "left ADDRESS" for each address that still does."""
import os, socket, struct, sys, time


def addresses(pid):
    """(address, port) of each listening TCP socket of the process."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for kind in ("tcp", "tcp6"):
        try:
            lines = open(f"/proc/{pid}/net/{kind}").read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for fields in map(str.split, lines):
            if fields[3] != "0A" or fields[9] not in inodes:
                continue
            address, port = fields[1].split(":")
            words = [int(address[i:i + 8], 16) for i in range(0, len(address), 8)]
            family = socket.AF_INET if kind == "tcp" else socket.AF_INET6
            packed = b"".join(struct.pack("=I", word) for word in words)
            found.add((socket.inet_ntop(family, packed), int(port, 16)))
    return found


def all_addresses():
    return set().union(*(addresses(pid) for pid in sys.argv[1:] if os.path.exists(f"/proc/{pid}")))


def is_loopback(address):
    return address.startswith("127.") or address == "::1"


def connect(target):
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(1)
    connection.connect(target)
    return connection


def attempt(target, action):
    """Failures are ignored: only the effect on the run matters."""
    try:
        connection = connect(target)
    except OSError:
        return None
    try:
        action(connection)
    except OSError:
        pass
    return connection


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def attack(target):
    hello = b"tutti-w2" + struct.pack("<ii", 1, 1) + os.urandom(32)
    recorded = []
    held = [attempt(target, lambda connection: None) for _ in range(300)]              # silent
    held.append(attempt(target, lambda connection: connection.sendall(os.urandom(4096))))    # garbage
    held.append(attempt(target, lambda connection: connection.sendall(b"\xff" * (1 << 22)))) # huge
    held.append(attempt(target, lambda connection: connection.sendall(hello[:20])))          # half a hello
    for _ in range(3):                                                           # replay
        held.append(attempt(target, lambda connection: (connection.sendall(hello), recorded.append(connection.recv(99)))))
    held.append(attempt(target, lambda connection: connection.sendall(b"".join(recorded) or hello)))
    for _ in range(2000):                                                        # flood
        attempt(target, lambda connection: connection.close())
    for _ in range(300):                                                         # resets
        attempt(target, reset)
    drips = [attempt(target, lambda connection: None) for _ in range(10)]              # slow drip
    for byte in hello:
        for connection in drips:
            try:
                connection and connection.send(bytes([byte]))
            except OSError:
                pass
        time.sleep(0.02)
    return held + drips


def main():
    held = []
    until = time.monotonic() + 120
    found = all_addresses()
    while not any(is_loopback(address) for address, _ in found):
        if time.monotonic() > until:
            sys.exit("nobody listens on loopback")
        found = all_addresses()
        time.sleep(0.01)
    for address, _ in sorted(found):
        print("listens", address)
    targets = {target for target in found if is_loopback(target[0])}
    for target in sorted(targets):
        held.append(attack(target))
    while targets & all_addresses():
        if time.monotonic() > until:
            sys.exit("it still listens")
        time.sleep(0.05)
    print("closed")
    for address, _ in sorted(all_addresses()):
        print("left", address)


main()
