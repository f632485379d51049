"""The folder of certificates: pairs are checked, and read again when they are others."""

from __future__ import annotations

import os
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxyconf.nginx.certificate_folder import CertificateFolder
from proxyconf.nginx.part import make_part, unlabelled
from tests.unit.made_certificates import DAY_S, NOW, Pair, make_pair

if TYPE_CHECKING:
    from pathlib import Path

A, OTHER_A, B = make_pair("x", "a.test", "*.a.test"), make_pair("x", "a.test"), make_pair("x", "B.test")
LOCKED = make_pair("x", "a.test", passphrase=b"secret")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def read(folder: Path) -> CertificateFolder:
    found = CertificateFolder(folder, Clock())
    assert not found.is_current()
    found.refresh()
    assert found.is_current()
    return found


def whys(folder: CertificateFolder) -> list[str]:
    return [problem.why for problem in folder.found.problems]


def test_pairs_beside_each_other_and_in_folders(tmp_path: Path) -> None:
    """As nginx-proxy and lego have them, and as certbot does; what belongs to them needs no key."""
    A.put(tmp_path, "a.test")
    for name in ("a.test.issuer.crt", "a.test.chain.crt", "a.test.dhparam.pem", "README"):
        (tmp_path / name).write_bytes(A.certificate)
    for name, key in (("b", "privkey.pem"), ("c", "key.pem"), ("a.test", "privkey.pem")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fullchain.pem").write_bytes(B.certificate)
        (tmp_path / name / key).write_bytes(B.key)
    found = read(tmp_path)
    assert whys(found) == []
    by_name = found.found.by_name
    assert {name: one.names for name, one in by_name.items()} == {
        "a.test": ("*.a.test", "a.test"),
        "b": ("b.test",),
        "c": ("b.test",),
    }
    assert (by_name["b"].not_before, by_name["b"].not_after) == (NOW - DAY_S, NOW + 90 * DAY_S)
    assert by_name["a.test"].part.text.startswith(A.key + A.certificate)


def test_authorities_of_clients_certificates(tmp_path: Path) -> None:
    A.put(tmp_path, "a.test")
    (tmp_path / "a.test.ca.crt").write_bytes(A.certificate + B.certificate)
    (tmp_path / "ca.crt").write_bytes(B.certificate)
    (tmp_path / "b.ca.crt").write_bytes(b"no certificate")
    found = read(tmp_path)
    of_a, of_all = found.found.authority("a.test"), found.found.authority("c.test")
    assert of_a is not None
    assert of_all is not None
    assert unlabelled(of_a.text.decode()).encode() == A.certificate + B.certificate
    assert unlabelled(of_all.text.decode()).encode() == B.certificate
    assert of_a.file.startswith("a-")
    (why,) = whys(found)
    assert why.startswith("is no certificate in PEM (it should begin with -----BEGIN CERTIFICATE-----)")


def test_without_other_names_the_common_name_counts(tmp_path: Path) -> None:
    make_pair("Common.test").put(tmp_path, "a")
    assert read(tmp_path).found.by_name["a"].names == ("common.test",)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        pytest.param(Pair(A.certificate, OTHER_A.key), "is not of the key beside it", id="another key"),
        pytest.param(
            Pair(B.certificate + A.certificate, A.key), "the first certificate has to be", id="order"
        ),
        pytest.param(Pair(A.key, A.key), "is no certificate in PEM", id="no certificate"),
        pytest.param(Pair(A.certificate, A.certificate), "has no key that can be read", id="no key"),
        pytest.param(LOCKED, "has a key with a passphrase", id="passphrase"),
        pytest.param(make_pair(), "names no host", id="no names"),
        pytest.param(Pair(A.certificate, b"x" * (1 << 20) + A.key), "is too large", id="large"),
    ],
)
def test_a_pair_that_cannot_be_used_is_a_problem(pair: Pair, why: str, tmp_path: Path) -> None:
    """It keeps what it was before, and costs the others nothing."""
    pair.put(tmp_path, "a")
    B.put(tmp_path, "b")
    found = read(tmp_path)
    assert list(found.found.by_name) == ["b"]
    (problem,) = found.found.problems
    assert (problem.what, problem.where) == ("certificate", str(tmp_path / "a.crt"))
    assert why in problem.why
    A.put(tmp_path, "a")
    found.refresh()
    good = found.found.by_name["a"]
    pair.put(tmp_path, "a")
    found.refresh()
    assert found.found.by_name["a"] == good
    assert whys(found) == [f"{problem.why}; the one before is still used"]


