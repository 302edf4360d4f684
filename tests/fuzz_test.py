"""Damaged files of every format that a command reads end in a message, never in a traceback.

`pytest tests/fuzz_test.py --fuzz=20000` tries so many in all, and every value of each JSON file
replaced by each kind of other; without it some hundreds are tried.
"""

import pathlib
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrm_jax.core.errors import UserError
from tests.damage import damaged, with_other_values
from tests.mutated_files import FORMATS, Format


def message_of(form: Format, place: pathlib.Path) -> str | None:
    """What a user is told about a damaged file; None if it is read as it is."""
    try:
        form.read(place)
    except (UserError, OSError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_ends_in_a_message(name, tmp_path, request):
    form = FORMATS[name]
    place = form.make(tmp_path)
    assert message_of(form, place) is None
    intact = tmp_path.with_name(tmp_path.name + "_intact")
    shutil.copytree(tmp_path, intact)
    cases = max(1, request.config.option.fuzz // len(FORMATS))

    @given(data=st.data())
    @settings(
        max_examples=cases,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=request.config.option.fuzz < 1000,
    )
    def check(data):
        shutil.rmtree(tmp_path)
        shutil.copytree(intact, tmp_path)
        form.damage(place, lambda content: data.draw(damaged(content), label="content"))
        message = message_of(form, place)
        assert message is None or len(message) > 20

    check()
    shutil.rmtree(intact)


@pytest.mark.parametrize("name", FORMATS)
def test_any_value_may_be_another(name, tmp_path, request):
    if request.config.option.fuzz < 1000:
        pytest.skip("takes minutes: --fuzz=20000")
    form = FORMATS[name]
    place = form.make(tmp_path)
    intact = tmp_path.with_name(tmp_path.name + "_intact")
    shutil.copytree(tmp_path, intact)
    contents: list[bytes] = []
    # Compressed files are changed within; this takes what is in it, and damages nothing yet.
    form.damage(place, lambda content: contents.extend(with_other_values(content)) or content)
    failures = {}
    for content in contents:
        shutil.rmtree(tmp_path)
        shutil.copytree(intact, tmp_path)
        form.damage(place, lambda _, content=content: content)
        try:
            message = message_of(form, place)
            assert message is None or len(message) > 20
        except Exception as error:  # all of them are told, and not the first alone
            failures.setdefault(repr(error), content[:2000])
    shutil.rmtree(intact)
    assert not failures
