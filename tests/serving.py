"""A gateway for tests: real HTTP on localhost, in a thread of its own."""

import threading
from dataclasses import dataclass

import openai

from outthink.gateway.serve import serve
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.team import Team
from outthink.study.models import Models


class Serving:
    """`with Serving(settings) as served: served.client`."""

    def __init__(self, settings, host="127.0.0.1"):
        self._settings, self._host = settings, host
        self._ready = threading.Event()
        self._error = None

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        self.client = self.client_of("none")
        return self

    def __exit__(self, *_):
        self.client.close()
        self.gateway.stop()
        self._thread.join()

    def client_of(self, key, kind=openai.OpenAI, **options):
        return kind(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **options)

    def _run(self):
        def started(url, gateway):
            self.url, self.gateway = url, gateway
            self._ready.set()

        try:
            serve(self._settings, self._host, 0, started)
        except BaseException as error:
            self._error = error
            self._ready.set()


@dataclass(frozen=True)
class Scripted(Models):
    """Engines in this process in place of those that names stand for."""

    proposer: str = "hf:scripted"
    verifier: str = "confidence"
    writes: object = ScriptedProposer(max_steps=4)

    def team(self, roles, grader="exact"):
        return Team.of(self.writes, ScriptedVerifier())
