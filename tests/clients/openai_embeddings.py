"""Owns what the tests ask by OpenAI's own client; run by its own Python: URL, PHOTO; does not import ours.

Prints a JSON document a line.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import openai


def tell(said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")


url, photo = sys.argv[1:3]
encoded = base64.b64encode(Path(photo).read_bytes()).decode()
client = openai.OpenAI(base_url=f"http://{url}/v1", api_key="none", max_retries=0)

one = client.embeddings.create(model="any", input=f"data:image/jpeg;base64,{encoded}")  # by itself it asks for base64
tell({"model": one.model, "values": one.data[0].embedding, "tokens": one.usage.total_tokens})

several = client.embeddings.create(
    model="any", input=[encoded, encoded], encoding_format="float", extra_body={"normalize": True}
)
tell({"indices": [each.index for each in several.data], "values": several.data[1].embedding})

refused: tuple[dict[str, Any], ...] = ({"input": "a cat"}, {"input": encoded, "dimensions": 8})
for wrong in refused:
    try:
        client.embeddings.create(model="any", **wrong)
    except openai.APIStatusError as error:
        tell({"kind": type(error).__name__, "status": error.status_code, "request": error.request_id})
