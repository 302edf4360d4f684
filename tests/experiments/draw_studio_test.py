import shutil

import pytest

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("psutil", reason="needs the extra studio")

from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import draw_studio
from hrm_jax.core.config import ConfigError


@pytest.fixture(autouse=True)
def parsed_flags():
    """Other tests leave the flags unparsed."""
    flags.FLAGS.mark_as_parsed()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_view_is_drawn_at_three_widths(tmp_path):
    with flagsaver.flagsaver(runs=str(tmp_path / "runs"), out=str(tmp_path), views=["first"]):
        assert draw_studio.main() == 0
    with Image.open(tmp_path / "studio_first.png") as picture:
        # The widths and two gaps, at six tenths of their size.
        assert picture.size == (1622, 432)
    assert [path.name for path in tmp_path.glob("*.png")] == ["studio_first.png"]


def test_an_unknown_view_is_named():
    with (
        flagsaver.flagsaver(views=["watch", "nowhere"]),
        pytest.raises(
            ConfigError, match=r"--views: expected of first, watch, .* got \['nowhere'\]"
        ),
    ):
        draw_studio.main()
