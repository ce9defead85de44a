"""A double of a whole OpenStack cloud that changes as it is told: three hosts, servers that move, services that stop.

It answers over real HTTP. The real cloud is tried in tests/lab; this one refuses, fails and dies at will.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from tests.cloud.openstack_double import Answer, Asked, CloudDouble
from tests.cloud.test_openstack_values import hypervisor, server, service

HOST = "OS-EXT-SRV-ATTR:host"
TASK = "OS-EXT-STS:task_state"


def uuid_of(name: str) -> str:
    """Return the UUID that a thing of this name has."""
    return str(uuid5(NAMESPACE_DNS, name))


@dataclass
class ComputeHost:
    """One host: 16 VCPU by overcommitment, 8 GiB."""

    name: str
    zone: str = "nova"
    enabled: bool = True
    reason: str | None = None
    state: str = "up"
    forced_down: bool = False
    traits: list[str] = field(default_factory=list)
    memory_mib: int = 8192

    @property
    def down(self) -> bool:
        """Whether Nova takes it for dead."""
        return self.state == "down" or self.forced_down


class WholeNovaDouble(CloudDouble):
    """Hosts n1 to n3; ``add`` makes servers. Moves end at once, as ``fails`` says; cold ones wait to be confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = {name: ComputeHost(name) for name in ("n1", "n2", "n3")}
        self.servers: dict[str, dict[str, Any]] = {}
        self.groups: list[dict[str, Any]] = []
        self.aggregates: list[dict[str, Any]] = []
        self.others: dict[str, dict[str, dict[str, int]]] = {}
        """Host to consumer to what is allocated: beside the servers."""
        self.fails: dict[tuple[str, str], str] = {}
        """Server's name and destination: what Nova says, having accepted the move."""
        self.records: list[dict[str, Any]] = []
        self.evacuated_with: list[str] = []
        """The microversions of the evacuations."""
        self.errors: dict[str, str] = {}
        self.cold: list[tuple[str, str]] = []
        """Servers' names and what was asked of their cold migrations, in order."""
        self.held = False
        """Whether cold migrations are under way until ``release``."""

    def add(self, name: str, host: str, **changed: Any) -> None:
        """Add a server of 2 VCPU and 512 MiB, that boots from a volume."""
        volumes = {"os-extended-volumes:volumes_attached": [{"id": uuid_of(f"{name}-volume")}]}
        made = server(id=uuid_of(name), name=name, **{HOST: host, "image": "", **volumes, **changed})
        self.servers[made["id"]] = {**made, "server_groups": []}

    def group(self, name: str, policy: str, *members: str) -> None:
        """Bind servers by a server group."""
        ids = [uuid_of(member) for member in members]
        self.groups.append({"id": uuid_of(name), "name": name, "policy": policy, "members": ids})
        for each in ids:
            self.servers[each]["server_groups"] = [uuid_of(name)]

    @property
    def where(self) -> dict[str, str]:
        """Where each server is, by name."""
        return {str(each["name"]): str(each[HOST]) for each in self.servers.values()}

    def answer(self, asked: Asked) -> Answer:
        """Answer as Nova, Placement or Keystone."""
        path = asked.path
        for root, of in (("/compute/v2.1", self._nova), ("/placement", self._placement)):
            if path.startswith(f"{root}/") and f"{asked.method} {path}" not in self.routes:
                return of(asked, path.removeprefix(root))
        if path == "/identity/v3/projects":
            return Answer(body={"projects": [{"id": "p1", "name": "shop"}], "links": {"next": None}})
        if path.startswith("/identity/v3/projects/"):
            return Answer(body={"project": {"id": "p1", "name": "shop"}})
        return super().answer(asked)

    def _nova(self, asked: Asked, path: str) -> Answer:
        lists: dict[str, Any] = {
            "/servers/detail": lambda: {"servers": [*self.servers.values()]},
            "/servers": lambda: {
                "servers": [
                    {"id": each["id"], "name": each["name"]}
                    for each in self.servers.values()
                    if re.search(asked.params.get("name", ""), each["name"])
                ]
            },
            "/os-services": lambda: {"services": [self._service(host) for host in self.hosts.values()]},
            "/os-hypervisors/detail": lambda: {"hypervisors": [self._hypervisor(host) for host in self.hosts.values()]},
            "/os-aggregates": lambda: {"aggregates": self.aggregates},
            "/os-server-groups": lambda: {"server_groups": self.groups},
            "/os-migrations": lambda: {
                "migrations": [one for one in self.records if one["instance_uuid"] == asked.params.get("instance_uuid")]
            },
        }
        if path in lists:
            return Answer(body=lists[path]())
        kind, _, rest = path.strip("/").partition("/")
        if kind == "os-services":
            return self._tell_service(rest, asked.body)
        if kind == "os-server-groups":
            return Answer(body={"server_group": next(each for each in self.groups if each["id"] == rest)})
        uuid, _, what = rest.partition("/")
        if kind != "servers" or uuid not in self.servers:
            return Answer(404, {"itemNotFound": {"code": 404, "message": f"no {path}"}})
        return self._of_server(asked, self.servers[uuid], what)

    def _of_server(self, asked: Asked, one: dict[str, Any], what: str) -> Answer:
        if what == "action":
            return self._act(asked, one)
        if what.startswith("metadata"):
            metadata: dict[str, str] = one["metadata"]
            if asked.method == "POST":
                metadata.update(asked.body["metadata"])
            elif asked.method == "DELETE":
                metadata.pop(what.rpartition("/")[2], None)
                return Answer(204)
            return Answer(body={"metadata": metadata})
        if what == "diagnostics":
            if one["OS-EXT-STS:power_state"] != 1:
                message = f"Cannot get diagnostics of {one['name']} while it is in power state 4."
                return Answer(409, {"conflictingRequest": {"code": 409, "message": message}})
            return Answer(body={"state": "running"})
        request = {"action": "live-migration", "request_id": "req-1"}
        failure = {"result": "Error", "finish_time": "", "details": self.errors.get(one["id"], "")}
        bodies: dict[str, Any] = {
            "": {"server": one},
            "migrations": {"migrations": []},
            "os-volume_attachments": {"volumeAttachments": []},
            "os-interface": {"interfaceAttachments": []},
            "os-instance-actions": {"instanceActions": []},
            "os-instance-actions/req-1": {"instanceAction": {**request, "events": [failure]}},
        }
        if self.errors.get(one["id"]):
            actions = [request, {**request, "action": "evacuate"}]
            bodies["os-instance-actions"] = {"instanceActions": actions}
        return Answer(body=bodies[what])

    def _act(self, asked: Asked, one: dict[str, Any]) -> Answer:
        ((verb, told),) = asked.body.items()
        if verb in ("migrate", "confirmResize", "revertResize"):
            return self._act_cold(one, verb, told)
        destination = told["host"]
        if verb == "evacuate":
            if not self.hosts[one[HOST]].down:
                message = f"Compute service of {one[HOST]} is still in use."
                return Answer(400, {"badRequest": {"code": 400, "message": message}})
            self.evacuated_with.append(asked.headers["OpenStack-API-Version"])
        wrong = self.fails.get((str(one["name"]), destination))
        if wrong is None and not self.hosts[destination].enabled:
            wrong = "No valid host was found. "
        done = "done" if verb == "evacuate" else "completed"
        self.records.append(
            {
                "id": len(self.records) + 1,
                "status": "error" if wrong else done,
                "instance_uuid": one["id"],
                "source_compute": one[HOST],
                "dest_compute": destination,
                "migration_type": "evacuation" if verb == "evacuate" else "live-migration",
            }
        )
        if wrong:
            self.errors[one["id"]] = wrong
        else:
            one[HOST] = destination
        return Answer(202 if verb != "evacuate" else 200)

    def _act_cold(self, one: dict[str, Any], verb: str, told: Any) -> Answer:
        self.cold.append((str(one["name"]), verb))
        if verb == "migrate":
            self.half_way(str(one["name"]), told["host"])
            return Answer(202)
        records = [each for each in self.records if each["instance_uuid"] == one["id"]]
        if one["status"] != "VERIFY_RESIZE":
            return Answer(409, {"conflictingRequest": {"code": 409, "message": "There is nothing to confirm."}})
        record = records[-1]
        record["status"] = "confirmed" if verb == "confirmResize" else "reverted"
        one["status"] = "SHUTOFF" if one["OS-EXT-STS:power_state"] == 4 else "ACTIVE"
        one[HOST] = record["dest_compute" if verb == "confirmResize" else "source_compute"]
        return Answer(204 if verb == "confirmResize" else 202)

    def half_way(self, name: str, destination: str) -> None:
        """Put a server onto the destination of a cold migration, where it waits to be confirmed."""
        one = self.servers[uuid_of(name)]
        self.records.append(
            {
                "id": len(self.records) + 1,
                "status": "finished",
                "instance_uuid": one["id"],
                "source_compute": one[HOST],
                "dest_compute": destination,
                "migration_type": "migration",
            }
        )
        if self.held:
            self.records[-1]["status"], one["status"], one[TASK] = "migrating", "RESIZE", "resize_migrating"
        else:
            one["status"], one[HOST] = "VERIFY_RESIZE", destination

    def release(self) -> None:
        """Let the cold migrations that are held come to where they wait to be confirmed."""
        self.held = False
        for record in self.records:
            if record["status"] == "migrating":
                one = self.servers[record["instance_uuid"]]
                record["status"], one["status"], one[TASK] = "finished", "VERIFY_RESIZE", None
                one[HOST] = record["dest_compute"]

    def _tell_service(self, service_id: str, told: dict[str, Any]) -> Answer:
        host = next(each for each in self.hosts.values() if uuid_of(f"{each.name}-service") == service_id)
        if "status" in told:
            host.enabled = told["status"] == "enabled"
            host.reason = told.get("disabled_reason")
        host.forced_down = told.get("forced_down", host.forced_down)
        return Answer(body={"service": self._service(host)})

    def _service(self, host: ComputeHost) -> dict[str, Any]:
        return service(
            id=uuid_of(f"{host.name}-service"), host=host.name, zone=host.zone,
            status="enabled" if host.enabled else "disabled", disabled_reason=host.reason,
            state="down" if host.down else "up", forced_down=host.forced_down,
        )  # fmt: skip

    def _hypervisor(self, host: ComputeHost) -> dict[str, Any]:
        return hypervisor(
            id=uuid_of(host.name), hypervisor_hostname=host.name, host_ip="", state="down" if host.down else "up",
            service={"host": host.name, "id": uuid_of(f"{host.name}-service"), "disabled_reason": host.reason},
        )  # fmt: skip

    def _allocations(self, host: ComputeHost) -> dict[str, dict[str, dict[str, int]]]:
        found = {
            str(one["id"]): {"resources": {"VCPU": one["flavor"]["vcpus"], "MEMORY_MB": one["flavor"]["ram"]}}
            for one in self.servers.values()
            if one[HOST] == host.name
        }
        return found | {consumer: {"resources": taken} for consumer, taken in self.others.get(host.name, {}).items()}

    def _placement(self, _asked: Asked, path: str) -> Answer:
        hosts = {uuid_of(host.name): host for host in self.hosts.values()}
        if path == "/allocation_candidates":
            summaries = {
                provider: {
                    "resources": {
                        "VCPU": {"capacity": 16, "used": 0},
                        "MEMORY_MB": {"capacity": host.memory_mib, "used": 0},
                    },
                    "traits": host.traits,
                }
                for provider, host in hosts.items()
            }
            return Answer(body={"provider_summaries": summaries})
        if path.startswith("/allocations/"):
            return Answer(body={"allocations": {}})
        _, _, provider, what = path.split("/")
        host = hosts[provider]
        if what == "allocations":
            return Answer(body={"allocations": self._allocations(host)})
        vcpus = {"total": 4, "reserved": 0, "allocation_ratio": 4.0, "max_unit": 4}
        memory = {"total": host.memory_mib, "reserved": 0, "allocation_ratio": 1.0, "max_unit": host.memory_mib}
        return Answer(body={"inventories": {"VCPU": vcpus, "MEMORY_MB": memory}})
