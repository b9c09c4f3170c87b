"""The loop in LangGraph: `SqliteSaver` as checkpointer, `durability="sync"`: persisted before the next step starts.

Options: the saver's own SQLite settings (write-ahead log, synchronous FULL); no tracing; a recursion limit beyond the
number of steps.
https://docs.langchain.com/oss/python/langgraph/durable-execution
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver  # type: ignore[import-not-found]
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found]

from benchmarks.common import Meter
from benchmarks.peers import main


class State(TypedDict):
    n: int


def loop(directory: Path, steps: int, meter: Meter) -> None:
    def raised(state: State) -> State:
        meter.step(state["n"])
        return {"n": state["n"] + 1}

    def after_b(state: State) -> str:
        return END if state["n"] >= steps else "a"

    graph = StateGraph(State)
    graph.add_node("a", raised)
    graph.add_node("b", raised)
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_conditional_edges("b", after_b, ["a", END])
    with SqliteSaver.from_conn_string(str(directory / "langgraph.db")) as saver:
        compiled = graph.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "loop"}, "recursion_limit": steps + 10}
        compiled.invoke({"n": 0}, config, durability="sync")


if __name__ == "__main__":
    main(loop)
