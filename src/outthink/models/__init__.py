"""Proposers: the models that write.

Servers are reached over HTTP (vLLM, llama.cpp, any chat API); models of transformers and of
llama.cpp run in this process. A proposer is given prefixes and returns solutions. It knows
nothing of searches, budgets or stores. `run` asks it. `wrappers` puts retries or a cache around
any engine.

Stands on: errors, grade, types, whole.
"""
