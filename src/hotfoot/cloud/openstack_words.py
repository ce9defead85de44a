"""What OpenStack's services answer, in the operator's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERVICES = {
    "compute": "Nova",
    "placement": "Placement",
    "image": "Glance",
    "network": "Neutron",
    "identity": "Keystone",
    "block-storage": "Cinder",
}
"""The name that the operators know, by the service's type."""

_ID = r"[^/]+"
_MEANINGS: tuple[tuple[str, str], ...] = (
    (r"GET /servers/detail", "to list the instances of all projects"),
    (r"GET /servers", "to list the instances of all projects"),
    (rf"GET /servers/{_ID}", "to show the instance"),
    (rf"GET /servers/{_ID}/migrations(/{_ID})?", "to show the instance's migration"),
    (rf"DELETE /servers/{_ID}/migrations/{_ID}", "to abort the migration"),
    (rf"POST /servers/{_ID}/migrations/{_ID}/action", "to force the migration to complete"),
    (rf"POST /servers/{_ID}/action", "to do that with the instance"),
    (rf"GET /servers/{_ID}/os-instance-actions(/{_ID})?", "to show what was done with the instance"),
    (rf"GET /servers/{_ID}/os-volume_attachments", "to list the instance's volumes"),
    (rf"GET /servers/{_ID}/os-interface", "to list the instance's ports"),
    (rf"(POST|PUT|DELETE) /servers/{_ID}/metadata(/{_ID})?", "to write the instance's metadata"),
    (r"GET /os-hypervisors.*", "to list the hypervisors"),
    (r"GET /os-services", "to list the compute services"),
    (r"GET /os-aggregates", "to list the host aggregates"),
    (r"GET /os-server-groups", "to list the server groups of all projects"),
    (rf"GET /os-server-groups/{_ID}", "to show a server group"),
    (r"GET /os-migrations", "to list the migrations"),
    (r"GET /allocation_candidates", "to tell what the hosts have and use"),
    (rf"GET /resource_providers/{_ID}/inventories", "to tell what a host has"),
    (rf"GET /resource_providers/{_ID}/usages", "to tell what of a host is used"),
    (rf"GET /resource_providers/{_ID}/traits", "to tell a host's traits"),
    (r"GET /projects", "to list the projects"),
    (r"GET /ports", "to list the ports"),
)


_NO_ROLE = r"(?i)policy does(n't| not) allow|not authorized|disallowed by policy"
"""How Nova, Keystone and Neutron word a missing role; Nova's 403 can also mean a quota."""


@dataclass(frozen=True, slots=True)
class LoginWords:
    """Who logs in where, for sentences: never a password."""

    cloud: str
    auth_url: str
    user: str | None
    where: str
    """Where the login was read: clouds.yaml or the variables."""


def meaning(method: str, path: str) -> str:
    """Return what a call was to do: ``to abort the migration``; the call itself where no words are known."""
    call = f"{method} {path}"
    return next((words for pattern, words in _MEANINGS if re.fullmatch(pattern, call)), f"the call {call}")


def message_of(body: Any) -> str:
    """Return the service's own message from the body of a refusal, on one line; empty where there is none.

    Nova, Glance, Cinder and Keystone wrap it in one object (``{"conflictingRequest": {"message": ...}}``), as Neutron
    does (``NeutronError``); Placement follows the API guideline (``errors`` with ``detail``).
    """
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors")
    inner = errors[0] if isinstance(errors, list) and errors else next(iter(body.values()), None)
    if isinstance(inner, dict):
        text = inner.get("message") or inner.get("detail") or inner.get("title") or ""
    else:
        text = body.get("message") or (inner if isinstance(inner, str) else "")
    return " ".join(str(text).split())


