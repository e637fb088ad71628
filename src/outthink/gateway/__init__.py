"""The gateway: answers as the policy has them, behind the API that clients of OpenAI speak.

A request becomes a problem and a way of thinking about it; one long-lived runner thinks about all
of them. It knows nothing of how a policy is fitted. `cli` starts it.

Stands on: errors, grade, models, policy, run, search, study, types, version, whole.
"""
