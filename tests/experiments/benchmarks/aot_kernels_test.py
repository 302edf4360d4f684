"""What is read from the compilers' files."""

import pytest
from absl import app

from experiments.benchmarks import aot_kernels

SAID = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'attend_mosaic_gpu_kernel' for 'sm_90a'
ptxas info    : Function properties for attend_mosaic_gpu_kernel
    32 bytes stack frame, 28 bytes spill stores, 44 bytes spill loads
ptxas info    : Used 168 registers, used 16 barriers, 1 bytes smem
"""
CODE = """attend_mosaic_gpu_kernel
        /*0000*/                   LDC R1, c[0x0][0x28] ;    /* 0x00000a00ff017b82 */
        /*0010*/             @!P0  HGMMA.64x64x16.F32 R24, gdesc[UR8] ;
        /*0020*/                   EXIT ;
"""


def test_figures_of_a_kernel_are_read(tmp_path, monkeypatch):
    (tmp_path / "attend_0.ptx").write_text("code")
    (tmp_path / "empty.ptx").touch()
    (tmp_path / "attend_0.resources.txt").write_text("Resources(smem_scratch_bytes=84992, x=0)")
    assembled = {"attend_mosaic_gpu_kernel": CODE}
    monkeypatch.setattr(aot_kernels, "assembled", lambda path: (SAID, assembled))
    (found,) = aot_kernels.kernels_in(tmp_path)
    assert found == {
        "kernel": "attend",
        "registers": "168",
        "spilled": "28",
        "shared": "83",
        "instructions": 3,
        "products": 1,
    }


def test_an_unknown_call_is_named():
    with pytest.raises(app.UsageError, match=r"expected some of hrm_small_82.*, got nothing"):
        list(aot_kernels.programs("mosaic", "nothing", [1]))
