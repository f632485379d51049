"""What the scan of generated configurations lets pass: what is explained, and no idle explanation."""

from __future__ import annotations

import pytest

from tests.golden.scan import Explanation, Finding, judge

EXPLANATIONS = (Explanation("tokens", ("*",), "why"), Explanation("buffering", ("options", "slow*"), "why"))
FOUND = [Finding(site, "tokens", "LOW", "text") for site in ("own", "options")]
FOUND += [Finding(site, "buffering", "MEDIUM", "text") for site in ("options", "slow-1", "slow-2")]


def test_what_is_explained_passes() -> None:
    assert judge(FOUND, EXPLANATIONS) == []


@pytest.mark.parametrize(
    ("finding", "wrong"),
    [
        pytest.param(Finding("own", "ssrf", "HIGH", "text"), "own: HIGH ssrf: text", id="another finding"),
        pytest.param(
            Finding("own", "buffering", "MEDIUM", "text"), "own: MEDIUM buffering: text", id="another site"
        ),
    ],
)
def test_a_finding_without_an_explanation_fails(finding: Finding, wrong: str) -> None:
    assert judge([*FOUND, finding], EXPLANATIONS) == [wrong]


def test_an_explanation_of_nothing_fails() -> None:
    assert judge(FOUND[:3], EXPLANATIONS) == ["slow*: buffering is explained, but not found"]
