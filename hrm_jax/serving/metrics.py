"""What a server counts, for Prometheus."""

from collections.abc import Iterator

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hrm_jax.serving.current import service_of


class _Collector:
    """Reads the engine's load when it is asked for."""

    def __init__(self, app: FastAPI):
        self._app = app

    def collect(self) -> Iterator[Metric]:
        service = service_of(self._app)
        yield GaugeMetricFamily(
            "hrm_model_loaded", "1 where a model is loaded", service is not None
        )
        if service is None:
            return
        load = service.engine.load
        yield GaugeMetricFamily("hrm_rows", "texts that can be written at once", load.rows)
        yield GaugeMetricFamily("hrm_texts_written", "texts that are being written", load.written)
        yield GaugeMetricFamily("hrm_texts_waiting", "texts that wait for a row", load.waiting)
        yield CounterMetricFamily("hrm_tokens_written", "tokens written", load.tokens)


def install(app: FastAPI) -> None:
    """Gives an app the route `/metrics`."""
    # Its own: the library's default one would mix apps, and refuses a second one in a process.
    registry = CollectorRegistry()
    registry.register(_Collector(app))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
