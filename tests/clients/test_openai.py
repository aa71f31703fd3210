"""What OpenAI's own client gets of embeddings, unmodified, in its own environment; `make clients-check`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmark.options import ROOT
from tests.benchmark.server import Server
from tests.end_to_end.conftest import cat as cat
from tests.end_to_end.conftest import embedded as embedded

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]
PYTHON = ROOT / ".venv/clients/bin/python"


def test_embeddings_are_created(embedded: Server, cat: bytes, tmp_path: Path) -> None:
    assert PYTHON.exists(), "make clients-check installs the clients"
    (tmp_path / "cat.jpg").write_bytes(cat)
    script = Path(__file__).with_name("openai_embeddings.py")
    command: list[Any] = [PYTHON, script, f"127.0.0.1:{embedded.port}", tmp_path / "cat.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    one, several, *refused = map(json.loads, done.stdout.splitlines())
    ours = embedded.post_image("/v1/embeddings", cat)
    assert (one["model"], one["tokens"]) == (ours["model"], 0)
    values = np.array(ours["data"][0]["embedding"])
    assert np.array(one["values"]) == pytest.approx(values, abs=1e-5)
    assert several["indices"] == [0, 1]
    assert np.array(several["values"]) == pytest.approx(values / np.linalg.norm(values), abs=1e-5)
    kinds = [(each["status"], each["kind"]) for each in refused]
    assert kinds == [(400, "BadRequestError"), (422, "UnprocessableEntityError")]
    assert all(each["request"] for each in refused)
