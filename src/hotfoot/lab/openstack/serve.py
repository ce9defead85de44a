"""Serves one of OpenStack's APIs by HTTP: ``serve.py NAME MODULE ADDRESS PORT``; the module has the application."""

from __future__ import annotations

import importlib
import sys

import waitress

name, module, address, port = sys.argv[1:]
# The services read their name and options here while they are imported.
sys.argv = [name]
application = importlib.import_module(module).application
if module.startswith("neutron."):
    # Listing ports needs this table's class, which only a plug-in that is not loaded would bring.
    importlib.import_module("neutron.db.models.port_forwarding")
    importlib.import_module("sqlalchemy.orm").configure_mappers()
waitress.serve(application, host=address, port=int(port), threads=8, ident=None, channel_timeout=300)
