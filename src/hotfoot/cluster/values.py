"""Single values of a cluster file: how each is checked and brought into its one spelling.

A checker raises ValueError with a phrase that begins with "must be" or goes on from the key's name.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from hotfoot.cluster.duration import DURATION_EXAMPLES, DURATION_PATTERN, parse_duration_ms
from hotfoot.cluster.keys import Checked, Read, Whole
from hotfoot.cluster.rate import RATE_EXAMPLES, RATE_PATTERN, parse_rate

# Underscores: not in RFC 1123, yet in many a data centre.
_DNS_NAME = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?"
_SMALLEST_BANDWIDTH_BYTES_PER_S = 125_000
# Both would end or split a word of an ssh_config file, where there is no way to escape them.
_UNSAFE_IN_PATH = re.compile(r'["\x00-\x1f\x7f]|\$\{')


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", text) is None:
        raise ValueError(f'must be made of letters, digits, ".", "_" and "-", not "{text}"')
    return text


def _user(text: str) -> str:
    # Never a leading dash (ssh would read an option) and nothing that ssh_config splits or expands.
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,255}", text) is None:
        raise ValueError(f'must be a user name, not "{text}"')
    return text


def _cloud(text: str) -> str:
    if re.fullmatch(r"[^\x00-\x1f\x7f]{1,255}", text) is None or text != text.strip():
        raise ValueError(f'must be a name as clouds.yaml has it, not "{text}"')
    return text


def _address(text: str) -> str:
    """Give an IP address in its one canonical spelling, or a DNS name in lower case."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        looks_numeric = re.fullmatch(r"[0-9.]+|.*:.*", text) is not None
        if looks_numeric or len(text) > 253 or re.fullmatch(_DNS_NAME, text) is None:
            raise ValueError(f'must be an IP address or a DNS name, not "{text}"') from None
        return text.lower().rstrip(".")
    if ip.is_unspecified or ip.is_multicast or "%" in text:
        raise ValueError(f'must be an address that other hosts can reach, not "{text}"')
    return str(ip)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'must be a network such as 10.77.0.0/24, not "{text}"') from None
    raise ValueError(f'must be the address of a network, not of one host: write {meant} instead of "{text}"')


def _source(text: str) -> str:
    return _network(text) if "/" in text else _ip(text)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f'must be an IP address or a network, not "{text}"') from None


def _path(value: object, folder: Path | None) -> object:
    """Resolve ``~`` and what is relative to the cluster file's folder."""
    if not isinstance(value, str):
        if isinstance(value, Path):
            return value
        raise ValueError("must be the path of a file or folder")
    if not value or _UNSAFE_IN_PATH.search(value):
        raise ValueError("must be a path that is not empty, without quotes, control characters and ${")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f'begins with "~" of a user whom this machine does not know: "{value}"') from None
    return folder / path if folder is not None else path


def _host_path(text: str) -> str:
    if not text.startswith("/") or any(part == ".." for part in text.split("/")):
        raise ValueError(f'must be an absolute path on the hosts, not "{text}"')
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def _mount_source(text: str) -> str:
    if re.fullmatch(r"[^\s\\\"'#]+", text) is None:
        raise ValueError(f'must be what is mounted, such as nas:/srv/instances, not "{text}"')
    return text


def _uuid(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is None:
        raise ValueError(f'must be a UUID such as printed by uuidgen, not "{text}"')
    return text.lower()


def _portal(text: str) -> str:
    found = re.fullmatch(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s]+)(:(?P<port>[0-9]{1,5}))?", text)
    if found is None or not 0 < int(found["port"] or 3260) < 65536:
        raise ValueError(f'must be an address with or without a port, such as 10.0.0.9:3260, not "{text}"')
    address = _address(found["host"].strip("[]"))
    return f"[{address}]:{found['port'] or 3260}" if ":" in address else f"{address}:{found['port'] or 3260}"


def _target(text: str) -> str:
    if re.fullmatch(r"(iqn\.[0-9]{4}-[0-9]{2}\.|eui\.|naa\.)[A-Za-z0-9.:-]{1,200}", text) is None:
        raise ValueError(f'must be the name of an iSCSI target, such as iqn.2020-01.org.example:disks, not "{text}"')
    return text.lower()


def _chap_user(text: str) -> str:
    if re.fullmatch(r"[\x21-\x7e]{1,200}", text) is None:
        raise ValueError(f'must be a name without blanks, as the target has it, not "{text}"')
    return text


