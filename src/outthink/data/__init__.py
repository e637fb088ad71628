"""Problems: files in the layouts people keep them in, and generators.

It gives problems and the name of the grader that fits them. It knows nothing of models, searches or
stores. `study` runs searches on what it reads.

Stands on: errors, grade, types, whole.
"""
