"""A grader of your own: a number within one percent of the reference is right.

outthink sweep 'examples/areas.csv?grader=examples/close_enough.py:close_enough' ...
"""


def close_enough(answer: str, reference: str) -> bool:
    """Whether two numbers differ by no more than one percent."""
    try:
        ours, theirs = float(answer), float(reference)
    except ValueError:
        return False
    return abs(ours - theirs) <= 0.01 * abs(theirs)
