"""What a run tells by default: records and stops go to the log."""

import logging

from hrm_jax.training.progress import Progress


def test_records_are_told_with_their_step_and_other_steps_are_not(caplog):
    progress = Progress()
    with caplog.at_level(logging.INFO, "hrm_jax.training.progress"):
        with progress.preparing(), progress.training(2, 10) as tell:
            tell(3, {})
            tell(4, {"loss": 1.23456, "accuracy": 0.5})
        progress.stopped("stopped by SIGTERM")
    assert [record.getMessage() for record in caplog.records] == [
        "step 4/10: loss 1.235, accuracy 0.5",
        "stopped by SIGTERM",
    ]
