"""Owns the least that a service can do in our web framework, which is to read the body; does not look at it.

Run as `-m tests.benchmark.bare_http PORT`.
"""

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """200 at once."""
    return {"status": "ready"}


@app.post("/v1/classify")
async def classify(request: Request) -> dict[str, int]:
    """The body's length in bytes."""
    return {"bytes": len(await request.body())}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
