"""Secrets in configuration files, replaced by marks on the host and put back there.

Runs on hosts (Python 3.6, standard library only): the probe marks what it sends, and the applier computes the same
marks from the real file to put the values back. Marks rather too much than too little.
"""

import re

_WORD = r"[A-Za-z0-9_.-]"
# Keys whose value is a secret; what only names its place or number (password_file, secretfile, secret_uuid) is none.
_KEY = (
    rf"(?:{_WORD}*(?:password|passphrase|secret){_WORD}*(?<!uuid)(?<!_file)(?<!secretfile)(?<!_path)(?<!_dir)"
    rf"|{_WORD}*(?:_key|hmac_keys|token|token_id|_pass|_passwd)"
    r"|passwd(?=[\"']?[ \t]*=)|pass|key|secretkey"  # not the "passwd:" of nsswitch.conf
    r"|transport_url|(?:slave_|sql_)?connection)"
)
_NO_SECRET = r"(?!(?:yes|no|true|false|on|off|none|<none>)(?:[\s,;\"']|\Z))"
# Each alternative is a head, which stays, and a value, which is replaced.
_SECRET = re.compile(
    # What looks like a mark is marked itself: then all marks in the result are ours.
    r"()(@secret:[0-9]+)"
    r"|()(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z))"
    # A whole line, and the indented lines that go on with its value.
    rf"|(^[\"']?{_KEY}[\"']?[ \t]*[=:][ \t]*){_NO_SECRET}([^\s][^\n]*(?:\n[ \t]+[^\s#;][^\n]*)*)"
    # An indented or commented line.
    rf"|(^[ \t#;]+[\"']?{_KEY}[\"']?[ \t]*[=:][ \t]*){_NO_SECRET}([^\s][^\n]*)"
    # Within a line: options in fstab, Environment= in units.
    rf"|((?<!{_WORD}){_KEY}=){_NO_SECRET}([^\s,;\"'=][^\s,;\"']*)"
    # The password of a URL, up to the word's last "@": passwords that should have been quoted hold some.
    r"|(://[^\s/:@\"']*:)([^\s\"'@][^\s\"']*(?=@))",
    re.IGNORECASE | re.MULTILINE,
)
_MARK = re.compile("@secret:([0-9]+)@")
# In each line on which a match of the expression begins; to look for these words is far cheaper.
_HINTS = ("pass", "secret", "key", "token", "connection", "transport_url", "://")


def mark(text: str) -> "tuple[str, list[str]]":
    """Return the text with ``@secret:N@`` in place of each secret, and the secrets, number N at place N.

    Invariant: ``unmark(*mark(text)) == text``.
    """
    values, pieces = [], []  # type: list[str], list[str]
    told = begin = 0
    for line in text.split("\n"):
        stop = begin + len(line)
        folded = line.casefold() if stop > told else ""
        while told < stop and any(hint in folded for hint in _HINTS):
            # Within the line first: where none begins there, the rest of the text would be searched in vain.
            within = _SECRET.search(text, max(told, begin), stop)
            match = _SECRET.match(text, within.start()) if within else None
            if match is None:
                break
            head, value = (group for group in match.groups() if group is not None)
            pieces.append(f"{text[told : match.start()]}{head}@secret:{len(values)}@")
            values.append(value)
            told = match.end()
        begin = stop + 1
    return "".join([*pieces, text[told:]]), values


def unmark(text: str, values: "list[str]") -> str:
    """Put the secrets back. Raises ValueError for a mark that has no secret: the file was changed meanwhile."""

    def restored(match: "re.Match[str]") -> str:
        number = int(match.group(1))
        if number >= len(values):
            raise ValueError(f"the file holds no secret of number {number}")
        return values[number]

    return _MARK.sub(restored, text)
