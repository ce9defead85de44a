"""The CPU of an instance's definition: what counts from its next start, and the step that gives it another.

An instance that runs keeps its CPU: libvirt takes the new definition beside it. What a definition says beyond model and
features (topology, caches, NUMA cells) stays. Format: libvirt.org/formatdomain.html, "CPU model and topology".
"""

from __future__ import annotations

from xml.etree.ElementTree import tostring
from xml.sax.saxutils import escape

from defusedxml.ElementTree import fromstring

from hotfoot.readiness.change import Change, Command, Phase
from hotfoot.readiness.cpu_model import Baseline

_KEPT = ("topology", "cache", "maxphysaddr", "numa")
# libvirt prints one element per line, those of a domain two spaces in. With secrets: it would define it without.
# key: model and features of a <cpu>, in one order whatever libvirt made of its form.
_SCRIPT = r"""set -eu
virsh() { command virsh -q -c qemu:///system "$@"; }
cpu() { awk '/^  <cpu[ >\/]/ {on = 1} on {print} /^  <\/cpu>/ || (on && /^  <cpu[^>]*\/>/) {on = 0}'; }
key() {
    sed -n 's/.*<cpu .*mode=.\([a-z-]*\).*/\1/p; s/.*<model[^>]*>\([^<]*\)<.*/\1/p; s/.*<feature \(.*\)\/>.*/\1/p' |
        sort
}
now=$(virsh dumpxml --inactive --security-info --domain "$2")
case $1 in
is) [ "$(printf '%s\n' "$now" | cpu | key)" = "$(printf '%s\n' "$3" | key)" ] ;;
set)
    file=$(mktemp)
    trap 'rm -f "$file"' EXIT
    printf '%s\n' "$now" | CPU=$3 awk '
        /^  <cpu[ >\/]/ {on = 1}
        /^  <devices>/ && ENVIRON["CPU"] != "" {print ENVIRON["CPU"]}
        !on {print}
        /^  <\/cpu>/ || (on && /^  <cpu[^>]*\/>/) {on = 0}' >"$file"
    virsh define "$file" >/dev/null ;;
esac"""


def redefine(host: str, instance: str, now: str, cpu: Baseline) -> Change:
    """Return the step that gives an instance's definition a CPU; ``now`` is the ``<cpu>`` that it has (empty: none).

    Done again, it changes nothing. Taken back, it puts back what was there, unless another CPU is there by then, or
    the instance is no longer defined on this host.
    """
    wanted = cpu_xml(now, cpu)

    def call(do: str, xml: str) -> tuple[str, ...]:
        return ("sh", "-c", _SCRIPT, "sh", do, instance, xml)

    step = Command(
        title=f"define {instance} with the CPU {cpu.model}, for its next start",
        argv=call("set", wanted),
        done_if=call("is", wanted),
        undo=call("set", now.rstrip("\n")),
    )
    return Change(host=host, phase=Phase.INSTANCES, step=step)


def cpu_xml(now: str, cpu: Baseline) -> str:
    """Return ``<cpu>`` for a definition, as libvirt prints it, with what else the old one (XML, or empty) said.

    >>> print(cpu_xml("  <cpu mode='host-model'/>", Baseline("EPYC", frozenset({"aes"}), frozenset({"svm"}))))
      <cpu mode='custom' match='exact' check='partial'>
        <model fallback='forbid'>EPYC</model>
        <feature policy='require' name='aes'/>
        <feature policy='disable' name='svm'/>
      </cpu>
    """
    kept = [child for child in fromstring(now) if child.tag in _KEPT] if now.strip() else []
    features = [("require", name) for name in sorted(cpu.required)] + [
        ("disable", name) for name in sorted(cpu.disabled)
    ]
    lines = [
        "  <cpu mode='custom' match='exact' check='partial'>",
        f"    <model fallback='forbid'>{escape(cpu.model)}</model>",
        *(f"    {tostring(child, encoding='unicode').strip()}" for child in kept),
        *(f"    <feature policy='{policy}' name='{escape(name)}'/>" for policy, name in features),
        "  </cpu>",
    ]
    return "\n".join(lines)
