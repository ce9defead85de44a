"""A BMC that speaks IPMI 2.0 over the network, through OpenStack's pyghmi."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hotfoot.cluster.fence import Ipmi
from hotfoot.evacuation.bmc import OFF, Refused, Silent

_LONGEST_PASSWORD_BYTES = 20
_SILENCE = ("timeout", "None", "Session no longer connected", "Session failed to initialize", "Insufficient resources")
"""How the words of pyghmi begin where the BMC did not answer, or has no session left."""


class IpmiBmc:
    """Implements ``bmc.Bmc``. Both sides prove that they know the password, and every answer is signed with it."""

    def __init__(self, ipmi: Ipmi, password: str) -> None:
        """``ipmi``: for this host."""
        self._ipmi = ipmi
        self._password = password
        self._command: Any = None

    def power(self) -> str:
        """Read the power."""
        with self._told():
            if self._command is None:
                self._command = self._connect()
            told = str(self._command.get_power()["powerstate"])
            return OFF if told == "off" else told

    def force_off(self) -> None:
        """Order the power down."""
        with self._told():
            self._command.set_power("off", wait=False)

    def leave(self) -> None:
        """End the session, of which many a BMC has few."""
        command, self._command = self._command, None
        if command is not None:
            with suppress(Exception):
                command.ipmi_session.logout()

    def _connect(self) -> Any:
        from pyghmi.ipmi.command import Command

        if len(self._password.encode()) > _LONGEST_PASSWORD_BYTES:
            raise Refused(f"takes passwords of at most {_LONGEST_PASSWORD_BYTES} bytes, as IPMI has it")
        ipmi = self._ipmi
        # Bytes: pyghmi 1.6 never forgets a session that began with text, and hands out the dead one the next time.
        return Command(bmc=ipmi.address, userid=ipmi.user.encode(), password=self._password.encode(), port=ipmi.port)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what pyghmi raises into words; the password is in none of them."""
        from pyghmi.exceptions import IpmiException

        user, file = self._ipmi.user, self._ipmi.password_file
        try:
            yield
        except Refused:
            raise
        except IpmiException as error:
            self._command = None  # its session may be broken: the next one begins anew
            told = str(error)
            if told.startswith(_SILENCE):
                raise Silent("did not answer") from None
            if told.startswith(("Incorrect password", "Unauthorized name")):
                raise Refused(f"does not accept the user {user} with the password in {file}") from None
            raise Refused(f"refused ({told.replace(self._password, '***')[:200]})") from None
        except OSError as error:
            self._command = None
            raise Silent(f"cannot be reached ({error.strerror or type(error).__name__})") from None
        except Exception as error:
            self._command = None
            raise Refused(f"did not answer as IPMI 2.0 does ({type(error).__name__})") from None
