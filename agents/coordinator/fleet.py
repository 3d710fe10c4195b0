"""The Ray side of the fleet: which devices' nodes are alive, and calls to their agents.

Every call has a deadline of its own: Ray leaves a call to a node whose link is cut hanging for
minutes. Data crosses as JSON text and bytes, validated on arrival; no object of ours is pickled.

To be imported only once the environment holds Ray's settings: it reads them while it is imported.
"""

from __future__ import annotations

import logging
from typing import Any

import ray
import ray.exceptions
from pydantic import ValidationError

from agents.coordinator.calls import AgentFailedError, DeviceUnreachableError, StrangeResultError
from agents.coordinator.gate import Gate
from agents.messages import AgentStatus, Assignment, AttemptKey, StartAnswer
from profiler.errors import FleetmarkError
from profiler.result import RunResult

log = logging.getLogger(__name__)

NAMESPACE = "fleetmark"
CALL_SECONDS = 10.0
# Longer than a question that waits for news.
LEAVE_SECONDS = 5.0
CREATE_SECONDS = 60.0
# A chunk of a model may have to cross a slow link.
CHUNK_SECONDS = 120.0


def resource_of(device_id: str) -> str:
    """The custom resource that ties an agent to its device."""
    return f"device:{device_id}"


def name_of(device_id: str) -> str:
    """The name of a device's agent among Ray's actors."""
    return f"agent:{device_id}"


class Fleet:
    """Calls to the agents on the devices.

    Args:
        agent_class: the actor's class, importable on the devices; handed in, so that the
            coordinator does not depend on the device's code.
    """

    def __init__(self, agent_class: type) -> None:
        self._agent_class = agent_class
        self._actors: dict[str, Any] = {}
        self._gate = Gate()

    def connect(self, address: str) -> None:
        """Join the cluster as a driver. The token comes from the environment.

        Raises:
            FleetmarkError: no cluster answers there.
        """
        try:
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
            raise FleetmarkError(f"no Ray cluster answers at {address}: {error}") from error

    def disconnect(self) -> None:
        """Leave the cluster, once no thread is in a call any more.

        Ray ends the whole process when it is used after its shutdown. A call that does not return
        in time is waiting for a device that is gone; then Ray is left as it is, for this process
        is about to end.
        """
        if self._gate.close(LEAVE_SECONDS):
            self._actors.clear()
            ray.shutdown()
        else:
            log.warning("a device does not answer; leaving the cluster without a word")

    def alive(self) -> frozenset[str]:
        """Ids of the devices whose Ray node is alive."""
        prefix = resource_of("")
        with self._gate.entered():
            nodes = ray.nodes()
        return frozenset(
            name.removeprefix(prefix)
            for node in nodes
            if node["Alive"]
            for name in node["Resources"]
            if name.startswith(prefix)
        )

    def ensure_agent(self, device_id: str) -> None:
        """Find the device's agent, or create it.

        Raises:
            DeviceUnreachableError: its node is not there, or the agent does not come up.
        """
        if device_id not in self.alive():
            # Without its node an actor would stay pending, and the caller with it.
            raise DeviceUnreachableError("its Ray node is not in the cluster")
        options = {
            "name": name_of(device_id),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "resources": {resource_of(device_id): 0.01},
            # A raylet that joins again gets its agent back from Ray itself.
            "max_restarts": -1,
            "max_concurrency": 16,
        }
        with self._gate.entered():
            actor = ray.remote(self._agent_class).options(**options).remote(device_id)
        self._actors[device_id] = actor
        self._call(device_id, "status", 0.0, -1, seconds=CREATE_SECONDS)

    def forget(self, device_id: str) -> None:
        """End the device's agent for good."""
        self._actors.pop(device_id, None)
        with self._gate.entered():
            try:
                # By name: an agent that an earlier coordinator made is not among ours yet.
                actor = ray.get_actor(name_of(device_id), namespace=NAMESPACE)
            except ValueError:
                return
            ray.kill(actor, no_restart=True)

    def _call(self, device_id: str, method: str, *args: object, seconds: float) -> Any:
        with self._gate.entered():
            return self._call_inside(device_id, method, *args, seconds=seconds)

    def _call_inside(self, device_id: str, method: str, *args: object, seconds: float) -> Any:
        actor = self._actors.get(device_id)
        if actor is None:
            raise DeviceUnreachableError("its agent is not up yet")
        ref = getattr(actor, method).remote(*args)
        try:
            return ray.get(ref, timeout=seconds)
        except ray.exceptions.GetTimeoutError as error:
            ray.cancel(ref)
            raise DeviceUnreachableError(f"no answer within {seconds:g} s") from error
        except ray.exceptions.RayTaskError as error:
            raise AgentFailedError(f"{method} failed: {error.cause!r}") from error
        except ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()
            raise DeviceUnreachableError(first[0] if first else repr(error)) from error

    def status(self, device_id: str, wait_seconds: float, version: int) -> AgentStatus:
        """What the agent is doing; waits up to ``wait_seconds`` for news after ``version``."""
        seconds = CALL_SECONDS + wait_seconds
        text = self._call(device_id, "status", wait_seconds, version, seconds=seconds)
        return AgentStatus.model_validate_json(text)

    def start(self, device_id: str, assignment: Assignment) -> StartAnswer:
        text = self._call(device_id, "start", assignment.model_dump_json(), seconds=CALL_SECONDS)
        return StartAnswer.model_validate_json(text)

    def abort(self, device_id: str, key: AttemptKey) -> None:
        self._call(device_id, "abort", key.model_dump_json(), seconds=CALL_SECONDS)

    def fetch(self, device_id: str, key: AttemptKey) -> tuple[RunResult, bytes | None]:
        """A finished attempt's result and its raw iterations (npz), if there are any."""
        text, raw = self._call(device_id, "fetch", key.model_dump_json(), seconds=CHUNK_SECONDS)
        try:
            result = RunResult.model_validate_json(text)
        except ValidationError as error:
            raise StrangeResultError(
                f"the device's result is not understood ({error.error_count()} differences); "
                "is its fleetmark newer than the coordinator's?"
            ) from error
        if (result.run_id, result.attempt) != (key.run_id, key.attempt):
            raise StrangeResultError(f"the device answered with run {result.run_id}")
        return result, raw

    def acknowledge(self, device_id: str, key: AttemptKey) -> None:
        self._call(device_id, "acknowledge", key.model_dump_json(), seconds=CALL_SECONDS)

    def model_offset(self, device_id: str, digest: str) -> int:
        """How many bytes of the model the device holds already; -1 when it is complete."""
        return int(self._call(device_id, "model_offset", digest, seconds=CALL_SECONDS))

    def put(self, chunk: bytes) -> Any:
        """Place a chunk in the object store once, for as many devices as want it."""
        with self._gate.entered():
            return ray.put(chunk)

    def send_chunk(self, device_id: str, digest: str, size: int, offset: int, chunk: Any) -> None:
        """Append a chunk, from ``put``, to the model on the device."""
        args = (digest, size, offset, chunk)
        self._call(device_id, "model_chunk", *args, seconds=CHUNK_SECONDS)