def refused(
    about: LoginWords, method: str, service: str, path: str, status_code: int, message: str, request_id: str | None
) -> str:
    """Say that a service refused a call, why, and what to do."""
    name, what = SERVICES.get(service, service), meaning(method, path)
    number = f"HTTP {status_code}" + (f", request {request_id}" if request_id else "")
    if status_code == 401:
        return (
            f"{name} of cloud {about.cloud} does not accept the login, though Keystone did ({number}): compare the"
            " clocks of its hosts, and see its keystone_authtoken settings."
        )
    if status_code == 403 and (not message or re.search(_NO_ROLE, message)):
        who = f"user {about.user}" if about.user else "the login"
        return (
            f"{name} of cloud {about.cloud} does not allow {who} {what} ({number}): the role admin is needed, so use"
            f" credentials that have it (they are from {about.where})."
        )
    said = f": {message.rstrip('.')}" if message else ""
    if status_code >= 500:
        log = f"look for {request_id} in its log" if request_id else "look into its log"
        return f"{name} of cloud {about.cloud} failed {what} ({number}){said}; {log}."
    return f"{name} of cloud {about.cloud} refused {what} ({number}){said}."


def login_refused(about: LoginWords, error: Any) -> str:
    """Say that Keystone refused the login."""
    request_id = getattr(error, "request_id", None)
    number = f"HTTP {error.http_status}" + (f", request {request_id}" if request_id else "")
    if error.http_status == 401:
        who = f"user {about.user}" if about.user else "the credentials"
        return (
            f"Keystone of cloud {about.cloud} refuses {who} ({number}): check user, password, project and domains in"
            f" {about.where}."
        )
    if error.http_status == 404:
        return (
            f"There is no Keystone at {about.auth_url} ({number}): check auth_url of cloud {about.cloud} in"
            f" {about.where}; it usually ends in /v3."
        )
    said = f": {str(error.message).rstrip('.')}" if error.message else ""
    return f"Keystone of cloud {about.cloud} failed to log in {about.user or 'the user'} ({number}){said}."


def login_failed(about: LoginWords, error: Exception, timeout_s: float) -> str:
    """Say why there was no answer to the login, or no login to send."""
    kind = type(error).__name__
    if kind == "MissingRequiredOptions":
        return bad_entry(about.cloud, about.where, str(error))
    if kind == "DiscoveryFailure":  # its words hold those of what was tried
        text = str(error)
        if "timed out" in text:
            return _took_too_long(about.cloud, "identity", about.auth_url, error, timeout_s)
        if "Unable to establish connection" in text:
            return _no_connection("Keystone", about.auth_url, about.cloud, text)
        return (
            f"What answers at {about.auth_url} is no Keystone: check auth_url of cloud {about.cloud} in {about.where};"
            " it usually ends in /v3."
        )
    if kind in ("ConnectTimeout", "ConnectFailure", "SSLError"):
        return unreachable(about.cloud, "identity", about.auth_url, error, timeout_s)
    return f"The login to cloud {about.cloud} failed ({about.where}): {_one_line(error)}."


def unreachable(cloud: str, service: str, url: str | None, error: Exception, timeout_s: float) -> str:
    """Say that a service cannot be reached, and why."""
    name, kind = SERVICES.get(service, service), type(error).__name__
    at = f" at {_host(url)}" if url else ""
    if kind == "ConnectTimeout":
        return _took_too_long(cloud, service, url, error, timeout_s)
    if kind == "SSLError":
        return (
            f"The certificate of {name}{at} of cloud {cloud} is not trusted: name its authority by cacert in"
            " clouds.yaml, or by OS_CACERT."
        )
    if kind == "ConnectFailure":
        return _no_connection(name, url, cloud, str(error))
    if kind == "DiscoveryFailure":
        return f"{name}{at} of cloud {cloud} does not tell its versions; see whether it runs and the catalog is right."
    return f"{name}{at} of cloud {cloud} cannot be asked: {_one_line(error)}."


def _took_too_long(cloud: str, service: str, url: str | None, error: BaseException, timeout_s: float) -> str:
    """Tell a service that takes no connection, as behind a firewall, from one that is slow to answer.

    keystoneauth has one exception for both; the one that requests raised lies beneath it.
    """
    beneath: BaseException | None = error
    while beneath is not None:
        if type(beneath).__module__ == "requests.exceptions" and type(beneath).__name__ == "ConnectTimeout":
            at = f" at {_host(url)}" if url else ""
            return (
                f"{SERVICES.get(service, service)}{at} of cloud {cloud} takes no connection: see whether its host is"
                " up, and whether a firewall stands between."
            )
        beneath = beneath.__context__
    return silent(cloud, service, url, timeout_s)


