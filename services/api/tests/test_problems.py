"""Errors are problem details (RFC 9457)."""

import msgspec
import pytest

from zama_api.problems import TITLES, Problem


def test_the_body_has_the_five_promised_members() -> None:
    """A problem tells its type, title, status, detail and the request's id."""
    problem = Problem(422, "Expected `int`, got `str` - at `$.a`.")

    assert msgspec.json.decode(problem.body("id-1")) == {
        "type": "/docs#unprocessable-content",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "Expected `int`, got `str` - at `$.a`.",
        "request_id": "id-1",
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422, 500, 503])
def test_each_status_has_a_place_of_its_own_in_the_developer_page(status: int) -> None:
    """A problem's type is a link to one anchor, in the form that HTML ids have there."""
    places = {
        status: msgspec.json.decode(Problem(status, "").body(""))["type"] for status in TITLES
    }

    page, _, anchor = places[status].partition("#")
    assert page == "/docs"
    assert anchor.replace("-", "").isalpha()
    assert anchor.islower()
    assert list(places.values()).count(places[status]) == 1


def test_a_detail_with_hostile_characters_stays_valid_json() -> None:
    """What of a request shows in the detail cannot break out of it."""
    detail = 'a "quote" \\ \n \x00 \u2028 \N{GRINNING FACE}'

    assert msgspec.json.decode(Problem(400, detail).body("id-1"))["detail"] == detail


def test_a_problem_carries_the_headers_of_its_status() -> None:
    """Whoever raises a problem can add headers to the answer."""
    assert Problem(405, "No.", (("allow", "POST"),)).headers == (("allow", "POST"),)
    assert not Problem(404, "No.").headers


def test_a_status_without_a_title_is_refused() -> None:
    """A problem of a status that the contract does not know is a mistake of its author."""
    with pytest.raises(KeyError, match="418"):
        Problem(418, "I am a teapot.")


def test_a_problem_reads_as_its_detail() -> None:
    """In a traceback a problem says what is wrong."""
    assert str(Problem(404, "There is nothing here.")) == "There is nothing here."
