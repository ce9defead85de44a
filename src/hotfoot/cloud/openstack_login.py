"""From a cloud's name to a session that is logged in: clouds.yaml, ``OS_*``, the catalog, what Nova offers."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import ConfigException

from hotfoot.cloud import openstack_words as words
from hotfoot.cloud.openstack_words import LoginWords
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from keystoneauth1.identity.base import BaseIdentityPlugin

_VERSION_OF = {"identity": "v3", "image": "v2", "network": "v2.0", "block-storage": "v3"}
"""What is put behind an address of the catalog that names no version."""


@dataclass(frozen=True, slots=True)
class Login:
    """A session, and what is known of the cloud behind it."""

    about: LoginWords
    config: CloudRegion
    session: Session
    compute_url: str
    microversion: tuple[int, int]
    """The highest that Nova offers."""
    api_timeout_s: float | None
    """What clouds.yaml says (``api_timeout``); None where it says nothing."""

    @property
    def cloud(self) -> str:
        """The cloud's name, for sentences."""
        return self.about.cloud

    def root_of(self, service: str) -> str:
        """Return the address of a service with its version, without a slash at its end. Raises HotfootError."""
        url = _in_catalog(self.config, self.session, self.cloud, service)
        version = _VERSION_OF.get(service)
        url = url.rstrip("/")
        if version is None or re.search(r"/v\d", urlsplit(url).path):
            return url
        return f"{url}/{version}"


def log_in(
    cloud: str | None, region: str | None, clouds_file: Path | None, connect_timeout_s: float, timeout_s: float
) -> Login:
    """Log in to Keystone, and ask Nova which versions it offers; blocking. Raises HotfootError."""
    config = _configured(cloud, region, clouds_file)
    auth = config.get_auth_args()
    about = LoginWords(
        cloud=config.name or "envvars",
        auth_url=str(auth.get("auth_url") or ""),
        user=auth.get("username") or auth.get("user_id") or auth.get("application_credential_id"),
        where=_where(config, clouds_file),
    )
    api_timeout = config.config.get("api_timeout")
    timeout_s = float(api_timeout or timeout_s)
    try:
        session = config.get_session()
        # Both, as requests takes them: keystoneauth hands on what it is given.
        session.timeout = (min(connect_timeout_s, timeout_s), timeout_s)  # type: ignore[assignment]
        session.get_token()
    except keystone.HttpError as error:
        raise HotfootError(words.login_refused(about, error)) from None
    except (keystone.ClientException, ConfigException) as error:
        raise HotfootError(words.login_failed(about, error, timeout_s)) from None
    compute_url, microversion = _nova(config, session, about, timeout_s)
    return Login(
        about=about,
        config=config,
        session=session,
        compute_url=compute_url,
        microversion=microversion,
        api_timeout_s=float(api_timeout) if api_timeout else None,
    )


def _configured(cloud: str | None, region: str | None, clouds_file: Path | None) -> CloudRegion:
    if clouds_file is not None and not os.access(clouds_file, os.R_OK):
        raise HotfootError(f"{clouds_file} cannot be read: the cloud's address and login are taken from it.")
    try:
        found = (
            OpenStackConfig()
            if clouds_file is None
            else OpenStackConfig(
                config_files=[str(clouds_file)],
                secure_files=[str(clouds_file.with_name(f"secure{clouds_file.suffix}"))],
            )
        )
    except ConfigException as error:
        raise HotfootError(words.bad_clouds_file(clouds_file, str(error)), ExitStatus.USAGE) from None
    names = [name for name in found.get_cloud_names() if name != "defaults"]
    wanted = cloud or found.default_cloud
    if not names or wanted not in names:
        file = found.config_filename
        raise HotfootError(
            words.unknown_cloud(wanted if wanted != "defaults" else None, names, file or clouds_file), ExitStatus.USAGE
        )
    try:
        return found.get_one(cloud=wanted, region_name=region)
    except (ConfigException, keystone.ClientException) as error:
        raise HotfootError(words.bad_entry(wanted, found.config_filename, str(error)), ExitStatus.USAGE) from None


def _where(config: CloudRegion, clouds_file: Path | None) -> str:
    if clouds_file is not None:
        return str(clouds_file)
    return "the OS_* variables" if config.name == "envvars" else "clouds.yaml"


def _nova(config: CloudRegion, session: Session, about: LoginWords, timeout_s: float) -> tuple[str, tuple[int, int]]:
    """Return Nova's address and the highest microversion that it offers."""
    adapter = Adapter(
        session,
        service_type="compute",
        interface=config.get_interface("compute"),
        region_name=config.get_region_name("compute"),
        endpoint_override=config.get_endpoint("compute"),
        min_version="2.1",
        max_version="2.latest",
    )
    url = _in_catalog(config, session, about.cloud, "compute")
    try:
        data = adapter.get_endpoint_data()
    except keystone.ClientException as error:
        raise HotfootError(words.unreachable(about.cloud, "compute", url, error, timeout_s)) from None
    newest = data.max_microversion if data else None
    if data is None or not data.url or newest is None:
        raise HotfootError(words.no_versions(about.cloud, url))
    return data.url.rstrip("/"), (int(newest[0]), int(newest[1]))


def _in_catalog(config: CloudRegion, session: Session, cloud: str, service: str) -> str:
    """Return the address of a service as configured, or as the catalog has it. Raises HotfootError."""
    region, url = config.get_region_name(service), config.get_endpoint(service)
    with suppress(keystone.EndpointNotFound):
        url = url or session.get_endpoint(
            service_type=service, interface=config.get_interface(service), region_name=region, skip_discovery=True
        )
    if not url:
        raise HotfootError(words.no_service(cloud, service, region, _regions(session)))
    return url


def _regions(session: Session) -> list[str]:
    """Return the regions of the catalog."""
    with suppress(keystone.ClientException):
        plugin = cast("BaseIdentityPlugin", session.auth)
        entries = plugin.get_access(session).service_catalog.catalog
        return sorted(
            {str(each.get("region_id") or each.get("region")) for entry in entries for each in entry["endpoints"]}
        )
    return []
