"""What `vllm serve` is to its client, as a process: python serving.py FAULT MODEL --port=... --lora-modules=student=DIR

Ready after a moment; answers completions of tokens by a digest of adapter, tokens and seed, so that it shows which adapter
was loaded and that nothing else decides. FAULT is none, or what is to go wrong:

start     says why and ends before it is ready           bare      serves the base alone
dies-N    is gone, as by SIGKILL, at the Nth completion, at once after each start
garbage   answers JSON that is no completion             html      answers a page
500       fails at every completion                      hangs     is never ready
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from phases.rehearsal.wire import Reply, Request, said, serving


def main(words: list[str]) -> int:
    fault, model, *options = words
    given = dict(o.lstrip("-").partition("=")[::2] for o in options)
    if fault == "start":
        print("ValueError: Free memory on device is less than desired GPU memory utilization", flush=True)
        return 1
    if fault == "hangs":
        time.sleep(600)
    name, _, directory = given["lora-modules"].partition("=")
    adapter = (Path(directory) / "adapter_model.safetensors").read_bytes()
    assert (Path(directory) / "adapter_config.json").is_file()
    assert os.environ["VLLM_BATCH_INVARIANT"] == "1"
    lock, asked = threading.Lock(), [0]

    def serve(request: Request) -> Reply:
        if request.path == "/v1/models":
            ids = [model] if fault == "bare" else [model, name]
            return said(
                {
                    "object": "list",
                    "data": [{"id": i, "object": "model", "created": 0, "owned_by": "vllm"} for i in ids],
                }
            )
        with lock:
            asked[0] += 1
            if fault.startswith("dies-") and asked[0] >= int(fault[5:]):
                os.kill(os.getpid(), signal.SIGKILL)
        if fault == "500":
            return said({"error": {"message": "EngineCore encountered an issue", "code": 500}}, status=500)
        if fault == "garbage":
            return said({"object": "surprise", "choices": [{"text": None, "finish_reason": "quux"}]})
        if fault == "html":
            return Reply(body=b"<html>a gateway</html>", kind="text/html")
        body = request.json()
        key = hashlib.sha256(
            adapter + repr((body["prompt"], body["seed"], body["model"])).encode()
        ).hexdigest()
        tokens = min(7, body["max_tokens"])
        choice = {"index": 0, "text": f"int x = 0x{key[:6]};", "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": tokens, "total_tokens": 0}
        return said(
            {
                "id": key,
                "object": "text_completion",
                "created": 0,
                "model": name,
                "choices": [choice],
                "usage": usage,
            }
        )

    time.sleep(0.3)
    print(f"serving {model} with {name}", flush=True)
    with serving(serve, port=int(given["port"])):
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
