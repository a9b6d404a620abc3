"""A published AudioSet tagger teaches `compact` on mixtures of unlabelled clips.

The teacher hears a mixture as it is, the student a damaged copy of it (`MelDamage`), and imitates the teacher's
frames, its pooled embedding and its tags. In the order of the pipeline: `config` says what a run is, `mixtures` what
both hear, `networks` who hears it, `step` what the student learns from it, `run` how hours of that become a trunk.
"""

from __future__ import annotations

from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.run import CHECKPOINT, METRICS, TRUNK, distill

__all__ = ["CHECKPOINT", "METRICS", "TRUNK", "DistillConfig", "distill"]
