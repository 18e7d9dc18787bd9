"""A private RabbitMQ."""

import os
import signal
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

from tests.servers import process

_MAKE_VHOST = """
rabbit_vhost:add(<<"{name}">>, <<"tests">>),
rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).
"""

#: While it has nothing to do it sleeps, and leaves the processors to the tests.
_AT_REST = "+sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ:
    """One broker with everything of its own: name, folder, ports, port mapper."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hookline-rabbitmq-", ignore_cleanup_errors=True)
        self._root = Path(self._folder.name)
        self._log = self._root / "server.log"
        self.port = process.free_port()
        self._node = f"hookline{uuid.uuid4().hex[:8]}@localhost"
        self._environment = self._make_environment()
        self._process: subprocess.Popen[bytes] | None = None

    def _make_environment(self) -> dict[str, str]:
        plugins = self._root / "enabled_plugins"
        plugins.write_text("[].")
        settings = self._root / "rabbitmq.conf"
        settings.write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\nloopback_users = none\n")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._root),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(process.free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_NODENAME": self._node,
            # the start script then becomes the broker instead of watching it: what we wait for and kill is the broker
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_DIST_PORT": str(process.free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._root / "data"),
            "RABBITMQ_LOG_BASE": str(self._root / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} " + _AT_REST,
        }

    def start(self) -> None:
        """Start it, with the data that it had when it was stopped."""
        command = [process.program("/usr/lib/rabbitmq/bin/rabbitmq-server", package="rabbitmq-server")]
        self._process = process.start(command, log=self._log, environment=self._environment)
        process.wait_until(self._ready, self._process, log=self._log, what="RabbitMQ")

    def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._process is not None:
            process.end(self._process, signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """Stop it as if the power had failed."""
        if self._process is not None:
            process.end(self._process, signal.SIGKILL)
            self._process = None

    def close(self) -> None:
        """Stop it, its port mapper too, and forget its data."""
        self.stop()
        # a port mapper of the node's own; it ends when told to, now that no node is left
        epmd = process.program("epmd", package="rabbitmq-server")
        subprocess.run([epmd, "-kill"], env=self._environment, check=False, capture_output=True)
        self._folder.cleanup()

    def url(self, vhost: str) -> str:
        """The URL of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def create_vhost(self) -> str:
        """Make an empty virtual host; return its name."""
        name = f"test-{uuid.uuid4().hex}"
        self.evaluate(_MAKE_VHOST.format(name=name))
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host and everything in it."""
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>).')

    def evaluate(self, expression: str) -> str:
        """Let the broker evaluate Erlang: some 50 ms, where ``rabbitmqctl`` first starts an Erlang machine."""
        cookie = (self._root / ".erlang.cookie").read_text()
        done = subprocess.run(
            [process.program("erl_call", package="rabbitmq-server"), "-n", self._node, "-c", cookie, "-e"],
            env=self._environment,
            input=expression + "\n",
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0 or not done.stdout.startswith("{ok, "):
            raise process.ServerError(f"{expression.strip()}: {done.stderr or done.stdout}")
        return done.stdout.removeprefix("{ok, ").removesuffix("}")

    def _ready(self) -> bool:
        """Whether it opens the AMQP handshake: the port alone may be open before."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(connection.recv(1))
        except OSError:
            return False
