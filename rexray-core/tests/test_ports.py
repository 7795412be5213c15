import socket
from pathlib import Path

from rexray.testing.ports import lasting_port


def test_a_lasting_port_is_free_and_below_those_that_the_kernel_gives() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = lasting_port()
    assert first // 2 <= port < first
    with socket.create_server(("127.0.0.1", port)):
        assert lasting_port() != port
