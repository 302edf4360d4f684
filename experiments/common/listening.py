"""Sockets of commands that serve."""

import socket

LOCAL = "127.0.0.1"
MOST_PORT = 65535


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens; raises OSError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # A server that restarts need not wait until the system has forgotten its old connections.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(
            f"--port: expected one that is free at {host}, got {port} ({error.strerror}); choose "
            "another, or 0 for any"
        ) from error
    return listening


def url_of(host: str, port: int) -> str:
    """Returns where a browser or client of this machine finds a server."""
    # 0.0.0.0 means every address to a server, and none to a client.
    host = LOCAL if host == "0.0.0.0" else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