def test_what_an_earlier_run_served_stands_in_for_what_cannot_be_used(tmp_path: Path) -> None:
    """What is gone stays gone, and what is no certificate is passed over."""
    for name in ("a", "other name", "gone"):
        A.put(tmp_path, name)
    before = read(tmp_path).found.by_name
    (tmp_path / "a.key").write_bytes(B.key)
    (tmp_path / "other name.crt").write_bytes(B.certificate)
    (tmp_path / "gone.crt").unlink()
    (tmp_path / "gone.key").unlink()
    later = read(tmp_path)
    assert not later.found.by_name
    nothing = make_part("certificate", "a", b"nothing")
    later.restore([*(one.part for one in before.values()), nothing])
    assert not later.is_current()
    later.refresh()
    assert later.found.by_name == {name: before[name] for name in ("a", "other name")}
    assert all(why.endswith("; the one before is still used") for why in whys(later))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A folder may come later; a key may come a moment after its certificate."""
    folder = tmp_path / "certs"
    found = read(folder)
    assert "can't be listed" in whys(found)[0]
    folder.mkdir()
    (folder / "a.crt").write_bytes(A.certificate)
    assert not found.is_current()
    found.refresh()
    assert f"can't be read: {folder}/a.key: No such file" in whys(found)[0]
    (folder / "a.key").write_bytes(A.key)
    found.refresh()
    assert list(found.found.by_name) == ["a"]
    assert whys(found) == []
    for name in ("a.crt", "a.key"):
        (folder / name).rename(folder / "away")
        found.refresh()
        assert list(found.found.by_name) == ["a"]
        assert "the one before is still used" in whys(found)[0]
        (folder / "away").rename(folder / name)
    for name in ("a.crt", "a.key"):
        (folder / name).unlink()
    found.refresh()
    assert not found.found.by_name
    assert whys(found) == []


def test_a_folder_that_is_away_loses_nothing(tmp_path: Path) -> None:
    """Unknown is not empty: neither for this run, nor for one that begins meanwhile."""
    folder, away = tmp_path / "certs", tmp_path / "away"
    folder.mkdir()
    A.put(folder, "a")
    (folder / "ca.crt").write_bytes(B.certificate)
    found = read(folder)
    before = found.found
    folder.rename(away)
    found.refresh()
    assert (found.found.by_name, found.found.authorities) == (before.by_name, before.authorities)
    assert "what was there before still counts" in whys(found)[0]
    later = read(folder)
    authority = before.authorities[""]
    assert authority
    later.restore([before.by_name["a"].part, authority])
    later.refresh()
    assert {name: one.part for name, one in later.found.by_name.items()} == {"a": before.by_name["a"].part}
    assert later.found.authorities == {"": authority}
    away.rename(folder)
    later.refresh()
    assert later.found.by_name == before.by_name
    assert whys(later) == []


def test_one_entry_that_may_not_be_looked_at_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "c"):
        A.put(tmp_path, name)
    (tmp_path / "b").symlink_to("b")  # a loop: to look at it fails
    assert list(read(tmp_path).found.by_name) == ["a", "c"]


def test_half_a_pair_does_not_hide_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_bytes(B.certificate)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "fullchain.pem").write_bytes(A.certificate)
    (tmp_path / "a" / "privkey.pem").write_bytes(A.key)
    found = read(tmp_path)
    assert found.found.by_name["a"].names == ("*.a.test", "a.test")
    assert whys(found) == []


def test_a_name_that_cannot_be_shown(tmp_path: Path) -> None:
    """Status would be no JSON."""
    A.put(tmp_path, "a\udcff")
    found = read(tmp_path)
    assert not found.found.by_name
    (problem,) = found.found.problems
    assert problem.where.isascii()
    assert "rename it" in problem.why


def test_odd_certificates_are_problems(tmp_path: Path) -> None:
    """Whatever their library raises for them: of an unknown curve, of a version that there is not."""
    der = x509.load_pem_x509_certificate(A.certificate).public_bytes(Encoding.DER)
    odd = der.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a811ccf5501822d"), 1)
    version = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
    for name, changed in (("curve", odd), ("version", version)):
        A.put(tmp_path, name)
        assert changed != der
        (tmp_path / f"{name}.crt").write_text(DER_cert_to_PEM_cert(changed))
    B.put(tmp_path, "b")
    found = read(tmp_path)
    assert list(found.found.by_name) == ["b"]
    assert len(whys(found)) == 2


def test_authorities_that_cannot_be_read_any_more(tmp_path: Path) -> None:
    """They stay as they were; without that nobody is known, and not those of all hosts."""
    A.put(tmp_path, "a")
    (tmp_path / "ca.crt").write_bytes(B.certificate)
    (tmp_path / "a.ca.crt").write_bytes(A.certificate)
    found = read(tmp_path)
    own = found.found.authority("a.test")
    (tmp_path / "a.ca.crt").write_bytes(A.certificate[:100])
    found.refresh()
    assert own is not None
    assert found.found.authority("a.test") == own
    assert "what it was before still counts" in whys(found)[0]
    later = read(tmp_path)
    assert later.found.authority("a.test") is None
    assert later.found.authority("b.test") is not None
    assert "nobody's certificate counts" in whys(later)[0]


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    """A thousand keys cost a second, for one that is renewed."""
    for name in ("a", "b"):
        A.put(tmp_path, name)
    found = read(tmp_path)
    before = found.found.by_name
    OTHER_A.put(tmp_path, "b")
    found.refresh()
    after = found.found.by_name
    assert after["a"].part is before["a"].part
    assert after["b"].part != before["b"].part


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    A.put(tmp_path, "a")
    (tmp_path / "a.key").unlink()
    (tmp_path / "a.key").symlink_to("/proc/self/mem")  # whose beginning not even root can read
    assert "can't be read" in whys(read(tmp_path))[0]


def test_a_folder_of_links_is_read_again_when_they_lead_elsewhere(tmp_path: Path) -> None:
    """As certbot renews."""
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    (live / "a").mkdir(parents=True)
    A.put(archive, "1")
    OTHER_A.put(archive, "2")
    for name, end in (("fullchain.pem", "crt"), ("privkey.pem", "key")):
        (live / "a" / name).symlink_to(archive / f"1.{end}")
    found = read(live)
    before = found.found.by_name["a"]
    for name, end in (("fullchain.pem", "crt"), ("privkey.pem", "key")):
        (live / "new").symlink_to(archive / f"2.{end}")
        (live / "new").replace(live / "a" / name)
    assert not found.is_current()
    found.refresh()
    assert found.found.by_name["a"].part.file != before.part.file


def test_what_is_the_same_is_not_read_again(tmp_path: Path) -> None:
    A.put(tmp_path, "a")
    found = read(tmp_path)
    before = found.found
    found.refresh()
    assert found.found is before
    os.utime(tmp_path / "a.crt", ns=(1, 1))
    found.refresh()
    assert found.found is not before
    assert found.found.by_name == before.by_name
    (tmp_path / "a.key").chmod(0o600)
    assert not found.is_current()


@pytest.mark.parametrize(
    ("life", "age", "why"),
    [
        pytest.param(90, 1, "", id="young"),
        pytest.param(90, 77, "expires on 2027-01-28 08:00 UTC (renew it; what should", id="old"),
        pytest.param(6, 4, "", id="short-lived"),
        pytest.param(6, 5, "expires on 2027-01-16 08:00 UTC", id="old for its kind"),
        pytest.param(90, 90, "has expired on 2027-01-15 08:00 UTC (renew it)", id="expired"),
        pytest.param(90, -1, "is not valid yet", id="to come"),
    ],
)
def test_its_age_is_told(life: int, age: int, why: str, tmp_path: Path) -> None:
    """An expired one serves on: to have none would be worse."""
    begin = NOW - age * DAY_S
    make_pair("x", "a.test", begin=begin, end=begin + life * DAY_S).put(tmp_path, "a")
    found = read(tmp_path)
    assert found.found.by_name["a"].is_good is (0 <= age < life)
    assert [text[: len(why)] for text in whys(found)] == ([why] if why else [])


def test_the_clock_alone_makes_it_look_again(tmp_path: Path) -> None:
    A.put(tmp_path, "a")
    clock = Clock()
    found = CertificateFolder(tmp_path, clock)
    found.refresh()
    clock.now = NOW + 75 * DAY_S
    assert found.is_current()
    clock.now = NOW + 76 * DAY_S
    assert not found.is_current()
    found.refresh()
    assert "expires on" in whys(found)[0]
    assert found.is_current()
    clock.now = NOW + 90 * DAY_S
    found.refresh()
    assert "has expired" in whys(found)[0]
