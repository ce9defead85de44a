"""What the probe reads of units' files is what systemd itself says of them."""

from __future__ import annotations

import json

from tests.lab.labs import TestLab

from hotfoot.reach.probe.script import joined

# Units made for this test, beside all that the image has: each in a state of its own.
STATES = """
cd /etc/systemd/system
for name in plain wanted also runtime; do
    printf '[Service]\\nExecStart=true\\n[Install]\\n' > hf-$name.service
done
for name in plain wanted runtime; do echo WantedBy=multi-user.target >> hf-$name.service; done
echo Also=hf-plain.service >> hf-also.service
printf '[Service]\\nExecStart=true\\n' > hf-static.service
: > hf-empty.service
ln -sf /dev/null hf-masked.service
ln -sf /nowhere hf-dangling.service
printf '[Service]\\nExecStart=true\\n' > /opt/hf-linked.service
ln -sf /opt/hf-linked.service hf-linked.service
systemctl daemon-reload
systemctl -q enable hf-wanted.service
systemctl -q enable --runtime hf-runtime.service
"""
REMOVED = """
systemctl -q disable hf-wanted.service
systemctl -q disable --runtime hf-runtime.service
rm -f /etc/systemd/system/hf-* /opt/hf-linked.service
systemctl daemon-reload
"""
ASK = """
names = sorted({name for folder in _UNIT_FOLDERS for name in listed(folder) if name.endswith((".service", ".socket"))})
folders = {folder: set(listed(folder)) for folder in _UNIT_FOLDERS}
links = _links(folders)
told = {name: _file_state(name, folders, links) for name in names if _unit_id(name, folders) == name}
wrong = []
for name, state in told.items():
    said = ask(["systemctl", "is-enabled", "--", name])[1].strip()
    if state is not None and said != state:
        wrong.append((name, state, said))
made = {name: state for name, state in told.items() if name.startswith("hf-")}
print(json.dumps([wrong, len(told), sum(state is None for state in told.values()), made]))
"""


def test_states_of_all_units_are_as_systemctl_says(lab: TestLab) -> None:
    parts = ("frame", "unit_files")
    lab.on("n1", "sh", "-ec", STATES)
    try:
        script = joined("hotfoot.reach.probe", parts)
        wrong, count, unsure, made = json.loads(lab.on("n1", "python3", "-I", "-c", f"{script}\n{ASK}"))
    finally:
        lab.on("n1", "sh", "-ec", REMOVED)
    assert wrong == []
    assert count > 100
    assert unsure < count / 4
    assert made == {
        "hf-plain.service": "disabled",
        "hf-wanted.service": "enabled",
        "hf-runtime.service": "enabled-runtime",
        "hf-also.service": "indirect",
        "hf-static.service": "static",
        "hf-empty.service": "masked",
        "hf-masked.service": "masked",
        "hf-dangling.service": None,
        "hf-linked.service": None,
    }
