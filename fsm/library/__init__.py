"""A run, from Python.

    from fsm import load

    run = load("coffee.yaml").start()     # goes on in a thread of its own
    for record in run:                    # as they come; `async for` in async code
        print(record["from"], record.get("label"))
    outcome = run.wait()                  # `await run.wait()` in async code
    text = run.artifact("cup.txt").read_text()

The command line runs by the same `Run`, in its main thread.
"""

from fsm.library.drive import Record
from fsm.library.run import Run, load

__all__ = ["Record", "Run", "load"]
