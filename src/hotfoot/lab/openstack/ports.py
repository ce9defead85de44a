"""Neutron's mechanism driver of the lab: a port is a tap on whichever host, and the host puts it under its bridge.

Nova 34 no longer plugs into Linux bridges, and this machine's kernel may have no Open vSwitch. What Nova does plug
everywhere is a bare tap, as Calico uses it; systemd-networkd of a lab host then makes each a port of br0.
"""

from __future__ import annotations

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api


class TapMechanismDriver(api.MechanismDriver):  # type: ignore[misc]
    """Binds every port on every host; there is no agent that could be asked."""

    def initialize(self) -> None:
        """Do nothing: there is nothing to keep."""

    def bind_port(self, context: api.PortContext) -> None:
        """Bind to the network's own segment; the port is up at once, since nobody would tell later."""
        context.set_binding(
            context.segments_to_bind[0][api.ID],
            portbindings.VIF_TYPE_TAP,
            {portbindings.CAP_PORT_FILTER: False},
            status=constants.PORT_STATUS_ACTIVE,
        )

    def update_port_postcommit(self, context: api.PortContext) -> None:
        """Have a bound port be up: that of an instance that moved live is down until an agent, which none is, tells."""
        port = context.current
        if context.vif_type == portbindings.VIF_TYPE_TAP and port["status"] == constants.PORT_STATUS_DOWN:
            directory.get_plugin().update_port_status(
                context.plugin_context, port["id"], constants.PORT_STATUS_ACTIVE, context.host
            )
