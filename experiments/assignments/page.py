"""A plan as one HTML page that needs nothing else: people as rows, reasons on hover or focus."""

import html
from collections.abc import Sequence

from hrm_jax.planning.explaining import Risk
from hrm_jax.planning.formats.chart import Bar, Chart, Row, chart_of
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Plan

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 24px; color: #1b1f24; }
h1 { font-size: 20px; margin: 0 0 4px; } p { margin: 4px 0 12px; }
.row { display: grid; grid-template-columns: 140px 1fr 90px; align-items: center; }
.row:nth-child(odd) { background: #f5f7f9; }
.name { padding-right: 8px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.lane { position: relative; height: 34px; }
.task { position: absolute; top: 3px; height: 28px; background: #4c78a8; color: #fff;
  border-radius: 4px; overflow: hidden; white-space: nowrap; font-size: 12px; line-height: 28px;
  padding: 0 4px; box-sizing: border-box; border: 1px solid #fff; cursor: default; }
.critical { background: #c8443f; } .late { outline: 2px solid #111; outline-offset: -2px; }
.linked { background: #d9a400; color: #111; }
.due { position: absolute; top: 0; height: 34px; width: 0; border-left: 2px dashed #111; }
.load { height: 10px; background: #d5dce3; border-radius: 5px; margin-left: 10px; }
.load i { display: block; height: 10px; background: #5b8a5b; border-radius: 5px; }
.scale { position: relative; height: 20px; font-size: 11px; color: #57606a; }
.scale span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
#reason { margin: 14px 0; min-height: 46px; padding: 8px 12px; background: #eef2f6;
  border-radius: 6px; } li { margin: 2px 0; }
.key span { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 14px;
  border-radius: 3px; vertical-align: -1px; }
"""

_SCRIPT = """
const box = document.getElementById('reason');
const bars = [...document.querySelectorAll('.task')];
function show(bar) {
  box.textContent = bar.dataset.text;
  const waits = JSON.parse(bar.dataset.waits);
  bars.forEach(b => b.classList.toggle('linked', waits.includes(b.dataset.task)));
}
bars.forEach(bar => ['mouseenter', 'focus'].forEach(e => bar.addEventListener(e, () => show(bar))));
"""


def write_page(instance: Instance, plan: Plan, summary: str, risks: Sequence[Risk]) -> str:
    """Returns the page of a plan; `summary` says what it costs and when it is done."""
    chart = chart_of(instance, plan)
    rows = [
        f'<div class="row"><div class="name">{_text(row.name)}</div>'
        f'<div class="lane">{_lane(chart, row)}</div>'
        f"{_load(row.load)}</div>"
        for row in chart.rows
    ]
    # Both ends of the time have a mark, so there is one distance less than marks.
    last = len(chart.marks) - 1
    marks = "".join(
        f'<span style="left:{100 * step / last:.2f}%">{_text(mark)}</span>'
        for step, mark in enumerate(chart.marks)
    )
    scale = f'<div class="row"><div></div><div class="scale">{marks}</div><div></div></div>'
    listed = "".join(f"<li>{_text(risk.kind)}: {_text(risk.text)}</li>" for risk in risks)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Plan by {_text(plan.planner)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Who does what, and when</h1><p>{_text(summary)}</p>{_KEY}"
        f"<div>{scale}{''.join(rows)}</div>"
        '<div id="reason">Point at a task, or tab to it: its reason stands here, and what it '
        "waits for turns yellow.</div>"
        f"{f'<h2>Risks</h2><ul>{listed}</ul>' if risks else ''}<script>{_SCRIPT}</script>"
        "</body></html>\n"
    )


_KEY = (
    '<p class="key"><span style="background:#4c78a8"></span>has slack'
    '<span style="background:#c8443f"></span>critical'
    '<span style="border-left:2px dashed #111;width:2px"></span>due'
    '<span style="background:#5b8a5b"></span>load</p>'
)


def _lane(chart: Chart, row: Row) -> str:
    own = [bar for bar in chart.bars if row.person in bar.people and bar.end > bar.start]
    return "".join(_bar(bar, chart.length) for bar in own)


def _bar(bar: Bar, length: int) -> str:
    kinds = ["task"]
    kinds += ["critical"] if bar.critical else []
    kinds += ["late"] if bar.late else []
    # JSON within an attribute of HTML: quoted for the one here, and for the other by `_text` below.
    waits = "[" + ",".join(f'"{_json(other)}"' for other in bar.waits_for) + "]"
    text = f"{bar.title} ({bar.times}): {bar.reason}"
    drawn = (
        f'<div class="{" ".join(kinds)}" tabindex="0" title="{_text(text)}" '
        f'style="left:{100 * bar.start / length:.3f}%;'
        f'width:{100 * (bar.end - bar.start) / length:.3f}%" data-task="{_text(bar.task)}" '
        f'data-text="{_text(text)}" data-waits="{_text(waits)}">{_text(bar.title)}</div>'
    )
    # Beside the bar and not in it, as a bar hides what is past its end.
    if bar.due is not None:
        drawn += f'<div class="due" style="left:{100 * bar.due / length:.3f}%"></div>'
    return drawn


def _load(share: float) -> str:
    return (
        f'<div class="load" title="{share:.0%} of the time">'
        f'<i style="width:{min(100 * share, 100):.1f}%"></i></div>'
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _json(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
