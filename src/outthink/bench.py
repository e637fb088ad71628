"""Measurements that anyone can repeat: strategies on fresh problems, and the speed of the engines."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from outthink.difficulty import bins
from outthink.driver import Driver, Job
from outthink.estimate import interval, paired
from outthink.jobs import _engines, _same, sweep  # noqa: PLC2701
from outthink.lab import task
from outthink.lab.models import SHIPPED, LabModels
from outthink.lab.tokenizer import PROMPT_LENGTH
from outthink.progress import Progress
from outthink.search import strategy
from outthink.store import Identity, Store
from outthink.study import Plan, Study
from outthink.types import Budget, Usage
