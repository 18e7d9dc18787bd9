"""A private RabbitMQ."""

import os
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

from tests.servers import process

#: Virtual hosts are made a handful at a time: each call of the control program starts an Erlang machine of its own.
_HANDFUL = 12

_MAKE_VHOSTS = """
lists:foreach(fun(Name) ->
  rabbit_vhost:add(Name, <<"tests">>),
  rabbit_auth_backend_internal:set_permissions(<<"guest">>, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
end, [{names}])."""


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
        self._vhosts: list[str] = []

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
            "RABBITMQ_DIST_PORT": str(process.free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._root / "data"),
            "RABBITMQ_LOG_BASE": str(self._root / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        """Start it, with the data that it had when it was stopped."""
        command = [process.program("/usr/lib/rabbitmq/bin/rabbitmq-server", package="rabbitmq-server")]
        self._process = process.start(command, log=self._log, environment=self._environment)
        process.wait_until(lambda: process.answers(self.port), self._process, log=self._log, what="RabbitMQ")

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
        """An empty virtual host; return its name."""
        if not self._vhosts:
            self._vhosts = [f"test-{uuid.uuid4().hex}" for _ in range(_HANDFUL)]
            self.control("eval", _MAKE_VHOSTS.format(names=", ".join(f'<<"{name}">>' for name in self._vhosts)))
        return self._vhosts.pop()

    def control(self, *words: str) -> str:
        """Run the control program; return what it says."""
        program = process.program("/usr/lib/rabbitmq/bin/rabbitmqctl", package="rabbitmq-server")
        done = subprocess.run(
            [program, "-q", "-n", self._node, *words], env=self._environment, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise process.ServerError(f"rabbitmqctl {words[0]}: {done.stderr or done.stdout}")
        return done.stdout
