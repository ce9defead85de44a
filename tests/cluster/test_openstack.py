"""An OpenStack cloud in place of hosts, or beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.cluster_files import loaded, refused

HOSTS = "hosts: [{name: n1, address: 10.77.0.11}]\n"


def test_a_cloud_needs_no_hosts(tmp_path: Path) -> None:
    cluster = loaded(tmp_path, "openstack: {cloud: rack1, region: north}\n")
    assert cluster.hosts == ()
    assert cluster.openstack is not None
    assert (cluster.openstack.cloud, cluster.openstack.region) == ("rack1", "north")


def test_which_hosts_there_are_is_novas_to_tell(tmp_path: Path) -> None:
    assert loaded(tmp_path, "openstack: {}\n" + HOSTS).host_names is None
    assert loaded(tmp_path, HOSTS).host_names == ("n1",)


def test_the_clouds_file_is_beside_the_cluster_file(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: {}\n")
    cluster = loaded(tmp_path, "openstack: {clouds_file: clouds.yaml}\n")
    assert cluster.openstack is not None
    assert cluster.openstack.clouds_file == tmp_path / "clouds.yaml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: a\n", '1: the file lacks the key "hosts".'),
        ("name: a\nhosts: []\n", "2: hosts needs at least one entry."),
        ("openstack:\n" + HOSTS, "1: openstack has no value; write {} for the OS_* variables."),
        ("openstack: {cluod: a}\n", '1: openstack: unknown key "cluod"; did you mean "cloud"?'),
        ("openstack: {cloud: ' a'}\n", '1: openstack.cloud must be a name as clouds.yaml has it, not " a".'),
    ],
)
def test_one_mistake_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert refused(tmp_path, text) == [sentence]


def test_a_clouds_file_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, "name: a\nopenstack:\n  clouds_file: no.yaml\n")
    assert said == f"3: openstack.clouds_file: there is no file {tmp_path / 'no.yaml'}."
