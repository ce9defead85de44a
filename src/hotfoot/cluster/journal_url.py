"""Where a journal lies, as a URL. Pure."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit, urlunsplit

_POSTGRESQL = ("postgresql", "postgres")


def check_journal_url(text: str) -> str:
    """Return the URL; raises ValueError, without a password in it, for one that names no journal."""
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        raise ValueError("is not a URL such as postgresql://hotfoot@db.example.org/hotfoot") from None
    if parts.scheme == "sqlite":
        if parts.netloc or not parts.path.startswith("//") or parts.query:
            raise ValueError("must name a file by its whole path: sqlite:////var/lib/hotfoot/journal.sqlite3")
        return text
    if parts.scheme not in _POSTGRESQL or parts.path in ("", "/"):
        raise ValueError(
            "must be postgresql://USER@HOST/DATABASE, or sqlite:////PATH, whose four slashes begin a whole path"
        )
    return text


def has_password(url: str) -> bool:
    """Whether a URL holds a password, which only its owner may then read."""
    parts = urlsplit(url)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def without_password(url: str) -> str:
    """Return the URL as it may be shown."""
    if not has_password(url):
        return url
    parts = urlsplit(url)
    user, at, server = parts.netloc.rpartition("@")
    query = "&".join(word for word in parts.query.split("&") if not word.startswith("password="))
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{server}", query=query))