def silent(cloud: str, service: str, url: str | None, timeout_s: float) -> str:
    """Say that a service took too long."""
    at = f" at {_host(url)}" if url else ""
    return (
        f"{SERVICES.get(service, service)}{at} of cloud {cloud} did not answer within {timeout_s:.0f} s: see whether it"
        " is up and how busy it is; `api_timeout` in clouds.yaml allows it more time."
    )


def no_json(cloud: str, service: str, url: str) -> str:
    """Say that what answered is no OpenStack service."""
    name = SERVICES.get(service, service)
    return f"What answers at {url} as {name} of cloud {cloud} does not speak JSON: check the catalog."


def endless(cloud: str, service: str, path: str) -> str:
    """Say that a list has no end."""
    return (
        f"The list {path} of {SERVICES.get(service, service)} of cloud {cloud} has no end: its pages repeat themselves."
    )


def no_service(cloud: str, service: str, region: str | None, regions: Sequence[str]) -> str:
    """Say that the catalog lacks a service."""
    where = f" in region {region}" if region else ""
    hint = f"; regions there: {', '.join(regions)}" if regions else ""
    return f"The catalog of cloud {cloud} has no {SERVICES.get(service, service)} ({service}){where}{hint}."


def no_versions(cloud: str, url: str | None) -> str:
    """Say that Nova did not tell its microversions."""
    return f"Nova of cloud {cloud} at {url} tells no microversions: check the compute endpoint of the catalog."


def too_old(cloud: str, offered: tuple[int, int], needed: tuple[int, int]) -> str:
    """Say what is missing in a Nova that is too old."""
    return (
        f"Nova of cloud {cloud} offers microversions up to {offered[0]}.{offered[1]}, but {needed[0]}.{needed[1]}"
        " (Nova 16, Pike) is needed: below it a named destination is not checked by the scheduler."
    )


def unknown_cloud(wanted: str | None, names: Sequence[str], file: Path | str | None) -> str:
    """Say that a cloud is not known, and which are."""
    if wanted is None or not names:
        lacking = f"no cloud {wanted}" if wanted else "no cloud"
        if file:
            return f"There is {lacking} in {file}: it has to hold `clouds:` with an entry for each cloud."
        return (
            f"There is {lacking} to log in to: put clouds.yaml into the current folder, ~/.config/openstack or"
            " /etc/openstack, or set the OS_* variables (an openrc file does)."
        )
    near = get_close_matches(wanted, names, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(names))}."
    return f"There is no cloud {wanted} in {file or 'the OS_* variables'}; {hint}"


def bad_clouds_file(file: Path | None, message: str) -> str:
    """Say that clouds.yaml cannot be used."""
    return f"{file or 'clouds.yaml'} cannot be used: {message.rstrip('.')}."


def bad_entry(cloud: str, file: str | None, message: str) -> str:
    """Say that the entry of a cloud is not complete."""
    lacking = re.search(r"parameters are required: (.*)", message)
    said = f"lacks {lacking[1].rstrip('.')}" if lacking else f"cannot be used: {' '.join(message.split()).rstrip('.')}"
    return f"The login of cloud {cloud} in {file or 'the OS_* variables'} {said}."


def _no_connection(name: str, url: str | None, cloud: str, text: str) -> str:
    at = f" at {_host(url)}" if url else ""
    return (
        f"{name}{at} of cloud {cloud} cannot be reached: {_connection_trouble(text)}; see whether it runs, and whether"
        " this machine reaches it."
    )


def _connection_trouble(text: str) -> str:
    for pattern, words in (
        (r"Connection refused", "connection refused"),
        (r"Name or service not known|Failed to resolve|No address associated", "its name has no address"),
        (r"No route to host|Network is unreachable", "no route to it"),
        (r"Connection aborted|reset by peer|RemoteDisconnected", "it closed the connection"),
    ):
        if re.search(pattern, text):
            return words
    return "the connection failed"


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
