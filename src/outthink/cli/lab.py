"""`outthink lab train | facts`."""

from __future__ import annotations

from outthink.cli.commands import Commands

LAB = Commands(
    "lab",
    {
        "train": ("lab_train:train", "train every model from nothing"),
        "facts": ("lab_facts:facts", "measure the models on fresh problems"),
    },
    help="The built-in world: train its models, measure them.",
)