def _fence_word(text: str) -> str:
    for name in re.findall(r"\{(\w+)\}", text):
        if name not in ("host", "address"):
            raise ValueError(f"may have {{host}} and {{address}} in it, not {{{name}}}")
    return text


def in_place(text: str, host: str, address: str) -> str:
    """Return a text of the fence section for one host."""
    return text.replace("{host}", host).replace("{address}", address)


def _bmc_address(text: str) -> str:
    example = in_place(_fence_word(text), "n1", "n1")
    try:
        _address(example)
    except ValueError:
        raise ValueError(
            f'must be an IP address or a DNS name, such as {{host}}-bmc.example.org, not "{text}"'
        ) from None
    return text


def _bmc_url(text: str) -> str:
    if "@" in text:
        raise ValueError('must be without a user: "user" and "password_file" say who logs in')
    found = re.fullmatch(r"https://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/?#]+)(:(?P<port>[0-9]{1,5}))?/?", text)
    if found is None or not 0 < int(found["port"] or 443) < 65536:
        raise ValueError(f'must be https:// and a host, such as https://{{host}}-bmc.example.org, not "{text}"')
    _bmc_address(found["host"].strip("[]"))
    return text.removesuffix("/")


def _redfish_path(text: str) -> str:
    if re.fullmatch(r"/redfish/v1/Systems/(?!\.)[A-Za-z0-9._~:{}-]+/?", text) is None:
        raise ValueError(f'must be the path of a system, such as /redfish/v1/Systems/1, not "{text}"')
    return _fence_word(text)


def _bmc_user(text: str) -> str:
    if re.fullmatch(r"[\x21-\x7e]{1,200}", text) is None:
        raise ValueError(f'must be a name without blanks, as the BMC has it, not "{text}"')
    return text


def _ipmi_user(text: str) -> str:
    if len(_bmc_user(text)) > 16:
        raise ValueError(f'must be at most 16 characters long, as IPMI has it, not "{text}"')
    return text


def _bandwidth(value: object, _folder: Path | None) -> object:
    if isinstance(value, bool) or not isinstance(value, str):
        raise ValueError(f"must be a rate with its unit, such as {' or '.join(RATE_EXAMPLES)}")
    rate = parse_rate(value)
    if rate < _SMALLEST_BANDWIDTH_BYTES_PER_S:
        raise ValueError("must be at least 1Mbit/s; leave the key out for no limit")
    return rate


def duration_text(value: object) -> str:
    """Return a duration that was written as text; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str):
        raise ValueError(f"must be a duration with its unit, such as {' or '.join(DURATION_EXAMPLES)}")
    return value


def _duration(value: object, _folder: Path | None) -> object:
    return parse_duration_ms(duration_text(value))


Name = Annotated[str, Checked(_name)]
DURATION_AS_TEXT = {"type": "string", "pattern": DURATION_PATTERN, "examples": list(DURATION_EXAMPLES)}
Duration = Annotated[int, Read(_duration, DURATION_AS_TEXT)]
Address = Annotated[str, Checked(_address)]
LocalPath = Annotated[Path, Read(_path)]
ChapUser = Annotated[str, Checked(_chap_user)]
Port = Annotated[int, Whole(1, 65535)]
Rate = Annotated[int, Read(_bandwidth, {"type": "string", "pattern": RATE_PATTERN, "examples": list(RATE_EXAMPLES)})]
User = Annotated[str, Checked(_user)]
CloudName = Annotated[str, Checked(_cloud)]
Network = Annotated[str, Checked(_network)]
Source = Annotated[str, Checked(_source)]
HostPath = Annotated[str, Checked(_host_path)]
MountSource = Annotated[str, Checked(_mount_source)]
Uuid = Annotated[str, Checked(_uuid)]
Portal = Annotated[str, Checked(_portal)]
Target = Annotated[str, Checked(_target)]
FenceWord = Annotated[str, Checked(_fence_word)]
BmcAddress = Annotated[str, Checked(_bmc_address)]
BmcUrl = Annotated[str, Checked(_bmc_url)]
BmcUser = Annotated[str, Checked(_bmc_user)]
IpmiUser = Annotated[str, Checked(_ipmi_user)]
RedfishPath = Annotated[str, Checked(_redfish_path)]
