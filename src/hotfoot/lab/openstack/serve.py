"""Serves one of OpenStack's APIs by HTTP: ``serve.py NAME MODULE ADDRESS PORT PROCESSES``.

The module has the application. Several processes answer one request at a time each, as under uWSGI, by which most
clouds serve them; a single one has threads.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from gunicorn.app.base import BaseApplication

name, module, address, port, processes = sys.argv[1:]
# The services read their name and options here while they are imported.
sys.argv = [name]
_OPTIONS = {
    "bind": f"{address}:{port}",
    "workers": int(processes),
    "threads": 1 if int(processes) > 1 else 8,
    "timeout": 300,
    "keepalive": 300,
    # Nova names 150 servers to Neutron in one address, which is longer than what is let in by default.
    "limit_request_line": 0,
    "control_socket_disable": True,
}


class Api(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """One API, which each process loads for itself: what it opens to a database is never shared."""

    def load_config(self) -> None:
        """Set how it is served."""
        for option, value in _OPTIONS.items():
            self.cfg.set(option, value)

    def load(self) -> Any:
        """Return the application."""
        application = importlib.import_module(module).application
        if module.startswith("neutron."):
            # Listing ports needs this table's class, which only a plug-in that is not loaded would bring.
            importlib.import_module("neutron.db.models.port_forwarding")
            importlib.import_module("sqlalchemy.orm").configure_mappers()
        return application


Api().run()
