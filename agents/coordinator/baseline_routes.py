"""Routes of baselines, verdicts and a device's history."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query

from agents.coordinator.service import Coordinator
from agents.verdicts import History, Standing, StandingList, VerdictDetail

_Limit = Annotated[int, Query(ge=1, le=10_000)]


def add_baselines(app: FastAPI, coordinator: Coordinator, allowed: Any) -> None:
    """Add the routes.

    Args:
        allowed: the dependency that tells who may.
    """

    @app.get("/api/v1/baselines", dependencies=[allowed])
    def _standings(
        limit: _Limit = 1000, device: str | None = None, model: str | None = None
    ) -> StandingList:
        """Every configuration's latest run against its baseline, the latest first."""
        return coordinator.standings(limit, device, model)

    @app.get("/api/v1/history", dependencies=[allowed])
    def _history(
        limit: _Limit = 100, device: str | None = None, model: str | None = None
    ) -> History:
        """Successful runs, newest first, each with its median and the verdict on it."""
        return coordinator.history(limit, device, model)

    @app.get("/api/v1/runs/{run_id}/verdict", dependencies=[allowed])
    def _verdict(run_id: str) -> VerdictDetail:
        """What a run was compared with, and all that came of it."""
        return coordinator.verdict(run_id)

    @app.put("/api/v1/runs/{run_id}/baseline", dependencies=[allowed])
    def _pin(run_id: str) -> Standing:
        """Compare what this run measured with it from now on."""
        return coordinator.pin_baseline(run_id)

    @app.delete("/api/v1/runs/{run_id}/baseline", dependencies=[allowed])
    def _unpin(run_id: str) -> Standing:
        """Compare what this run measured with the run before again."""
        return coordinator.unpin_baseline(run_id)
