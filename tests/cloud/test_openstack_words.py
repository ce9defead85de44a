"""What services answer in a refusal, and how their pages are linked: each has its own way."""

from __future__ import annotations

from typing import Any

import pytest

from hotfoot.cloud.openstack_api import next_page
from hotfoot.cloud.openstack_words import meaning, message_of


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"badRequest": {"code": 400, "message": "No valid host\nwas found."}}, "No valid host was found."),
        ({"error": {"code": 401, "message": "Token expired", "title": "Unauthorized"}}, "Token expired"),
        ({"NeutronError": {"type": "PortNotFound", "message": "Port a could not be found.", "detail": ""}}, "Port a"),
        ({"errors": [{"status": 404, "title": "Not Found", "detail": "No resource provider a."}]}, "No resource"),
        ({"message": "The resource could not be found.", "code": "404"}, "The resource could not be found."),
        ({}, ""),
        (["not what was expected"], ""),
    ],
)
def test_each_service_wraps_its_words_in_its_own_way(body: Any, message: str) -> None:
    assert message_of(body).startswith(message)
    assert bool(message_of(body)) == bool(message)


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ({"servers": [], "servers_links": [{"rel": "next", "href": "http://a/servers?marker=x&limit=2"}]}, "x"),
        ({"images": [], "next": "/v2/images?marker=y", "first": "/v2/images"}, "y"),
        ({"projects": [], "links": {"next": None, "self": "http://a/v3/projects", "previous": None}}, None),
        ({"services": []}, None),
    ],
)
def test_the_next_page_is_where_each_service_says(page: dict[str, Any], query: str | None) -> None:
    found = next_page(page, next(iter(page)))
    assert (found["marker"] if found else None) == query


def test_what_a_call_was_for_is_told_in_words_where_they_are_known() -> None:
    uuid = "2ce4c5b3-2866-4972-93ce-77a2ea46a7f9"
    assert meaning("DELETE", f"/servers/{uuid}/migrations/3") == "to abort the migration"
    assert meaning("GET", f"/servers/{uuid}") == "to show the instance"
    assert meaning("PATCH", "/volumes/a") == "the call PATCH /volumes/a"
