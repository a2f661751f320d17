"""The unmodified openai-python client; it asks for the access token before every attempt.

    npx sallyport login && python examples/openai_python.py
"""
import json
import os
import subprocess
import time

from openai import OpenAI

_cached = {"access_token": "", "expires_at": 0}


def access_token() -> str:
    if _cached["expires_at"] - time.time() < 60:
        _cached.update(json.loads(subprocess.check_output(["npx", "--no-install", "sallyport", "token", "--json"])))
    return _cached["access_token"]


client = OpenAI(base_url=os.environ.get("SALLYPORT_URL", "http://127.0.0.1:8080") + "/v1", api_key=access_token)
stream = client.completions.create(model="tiny-gpt2", prompt="The future of AI is", max_tokens=24, stream=True)
for chunk in stream:
    print(chunk.choices[0].text, end="", flush=True)
print()
