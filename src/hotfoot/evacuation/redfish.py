"""A BMC that speaks Redfish, through OpenStack's sushy."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hotfoot.cluster.fence import Redfish
from hotfoot.evacuation.bmc import ANSWER_S, OFF, Refused, Silent


class RedfishBmc:
    """Implements ``bmc.Bmc``. The certificate is verified: whoever passes for a BMC could say that its host is off."""

    def __init__(self, redfish: Redfish, password: str) -> None:
        """``redfish``: for this host."""
        self._redfish = redfish
        self._password = password
        self._login: Any = None
        self._system: Any = None

    def power(self) -> str:
        """Read the power."""
        with self._told():
            if self._system is None:
                self._system = self._connect()
            self._system.refresh(force=True)
            told = self._system.json.get("PowerState")
            return {"Off": OFF, "On": "on"}.get(told, str(told))

    def force_off(self) -> None:
        """Order ForceOff."""
        import sushy

        with self._told():
            self._system.reset_system(sushy.RESET_FORCE_OFF)

    def leave(self) -> None:
        """End the session, of which many a BMC has few."""
        if self._login is not None:
            with suppress(Exception):
                self._login.close()

    def _connect(self) -> Any:
        import sushy
        from sushy.auth import SessionOrBasicAuth

        # What goes wrong is in the exceptions; Python would print sushy's warnings beside them.
        logger = logging.getLogger("sushy")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        self.leave()
        self._login = SessionOrBasicAuth(self._redfish.user, self._password)
        root = sushy.Sushy(
            self._redfish.address,
            auth=self._login,
            verify=self._trusted(),
            server_side_retries=1,  # whoever asks, asks again
            server_side_retries_delay=1,
            connect_timeout=ANSWER_S,
            read_timeout=ANSWER_S,
        )
        path = self._redfish.system
        if path is None:
            found = root.get_system_collection().members_identities
            if len(found) != 1:
                raise Refused(
                    f"has {len(found)} systems, so that it must be told which is the host (fence.redfish.system):"
                    f" {', '.join(found[:8])}"
                )
            (path,) = found
        return root.get_system(path)

    def _trusted(self) -> str:
        """Return the file or folder of the certificates that are trusted: never none, and never all."""
        file = self._redfish.ca_file
        if file is not None:
            try:
                ssl.create_default_context(cafile=str(file))
            except OSError as error:
                why = "holds no certificate (PEM)" if isinstance(error, ssl.SSLError) else error.strerror
                raise Refused(f"cannot be verified: {file} {why}") from None
            return str(file)
        ours = ssl.get_default_verify_paths()  # requests would take certifi's, not those of this machine
        found = ours.cafile or ours.capath
        if found is None:
            raise Refused("cannot be verified: this machine trusts no certificates; give a ca_file")
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what sushy raises into words; the password is in none of them."""
        from sushy import exceptions

        user, file = self._redfish.user, self._redfish.password_file
        try:
            yield
        except (Refused, Silent):
            raise
        except exceptions.AccessError as error:
            if error.status_code == 403:
                raise Refused(f"does not permit that to its user {user}") from None
            raise Refused(f"does not accept the user {user} with the password in {file}") from None
        except exceptions.ResourceNotFoundError as error:
            raise Refused(f"has no such system ({self._clean(str(error))})") from None
        except exceptions.ConnectionError as error:
            self._unverified(error)
            raise Silent(f"did not answer ({_in_short(_root(error))})") from None
        except exceptions.ServerSideError as error:
            raise Silent(f"answered with HTTP status {error.status_code}") from None
        except exceptions.HTTPError as error:
            raise Refused(f"refused with HTTP status {error.status_code}{self._detail(error)}") from None
        except Exception as error:
            raise Refused(f"did not answer as Redfish does ({self._clean(_in_short(error))})") from None

    def _unverified(self, error: BaseException) -> None:
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            raise Refused(f"has a certificate that is not trusted ({root.verify_message})") from None

    def _detail(self, error: Any) -> str:
        told = getattr(error, "detail", None)
        return f" ({self._clean(str(told))})" if told else ""

    def _clean(self, text: str) -> str:
        return text.replace(self._password, "***")[:200]


def _root(error: BaseException) -> BaseException:
    """Return what began it: requests and urllib3 wrap errors in several ways."""
    seen = {id(error)}
    while True:
        inner = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        found = next((one for one in inner if isinstance(one, BaseException) and id(one) not in seen), None)
        if found is None:
            return error
        seen.add(id(found))
        error = found


def _in_short(error: BaseException) -> str:
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return text if isinstance(error, OSError) else f"{type(error).__name__}: {text}"
