"""When work starts and ends, for people."""

from hrm_jax.planning.instance import Instance


def start_text(instance: Instance, tick: int) -> str:
    """Returns when what starts at a tick starts, for people."""
    return f"{instance.days.moment(tick):%a %d %b %H:%M}" if instance.days else str(tick)


def end_text(instance: Instance, tick: int) -> str:
    """Returns when what ends at a tick ends, for people."""
    return f"{instance.days.end_moment(tick):%a %d %b %H:%M}" if instance.days else str(tick)
