"""Which containers a selector selects, and what is no selector."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.errors import BadValueError
from proxyconf.sources._docker_selector import Selector, read_selector

PROD = {"env": "prod", "tier": "web", "empty": ""}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        pytest.param("", True, id="nothing is asked for"),
        pytest.param("  ", True, id="white space"),
        pytest.param("env", True, id="there"),
        pytest.param("other", False, id="not there"),
        pytest.param("!other", True, id="missing, as asked"),
        pytest.param("! env", False, id="not missing"),
        pytest.param("env=prod", True, id="equal"),
        pytest.param("env == prod", True, id="equal, doubled"),
        pytest.param("env=test", False, id="not equal"),
        pytest.param("other=prod", False, id="equal, not there"),
        pytest.param("empty=", True, id="equal to nothing"),
        pytest.param("env=", False, id="not equal to nothing"),
        pytest.param("env!=test", True, id="unlike"),
        pytest.param("env!=prod", False, id="not unlike"),
        pytest.param("other!=prod", True, id="unlike, not there"),
        pytest.param("tier in (api, web)", True, id="among"),
        pytest.param("tier in(api)", False, id="not among"),
        pytest.param("other in (api)", False, id="among, not there"),
        pytest.param("tier notin (api,db)", True, id="not among, as asked"),
        pytest.param("tier notin (api,web)", False, id="among, against what is asked"),
        pytest.param("other notin (api)", True, id="not among, not there"),
        pytest.param("env=prod,!internal,tier in (web,api)", True, id="all of them"),
        pytest.param("env=prod, internal", False, id="not all of them"),
        pytest.param("in in (a)", False, id="a label that is called in"),
    ],
)
def test_what_is_selected(text: str, selected: bool) -> None:  # noqa: FBT001
    assert read_selector(text).selects(PROD) == selected


def test_labels_may_have_any_name() -> None:
    """Dots, slashes and colons are usual in those of engines."""
    labels = {"com.docker.compose.project": "blog", "example.com/tier": "a:b", "in": "x"}
    assert read_selector("com.docker.compose.project=blog, example.com/tier=a:b, in").selects(labels)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("env=prod,", "is no selector from '' on (key, !key, key=value", id="comma at the end"),
        pytest.param(",env", "is no selector from ',env' on", id="comma at the start"),
        pytest.param("env prod", "is no selector from 'env prod' on", id="two words"),
        pytest.param("a, env===prod", "is no selector from 'env===prod' on", id="three signs"),
        pytest.param("env in prod", "is no selector from 'env in prod' on", id="no parenthesis"),
        pytest.param("env in (prod", "is no selector from 'env in (prod' on", id="open"),
        pytest.param("env in ()", "'env in ()' names no values (write env in (a, b))", id="no value"),
        pytest.param("env notin (a,,b)", "names no values (write env notin (a, b))", id="a gap"),
        pytest.param("env in (a b)", "names no values", id="no comma between values"),
        pytest.param("!env=prod", "'!env=prod' says two things (write !env, or env!=value)", id="not equal"),
        pytest.param("!env in (a)", "says two things", id="not in"),
        pytest.param("envin (a)", "is no selector from 'envin (a)' on", id="no space before in"),
    ],
)
def test_what_is_no_selector(text: str, why: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read_selector(text)
    assert why in str(caught.value)


@given(st.text(alphabet="ab=!,() in", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadValueError):
        assert isinstance(read_selector(text), Selector)
